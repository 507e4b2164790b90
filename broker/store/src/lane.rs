//! One lane of a queue: where each of its live messages lies.
//!
//! ```text
//!   oldest                                                       newest
//!   | run | run | run |   entry entry entry entry entry entry entry |
//!     in segments           in log files, 32 bytes each
//!     a few bytes each
//! ```
//!
//! Messages are published in ascending order within a lane, and log files are emptied oldest first, so what lies in
//! segments is older than what lies in the log. Entries of one log file are neighbours for the same reason.

use std::collections::VecDeque;

use crate::attributes::Attributes;
use crate::ids::{LogId, SegmentId, Seq};
use crate::live::LiveSet;
use crate::losses::Place;
use crate::record::SeqRange;
use crate::segment::SegmentEntry;

/// Where a message's body lies in a file, and how to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) offset: u32,
    pub(crate) size: u32,
    pub(crate) crc: u32,
}

/// A message in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    pub(crate) attributes: Attributes,
    pub(crate) body: Body,
    pub(crate) log: LogId,
    pub(crate) settled: bool,
}

/// Neighbours in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) segment: SegmentId,
    /// The first one's place in the segment's index, and how many they are, settled ones included.
    pub(crate) start: u32,
    pub(crate) count: u32,
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    /// Bytes of all bodies, settled ones included.
    pub(crate) bytes: u64,
    /// As long as all are live; `None` if an old manifest has not said it.
    pub(crate) contents: Option<Contents>,
    pub(crate) live: LiveSet,
}

/// What can be said of messages without reading them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Bytes of their contents, which is what users count.
    pub(crate) bytes: u64,
    /// When the first of them expires, in milliseconds since 1970.
    pub(crate) expiry_ms: Option<u64>,
}

impl Contents {
    pub(crate) fn add(&mut self, attributes: Attributes, body_size: u32) {
        self.bytes += attributes.content_size(body_size);
        self.expiry_ms = self.expiry_ms.into_iter().chain(attributes.expiry_ms()).min();
    }

    pub(crate) fn of<'a>(entries: impl IntoIterator<Item = &'a SegmentEntry>) -> Contents {
        let mut contents = Contents::default();
        entries.into_iter().for_each(|entry| contents.add(entry.attributes, entry.body.size));
        contents
    }
}

