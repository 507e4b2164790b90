//! A map from numbers given out in order to what is still open under them.
//!
//! Three places need it: a queue's messages by sequence number, a channel's unsettled deliveries by tag, its
//! unconfirmed publishes by number. All of them insert at the end and mostly remove near the front, so the entries
//! stand in a ring, found by subtraction; no hashing, no allocation once warm.
//!
//! ```text
//!   old: BTreeMap          ring: VecDeque<Option<T>>
//!   { 3: T, 17: T }        base ->  T . T T . . T T T   <- next
//! ```
//!
//! One entry that stays open for long would keep a hole for every number given out after it. So when the holes
//! outnumber the entries, the front of the ring moves to `old`, until half of the holes are gone. An entry moves at
//! most once, and at least one removal has been made for each two steps, so removal stays O(1) amortised (O(log n) for
//! those few moved).

use std::collections::{BTreeMap, VecDeque};

/// Fewer holes than this are never worth moving entries for.
const HOLES_MIN: usize = 64;

/// More numbers than this are not skipped one by one.
const SKIP_MAX: u64 = 1024;

/// See the module's description. Numbers start at the value given to [`Slots::starting_at`].
#[derive(Clone, Debug)]
pub(crate) struct Slots<T> {
    /// The number of the ring's first place.
    base: u64,
    /// Never begins with a hole.
    ring: VecDeque<Option<T>>,
    holes: usize,
    /// Entries with numbers below `base`.
    old: BTreeMap<u64, T>,
}

impl<T> Slots<T> {
    /// An empty map that gives out `first` first.
    pub(crate) fn starting_at(first: u64) -> Self {
        Self { base: first, ring: VecDeque::new(), holes: 0, old: BTreeMap::new() }
    }

    /// Opens the next number.
    #[inline]
    pub(crate) fn push(&mut self, entry: T) -> u64 {
        let number = self.next_number();
        self.ring.push_back(Some(entry));
        number
    }

    /// Gives the next number out without opening it.
    #[inline]
    pub(crate) fn skip(&mut self) -> u64 {
        let number = self.next_number();
        if self.ring.is_empty() {
            self.base += 1;
        } else {
            self.ring.push_back(None);
            self.holes += 1;
            self.trim();
        }
        number
    }

    /// Gives out every number below `number` without opening it; nothing happens if that is the case already.
    pub(crate) fn skip_to(&mut self, number: u64) {
        if number.saturating_sub(self.next_number()) > SKIP_MAX {
            self.move_all_to_old();
        }
        if self.ring.is_empty() {
            self.base = self.base.max(number);
        }
        while self.next_number() < number {
            self.skip();
        }
    }

    /// Moves everything from `number` on, which must not lie before the ring, into a map of its own.
    pub(crate) fn split_off(&mut self, number: u64) -> Self {
        let index = self.index(number).expect("what is split off is in the ring").min(self.ring.len());
        let ring = self.ring.split_off(index);
        let holes = ring.iter().filter(|place| place.is_none()).count();
        self.holes -= holes;
        let mut other = Self { base: self.next_number(), ring, holes, old: BTreeMap::new() };
        other.trim();
        self.trim();
        other
    }

    /// Adds what another map holds, whose numbers are all greater.
    pub(crate) fn append(&mut self, mut other: Self) {
        debug_assert!(other.first().is_none_or(|(first, _)| self.next_number() <= first));
        while let Some((number, entry)) = other.old.pop_first() {
            self.skip_to(number);
            self.push(entry);
        }
        self.skip_to(other.base);
        self.holes += other.holes;
        self.ring.append(&mut other.ring);
        self.trim();
    }

    /// Closes a number; `None` if it is not open.
    #[inline]
    pub(crate) fn remove(&mut self, number: u64) -> Option<T> {
        let Some(index) = self.index(number) else {
            return self.old.remove(&number);
        };
        let entry = self.ring.get_mut(index)?.take()?;
        self.holes += 1;
        self.trim();
        Some(entry)
    }

    /// Opens a number again that was given out and closed; what may be open under it is replaced.
    pub(crate) fn reopen(&mut self, number: u64, entry: T) {
        debug_assert!(number < self.next_number());
        match self.index(number).and_then(|index| self.ring.get_mut(index)) {
            Some(place) => self.holes -= usize::from(place.replace(entry).is_none()),
            None => {
                self.old.insert(number, entry);
            }
        }
    }

    /// Closes the lowest open number.
    pub(crate) fn pop_first(&mut self) -> Option<(u64, T)> {
        if let Some(first) = self.old.pop_first() {
            return Some(first);
        }
        let entry = self.ring.pop_front()??;
        let number = self.base;
        self.base += 1;
        self.trim();
        Some((number, entry))
    }

    /// What is open under a number.
    #[inline]
    pub(crate) fn get(&self, number: u64) -> Option<&T> {
        match self.index(number) {
            Some(index) => self.ring.get(index)?.as_ref(),
            None => self.old.get(&number),
        }
    }

