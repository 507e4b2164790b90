//! The shard's end of the durable log: what its queues take goes in, and what waits for the disk comes out.
//!
//! ```text
//!   queue took a message --note--> the open record: body once, with every queue of this shard that takes it
//!   queue settled        --settle-> batch            |
//!   confirm              --wait--> waiting           v      end of turn: flush --> store: synced --> release: confirms
//! ```
//!
//! Everything that a turn does is one batch, which is there after a crash as a whole or not at all. Without a store (in
//! simulations of shards alone) nothing waits.

pub mod delayed;
pub mod doubt;
pub mod paging;
pub mod record;
pub mod recovery;
pub mod relay;
pub mod spill;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::message::Message;
use leveret_core::{QueueId, Seq, Time};
use leveret_runtime::lane::Progress;
use leveret_store::{
    Attributes, Position, QueueKey, REFERENCES_MAX, Reference, Scratch, Seq as StoredSeq, SeqRange, Store, Writer,
};

use super::Shard;
use super::address::{ChannelAddress, Subscriber};

/// Bytes of this shard on their way to the disk above which publishers wait.
const IN_FLIGHT_MAX: u64 = 32 * 1024 * 1024;

/// See the module's description.
#[derive(Default)]
pub struct Stored {
    ends: RefCell<Option<Ends>>,
    is_attached: Cell<bool>,
    waiting: RefCell<VecDeque<Waiting>>,
    pub(super) relays: relay::Relays,
    pub(super) reads: paging::Reads,
    scratch: spill::ScratchDirectory,
}

/// The store, and this shard's way into it.
struct Ends {
    store: Store,
    writer: Writer,
    /// The message that a queue has just taken; more queues of this shard may take it too.
    open: Option<Arc<Message>>,
    references: Vec<Reference>,
    /// The head of a record; its capacity is kept.
    head: Vec<u8>,
}

/// Publishes in a row of one channel that wait for the same position.
struct Waiting {
    position: Position,
    who: Who,
    first: u64,
    last: u64,
}

/// Who waits for the disk.
pub enum Who {
    /// A channel of this shard.
    Here(Rc<dyn Subscriber>),
    /// A channel wherever it is.
    At(ChannelAddress),
}

impl Who {
    fn is(&self, other: &Who) -> bool {
        match (self, other) {
            (Who::Here(one), Who::Here(other)) => Rc::ptr_eq(one, other),
            (Who::At(one), Who::At(other)) => one == other,
            _ => false,
        }
    }
}

/// A queue's number in the store: that of the queue, which is never used again.
pub fn key(queue: QueueId) -> QueueKey {
    QueueKey(queue.0)
}

impl Stored {
    /// From now on what is persistent is stored.
    pub(super) fn attach(&self, store: Store) {
        let writer = store.writer();
        writer.ring_this_shard();
        *self.ends.borrow_mut() = Some(Ends { store, writer, open: None, references: Vec::new(), head: Vec::new() });
        self.is_attached.set(true);
    }

    /// From now on what is transient may go to scratch files there.
    pub(super) fn attach_scratch(&self, scratch: Scratch) {
        *self.scratch.borrow_mut() = Some(Rc::new(scratch));
    }

    /// Whether it may.
    pub(super) fn has_scratch(&self) -> bool {
        self.scratch.borrow().is_some()
    }

    /// Lets go of the store. What waits will not be confirmed.
    pub(super) fn detach(&self) {
        self.is_attached.set(false);
        self.waiting.borrow_mut().clear();
        self.scratch.take();
        self.ends.take();
    }

    /// Whether there is a store.
    #[inline]
    pub fn is_attached(&self) -> bool {
        self.is_attached.get()
    }

    /// The store.
    pub fn store(&self) -> Option<Store> {
        self.ends.borrow().as_ref().map(|ends| ends.store.clone())
    }

    /// A queue took a message; `time` is when it expires, or in a stream when it came.
    pub(super) fn note(&self, message: Arc<Message>, queue: QueueId, seq: Seq, time: Option<Time>) {
        let mut ends = self.ends.borrow_mut();
        let Some(ends) = ends.as_mut() else { return };
        let head_size = record::head_size(&message) + message.properties().len();
        let attributes = Attributes::NONE.with_expiry_ms(time.map(|at| at.0)).with_head_size(head_size);
        let reference = Reference { queue: key(queue), seq: StoredSeq(seq.0), attributes };
        let size = head_size + message.body().len();
        if !ends.continues(&message, size) {
            ends.begin(message, size);
        }
        ends.references.push(reference);
    }

    /// A queue is done with its messages from `first` to `last`.
    pub(super) fn settle(&self, queue: QueueId, first: Seq, last: Seq) {
        let range = SeqRange { first: StoredSeq(first.0), last: StoredSeq(last.0) };
        self.write(|writer| writer.settle(key(queue), &[range]));
    }

    /// A message came back for the `count`th time.
    pub(super) fn requeue(&self, queue: QueueId, seq: Seq, count: u32) {
        self.write(|writer| writer.requeue(key(queue), StoredSeq(seq.0), count));
    }

    /// A queue is gone with its messages.
    pub(super) fn delete_queue(&self, queue: QueueId) {
        self.write(|writer| writer.delete_queue(key(queue)));
    }

    /// Adds to the batch, after the message that is open. A full batch is handed over early.
    fn write(&self, add: impl Fn(&mut Writer) -> Result<(), leveret_store::Error>) {
        let mut ends = self.ends.borrow_mut();
        let Some(ends) = ends.as_mut() else { return };
        ends.write_open();
        ends.add(add);
    }

