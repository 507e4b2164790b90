//! What a queue holds, in a few words each thousand messages, without reading any: what a start needs to know.
//!
//! A segment's run says of all its messages how many bytes of content they have and when the first expires. Of a run in which
//! some are settled that has to be counted, so the indexes of such segments are read, each once. They are few: those at the
//! fronts of queues, and segments with so few holes that copying them was not worth it.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::ids::{QueueKey, SegmentId, Seq};
use crate::index::Index;
use crate::lane::{Contents, Lane, Run};
use crate::record::SeqRange;
use crate::recover::{LaneState, QueueState, StretchState};
use crate::segments::Segments;

/// Messages of a stretch that lies in the log, at most.
const STRETCH_MAX: usize = 2048;

/// A run, by what is never in two lanes: its segment and its place there.
type RunId = (SegmentId, u32);

/// All queues, ascending. What old manifests have not said of a run is put into the index.
pub(crate) fn queues(index: &mut Index, segments: &mut Segments) -> Result<Vec<QueueState>, Error> {
    let counted = count(index, segments)?;
    index.learn_contents(|run| counted.get(&(run.segment, run.start)).map(|it| it.all));
    let queues = index.queues().into_iter().map(|(key, queue)| {
        let lanes = queue.lanes().map(|(number, lane)| LaneState {
            lane: number,
            count: lane.count(),
            bytes: lane.bytes(),
            last: lane.last.unwrap_or_default(),
            stretches: stretches(lane, &counted),
        });
        QueueState { queue: key, count: queue.count(), bytes: queue.bytes(), lanes: lanes.collect() }
    });
    Ok(queues.collect())
}

/// What an index says of a run.
struct Counted {
    all: Contents,
    live: Contents,
}

fn count(index: &Index, segments: &mut Segments) -> Result<BTreeMap<RunId, Counted>, Error> {
    let mut wanted: Vec<(QueueKey, &Run)> = Vec::new();
    for (key, queue) in index.queues() {
        let runs = queue.lanes().flat_map(|(_, lane)| &lane.runs);
        let unknown = |run: &&Run| run.contents.is_none() || run.live.count() < u64::from(run.count);
        wanted.extend(runs.filter(unknown).map(|run| (key, run)));
    }
    wanted.sort_unstable_by_key(|(_, run)| (run.segment, run.start)); // each index is read once
    let mut counted = BTreeMap::new();
    for (_, run) in wanted {
        let index = segments.index(run.segment)?;
        let entries = index.entries_of(run.start, run.count);
        let live = Contents::of(entries.iter().filter(|entry| run.live.contains(entry.seq)));
        counted.insert((run.segment, run.start), Counted { all: Contents::of(entries), live });
    }
    Ok(counted)
}

fn stretches(lane: &Lane, counted: &BTreeMap<RunId, Counted>) -> Vec<StretchState> {
    let in_segments = lane.runs.iter().filter_map(|run| {
        let ranges = run.live.ranges();
        let (first, last) = (ranges.first()?.first, ranges.last()?.last);
        let known = counted.get(&(run.segment, run.start)).map(|it| it.live).or(run.contents).unwrap_or_default();
        Some(StretchState { first, last, count: run.live.count(), content: known.bytes, expiry_ms: known.expiry_ms })
    });
    let mut all: Vec<StretchState> = in_segments.collect();
    let entries: Vec<_> = lane.entries_in(SeqRange { first: Seq(0), last: Seq::MAX }).collect();
    for part in entries.chunks(STRETCH_MAX) {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let mut contents = Contents::default();
        part.iter().for_each(|entry| contents.add(entry.attributes, entry.body.size));
        all.push(StretchState {
            first: first.seq,
            last: last.seq,
            count: part.len() as u64,
            content: contents.bytes,
            expiry_ms: contents.expiry_ms,
        });
    }
    all
}
