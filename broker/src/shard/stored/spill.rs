//! Messages that nobody else keeps (transient ones, and stored ones between them) go to scratch files when memory is short.
//!
//! A stretch of about a megabyte is one file without a name; it goes with the last of its messages, with the queue, or with the
//! process. While it is being written its messages are in memory still, and a queue may have only a few of those at once. If it
//! cannot be written, they stay there: memory is what the alarm is for.
//!
//! ```text
//!   place u64 | expiry u64, 0: none | requeues u32 | stored u8 | the record that the store would keep
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use leveret_core::queue::{Page, Paged};
use leveret_core::{QueueId, Seq, Time};
use leveret_runtime as runtime;
use leveret_store::{Damage, QueueKey, Scratch, Seq as StoredSeq, Stretch};

use super::paging::Fetch;
use super::record::{self, Malformed};
use super::recovery::RecoveryError;
use crate::shard::Shard;
use crate::shard::queues::Command;

/// Bytes before the record.
const FIXED_SIZE: usize = 21;

/// Messages that are written out or made before others come in between.
const PER_TURN: usize = 128;

/// What a queue has in scratch files, by the place of each file's first message.
pub type Spills = BTreeMap<Seq, Rc<Spill>>;

/// Messages that have left a queue's memory.
pub struct Spill {
    /// The place of the last one.
    pub last: Seq,
    kept: RefCell<Kept>,
}

enum Kept {
    /// They are being written, or could not be.
    Here(Rc<Vec<Paged>>),
    There(Rc<Stretch>),
}

impl Spill {
    /// Bytes of memory that it takes while it is not written.
    pub fn held_bytes(&self) -> u64 {
        match &*self.kept.borrow() {
            Kept::Here(messages) => messages.iter().map(|it| it.message.size() as u64).sum(),
            Kept::There(_) => 0,
        }
    }
}

impl Shard {
    /// Writes messages away for a queue.
    pub(in crate::shard) fn spill(self: &Rc<Self>, queue: QueueId, last: Seq, messages: Vec<Paged>) -> Rc<Spill> {
        let messages = Rc::new(messages);
        let spill = Rc::new(Spill { last, kept: RefCell::new(Kept::Here(messages.clone())) });
        let (shard, target) = (self.clone(), Rc::downgrade(&spill));
        drop(runtime::spawn(move || {
            let written = shard.write_away(&messages);
            if let (Some(stretch), Some(spill)) = (written, target.upgrade()) {
                let before = spill.kept.replace(Kept::There(Rc::new(stretch)));
                drop(before); // not under the borrow
            }
            shard.command_here(queue, Command::Spilled);
        }));
        spill
    }

    fn write_away(&self, messages: &[Paged]) -> Option<Stretch> {
        let scratch = self.stored.scratch.borrow().clone()?;
        let mut records = Vec::with_capacity(messages.len());
        for (index, message) in messages.iter().enumerate() {
            if index % PER_TURN == PER_TURN - 1 {
                runtime::yield_now();
            }
            records.push(encode(message));
        }
        match scratch.put(&records) {
            Ok(stretch) => Some(stretch),
            Err(error) => {
                log::warn!("{} messages stay in memory, though it is short: {error}", messages.len());
                None
            }
        }
    }

    /// The messages of a scratch file from the place that is asked for on.
    pub(super) fn read_spill(&self, queue: QueueId, fetch: Fetch, spill: &Spill) -> Result<Page, RecoveryError> {
        let kept = match &*spill.kept.borrow() {
            Kept::Here(messages) => Ok(messages.clone()),
            Kept::There(stretch) => Err(stretch.clone()),
        };
        let wanted = fetch.first..=fetch.last;
        let messages = match kept {
            Ok(messages) => messages.iter().filter(|it| wanted.contains(&it.seq)).cloned().collect(),
            Err(stretch) => self.read_stretch(queue, &stretch, |seq| wanted.contains(&seq))?,
        };
        Ok(Page { first: fetch.first, through: fetch.last, messages })
    }

