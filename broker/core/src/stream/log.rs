//! The messages of a stream: an append-only log in segments, of which only the newest messages are in memory.
//!
//! ```text
//!   segment 0..999   segment 1000..1999   segment 2000..      <- appended to
//!   (first to go)                            | tail: in memory |
//!   what is not in the tail lies in the store; here a segment is a few words
//! ```
//!
//! Every message has an *offset*, counted from 0, for ever. Nothing is removed from the middle: retention drops whole segments at
//! the front, never the last one, as RabbitMQ does. There may be gaps between segments: offsets that were given out before a
//! crash and are not there any more.
//!
//! A segment that a start has found in the store is *coarse*: its bounds are the store's, and only its first message's time is
//! known. That is enough to read from it. Before retention takes a part of it, it must be looked through, which cuts it into
//! segments as they would have been without the restart (`Log::learn`).
//!
//! Times ascend with offsets: a message is never older than the one before it, whatever the clock says.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::Time;
use crate::message::Message;

/// Segments are no larger than this, whatever the stream's arguments allow, so that retention is not coarser than a disk can
/// bear, and looking for a time in one not slower.
pub const SEGMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A limit on a stream's bytes is kept by dropping a part of it, of which there are so many.
const SEGMENTS_PER_LIMIT: u64 = 8;

/// What a message in memory takes besides itself.
const RECORD_WEIGHT: u64 = 64;

/// What a stream keeps; `None` is everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// x-max-length-bytes
    pub bytes: Option<u64>,
    /// x-max-age, in milliseconds.
    pub age_ms: Option<u64>,
    /// x-stream-max-segment-size-bytes
    pub segment_bytes: Option<u64>,
}

/// A message in its place.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) message: Arc<Message>,
    /// When it came.
    pub(crate) time: Time,
}

impl Record {
    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> u64 {
        self.message.size() as u64 + RECORD_WEIGHT
    }
}

/// Neighbours. Without a gap inside, all offsets from the first to the last are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    first: u64,
    last: u64,
    /// Messages; fewer than offsets, if there is a gap.
    count: u64,
    /// Bytes of their bodies.
    bytes: u64,
    /// The first message came then.
    first_time: Time,
    /// The last one came then; nobody knows of a coarse one.
    last_time: Option<Time>,
}

/// What stands at an offset, or behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    /// This message.
    Here(u64, &'a Record),
    /// A message that is not in memory: that of this offset.
    Away(u64),
    /// Nothing yet.
    End,
}

/// What a call of [`Log::retain`] has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Retained {
    /// These went: the first and the last offset.
    pub(crate) dropped: Option<(u64, u64)>,
    /// A part of these should go: they are to be read, and [`Log::learn`] told of them.
    pub(crate) unknown: Option<(u64, u64)>,
}

/// What was read of a message that is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) offset: u64,
    pub(crate) time: Time,
    /// Bytes of its body.
    pub(crate) bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    segments: VecDeque<Segment>,
    next: u64,
    count: u64,
    bytes: u64,
    /// The newest messages, without a gap, up to `next`.
    tail: VecDeque<Record>,
    tail_first: u64,
    tail_weight: u64,
    /// Bytes of its bodies.
    tail_bytes: u64,
}

impl Segment {
    fn is_coarse(&self) -> bool {
        self.last_time.is_none()
    }

    fn has_gap(&self) -> bool {
        self.count <= self.last - self.first
    }

    /// Adds its next message.
    fn push(&mut self, outline: Outline) {
        (self.last, self.last_time) = (outline.offset, Some(outline.time));
        self.count += 1;
        self.bytes += outline.bytes;
    }

    fn of(Outline { offset, time, bytes }: Outline) -> Self {
        Self { first: offset, last: offset, count: 1, bytes, first_time: time, last_time: Some(time) }
    }
}

