//! The timer wheel: levels of 256 slots, a tick of one millisecond.
//!
//! ```text
//!   level 0:  256 slots of 1 ms      level 2:  256 slots of 65.5 s    level 4:  256 slots of 50 days
//!   level 1:  256 slots of 256 ms    level 3:  256 slots of 4.7 h     level 5:  256 slots of 35 years
//! ```
//!
//! A timer sits on the level of the highest byte in which its tick differs from now, so every slot of a level lies in the
//! future and the first occupied slot of the lowest occupied level is the next thing to do. When the clock reaches the
//! start of a higher slot its timers move down. Setting and cancelling touch one doubly linked list: a few nanoseconds,
//! whatever the number of timers. (Measured against a heap and other widths: a wheel of 64-slot levels stalls 9 ms when
//! a level cascades with a million timers, this one less than one.)
//!
//! Expired timers of one tick come out ordered by deadline, then by the order in which they were set.

const LEVELS: usize = 6;
const SLOTS: usize = 256;
const NONE: u32 = u32::MAX;

/// Names a set timer until it fires or is cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimerKey(u32);

#[derive(Debug)]
struct Entry<T> {
    previous: u32,
    next: u32,
    /// Level and slot, as one number; meaningless in the free list.
    bucket: u16,
    tick: u64,
    /// Nanoseconds of the deadline, to order timers within a tick.
    nanos: u64,
    sequence: u64,
    /// `None` in the free list.
    value: Option<T>,
}

/// Timers that carry a `T`. Knows ticks, not clocks.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    heads: Box<[u32; LEVELS * SLOTS]>,
    occupied: [[u64; SLOTS / 64]; LEVELS],
    now: u64,
    sequence: u64,
    count: usize,
}

/// The end of the wheel's time, 8,900 years after its start (`u64` nanoseconds end long before).
const LAST_TICK: u64 = (1 << (8 * LEVELS)) - 1;

/// Nanoseconds of a tick.
pub(crate) const TICK_NANOS: u64 = 1_000_000;

impl<T> Wheel<T> {
    /// An empty wheel at tick zero.
    pub(crate) fn new() -> Wheel<T> {
        Wheel {
            entries: Vec::new(),
            free: NONE,
            heads: Box::new([NONE; LEVELS * SLOTS]),
            occupied: [[0; SLOTS / 64]; LEVELS],
            now: 0,
            sequence: 0,
            count: 0,
        }
    }

    /// Sets a timer for `nanos` since the wheel's start. It never fires early, and at most a tick late.
    pub(crate) fn insert(&mut self, nanos: u64, value: T) -> TimerKey {
        let tick = nanos.div_ceil(TICK_NANOS).clamp(self.now + 1, LAST_TICK);
        self.sequence += 1;
        let key = self.allocate(tick, nanos, value);
        self.link(key);
        self.count += 1;
        TimerKey(key)
    }

