//! The simulated machine: a virtual clock that all its shards share, and randomness from a seed.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// What the shards of one simulation share; they all run on one thread.
#[derive(Debug)]
pub(crate) struct World {
    /// An instant cannot be made from nothing: the virtual clock counts from one real reading.
    base: Instant,
    elapsed: Cell<Duration>,
    random: Cell<u64>,
}

/// Seconds from 1970 to 2026-01-01T00:00:00Z, where the virtual wall clock starts.
const WALL_CLOCK_START: Duration = Duration::from_secs(1_767_225_600);

impl World {
    pub(crate) fn new(seed: u64) -> Rc<World> {
        Rc::new(World { base: Instant::now(), elapsed: Cell::new(Duration::ZERO), random: Cell::new(seed) })
    }

    /// Moves the clock forward to `at`; never back.
    pub(crate) fn advance_to(&self, at: Instant) {
        self.elapsed.set(self.elapsed.get().max(at.saturating_duration_since(self.base)));
    }

    pub(crate) fn now(&self) -> Instant {
        self.base + self.elapsed.get()
    }

    /// SplitMix64: every seed gives a full-period sequence.
    fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// One shard's view of the simulated world.
#[derive(Debug)]
pub(crate) struct SimDriver {
    world: Rc<World>,
}

impl SimDriver {
    pub(crate) fn new(world: Rc<World>) -> SimDriver {
        SimDriver { world }
    }

    pub(crate) fn now(&self) -> Instant {
        self.world.now()
    }

    pub(crate) fn system_now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + WALL_CLOCK_START + self.world.elapsed.get()
    }

    pub(crate) fn random(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.world.next_random().to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_again_and_another_seed_others() {
        let bytes = |seed| {
            let driver = SimDriver::new(World::new(seed));
            let mut bytes = [0u8; 27];
            driver.random(&mut bytes);
            bytes
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn the_clock_never_goes_back() {
        let world = World::new(0);
        let start = world.now();
        world.advance_to(start + Duration::from_secs(2));
        world.advance_to(start + Duration::from_secs(1));
        assert_eq!(world.now() - start, Duration::from_secs(2));
    }
}
