//! Pages: what a long queue has not in memory is read back here, ahead of whoever consumes it, without holding up the shard.
//!
//! ```text
//!   queue: Fetch --> a coroutine of its own: store.read, off the shard --> queue: page --> the next Fetch
//! ```
//!
//! A queue asks for one page at a time, and only a few queues of a shard are served at once, so a thousand long queues take
//! turns. What a queue has just published may be on its way to the log still: if the store does not know the end of what
//! was asked for, the coroutine waits for the disk and asks once more.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::message::Message;
use leveret_core::queue::{Page, Paged, Queue};
use leveret_core::{QueueId, Seq, Time};
use leveret_runtime as runtime;
use leveret_store::{Message as Kept, ReadLimits, Seq as StoredSeq, SeqRange, Store};
use runtime::sync::{Event, Semaphore};

use super::key;
use super::record::{self, Malformed};
use super::recovery::RecoveryError;
use super::spill::Spill;
use crate::shard::queues::Command;
use crate::shard::{Shard, stop_process};

/// Pages of a shard that are read at the same time.
const READS_MAX: usize = 4;

/// Messages of a page, at most.
const PAGE_MESSAGES_MAX: usize = 8192;

/// Bytes of the pages for whoever wants to see the beginning of a stream.
const PEEK_SIZE: u64 = 256 * 1024;

/// Messages that are made before others come in between: some tenths of a millisecond.
const MADE_PER_TURN: usize = 128;

/// Pages on their way.
pub struct Reads {
    permits: Semaphore,
    count: Cell<usize>,
    /// Set when there are none.
    idle: Event,
}

impl Default for Reads {
    fn default() -> Self {
        Self { permits: Semaphore::new(READS_MAX), count: Cell::new(0), idle: Event::new() }
    }
}

/// What a queue asks for.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    /// Where to begin.
    pub first: Seq,
    /// Where to end, unless there is enough before.
    pub last: Seq,
    /// Bytes that are enough.
    pub size: u64,
}

impl Shard {
    /// Reads a page for a queue, and gives it to it.
    pub(in crate::shard) fn fetch(self: &Rc<Self>, queue: QueueId, fetch: Fetch, spill: Option<Rc<Spill>>) {
        let shard = self.clone();
        self.stored.reads.begin();
        drop(runtime::spawn(move || {
            let page = {
                let _permit = shard.stored.reads.permits.acquire();
                match spill {
                    Some(spill) => shard.read_spill(queue, fetch, &spill),
                    None => shard.read_page(queue, fetch),
                }
            };
            match page {
                Ok(page) => {
                    shard.read_clock();
                    shard.command_here(queue, Command::Page(Box::new(page)));
                }
                Err(RecoveryError::Store(leveret_store::Error::Closed)) => {}
                Err(error) => stop_process(&format!("a stored message cannot be read back: {error}")),
            }
            shard.stored.reads.end();
        }));
    }

    /// Waits until no page is on its way.
    pub(in crate::shard) fn wait_for_pages(&self) {
        while self.stored.reads.count.get() > 0 {
            self.stored.reads.idle.clear();
            self.stored.reads.idle.wait();
        }
    }

    /// The first messages of a queue, and how many it has; those of a stream are read if they are not in memory. `None` if the queue
    /// is not there, or cannot be read.
    pub fn first_messages(&self, id: QueueId, count: usize) -> Option<(u64, Vec<Arc<Message>>)> {
        let look = |queue: &Queue| {
            let ready: Vec<_> = queue.ready().take(count).map(|(_, message)| message.clone()).collect();
            (queue.ready_count(), queue.stream_away().filter(|_| count > 0), ready)
        };
        let (ready, away, mut messages) = self.queues.look(id, look)?;
        if let Some((mut first, last)) = away {
            while messages.len() < count && first <= last {
                let page = self.read_page(id, Fetch { first, last, size: PEEK_SIZE }).ok()?;
                first = Seq(page.through.0 + 1);
                messages.extend(page.messages.into_iter().map(|it| it.message));
            }
            messages.truncate(count);
        }
        Some((ready, messages))
    }

    fn read_page(&self, queue: QueueId, fetch: Fetch) -> Result<Page, RecoveryError> {
        let (store, at_call) =
            self.stored.store().zip(self.stored.now_durable_at()).ok_or(leveret_store::Error::Closed)?;
        let mut page = Page { first: fetch.first, through: fetch.last, messages: Vec::new() };
        let (position, progress) = at_call;
        let was_durable = progress.value() >= position.0; // now: what becomes so during the read may not be found by it
        if self.read_into(&store, queue, fetch, &mut page)? || was_durable {
            return Ok(page);
        }
        progress.wait(position.0).map_err(|_| leveret_store::Error::Closed)?;
        let first = page.messages.last().map_or(fetch.first, |last| Seq(last.seq.0 + 1));
        self.read_into(&store, queue, Fetch { first, ..fetch }, &mut page)?;
        Ok(page)
    }

    /// Whether that was enough, or all that was asked for. Else the store knows no more.
    fn read_into(&self, store: &Store, queue: QueueId, fetch: Fetch, page: &mut Page) -> Result<bool, RecoveryError> {
        let mut first = StoredSeq(fetch.first.0);
        let mut left = usize::try_from(fetch.size).unwrap_or(usize::MAX);
        while first.0 <= fetch.last.0 {
            let range = SeqRange { first, last: StoredSeq(fetch.last.0) };
            let limits = ReadLimits { bytes: left, messages: PAGE_MESSAGES_MAX };
            let kept = store.read(key(queue), range, limits)?;
            let Some(last) = kept.last() else { return Ok(false) };
            first = StoredSeq(last.seq.0 + 1);
            let size: usize = kept.iter().map(|message| message.body.len()).sum();
            self.make(queue, &kept, &mut page.messages)?;
            left = left.saturating_sub(size);
            if left as u64 <= fetch.size / 4 || page.messages.len() >= PAGE_MESSAGES_MAX {
                page.through = page.messages.last().map_or(page.through, |last| last.seq);
                return Ok(true);
            }
        }
        Ok(true)
    }

    fn make(&self, queue: QueueId, kept: &[Kept], messages: &mut Vec<Paged>) -> Result<(), RecoveryError> {
        for (index, stored) in kept.iter().enumerate() {
            if index % MADE_PER_TURN == MADE_PER_TURN - 1 {
                runtime::yield_now();
            }
            let message = self.made_of(&stored.body);
            let malformed = |malformed| RecoveryError::Message { queue: key(queue), seq: stored.seq, malformed };
            messages.push(Paged {
                seq: Seq(stored.seq.0),
                message: message.map_err(malformed)?,
                expiry: stored.attributes.expiry_ms().map(Time),
                requeues: stored.delivery_count,
                stored: true,
            });
        }
        Ok(())
    }

    /// A message of its record.
    pub(super) fn made_of(&self, bytes: &[u8]) -> Result<Arc<Message>, Malformed> {
        let kept = record::parse(bytes)?;
        (self.editor.restore)(&kept).ok_or(Malformed::Properties)
    }
}

impl Reads {
    fn begin(&self) {
        self.count.set(self.count.get() + 1);
    }

    fn end(&self) {
        self.count.set(self.count.get() - 1);
        if self.count.get() == 0 {
            self.idle.set();
        }
    }
}
