//! The manifest: everything that the log no longer says, in one small file that is replaced as a whole.
//!
//! It is a copy of the index without what lies in log files: segments, what is live in them, delivery counts; and where the
//! replay of the log begins. A new one is written beside it, synced, and renamed over it, whenever a log file is emptied
//! or segments go. One file that is either the old or the new one was chosen over records in the log, which would have to
//! be carried along from file to file, and over a journal of changes, which has a tail of its own to tear: ten million
//! messages of 1 KiB need some 60 KiB, written once for every 32 MiB of log.
//!
//! It may be older or younger than the end of what the log says: replaying records that it knows already changes nothing.

use std::collections::BTreeMap;

use crate::ids::{GroupSeq, LogId, QueueKey, SegmentId, Seq};
use crate::index::{Index, SegmentUse};
use crate::lane::{Contents, Lane, Run};
use crate::live::LiveSet;
use crate::record::SeqRange;
use crate::wire::{Cursor, Put};

/// "LVM1".
const MAGIC: u32 = u32::from_le_bytes(*b"LVM1");
/// Another major version is refused; features are bits that a reader must know.
const VERSION: u16 = 2;
/// Without what the messages of a run contain.
const VERSION_WITHOUT_CONTENTS: u16 = 1;
const FEATURES: u16 = 0;
const HEADER_SIZE: usize = 72;
const SEGMENT_SIZE: usize = 32;
const LANE_SIZE: usize = 24;
/// The least.
const RUN_SIZE: usize = 48;
const RANGE_SIZE: usize = 16;
const COUNT_SIZE: usize = 12;

/// Where the log begins, and with `clean` where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    /// The store's number.
    pub(crate) store: u64,
    /// The first group that the replay needs.
    pub(crate) replay_from: GroupSeq,
    /// The checksum of the group before that.
    pub(crate) previous: u32,
    /// Every group below this number was synced when the manifest was written: one that is missing is damage, not a tear.
    pub(crate) known_end: GroupSeq,
    /// Size of each log file.
    pub(crate) log_size: u32,
    /// The log files; all must be there.
    pub(crate) logs: Vec<LogId>,
    /// No segment has this number or a greater one.
    pub(crate) next_segment: SegmentId,
}

/// Why bytes are no manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is one, of a version or with features that this program does not know.
    Unknown { version: u16, features: u16 },
    /// The bytes are harmed.
    Damaged,
}

/// The manifest's bytes.
pub(crate) fn encode(state: &LogState, index: &Index) -> Vec<u8> {
    let segments: Vec<_> = index.segments().iter().filter(|(_, usage)| usage.live > 0).collect();
    let queues: Vec<_> = index.queues().into_iter().filter(|(_, queue)| is_kept(queue)).collect();
    let mut bytes = Vec::new();
    bytes.put_u32(MAGIC);
    bytes.put_u16(VERSION);
    bytes.put_u16(FEATURES);
    bytes.put_u64(state.store);
    bytes.put_u64(state.replay_from.0);
    bytes.put_u64(state.known_end.0);
    bytes.put_u64(state.next_segment.0);
    bytes.put_u32(state.previous);
    bytes.put_u32(state.log_size);
    bytes.put_u32(count32(state.logs.len()));
    bytes.put_u32(count32(segments.len()));
    bytes.put_u64(queues.len() as u64);
    bytes.put_u64(0);
    debug_assert_eq!(bytes.len(), HEADER_SIZE);
    state.logs.iter().for_each(|log| bytes.put_u16(log.0));
    for (id, segment) in segments {
        bytes.put_u64(id.0);
        bytes.put_u64(segment.size);
        bytes.put_u32(segment.count);
        bytes.put_u32(segment.index_crc);
        bytes.put_u64(0);
    }
    for (key, queue) in queues {
        let lanes: Vec<_> = queue.lanes().filter(|(_, lane)| !lane.runs.is_empty()).collect();
        let counts: Vec<_> = queue.delivery_counts().iter().collect();
        bytes.put_u64(key.0);
        bytes.put_u32(count32(lanes.len()));
        bytes.put_u32(count32(counts.len()));
        lanes.iter().for_each(|(number, lane)| put_lane(&mut bytes, *number, lane));
        for (seq, count) in counts {
            bytes.put_u64(seq.0);
            bytes.put_u32(*count);
        }
    }
    let crc = crc32c::crc32c(&bytes);
    bytes.put_u32(crc);
    bytes
}

/// A queue without segments and counts is said by the log alone.
fn is_kept(queue: &crate::index::Queue) -> bool {
    !queue.delivery_counts().is_empty() || queue.lanes().any(|(_, lane)| !lane.runs.is_empty())
}