impl Run {
    /// Bytes of the live bodies, if all are of the same size: the index that knows better is on disk.
    pub(crate) fn live_bytes(&self) -> u64 {
        let share = u128::from(self.bytes) * u128::from(self.live.count()) / u128::from(self.count.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    /// Ascending; none without a live message.
    pub(crate) runs: Vec<Run>,
    /// Ascending; the first one is live.
    entries: VecDeque<Entry>,
    live_entries: u64,
    entry_bytes: u64,
    /// The last one ever published.
    pub(crate) last: Option<Seq>,
    /// The last one that left the log: where a replay of the log begins to count.
    pub(crate) last_flushed: Option<Seq>,
}

impl Lane {
    /// A lane with messages in segments only.
    pub(crate) fn restored(last_flushed: Option<Seq>, runs: Vec<Run>) -> Lane {
        let last = runs.last().map(|run| run.last).max(last_flushed);
        Lane { runs, last, last_flushed: last, ..Lane::default() }
    }

    /// Adds the newest message. False, and nothing happens, unless its number is greater than all before.
    #[must_use]
    pub(crate) fn push(&mut self, entry: Entry) -> bool {
        if self.last.is_some_and(|last| entry.seq <= last) {
            return false;
        }
        self.last = Some(entry.seq);
        self.live_entries += 1;
        self.entry_bytes += u64::from(entry.body.size);
        self.entries.push_back(entry);
        true
    }

    /// The log file of the newest entry.
    pub(crate) fn newest_log(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log)
    }

    /// Live messages.
    pub(crate) fn count(&self) -> u64 {
        self.live_entries + self.runs.iter().map(|run| run.live.count()).sum::<u64>()
    }

    /// Bytes of live bodies; nearly, where they lie in segments.
    pub(crate) fn bytes(&self) -> u64 {
        self.entry_bytes + self.runs.iter().map(Run::live_bytes).sum::<u64>()
    }

    /// Whether a message is live.
    pub(crate) fn contains(&self, seq: Seq) -> bool {
        self.place(seq).is_some()
    }

    /// The file that a message lies in, if it is live.
    pub(crate) fn place(&self, seq: Seq) -> Option<Place> {
        if let Ok(at) = self.entries.binary_search_by_key(&seq, |entry| entry.seq) {
            return self.entries.get(at).filter(|entry| !entry.settled).map(|entry| Place::Log(entry.log));
        }
        let run = self.runs.get(self.runs.partition_point(|run| run.last < seq))?;
        run.live.contains(seq).then_some(Place::Segment(run.segment))
    }

    /// Settles what lies in the range. Tells `freed` of each entry that was live, and of how many in which segment.
    pub(crate) fn settle(&mut self, range: SeqRange, mut freed: impl FnMut(Freed)) {
        self.settle_entries(range, &mut freed);
        let start = self.runs.partition_point(|run| run.last < range.first);
        let mut emptied = false;
        for run in self.runs.iter_mut().skip(start).take_while(|run| run.first <= range.last) {
            let count = run.live.remove(range);
            if count > 0 {
                freed(Freed::InSegment { segment: run.segment, count });
            }
            emptied |= run.live.count() == 0;
        }
        if emptied {
            self.runs.retain(|run| run.live.count() > 0);
        }
    }

    fn settle_entries(&mut self, range: SeqRange, freed: &mut impl FnMut(Freed)) {
        let start = self.position(range.first);
        for entry in self.entries.iter_mut().skip(start).take_while(|entry| entry.seq <= range.last) {
            if !entry.settled {
                entry.settled = true;
                self.live_entries -= 1;
                self.entry_bytes -= u64::from(entry.body.size);
                freed(Freed::InLog { log: entry.log, size: entry.body.size });
            }
        }
        while self.entries.front().is_some_and(|entry| entry.settled) {
            self.entries.pop_front();
        }
    }

    /// The first entry at or behind `seq`. Numbers mostly have no gaps, so the first guess is mostly right.
    fn position(&self, seq: Seq) -> usize {
        let Some(front) = self.entries.front() else { return 0 };
        let Some(guess) = seq.0.checked_sub(front.seq.0) else { return 0 };
        let guess = usize::try_from(guess).unwrap_or(usize::MAX);
        match self.entries.get(guess) {
            Some(entry) if entry.seq == seq => guess,
            _ => self.entries.partition_point(|entry| entry.seq < seq),
        }
    }

    /// The live entries in `range`, oldest first.
    pub(crate) fn entries_in(&self, range: SeqRange) -> impl Iterator<Item = &Entry> {
        let behind = self.entries.iter().skip(self.position(range.first));
        behind.take_while(move |entry| entry.seq <= range.last).filter(|entry| !entry.settled)
    }

    /// The entries of a log file that is the oldest one with any: live ones only.
    pub(crate) fn entries_of(&self, log: LogId) -> impl Iterator<Item = &Entry> {
        self.entries.iter().take_while(move |entry| entry.log == log).filter(|entry| !entry.settled)
    }

    /// Forgets the entries of the oldest log file, whose messages have been copied into `runs`, and takes those over
    /// with what is still live of them.
    pub(crate) fn flush(&mut self, log: LogId, runs: impl Iterator<Item = Run>) {
        let mut live = Vec::new();
        while let Some(entry) = self.entries.front().filter(|entry| entry.log == log) {
            self.last_flushed = Some(entry.seq);
            if !entry.settled {
                self.live_entries -= 1;
                self.entry_bytes -= u64::from(entry.body.size);
                live.push(entry.seq);
            }
            self.entries.pop_front();
        }
        while self.entries.front().is_some_and(|entry| entry.settled) {
            self.entries.pop_front();
        }
        let mut live = live.into_iter().peekable();
        for mut run in runs {
            run.live = LiveSet::from_ascending(std::iter::from_fn(|| live.next_if(|seq| *seq <= run.last)));
            if run.live.count() > 0 {
                self.runs.push(run);
            }
        }
        debug_assert!(live.next().is_none(), "every live entry was copied");
    }

    /// Puts a copy in the place of a run; the settled ones were not copied.
    pub(crate) fn replace(&mut self, segment: SegmentId, start: u32, copies: Vec<Run>) {
        let Some(at) = self.runs.iter().position(|run| run.segment == segment && run.start == start) else { return };
        let old = self.runs.remove(at);
        let mut ranges = old.live.ranges();
        let fresh: Vec<Run> = copies
            .into_iter()
            .map(|mut copy| {
                let mine = |range: &SeqRange| range.first <= copy.last;
                let end = ranges.iter().take_while(|range| mine(range)).count();
                let mut part: Vec<SeqRange> = ranges.drain(..end).collect();
                if let Some(last) = part.last_mut().filter(|range| range.last > copy.last) {
                    ranges.insert(0, SeqRange { first: copy.last.next(), last: last.last });
                    last.last = copy.last;
                }
                copy.live = LiveSet::from_ranges(part).expect("a part of ordered ranges");
                copy
            })
            .filter(|copy| copy.live.count() > 0)
            .collect();
        debug_assert!(ranges.is_empty(), "every live message was copied");
        self.runs.splice(at..at, fresh);
    }

    /// Panics if the fields contradict each other; for tests.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let live = self.entries.iter().filter(|entry| !entry.settled);
        assert_eq!(self.live_entries, live.clone().count() as u64);
        assert_eq!(self.entry_bytes, live.map(|entry| u64::from(entry.body.size)).sum::<u64>());
        assert!(self.entries.front().is_none_or(|entry| !entry.settled));
        let runs = self.runs.iter().flat_map(|run| [run.first, run.last]);
        let seqs: Vec<Seq> = runs.collect();
        assert!(seqs.windows(2).all(|pair| pair[0] <= pair[1]), "{seqs:?}");
        assert!(self.runs.iter().all(|run| run.live.count() > 0));
        let last_run = self.runs.last().map(|run| run.last);
        assert!(self.entries.front().is_none_or(|entry| last_run.is_none_or(|last| last < entry.seq)));
        assert!(self.entries.iter().zip(self.entries.iter().skip(1)).all(|(a, b)| a.seq < b.seq));
    }
}

/// What [`Lane::settle`] has settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freed {
    InLog { log: LogId, size: u32 },
    InSegment { segment: SegmentId, count: u64 },
}