    /// Has `who` hear of its publish `number` when all that was done up to now is on disk.
    pub fn wait(&self, who: Who, number: u64) {
        let Some(position) = self.ends.borrow().as_ref().map(Ends::position) else { return };
        let mut waiting = self.waiting.borrow_mut();
        if let Some(last) = waiting.back_mut()
            && last.position == position
            && last.last + 1 == number
            && last.who.is(&who)
        {
            last.last = number;
            return;
        }
        waiting.push_back(Waiting { position, who, first: number, last: number });
    }

    /// When all that was done up to now is durable, and how to wait for that.
    fn now_durable_at(&self) -> Option<(Position, Progress)> {
        self.ends.borrow().as_ref().map(|ends| (ends.position(), ends.writer.progress().clone()))
    }

    /// Whether so much is on its way to the disk that publishers should wait.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.is_attached.get()
            && self.ends.borrow().as_ref().is_some_and(|ends| ends.writer.in_flight_bytes() > IN_FLIGHT_MAX)
    }

    /// Whether the disk has no room for what leaves the log.
    pub(super) fn is_blocked(&self) -> bool {
        self.ends.borrow().as_ref().is_some_and(|ends| ends.store.is_blocked())
    }

    /// Hands over what the turn did.
    pub(crate) fn flush(&self) {
        if let Some(ends) = self.ends.borrow_mut().as_mut() {
            ends.write_open();
            ends.writer.flush();
        }
    }

    /// The next of those who wait whose position is on disk.
    fn take_durable(&self) -> Option<Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let first = waiting.front()?;
        let durable = self.ends.borrow().as_ref().map(|ends| ends.writer.durable())?;
        if first.position > durable {
            return None;
        }
        waiting.pop_front()
    }
}

impl Ends {
    /// When all that was done up to now is durable.
    fn position(&self) -> Position {
        match self.open.is_some() && self.writer.pending_bytes() == 0 {
            true => Position(self.writer.position().0 + 1), // the open message begins a batch
            false => self.writer.position(),
        }
    }

    /// Whether the open message is this one, and one queue more may take it in the batch that it is going to be in.
    #[inline]
    fn continues(&self, message: &Arc<Message>, size: usize) -> bool {
        let count = self.references.len();
        self.open.as_ref().is_some_and(|open| Arc::ptr_eq(open, message))
            && count < REFERENCES_MAX
            && self.writer.has_room(size, count + 1)
    }

    /// Opens a message. If it does not fit beside what there is, that is handed over now rather than when the message is
    /// written: whoever waits for it is told in between which batch it will be in.
    fn begin(&mut self, message: Arc<Message>, size: usize) {
        self.write_open();
        if !self.writer.has_room(size, 1) {
            self.writer.flush();
        }
        self.open = Some(message);
    }

    /// Writes the open message, for no queue more will take it.
    fn write_open(&mut self) {
        let Some(message) = self.open.take() else { return };
        let (mut head, mut references) = (std::mem::take(&mut self.head), std::mem::take(&mut self.references));
        record::write_head(&message, &mut head);
        self.add(|writer| writer.publish(&[&head, message.properties(), message.body()], &references));
        references.clear();
        (self.head, self.references) = (head, references);
    }

    fn add(&mut self, add: impl Fn(&mut Writer) -> Result<(), leveret_store::Error>) {
        if add(&mut self.writer).is_err() {
            self.writer.flush(); // the batch is full: what is larger than a batch was refused at the start
            if let Err(error) = add(&mut self.writer) {
                // Boot has made sure that every message that a client may send fits.
                panic!("the store takes every record: {error}");
            }
        }
    }
}

impl Shard {
    /// Tells those who waited for the disk.
    pub(super) fn release_durable(self: &Rc<Self>) {
        while let Some(Waiting { who, first, last, .. }) = self.stored.take_durable() {
            for number in first..=last {
                match &who {
                    Who::Here(channel) => channel.clone().confirm(number, true),
                    Who::At(channel) => self.confirm(*channel, number, true),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use leveret_runtime::Runtime;
    use leveret_store::Options;

    use super::*;

    /// Larger than the log file of the test takes a few times.
    const BODY_SIZES: [usize; 7] = [0, 5_000, 11_000, 40, 9_000, 3_000, 7_777];

    #[test]
    fn who_waits_waits_for_the_batch_that_the_message_comes_into() {
        Runtime::builder()
            .simulated(1)
            .build()
            .expect("a simulation")
            .run(|| {
                let options = Options { log_file_size: 16 * 1024, ..Options::default() };
                let (store, _) = Store::open(Path::new("/store"), options).expect("an empty directory");
                let stored = Stored::default();
                stored.attach(store);
                let position = || stored.now_durable_at().expect("attached").0;
                for (number, size) in BODY_SIZES.into_iter().cycle().take(50).enumerate() {
                    let mut message = Message::builder("", "q", b"\0\0", size);
                    message.body(&vec![7; size]).persistent(true);
                    let message = message.build();
                    for queue in [QueueId(1), QueueId(2)] {
                        stored.note(message.clone(), queue, Seq(number as u64), None);
                        let promised = position();
                        stored.write(|_| Ok(()));
                        assert_eq!(position(), promised, "message {number} of {size} bytes");
                    }
                }
                stored.detach();
            })
            .expect("nobody waits for ever");
    }
}
