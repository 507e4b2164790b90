//! A segment: messages that outlived their log file, sorted by queue and place, with an index at the end.
//!
//! ```text
//!   header (64) | bodies ... | index: runs (32 each), entries (32 each) | trailer (64)
//! ```
//!
//! A segment is written once, from front to back, and never changed. Which of its messages are live is in the manifest
//! and the log. A queue that is long fills segments of its own; those of many short queues share some, so that emptying a
//! log file costs a few syncs whatever the number of queues. A body that went to several queues lies there once.

use crate::attributes::Attributes;
use crate::ids::{QueueKey, SegmentId, Seq};
use crate::lane::{Body, Contents, Run};
use crate::live::LiveSet;
use crate::wire::{Cursor, Put, seal, sealed};

const HEADER_MAGIC: u32 = u32::from_le_bytes(*b"LVS1");
const TRAILER_MAGIC: u32 = u32::from_le_bytes(*b"LVSE");
const VERSION: u16 = 1;
/// Bits of features that a reader must know; none so far.
const FEATURES: u16 = 0;
/// Bytes of the header, and of the trailer.
pub(crate) const HEADER_SIZE: usize = 64;
pub(crate) const TRAILER_SIZE: usize = 64;
const CRC_AT: usize = 60;
const RUN_SIZE: usize = 32;
pub(crate) const ENTRY_SIZE: usize = 32;
/// Messages of one segment: bounds what reading its index takes (2 MiB).
pub(crate) const ENTRIES_MAX: usize = 64 * 1024;

/// A message in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEntry {
    pub(crate) seq: Seq,
    pub(crate) attributes: Attributes,
    pub(crate) body: Body,
}

/// Neighbours of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentRun {
    pub(crate) queue: QueueKey,
    pub(crate) lane: u8,
    pub(crate) start: u32,
    pub(crate) count: u32,
    /// Bytes of all bodies.
    pub(crate) bytes: u64,
}

/// What the end of a segment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    pub(crate) runs: Vec<SegmentRun>,
    pub(crate) entries: Vec<SegmentEntry>,
}

/// The trailer: where the index lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) id: SegmentId,
    pub(crate) runs: u32,
    pub(crate) entries: u32,
    pub(crate) index_at: u64,
    pub(crate) index_crc: u32,
}

impl Trailer {
    /// Bytes of the index.
    pub(crate) fn index_size(&self) -> usize {
        self.runs as usize * RUN_SIZE + self.entries as usize * ENTRY_SIZE
    }

    /// Bytes of the file.
    pub(crate) fn file_size(&self) -> u64 {
        self.index_at.saturating_add((self.index_size() + TRAILER_SIZE) as u64)
    }
}

pub(crate) fn encode_header(store: u64, id: SegmentId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_SIZE);
    bytes.put_u32(HEADER_MAGIC);
    bytes.put_u16(VERSION);
    bytes.put_u16(FEATURES);
    bytes.put_u64(store);
    bytes.put_u64(id.0);
    bytes.resize(HEADER_SIZE, 0);
    seal(&mut bytes, CRC_AT);
    bytes
}

/// Store and number; `None` unless the header is sound and of a known version.
pub(crate) fn decode_header(bytes: &[u8]) -> Option<(u64, SegmentId)> {
    let bytes = bytes.get(..HEADER_SIZE)?;
    sealed(bytes, CRC_AT)?;
    let mut cursor = Cursor(bytes);
    let known = cursor.u32()? == HEADER_MAGIC && cursor.u16()? == VERSION && cursor.u16()? == FEATURES;
    let ids = (cursor.u64()?, SegmentId(cursor.u64()?));
    known.then_some(ids)
}

impl SegmentIndex {
    /// Adds a message behind the last one: to the last run if it is of the same lane, unless a new one is asked for.
    pub(crate) fn push(&mut self, queue: QueueKey, entry: SegmentEntry, new_run: bool) {
        let (lane, start) = (entry.seq.lane(), self.entries.len() as u32);
        match self.runs.last_mut() {
            Some(run) if run.queue == queue && run.lane == lane && !new_run => {
                run.count += 1;
                run.bytes += u64::from(entry.body.size);
            }
            _ => self.runs.push(SegmentRun { queue, lane, start, count: 1, bytes: u64::from(entry.body.size) }),
        }
        self.entries.push(entry);
    }

