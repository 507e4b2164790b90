//! The facts that the log holds, and their bytes.
//!
//! A record says what has happened, not what to do: replaying any of them twice changes nothing. Bodies are not inside
//! records: they lie one after another behind the records of their batch, in the order of the publishes, so that records
//! can be read without them.
//!
//! ```text
//!   publish      1, 0, u16 references, u32 body size, u32 body CRC, references x (u64 queue, u64 seq, u64 attributes)
//!   settle       2, 0, u16 ranges, u32 0, u64 queue, ranges x (u64 first, u64 last)
//!   requeue      3, 0, u16 0, u32 delivery count, u64 queue, u64 seq
//!   delete queue 4, 0, u16 0, u32 0, u64 queue
//! ```

use crate::attributes::Attributes;
use crate::ids::{QueueKey, Seq};
use crate::wire::{Cursor, Put};

const PUBLISH: u8 = 1;
const SETTLE: u8 = 2;
const REQUEUE: u8 = 3;
const DELETE_QUEUE: u8 = 4;

/// Bytes of a publish without its references.
pub(crate) const PUBLISH_SIZE: usize = 12;
/// Bytes of one reference.
pub(crate) const REFERENCE_SIZE: usize = 24;
/// Bytes of one range of a settlement.
pub(crate) const RANGE_SIZE: usize = 16;
/// Queues that one publish may go to; more are further publishes.
pub const REFERENCES_MAX: usize = u16::MAX as usize;
/// Ranges that one record of a settlement holds; more are further records.
pub(crate) const RANGES_MAX: usize = u16::MAX as usize;

/// A message's place in one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The queue.
    pub queue: QueueKey,
    /// Its place there.
    pub seq: Seq,
    /// What is kept beside it.
    pub attributes: Attributes,
}

/// From the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqRange {
    /// The first one.
    pub first: Seq,
    /// The last one, not before the first.
    pub last: Seq,
}

impl SeqRange {
    /// Only this one.
    pub fn one(seq: Seq) -> SeqRange {
        SeqRange { first: seq, last: seq }
    }

    /// Whether it is inside.
    pub fn contains(self, seq: Seq) -> bool {
        (self.first..=self.last).contains(&seq)
    }
}

/// A record, borrowed from its bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Record<'a> {
    Publish { body_size: u32, body_crc: u32, references: References<'a> },
    Settle { queue: QueueKey, ranges: Ranges<'a> },
    Requeue { queue: QueueKey, seq: Seq, count: u32 },
    DeleteQueue { queue: QueueKey },
}

/// The references of a publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct References<'a>(&'a [u8]);

/// The ranges of a settlement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ranges<'a>(&'a [u8]);

impl References<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = Reference> {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || {
            let (queue, seq) = (QueueKey(cursor.u64()?), Seq(cursor.u64()?));
            Some(Reference { queue, seq, attributes: Attributes(cursor.u64()?) })
        })
    }
}

impl Ranges<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = SeqRange> {
        let mut cursor = Cursor(self.0);
        std::iter::from_fn(move || Some(SeqRange { first: Seq(cursor.u64()?), last: Seq(cursor.u64()?) }))
    }
}

/// Takes the next record; `None` when the bytes are none.
pub(crate) fn decode<'a>(cursor: &mut Cursor<'a>) -> Option<Record<'a>> {
    let (kind, zero, count, word) = (cursor.u8()?, cursor.u8()?, cursor.u16()?, cursor.u32()?);
    let count = usize::from(count);
    match (kind, zero) {
        (PUBLISH, 0) if count > 0 => {
            let body_crc = cursor.u32()?;
            let references = References(cursor.bytes(count * REFERENCE_SIZE)?);
            Some(Record::Publish { body_size: word, body_crc, references })
        }
        (SETTLE, 0) if count > 0 && word == 0 => {
            let queue = QueueKey(cursor.u64()?);
            let ranges = Ranges(cursor.bytes(count * RANGE_SIZE)?);
            ranges.iter().all(|range| range.first <= range.last).then_some(Record::Settle { queue, ranges })
        }
        (REQUEUE, 0) if count == 0 => {
            Some(Record::Requeue { count: word, queue: QueueKey(cursor.u64()?), seq: Seq(cursor.u64()?) })
        }
        (DELETE_QUEUE, 0) if count == 0 && word == 0 => Some(Record::DeleteQueue { queue: QueueKey(cursor.u64()?) }),
        _ => None,
    }
}

/// Appends a publish. At most [`REFERENCES_MAX`] references, and at least one.
pub(crate) fn put_publish(bytes: &mut Vec<u8>, body_size: u32, body_crc: u32, references: &[Reference]) {
    head(bytes, PUBLISH, references.len(), body_size);
    bytes.put_u32(body_crc);
    for reference in references {
        bytes.put_u64(reference.queue.0);
        bytes.put_u64(reference.seq.0);
        bytes.put_u64(reference.attributes.0);
    }
}