    fn read_stretch(
        &self,
        queue: QueueId,
        stretch: &Stretch,
        is_wanted: impl Fn(Seq) -> bool,
    ) -> Result<Vec<Paged>, RecoveryError> {
        let (mut messages, mut harmed) = (Vec::new(), Vec::new());
        for (index, read) in stretch.read(0..stretch.len())?.into_iter().enumerate() {
            if index % PER_TURN == PER_TURN - 1 {
                runtime::yield_now();
            }
            let bytes = match read {
                Ok(bytes) => bytes,
                Err(damage) => {
                    harmed.push(damage);
                    continue;
                }
            };
            let message = self.decode(&bytes, &is_wanted).map_err(|malformed| RecoveryError::Message {
                queue: QueueKey(queue.0),
                seq: StoredSeq(fixed(&bytes).map_or(0, |it| it.seq.0)),
                malformed,
            })?;
            messages.extend(message);
        }
        self.give_up(queue, &harmed);
        Ok(messages)
    }

    /// Messages that the disk has harmed are gone; all others go on.
    fn give_up(&self, queue: QueueId, harmed: &[Damage]) {
        let (Some(first), Some(store)) = (harmed.first(), self.stored.store()) else { return };
        let Damage { path, offset, what } = first;
        let (count, queue, path) = (harmed.len(), queue.0, path.display());
        log::error!("{count} messages of queue {queue} are dropped: {path}, from byte {offset} on: {what}");
        store.count_lost(count as u64);
    }

    fn decode(&self, bytes: &[u8], is_wanted: &impl Fn(Seq) -> bool) -> Result<Option<Paged>, Malformed> {
        let Fixed { seq, expiry, requeues, stored } = fixed(bytes).ok_or(Malformed::Short)?;
        if !is_wanted(seq) {
            return Ok(None);
        }
        let message = self.made_of(bytes.get(FIXED_SIZE..).unwrap_or_default())?;
        Ok(Some(Paged { seq, message, expiry, requeues, stored }))
    }
}

/// What stands before the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fixed {
    seq: Seq,
    expiry: Option<Time>,
    requeues: u32,
    stored: bool,
}

fn encode(paged: &Paged) -> Vec<u8> {
    let message = &paged.message;
    let mut head = Vec::new();
    record::write_head(message, &mut head);
    let size = FIXED_SIZE + head.len() + message.properties().len() + message.body().len();
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(paged.seq.0.to_le_bytes());
    bytes.extend(paged.expiry.map_or(0, |time| time.0.max(1)).to_le_bytes());
    bytes.extend(paged.requeues.to_le_bytes());
    bytes.push(u8::from(paged.stored));
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(message.properties());
    bytes.extend_from_slice(message.body());
    bytes
}

fn fixed(bytes: &[u8]) -> Option<Fixed> {
    let (seq, rest) = bytes.split_first_chunk::<8>()?;
    let (expiry, rest) = rest.split_first_chunk::<8>()?;
    let (requeues, rest) = rest.split_first_chunk::<4>()?;
    let expiry = Some(u64::from_le_bytes(*expiry)).filter(|time| *time != 0);
    Some(Fixed {
        seq: Seq(u64::from_le_bytes(*seq)),
        expiry: expiry.map(Time),
        requeues: u32::from_le_bytes(*requeues),
        stored: *rest.first()? != 0,
    })
}

/// A shard's directory for scratch files; `None` until there is one.
pub type ScratchDirectory = RefCell<Option<Rc<Scratch>>>;

#[cfg(test)]
mod tests {
    use leveret_core::message::Message;

    use super::*;

    #[test]
    fn what_is_written_before_the_record_is_read() {
        for (expiry, requeues, stored) in [(None, 0, false), (Some(Time(7)), 3, true), (Some(Time(u64::MAX)), 0, true)]
        {
            let mut message = Message::builder("x", "k", b"\0\0", 4);
            message.body(b"body");
            let paged = Paged { seq: Seq(5 << 56 | 9), message: message.build(), expiry, requeues, stored };
            let bytes = encode(&paged);
            assert_eq!(fixed(&bytes), Some(Fixed { seq: paged.seq, expiry, requeues, stored }));
            let kept = record::parse(&bytes[FIXED_SIZE..]).expect("just written");
            assert_eq!((kept.body, kept.is_persistent), (&b"body"[..], false));
            assert_eq!(fixed(&bytes[..FIXED_SIZE - 1]), None);
        }
    }
}
