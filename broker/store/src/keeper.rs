//! The keeper: the thread that has the index, and so knows what can go.
//!
//! It applies each group after the committer has made it durable, and does what nobody waits for, in small steps between:
//! empties the oldest log file when files run short, deletes segments in which nothing is live, copies together those in
//! which little is, and answers where messages lie.
//!
//! ```text
//!   segments written, synced -> names synced -> manifest replaced -> log file given back, old segments removed
//! ```
//!
//! Whatever the moment of a crash, the manifest in force names only what is there, and everything that it needs is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use leveret_runtime::fs::File;
use leveret_runtime::lane::{Lane, Reply};

use crate::batch::Batch;
use crate::committer::{Commit, Spare};
use crate::copy::{Copy, Item, Output, Source};
use crate::directory::Directory;
use crate::error::{Error, Flaw};
use crate::group::{HEAD_SIZE, LINE_SIZE};
use crate::ids::{GroupSeq, LogId, Position, QueueKey, SegmentId, Seq};
use crate::index::Index;
use crate::lane::Run;
use crate::losses::{Harmed, Place};
use crate::manifest::{self, LogState};
use crate::plan::{self, Plan, ReadRequest};
use crate::reserve::Reserve;
use crate::segment::SegmentEntry;
use crate::segments::Segments;
use crate::shared::Shared;
use crate::stats::{add, set};

/// Segments without a live message that are kept until something else needs a manifest.
const DEAD_SEGMENTS_MAX: usize = 4;
/// Segments that are copied together in one go.
const COMPACT_MAX: usize = 32;
/// The part of a log file's size that is kept for manifests.
const MANIFEST_SHARE: u32 = 4;
/// Segments smaller than this part of the size they should have are small.
const SMALL: u64 = 16;
/// As many small ones are copied together.
const SMALL_MAX: usize = 16;

/// A job of the keeper.
pub(crate) enum Keep {
    /// The first job: the ends of the lanes.
    Link(Lane<Keep>, Lane<Commit>),
    /// The committer goes on in this file, with this group.
    Began { log: LogId, file: File, first: GroupSeq, previous: u32 },
    /// The file needs blocks: zeros are to be written there.
    Grow { log: LogId, file: File, from: u64, to: u64 },
    /// A group is durable, in the sense of the option.
    Committed(Committed),
    /// The group is synced, and all before it.
    Synced(GroupSeq),
    /// Where do messages lie?
    Read(ReadRequest, Reply<Result<Plan, Error>>),
    /// These could not be read where they lay. Answers which lie elsewhere by now.
    Harmed(Vec<Harmed>, Reply<Vec<Seq>>),
    /// Go on with what is under way.
    Step,
    /// Some time has passed: try again what there was no room for.
    Tick,
    /// The last job.
    Close(Option<Reply<Result<(), Error>>>),
    /// The committer has failed.
    Failed,
}

/// A group as it was written, without the bodies.
pub(crate) struct Committed {
    pub(crate) log: LogId,
    pub(crate) seq: GroupSeq,
    /// Records, and where in the file their bodies begin.
    pub(crate) parts: Vec<(Vec<u8>, u32)>,
    /// Of the batches.
    pub(crate) positions: Vec<Position>,
}

impl Committed {
    pub(crate) fn new(log: LogId, offset: u64, seq: GroupSeq, batches: Vec<Batch>) -> Committed {
        let head = HEAD_SIZE + batches.len() * LINE_SIZE;
        let mut at = offset + (head + batches.iter().map(|batch| batch.records.len()).sum::<usize>()) as u64;
        let positions = batches.iter().map(|batch| batch.position).collect();
        let parts = batches.into_iter().map(|batch| {
            let bodies_at = u32::try_from(at).expect("a log file is smaller than 4 GiB");
            at += batch.bodies.len() as u64;
            (batch.records, bodies_at)
        });
        Committed { log, seq, parts: parts.collect(), positions }
    }
}

/// A log file in use.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) log: LogId,
    pub(crate) file: File,
    pub(crate) first: GroupSeq,
    /// The checksum of the group before the first.
    pub(crate) previous: u32,
}

/// Blocks that a log file needs.
struct Growth {
    log: LogId,
    file: File,
    from: u64,
    to: u64,
}

/// What is under way.
enum Work {
    Nothing,
    /// Empties the oldest log file.
    Flush(Box<Copy>),
    /// Copies segments together.
    Compact(Box<Copy>, Vec<SegmentId>, Vec<(QueueKey, u8, SegmentId, u32)>),
}