    /// The entries of a run; none if it lies outside.
    pub(crate) fn entries_of(&self, start: u32, count: u32) -> &[SegmentEntry] {
        let rest = self.entries.get(start as usize..).unwrap_or_default();
        rest.get(..count as usize).unwrap_or_default()
    }

    /// The runs as the queue index has them; live sets are empty and to be filled in.
    pub(crate) fn index_runs(&self, segment: SegmentId) -> impl Iterator<Item = (QueueKey, u8, Run)> {
        self.runs.iter().filter_map(move |run| {
            let entries = self.entries_of(run.start, run.count);
            let (first, last) = (entries.first()?.seq, entries.last()?.seq);
            let live = LiveSet::from_ascending([]);
            let SegmentRun { start, count, bytes, .. } = *run;
            let contents = Some(Contents::of(entries));
            Some((run.queue, run.lane, Run { segment, start, count, first, last, bytes, contents, live }))
        })
    }

    /// Index and trailer, to be written at `at`, behind the bodies.
    pub(crate) fn encode(&self, id: SegmentId, at: u64) -> (Vec<u8>, Trailer) {
        let mut bytes = Vec::with_capacity(self.runs.len() * RUN_SIZE + self.entries.len() * ENTRY_SIZE + TRAILER_SIZE);
        for run in &self.runs {
            bytes.put_u64(run.queue.0);
            bytes.put_u32(run.start);
            bytes.put_u32(run.count);
            bytes.put_u64(run.bytes);
            bytes.put_u64(u64::from(run.lane));
        }
        for entry in &self.entries {
            bytes.put_u64(entry.seq.0);
            bytes.put_u64(entry.attributes.0);
            bytes.put_u32(entry.body.offset);
            bytes.put_u32(entry.body.size);
            bytes.put_u32(entry.body.crc);
            bytes.put_u32(0);
        }
        let (runs, entries) = (self.runs.len() as u32, self.entries.len() as u32);
        let trailer = Trailer { id, runs, entries, index_at: at, index_crc: crc32c::crc32c(&bytes) };
        bytes.extend_from_slice(&encode_trailer(trailer));
        (bytes, trailer)
    }

    /// Reads the index; `None` unless it is the one that the trailer speaks of and makes sense.
    pub(crate) fn decode(bytes: &[u8], trailer: &Trailer) -> Option<SegmentIndex> {
        if crc32c::crc32c(bytes) != trailer.index_crc || bytes.len() != trailer.index_size() {
            return None;
        }
        let mut cursor = Cursor(bytes);
        let runs = (0..trailer.runs).map(|_| decode_run(&mut cursor)).collect::<Option<Vec<_>>>()?;
        let entries = (0..trailer.entries).map(|_| decode_entry(&mut cursor)).collect::<Option<Vec<_>>>()?;
        let index = SegmentIndex { runs, entries };
        index.is_sensible(trailer.index_at).then_some(index)
    }

    /// Whether the runs follow one another, ascend, and the bodies lie before the index.
    fn is_sensible(&self, index_at: u64) -> bool {
        let mut next = 0u32;
        let runs = self.runs.iter().all(|run| {
            let follows = run.start == next && run.count > 0;
            next = run.start.saturating_add(run.count);
            let entries = self.entries_of(run.start, run.count);
            let ascending = entries.windows(2).all(|pair| matches!(pair, [a, b] if a.seq < b.seq));
            follows && ascending && entries.iter().all(|entry| entry.seq.lane() == run.lane)
        });
        let inside = |entry: &SegmentEntry| {
            let end = u64::from(entry.body.offset) + u64::from(entry.body.size);
            entry.body.offset as usize >= HEADER_SIZE && end <= index_at
        };
        runs && next as usize == self.entries.len() && self.entries.iter().all(inside)
    }
}

fn encode_trailer(trailer: Trailer) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(TRAILER_SIZE);
    bytes.put_u32(TRAILER_MAGIC);
    bytes.put_u32(trailer.index_crc);
    bytes.put_u64(trailer.id.0);
    bytes.put_u64(trailer.index_at);
    bytes.put_u32(trailer.runs);
    bytes.put_u32(trailer.entries);
    bytes.resize(TRAILER_SIZE, 0);
    seal(&mut bytes, CRC_AT);
    bytes
}

