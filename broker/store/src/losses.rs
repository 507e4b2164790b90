//! Messages that cannot be read back while the store runs: they are dropped, counted and told of; all others go on.
//!
//! ```text
//!   reader: a body fails twice --\
//!   copy: a body fails twice -----+--> keeper: does it lie there still? --yes--> settled, counted, logged with file and offset
//!   an index fails its checksum --/                                    --no---> it has moved: it is read where it is now
//! ```
//!
//! What is dropped is settled in the index and, with the next manifest, on the disk. The log has no record of it and needs none:
//! whoever replays the log without that manifest finds the same damage again. Damage costs the messages that lie in it
//! and no others, however much of it there is. What the disk does not give (EIO) is not known to be lost, and never dropped: whoever
//! reads it gets the error, and the broker stops with it.

use std::path::PathBuf;

use crate::error::{Damage, Error, Flaw};
use crate::ids::{LogId, QueueKey, SegmentId, Seq};
use crate::keeper::Keeper;
use crate::record::SeqRange;
use crate::stats::add;

/// The file that a message lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Log(LogId),
    Segment(SegmentId),
}

/// A message whose body could not be had.
#[derive(Debug)]
pub(crate) struct Harmed {
    pub(crate) queue: QueueKey,
    pub(crate) seq: Seq,
    pub(crate) place: Place,
    pub(crate) offset: u32,
}

impl Keeper {
    /// Drops messages that could not be read where they lay, unless they lie elsewhere by now: those are answered, in the
    /// order in which they came.
    pub(crate) fn drop_harmed(&mut self, harmed: Vec<Harmed>) -> Vec<Seq> {
        let (mut moved, mut dropped) = (Vec::new(), Vec::new());
        for it in harmed {
            match self.index.place(it.queue, it.seq) {
                Some(place) if place == it.place => {
                    self.index.settle(it.queue, SeqRange::one(it.seq));
                    dropped.push(it);
                }
                Some(_) => moved.push(it.seq),
                None => {} // settled meanwhile
            }
        }
        for same_file in dropped.chunk_by(|one, next| one.place == next.place) {
            self.tell_of(same_file);
        }
        moved
    }

    /// What a segment's index says is not what was written: what can be trusted of it is from now on the index.
    fn mend(&mut self, segment: SegmentId, damage: Damage) -> Result<(), Error> {
        let damage = Error::Damaged(Box::new(damage));
        let Some(usage) = self.index.segments().get(&segment).copied() else { return Err(damage) };
        let lost = self.segments.mend(segment, &usage, &self.index.runs_of(segment))?;
        let count = lost.len() as u64;
        log::error!("{damage}. Of its messages {count} cannot be found any more; they are dropped");
        add(&self.shared.counters.messages_lost, count);
        lost.iter().for_each(|(queue, seq)| self.index.settle(*queue, SeqRange::one(*seq)));
        self.compaction_due = true;
        Ok(())
    }

    /// Does what reads indexes, and once more for each that was harmed.
    pub(crate) fn mending<T>(&mut self, read: impl Fn(&mut Keeper) -> Result<T, Error>) -> Result<T, Error> {
        loop {
            match read(self) {
                Err(Error::Damaged(damage)) => match self.directory.segment_at(&damage.path) {
                    Some(segment) if !self.segments.is_mended(segment) => self.mend(segment, *damage)?,
                    _ => return Err(Error::Damaged(damage)),
                },
                other => return other,
            }
        }
    }

    fn tell_of(&self, same_file: &[Harmed]) {
        let Some(first) = same_file.first() else { return };
        add(&self.shared.counters.messages_lost, same_file.len() as u64);
        let (queue, seq, count) = (first.queue, first.seq, same_file.len());
        let error = self.error_of(first);
        log::error!(
            "{count} messages of queue {queue} from number {seq} on cannot be read back and are dropped: {error}"
        );
    }

    fn error_of(&self, harmed: &Harmed) -> Error {
        Error::damaged(&self.path_of(harmed.place), u64::from(harmed.offset), Flaw::Body)
    }

    fn path_of(&self, place: Place) -> PathBuf {
        match place {
            Place::Log(log) => self.directory.log(log),
            Place::Segment(segment) => self.directory.segment(segment),
        }
    }
}