/// See the module's description.
pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) directory: Directory,
    pub(crate) lock: Option<File>,
    pub(crate) state: LogState,
    pub(crate) index: Index,
    /// In use, the oldest first; the last one is being written.
    pub(crate) logs: VecDeque<LogFile>,
    /// Emptied, and to be given back when the manifest says so.
    retired: Vec<LogFile>,
    pub(crate) segments: Segments,
    work: Work,
    /// Said of the last manifest that could not be written; it is due again.
    manifest_due: bool,
    /// Segments are to be looked through for what is worth copying: after each manifest and tick, since it takes a while.
    pub(crate) compaction_due: bool,
    /// There was no room: see [`Keeper::stall`].
    stalled: bool,
    /// What there was no room for.
    growth: Option<Growth>,
    reserve: Reserve,
    /// For manifests only: writing one is what makes room.
    manifest_reserve: Reserve,
    /// The last group applied, and the last one synced.
    applied: GroupSeq,
    synced: GroupSeq,
    /// To write jobs for itself and for the committer; none once it is closing.
    links: Option<(Lane<Keep>, Lane<Commit>)>,
    /// A step is queued.
    stepping: bool,
    stopped: bool,
}

impl Keeper {
    pub(crate) fn new(
        shared: Arc<Shared>,
        directory: Directory,
        lock: Option<File>,
        state: LogState,
        index: Index,
        logs: VecDeque<LogFile>,
        applied: GroupSeq,
    ) -> Keeper {
        Keeper {
            segments: Segments::new(directory.clone(), state.store),
            reserve: Reserve::new(&directory, directory.reserve(), u64::from(state.log_size)),
            manifest_reserve: Reserve::new(
                &directory,
                directory.manifest_reserve(),
                u64::from(state.log_size / MANIFEST_SHARE),
            ),
            shared,
            directory,
            lock,
            state,
            index,
            logs,
            retired: Vec::new(),
            work: Work::Nothing,
            manifest_due: false,
            compaction_due: true,
            stalled: false,
            growth: None,
            applied,
            synced: applied,
            links: None,
            stepping: false,
            stopped: false,
        }
    }

    /// The work function of its lane.
    pub(crate) fn work(&mut self, jobs: &mut VecDeque<Keep>) {
        for job in jobs.drain(..) {
            if self.stopped {
                refuse(job);
                continue;
            }
            if let Err(error) = self.take(job) {
                self.fail(&error);
            }
        }
        if !self.stopped {
            self.look_for_work();
            self.keep_stepping();
        }
    }

