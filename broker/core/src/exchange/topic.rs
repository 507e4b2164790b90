//! Topic matching: words between dots, `*` for exactly one word, `#` for zero or more.
//!
//! The binding keys form a trie, one edge for each word. Matching walks it with the *set* of all nodes that the words
//! so far can lead to, one step a word:
//!
//! ```text
//!   bindings a.*.c and a.#          words: a         b          c
//!     root -a-> 1 -*-> 2 -c-> 3     {root} -> {1, 4} -> {2, 4} -> {3, 4}: both match
//!                 -#-> 4
//! ```
//!
//! A node behind `#` stays in the set whatever the word is, and enters it together with its parent, because `#` may
//! stand for no word at all. A set (rather than trying one way after the other) keeps `#.a.#.a.#.a` against `a.a.a...`
//! from being exponential: the work is at most the number of words times the nodes in reach, and with usual patterns a
//! handful of hash lookups, whatever the number of bindings.
//!
//! Words are numbered when they are bound, so that the routing key's words are hashed once each, and all edges lie in
//! one map from (node, word) to node. Both sorts of wildcard edges are fields of the node instead. Nodes without
//! targets and edges are removed, so inserting and removing are O(words).

use crate::hash::FastMap;

use super::targets::{Target, TargetSet};

const ROOT: u32 = 0;
/// Stands for "no node".
const NONE: u32 = u32::MAX;

/// Buffers for matching, reused from one message to the next; may be used with any number of tables.
#[derive(Debug, Default)]
pub struct TopicScratch {
    active: Vec<u32>,
    next: Vec<u32>,
    /// For each node the step in which it last entered a set. Steps are counted over all tables, so nothing needs
    /// clearing.
    entered: Vec<u64>,
    step: u64,
}

#[derive(Debug)]
pub(crate) struct TopicTable {
    nodes: Vec<Node>,
    free_nodes: Vec<u32>,
    edges: FastMap<(u32, u32), u32>,
    words: FastMap<Box<str>, Word>,
    free_words: Vec<u32>,
    word_count: u32,
}

#[derive(Debug)]
struct Node {
    parent: u32,
    star: u32,
    hash: u32,
    /// Edges with a literal word.
    word_edges: u32,
    is_hash: bool,
    targets: TargetSet,
}

#[derive(Debug)]
struct Word {
    id: u32,
    /// Edges that carry it.
    uses: u32,
}

impl Default for TopicTable {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new(NONE, false)],
            free_nodes: Vec::new(),
            edges: FastMap::default(),
            words: FastMap::default(),
            free_words: Vec::new(),
            word_count: 0,
        }
    }
}

impl Node {
    fn new(parent: u32, is_hash: bool) -> Self {
        Self { parent, star: NONE, hash: NONE, word_edges: 0, is_hash, targets: TargetSet::default() }
    }

    fn is_unused(&self) -> bool {
        self.star == NONE && self.hash == NONE && self.word_edges == 0 && self.targets.is_empty()
    }
}

/// The words of a key. The empty key has none, although splitting would yield one.
fn words(key: &str) -> impl DoubleEndedIterator<Item = &str> {
    (!key.is_empty()).then(|| key.split('.')).into_iter().flatten()
}

impl TopicTable {
    /// Adds a pair that is not in the table.
    pub(crate) fn insert(&mut self, key: &str, target: Target) {
        let mut at = ROOT;
        for word in words(key) {
            at = match self.child(at, word) {
                NONE => self.add_child(at, word),
                child => child,
            };
        }
        self.nodes[at as usize].targets.insert(target);
    }

    pub(crate) fn remove(&mut self, key: &str, target: Target) {
        let mut at = ROOT;
        for word in words(key) {
            at = self.child(at, word);
            if at == NONE {
                return;
            }
        }
        self.nodes[at as usize].targets.remove(target);
        let mut rest = words(key);
        while at != ROOT && self.nodes[at as usize].is_unused() {
            let Some(word) = rest.next_back() else { return };
            at = self.remove_child(at, word);
        }
    }

    /// Appends the targets of every matching key.
    pub(crate) fn matches(&self, key: &str, scratch: &mut TopicScratch, out: &mut Vec<Target>) {
        scratch.entered.resize(scratch.entered.len().max(self.nodes.len()), 0);
        scratch.active.clear();
        scratch.step += 1;
        self.enter(ROOT, scratch.step, &mut scratch.entered, &mut scratch.active);
        for word in words(key) {
            self.step(word, scratch);
            if scratch.active.is_empty() {
                return;
            }
        }
        for at in &scratch.active {
            out.extend_from_slice(self.nodes[*at as usize].targets.as_slice());
        }
    }