fn count32(count: usize) -> u32 {
    u32::try_from(count).expect("what memory holds is counted by 32 bits here")
}

fn put_lane(bytes: &mut Vec<u8>, number: u8, lane: &Lane) {
    bytes.put_u64(u64::from(number));
    bytes.put_u64(lane.last_flushed.map_or(0, |seq| seq.0));
    bytes.put_u64(lane.runs.len() as u64);
    for run in &lane.runs {
        let ranges = run.live.ranges();
        bytes.put_u64(run.segment.0);
        bytes.put_u32(run.start);
        bytes.put_u32(run.count);
        bytes.put_u64(run.first.0);
        bytes.put_u64(run.last.0);
        bytes.put_u64(run.bytes);
        let contents = run.contents.unwrap_or_default(); // opening has found out what an old manifest did not say
        bytes.put_u64(contents.bytes);
        bytes.put_u64(contents.expiry_ms.unwrap_or(0));
        bytes.put_u64(ranges.len() as u64);
        for range in ranges {
            bytes.put_u64(range.first.0);
            bytes.put_u64(range.last.0);
        }
    }
}

/// Reads a manifest.
pub(crate) fn decode(bytes: &[u8]) -> Result<(LogState, Index), Refused> {
    let mut head = Cursor(bytes);
    let (magic, version, features) = (head.u32(), head.u16(), head.u16());
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or(Refused::Damaged)?;
    if magic != Some(MAGIC) || crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(Refused::Damaged);
    }
    match (version, features) {
        (Some(version @ (VERSION_WITHOUT_CONTENTS | VERSION)), Some(FEATURES)) => {
            decode_body(Cursor(body), version).ok_or(Refused::Damaged)
        }
        (version, features) => Err(Refused::Unknown { version: version.unwrap_or(0), features: features.unwrap_or(0) }),
    }
}

fn decode_body(mut cursor: Cursor<'_>, version: u16) -> Option<(LogState, Index)> {
    cursor.u64()?;
    let (store, replay_from) = (cursor.u64()?, GroupSeq(cursor.u64()?));
    let known_end = GroupSeq(cursor.u64()?);
    let next_segment = SegmentId(cursor.u64()?);
    let (previous, log_size) = (cursor.u32()?, cursor.u32()?);
    let (log_count, segment_count) = (cursor.u32()? as usize, cursor.u32()? as usize);
    let queue_count = cursor.u64()?;
    cursor.u64()?;
    if !cursor.has(log_count, 2) {
        return None;
    }
    let logs = (0..log_count).map(|_| cursor.u16().map(LogId)).collect::<Option<Vec<_>>>()?;
    let mut index = Index::default();
    if !cursor.has(segment_count, SEGMENT_SIZE) {
        return None;
    }
    for _ in 0..segment_count {
        let (id, size) = (SegmentId(cursor.u64()?), cursor.u64()?);
        let (count, index_crc) = (cursor.u32()?, cursor.u32()?);
        cursor.u64()?;
        index.add_segment(id, SegmentUse { size, count, index_crc, live: 0 });
    }
    for _ in 0..queue_count {
        decode_queue(&mut cursor, &mut index, version)?;
    }
    let state = LogState { store, replay_from, previous, known_end, log_size, logs, next_segment };
    cursor.is_empty().then_some((state, index))
}

fn decode_queue(cursor: &mut Cursor<'_>, index: &mut Index, version: u16) -> Option<()> {
    let key = QueueKey(cursor.u64()?);
    let (lanes, counts) = (cursor.u32()? as usize, cursor.u32()? as usize);
    if !cursor.has(lanes, LANE_SIZE) {
        return None;
    }
    for _ in 0..lanes {
        let (number, lane) = decode_lane(cursor, index.segments(), version)?;
        index.restore_lane(key, number, lane);
    }
    if !cursor.has(counts, COUNT_SIZE) {
        return None;
    }
    for _ in 0..counts {
        let (seq, count) = (Seq(cursor.u64()?), cursor.u32()?);
        index.restore_delivery_count(key, seq, count);
    }
    Some(())
}

