//! Randomness from a seed, in streams: each part of the simulation draws from its own, so that one more draw in one part
//! (a fault switched off, a longer name) does not change what the others draw.

use std::cell::Cell;

/// Who draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The program, through [`random`](crate::random).
    Program,
    /// Which coroutine and which shard runs next, and when mail arrives.
    Schedule,
    /// Delays, sizes and faults of the network.
    Network,
    /// What survives on a disk, and its faults.
    Disk,
    /// Fault points in code.
    Fault,
}

const STREAMS: usize = 5;

/// One generator for each stream.
#[derive(Debug)]
pub(crate) struct Random([Cell<u64>; STREAMS]);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        let apart = |index: u64| Cell::new(seed ^ mix(index.wrapping_mul(0xA076_1D64_78BD_642F)));
        Random([apart(0), apart(1), apart(2), apart(3), apart(4)])
    }

    /// SplitMix64: every seed gives a full-period sequence.
    pub(crate) fn draw(&self, stream: Stream) -> u64 {
        let place = &self.0[stream as usize];
        let state = place.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        place.set(state);
        mix(state)
    }
}

/// Spreads every bit over all others.
pub(crate) fn mix(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_disturb_each_other() {
        let (plain, disturbed) = (Random::new(3), Random::new(3));
        for _ in 0..10 {
            disturbed.draw(Stream::Network);
            assert_eq!(plain.draw(Stream::Program), disturbed.draw(Stream::Program));
        }
        assert_ne!(plain.draw(Stream::Program), plain.draw(Stream::Schedule));
    }
}