impl Log {
    /// Appends a message and returns its offset.
    pub(crate) fn append(&mut self, message: Arc<Message>, now: Time, retention: &Retention) -> u64 {
        let (offset, bytes, time) = (self.next, message.body().len() as u64, now.max(self.newest_time()));
        let outline = Outline { offset, time, bytes };
        match self.segments.back_mut() {
            Some(last) if last.takes(&outline, retention) => last.push(outline),
            _ => self.segments.push_back(Segment::of(outline)),
        }
        self.count += 1;
        self.bytes += bytes;
        self.next += 1;
        let record = Record { message, time };
        self.tail_weight += record.weight();
        self.tail_bytes += bytes;
        self.tail.push_back(record);
        offset
    }

    /// Keeps no more bytes than these in memory; the rest is in the store. The last message stays.
    pub(crate) fn trim(&mut self, weight_max: u64) {
        while self.tail_weight > weight_max && self.tail.len() > 1 {
            self.pop_tail();
        }
    }

    /// Adds messages that are in the store, behind all others; for recovery. `false` if that is not where they are.
    pub(crate) fn restore(&mut self, first: u64, last: u64, count: u64, bytes: u64, first_time: Time) -> bool {
        if first < self.next || last < first || !self.tail.is_empty() {
            return false;
        }
        let last_time = (count == 1).then_some(first_time);
        self.segments.push_back(Segment { first, last, count, bytes, first_time, last_time });
        self.count += count;
        self.bytes += bytes;
        self.skip_to(last + 1);
        true
    }

