//! The bindings of one source exchange, each stored once.
//!
//! A binding's identity is target, key and arguments. They are filed in that order, because deleting a target takes all
//! of its bindings away, and because most tables care only whether a target (fanout) or a target with this key (direct,
//! topic) has any binding at all.

use crate::hash::FastMap;
use crate::ids::Name;
use crate::value::Arguments;

use super::Target;

/// One binding, seen from its source.
#[derive(Clone, Copy, Debug)]
pub struct Edge<'a> {
    /// Where it leads.
    pub target: Target,
    /// The binding key.
    pub key: &'a Name,
    /// Its arguments.
    pub arguments: &'a Arguments,
}

/// How much a change to the edges matters: of several bindings between the same ends only the first and the last one
/// matter to most tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Nothing changed.
    None,
    /// Others with the same target and key remain (or were there).
    Arguments,
    /// It is the only one with this target and key.
    Key,
    /// It is the only one with this target.
    Target,
}

#[derive(Debug, Default)]
pub(crate) struct Edges {
    by_target: FastMap<Target, FastMap<Name, Vec<Arguments>>>,
    count: usize,
}

impl Edges {
    pub(crate) fn insert(&mut self, target: Target, key: &Name, arguments: &Arguments) -> Change {
        let keys = self.by_target.entry(target).or_default();
        let target_is_new = keys.is_empty();
        let of_key = keys.entry(key.clone()).or_default();
        if of_key.contains(arguments) {
            return Change::None;
        }
        let key_is_new = of_key.is_empty();
        of_key.push(arguments.clone());
        self.count += 1;
        change(target_is_new, key_is_new)
    }

    pub(crate) fn remove(&mut self, target: Target, key: &str, arguments: &Arguments) -> Change {
        let Some(keys) = self.by_target.get_mut(&target) else { return Change::None };
        let Some(of_key) = keys.get_mut(key) else { return Change::None };
        let Some(place) = of_key.iter().position(|it| it == arguments) else { return Change::None };
        of_key.remove(place);
        self.count -= 1;
        let key_is_gone = of_key.is_empty();
        if key_is_gone {
            keys.remove(key);
        }
        let target_is_gone = keys.is_empty();
        if target_is_gone {
            self.by_target.remove(&target);
        }
        change(target_is_gone, key_is_gone)
    }

    pub(crate) fn contains(&self, target: Target, key: &str, arguments: &Arguments) -> bool {
        let of_key = self.by_target.get(&target).and_then(|keys| keys.get(key));
        of_key.is_some_and(|of_key| of_key.contains(arguments))
    }

    pub(crate) fn contains_target(&self, target: Target) -> bool {
        self.by_target.contains_key(&target)
    }

    /// Copies of a target's keys and arguments.
    pub(crate) fn of_target(&self, target: Target) -> Vec<(Name, Arguments)> {
        let keys = self.by_target.get(&target).into_iter().flatten();
        keys.flat_map(|(key, of_key)| of_key.iter().map(|arguments| (key.clone(), arguments.clone()))).collect()
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        self.by_target.keys().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Edge<'_>> {
        self.by_target.iter().flat_map(|(target, keys)| {
            keys.iter()
                .flat_map(|(key, of_key)| of_key.iter().map(|arguments| Edge { target: *target, key, arguments }))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert_eq!(self.iter().count(), self.count);
        assert!(self.by_target.values().all(|keys| !keys.is_empty() && keys.values().all(|of_key| !of_key.is_empty())));
    }
}

fn change(target: bool, key: bool) -> Change {
    match (target, key) {
        (true, _) => Change::Target,
        (false, true) => Change::Key,
        (false, false) => Change::Arguments,
    }
}
