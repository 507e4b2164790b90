//! What is live, and where it lies: the whole state of the store, as plain data.
//!
//! The index is the sum of the log's records. While the store runs the keeper applies each group once it is durable; at a
//! start the recovery applies the groups since the manifest. It is the same code, so what a restart finds is what was there.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch;
use crate::hash::NumberMap;
use crate::ids::{LogId, QueueKey, SegmentId, Seq};
use crate::lane::{Body, Entry, Freed, Lane, Run};
use crate::losses::Place;
use crate::record::{Record, Reference, SeqRange};

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Index {
    queues: NumberMap<QueueKey, Queue>,
    logs: BTreeMap<LogId, LogUse>,
    segments: BTreeMap<SegmentId, SegmentUse>,
}

/// A queue: few lanes, mostly one.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: Vec<(u8, Lane)>,
    /// How often live messages were given back; only those that were.
    delivery_counts: BTreeMap<Seq, u32>,
}

/// What a log file holds.
#[derive(Debug, Default)]
pub(crate) struct LogUse {
    /// References that are live.
    pub(crate) live: u64,
    /// Their bodies, each counted for each queue.
    pub(crate) live_bytes: u64,
    /// Queues with entries there, some of which may be settled by now.
    queues: BTreeSet<QueueKey>,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentUse {
    /// The file's size.
    pub(crate) size: u64,
    /// Entries in its index.
    pub(crate) count: u32,
    /// The checksum of its index.
    pub(crate) index_crc: u32,
    /// Entries that are live.
    pub(crate) live: u64,
}

/// Records that contradict what is there, which correct ones never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contradiction {
    /// The bytes are no records.
    Nonsense,
    /// A lane's messages did not ascend.
    OutOfOrder {
        /// The queue.
        queue: QueueKey,
        /// The message that came too late.
        seq: Seq,
    },
}

impl std::fmt::Display for Contradiction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Contradiction::Nonsense => f.write_str("bytes that are no records"),
            Contradiction::OutOfOrder { queue, seq } => {
                write!(f, "message {seq} of queue {queue} published after a later one of its lane")
            }
        }
    }
}

impl Queue {
    pub(crate) fn lane(&self, number: u8) -> Option<&Lane> {
        self.lanes.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| &self.lanes[at].1)
    }

    pub(crate) fn lane_mut(&mut self, number: u8) -> &mut Lane {
        let at = match self.lanes.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => at,
            Err(at) => {
                self.lanes.insert(at, (number, Lane::default()));
                at
            }
        };
        &mut self.lanes[at].1
    }

    /// Lanes in ascending order.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (u8, &Lane)> {
        self.lanes.iter().map(|(number, lane)| (*number, lane))
    }

    pub(crate) fn delivery_counts(&self) -> &BTreeMap<Seq, u32> {
        &self.delivery_counts
    }

    pub(crate) fn delivery_count(&self, seq: Seq) -> u32 {
        self.delivery_counts.get(&seq).copied().unwrap_or(0)
    }

    pub(crate) fn count(&self) -> u64 {
        self.lanes.iter().map(|(_, lane)| lane.count()).sum()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.lanes.iter().map(|(_, lane)| lane.bytes()).sum()
    }

    fn forget_counts(&mut self, range: SeqRange) {
        if self.delivery_counts.is_empty() {
            return;
        }
        let gone: Vec<Seq> = self.delivery_counts.range(range.first..=range.last).map(|(seq, _)| *seq).collect();
        gone.iter().for_each(|seq| _ = self.delivery_counts.remove(seq));
    }
}

impl Index {
    /// Applies the records of a batch whose bodies begin at `bodies_at` in the log file.
    pub(crate) fn apply(&mut self, log: LogId, bodies_at: u32, records: &[u8]) -> Result<(), Contradiction> {
        for item in batch::walk(records) {
            let (record, at) = item.ok_or(Contradiction::Nonsense)?;
            match record {
                Record::Publish { body_size, body_crc, references } => {
                    let offset = u32::try_from(at).ok().and_then(|at| bodies_at.checked_add(at));
                    let offset = offset.ok_or(Contradiction::Nonsense)?;
                    let body = Body { offset, size: body_size, crc: body_crc };
                    references.iter().try_for_each(|reference| self.publish(log, reference, body))?;
                }
                Record::Settle { queue, ranges } => ranges.iter().for_each(|range| self.settle(queue, range)),
                Record::Requeue { queue, seq, count } => self.requeue(queue, seq, count),
                Record::DeleteQueue { queue } => self.delete_queue(queue),
            }
        }
        Ok(())
    }