    /// Takes a timer back. The key must not have fired.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        self.unlink(key.0);
        self.count -= 1;
        self.release(key.0)
    }

    /// How many timers are set.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The tick at which [`Wheel::advance`] has something to do: at or before the next deadline.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        (0..LEVELS).find_map(|level| self.next_on(level))
    }

    /// Moves the clock to `tick` and gives the timers that are due to `fire`, in order.
    pub(crate) fn advance(&mut self, tick: u64, mut fire: impl FnMut(T)) {
        let mut due = Vec::new();
        while let Some(next) = self.next_tick().filter(|&next| next <= tick) {
            self.now = next;
            self.cascade();
            self.collect(&mut due);
            due.sort_unstable_by_key(|entry: &(u64, u64, T)| (entry.0, entry.1));
            due.drain(..).for_each(|(_, _, value)| fire(value));
        }
        self.now = self.now.max(tick);
    }

    fn next_on(&self, level: usize) -> Option<u64> {
        let shift = 8 * level;
        let here = (self.now >> shift) as usize & (SLOTS - 1);
        let slot = first_bit_from(&self.occupied[level], here + 1)?;
        let upper = self.now >> shift >> 8 << 8;
        Some((upper | slot as u64) << shift)
    }

    /// Moves timers down from every higher slot that starts now.
    fn cascade(&mut self) {
        for level in (1..LEVELS).rev() {
            let shift = 8 * level;
            if self.now & ((1 << shift) - 1) == 0 {
                let slot = (self.now >> shift) as usize & (SLOTS - 1);
                let mut key = self.take_slot(level, slot);
                while key != NONE {
                    let next = self.entries[key as usize].next;
                    self.link(key);
                    key = next;
                }
            }
        }
    }

    fn collect(&mut self, due: &mut Vec<(u64, u64, T)>) {
        let mut key = self.take_slot(0, self.now as usize & (SLOTS - 1));
        while key != NONE {
            let entry = &self.entries[key as usize];
            let (next, nanos, sequence) = (entry.next, entry.nanos, entry.sequence);
            if let Some(value) = self.release(key) {
                self.count -= 1;
                due.push((nanos, sequence, value));
            }
            key = next;
        }
    }

    /// Empties a slot; answers the first of its list.
    fn take_slot(&mut self, level: usize, slot: usize) -> u32 {
        self.occupied[level][slot / 64] &= !(1 << (slot % 64));
        std::mem::replace(&mut self.heads[level * SLOTS + slot], NONE)
    }

    fn link(&mut self, key: u32) {
        let tick = self.entries[key as usize].tick;
        let (level, slot) = self.place(tick);
        let bucket = level * SLOTS + slot;
        let head = std::mem::replace(&mut self.heads[bucket], key);
        self.occupied[level][slot / 64] |= 1 << (slot % 64);
        let entry = &mut self.entries[key as usize];
        (entry.previous, entry.next, entry.bucket) = (NONE, head, bucket as u16);
        if head != NONE {
            self.entries[head as usize].previous = key;
        }
    }

    /// Level and slot of a tick. One that is due now (it came down in a cascade) goes to the slot that is being collected.
    fn place(&self, tick: u64) -> (usize, usize) {
        let differing = (tick ^ self.now) | (SLOTS as u64 - 1);
        let level = (63 - differing.leading_zeros() as usize) / 8;
        (level, (tick >> (8 * level)) as usize & (SLOTS - 1))
    }

    fn unlink(&mut self, key: u32) {
        let entry = &self.entries[key as usize];
        let (previous, next, bucket) = (entry.previous, entry.next, entry.bucket as usize);
        if next != NONE {
            self.entries[next as usize].previous = previous;
        }
        if previous != NONE {
            self.entries[previous as usize].next = next;
            return;
        }
        self.heads[bucket] = next;
        if next == NONE {
            let (level, slot) = (bucket / SLOTS, bucket % SLOTS);
            self.occupied[level][slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// An entry that is in no list. A used one is written in place: built elsewhere and moved it would cost as much again.
    fn allocate(&mut self, tick: u64, nanos: u64, value: T) -> u32 {
        let (key, sequence) = (self.free, self.sequence);
        let Some(entry) = self.entries.get_mut(key as usize) else {
            self.entries.push(Entry {
                previous: NONE,
                next: NONE,
                bucket: 0,
                tick,
                nanos,
                sequence,
                value: Some(value),
            });
            return (self.entries.len() - 1) as u32;
        };
        self.free = entry.next;
        (entry.tick, entry.nanos, entry.sequence) = (tick, nanos, sequence);
        debug_assert!(entry.value.is_none(), "a free entry has no value");
        entry.value = Some(value);
        key
    }

    fn release(&mut self, key: u32) -> Option<T> {
        let entry = &mut self.entries[key as usize];
        let value = entry.value.take();
        entry.next = self.free;
        self.free = key;
        value
    }
}

/// The first set bit at or after `from`.
fn first_bit_from(words: &[u64; SLOTS / 64], from: usize) -> Option<usize> {
    if from >= SLOTS {
        return None;
    }
    let first = words[from / 64] & (u64::MAX << (from % 64));
    if first != 0 {
        return Some(from / 64 * 64 + first.trailing_zeros() as usize);
    }
    (from / 64 + 1..words.len()).find(|&at| words[at] != 0).map(|at| at * 64 + words[at].trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = TICK_NANOS;

    fn fired(wheel: &mut Wheel<u64>, tick: u64) -> Vec<u64> {
        let mut values = Vec::new();
        wheel.advance(tick, |value| values.push(value));
        values
    }

    #[test]
    fn fires_at_its_tick_and_not_before() {
        for delay in [1, 2, 255, 256, 257, 511, 65_535, 65_536, 65_537, 16_777_216, 40_000_000] {
            for start in [0u64, 1, 200, 255, 256, 65_000, 70_000] {
                let mut wheel = Wheel::new();
                fired(&mut wheel, start);
                wheel.insert((start + delay) * MS, delay);
                assert_eq!(fired(&mut wheel, start + delay - 1), [], "{delay} ms after {start}");
                assert_eq!(fired(&mut wheel, start + delay), [delay], "{delay} ms after {start}");
                assert_eq!(wheel.len(), 0);
            }
        }
    }

    #[test]
    fn parts_of_a_tick_round_up() {
        let mut wheel = Wheel::new();
        wheel.insert(1, 1);
        wheel.insert(MS + 1, 2);
        assert_eq!(fired(&mut wheel, 1), [1]);
        assert_eq!(fired(&mut wheel, 2), [2]);
    }

    #[test]
    fn one_tick_fires_by_deadline_then_by_setting_order() {
        let mut wheel = Wheel::new();
        fired(&mut wheel, 7);
        for (nanos, value) in [(500 * MS, 3), (499 * MS + 2, 2), (500 * MS, 4), (499 * MS + 1, 1)] {
            wheel.insert(nanos, value);
        }
        assert_eq!(fired(&mut wheel, 500), [1, 2, 3, 4]);
    }

    #[test]
    fn a_cancelled_timer_does_not_fire() {
        let mut wheel = Wheel::new();
        let keys: Vec<_> = (0..5).map(|value| wheel.insert(10 * MS, value)).collect();
        assert_eq!(wheel.cancel(keys[2]), Some(2));
        assert_eq!(wheel.cancel(keys[4]), Some(4));
        assert_eq!(wheel.cancel(keys[0]), Some(0));
        assert_eq!(fired(&mut wheel, 10), [1, 3]);
        assert_eq!(wheel.next_tick(), None);
    }

    #[test]
    fn a_timer_centuries_away_still_fires_on_time() {
        let mut wheel = Wheel::new();
        let far = (1u64 << 43) + 5_000_000;
        wheel.insert(far * MS, 1);
        assert_eq!(fired(&mut wheel, far - 1), []);
        assert_eq!(fired(&mut wheel, far), [1]);
    }

    /// The oracle: a sorted list.
    #[test]
    fn agrees_with_a_sorted_list() {
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        let mut next = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut wheel = Wheel::new();
        let mut model: Vec<(u64, u64, TimerKey)> = Vec::new();
        let mut now = 0u64;
        for id in 0..20_000u64 {
            match next() % 4 {
                0 | 1 => {
                    let tick = now + 1 + next() % (1 << (next() % 22));
                    model.push((tick, id, wheel.insert(tick * MS, id)));
                }
                2 if !model.is_empty() => {
                    let (_, value, key) = model.swap_remove(next() as usize % model.len());
                    assert_eq!(wheel.cancel(key), Some(value));
                }
                _ => {
                    now += next() % (1 << (next() % 16));
                    let mut due: Vec<_> =
                        model.extract_if(.., |timer| timer.0 <= now).map(|(t, id, _)| (t, id)).collect();
                    due.sort_unstable();
                    let due: Vec<_> = due.into_iter().map(|(_, id)| id).collect();
                    assert_eq!(fired(&mut wheel, now), due, "at {now}");
                }
            }
            assert_eq!(wheel.len(), model.len());
            assert!(
                wheel.next_tick().unwrap_or(u64::MAX) <= model.iter().map(|timer| timer.0).min().unwrap_or(u64::MAX)
            );
        }
    }
}
