//! The names of a simulated disk: which directories there are and what is in them, as programs see it and as it is on the
//! disk for certain, with the changes in between.
//!
//! A change becomes durable when its directory is synced; a rename between two directories when both are. At a crash the
//! changes that are not durable are kept up to some point, as a file system with a journal does, or each for itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};

use super::dice::Dice;

/// A file or directory, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(pub(crate) u64);

/// The directory that every path begins with.
pub(crate) const ROOT: NodeId = NodeId(0);

/// A name in a directory.
pub(crate) type Entry = (NodeId, OsString);

/// One state of all directories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<NodeId, BTreeMap<OsString, NodeId>>);

#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A new name; with the list of its own names if it is a directory.
    Link {
        at: Entry,
        node: NodeId,
        is_dir: bool,
    },
    Unlink {
        at: Entry,
    },
    Rename {
        from: Entry,
        to: Entry,
    },
}

/// A change that is not durable.
#[derive(Clone, Debug)]
struct Pending {
    number: u64,
    change: Change,
    /// The directories whose sync it waits for.
    unsynced: BTreeSet<NodeId>,
}

/// The directories of a disk.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    current: Tree,
    durable: Tree,
    pending: Vec<Pending>,
    last_number: u64,
}

impl Tree {
    pub(crate) fn empty() -> Tree {
        Tree([(ROOT, BTreeMap::new())].into())
    }

    pub(crate) fn find(&self, dir: NodeId, name: &OsStr) -> Option<NodeId> {
        self.0.get(&dir)?.get(name).copied()
    }

    /// The names in a directory, sorted; `None` if it is none.
    pub(crate) fn list(&self, dir: NodeId) -> Option<&BTreeMap<OsString, NodeId>> {
        self.0.get(&dir)
    }

    pub(crate) fn is_dir(&self, node: NodeId) -> bool {
        self.0.contains_key(&node)
    }

    /// Whether the node has a name.
    pub(crate) fn has(&self, node: NodeId) -> bool {
        self.0.values().any(|names| names.values().any(|other| *other == node))
    }

    /// Every node with a name, and the root.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        self.0.values().flat_map(|names| names.values().copied()).chain([ROOT]).collect()
    }

    /// Applies a change if it is possible here; one that was lost before may have taken away what it needs.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Link { at: (dir, name), node, is_dir } => {
                if self.link(*dir, name, *node) && *is_dir {
                    self.0.entry(*node).or_default();
                }
            }
            Change::Unlink { at: (dir, name) } => self.unlink(*dir, name),
            Change::Rename { from: (from_dir, from), to: (to_dir, to) } => {
                let moved = self.find(*from_dir, from).filter(|_| self.is_dir(*to_dir));
                let Some(node) = moved else { return };
                if self.find(*to_dir, to) == Some(node) {
                    return;
                }
                self.unlink(*to_dir, to);
                if let Some(names) = self.0.get_mut(from_dir) {
                    names.remove(from);
                }
                self.link(*to_dir, to, node);
            }
        }
    }

    fn link(&mut self, dir: NodeId, name: &OsStr, node: NodeId) -> bool {
        let Some(names) = self.0.get_mut(&dir) else { return false };
        names.insert(name.to_owned(), node);
        true
    }

    /// A directory goes with what is in it: where programs look it was empty, and where it was not, what emptied it counts as
    /// done.
    fn unlink(&mut self, dir: NodeId, name: &OsStr) {
        let removed = self.0.get_mut(&dir).and_then(|names| names.remove(name));
        if let Some(node) = removed.filter(|node| self.0.get(node).is_some_and(BTreeMap::is_empty)) {
            self.0.remove(&node);
        }
    }

    /// Forgets directories that have no way to them.
    pub(super) fn prune(&mut self) {
        let mut reached = BTreeSet::from([ROOT]);
        let mut next = vec![ROOT];
        while let Some(dir) = next.pop() {
            let names = self.0.get(&dir).into_iter().flat_map(BTreeMap::values);
            next.extend(names.filter(|node| self.0.contains_key(node) && reached.insert(**node)).copied());
        }
        self.0.retain(|dir, _| reached.contains(dir));
    }
}

impl Change {
    fn dirs(&self) -> BTreeSet<NodeId> {
        match self {
            Change::Link { at: (dir, _), .. } | Change::Unlink { at: (dir, _) } => [*dir].into(),
            Change::Rename { from: (from, _), to: (to, _) } => [*from, *to].into(),
        }
    }
}

impl Names {
    /// Names that are all on the disk.
    pub(crate) fn durable(tree: Tree) -> Names {
        Names { current: tree.clone(), durable: tree, pending: Vec::new(), last_number: 0 }
    }

    pub(crate) fn current(&self) -> &Tree {
        &self.current
    }

    /// What is on the disk for certain.
    pub(crate) fn durable_tree(&self) -> &Tree {
        &self.durable
    }

    pub(crate) fn change(&mut self, change: Change) {
        self.current.apply(&change);
        if let Change::Link { node, is_dir: true, .. } = &change {
            self.durable.0.entry(*node).or_default(); // what is synced into it waits for a way to it
        }
        self.last_number += 1;
        self.pending.push(Pending { number: self.last_number, unsynced: change.dirs(), change });
    }

    /// A sync begins; it will cover the changes up to the number.
    pub(crate) fn begin_sync(&self) -> u64 {
        self.last_number
    }