    fn step(&self, word: &str, scratch: &mut TopicScratch) {
        let TopicScratch { active, next, entered, step } = scratch;
        *step += 1;
        next.clear();
        let word = self.words.get(word).map(|word| word.id);
        for &at in &*active {
            let node = &self.nodes[at as usize];
            if node.is_hash {
                self.enter(at, *step, entered, next);
            }
            self.enter(node.star, *step, entered, next);
            if let Some(word) = word.filter(|_| node.word_edges > 0) {
                self.enter(self.edge(at, word), *step, entered, next);
            }
        }
        std::mem::swap(active, next);
    }

    /// Puts a node into the set, and with it those that need no further word.
    #[inline]
    fn enter(&self, mut at: u32, step: u64, entered: &mut [u64], set: &mut Vec<u32>) {
        while at != NONE && entered[at as usize] != step {
            entered[at as usize] = step;
            set.push(at);
            at = self.nodes[at as usize].hash;
        }
    }

    #[inline]
    fn edge(&self, at: u32, word: u32) -> u32 {
        self.edges.get(&(at, word)).copied().unwrap_or(NONE)
    }

    fn child(&self, at: u32, word: &str) -> u32 {
        match word {
            "*" => self.nodes[at as usize].star,
            "#" => self.nodes[at as usize].hash,
            _ => self.words.get(word).map_or(NONE, |word| self.edge(at, word.id)),
        }
    }

    fn add_child(&mut self, at: u32, word: &str) -> u32 {
        let child = self.add_node(Node::new(at, word == "#"));
        match word {
            "*" => self.nodes[at as usize].star = child,
            "#" => self.nodes[at as usize].hash = child,
            _ => {
                let word = self.use_word(word);
                self.edges.insert((at, word), child);
                self.nodes[at as usize].word_edges += 1;
            }
        }
        child
    }

    /// Takes a node away together with the edge to it; returns its parent.
    fn remove_child(&mut self, child: u32, word: &str) -> u32 {
        let at = self.nodes[child as usize].parent;
        match word {
            "*" => self.nodes[at as usize].star = NONE,
            "#" => self.nodes[at as usize].hash = NONE,
            _ => {
                if let Some(word) = self.unuse_word(word) {
                    self.edges.remove(&(at, word));
                    self.nodes[at as usize].word_edges -= 1;
                }
            }
        }
        self.free_nodes.push(child);
        at
    }

    fn add_node(&mut self, node: Node) -> u32 {
        if let Some(place) = self.free_nodes.pop() {
            self.nodes[place as usize] = node;
            return place;
        }
        self.nodes.push(node);
        u32::try_from(self.nodes.len() - 1).expect("memory ends before four billion nodes")
    }

    fn use_word(&mut self, word: &str) -> u32 {
        if let Some(word) = self.words.get_mut(word) {
            word.uses += 1;
            return word.id;
        }
        let id = self.free_words.pop().unwrap_or_else(|| {
            self.word_count += 1;
            self.word_count
        });
        self.words.insert(word.into(), Word { id, uses: 1 });
        id
    }