    /// Gives out all offsets below this one, unused: what was there before a restart and is not any more. For recovery, when
    /// nothing is in memory.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        debug_assert!(self.tail.is_empty(), "only before anything is published");
        self.next = self.next.max(offset);
        self.tail_first = self.next;
    }

    /// Drops segments that need not be kept any more.
    pub(crate) fn retain(&mut self, retention: &Retention, now: Time) -> Retained {
        let before = self.first();
        let mut unknown = None;
        while let Some(front) = self.segments.front().copied() {
            if self.segments.len() > 1 && self.may_go(&front, retention, now) {
                self.drop_front();
                continue;
            }
            if self.may_go_in_part(&front, retention, now) {
                unknown = Some((front.first, front.last));
            }
            break;
        }
        let after = self.first();
        Retained { dropped: (after > before).then(|| (before, after - 1)), unknown }
    }

    /// When [`Log::retain`] has something to do because time has passed.
    pub(crate) fn due(&self, retention: &Retention) -> Option<Time> {
        let front = self.segments.front().filter(|_| self.segments.len() > 1)?;
        Some(front.last_time.unwrap_or(front.first_time).plus_ms(retention.age_ms?).plus_ms(1))
    }

    /// All messages from `first` to `through` that are there were read: these. Coarse segments become what they would be without
    /// a restart. Answers how many should be there and are not: none, unless whoever keeps them has lost some.
    pub(crate) fn learn(&mut self, first: u64, through: u64, read: &[Outline], retention: &Retention) -> u64 {
        let mut missing = 0;
        let mut at = self.segments.partition_point(|segment| segment.last < first);
        while let Some(segment) = self.segments.get(at).copied().filter(|segment| segment.first <= through) {
            let from = read.partition_point(|it| it.offset < segment.first);
            let to = read.partition_point(|it| it.offset <= segment.last);
            let read = read.get(from..to).unwrap_or_default();
            if !segment.has_gap() {
                let offsets = segment.last.min(through) - segment.first.max(first) + 1;
                missing += offsets.saturating_sub(read.len() as u64);
            }
            at += match segment.is_coarse() && segment.first >= first {
                true => self.cut(at, through, read, retention),
                false => 1,
            };
        }
        missing
    }

    /// Puts the segments of what was read in the place of a coarse one, and what is left of it behind them; answers how many.
    fn cut(&mut self, at: usize, through: u64, read: &[Outline], retention: &Retention) -> usize {
        let Some(coarse) = self.segments.remove(at) else { return 1 };
        let mut pieces: Vec<Segment> = Vec::new();
        for outline in read {
            match pieces.last_mut() {
                Some(last) if last.takes(outline, retention) => last.push(*outline),
                _ => pieces.push(Segment::of(*outline)),
            }
        }
        let sum = |of: fn(&Segment) -> u64| pieces.iter().map(of).sum::<u64>();
        let (count, bytes) = (sum(|it| it.count), sum(|it| it.bytes));
        let rest = (coarse.count.saturating_sub(count), coarse.bytes.saturating_sub(bytes));
        if through < coarse.last && rest.0 > 0 {
            let first_time = pieces.last().and_then(|last| last.last_time).unwrap_or(coarse.first_time);
            pieces.push(Segment { first: through + 1, count: rest.0, bytes: rest.1, first_time, ..coarse });
        }
        let sum = |of: fn(&Segment) -> u64| pieces.iter().map(of).sum::<u64>();
        self.count = self.count - coarse.count + sum(|it| it.count);
        self.bytes = self.bytes - coarse.bytes + sum(|it| it.bytes);
        let length = pieces.len();
        pieces.into_iter().rev().for_each(|piece| self.segments.insert(at, piece));
        length
    }

    /// Whether all of the front need not be kept.
    fn may_go(&self, front: &Segment, retention: &Retention, now: Time) -> bool {
        let too_large = retention.bytes.is_some_and(|max| {
            let is_small = !front.is_coarse() || front.bytes <= segment_bytes(retention);
            self.bytes > max && (is_small || self.bytes - front.bytes >= max)
        });
        // The last message of a coarse one came no later than the first of the next.
        let next = self.segments.get(1).map(|next| next.first_time);
        too_large || front.last_time.or(next).is_some_and(|last| is_too_old(last, retention, now))
    }

    /// Whether some of the front, of which too little is known, need not be kept.
    fn may_go_in_part(&self, front: &Segment, retention: &Retention, now: Time) -> bool {
        let is_last = self.segments.len() == 1 && front.bytes <= segment_bytes(retention);
        let too_large = retention.bytes.is_some_and(|max| self.bytes > max);
        front.is_coarse() && !is_last && (too_large || is_too_old(front.first_time, retention, now))
    }

    fn drop_front(&mut self) {
        let Some(gone) = self.segments.pop_front() else { return };
        self.count -= gone.count;
        self.bytes -= gone.bytes;
        while self.tail_first <= gone.last && !self.tail.is_empty() {
            self.pop_tail();
        }
    }

    fn pop_tail(&mut self) {
        let Some(record) = self.tail.pop_front() else { return };
        self.tail_weight -= record.weight();
        self.tail_bytes -= record.message.body().len() as u64;
        self.tail_first += 1;
    }

    /// The first message at an offset or behind it.
    #[inline]
    pub(crate) fn at(&self, offset: u64) -> At<'_> {
        match offset.checked_sub(self.tail_first) {
            Some(index) => self.in_tail(index),
            None => self.at_or_behind(offset),
        }
    }

    fn at_or_behind(&self, offset: u64) -> At<'_> {
        let index = self.segments.partition_point(|segment| segment.last < offset);
        match self.segments.get(index).map(|segment| offset.max(segment.first)) {
            Some(offset) if offset < self.tail_first => At::Away(offset),
            _ => self.in_tail(0),
        }
    }

    #[inline]
    fn in_tail(&self, index: u64) -> At<'_> {
        let record = usize::try_from(index).ok().and_then(|index| self.tail.get(index));
        record.map_or(At::End, |record| At::Here(self.tail_first + index, record))
    }

    /// The offset of the first message that is there; that of the next one if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// The offset of the last message that is there; that of the next one if there is none.
    pub(crate) fn last(&self) -> u64 {
        self.segments.back().map_or(self.next, |segment| segment.last)
    }

    /// The offset of the last message that is not in memory.
    pub(crate) fn last_away(&self) -> Option<u64> {
        let last = self.segments.back()?.last.min(self.tail_first.checked_sub(1)?);
        (self.first() <= last).then_some(last)
    }

    /// The offset that the next message will have.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Where to look for the first message that came at this time or later: nothing before that offset did. It is that of the
    /// next message if there is none yet.
    pub(crate) fn at_time(&self, time: Time) -> u64 {
        let before = self.segments.partition_point(|segment| segment.first_time < time);
        let Some(segment) = before.checked_sub(1).and_then(|index| self.segments.get(index)) else {
            return self.first();
        };
        if segment.last_time.is_some_and(|last| last < time) {
            return self.segments.get(before).map_or(self.next, |segment| segment.first);
        }
        match self.tail.front() {
            Some(front) if front.time < time => {
                self.tail_first + self.tail.partition_point(|record| record.time < time) as u64
            }
            _ => segment.first,
        }
    }

    /// When the last message came; a lower bound behind a coarse segment.
    pub(crate) fn newest_time(&self) -> Time {
        self.segments.back().map_or(Time(0), |last| last.last_time.unwrap_or(last.first_time))
    }

    /// No message at this offset or behind it came before.
    pub(crate) fn time_about(&self, offset: u64) -> Time {
        let behind = self.segments.partition_point(|segment| segment.first <= offset);
        let segment = behind.checked_sub(1).and_then(|index| self.segments.get(index));
        segment.or_else(|| self.segments.front()).map_or(Time(0), |segment| segment.first_time)
    }

    /// Messages.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// Bytes of their bodies.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Messages that are not in memory, and bytes of their bodies.
    pub(crate) fn away(&self) -> (u64, u64) {
        (self.count - self.tail.len() as u64, self.bytes - self.tail_bytes)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> u64 {
        self.tail_weight + (self.segments.len() * size_of::<Segment>()) as u64
    }

    /// Those in memory, with their offsets.
    pub(crate) fn tail(&self) -> impl Iterator<Item = (u64, &Record)> {
        (self.tail_first..).zip(&self.tail)
    }

    /// Panics if the fields contradict each other.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let sum = |of: fn(&Segment) -> u64| self.segments.iter().map(of).sum::<u64>();
        assert_eq!((self.count, self.bytes), (sum(|it| it.count), sum(|it| it.bytes)));
        assert_eq!(self.tail_weight, self.tail.iter().map(Record::weight).sum::<u64>());
        assert_eq!(self.tail_bytes, self.tail.iter().map(|record| record.message.body().len() as u64).sum::<u64>());
        assert_eq!(self.tail_first + self.tail.len() as u64, self.next);
        assert!(self.segments.iter().all(|it| it.first <= it.last && it.count <= it.last - it.first + 1));
        assert!(self.segments.iter().all(|it| it.last_time.is_none_or(|last| it.first_time <= last)));
        let pairs = self.segments.iter().zip(self.segments.iter().skip(1));
        assert!(pairs.clone().all(|(a, b)| a.last < b.first && a.last_time.unwrap_or(a.first_time) <= b.first_time));
        assert!(self.last_away().is_none_or(|last| last < self.tail_first));
    }
}

