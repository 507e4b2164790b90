//! What one shard hands over at the end of a turn: its records and, apart from them, the bodies.
//!
//! A batch is atomic: after a crash all of it is there or nothing. It is built, and its checksums are taken, on its own
//! shard; the committer only strings batches together. So what costs time runs on all cores.

use crate::ids::{Position, QueueKey, Seq};
use crate::record::{self, RANGE_SIZE, REFERENCE_SIZE, Record, Reference, SeqRange};
use crate::wire::Cursor;

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    /// Which writer made it.
    pub(crate) writer: u16,
    /// Where it ends for that writer.
    pub(crate) position: Position,
    pub(crate) records: Vec<u8>,
    pub(crate) bodies: Vec<u8>,
    pub(crate) record_count: u32,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// Bytes that it takes in a group.
    pub(crate) fn size(&self) -> usize {
        self.records.len() + self.bodies.len()
    }

    /// Bytes that a publish adds.
    pub(crate) fn publish_size(body_size: usize, references: usize) -> usize {
        record::PUBLISH_SIZE + references * REFERENCE_SIZE + body_size
    }

    /// Adds a message whose body is the concatenation of `parts`.
    pub(crate) fn publish(&mut self, parts: &[&[u8]], references: &[Reference]) {
        let (mut size, mut crc) = (0, 0);
        for part in parts {
            size += part.len();
            crc = crc32c::crc32c_append(crc, part);
            self.bodies.extend_from_slice(part);
        }
        let size = u32::try_from(size).expect("the writer has checked the size");
        record::put_publish(&mut self.records, size, crc, references);
        self.record_count += 1;
    }

    /// Adds settlements. One that continues the batch's last record of the same queue is put into that.
    pub(crate) fn settle(&mut self, queue: QueueKey, ranges: &[SeqRange], last: &mut Option<LastSettle>) {
        for &range in ranges {
            match last {
                Some(last) if last.queue == queue && last.end == self.records.len() => self.extend(last, range),
                _ => {
                    self.record_count += record::put_settle(&mut self.records, queue, &[range]);
                    let end = self.records.len();
                    *last = Some(LastSettle { queue, count_at: end - RANGE_SIZE - 14, end, range, count: 1 });
                }
            }
        }
    }

    /// Grows the last record, which is a settlement of the same queue: by a number if they touch, else by a range.
    fn extend(&mut self, last: &mut LastSettle, range: SeqRange) {
        let joined = last.range.last.next() == range.first;
        if joined {
            let at = last.end - 8;
            self.records[at..].copy_from_slice(&range.last.0.to_le_bytes());
            last.range.last = range.last;
        } else if usize::from(last.count) < record::RANGES_MAX {
            last.count += 1;
            self.records[last.count_at..last.count_at + 2].copy_from_slice(&last.count.to_le_bytes());
            self.records.extend_from_slice(&range.first.0.to_le_bytes());
            self.records.extend_from_slice(&range.last.0.to_le_bytes());
            *last = LastSettle { end: self.records.len(), range, ..*last };
        } else {
            let mut fresh = None;
            self.settle(last.queue, &[range], &mut fresh);
            *last = fresh.expect("a settlement that continues none begins one");
        }
    }

    pub(crate) fn requeue(&mut self, queue: QueueKey, seq: Seq, count: u32) {
        record::put_requeue(&mut self.records, queue, seq, count);
        self.record_count += 1;
    }

    pub(crate) fn delete_queue(&mut self, queue: QueueKey) {
        record::put_delete_queue(&mut self.records, queue);
        self.record_count += 1;
    }
}

/// Where a batch's latest settlement lies, so that the next one can join it: a consumer that acknowledges one after
/// another costs sixteen bytes a turn, not forty a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastSettle {
    queue: QueueKey,
    /// Where the record's count of ranges lies.
    count_at: usize,
    /// Where the record ends; it is the last one while that is where the records end.
    end: usize,
    range: SeqRange,
    count: u16,
}

/// A record and, for a publish, where its body begins among the batch's bodies.
pub(crate) type Placed<'a> = (Record<'a>, usize);

/// Walks a batch's records with the places of their bodies.
///
/// `None` as an item: the bytes make no sense there, and nothing follows.
pub(crate) fn walk(records: &[u8]) -> impl Iterator<Item = Option<Placed<'_>>> {
    let (mut cursor, mut body_at, mut broken) = (Cursor(records), 0usize, false);
    std::iter::from_fn(move || {
        if cursor.is_empty() || broken {
            return None;
        }
        let Some(record) = record::decode(&mut cursor) else {
            broken = true;
            return Some(None);
        };
        let at = body_at;
        if let Record::Publish { body_size, .. } = record {
            body_at = body_at.saturating_add(body_size as usize);
        }
        Some(Some((record, at)))
    })
}