    fn unuse_word(&mut self, text: &str) -> Option<u32> {
        let word = self.words.get_mut(text)?;
        word.uses -= 1;
        let id = word.id;
        if word.uses == 0 {
            self.words.remove(text);
            self.free_words.push(id);
        }
        Some(id)
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let live = self.nodes.len() - self.free_nodes.len();
        let wildcards = |node: &Node| usize::from(node.star != NONE) + usize::from(node.hash != NONE);
        let is_free = |place: usize| self.free_nodes.contains(&(place as u32));
        let nodes: Vec<_> =
            self.nodes.iter().enumerate().filter(|(place, _)| !is_free(*place)).map(|(_, node)| node).collect();
        let edges = self.edges.len() + nodes.iter().map(|node| wildcards(node)).sum::<usize>();
        assert_eq!(edges + 1, live, "a tree has one node more than edges");
        assert_eq!(self.words.values().map(|word| word.uses as usize).sum::<usize>(), self.edges.len());
        assert!(nodes.iter().skip(1).all(|node| !node.is_unused()), "unused nodes are removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ExchangeId;
    use crate::testing::Random;
    use std::collections::BTreeSet;

    /// The definition of a match, word by word.
    fn naive(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern.split_first(), key.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), None) => naive(rest, key),
            (Some((&"#", rest)), Some((_, key_rest))) => naive(rest, key) || naive(pattern, key_rest),
            (Some((word, rest)), Some((key_word, key_rest))) => {
                (*word == "*" || word == key_word) && naive(rest, key_rest)
            }
            _ => false,
        }
    }

    fn target(n: u32) -> Target {
        Target::Exchange(ExchangeId(n))
    }

    fn matching(table: &TopicTable, scratch: &mut TopicScratch, key: &str) -> BTreeSet<Target> {
        let mut out = Vec::new();
        table.matches(key, scratch, &mut out);
        out.into_iter().collect()
    }

    #[test]
    fn edge_cases() {
        let check = |pattern: &str, key: &str, expected: bool| {
            let mut table = TopicTable::default();
            table.insert(pattern, target(1));
            table.check_invariants();
            let found = !matching(&table, &mut TopicScratch::default(), key).is_empty();
            assert_eq!(found, expected, "{pattern:?} against {key:?}");
            let (pattern, key) = (words(pattern).collect::<Vec<_>>(), words(key).collect::<Vec<_>>());
            assert_eq!(naive(&pattern, &key), expected, "the oracle on {pattern:?} against {key:?}");
        };
        check("", "", true);
        check("#", "", true);
        check("*", "", false);
        check("", "a", false);
        check("#", "a.b.c", true);
        check("a.*.b", "a..b", true);
        check("*.*", ".", true);
        check("#.a", "a", true);
        check("#.a", "x.a", true);
        check("#.a", "x.y.a", true);
        check("#.a", "a.x", false);
        check("a.#.b", "a.b", true);
        check("a.#.b", "a.x.y.b", true);
        check("#.#", "", true);
        check("#.#", "a.b", true);
        check("*.#", "", false);
        check("*.#", "a", true);
        check("#.*", "a.b", true);
        check("#.*", "", false);
        check("a*", "ab", false);
        check("a*", "a*", true);
        check("*.a", "a.a", true);
        check("*.a", "a", false);
        check("#.a.#.a.#", "b.a.b.a.b", true);
        check("#.a.#.a.#", "b.a.b", false);
        check("a.*.c", "a.b.c.d", false);
    }

    /// Random bindings come and go over a small alphabet, so that patterns overlap much.
    fn check_random(seed: u64) {
        let mut random = Random::new(seed);
        let mut table = TopicTable::default();
        let mut model: BTreeSet<(String, u32)> = BTreeSet::new();
        let mut scratch = TopicScratch::default();
        let text = |random: &mut Random, alphabet: &[&str], max: u64| {
            let count = random.below(max + 1);
            (0..count).map(|_| alphabet[random.below(alphabet.len() as u64) as usize]).collect::<Vec<_>>().join(".")
        };
        for _ in 0..300 {
            let pair = (text(&mut random, &["a", "b", "*", "#", ""], 5), random.below(4) as u32);
            if model.remove(&pair) {
                table.remove(&pair.0, target(pair.1));
            } else {
                table.insert(&pair.0, target(pair.1));
                model.insert(pair);
            }
            table.remove("never.bound", target(0));
            table.check_invariants();
            let key = text(&mut random, &["a", "b", "c", ""], 6);
            let key_words: Vec<_> = words(&key).collect();
            let expected: BTreeSet<_> = model
                .iter()
                .filter(|(pattern, _)| naive(&words(pattern).collect::<Vec<_>>(), &key_words))
                .map(|(_, n)| target(*n))
                .collect();
            assert_eq!(matching(&table, &mut scratch, &key), expected, "seed {seed}, key {key:?}, {model:?}");
        }
        for (pattern, n) in model {
            table.remove(&pattern, target(n));
        }
        assert_eq!(table.nodes.len() - table.free_nodes.len(), 1, "only the root is left");
        assert!(table.words.is_empty());
    }

    #[test]
    fn agrees_with_the_definition() {
        (0..60).for_each(check_random);
    }

    #[test]
    fn many_wildcards_do_not_explode() {
        let mut table = TopicTable::default();
        let pattern = ["#.a"; 60].join(".");
        table.insert(&pattern, target(1));
        let mut scratch = TopicScratch::default();
        assert!(matching(&table, &mut scratch, &["a"; 59].join(".")).is_empty());
        assert_eq!(matching(&table, &mut scratch, &["a"; 127].join(".")).len(), 1);
        assert!(scratch.active.capacity() <= 512, "a set has each node once");
    }
}