impl Segment {
    /// Whether a message belongs into it, which is the last one.
    fn takes(&self, next: &Outline, retention: &Retention) -> bool {
        !self.is_coarse() && next.offset == self.last + 1 && self.bytes + next.bytes <= segment_bytes(retention)
    }
}

fn is_too_old(time: Time, retention: &Retention, now: Time) -> bool {
    retention.age_ms.is_some_and(|max| now.0.saturating_sub(time.0) > max)
}

fn segment_bytes(retention: &Retention) -> u64 {
    let part = retention.bytes.map(|max| (max / SEGMENTS_PER_LIMIT).max(1));
    [Some(SEGMENT_BYTES_MAX), retention.segment_bytes, part].into_iter().flatten().min().unwrap_or(SEGMENT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn message(size: usize) -> Arc<Message> {
        let mut message = Message::builder("", "s", b"\0\0", size);
        message.body(&vec![7; size]);
        message.build()
    }

    /// Ten messages of ten bytes, one a second.
    fn log(retention: Retention) -> Log {
        let mut log = Log::default();
        for second in 0..10 {
            let now = Time(1000 * second);
            assert_eq!(log.append(message(10), now, &retention), second);
            log.retain(&retention, now);
            log.check_invariants();
        }
        log
    }

    fn is_here(log: &Log, offset: u64) -> bool {
        matches!(log.at(offset), At::Here(at, _) if at == offset)
    }

    #[test]
    fn everything_stays_without_limits() {
        let log = log(Retention::default());
        assert_eq!((log.first(), log.last(), log.next(), log.len(), log.bytes()), (0, 9, 10, 10, 100));
        assert!((0..10).all(|offset| is_here(&log, offset)));
        assert!(log.tail().all(|(offset, record)| record.time == Time(1000 * offset)));
        assert!(matches!(log.at(10), At::End));
    }

    #[test]
    fn limits_drop_whole_segments_but_never_the_last() {
        let check = |retention: Retention, first: u64| {
            let log = log(retention);
            assert_eq!((log.first(), log.len(), log.bytes()), (first, 10 - first, 10 * (10 - first)), "{retention:?}");
            assert!((0..first).all(|offset| !is_here(&log, offset)));
            assert!((first..10).all(|offset| is_here(&log, offset)));
        };
        check(Retention { bytes: Some(100), ..Retention::default() }, 0);
        check(Retention { bytes: Some(50), ..Retention::default() }, 5);
        check(Retention { bytes: Some(0), ..Retention::default() }, 9);
        check(Retention { segment_bytes: Some(30), bytes: Some(160), ..Retention::default() }, 0);
        check(Retention { segment_bytes: Some(20), age_ms: Some(3000), ..Retention::default() }, 6);
        check(Retention { segment_bytes: Some(20), age_ms: Some(0), ..Retention::default() }, 8);
        check(Retention { age_ms: Some(0), ..Retention::default() }, 0);
    }

    #[test]
    fn time_drops_segments_too_when_nothing_comes() {
        let check = |retention: Retention, expected: Option<u64>| {
            let mut log = log(retention);
            assert_eq!(log.due(&retention), expected.map(Time), "{retention:?}");
            if let Some(due) = expected {
                assert_eq!(log.retain(&retention, Time(due - 1)), Retained::default());
                assert!(log.retain(&retention, Time(due)).dropped.is_some());
            }
        };
        check(Retention { segment_bytes: Some(20), ..Retention::default() }, None);
        check(Retention { age_ms: Some(3000), ..Retention::default() }, None);
        check(Retention { segment_bytes: Some(20), age_ms: Some(3000), ..Retention::default() }, Some(10_001));
    }

    #[test]
    fn times_are_found_between_messages_too() {
        let check = |retention: Retention| {
            let log = log(retention);
            for (time, expected) in [(0, 0), (1, 1), (1000, 1), (4500, 5), (9000, 9), (9001, 10), (u64::MAX, 10)] {
                assert_eq!(log.at_time(Time(time)), expected.max(log.first()), "{time}");
            }
        };
        check(Retention::default());
        check(Retention { segment_bytes: Some(30), ..Retention::default() });
        check(Retention { bytes: Some(40), ..Retention::default() });
        assert_eq!(Log::default().at_time(Time(5)), 0);
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_message_older_than_the_one_before() {
        let mut log = Log::default();
        for time in [5, 3, 8] {
            log.append(message(1), Time(time), &Retention::default());
        }
        assert_eq!(log.tail().map(|(_, record)| record.time.0).collect::<Vec<_>>(), [5, 5, 8]);
        assert_eq!(log.at_time(Time(6)), 2);
    }

    #[test]
    fn what_is_trimmed_is_away_and_counts_still() {
        let mut log = log(Retention::default());
        let each = log.tail().next().map_or(0, |(_, record)| record.weight());
        log.trim(3 * each);
        log.check_invariants();
        assert_eq!((log.first(), log.len(), log.bytes(), log.away(), log.last_away()), (0, 10, 100, (7, 70), Some(6)));
        assert!(matches!(log.at(0), At::Away(0)) && matches!(log.at(6), At::Away(6)) && is_here(&log, 7));
        assert_eq!([0, 4500, 7500, 9000].map(|time| log.at_time(Time(time))), [0, 0, 8, 9], "away: where to look");
        log.trim(0);
        assert_eq!((log.away(), log.tail().count()), ((9, 90), 1));
    }

    #[test]
    fn gaps_are_passed_over() {
        let (mut log, retention) = (Log::default(), Retention::default());
        log.skip_to(5);
        assert_eq!((log.first(), log.last(), log.next(), log.len(), log.last_away()), (5, 5, 5, 0, None));
        assert!(log.restore(7, 9, 3, 30, Time(1)) && !log.restore(9, 10, 2, 20, Time(1)));
        log.skip_to(12);
        assert!(log.restore(13, 13, 1, 10, Time(2)));
        log.skip_to(20);
        assert_eq!((log.first(), log.last(), log.next(), log.len(), log.last_away()), (7, 13, 20, 4, Some(13)));
        assert!(matches!(log.at(14), At::End));
        assert_eq!(log.append(message(10), Time(3), &retention), 20);
        log.check_invariants();
        let at = |offset| match log.at(offset) {
            At::Here(offset, _) => Some((offset, true)),
            At::Away(offset) => Some((offset, false)),
            At::End => None,
        };
        assert_eq!([0, 9, 10, 13].map(at), [7, 9, 13, 13].map(|offset| Some((offset, false))));
        assert_eq!([14, 20, 21].map(at), [Some((20, true)), Some((20, true)), None]);
    }

    #[test]
    fn retention_says_what_went() {
        let retention = Retention { bytes: Some(0), ..Retention::default() };
        let mut log = Log::default();
        let dropped = |log: &mut Log| log.retain(&retention, Time(0)).dropped;
        assert_eq!(log.append(message(10), Time(0), &retention), 0);
        assert_eq!(dropped(&mut log), None);
        log.append(message(10), Time(0), &retention);
        assert_eq!(dropped(&mut log), Some((0, 0)));
        assert_eq!(dropped(&mut log), None);
    }

    /// A log, the same after a restart, and what a reader of the store would see.
    struct Twins {
        before: Log,
        after: Log,
        stored: Vec<Outline>,
    }

    /// Some messages, found again in a few coarse segments.
    fn twins(retention: &Retention, random: &mut Random) -> Twins {
        let (mut before, mut after, mut stored) = (Log::default(), Log::default(), Vec::new());
        for _ in 0..20 + random.below(40) {
            let (size, time) =
                (random.below(30), stored.last().map_or(0, |it: &Outline| it.time.0) + random.below(3000));
            let offset = before.append(message(size as usize), Time(time), retention);
            stored.push(Outline { offset, time: Time(time), bytes: size });
            before.retain(retention, Time(time));
        }
        stored.retain(|it| it.offset >= before.first());
        let mut rest = &stored[..];
        while !rest.is_empty() {
            let (part, others) = rest.split_at(1 + random.below(rest.len() as u64) as usize);
            let (first, last) = (part[0], part[part.len() - 1]);
            let bytes = part.iter().map(|it| it.bytes).sum();
            assert!(after.restore(first.offset, last.offset, part.len() as u64, bytes, first.time));
            rest = others;
        }
        Twins { before, after, stored }
    }

    /// Retains, reading what must be read, a few messages at a time.
    fn retain(log: &mut Log, stored: &[Outline], retention: &Retention, now: Time, page: usize) -> u64 {
        let mut reads = 0;
        while let Some((first, last)) = log.retain(retention, now).unknown {
            let page: Vec<Outline> =
                stored.iter().filter(|it| (first..=last).contains(&it.offset)).take(page).copied().collect();
            let through = page.last().map_or(last, |it| it.offset);
            assert_eq!(log.learn(first, through, &page, retention), 0);
            log.check_invariants();
            reads += 1;
            assert!(reads < 1000, "it comes to an end");
        }
        reads
    }

    #[test]
    fn retention_takes_the_same_after_a_restart() {
        let mut random = Random::new(5);
        for round in 0..300 {
            let bytes = random.chance(70).then(|| 80 + random.below(400));
            let age_ms = random.chance(50).then(|| random.below(60_000));
            let segment_bytes = random.chance(50).then(|| 10 + random.below(100));
            let retention = Retention { bytes, age_ms, segment_bytes };
            let Twins { mut before, mut after, mut stored } = twins(&retention, &mut random);
            assert_eq!((before.len(), before.bytes()), (after.len(), after.bytes()));
            assert_eq!((before.first(), before.last()), (after.first(), after.last()));
            let largest = segment_bytes_of(&retention) + 30;
            for _ in 0..30 {
                let time = Time(stored.last().map_or(0, |it| it.time.0) + random.below(4000));
                let size = random.below(30);
                for log in [&mut before, &mut after] {
                    log.append(message(size as usize), time, &retention);
                }
                stored.push(Outline { offset: before.last(), time, bytes: size });
                retain(&mut before, &stored, &retention, time, 1);
                retain(&mut after, &stored, &retention, time, 1 + random.below(20) as usize);
                assert_eq!(before.last(), after.last());
                // Segments begin elsewhere than before the restart, but are as large.
                if let Some(max) = bytes {
                    assert!(after.bytes() <= max.max(largest), "round {round}");
                    let is_short = after.bytes() + largest < before.bytes();
                    assert!(!is_short || age_ms.is_some(), "round {round}: no more than a segment too much went");
                }
                for log in [&before, &after] {
                    check_age(log, &stored, &retention, time, largest);
                }
            }
        }
    }

    fn segment_bytes_of(retention: &Retention) -> u64 {
        segment_bytes(retention)
    }

    /// Nothing went for its age that was young enough, and nothing stayed but what shares a segment with something young.
    fn check_age(log: &Log, stored: &[Outline], retention: &Retention, now: Time, largest: u64) {
        let Some(max) = retention.age_ms else { return };
        let is_young = |it: &&Outline| now.0 - it.time.0 <= max;
        if retention.bytes.is_none() {
            let first_young = stored.iter().find(is_young).map_or(log.last(), |it| it.offset);
            assert!(log.first() <= first_young);
        }
        let old: u64 = stored.iter().filter(|it| it.offset >= log.first() && !is_young(it)).map(|it| it.bytes).sum();
        assert!(old <= 2 * largest, "{old} bytes are too old");
    }

    #[test]
    fn what_is_lost_is_noticed_and_counts_no_more() {
        let mut log = Log::default();
        assert!(log.restore(0, 9, 10, 100, Time(0)) && log.restore(20, 29, 5, 50, Time(9)));
        let outline = |offset| Outline { offset, time: Time(offset), bytes: 10 };
        let read: Vec<Outline> = [0, 1, 4].map(outline).into();
        assert_eq!(log.learn(0, 4, &read, &Retention::default()), 2);
        assert_eq!(log.learn(5, 9, &[], &Retention::default()), 5);
        assert_eq!(log.learn(20, 29, &[outline(20)], &Retention::default()), 0, "there were gaps before");
        log.check_invariants();
        assert_eq!((log.len(), log.bytes(), log.first(), log.last()), (4, 40, 0, 20));
    }
}
