//! The messages of a stream: an append-only log in segments.
//!
//! ```text
//!   segment 0..999   segment 1000..1999   segment 2000..      <- appended to
//!   (first to go)
//! ```
//!
//! Every message has an *offset*, counted from 0, for ever. Nothing is removed from the middle: retention drops whole segments at
//! the front, never the last one, as RabbitMQ does. A segment is what a store would keep in a file: it needs no more than
//! `Segment`'s fields to be found and dropped again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::Time;
use crate::message::Message;

/// Segments are no larger than this, whatever the stream's arguments allow, so that retention is not coarser than a memory can
/// bear.
pub const SEGMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A limit on a stream's bytes is kept by dropping a part of it, of which there are so many.
const SEGMENTS_PER_LIMIT: u64 = 8;

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

#[derive(Debug)]
struct Segment {
    /// The offset of the first record.
    first: u64,
    records: Vec<Record>,
    bytes: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    segments: VecDeque<Segment>,
    next: u64,
    bytes: u64,
}

impl Log {
    /// Appends a message and returns its offset.
    pub(crate) fn append(&mut self, message: Arc<Message>, now: Time, retention: &Retention) -> u64 {
        let size = message.body().len() as u64;
        let is_full = self.segments.back().is_none_or(|segment| segment.bytes + size > segment_bytes(retention));
        if is_full {
            self.segments.push_back(Segment { first: self.next, records: Vec::new(), bytes: 0 });
        }
        let offset = self.next;
        if let Some(segment) = self.segments.back_mut() {
            segment.records.push(Record { message, time: now });
            segment.bytes += size;
        }
        self.bytes += size;
        self.next += 1;
        offset
    }

    /// Gives out all offsets below this one, unused: what was there before a restart and is not any more.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        if offset > self.next {
            self.next = offset;
            self.segments.push_back(Segment { first: offset, records: Vec::new(), bytes: 0 });
        }
        self.drop_empty_segments();
    }

    /// A gap between offsets needs a segment of its own behind it; two gaps in a row do not.
    fn drop_empty_segments(&mut self) {
        let last = self.segments.len().saturating_sub(1);
        let mut at = 0;
        self.segments.retain(|segment| {
            at += 1;
            !segment.records.is_empty() || at > last
        });
    }

    /// Drops segments that need not be kept any more; answers the first and the last offset that went, if any.
    pub(crate) fn retain(&mut self, retention: &Retention, now: Time) -> Option<(u64, u64)> {
        let before = self.first();
        while self.segments.len() > 1 && self.front_may_go(retention, now) {
            let gone = self.segments.pop_front();
            self.bytes -= gone.map_or(0, |segment| segment.bytes);
        }
        let after = self.first();
        (after > before).then(|| (before, after - 1))
    }

    fn front_may_go(&self, retention: &Retention, now: Time) -> bool {
        let too_large = retention.bytes.is_some_and(|max| self.bytes > max);
        let last = self.segments.front().and_then(|segment| segment.records.last());
        let too_old = retention.age_ms.zip(last).is_some_and(|(max, last)| now.0.saturating_sub(last.time.0) > max);
        too_large || too_old
    }

    /// The message at an offset.
    #[cfg(test)]
    pub(crate) fn get(&self, offset: u64) -> Option<&Record> {
        let at = self.segments.partition_point(|segment| segment.first <= offset).checked_sub(1)?;
        let segment = self.segments.get(at)?;
        segment.records.get(usize::try_from(offset - segment.first).ok()?)
    }

    /// The first message at an offset or behind it: there may be gaps.
    #[inline]
    pub(crate) fn from(&self, offset: u64) -> Option<(u64, &Record)> {
        let at = self.segments.partition_point(|segment| segment.first <= offset);
        let inside = at
            .checked_sub(1)
            .and_then(|at| self.segments.get(at))
            .and_then(|segment| Some((offset, segment.records.get(usize::try_from(offset - segment.first).ok()?)?)));
        inside.or_else(|| self.segments.get(at).and_then(|segment| Some((segment.first, segment.records.first()?))))
    }

    /// The offset of the first message that is there; that of the next one if there is none.
    pub(crate) fn first(&self) -> u64 {
        self.segments.front().map_or(self.next, |segment| segment.first)
    }

    /// The offset that the next message will have.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The first offset whose message came at this time or later; that of the next message if there is none.
    pub(crate) fn at_time(&self, time: Time) -> u64 {
        let is_before = |segment: &Segment| segment.records.last().is_some_and(|last| last.time < time);
        let Some(segment) = self.segments.get(self.segments.partition_point(is_before)) else { return self.next };
        segment.first + segment.records.partition_point(|record| record.time < time) as u64
    }

    /// Messages.
    pub(crate) fn len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.records.len() as u64).sum()
    }

    /// Bytes of their bodies.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All of them with their offsets.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Record)> {
        self.segments.iter().flat_map(|segment| (segment.first..).zip(&segment.records))
    }
}

fn segment_bytes(retention: &Retention) -> u64 {
    let part = retention.bytes.map(|max| (max / SEGMENTS_PER_LIMIT).max(1));
    [Some(SEGMENT_BYTES_MAX), retention.segment_bytes, part].into_iter().flatten().min().unwrap_or(SEGMENT_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        }
        log
    }

    #[test]
    fn everything_stays_without_limits() {
        let log = log(Retention::default());
        assert_eq!((log.first(), log.next(), log.len(), log.bytes()), (0, 10, 10, 100));
        assert!((0..10).all(|offset| log.get(offset).is_some_and(|record| record.time == Time(1000 * offset))));
        assert!(log.get(10).is_none());
        assert_eq!(log.iter().map(|(offset, _)| offset).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn limits_drop_whole_segments_but_never_the_last() {
        let check = |retention: Retention, first: u64| {
            let log = log(retention);
            assert_eq!((log.first(), log.len(), log.bytes()), (first, 10 - first, 10 * (10 - first)), "{retention:?}");
            assert!((0..first).all(|offset| log.get(offset).is_none()));
            assert!((first..10).all(|offset| log.get(offset).is_some()));
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
    fn gaps_are_passed_over() {
        let (mut log, retention) = (Log::default(), Retention::default());
        log.skip_to(5);
        log.skip_to(7);
        assert_eq!((log.first(), log.next(), log.len()), (7, 7, 0));
        assert_eq!(log.append(message(1), Time(1), &retention), 7);
        log.skip_to(7);
        log.skip_to(10);
        assert_eq!(log.append(message(1), Time(1), &retention), 10);
        assert_eq!((log.first(), log.next(), log.len()), (7, 11, 2));
        let from = |offset| log.from(offset).map(|(offset, _)| offset);
        assert_eq!([0, 7, 8, 9, 10, 11].map(from), [Some(7), Some(7), Some(10), Some(10), Some(10), None]);
    }

    #[test]
    fn retention_says_what_went() {
        let retention = Retention { bytes: Some(0), ..Retention::default() };
        let mut log = Log::default();
        assert_eq!(log.append(message(10), Time(0), &retention), 0);
        assert_eq!(log.retain(&retention, Time(0)), None);
        log.append(message(10), Time(0), &retention);
        assert_eq!(log.retain(&retention, Time(0)), Some((0, 0)));
        assert_eq!(log.retain(&retention, Time(0)), None);
    }
}
