//! Which messages of a stretch are still live: as ranges while those are few, as a bitmap when they are not.
//!
//! A queue that is served in order has one range, sixteen bytes, whatever its length. Settling every second message of
//! 64 thousand would make as many ranges; from the point where a bitmap over the stretch is smaller, it is one. So a
//! stretch takes at most an eighth of its span in bytes, and a deep backlog costs bytes a segment, not bytes a message.

use crate::ids::Seq;
use crate::record::SeqRange;

/// Bytes of a range in memory and in the manifest.
const RANGE_SIZE: u64 = 16;
const WORD_BITS: u64 = 64;

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LiveSet {
    form: Form,
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// Ascending, neither touching nor overlapping.
    Ranges(Vec<SeqRange>),
    /// Bit `n` is the message `first + n`.
    Bits { first: Seq, words: Vec<u64> },
}

impl LiveSet {
    /// Of the ascending numbers.
    pub(crate) fn from_ascending(seqs: impl IntoIterator<Item = Seq>) -> LiveSet {
        let mut ranges: Vec<SeqRange> = Vec::new();
        for seq in seqs {
            match ranges.last_mut() {
                Some(range) if range.last.next() == seq => range.last = seq,
                last => {
                    debug_assert!(last.is_none_or(|range| range.last < seq), "ascending");
                    ranges.push(SeqRange::one(seq));
                }
            }
        }
        LiveSet::from_ranges(ranges).expect("ascending numbers make ascending ranges")
    }

    /// Of ranges; `None` unless they ascend without touching.
    pub(crate) fn from_ranges(ranges: Vec<SeqRange>) -> Option<LiveSet> {
        let ordered = ranges.iter().all(|range| range.first <= range.last)
            && ranges.windows(2).all(|pair| matches!(pair, [a, b] if a.last < b.first && a.last.next() < b.first));
        if !ordered {
            return None;
        }
        let count = ranges.iter().map(|range| width(*range)).fold(0u64, u64::saturating_add);
        let mut set = LiveSet { form: Form::Ranges(ranges), count };
        set.shrink();
        Some(set)
    }

    /// How many are live.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Whether this one is.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        match &self.form {
            Form::Ranges(ranges) => {
                let at = ranges.partition_point(|range| range.last < seq);
                ranges.get(at).is_some_and(|range| range.contains(seq))
            }
            Form::Bits { first, words } => seq.0.checked_sub(first.0).is_some_and(|bit| is_set(words, bit)),
        }
    }

    /// Takes out what lies in the range; says how many that were.
    pub(crate) fn remove(&mut self, range: SeqRange) -> u64 {
        let removed = match &mut self.form {
            Form::Ranges(ranges) => remove_from_ranges(ranges, range),
            Form::Bits { first, words } => remove_from_bits(*first, words, range),
        };
        self.count -= removed;
        self.shrink();
        removed
    }

    /// The live ones as ranges, ascending.
    pub(crate) fn ranges(&self) -> Vec<SeqRange> {
        match &self.form {
            Form::Ranges(ranges) => ranges.clone(),
            Form::Bits { first, words } => bits_to_ranges(*first, words),
        }
    }

    /// Takes the smaller form. A bitmap stays one until little is left, so that it does not go back and forth.
    fn shrink(&mut self) {
        match &self.form {
            Form::Ranges(ranges) => {
                let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return };
                let span = last.last.0 - first.first.0;
                if ranges.len() as u64 * RANGE_SIZE > span / 8 + 64 {
                    self.form = ranges_to_bits(ranges, first.first, span);
                }
            }
            Form::Bits { words, .. } => {
                if self.count == 0 {
                    self.form = Form::Ranges(Vec::new());
                } else if self.count * RANGE_SIZE * 4 < words.len() as u64 * 8 {
                    self.form = Form::Ranges(self.ranges());
                }
            }
        }
    }
}

fn width(range: SeqRange) -> u64 {
    (range.last.0 - range.first.0).saturating_add(1)
}

fn is_set(words: &[u64], bit: u64) -> bool {
    let word = usize::try_from(bit / WORD_BITS).ok().and_then(|word| words.get(word));
    word.is_some_and(|word| word >> (bit % WORD_BITS) & 1 == 1)
}

fn remove_from_ranges(ranges: &mut Vec<SeqRange>, gone: SeqRange) -> u64 {
    let start = ranges.partition_point(|range| range.last < gone.first);
    let end = start + ranges[start..].partition_point(|range| range.first <= gone.last);
    let hit = &ranges[start..end];
    let (Some(&head), Some(&tail)) = (hit.first(), hit.last()) else { return 0 };
    let before: u64 = hit.iter().map(|range| width(*range)).sum();
    let left = (head.first < gone.first).then(|| SeqRange { first: head.first, last: Seq(gone.first.0 - 1) });
    let right = (tail.last > gone.last).then(|| SeqRange { first: gone.last.next(), last: tail.last });
    let kept: u64 = left.iter().chain(&right).map(|range| width(*range)).sum();
    ranges.splice(start..end, left.into_iter().chain(right));
    before - kept
}