    fn take(&mut self, job: Keep) -> Result<(), Error> {
        match job {
            Keep::Link(keeper, committer) => {
                self.links = Some((keeper, committer));
                self.manifest_reserve.restore()?;
                self.reserve.restore()?;
            }
            Keep::Began { log, file, first, previous } => {
                self.index.begin_log(log);
                self.logs.push_back(LogFile { log, file, first, previous });
            }
            Keep::Grow { log, file, from, to } => self.grow(Growth { log, file, from, to })?,
            Keep::Committed(committed) => self.apply(&committed)?,
            Keep::Synced(seq) => {
                self.synced = seq;
                self.write_manifest_if_due()?;
            }
            Keep::Read(request, reply) => reply.send(self.plan(&request)),
            Keep::Harmed(harmed, reply) => reply.send(self.drop_harmed(harmed)),
            Keep::Step => {
                self.stepping = false;
                self.step()?;
            }
            Keep::Tick => self.tick()?,
            Keep::Close(reply) => self.close(reply)?,
            Keep::Failed => self.stop(),
        }
        Ok(())
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Error> {
        for (records, bodies_at) in &committed.parts {
            self.index.apply(committed.log, *bodies_at, records).map_err(|contradiction| {
                Error::damaged(&self.directory.log(committed.log), 0, Flaw::Contradiction(contradiction))
            })?;
        }
        self.applied = committed.seq;
        Ok(())
    }

    /// Gives a new log file blocks. Its size says how many it has.
    fn grow(&mut self, growth: Growth) -> Result<(), Error> {
        let Growth { log, ref file, from, to } = growth;
        let path = self.directory.log(log);
        let written = file.write_zeros_at(to.saturating_sub(from), from).map_err(|e| Error::io("write", &path, e));
        match written.and_then(|()| file.sync_all().map_err(|e| Error::io("sync", &path, e))) {
            Ok(()) => {
                if let Some((_, committer)) = &self.links {
                    let _ = committer.send(Commit::Room(log, to)); // gone: the runtime ends
                }
                Ok(())
            }
            Err(error) if error.is_full() => {
                self.growth = Some(growth);
                self.stall(&error)
            }
            Err(error) => Err(error),
        }
    }

    fn plan(&mut self, request: &ReadRequest) -> Result<Plan, Error> {
        self.mending(|it| plan::plan(request, &it.index, &it.logs, &mut it.segments, &it.directory))
    }

    // ---- work in the background

    fn look_for_work(&mut self) {
        if !matches!(self.work, Work::Nothing) || self.manifest_due || self.stalled {
            return;
        }
        if self.needs_flush() {
            self.begin_flush();
        } else if self.index.dead_segments().nth(DEAD_SEGMENTS_MAX).is_some() {
            self.manifest_due = true; // written when what comes next is synced, or at the next tick
        } else if std::mem::take(&mut self.compaction_due)
            && let Some(victims) = self.victims()
        {
            self.begin_compaction(victims);
        }
    }

    /// Whether the committer has fewer than two spare log files, and one can be emptied.
    fn needs_flush(&self) -> bool {
        let free = self.state.logs.len().saturating_sub(self.logs.len() + self.retired.len());
        free < 2 && self.logs.len() > 1
    }

    fn begin_flush(&mut self) {
        let Some(oldest) = self.logs.front() else { return };
        let mut items = VecDeque::new();
        for (queue, state) in self.index.queues_in(oldest.log) {
            for entry in state.lanes().flat_map(|(_, lane)| lane.entries_of(oldest.log)) {
                let entry = SegmentEntry { seq: entry.seq, attributes: entry.attributes, body: entry.body };
                items.push_back(Item { queue, source: 0, part: 0, entry });
            }
        }
        let (path, place) = (self.directory.log(oldest.log), Place::Log(oldest.log));
        let source = Source { file: oldest.file.clone(), path, place };
        let size = self.shared.options.segment_size;
        self.work = Work::Flush(Box::new(Copy::new(items, vec![source], size, self.state.store)));
    }

    /// Segments that are worth copying together: harmed ones, holed ones if there is a segment's size to be won, many small ones.
    fn victims(&self) -> Option<Vec<SegmentId>> {
        let full = u64::from(self.shared.options.segment_size);
        let (mut holed, mut small) = (Vec::new(), Vec::new());
        let mut dead_bytes = 0;
        if let Some(mended) = self.segments.mended().next() {
            return Some(vec![mended]); // what is sound of it goes where all is
        }
        for (id, usage) in self.index.segments() {
            let dead = usage.size * (u64::from(usage.count) - usage.live.min(u64::from(usage.count)))
                / u64::from(usage.count.max(1));
            if usage.live == 0 {
                continue;
            }
            if usage.live * 8 < u64::from(usage.count)
                || (usage.live * 2 < u64::from(usage.count) && self.is_holed(*id))
            {
                dead_bytes += dead;
                holed.push(*id);
            } else if usage.size < full / SMALL {
                small.push(*id);
            }
        }
        if dead_bytes >= full {
            holed.truncate(COMPACT_MAX);
            return Some(holed);
        }
        if small.len() >= SMALL_MAX {
            small.truncate(COMPACT_MAX);
            return Some(small);
        }
        None
    }

    /// Whether what is settled of a segment lies between what is not. A queue that is being drained is not holed: the rest of
    /// its segment will go by itself.
    fn is_holed(&self, segment: SegmentId) -> bool {
        let queues = self.index.queues();
        let mut runs = queues.iter().flat_map(|(_, queue)| queue.lanes()).flat_map(|(_, lane)| &lane.runs);
        runs.any(|run| run.segment == segment && !run.live.contains(run.last))
    }

    fn begin_compaction(&mut self, victims: Vec<SegmentId>) {
        match self.mending(|it| it.compaction(&victims)) {
            Ok((copy, parts)) => self.work = Work::Compact(Box::new(copy), victims, parts),
            Err(error) => self.fail(&error),
        }
    }

    #[expect(clippy::type_complexity, reason = "said at `Work::Compact`")]
    fn compaction(&mut self, victims: &[SegmentId]) -> Result<(Copy, Vec<(QueueKey, u8, SegmentId, u32)>), Error> {
        let (mut sources, mut parts, mut items) = (Vec::new(), Vec::new(), Vec::new());
        let mut source_of = BTreeMap::new();
        for id in victims {
            source_of.insert(*id, sources.len() as u32);
            let (path, place) = (self.directory.segment(*id), Place::Segment(*id));
            sources.push(Source { file: self.segments.file(*id)?, path, place });
        }
        for (queue, state) in self.index.queues() {
            for (number, lane) in state.lanes() {
                for run in &lane.runs {
                    let Some(&source) = source_of.get(&run.segment) else { continue };
                    let part = parts.len() as u32;
                    parts.push((queue, number, run.segment, run.start));
                    let index = self.segments.index(run.segment)?;
                    let entries = index.entries_of(run.start, run.count).iter();
                    let live = entries.filter(|entry| run.live.contains(entry.seq));
                    items.extend(live.map(|entry| Item { queue, source, part, entry: *entry }));
                }
            }
        }
        let size = self.shared.options.segment_size;
        Ok((Copy::new(items.into(), sources, size, self.state.store), parts))
    }

    fn keep_stepping(&mut self) {
        let has_work = !matches!(self.work, Work::Nothing) && !self.stalled;
        if has_work
            && !self.stepping
            && let Some((keeper, _)) = &self.links
        {
            self.stepping = keeper.send(Keep::Step).is_ok();
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        let copy = match &mut self.work {
            Work::Nothing => return Ok(()),
            Work::Flush(copy) | Work::Compact(copy, ..) => copy,
        };
        let step = copy.step(&self.directory, &mut self.state.next_segment);
        let harmed = copy.take_harmed();
        self.drop_harmed(harmed);
        match step {
            Ok(false) => Ok(()),
            Ok(true) => self.install(),
            Err(error) if error.is_full() => {
                self.stall(&error)?;
                self.abandon()
            }
            Err(error) => Err(error),
        }
    }

    fn abandon(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => Ok(()),
            Work::Flush(copy) | Work::Compact(copy, ..) => copy.abandon(&self.directory),
        }
    }

    /// The copies are complete: from here on they are what counts.
    fn install(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => return Ok(()),
            Work::Flush(copy) => {
                let outputs = copy.into_outputs();
                self.add_segments(&outputs)?;
                let mut runs = BTreeMap::<(QueueKey, u8), Vec<Run>>::new();
                for (queue, lane, run) in outputs.iter().flat_map(|output| output.index.index_runs(output.id)) {
                    runs.entry((queue, lane)).or_default().push(run);
                }
                if let Some(oldest) = self.logs.pop_front() {
                    self.index.flush(oldest.log, runs);
                    self.retired.push(oldest);
                }
            }
            Work::Compact(copy, victims, parts) => {
                let outputs = copy.into_outputs();
                self.add_segments(&outputs)?;
                self.replace(&outputs, &victims, &parts);
                add(&self.shared.counters.compactions, 1);
            }
        }
        self.manifest_due = true;
        self.write_manifest_if_due()
    }

