//! The middle of a long backlog: messages that are counted here and lie on disk.
//!
//! ```text
//!   oldest                                                             newest
//!   | head: in memory |  away: stretches, a few words each  | tail: in memory |
//!       delivered from                                          published to
//! ```
//!
//! All of them are ready, and were never delivered since they went. A *stretch* is neighbours that the shell finds in one
//! place: stored messages in the store, which needs nothing written for that; others in a scratch file, to which they (and
//! the stored ones between them) were written. Stretches of stored messages without a time to live are one, however
//! long; those with one are cut, since a stretch is read as a whole to find what has expired in it ([`Stretch::earliest`]).

use std::collections::{BTreeSet, VecDeque};

use crate::ids::Time;

/// Messages of a stretch in which something expires: what one look for expired messages reads.
const EXPIRING_MAX: u64 = 2048;

/// Where a stretch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Store,
    Scratch,
}

/// Neighbours of one lane, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Messages; fewer than numbers, if some have left.
    pub(super) count: u64,
    /// Bytes of their bodies.
    pub(super) bytes: u64,
    /// Nothing in it expires before.
    pub(super) earliest: Option<Time>,
    pub(super) place: Place,
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Away {
    stretches: VecDeque<Stretch>,
    count: u64,
    bytes: u64,
    /// The least [`Stretch::earliest`].
    earliest: Option<Time>,
    /// Numbers that have left out of the middle, since the store may have them for a while yet: a dead letter is settled when it
    /// has arrived. Emptied as the head passes over them.
    gone: BTreeSet<u64>,
}

impl Stretch {
    fn takes(&self, next: &Stretch) -> bool {
        let expires = self.earliest.is_some() || next.earliest.is_some();
        self.place == Place::Store
            && next.place == Place::Store
            && (!expires || self.count + next.count <= EXPIRING_MAX)
    }

    fn append(&mut self, next: &Stretch) {
        self.last = next.last;
        self.count += next.count;
        self.bytes += next.bytes;
        self.earliest = sooner(self.earliest, next.earliest);
    }
}

impl Away {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn earliest(&self) -> Option<Time> {
        self.earliest
    }

    pub(super) fn front(&self) -> Option<&Stretch> {
        self.stretches.front()
    }

    /// The last number, if there is any.
    #[inline]
    pub(super) fn last(&self) -> Option<u64> {
        self.stretches.back().map(|stretch| stretch.last)
    }

    /// First and last number of all.
    pub(super) fn span(&self) -> Option<(u64, u64)> {
        Some((self.stretches.front()?.first, self.stretches.back()?.last))
    }

    #[cfg(test)]
    pub(super) fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter()
    }

    /// Adds a stretch behind all others.
    pub(super) fn push(&mut self, stretch: Stretch) {
        debug_assert!(self.last().is_none_or(|last| last < stretch.first) && stretch.first <= stretch.last);
        self.count += stretch.count;
        self.bytes += stretch.bytes;
        self.earliest = sooner(self.earliest, stretch.earliest);
        match self.stretches.back_mut() {
            Some(last) if last.takes(&stretch) => last.append(&stretch),
            _ => self.stretches.push_back(stretch),
        }
    }

    /// A stretch in which something has expired; what begins it.
    pub(super) fn due(&self, now: Time) -> Option<&Stretch> {
        self.earliest.filter(|time| *time <= now)?;
        self.stretches.iter().find(|stretch| stretch.earliest.is_some_and(|time| time <= now))
    }

    /// The messages of the front up to number `through` have been read: `count` of them, with so many bytes. Answers by how
    /// many messages and bytes the stretch was said to have more, if it is at its end: none, unless it was not known exactly.
    pub(super) fn take_front(&mut self, through: u64, count: u64, bytes: u64) -> (u64, u64) {
        let Some(front) = self.stretches.front_mut() else { return (0, 0) };
        let (count, bytes) = (count.min(front.count), bytes.min(front.bytes));
        front.count -= count;
        front.bytes -= bytes;
        self.count -= count;
        self.bytes -= bytes;
        self.gone = self.gone.split_off(&(through + 1));
        if through < front.last && front.count > 0 {
            front.first = through + 1;
            return (0, 0);
        }
        let Some(rest) = self.stretches.pop_front() else { return (0, 0) };
        self.count -= rest.count;
        self.bytes -= rest.bytes;
        self.find_earliest();
        (rest.count, rest.bytes)
    }

    /// Whether a stretch begins at this number.
    pub(super) fn at(&self, first: u64) -> Option<&Stretch> {
        self.stretches.get(self.index(first)?)
    }

    /// The stretch that begins at `first` was looked through up to number `through`: these have expired, with so many bytes, and
    /// nothing that is left of that part expires before `earliest`.
    pub(super) fn looked_through(
        &mut self,
        first: u64,
        through: u64,
        seen: (u64, u64),
        expired: (&[u64], u64),
        earliest: Option<Time>,
    ) {
        let Some(index) = self.index(first) else { return };
        let Some(whole) = self.stretches.remove(index) else { return };
        let (numbers, bytes) = (expired.0, expired.1.min(whole.bytes));
        let count = (numbers.len() as u64).min(whole.count);
        self.gone.extend(numbers);
        self.count -= count;
        self.bytes -= bytes;
        let is_whole = through >= whole.last;
        let (seen_count, seen_bytes) = if is_whole { (whole.count, whole.bytes) } else { seen };
        let (seen_count, seen_bytes) = (seen_count.min(whole.count), seen_bytes.min(whole.bytes));
        let looked = Stretch {
            last: through.min(whole.last),
            count: seen_count.saturating_sub(count),
            bytes: seen_bytes.saturating_sub(bytes),
            earliest,
            ..whole
        };
        let rest = Stretch {
            first: through.saturating_add(1),
            count: whole.count - seen_count,
            bytes: whole.bytes - seen_bytes,
            ..whole
        };
        if rest.count > 0 && !is_whole {
            self.stretches.insert(index, rest);
        } else {
            self.bytes -= if is_whole { 0 } else { rest.bytes };
        }
        if looked.count > 0 {
            self.stretches.insert(index, looked);
        } else {
            self.bytes -= looked.bytes;
        }
        self.find_earliest();
    }

    /// Whether some of it lies between these numbers.
    pub(super) fn overlaps(&self, first: u64, last: u64) -> bool {
        let at = self.stretches.partition_point(|stretch| stretch.last < first);
        self.stretches.get(at).is_some_and(|stretch| stretch.first <= last)
    }

    /// Whether a message has left though whoever keeps it may not know that yet.
    pub(super) fn is_gone(&self, number: u64) -> bool {
        self.gone.contains(&number)
    }

    fn index(&self, first: u64) -> Option<usize> {
        self.stretches.binary_search_by_key(&first, |stretch| stretch.first).ok()
    }

    fn find_earliest(&mut self) {
        self.earliest = self.stretches.iter().filter_map(|stretch| stretch.earliest).min();
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let sum = |of: fn(&Stretch) -> u64| self.stretches.iter().map(of).sum::<u64>();
        assert_eq!((self.count, self.bytes), (sum(|it| it.count), sum(|it| it.bytes)));
        assert_eq!(self.earliest, self.stretches.iter().filter_map(|it| it.earliest).min());
        let (a, b) = (self.stretches.iter(), self.stretches.iter().skip(1));
        assert!(a.zip(b).all(|(a, b)| a.last < b.first));
        assert!(self.stretches.iter().all(|it| it.count > 0 && it.count <= it.last - it.first + 1));
    }
}

