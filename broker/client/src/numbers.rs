//! Channel numbers: the lowest free one, so that a connection with few channels uses small numbers.

use std::collections::BTreeSet;

/// Which numbers of a connection are in use.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Numbers up to here were given out at some time.
    highest: u16,
    /// Those among them that came back.
    free: BTreeSet<u16>,
}

impl Numbers {
    /// Takes a number from 1 to `channel_max` (0: no limit).
    pub(crate) fn take(&mut self, channel_max: u16) -> Option<u16> {
        if let Some(number) = self.free.pop_first() {
            return Some(number);
        }
        let limit = if channel_max == 0 { u16::MAX } else { channel_max };
        if self.highest >= limit {
            return None;
        }
        self.highest += 1;
        Some(self.highest)
    }

    /// Gives a number back.
    pub(crate) fn put(&mut self, number: u16) {
        debug_assert!(number >= 1 && number <= self.highest, "channel {number} was given out");
        let is_new = self.free.insert(number);
        debug_assert!(is_new, "channel {number} came back twice");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_taken() {
        let mut numbers = Numbers::default();
        assert_eq!([0; 3].map(|_| numbers.take(3)), [Some(1), Some(2), Some(3)]);
        assert_eq!(numbers.take(3), None);
        numbers.put(3);
        numbers.put(1);
        assert_eq!([0; 3].map(|_| numbers.take(3)), [Some(1), Some(3), None]);
    }

    #[test]
    fn without_a_limit_there_are_65535() {
        let mut numbers = Numbers::default();
        assert_eq!((0..=u16::MAX).filter_map(|_| numbers.take(0)).last(), Some(u16::MAX));
        assert_eq!(numbers.take(0), None);
    }
}
