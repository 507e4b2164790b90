//! The committer: the one thread that writes the log.
//!
//! It takes the batches that have come from all shards, writes them as one group, syncs, and moves the writers' positions
//! on. What comes meanwhile is the next group: there is no timer, a lone batch is durable after one sync, and under load
//! groups grow to what one write should carry.
//!
//! When a file is full it goes on in a spare one, which the keeper gives it. Without one it waits, and so do confirms: that
//! is how a disk that cannot empty the log as fast as it fills slows the publishers down.
//!
//! A failed write or sync is the end. After one the kernel may have dropped what it could not write and say of the next
//! sync that all is well, so nothing is tried again.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_runtime::fs::File;
use leveret_runtime::lane::{Lane, Reply};

use crate::batch::Batch;
use crate::directory::Directory;
use crate::error::Error;
use crate::group::{self, ALIGNMENT, BATCHES_MAX, Chain, HEAD_SIZE, LINE_SIZE};
use crate::ids::{GroupSeq, LogId};
use crate::keeper::{Committed, Keep};
use crate::options::Confirm;
use crate::shared::{Shared, WriterState};
use crate::stats::add;

const ZEROS: [u8; ALIGNMENT] = [0; ALIGNMENT];
/// Bytes that a new log file has ready ahead of the groups, and by how many more it then grows.
const GROW_AHEAD: u64 = 4 * 1024 * 1024;
const GROW_STEP: u64 = 4 * 1024 * 1024;

/// A job of the committer.
pub(crate) enum Commit {
    Batch(Batch, Arc<WriterState>),
    /// A log file that nothing needs any more.
    Spare(Spare),
    /// The log file has blocks up to here.
    Room(LogId, u64),
    /// The keeper has failed: nobody is to wait for it.
    Failed,
    /// The last job: what came before is written, then the keeper closes.
    Close(Option<Reply<Result<(), Error>>>),
}

/// See the module's description.
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) directory: Directory,
    pub(crate) keeper: Option<Lane<Keep>>,
    pub(crate) store: u64,
    /// Where the next group goes.
    pub(crate) next: GroupSeq,
    pub(crate) previous: u32,
    pub(crate) current: Option<Current>,
    pub(crate) spares: VecDeque<Spare>,
    pub(crate) log_size: u64,
    /// State of the generator of incarnations.
    pub(crate) incarnations: u64,
    /// The file that the keeper is giving blocks to, and up to where.
    pub(crate) growing: Option<(LogId, u64)>,
}

/// A log file without anything that is needed.
pub(crate) struct Spare {
    pub(crate) log: LogId,
    pub(crate) file: File,
    /// Up to here it has blocks that were written before: elsewhere a sync costs five times as much.
    pub(crate) blocks: u64,
}

/// The file that is written.
pub(crate) struct Current {
    pub(crate) log: LogId,
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) incarnation: u64,
    /// As [`Spare::blocks`].
    pub(crate) blocks: u64,
}

impl Committer {
    /// The work function of its lane: writes one group, if there is something to write and room for it.
    pub(crate) fn work(&mut self, jobs: &mut VecDeque<Commit>) {
        self.take_spares(jobs);
        if self.shared.has_failed() || self.keeper.is_none() {
            refuse(jobs);
            return;
        }
        if matches!(jobs.front(), Some(Commit::Close(_))) {
            self.close(jobs);
            return;
        }
        let Some(room) = self.room_for(jobs.front()) else { return };
        let (batches, writers) = take_group(jobs, self.shared.options.group_size.min(room));
        if batches.is_empty() {
            return;
        }
        if let Err(error) = self.commit(batches, &writers) {
            self.shared.fail(&error);
            writers.iter().for_each(|(writer, _)| writer.durable.end());
            if let Some(keeper) = &self.keeper {
                let _ = keeper.send(Keep::Failed); // gone: it needs no telling
            }
            refuse(jobs);
        }
    }

    /// What the keeper says goes first: the batches may be waiting for it.
    fn take_spares(&mut self, jobs: &mut VecDeque<Commit>) {
        if !jobs.iter().any(|job| matches!(job, Commit::Spare(_) | Commit::Room(..))) {
            return;
        }
        let others = std::mem::take(jobs);
        for job in others {
            match job {
                Commit::Spare(spare) => self.spares.push_back(spare),
                Commit::Room(log, blocks) => self.has_room(log, blocks),
                other => jobs.push_back(other),
            }
        }
    }

    fn has_room(&mut self, log: LogId, blocks: u64) {
        self.growing = None;
        match &mut self.current {
            Some(current) if current.log == log => current.blocks = blocks,
            _ => self.spares.iter_mut().filter(|spare| spare.log == log).for_each(|spare| spare.blocks = blocks),
        }
    }

    /// Bytes for a group that begins with this job, in this file or the next; `None` when there are none yet.
    fn room_for(&mut self, job: Option<&Commit>) -> Option<usize> {
        let Some(Commit::Batch(first, _)) = job else { return Some(0) };
        let needed = group::padded(HEAD_SIZE + LINE_SIZE + first.size()) as u64;
        let fits = self.current.as_ref().is_some_and(|current| current.offset + needed <= self.log_size);
        if !fits {
            self.rotate()?;
        }
        self.grow_ahead(needed);
        let current = self.current.as_ref()?;
        let room = current.blocks.saturating_sub(current.offset);
        usize::try_from(room).ok().filter(|_| room >= needed)
    }

