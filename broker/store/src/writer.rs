//! A shard's end of the store: it collects what the shard does during a turn, and hands it over at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_runtime::lane::{Bell, Lane, Progress};

use crate::batch::{Batch, LastSettle};
use crate::committer::Commit;
use crate::error::Error;
use crate::group::{self, ALIGNMENT};
use crate::ids::{Position, QueueKey, Seq};
use crate::record::{REFERENCES_MAX, Reference, SeqRange};
use crate::shared::WriterState;

/// Bytes after which a batch should be handed over before the turn ends.
pub const FLUSH_SIZE: usize = 256 * 1024;

/// Writes to the store, for one shard. Nothing that it does waits.
///
/// What is done between two calls of [`flush`](Writer::flush) is one batch, and a batch is **atomic**: after a crash all of
/// it is there, or nothing. So a message that is dead-lettered is settled here and published there without a moment between;
/// a transaction is a batch; a publish to many queues reaches all or none.
///
/// A queue is written by one writer at a time, and a lane's messages in ascending order.
pub struct Writer {
    batch: Batch,
    last_settle: Option<LastSettle>,
    state: Arc<WriterState>,
    committer: Lane<Commit>,
    /// Bytes that a batch may have.
    batch_size_max: usize,
    position: Position,
    records_size: usize,
    bodies_size: usize,
}

impl Writer {
    pub(crate) fn new(state: Arc<WriterState>, committer: Lane<Commit>, log_size: u32) -> Writer {
        let batch_size_max = log_size as usize - ALIGNMENT;
        debug_assert!(group::padded(batch_size_max + group::HEAD_SIZE + group::LINE_SIZE) <= log_size as usize);
        Writer {
            batch: Batch::default(),
            last_settle: None,
            state,
            committer,
            batch_size_max,
            position: Position(0),
            records_size: 0,
            bodies_size: 0,
        }
    }

    /// Adds a message, whose body is the concatenation of `parts`, to the queues of `references`. It is stored once, however
    /// many they are.
    ///
    /// # Errors
    /// [`Error::TooLarge`], and nothing is added: the batch would not fit a log file, or there are more than
    /// [`REFERENCES_MAX`](crate::REFERENCES_MAX) references. Hand over what there is and try again, or refuse the message.
    pub fn publish(&mut self, parts: &[&[u8]], references: &[Reference]) -> Result<(), Error> {
        let body_size: usize = parts.iter().map(|part| part.len()).sum();
        self.room_for(Batch::publish_size(body_size, references.len()))?;
        if references.is_empty() {
            return Ok(());
        }
        if references.len() > REFERENCES_MAX {
            return Err(Error::TooLarge { size: references.len(), limit: REFERENCES_MAX });
        }
        self.batch.publish(parts, references);
        Ok(())
    }

    /// The messages in these ranges are done with. Ranges may cover numbers that were never used.
    ///
    /// # Errors
    /// [`Error::TooLarge`], and nothing is added.
    pub fn settle(&mut self, queue: QueueKey, ranges: &[SeqRange]) -> Result<(), Error> {
        self.room_for(ranges.len() * 40)?;
        self.batch.settle(queue, ranges, &mut self.last_settle);
        Ok(())
    }

    /// The messages up to this one are done with, in all lanes if it is the greatest number, else in those up to its own.
    ///
    /// # Errors
    /// As [`Writer::settle`].
    pub fn purge(&mut self, queue: QueueKey, up_to: Seq) -> Result<(), Error> {
        self.settle(queue, &[SeqRange { first: Seq(0), last: up_to }])
    }

    /// A message came back for the `delivery_count`th time.
    ///
    /// # Errors
    /// As [`Writer::settle`].
    pub fn requeue(&mut self, queue: QueueKey, seq: Seq, delivery_count: u32) -> Result<(), Error> {
        self.room_for(24)?;
        self.batch.requeue(queue, seq, delivery_count);
        Ok(())
    }

    /// The queue and its messages are gone, for ever: its number is not used again.
    ///
    /// # Errors
    /// As [`Writer::settle`].
    pub fn delete_queue(&mut self, queue: QueueKey) -> Result<(), Error> {
        self.room_for(16)?;
        self.batch.delete_queue(queue);
        Ok(())
    }

    /// Hands over what there is. The answer is when all that was done up to now is durable. Without anything new it is the
    /// same as before.
    pub fn flush(&mut self) -> Position {
        if self.batch.is_empty() {
            return self.position;
        }
        self.position = self.position();
        // The next turn is probably like one of the last ones; turns with and without bodies often alternate.
        self.records_size = self.batch.records.len().max(self.records_size - self.records_size / 8);
        self.bodies_size = self.batch.bodies.len().max(self.bodies_size - self.bodies_size / 8);
        let fresh = Batch {
            writer: self.state.number,
            records: Vec::with_capacity(self.records_size),
            bodies: Vec::with_capacity(self.bodies_size),
            ..Batch::default()
        };
        let mut batch = std::mem::replace(&mut self.batch, fresh);
        (batch.writer, batch.position) = (self.state.number, self.position);
        self.last_settle = None;
        self.state.in_flight.fetch_add(batch.size() as u64, Ordering::Relaxed);
        if self.committer.send(Commit::Batch(batch, self.state.clone())).is_err() {
            self.state.durable.end(); // the store is closed: this will never be durable
        }
        self.position
    }

    /// When what is done now will be durable: the position that the next [`flush`](Writer::flush) gives, if there is
    /// anything to hand over, else the last one's.
    pub fn position(&self) -> Position {
        match self.batch.is_empty() {
            true => self.position,
            false => Position(self.position.0 + 1),
        }
    }

    /// The last position that is durable.
    #[inline]
    pub fn durable(&self) -> Position {
        Position(self.state.durable.value())
    }

    /// Has the shard make a turn whenever [`durable`](Writer::durable) moves, so that an end-of-turn hook can look at it. To
    /// be called once, on the shard.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn ring_this_shard(&self) {
        self.state.durable.add_bell(Bell::of_this_shard());
    }

    /// For coroutines that wait: its value is that of [`durable`](Writer::durable), and it ends when the store has failed or
    /// is closed.
    pub fn progress(&self) -> &Progress {
        &self.state.durable
    }

    /// Bytes that wait for the next [`flush`](Writer::flush); from [`FLUSH_SIZE`] on it should not wait for the turn's end.
    pub fn pending_bytes(&self) -> usize {
        self.batch.size()
    }

    /// Bytes that were handed over and are not durable: publishers should wait while this is large.
    pub fn in_flight_bytes(&self) -> u64 {
        self.state.in_flight.load(Ordering::Relaxed)
    }

    /// Bytes of the largest batch, and so of the largest message with what belongs to it.
    pub fn batch_size_max(&self) -> usize {
        self.batch_size_max
    }

    /// Whether a message with so many references would fit into what the next [`flush`](Writer::flush) hands over.
    #[inline]
    pub fn has_room(&self, body_size: usize, references: usize) -> bool {
        self.room_for(Batch::publish_size(body_size, references)).is_ok()
    }

    fn room_for(&self, size: usize) -> Result<(), Error> {
        let (size, limit) = (self.batch.size() + size, self.batch_size_max);
        if size > limit { Err(Error::TooLarge { size, limit }) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("position", &self.position).field("durable", &self.durable()).finish()
    }
}