    fn publish(&mut self, log: LogId, reference: Reference, body: Body) -> Result<(), Contradiction> {
        let Reference { queue, seq, attributes } = reference;
        let lane = self.queues.entry(queue).or_default().lane_mut(seq.lane());
        let is_first = lane.newest_log() != Some(log);
        if !lane.push(Entry { seq, attributes, body, log, settled: false }) {
            return Err(Contradiction::OutOfOrder { queue, seq });
        }
        let usage = self.logs.entry(log).or_default();
        usage.live += 1;
        usage.live_bytes += u64::from(body.size);
        if is_first {
            usage.queues.insert(queue);
        }
        Ok(())
    }

    /// Settles the messages of a queue that lie in the range.
    pub(crate) fn settle(&mut self, key: QueueKey, range: SeqRange) {
        let Index { queues, logs, segments } = self;
        let Some(queue) = queues.get_mut(&key) else { return };
        queue.forget_counts(range);
        let lanes = range.first.lane()..=range.last.lane();
        for (_, lane) in queue.lanes.iter_mut().filter(|(number, _)| lanes.contains(number)) {
            lane.settle(range, |freed| release(logs, segments, freed));
        }
    }

    fn requeue(&mut self, queue: QueueKey, seq: Seq, count: u32) {
        if let Some(queue) = self.queues.get_mut(&queue)
            && queue.lane(seq.lane()).is_some_and(|lane| lane.contains(seq))
        {
            queue.delivery_counts.insert(seq, count);
        }
    }

    fn delete_queue(&mut self, key: QueueKey) {
        self.settle(key, SeqRange { first: Seq(0), last: Seq::MAX });
        self.queues.remove(&key);
    }

    /// Forgets the entries of the oldest log file. `runs` are the copies, for each queue and lane in ascending order;
    /// their live sets are made here, of what was not settled while the copies were written.
    pub(crate) fn flush(&mut self, log: LogId, runs: BTreeMap<(QueueKey, u8), Vec<Run>>) {
        let touched = self.logs.remove(&log).map(|usage| usage.queues).unwrap_or_default();
        let mut runs = runs;
        for key in touched {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            for (number, lane) in &mut queue.lanes {
                let known = lane.runs.len();
                lane.flush(log, runs.remove(&(key, *number)).unwrap_or_default().into_iter());
                for run in &lane.runs[known..] {
                    self.segments.entry(run.segment).and_modify(|segment| segment.live += run.live.count());
                }
            }
        }
    }

    /// Takes over the copies of a segment's live messages. Each comes with the place of the run it was made from.
    pub(crate) fn replace(&mut self, old: SegmentId, copies: BTreeMap<(QueueKey, u8, u32), Vec<Run>>) {
        for ((key, number, start), copies) in copies {
            let Some(queue) = self.queues.get_mut(&key) else { continue };
            let Some((_, lane)) = queue.lanes.iter_mut().find(|(lane, _)| *lane == number) else { continue };
            let fresh: BTreeSet<SegmentId> = copies.iter().map(|run| run.segment).collect();
            let ids: BTreeSet<u32> = copies.iter().map(|run| run.start).collect();
            lane.replace(old, start, copies);
            for run in lane.runs.iter().filter(|run| fresh.contains(&run.segment) && ids.contains(&run.start)) {
                self.segments.entry(run.segment).and_modify(|segment| segment.live += run.live.count());
            }
        }
        self.segments.entry(old).and_modify(|segment| segment.live = 0);
    }

    /// Makes a segment known, with nothing live in it yet.
    pub(crate) fn add_segment(&mut self, id: SegmentId, usage: SegmentUse) {
        self.segments.insert(id, usage);
    }

    /// Forgets segments in which nothing is live, and names them.
    pub(crate) fn take_dead_segments(&mut self) -> Vec<SegmentId> {
        let dead: Vec<SegmentId> = self.dead_segments().collect();
        dead.iter().for_each(|id| _ = self.segments.remove(id));
        dead
    }

    /// Segments in which nothing is live.
    pub(crate) fn dead_segments(&self) -> impl Iterator<Item = SegmentId> {
        self.segments.iter().filter(|(_, usage)| usage.live == 0).map(|(id, _)| *id)
    }

