//! What happened, as one number: a running hash of every decision of the scheduler, every move of the clock, every event of
//! the network and the disk, and every random draw. Two runs of one seed must end with the same number; if they do not,
//! something of the real world (a clock, an address, the order of a hash map) has leaked into the simulation.
//!
//! The last events are kept, so that a failure can show what led to it. They are kept as numbers and become text only when
//! somebody asks.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Duration;

use super::random::mix;

/// Events that are kept.
const RECENT_MAX: usize = 256;

/// One event: when, what, and two numbers that tell it from others of its kind.
#[derive(Clone, Copy, Debug)]
struct Event {
    at: Duration,
    what: &'static str,
    a: u64,
    b: u64,
}

/// The trace of one simulation.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: Cell<u64>,
    events: Cell<u64>,
    recent: RefCell<VecDeque<Event>>,
}

impl Trace {
    /// Notes an event at the virtual time `at`. `a` and `b` must be the same in every run of the seed: no addresses, no
    /// real time.
    pub(crate) fn note(&self, at: Duration, what: &'static str, a: u64, b: u64) {
        let nanos = at.as_nanos() as u64;
        let mut hash = self.hash.get();
        for word in [hash_text(what), nanos, a, b] {
            hash = mix(hash.rotate_left(5) ^ word);
        }
        self.hash.set(hash);
        self.events.set(self.events.get() + 1);
        let mut recent = self.recent.borrow_mut();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(Event { at, what, a, b });
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> u64 {
        mix(self.hash.get() ^ self.events.get())
    }

    /// The last events, oldest first, one line each.
    pub(crate) fn recent(&self) -> String {
        let line =
            |event: &Event| format!("{:>14.6} s  {} {} {}\n", event.at.as_secs_f64(), event.what, event.a, event.b);
        self.recent.borrow().iter().map(line).collect()
    }
}

/// FNV-1a.
fn hash_text(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_event_counts() {
        let hash = |events: &[(u64, &'static str, u64, u64)]| {
            let trace = Trace::default();
            events.iter().for_each(|&(at, what, a, b)| trace.note(Duration::from_nanos(at), what, a, b));
            trace.hash()
        };
        let one = hash(&[(1, "run", 2, 3)]);
        assert_eq!(one, hash(&[(1, "run", 2, 3)]));
        for other in [&[(0, "run", 2, 3)], &[(1, "ran", 2, 3)], &[(1, "run", 3, 3)], &[(1, "run", 2, 2)]] {
            assert_ne!(one, hash(other));
        }
        assert_ne!(hash(&[(1, "a", 0, 0), (1, "b", 0, 0)]), hash(&[(1, "b", 0, 0), (1, "a", 0, 0)]));
        assert_ne!(hash(&[]), hash(&[(0, "", 0, 0)]));
    }

    #[test]
    fn the_last_events_are_kept() {
        let trace = Trace::default();
        (0..1000).for_each(|n| trace.note(Duration::from_millis(n), "tick", n, 0));
        let recent = trace.recent();
        assert_eq!(recent.lines().count(), RECENT_MAX);
        assert!(recent.ends_with("0.999000 s  tick 999 0\n"), "{recent}");
    }
}