    fn add_segments(&mut self, outputs: &[Output]) -> Result<(), Error> {
        for output in outputs {
            self.index.add_segment(output.id, output.usage);
            add(&self.shared.counters.segment_bytes, output.usage.size);
        }
        match outputs.is_empty() {
            true => Ok(()),
            false => self.directory.sync(&self.directory.segments()),
        }
    }

    fn replace(&mut self, outputs: &[Output], victims: &[SegmentId], parts: &[(QueueKey, u8, SegmentId, u32)]) {
        let mut copies = BTreeMap::<SegmentId, BTreeMap<(QueueKey, u8, u32), Vec<Run>>>::new();
        for output in outputs {
            for ((queue, lane, run), part) in output.index.index_runs(output.id).zip(&output.parts) {
                let Some((_, _, old, start)) = parts.get(*part as usize) else { continue };
                copies.entry(*old).or_default().entry((queue, lane, *start)).or_default().push(run);
            }
        }
        for victim in victims {
            self.index.replace(*victim, copies.remove(victim).unwrap_or_default());
        }
    }

    /// Replaces the manifest, and then lets go of what the old one needed. Only of what is synced: while a group is written
    /// and not synced, it waits.
    fn write_manifest_if_due(&mut self) -> Result<(), Error> {
        if !self.manifest_due || self.applied != self.synced {
            return Ok(());
        }
        if let Some(oldest) = self.logs.front() {
            (self.state.replay_from, self.state.previous) = (oldest.first, oldest.previous);
        }
        self.state.known_end = self.applied.next();
        let bytes = manifest::encode(&self.state, &self.index);
        match self.directory.write_manifest(&bytes) {
            Ok(()) => {}
            Err(error) if error.is_full() => {
                self.shared.set_blocked(Some(&error));
                self.stalled = true;
                return match self.manifest_reserve.lend()? {
                    true => self.write_manifest_if_due(),
                    false => Ok(()),
                };
            }
            Err(error) => return Err(error),
        }
        (self.manifest_due, self.compaction_due) = (false, true);
        add(&self.shared.counters.manifests, 1);
        add(&self.shared.counters.manifest_bytes, bytes.len() as u64);
        self.let_go()?;
        self.unblock_if_well();
        self.count();
        Ok(())
    }