    /// Puts back a queue's lane as the manifest has it; its segments are known already.
    pub(crate) fn restore_lane(&mut self, key: QueueKey, number: u8, lane: Lane) {
        for run in &lane.runs {
            self.segments.entry(run.segment).and_modify(|segment| segment.live += run.live.count());
        }
        *self.queues.entry(key).or_default().lane_mut(number) = lane;
    }

    /// Says of the runs of which it is not known yet what they contain.
    pub(crate) fn learn_contents(&mut self, contents: impl Fn(&Run) -> Option<crate::lane::Contents>) {
        for queue in self.queues.values_mut() {
            for run in queue.lanes.iter_mut().flat_map(|(_, lane)| &mut lane.runs) {
                run.contents = run.contents.or_else(|| contents(run));
            }
        }
    }

    /// Puts back a delivery count as the manifest has it.
    pub(crate) fn restore_delivery_count(&mut self, key: QueueKey, seq: Seq, count: u32) {
        self.queues.entry(key).or_default().delivery_counts.insert(seq, count);
    }

    /// A log file begins.
    pub(crate) fn begin_log(&mut self, log: LogId) {
        self.logs.insert(log, LogUse::default());
    }

    /// Queues that have, or had, entries in a log file; ascending.
    pub(crate) fn queues_in(&self, log: LogId) -> impl Iterator<Item = (QueueKey, &Queue)> {
        let keys = self.logs.get(&log).into_iter().flat_map(|usage| &usage.queues);
        keys.filter_map(|key| self.queues.get(key).map(|queue| (*key, queue)))
    }

    pub(crate) fn segments(&self) -> &BTreeMap<SegmentId, SegmentUse> {
        &self.segments
    }

    pub(crate) fn queue(&self, key: QueueKey) -> Option<&Queue> {
        self.queues.get(&key)
    }

    /// Where a message lies, if it is live.
    pub(crate) fn place(&self, key: QueueKey, seq: Seq) -> Option<Place> {
        self.queue(key)?.lane(seq.lane())?.place(seq)
    }

    /// What a segment's messages are for, by its own order.
    pub(crate) fn runs_of(&self, segment: SegmentId) -> Vec<(QueueKey, Run)> {
        let queues = self.queues.iter();
        let runs =
            queues.flat_map(|(key, queue)| queue.lanes.iter().flat_map(|(_, lane)| &lane.runs).map(|run| (*key, run)));
        let mut runs: Vec<_> =
            runs.filter(|(_, run)| run.segment == segment).map(|(key, run)| (key, run.clone())).collect();
        runs.sort_unstable_by_key(|(_, run)| run.start);
        runs
    }

    /// All queues, ascending.
    pub(crate) fn queues(&self) -> Vec<(QueueKey, &Queue)> {
        let mut queues: Vec<_> = self.queues.iter().map(|(key, queue)| (*key, queue)).collect();
        queues.sort_unstable_by_key(|(key, _)| *key);
        queues
    }

    /// Panics if the parts contradict each other; for tests.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let mut logs = BTreeMap::<LogId, (u64, u64)>::new();
        let mut segments = BTreeMap::<SegmentId, u64>::new();
        for (_, queue) in self.queues() {
            for (_, lane) in queue.lanes() {
                lane.check_invariants();
                for entry in lane.entries_in(SeqRange { first: Seq(0), last: Seq::MAX }) {
                    let usage = logs.entry(entry.log).or_default();
                    *usage = (usage.0 + 1, usage.1 + u64::from(entry.body.size));
                }
                lane.runs.iter().for_each(|run| *segments.entry(run.segment).or_default() += run.live.count());
            }
            assert!(queue.delivery_counts.keys().all(|seq| queue.lane(seq.lane()).is_some_and(|l| l.contains(*seq))));
        }
        for (log, usage) in &self.logs {
            assert_eq!((usage.live, usage.live_bytes), logs.remove(log).unwrap_or_default(), "{log:?}");
        }
        for (id, usage) in &self.segments {
            assert_eq!(usage.live, segments.remove(id).unwrap_or_default(), "{id:?}");
        }
        assert!(logs.is_empty() && segments.is_empty());
    }
}

fn release(logs: &mut BTreeMap<LogId, LogUse>, segments: &mut BTreeMap<SegmentId, SegmentUse>, freed: Freed) {
    match freed {
        Freed::InLog { log, size } => {
            if let Some(usage) = logs.get_mut(&log) {
                usage.live -= 1;
                usage.live_bytes -= u64::from(size);
            }
        }
        Freed::InSegment { segment, count } => {
            if let Some(usage) = segments.get_mut(&segment) {
                usage.live -= count;
            }
        }
    }
}