fn decode_lane(
    cursor: &mut Cursor<'_>,
    segments: &BTreeMap<SegmentId, SegmentUse>,
    version: u16,
) -> Option<(u8, Lane)> {
    let number = u8::try_from(cursor.u64()?).ok()?;
    let last_flushed = Seq(cursor.u64()?);
    let count = usize::try_from(cursor.u64()?).ok()?;
    if !cursor.has(count, RUN_SIZE) {
        return None;
    }
    let runs = (0..count).map(|_| decode_run(cursor, version)).collect::<Option<Vec<_>>>()?;
    let known = |run: &Run| segments.get(&run.segment).is_some_and(|segment| run.count <= segment.count);
    let inside = |run: &Run| {
        let ranges = run.live.ranges();
        let bounds = ranges.first().zip(ranges.last());
        bounds.is_some_and(|(low, high)| run.first <= low.first && high.last <= run.last)
            && run.live.count() <= u64::from(run.count)
            && run.first.lane() == number
            && run.last.lane() == number
    };
    let ascending = runs.windows(2).all(|pair| matches!(pair, [a, b] if a.last < b.first));
    let sensible = ascending && runs.iter().all(|run| known(run) && inside(run));
    sensible.then(|| (number, Lane::restored(Some(last_flushed), runs)))
}

fn decode_run(cursor: &mut Cursor<'_>, version: u16) -> Option<Run> {
    let (segment, start, count) = (SegmentId(cursor.u64()?), cursor.u32()?, cursor.u32()?);
    let (first, last, bytes) = (Seq(cursor.u64()?), Seq(cursor.u64()?), cursor.u64()?);
    let contents = match version {
        VERSION_WITHOUT_CONTENTS => None,
        _ => Some(Contents { bytes: cursor.u64()?, expiry_ms: Some(cursor.u64()?).filter(|&at| at != 0) }),
    };
    let ranges = usize::try_from(cursor.u64()?).ok()?;
    if !cursor.has(ranges, RANGE_SIZE) {
        return None;
    }
    let range = |cursor: &mut Cursor<'_>| Some(SeqRange { first: Seq(cursor.u64()?), last: Seq(cursor.u64()?) });
    let ranges = (0..ranges).map(|_| range(cursor)).collect::<Option<Vec<_>>>()?;
    let live = LiveSet::from_ranges(ranges)?;
    Some(Run { segment, start, count, first, last, bytes, contents, live })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (LogState, Index) {
        let state = LogState {
            store: 1,
            replay_from: GroupSeq(2),
            previous: 3,
            known_end: GroupSeq(7),
            log_size: 4096,
            logs: vec![LogId(0), LogId(3)],
            next_segment: SegmentId(9),
        };
        let mut index = Index::default();
        index.add_segment(SegmentId(4), SegmentUse { size: 1000, count: 10, index_crc: 6, live: 0 });
        index.add_segment(SegmentId(8), SegmentUse { size: 2000, count: 10, index_crc: 7, live: 0 });
        let run = |segment, first: u64, live: &[u64]| Run {
            segment: SegmentId(segment),
            start: 0,
            count: 10,
            first: Seq(first),
            last: Seq(first + 9),
            bytes: 500,
            contents: Some(Contents { bytes: 400, expiry_ms: Some(first) }),
            live: LiveSet::from_ascending(live.iter().map(|seq| Seq(*seq))),
        };
        let lane = Lane::restored(Some(Seq(40)), vec![run(4, 1, &[1, 2, 9]), run(8, 11, &[11])]);
        index.restore_lane(QueueKey(5), 0, lane);
        index.restore_delivery_count(QueueKey(5), Seq(9), 3);
        let lane = Lane::restored(None, vec![run(8, 1 << 56, &[(1 << 56) + 4])]);
        index.restore_lane(QueueKey(6), 1, lane);
        (state, index)
    }

    #[test]
    fn a_manifest_comes_back() {
        let (state, index) = sample();
        let bytes = encode(&state, &index);
        let (read, restored) = decode(&bytes).expect("sound");
        restored.check_invariants();
        assert_eq!(read, state);
        assert_eq!(encode(&read, &restored), bytes);
        let queue = restored.queue(QueueKey(5)).expect("kept");
        assert_eq!((queue.count(), queue.delivery_count(Seq(9)), queue.delivery_count(Seq(1))), (4, 3, 0));
        assert_eq!(queue.lane(0).and_then(|lane| lane.last), Some(Seq(40)));
        assert_eq!(restored.segments()[&SegmentId(8)].live, 2);
    }

    #[test]
    fn every_bit_and_every_cut_is_noticed() {
        let bytes = encode(&sample().0, &sample().1);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged).err(), Some(Refused::Damaged), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]).err(), Some(Refused::Damaged), "cut at {end}");
        }
    }

    #[test]
    fn another_version_is_refused_as_such() {
        let check = |at: usize, version: u16, features: u16| {
            let mut bytes = encode(&sample().0, &sample().1);
            bytes.truncate(bytes.len() - 4);
            bytes[at] = 3;
            let crc = crc32c::crc32c(&bytes);
            bytes.put_u32(crc);
            assert_eq!(decode(&bytes).err(), Some(Refused::Unknown { version, features }));
        };
        check(4, 3, 0);
        check(6, 2, 3);
    }
}
