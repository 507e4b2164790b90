//! Where a binding leads, and sets of such places.

use crate::hash::FastMap;
use crate::ids::{ExchangeId, QueueId, ShardId};

/// A queue together with the shard that owns it: what routing yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// The queue.
    pub queue: QueueId,
    /// Its owner.
    pub shard: ShardId,
}

/// The far end of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A queue.
    Queue(Destination),
    /// An exchange of the same virtual host.
    Exchange(ExchangeId),
}

/// Up to this many targets are searched one by one; that is faster than hashing and needs no second structure.
const SCAN_MAX: usize = 16;

/// A set that can be copied out as a slice, since matching does nothing else.
///
/// Removal swaps the last one in, so the order is that of the changes made, the same in each replica.
#[derive(Debug, Default)]
pub(crate) struct TargetSet {
    list: Vec<Target>,
    /// Places in the list; built when the set outgrows [`SCAN_MAX`].
    places: Option<Box<FastMap<Target, usize>>>,
}

impl TargetSet {
    /// Adds a target that is not in the set.
    pub(crate) fn insert(&mut self, target: Target) {
        debug_assert!(self.place(target).is_none(), "edges tell when a target is new");
        if let Some(places) = &mut self.places {
            places.insert(target, self.list.len());
        }
        self.list.push(target);
        if self.places.is_none() && self.list.len() > SCAN_MAX {
            self.places = Some(Box::new(self.list.iter().enumerate().map(|(place, it)| (*it, place)).collect()));
        }
    }

    /// Removes a target, if it is there.
    pub(crate) fn remove(&mut self, target: Target) {
        let Some(place) = self.place(target) else { return };
        self.list.swap_remove(place);
        let Some(places) = &mut self.places else { return };
        places.remove(&target);
        if let Some(moved) = self.list.get(place) {
            places.insert(*moved, place);
        }
    }

    pub(crate) fn as_slice(&self) -> &[Target] {
        &self.list
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn place(&self, target: Target) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&target).copied(),
            None => self.list.iter().position(|it| *it == target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;
    use std::collections::BTreeSet;

    fn check(seed: u64, universe: u64) {
        let mut random = Random::new(seed);
        let mut set = TargetSet::default();
        let mut model = BTreeSet::new();
        for _ in 0..2_000 {
            let n = random.below(universe);
            let target = match n % 2 {
                0 => Target::Exchange(ExchangeId(n as u32)),
                _ => Target::Queue(Destination { queue: QueueId(n), shard: ShardId(0) }),
            };
            if model.insert(target) {
                set.insert(target);
            } else {
                model.remove(&target);
                set.remove(target);
            }
            set.remove(Target::Exchange(ExchangeId(u32::MAX)));
            assert!(set.as_slice().iter().copied().collect::<BTreeSet<_>>() == model);
            assert_eq!(set.as_slice().len(), model.len());
            assert_eq!(set.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn agrees_with_an_ordered_set() {
        check(1, 8);
        check(2, 2 * SCAN_MAX as u64);
        check(3, 200);
    }
}
