//! How fast a producer may publish.

use std::time::Duration;

/// Messages a second, from the start on: who was held up catches up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: f64,
}

impl Pace {
    pub(super) fn new(per_second: f64) -> Pace {
        Pace { per_second }
    }

    /// How long after the start message `sequence` (from 0) is due.
    pub(super) fn due(&self, sequence: u64) -> Duration {
        Duration::try_from_secs_f64(sequence as f64 / self.per_second).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_evenly() {
        let check = |per_second, sequence, millis| {
            assert_eq!(Pace::new(per_second).due(sequence), Duration::from_millis(millis));
        };
        check(1000.0, 0, 0);
        check(1000.0, 1, 1);
        check(1000.0, 5000, 5000);
        check(0.5, 3, 6000);
        assert_eq!(Pace::new(1e-300).due(u64::MAX), Duration::MAX);
    }
}
