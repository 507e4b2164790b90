//! Pauses between attempts to connect: they double up to a limit, and are spread so that many clients do not come at once.

use std::time::Duration;

/// When to try again. Pure: the caller sleeps, and brings the random number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
    /// Attempts in all, the first one included; `None` for as many as it takes.
    pub attempts: Option<u32>,
}

impl Default for Backoff {
    /// From 100 ms to 10 s, for ever.
    fn default() -> Self {
        Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(10), attempts: None }
    }
}

impl Backoff {
    /// The pause after the failed attempt with this number, counted from 1; `None` when there shall be no more. `random`
    /// spreads it: between half of the pause and all of it.
    pub(crate) fn pause(&self, attempt: u32, random: u64) -> Option<Duration> {
        if self.attempts.is_some_and(|most| attempt >= most) {
            return None;
        }
        let doubled = 1u32.checked_shl(attempt.saturating_sub(1)).and_then(|factor| self.first.checked_mul(factor));
        let pause = doubled.unwrap_or(self.longest).min(self.longest);
        let spread = u32::try_from(random % 1001).expect("a remainder of 1001 is small");
        Some(pause / 2 + pause / 2 * spread / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff =
            Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(1), attempts: Some(40) };
        let check = |attempt, expected: Option<u64>| {
            assert_eq!(backoff.pause(attempt, 1000), expected.map(Duration::from_millis), "{attempt}");
        };
        check(1, Some(100));
        check(2, Some(200));
        check(4, Some(800));
        check(5, Some(1000));
        check(39, Some(1000)); // 2^38 does not fit any more
        check(40, None);
    }

    #[test]
    fn pauses_are_spread_over_their_second_half() {
        let backoff = Backoff::default();
        for random in [0, 1, 500, 1000, u64::MAX] {
            let pause = backoff.pause(1, random).expect("for ever");
            assert!((Duration::from_millis(50)..=Duration::from_millis(100)).contains(&pause), "{random}: {pause:?}");
        }
    }
}