/// Whether the records make sense and the bodies are theirs, unharmed.
pub(crate) fn is_sound(records: &[u8], record_count: u32, bodies: &[u8]) -> bool {
    let (mut count, mut end) = (0, 0);
    for item in walk(records) {
        let Some((record, at)) = item else { return false };
        count += 1;
        if let Record::Publish { body_size, body_crc, .. } = record {
            end = at.saturating_add(body_size as usize);
            if bodies.get(at..end).is_none_or(|body| crc32c::crc32c(body) != body_crc) {
                return false;
            }
        }
    }
    count == record_count && end == bodies.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::Attributes;

    fn range(first: u64, last: u64) -> SeqRange {
        SeqRange { first: Seq(first), last: Seq(last) }
    }

    fn settlements(batch: &Batch) -> Vec<(u64, Vec<(u64, u64)>)> {
        let ranges = |record| match record {
            Record::Settle { queue, ranges } => (queue.0, ranges.iter().map(|r| (r.first.0, r.last.0)).collect()),
            other => panic!("{other:?}"),
        };
        walk(&batch.records).map(|item| ranges(item.expect("sound").0)).collect()
    }

    #[test]
    fn settlements_join_their_neighbour() {
        let check = |given: &[(u64, (u64, u64))], expected: &[(u64, Vec<(u64, u64)>)]| {
            let (mut batch, mut last) = (Batch::default(), None);
            for (queue, (first, end)) in given {
                batch.settle(QueueKey(*queue), &[range(*first, *end)], &mut last);
            }
            assert_eq!(settlements(&batch), expected);
            assert!(is_sound(&batch.records, batch.record_count, &[]));
        };
        check(&[(1, (1, 1)), (1, (2, 2)), (1, (3, 9))], &[(1, vec![(1, 9)])]);
        check(&[(1, (1, 1)), (1, (3, 3)), (1, (4, 4))], &[(1, vec![(1, 1), (3, 4)])]);
        check(&[(1, (1, 1)), (2, (2, 2)), (1, (2, 2))], &[(1, vec![(1, 1)]), (2, vec![(2, 2)]), (1, vec![(2, 2)])]);
    }

    #[test]
    fn a_settlement_does_not_join_across_another_record() {
        let (mut batch, mut last) = (Batch::default(), None);
        batch.settle(QueueKey(1), &[SeqRange::one(Seq(1))], &mut last);
        batch.requeue(QueueKey(1), Seq(9), 2);
        batch.settle(QueueKey(1), &[SeqRange::one(Seq(2))], &mut last);
        assert_eq!(walk(&batch.records).flatten().count(), 3);
        assert!(is_sound(&batch.records, batch.record_count, &[]));
    }

    #[test]
    fn ranges_past_the_limit_begin_a_record() {
        let (mut batch, mut last) = (Batch::default(), None);
        let ranges: Vec<SeqRange> = (0..record::RANGES_MAX as u64 + 2).map(|n| SeqRange::one(Seq(n * 2))).collect();
        batch.settle(QueueKey(1), &ranges, &mut last);
        let sizes: Vec<usize> = settlements(&batch).into_iter().map(|(_, ranges)| ranges.len()).collect();
        assert_eq!(sizes, [record::RANGES_MAX, 2]);
        assert_eq!(batch.record_count, 2);
    }

    #[test]
    fn every_damaged_bit_is_noticed_or_harmless() {
        let mut batch = Batch::default();
        let reference = Reference { queue: QueueKey(3), seq: Seq(4), attributes: Attributes::NONE };
        batch.publish(&[b"head", b"", b"body"], &[reference]);
        batch.publish(&[b""], &[reference]);
        batch.publish(&[b"x"], &[reference, reference]);
        assert!(is_sound(&batch.records, 3, &batch.bodies));
        assert_eq!(batch.bodies, b"headbodyx");
        for bit in 0..batch.bodies.len() * 8 {
            let mut bodies = batch.bodies.clone();
            bodies[bit / 8] ^= 1 << (bit % 8);
            assert!(!is_sound(&batch.records, 3, &bodies), "bit {bit}");
        }
        assert!(!is_sound(&batch.records, 2, &batch.bodies));
        assert!(!is_sound(&batch.records, 3, &batch.bodies[1..]));
        assert!(!is_sound(&batch.records[1..], 3, &batch.bodies));
        let places: Vec<usize> = walk(&batch.records).map(|item| item.expect("sound").1).collect();
        assert_eq!(places, [0, 8, 8]);
    }
}