    /// What is open under a number, to change it.
    #[inline]
    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        match self.index(number) {
            Some(index) => self.ring.get_mut(index)?.as_mut(),
            None => self.old.get_mut(&number),
        }
    }

    /// The lowest open number with its entry.
    pub(crate) fn first(&self) -> Option<(u64, &T)> {
        let old = self.old.first_key_value().map(|(number, entry)| (*number, entry));
        old.or_else(|| self.ring.front()?.as_ref().map(|entry| (self.base, entry)))
    }

    /// Open entries in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        let old = self.old.iter().map(|(number, entry)| (*number, entry));
        let ring = (self.base..).zip(&self.ring).filter_map(|(number, place)| Some((number, place.as_ref()?)));
        old.chain(ring)
    }

    /// The number that will be given out next.
    #[inline]
    pub(crate) fn next_number(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    /// How many are open.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ring.len() - self.holes + self.old.len()
    }

    /// Whether none is open.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty() && self.old.is_empty()
    }

    /// Panics if the fields contradict each other; for tests.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        assert!(self.ring.front().is_none_or(Option::is_some), "the ring never begins with a hole");
        assert_eq!(self.ring.iter().filter(|place| place.is_none()).count(), self.holes);
        assert!(self.old.last_key_value().is_none_or(|(number, _)| *number < self.base));
        assert!(self.holes <= self.ring.len() - self.holes + HOLES_MIN, "holes are cleared away");
    }

    /// The place in the ring, which may lie past its end; `None` for numbers below it.
    #[inline]
    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.base)?).ok()
    }

    /// Restores the invariants after a removal.
    #[inline]
    fn trim(&mut self) {
        self.trim_front();
        if self.holes > HOLES_MIN && self.holes > self.ring.len() / 2 + HOLES_MIN / 2 {
            self.move_front_to_old();
        }
    }

    #[inline]
    fn trim_front(&mut self) {
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.base += 1;
            self.holes -= 1;
        }
    }

    #[cold]
    fn move_all_to_old(&mut self) {
        for place in self.ring.drain(..) {
            if let Some(entry) = place {
                self.old.insert(self.base, entry);
            }
            self.base += 1;
        }
        self.holes = 0;
    }

    #[cold]
    fn move_front_to_old(&mut self) {
        let goal = self.holes / 2;
        while self.holes > goal {
            match self.ring.pop_front() {
                Some(Some(entry)) => {
                    self.old.insert(self.base, entry);
                }
                Some(None) => self.holes -= 1,
                None => break,
            }
            self.base += 1;
        }
        self.trim_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Runs the same operations on a plain ordered map.
    fn check(seed: u64, bias_to_front: u64, steps: usize) {
        let mut random = Random::new(seed);
        let mut slots = Slots::starting_at(1);
        let mut model = BTreeMap::new();
        let mut next = 1u64;
        for _ in 0..steps {
            if random.below(40) == 0 {
                slots = take_apart(slots, &mut random, next);
            }
            match random.below(10) {
                0..=4 => {
                    assert_eq!(slots.push(next), next);
                    model.insert(next, next);
                    next += 1;
                }
                5 => {
                    assert_eq!(slots.skip(), next);
                    next += 1;
                }
                6 if random.chance(50) => assert_eq!(slots.pop_first(), model.pop_first()),
                6 if next > 1 => {
                    let number = 1 + random.below(next - 1);
                    slots.reopen(number, number);
                    model.insert(number, number);
                }
                _ => {
                    let span = next.min(bias_to_front);
                    let number = if random.below(8) == 0 { random.below(next + 2) } else { next - random.below(span) };
                    assert_eq!(slots.remove(number), model.remove(&number));
                }
            }
            slots.check_invariants();
            assert_eq!((slots.len(), slots.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(slots.first(), model.first_key_value().map(|(number, entry)| (*number, entry)));
            let probe = random.below(next + 2);
            assert_eq!(slots.get(probe), model.get(&probe));
            assert_eq!(slots.next_number(), next);
        }
        assert!(slots.iter().eq(model.iter().map(|(number, entry)| (*number, entry))));
    }

    /// Splits the map somewhere in its ring, and puts it together again.
    fn take_apart(mut slots: Slots<u64>, random: &mut Random, next: u64) -> Slots<u64> {
        let other = slots.split_off(slots.base + random.below(next - slots.base + 1));
        slots.check_invariants();
        other.check_invariants();
        slots.append(other);
        slots
    }

    #[test]
    fn a_long_way_is_not_gone_step_by_step() {
        let mut slots = Slots::starting_at(1);
        let first = slots.push('a');
        slots.skip_to(1 << 50);
        let last = slots.push('b');
        slots.check_invariants();
        assert_eq!((slots.get(first), slots.get(last), last), (Some(&'a'), Some(&'b'), 1 << 50));
        assert_eq!((slots.len(), slots.first()), (2, Some((1, &'a'))));
    }

    #[test]
    fn agrees_with_an_ordered_map() {
        for seed in 0..20 {
            check(seed, 8, 2_000);
            check(seed, 1_000, 2_000);
        }
    }

    #[test]
    fn one_straggler_does_not_keep_the_ring_long() {
        let mut slots = Slots::starting_at(1);
        slots.push(());
        for _ in 0..100_000 {
            let number = slots.push(());
            slots.remove(number);
        }
        assert_eq!(slots.len(), 1);
        assert!(slots.ring.len() <= 4 * HOLES_MIN, "{}", slots.ring.len());
        assert_eq!(slots.remove(1), Some(()));
        assert!(slots.is_empty());
    }

    #[test]
    fn skipping_leaves_holes_only_behind_open_entries() {
        let mut slots: Slots<()> = Slots::starting_at(5);
        assert_eq!((slots.skip(), slots.skip(), slots.next_number()), (5, 6, 7));
        assert!(slots.ring.is_empty());
        slots.skip_to(20);
        assert_eq!((slots.push(()), slots.skip(), slots.ring.len()), (20, 21, 2));
        slots.skip_to(3);
        assert_eq!(slots.next_number(), 22);
    }
}
