//! The virtual clock that all shards of a simulation share: it stands still while anything can run and jumps to the next
//! deadline when nothing can.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// Seconds from 1970 to 2026-01-01T00:00:00Z, where the virtual wall clock starts.
const WALL_CLOCK_START: Duration = Duration::from_secs(1_767_225_600);

/// Virtual time.
#[derive(Debug)]
pub(crate) struct Clock {
    /// An instant cannot be made from nothing: the virtual clock counts from one real reading, which nobody sees.
    base: Instant,
    elapsed: Cell<Duration>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { base: Instant::now(), elapsed: Cell::new(Duration::ZERO) }
    }

    /// Moves the clock forward to `at`; never back.
    pub(crate) fn advance_to(&self, at: Instant) {
        self.elapsed.set(self.elapsed.get().max(at.saturating_duration_since(self.base)));
    }

    pub(crate) fn now(&self) -> Instant {
        self.base + self.elapsed.get()
    }

    /// Virtual time since the simulation began: what may go into a trace.
    pub(crate) fn elapsed(&self) -> Duration {
        self.elapsed.get()
    }

    /// The instant that lies so far after the beginning.
    pub(crate) fn at(&self, elapsed: Duration) -> Instant {
        self.base + elapsed
    }

    /// The wall clock of a host without skew.
    pub(crate) fn system_now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + WALL_CLOCK_START + self.elapsed.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back() {
        let clock = Clock::new();
        let start = clock.now();
        clock.advance_to(start + Duration::from_secs(2));
        clock.advance_to(start + Duration::from_secs(1));
        assert_eq!(clock.now() - start, Duration::from_secs(2));
    }
}