    fn let_go(&mut self) -> Result<(), Error> {
        for id in self.index.take_dead_segments() {
            self.segments.forget(id);
            self.directory.remove(&self.directory.segment(id))?;
        }
        for retired in self.retired.drain(..) {
            add(&self.shared.counters.log_files_emptied, 1);
            if let Some((_, committer)) = &self.links {
                let path = self.directory.log(retired.log);
                let blocks = retired.file.metadata().map_err(|e| Error::io("look at", &path, e))?.len();
                let spare = Spare { log: retired.log, file: retired.file, blocks };
                let _ = committer.send(Commit::Spare(spare)); // gone: the runtime ends
            }
        }
        Ok(())
    }

    fn count(&self) {
        let counters = &self.shared.counters;
        set(&counters.segments, self.index.segments().len() as u64);
        set(&counters.segment_bytes_held, self.index.segments().values().map(|usage| usage.size).sum());
        set(&counters.log_bytes_held, self.state.logs.len() as u64 * u64::from(self.state.log_size));
    }

    // ---- the rest

    /// There may be room again; dead segments that nothing else has removed go.
    fn tick(&mut self) -> Result<(), Error> {
        (self.stalled, self.compaction_due) = (false, true);
        if let Some(growth) = self.growth.take() {
            self.grow(growth)?;
        }
        self.manifest_due |= self.index.dead_segments().next().is_some();
        self.write_manifest_if_due()?;
        if !self.manifest_due && self.growth.is_none() && !self.needs_flush() {
            self.manifest_reserve.restore()?;
            self.reserve.restore()?;
        }
        self.unblock_if_well();
        Ok(())
    }

    fn unblock_if_well(&self) {
        let is_whole = self.reserve.is_whole() && self.manifest_reserve.is_whole();
        if !self.manifest_due && self.growth.is_none() && !self.needs_flush() && is_whole {
            self.shared.set_blocked(None);
        }
    }

    /// No room: it is tried again at once with the room that was kept for this, and else at the next tick.
    fn stall(&mut self, error: &Error) -> Result<(), Error> {
        self.shared.set_blocked(Some(error));
        self.manifest_due |= self.index.dead_segments().next().is_some();
        self.stalled = !self.reserve.lend()?;
        if !self.stalled
            && let Some(growth) = self.growth.take()
        {
            self.grow(growth)?;
        }
        Ok(())
    }

    fn close(&mut self, reply: Option<Reply<Result<(), Error>>>) -> Result<(), Error> {
        let outcome = self.abandon().and_then(|()| {
            self.manifest_due = true;
            self.write_manifest_if_due()
        });
        self.stop();
        match reply {
            Some(reply) => {
                reply.send(outcome);
                Ok(())
            }
            None => outcome,
        }
    }

    fn fail(&mut self, error: &Error) {
        self.shared.fail(error);
        if let Some((_, committer)) = &self.links {
            let _ = committer.send(Commit::Failed); // gone: the runtime ends
        }
        self.stop();
    }

    /// Does nothing any more, and gives back the directory.
    fn stop(&mut self) {
        self.stopped = true;
        self.links = None;
        self.lock = None;
    }
}

fn refuse(job: Keep) {
    match job {
        Keep::Read(_, reply) => reply.send(Err(Error::Closed)),
        Keep::Close(Some(reply)) => reply.send(Err(Error::Closed)),
        _ => {}
    }
}
