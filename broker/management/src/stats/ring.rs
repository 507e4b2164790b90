//! A bounded ring of samples of one object's counts.

use std::collections::VecDeque;

use super::messages::Counts;

/// One column of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) time_ms: u64,
    pub(crate) value: u64,
}

/// See the module's description. Times go up.
#[derive(Debug)]
pub(crate) struct Ring {
    samples: VecDeque<(u64, Counts)>,
    length: usize,
    /// The last round in which the object was there; from the newest sample to here nothing has changed.
    seen_ms: u64,
}

/// After how long without a change an object counts as idle, in milliseconds.
const IDLE_AFTER_MS: u64 = 10_000;

impl Ring {
    /// Since when nothing has changed, if that is long enough ago; all in milliseconds since 1970.
    pub(crate) fn idle_since(&self, now_ms: u64) -> Option<u64> {
        Some(self.changed_ms()).filter(|changed| changed + IDLE_AFTER_MS < now_ms)
    }

    pub(crate) fn new(length: usize) -> Ring {
        Ring { samples: VecDeque::new(), length, seen_ms: 0 }
    }

    /// Adds a sample.
    pub(crate) fn push(&mut self, time_ms: u64, counts: &Counts) {
        if self.samples.len() >= self.length {
            self.samples.pop_front();
        }
        self.samples.push_back((time_ms, *counts));
        self.seen_ms = time_ms;
    }

    /// Adds a sample, unless nothing has changed. Before the first change the last moment without one is noted too: a rate
    /// is what happened since then, and not since the object was last used.
    pub(crate) fn note(&mut self, time_ms: u64, counts: &Counts) {
        let before = self.samples.back().copied();
        match before {
            Some((_, last)) if last == *counts => self.seen_ms = time_ms,
            Some((time, last)) => {
                let seen_ms = self.seen_ms;
                if seen_ms > time {
                    self.push(seen_ms, &last);
                }
                self.push(time_ms, counts);
            }
            None => self.push(time_ms, counts),
        }
    }

    /// When the object was last there.
    pub(crate) fn seen_ms(&self) -> u64 {
        self.seen_ms
    }

    /// When a number last changed.
    pub(crate) fn changed_ms(&self) -> u64 {
        self.samples.back().map_or(0, |(time, _)| *time)
    }

    /// From the oldest sample to the newest.
    pub(crate) fn reach_ms(&self) -> u64 {
        match (self.samples.front(), self.samples.back()) {
            (Some((oldest, _)), Some((newest, _))) => newest - oldest,
            _ => 0,
        }
    }

    /// Per second, over the last interval; nothing if that had no change.
    pub(crate) fn rate(&self, column: usize) -> f64 {
        let mut newest_first = self.samples.iter().rev();
        match (newest_first.next(), newest_first.next()) {
            (Some((newest, new)), Some((before, old))) if *newest == self.seen_ms && newest > before => {
                (new[column] as f64 - old[column] as f64) * 1000.0 / (newest - before) as f64
            }
            _ => 0.0,
        }
    }

    /// Values at steps back from the newest sample, newest first; not before the first sample.
    pub(crate) fn samples(&self, column: usize, age_ms: u64, step_ms: u64) -> Vec<Sample> {
        let (Some(first), newest) = (self.samples.front().map(|(time, _)| *time), self.seen_ms) else {
            return Vec::new();
        };
        let oldest = newest.saturating_sub(age_ms).max(first);
        let mut times =
            (0..).map(|step: u64| newest.saturating_sub(step * step_ms)).take_while(|time| *time >= oldest).peekable();
        let mut found = Vec::new();
        for (time, counts) in self.samples.iter().rev() {
            while let Some(time_ms) = times.next_if(|wanted| wanted >= time) {
                found.push(Sample { time_ms, value: counts[column] });
                if time_ms == 0 {
                    return found;
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::super::messages::WIDTH;
    use super::*;

    fn ring(samples: &[(u64, u64)]) -> Ring {
        let mut ring = Ring::new(4);
        for (time, value) in samples {
            ring.note(*time, &[*value; WIDTH]);
        }
        ring
    }

    #[test]
    fn rates_are_those_of_the_last_interval() {
        let check = |samples: &[(u64, u64)], expected: f64| {
            assert_eq!(ring(samples).rate(0), expected, "{samples:?}");
        };
        check(&[], 0.0);
        check(&[(5000, 10)], 0.0);
        check(&[(5000, 10), (10_000, 20)], 2.0);
        check(&[(5000, 10), (10_000, 20), (15_000, 20)], 0.0);
        check(&[(5000, 10), (10_000, 10), (15_000, 10), (20_000, 25)], 3.0);
        check(&[(5000, 10), (10_000, 5)], -1.0);
        check(&[(0, 0), (5, 1), (10, 2), (15, 3), (20, 4), (1020, 8)], 4.0);
    }

    #[test]
    fn samples_are_steps_back_from_the_newest() {
        let check = |age: u64, step: u64, expected: &[(u64, u64)]| {
            let ring = ring(&[(1000, 1), (2000, 2), (3000, 2), (4000, 4)]);
            let found: Vec<_> = ring.samples(0, age, step).iter().map(|it| (it.time_ms, it.value)).collect();
            assert_eq!(found, expected);
        };
        check(2000, 1000, &[(4000, 4), (3000, 2), (2000, 2)]);
        check(9000, 1500, &[(4000, 4), (2500, 2), (1000, 1)]);
        check(0, 1000, &[(4000, 4)]);
        assert!(Ring::new(3).samples(0, 10, 1).is_empty());
        assert_eq!(ring(&[(1, 1)]).samples(0, 5000, 1000).len(), 1);
    }

    #[test]
    fn rings_are_bounded() {
        let ring = ring(&[(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]);
        assert_eq!((ring.samples.len(), ring.reach_ms()), (4, 3));
    }
}