/// Appends settlements: one record for each [`RANGES_MAX`] ranges. Says how many.
pub(crate) fn put_settle(bytes: &mut Vec<u8>, queue: QueueKey, ranges: &[SeqRange]) -> u32 {
    let mut records = 0;
    for ranges in ranges.chunks(RANGES_MAX) {
        head(bytes, SETTLE, ranges.len(), 0);
        bytes.put_u64(queue.0);
        for range in ranges {
            bytes.put_u64(range.first.0);
            bytes.put_u64(range.last.0);
        }
        records += 1;
    }
    records
}

pub(crate) fn put_requeue(bytes: &mut Vec<u8>, queue: QueueKey, seq: Seq, count: u32) {
    head(bytes, REQUEUE, 0, count);
    bytes.put_u64(queue.0);
    bytes.put_u64(seq.0);
}

pub(crate) fn put_delete_queue(bytes: &mut Vec<u8>, queue: QueueKey) {
    head(bytes, DELETE_QUEUE, 0, 0);
    bytes.put_u64(queue.0);
}

fn head(bytes: &mut Vec<u8>, kind: u8, count: usize, word: u32) {
    bytes.put_u8(kind);
    bytes.put_u8(0);
    bytes.put_u16(u16::try_from(count).expect("callers keep to REFERENCES_MAX and RANGES_MAX"));
    bytes.put_u32(word);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq(first), last: Seq(last) }
    }

    fn reference(queue: u64, seq: u64, priority: u8) -> Reference {
        let attributes = Attributes::NONE.with_head_size(priority.into());
        Reference { queue: QueueKey(queue), seq: Seq(seq), attributes }
    }

    fn show(record: Record<'_>) -> String {
        match record {
            Record::Publish { body_size, body_crc, references } => {
                let places: Vec<_> =
                    references.iter().map(|r| format!("{}:{}/{}", r.queue, r.seq, r.attributes.head_size())).collect();
                format!("publish {body_size} {body_crc} {}", places.join(" "))
            }
            Record::Settle { queue, ranges } => {
                let ranges: Vec<_> = ranges.iter().map(|r| format!("{}-{}", r.first, r.last)).collect();
                format!("settle {queue} {}", ranges.join(" "))
            }
            Record::Requeue { queue, seq, count } => format!("requeue {queue}:{seq} {count}"),
            Record::DeleteQueue { queue } => format!("delete {queue}"),
        }
    }

    fn all() -> Vec<(&'static str, Vec<u8>)> {
        let make = |put: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            put(&mut bytes);
            bytes
        };
        vec![
            ("publish 5 77 1:2/3", make(&|b| put_publish(b, 5, 77, &[reference(1, 2, 3)]))),
            ("publish 0 0 1:2/3 4:5/6", make(&|b| put_publish(b, 0, 0, &[reference(1, 2, 3), reference(4, 5, 6)]))),
            ("settle 9 1-1 3-8", make(&|b| assert_eq!(put_settle(b, QueueKey(9), &[range(1, 1), range(3, 8)]), 1))),
            ("requeue 1:2 3", make(&|b| put_requeue(b, QueueKey(1), Seq(2), 3))),
            ("delete 7", make(&|b| put_delete_queue(b, QueueKey(7)))),
        ]
    }

    #[test]
    fn records_come_back() {
        for (expected, bytes) in all() {
            let mut cursor = Cursor(&bytes);
            assert_eq!(decode(&mut cursor).map(show).as_deref(), Some(expected));
            assert!(cursor.is_empty());
        }
    }

    #[test]
    fn a_cut_record_is_none() {
        for (expected, bytes) in all() {
            for end in 0..bytes.len() {
                assert!(decode(&mut Cursor(&bytes[..end])).is_none(), "{expected} cut at {end}");
            }
        }
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        let check = |bytes: &[u8]| assert!(decode(&mut Cursor(bytes)).is_none(), "{bytes:?}");
        let padded = |head: [u8; 8]| [&head[..], &[0; 64]].concat();
        check(&padded([0, 0, 0, 0, 0, 0, 0, 0]));
        check(&padded([5, 0, 0, 0, 0, 0, 0, 0]));
        check(&padded([1, 1, 1, 0, 0, 0, 0, 0]));
        check(&padded([1, 0, 0, 0, 0, 0, 0, 0]));
        check(&padded([2, 0, 0, 0, 0, 0, 0, 0]));
        check(&padded([4, 0, 0, 0, 1, 0, 0, 0]));
        let mut backwards = Vec::new();
        put_settle(&mut backwards, QueueKey(1), &[range(5, 4)]);
        check(&backwards);
    }

    #[test]
    fn many_ranges_are_many_records() {
        let ranges = vec![range(1, 2); RANGES_MAX + 1];
        let mut bytes = Vec::new();
        assert_eq!(put_settle(&mut bytes, QueueKey(1), &ranges), 2);
        let mut cursor = Cursor(&bytes);
        let counts: Vec<usize> = std::iter::from_fn(|| match decode(&mut cursor)? {
            Record::Settle { ranges, .. } => Some(ranges.iter().count()),
            _ => None,
        })
        .collect();
        assert_eq!(counts, [RANGES_MAX, 1]);
    }
}