    /// A new log file gets its blocks as it fills, some megabytes ahead of the groups; the next one while this one fills, so
    /// that settling has room on a disk that is full.
    fn grow_ahead(&mut self, needed: u64) {
        let (Some(current), Some(keeper), None) = (&self.current, &self.keeper, self.growing) else { return };
        let wanted = (current.offset + needed.max(GROW_AHEAD)).min(self.log_size);
        let wants_blocks = |spare: &&Spare| spare.blocks < self.log_size && current.offset > self.log_size / 4;
        let (log, file, from, to) = match self.spares.front().filter(wants_blocks) {
            _ if current.blocks < wanted => (current.log, &current.file, current.blocks, wanted + GROW_STEP),
            Some(spare) => (spare.log, &spare.file, spare.blocks, spare.blocks + GROW_STEP),
            None => return,
        };
        let to = to.min(self.log_size);
        self.growing = Some((log, to));
        let _ = keeper.send(Keep::Grow { log, file: file.clone(), from, to }); // gone: the store is closing
    }

    fn rotate(&mut self) -> Option<()> {
        let Spare { log, file, blocks } = self.spares.pop_front()?;
        let keeper = self.keeper.as_ref()?;
        let began = Keep::Began { log, file: file.clone(), first: self.next, previous: self.previous };
        let _ = keeper.send(began); // gone: the store is closing
        self.incarnations = self.incarnations.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.current = Some(Current { log, file, offset: 0, incarnation: mix(self.incarnations), blocks });
        Some(())
    }

    fn commit(&mut self, batches: Vec<Batch>, writers: &[(Arc<WriterState>, u64)]) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Err(Error::Closed) };
        let chain =
            Chain { store: self.store, incarnation: current.incarnation, seq: self.next, previous: self.previous };
        let size = group::size_of(&batches);
        let (head, crc) = group::encode_head(chain, &batches);
        let path = || self.directory.log(current.log);
        write(&current.file, current.offset, &head, &batches, size).map_err(|e| Error::io("write", &path(), e))?;
        let offset = current.offset;
        current.offset += group::padded(size) as u64;
        let (file, log) = (current.file.clone(), current.log);
        self.count(&batches, group::padded(size));
        let committed = Committed::new(log, offset, self.next, batches);
        (self.next, self.previous) = (self.next.next(), crc);
        let path = self.directory.log(log);
        let sync = || file.sync_data().map_err(|e| Error::io("sync", &path, e));
        let seq = committed.seq;
        match self.shared.options.confirm {
            Confirm::Synced => {
                sync()?;
                self.publish(committed, writers);
            }
            Confirm::Written => {
                self.publish(committed, writers);
                sync()?;
            }
        }
        self.tell(Keep::Synced(seq));
        Ok(())
    }

    /// The keeper learns of the group before any shard does: whoever asks it to read after seeing the position finds all.
    fn publish(&self, committed: Committed, writers: &[(Arc<WriterState>, u64)]) {
        let positions = committed.positions.clone();
        self.tell(Keep::Committed(committed));
        for ((writer, size), position) in writers.iter().zip(positions) {
            writer.in_flight.fetch_sub(*size, Ordering::Relaxed);
            writer.durable.advance(position.0);
        }
    }

    fn tell(&self, message: Keep) {
        if let Some(keeper) = &self.keeper {
            let _ = keeper.send(message); // gone only when the runtime ends
        }
    }

    fn count(&self, batches: &[Batch], size: usize) {
        let counters = &self.shared.counters;
        add(&counters.groups, 1);
        add(&counters.batches, batches.len() as u64);
        add(&counters.records, batches.iter().map(|batch| u64::from(batch.record_count)).sum());
        add(&counters.log_bytes, size as u64);
    }

    fn close(&mut self, jobs: &mut VecDeque<Commit>) {
        let Some(Commit::Close(reply)) = jobs.pop_front() else { return };
        self.tell(Keep::Close(reply));
        self.keeper = None;
        refuse(jobs);
    }
}

/// Batches from the front, as many as `limit` bytes of a group allow, and at least one; with their writers and sizes.
fn take_group(jobs: &mut VecDeque<Commit>, limit: usize) -> (Vec<Batch>, Vec<(Arc<WriterState>, u64)>) {
    let (mut batches, mut writers) = (Vec::new(), Vec::new());
    let mut size = HEAD_SIZE;
    while let Some(Commit::Batch(next, _)) = jobs.front() {
        size += LINE_SIZE + next.size();
        let full = batches.len() == BATCHES_MAX || group::padded(size) > limit;
        if full && !batches.is_empty() {
            break;
        }
        if let Some(Commit::Batch(batch, writer)) = jobs.pop_front() {
            writers.push((writer, batch.size() as u64));
            batches.push(batch);
        }
    }
    (batches, writers)
}

fn refuse(jobs: &mut VecDeque<Commit>) {
    for job in jobs.drain(..) {
        match job {
            Commit::Batch(_, writer) => writer.durable.end(),
            Commit::Close(Some(reply)) => reply.send(Err(Error::Closed)),
            Commit::Close(None) | Commit::Spare(_) | Commit::Room(..) | Commit::Failed => {}
        }
    }
}

fn write(file: &File, offset: u64, head: &[u8], batches: &[Batch], size: usize) -> std::io::Result<()> {
    let mut slices = Vec::with_capacity(batches.len() * 2 + 2);
    slices.push(IoSlice::new(head));
    slices.extend(batches.iter().map(|batch| IoSlice::new(&batch.records)));
    slices.extend(batches.iter().map(|batch| IoSlice::new(&batch.bodies)));
    let padding = ZEROS.get(..group::padded(size) - size).unwrap_or_default();
    slices.push(IoSlice::new(padding));
    slices.retain(|slice| !slice.is_empty());
    file.write_all_vectored_at(&mut slices, offset)
}

/// The finalizer of splitmix64: neighbours in, no likeness out.
fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}