/// Reads a trailer, the last bytes of a file; `None` unless it is sound.
pub(crate) fn decode_trailer(bytes: &[u8]) -> Option<Trailer> {
    let bytes = bytes.get(..TRAILER_SIZE)?;
    sealed(bytes, CRC_AT)?;
    let mut cursor = Cursor(bytes);
    let known = cursor.u32()? == TRAILER_MAGIC;
    let index_crc = cursor.u32()?;
    let (id, index_at) = (SegmentId(cursor.u64()?), cursor.u64()?);
    let trailer = Trailer { id, index_at, index_crc, runs: cursor.u32()?, entries: cursor.u32()? };
    (known && trailer.entries as usize <= ENTRIES_MAX && trailer.runs <= trailer.entries).then_some(trailer)
}

fn decode_run(cursor: &mut Cursor<'_>) -> Option<SegmentRun> {
    let (queue, start, count) = (QueueKey(cursor.u64()?), cursor.u32()?, cursor.u32()?);
    let bytes = cursor.u64()?;
    let lane = u8::try_from(cursor.u64()?).ok()?;
    Some(SegmentRun { queue, lane, start, count, bytes })
}

/// Reads an entry.
pub(crate) fn decode_entry(cursor: &mut Cursor<'_>) -> Option<SegmentEntry> {
    let (seq, attributes) = (Seq(cursor.u64()?), Attributes(cursor.u64()?));
    let body = Body { offset: cursor.u32()?, size: cursor.u32()?, crc: cursor.u32()? };
    (cursor.u32()? == 0).then_some(SegmentEntry { seq, attributes, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64, offset: u32, size: u32) -> SegmentEntry {
        let body = Body { offset, size, crc: 5 };
        SegmentEntry { seq: Seq(seq), attributes: Attributes::NONE.with_head_size(1), body }
    }

    fn sample() -> SegmentIndex {
        let mut index = SegmentIndex::default();
        index.push(QueueKey(1), entry(4, 64, 10), false);
        index.push(QueueKey(1), entry(6, 74, 10), false);
        index.push(QueueKey(1), entry(1 << 56, 84, 6), false);
        index.push(QueueKey(2), entry(4, 64, 10), false);
        index
    }

    fn decode(bytes: &[u8]) -> Option<SegmentIndex> {
        let trailer = decode_trailer(bytes.get(bytes.len().checked_sub(TRAILER_SIZE)?..)?)?;
        SegmentIndex::decode(bytes.get(..bytes.len() - TRAILER_SIZE)?, &trailer)
    }

    #[test]
    fn an_index_comes_back() {
        let index = sample();
        let runs: Vec<_> =
            index.runs.iter().map(|run| (run.queue.0, run.lane, run.start, run.count, run.bytes)).collect();
        assert_eq!(runs, [(1, 0, 0, 2, 20), (1, 1, 2, 1, 6), (2, 0, 3, 1, 10)]);
        let (bytes, trailer) = index.encode(SegmentId(9), 90);
        assert_eq!(trailer.file_size(), 90 + bytes.len() as u64);
        assert_eq!(decode_trailer(&bytes[bytes.len() - TRAILER_SIZE..]), Some(trailer));
        assert_eq!(decode(&bytes), Some(index));
        assert_eq!(decode_header(&encode_header(3, SegmentId(4))), Some((3, SegmentId(4))));
    }

    #[test]
    fn every_bit_and_every_cut_is_noticed() {
        let (bytes, _) = sample().encode(SegmentId(9), 90);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "cut at {end}");
        }
        let header = encode_header(3, SegmentId(4));
        for bit in 0..header.len() * 8 {
            let mut damaged = header.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_header(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_none_though_its_checksum_is_right() {
        let check = |change: fn(&mut SegmentIndex), at: u64| {
            let mut index = sample();
            change(&mut index);
            let (bytes, _) = index.encode(SegmentId(9), at);
            assert_eq!(decode(&bytes), None);
        };
        check(|_| (), 89);
        check(|index| index.runs[1].start = 1, 90);
        check(|index| index.runs[2].count = 2, 90);
        check(|index| index.entries.swap(0, 1), 90);
        check(|index| index.entries[0].body.offset = 63, 90);
        check(|index| index.runs[0].lane = 2, 90);
        check(|index| _ = index.runs.pop(), 90);
    }
}