    /// The changes of a directory, up to the number, become durable.
    pub(crate) fn finish_sync(&mut self, dir: NodeId, number: u64) {
        for pending in self.pending.iter_mut().filter(|pending| pending.number <= number) {
            pending.unsynced.remove(&dir);
        }
        let (durable, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(|pending| pending.unsynced.is_empty());
        durable.iter().for_each(|done| self.durable.apply(&done.change));
        self.pending = pending;
    }

    /// What is on the disk after a crash now.
    pub(crate) fn survivor(&self, dice: &mut Dice) -> Tree {
        let mut tree = self.durable.clone();
        let count = self.pending.len() as u64;
        let in_order = dice.percent(70);
        let kept = dice.below(count + 1);
        for (index, pending) in self.pending.iter().enumerate() {
            if if in_order { (index as u64) < kept } else { dice.percent(50) } {
                tree.apply(&pending.change);
            }
        }
        tree.prune();
        tree
    }

    /// Every node that has a name, or had one, or might have one again.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        let linked = self.pending.iter().filter_map(|pending| match &pending.change {
            Change::Link { node, .. } => Some(*node),
            Change::Unlink { .. } | Change::Rename { .. } => None,
        });
        self.current.nodes().into_iter().chain(self.durable.nodes()).chain(linked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dir: u64, name: &str) -> Entry {
        (NodeId(dir), name.into())
    }

    fn link(dir: u64, name: &str, node: u64, is_dir: bool) -> Change {
        Change::Link { at: entry(dir, name), node: NodeId(node), is_dir }
    }

    fn rename(from: Entry, to: Entry) -> Change {
        Change::Rename { from, to }
    }

    /// All trees that a crash may leave, as sorted paths with their nodes.
    fn outcomes(names: &Names) -> BTreeSet<String> {
        fn paths(tree: &Tree, dir: NodeId, before: &str, into: &mut Vec<String>) {
            for (name, node) in tree.list(dir).into_iter().flatten() {
                let path = format!("{before}/{}", name.display());
                into.push(format!("{path}={}", node.0));
                paths(tree, *node, &path, into);
            }
        }
        let outcome = |throw| {
            let mut all = Vec::new();
            paths(&names.survivor(&mut Dice::new(throw)), ROOT, "", &mut all);
            all.join(" ")
        };
        (0..500).map(outcome).collect()
    }

    fn check(names: &Names, expected: &[&str]) {
        assert_eq!(outcomes(names).iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    fn sync(names: &mut Names, dir: u64) {
        let number = names.begin_sync();
        names.finish_sync(NodeId(dir), number);
    }

    #[test]
    fn a_name_needs_the_sync_of_its_directory() {
        let mut names = Names::durable(Tree::empty());
        names.change(link(0, "a", 1, false));
        check(&names, &["", "/a=1"]);
        sync(&mut names, 7);
        check(&names, &["", "/a=1"]);
        sync(&mut names, 0);
        check(&names, &["/a=1"]);
        names.change(Change::Unlink { at: entry(0, "a") });
        check(&names, &["", "/a=1"]);
    }

    #[test]
    fn a_rename_replaces_all_or_nothing() {
        let mut names = Names::durable(Tree::empty());
        names.change(link(0, "a", 1, false));
        sync(&mut names, 0);
        names.change(link(0, "b", 2, false));
        names.change(rename(entry(0, "b"), entry(0, "a")));
        check(&names, &["/a=1", "/a=1 /b=2", "/a=2"]);
        sync(&mut names, 0);
        check(&names, &["/a=2"]);
    }

    #[test]
    fn a_rename_between_directories_needs_both_synced() {
        let mut names = Names::durable(Tree::empty());
        for (name, node, is_dir) in [("d", 1, true), ("e", 2, true)] {
            names.change(link(0, name, node, is_dir));
        }
        names.change(link(1, "f", 3, false));
        sync(&mut names, 0);
        sync(&mut names, 1);
        names.change(rename(entry(1, "f"), entry(2, "g")));
        sync(&mut names, 2);
        check(&names, &["/d=1 /d/f=3 /e=2", "/d=1 /e=2 /e/g=3"]);
        sync(&mut names, 1);
        check(&names, &["/d=1 /e=2 /e/g=3"]);
    }

    #[test]
    fn a_removed_directory_takes_along_what_was_removed_from_it() {
        let mut names = Names::durable(Tree::empty());
        names.change(link(0, "d", 1, true));
        names.change(link(1, "f", 2, false));
        sync(&mut names, 0);
        sync(&mut names, 1);
        names.change(Change::Unlink { at: entry(1, "f") });
        names.change(Change::Unlink { at: entry(0, "d") });
        check(&names, &["", "/d=1", "/d=1 /d/f=2"]);
        sync(&mut names, 0);
        check(&names, &[""]);
    }

    #[test]
    fn what_is_in_a_lost_directory_is_lost() {
        let mut names = Names::durable(Tree::empty());
        names.change(link(0, "d", 1, true));
        names.change(link(1, "f", 2, false));
        check(&names, &["", "/d=1", "/d=1 /d/f=2"]);
        sync(&mut names, 1);
        check(&names, &["", "/d=1 /d/f=2"]);
        sync(&mut names, 0);
        check(&names, &["/d=1 /d/f=2"]);
    }
}