fn sooner(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(first: u64, count: u64, earliest: Option<u64>) -> Stretch {
        let last = first + count - 1;
        Stretch { first, last, count, bytes: 10 * count, earliest: earliest.map(Time), place: Place::Store }
    }

    fn spans(away: &Away) -> Vec<(u64, u64, u64)> {
        away.check_invariants();
        away.stretches().map(|it| (it.first, it.last, it.count)).collect()
    }

    #[test]
    fn neighbours_become_one_unless_they_expire_or_lie_elsewhere() {
        let check = |stretches: &[Stretch], expected: &[(u64, u64, u64)]| {
            let mut away = Away::default();
            stretches.iter().for_each(|it| away.push(*it));
            assert_eq!(spans(&away), expected);
        };
        let scratch = |first| Stretch { place: Place::Scratch, ..stretch(first, 5, None) };
        check(&[stretch(0, 10, None), stretch(10, 5_000, None), stretch(6_000, 1, None)], &[(0, 6_000, 5_011)]);
        check(&[stretch(0, 10, Some(5)), stretch(10, 2_038, None)], &[(0, 2_047, 2_048)]);
        check(&[stretch(0, 10, Some(5)), stretch(10, 2_039, None)], &[(0, 9, 10), (10, 2_048, 2_039)]);
        check(&[scratch(0), scratch(5), stretch(10, 1, None)], &[(0, 4, 5), (5, 9, 5), (10, 10, 1)]);
    }

    #[test]
    fn the_front_is_taken_piece_by_piece() {
        let mut away = Away::default();
        away.push(stretch(0, 10, Some(7)));
        away.push(stretch(10, 3_000, None));
        assert_eq!(away.take_front(3, 4, 40), (0, 0));
        assert_eq!(spans(&away), [(4, 9, 6), (10, 3_009, 3_000)]);
        assert_eq!(away.take_front(8, 5, 50), (0, 0));
        assert_eq!(away.take_front(9, 0, 0), (1, 10), "one that is not there after all");
        assert_eq!((away.count(), away.bytes(), away.earliest()), (3_000, 30_000, None));
        assert_eq!(away.take_front(3_009, 3_000, 30_000), (0, 0));
        assert!(away.is_empty());
    }

    #[test]
    fn what_has_expired_leaves_out_of_the_middle() {
        let mut away = Away::default();
        away.push(stretch(0, 2_000, Some(50)));
        away.push(stretch(2_000, 2_000, Some(20)));
        assert_eq!(away.due(Time(19)), None);
        assert_eq!(away.due(Time(20)).map(|it| it.first), Some(2_000));
        away.looked_through(2_000, 2_999, (1_000, 10_000), (&[2_000, 2_500], 20), Some(Time(90)));
        assert_eq!(spans(&away), [(0, 1_999, 2_000), (2_000, 2_999, 998), (3_000, 3_999, 1_000)]);
        assert_eq!((away.earliest(), away.is_gone(2_500), away.is_gone(2_501)), (Some(Time(20)), true, false));
        let all: Vec<u64> = (3_000..4_000).collect();
        away.looked_through(3_000, 3_999, (1_000, 10_000), (&all, 10_000), None);
        assert_eq!((spans(&away).len(), away.earliest(), away.count()), (2, Some(Time(50)), 2_998));
        assert_eq!(away.take_front(1_999, 2_000, 20_000), (0, 0));
        assert_eq!(away.take_front(2_999, 998, 9_980), (0, 0));
        assert!(away.is_empty());
    }
}
