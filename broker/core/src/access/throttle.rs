//! Slowing down who guesses passwords: the more failures there were lately, the longer the next attempt waits.
//!
//! Failures are counted by key: an address, or a user's name. The first few cost nothing, since people mistype; then the
//! delay doubles up to [`DELAY_MAX_MS`]. After [`FORGET_MS`] without a failure all is forgotten.

use std::hash::Hash;

use crate::hash::FastMap;
use crate::ids::Time;

/// Failures that cost nothing.
pub const FREE_FAILURES: u32 = 5;
/// The first delay, in milliseconds.
pub const DELAY_MS: u64 = 50;
/// The longest delay, in milliseconds: well within the time that a handshake may take.
pub const DELAY_MAX_MS: u64 = 2_000;
/// How long a failure is remembered, in milliseconds.
pub const FORGET_MS: u64 = 60_000;
/// How many keys are remembered; the oldest is forgotten for the next.
pub const KEYS_MAX: usize = 4_096;

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    last: Time,
}

impl Entry {
    fn is_over(self, now: Time) -> bool {
        self.last.plus_ms(FORGET_MS) <= now
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Throttle<K> {
    entries: FastMap<K, Entry>,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self { entries: FastMap::default() }
    }
}

impl<K: Eq + Hash + Clone + Ord> Throttle<K> {
    /// How long the next attempt with this key waits, in milliseconds.
    pub fn delay_ms(&self, key: &K, now: Time) -> u64 {
        let failures = self.entries.get(key).filter(|entry| !entry.is_over(now)).map_or(0, |entry| entry.failures);
        match failures.checked_sub(FREE_FAILURES) {
            None => 0,
            Some(more) => DELAY_MS.saturating_mul(1 << more.min(16)).min(DELAY_MAX_MS),
        }
    }

    /// An attempt with this key has failed.
    pub fn note_failure(&mut self, key: &K, now: Time) {
        if self.entries.len() >= KEYS_MAX && !self.entries.contains_key(key) {
            self.make_room(now);
        }
        let entry = self.entries.entry(key.clone()).or_insert(Entry { failures: 0, last: now });
        if entry.is_over(now) {
            entry.failures = 0;
        }
        *entry = Entry { failures: entry.failures.saturating_add(1), last: now };
    }

    /// An attempt with this key has succeeded.
    pub fn forgive(&mut self, key: &K) {
        self.entries.remove(key);
    }

    fn make_room(&mut self, now: Time) {
        self.entries.retain(|_, entry| !entry.is_over(now));
        if self.entries.len() >= KEYS_MAX {
            let oldest = self.entries.iter().min_by_key(|(key, entry)| (entry.last, *key)).map(|(key, _)| key.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_are_forgotten() {
        let mut throttle = Throttle::default();
        let mut delays = Vec::new();
        for _ in 0..13 {
            delays.push(throttle.delay_ms(&"a", Time(0)));
            throttle.note_failure(&"a", Time(0));
        }
        assert_eq!(delays, [0, 0, 0, 0, 0, 50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(throttle.delay_ms(&"b", Time(0)), 0, "others do not suffer");
        assert_eq!(throttle.delay_ms(&"a", Time(FORGET_MS - 1)), DELAY_MAX_MS);
        assert_eq!(throttle.delay_ms(&"a", Time(FORGET_MS)), 0);
        throttle.note_failure(&"a", Time(FORGET_MS));
        assert_eq!(throttle.delay_ms(&"a", Time(FORGET_MS)), 0, "it begins anew");
        (0..9).for_each(|_| throttle.note_failure(&"a", Time(FORGET_MS)));
        throttle.forgive(&"a");
        assert_eq!(throttle.delay_ms(&"a", Time(FORGET_MS)), 0);
    }

    #[test]
    fn only_so_many_keys_are_remembered() {
        let mut throttle = Throttle::default();
        for key in 0..KEYS_MAX as u64 + 1 {
            (0..9).for_each(|_| throttle.note_failure(&key, Time(key)));
        }
        assert_eq!(throttle.entries.len(), KEYS_MAX);
        assert_eq!(throttle.delay_ms(&0, Time(KEYS_MAX as u64)), 0, "the oldest went");
        assert!(throttle.delay_ms(&1, Time(KEYS_MAX as u64)) > 0);
        throttle.note_failure(&u64::MAX, Time(FORGET_MS * 2));
        assert_eq!(throttle.entries.len(), 1, "those that are over go first");
    }
}