fn remove_from_bits(first: Seq, words: &mut [u64], gone: SeqRange) -> u64 {
    let end = words.len() as u64 * WORD_BITS;
    let from = gone.first.0.saturating_sub(first.0);
    let to = match gone.last.0.checked_sub(first.0) {
        Some(to) => to.saturating_add(1).min(end),
        None => return 0,
    };
    let mut removed = 0;
    let mut bit = from;
    while bit < to {
        let (index, low) = ((bit / WORD_BITS) as usize, bit % WORD_BITS);
        let length = (WORD_BITS - low).min(to - bit);
        let mask = if length == WORD_BITS { u64::MAX } else { ((1 << length) - 1) << low };
        removed += u64::from((words[index] & mask).count_ones());
        words[index] &= !mask;
        bit += length;
    }
    removed
}

fn ranges_to_bits(ranges: &[SeqRange], first: Seq, span: u64) -> Form {
    let mut words = vec![0u64; (span / WORD_BITS + 1) as usize];
    for range in ranges {
        for bit in range.first.0 - first.0..=range.last.0 - first.0 {
            words[(bit / WORD_BITS) as usize] |= 1 << (bit % WORD_BITS);
        }
    }
    Form::Bits { first, words }
}

fn bits_to_ranges(first: Seq, words: &[u64]) -> Vec<SeqRange> {
    let mut ranges: Vec<SeqRange> = Vec::new();
    for (index, &word) in words.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            let low = u64::from(rest.trailing_zeros());
            let length = u64::from((rest >> low).trailing_ones());
            let start = Seq(first.0 + index as u64 * WORD_BITS + low);
            let last = Seq(start.0 + length - 1);
            match ranges.last_mut() {
                Some(range) if range.last.next() == start => range.last = last,
                _ => ranges.push(SeqRange { first: start, last }),
            }
            rest = if low + length == WORD_BITS { 0 } else { rest & (u64::MAX << (low + length)) };
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq(first), last: Seq(last) }
    }

    fn check_equal(set: &LiveSet, model: &BTreeSet<u64>, probe: std::ops::RangeInclusive<u64>) {
        assert_eq!(set.count(), model.len() as u64);
        let listed: Vec<u64> = set.ranges().iter().flat_map(|range| range.first.0..=range.last.0).collect();
        assert_eq!(listed, model.iter().copied().collect::<Vec<_>>());
        for seq in probe {
            assert_eq!(set.contains(Seq(seq)), model.contains(&seq), "{seq}");
        }
        assert_eq!(LiveSet::from_ranges(set.ranges()).expect("ordered").ranges(), set.ranges());
    }

    /// Random removals against a set of numbers, from dense and from sparse beginnings.
    #[test]
    fn it_behaves_like_a_set() {
        let mut state = 42u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for (step, span) in [(1u64, 300u64), (2, 3000), (7, 5000), (150, 20_000)] {
            for _ in 0..10 {
                let base = (3 << 56) + 5;
                let seqs: Vec<u64> = (0..span).filter(|n| n % step == 0).map(|n| base + n).collect();
                let mut model: BTreeSet<u64> = seqs.iter().copied().collect();
                let mut set = LiveSet::from_ascending(seqs.into_iter().map(Seq));
                for _ in 0..60 {
                    let first = base - 5 + random(span + 10);
                    let last = first + random(span / 20 + 1);
                    let gone: Vec<u64> = model.range(first..=last).copied().collect();
                    assert_eq!(set.remove(range(first, last)), gone.len() as u64);
                    gone.iter().for_each(|seq| assert!(model.remove(seq)));
                }
                check_equal(&set, &model, base - 5..=base + span + 5);
                assert_eq!(set.remove(range(0, u64::MAX)), model.len() as u64);
                check_equal(&set, &BTreeSet::new(), base..=base + 5);
            }
        }
    }

    #[test]
    fn holes_everywhere_become_a_bitmap_and_cost_bits() {
        let mut set = LiveSet::from_ascending((0..65_536).map(Seq));
        assert!(matches!(&set.form, Form::Ranges(ranges) if ranges.len() == 1));
        for seq in (0..65_536).step_by(2) {
            assert_eq!(set.remove(range(seq, seq)), 1);
        }
        assert!(matches!(&set.form, Form::Bits { words, .. } if words.len() <= 1024));
        assert_eq!(set.count(), 32_768);
        assert_eq!(set.remove(range(0, 65_000)), 32_500);
        assert!(matches!(&set.form, Form::Bits { .. }));
        assert_eq!(set.remove(range(0, 65_500)), 250);
        assert!(matches!(&set.form, Form::Ranges(ranges) if ranges.len() == 18));
    }

    #[test]
    fn the_ends_of_the_numbers_are_safe() {
        let mut set = LiveSet::from_ascending([Seq(0), Seq(u64::MAX - 1), Seq(u64::MAX)]);
        assert_eq!((set.count(), set.contains(Seq::MAX)), (3, true));
        assert_eq!(set.remove(range(1, u64::MAX)), 2);
        assert_eq!(set.remove(range(0, 0)), 1);
        assert_eq!(set.ranges(), []);
    }

    #[test]
    fn ranges_out_of_order_are_refused() {
        let check = |ranges: &[(u64, u64)], fine: bool| {
            let ranges = ranges.iter().map(|&(first, last)| range(first, last)).collect();
            assert_eq!(LiveSet::from_ranges(ranges).is_some(), fine);
        };
        check(&[], true);
        check(&[(1, 1), (3, 4)], true);
        check(&[(1, 1), (2, 2)], false);
        check(&[(3, 4), (1, 1)], false);
        check(&[(2, 1)], false);
        check(&[(1, 5), (3, 9)], false);
        check(&[(1, u64::MAX), (3, 9)], false);
    }
}
