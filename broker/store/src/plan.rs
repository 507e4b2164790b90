//! Reading messages back: where they lie (the keeper says), and the reading itself (which the asking shard does).
//!
//! The keeper only names files and places, so a shard that drains a deep backlog reads at the disk's speed and holds up
//! nobody. A file named here can be read to the end even if it is removed meanwhile. A log file can be used again
//! meanwhile: then the checksum is wrong, and the keeper is asked whether the message still lies there.

use std::collections::VecDeque;
use std::path::PathBuf;

use leveret_runtime::fs::File;

use crate::attributes::Attributes;
use crate::bodies::Bodies;
use crate::directory::Directory;
use crate::error::Error;
use crate::ids::{QueueKey, Seq};
use crate::index::{Index, Queue};
use crate::keeper::LogFile;
use crate::lane::{Body, Lane};
use crate::losses::{Harmed, Place};
use crate::record::SeqRange;
use crate::segments::Segments;

/// Bytes of one read.
const PIECE_SIZE: u64 = 1024 * 1024;
/// Bytes between two messages that are rather read than skipped.
const GAP_MAX: u64 = 16 * 1024;

/// What to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest {
    pub(crate) queue: QueueKey,
    pub(crate) range: SeqRange,
    pub(crate) limits: ReadLimits,
}

/// How much to read at once: the first of both ends it, but one message always fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// Bytes of bodies.
    pub bytes: usize,
    /// Messages.
    pub messages: usize,
}

impl Default for ReadLimits {
    /// 1 MiB, 2,048 messages.
    fn default() -> Self {
        Self { bytes: 1024 * 1024, messages: 2048 }
    }
}

/// A message as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its place in the queue.
    pub seq: Seq,
    /// What was kept beside it.
    pub attributes: Attributes,
    /// The count of the last [`requeue`](crate::Writer::requeue); 0 if there was none.
    pub delivery_count: u32,
    /// What was published.
    pub body: Vec<u8>,
}

/// Where messages lie, in their order.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) pieces: Vec<Piece>,
}

/// What came of carrying out a plan.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) found: Vec<Message>,
    /// Not where they should be. A log file may have been used again meanwhile.
    pub(crate) harmed: Vec<Harmed>,
}

/// Messages that one read can serve.
#[derive(Debug)]
pub(crate) struct Piece {
    queue: QueueKey,
    file: File,
    path: PathBuf,
    place: Place,
    from: u64,
    end: u64,
    messages: Vec<Planned>,
}

#[derive(Clone, Copy, Debug)]
struct Planned {
    seq: Seq,
    attributes: Attributes,
    delivery_count: u32,
    body: Body,
}

impl Piece {
    /// Bytes to read.
    pub(crate) fn size(&self) -> u64 {
        self.end - self.from
    }

    /// Reads the messages, and checks them.
    pub(crate) fn read(&self, reading: &mut Reading) -> Result<(), Error> {
        let bodies = Bodies::read(&self.file, &self.path, self.from..self.end)?;
        for planned in &self.messages {
            let Planned { seq, attributes, delivery_count, body } = *planned;
            match bodies.take(body)? {
                Some(bytes) => {
                    reading.found.push(Message { seq, attributes, delivery_count, body: bytes.into_owned() });
                }
                None => {
                    let (queue, place, offset) = (self.queue, self.place, body.offset);
                    reading.harmed.push(Harmed { queue, seq, place, offset });
                }
            }
        }
        Ok(())
    }
}

/// Finds the live messages of a range, the first ones that the limits allow.
pub(crate) fn plan(
    request: &ReadRequest,
    index: &Index,
    logs: &VecDeque<LogFile>,
    segments: &mut Segments,
    directory: &Directory,
) -> Result<Plan, Error> {
    let mut planner =
        Planner { queue: request.queue, plan: Plan::default(), limits: request.limits, logs, segments, directory };
    let Some(queue) = index.queue(request.queue) else { return Ok(planner.plan) };
    let lanes = request.range.first.lane()..=request.range.last.lane();
    for (_, lane) in queue.lanes().filter(|(number, _)| lanes.contains(number)) {
        if !planner.lane(queue, lane, request.range)? {
            break;
        }
    }
    Ok(planner.plan)
}

struct Planner<'a> {
    queue: QueueKey,
    plan: Plan,
    /// What is left of them.
    limits: ReadLimits,
    logs: &'a VecDeque<LogFile>,
    segments: &'a mut Segments,
    directory: &'a Directory,
}

impl Planner<'_> {
    /// False when the limits are reached.
    fn lane(&mut self, queue: &Queue, lane: &Lane, range: SeqRange) -> Result<bool, Error> {
        let start = lane.runs.partition_point(|run| run.last < range.first);
        for run in lane.runs.iter().skip(start).take_while(|run| run.first <= range.last) {
            let index = self.segments.index(run.segment)?;
            let (file, path) = (self.segments.file(run.segment)?, self.directory.segment(run.segment));
            let entries = index.entries_of(run.start, run.count);
            let from = entries.partition_point(|entry| entry.seq < range.first);
            let entries = entries.iter().skip(from).take_while(|entry| entry.seq <= range.last);
            for entry in entries.filter(|entry| run.live.contains(entry.seq)) {
                let delivery_count = queue.delivery_count(entry.seq);
                let planned =
                    Planned { seq: entry.seq, attributes: entry.attributes, delivery_count, body: entry.body };
                if !self.add(planned, Place::Segment(run.segment), || (file.clone(), path.clone())) {
                    return Ok(false);
                }
            }
        }
        for entry in lane.entries_in(range) {
            let delivery_count = queue.delivery_count(entry.seq);
            let planned = Planned { seq: entry.seq, attributes: entry.attributes, delivery_count, body: entry.body };
            let Some(log) = self.logs.iter().find(|log| log.log == entry.log) else { return Err(Error::Closed) };
            let path = self.directory.log(log.log);
            if !self.add(planned, Place::Log(log.log), || (log.file.clone(), path)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&mut self, planned: Planned, place: Place, file: impl FnOnce() -> (File, PathBuf)) -> bool {
        let size = planned.body.size as usize;
        let is_first = self.plan.pieces.is_empty();
        if !is_first && (self.limits.bytes < size || self.limits.messages == 0) {
            return false;
        }
        self.limits.bytes = self.limits.bytes.saturating_sub(size);
        self.limits.messages = self.limits.messages.saturating_sub(1);
        let (from, end) = (u64::from(planned.body.offset), u64::from(planned.body.offset) + size as u64);
        let (file, path) = file();
        match self.plan.pieces.last_mut() {
            Some(piece)
                if piece.path == path
                    && from >= piece.from
                    && from <= piece.end + GAP_MAX
                    && end <= piece.from + PIECE_SIZE =>
            {
                piece.end = piece.end.max(end);
                piece.messages.push(planned);
            }
            _ => self.plan.pieces.push(Piece {
                queue: self.queue,
                file,
                path,
                place,
                from,
                end,
                messages: vec![planned],
            }),
        }
        true
    }
}
