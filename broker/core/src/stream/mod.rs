//! Streams: queues whose messages stay when they are delivered, so that every consumer reads them all, from where it likes.
//!
//! ```text
//!   log:      0  1  2  3  4  5  6  7        next = 8
//!   readers:     a^       b^       c^       each with credit (prefetch) and a window of its own
//! ```
//!
//! A `Stream` stands behind a [`Queue`](crate::queue::Queue) of that type and does for it what concerns messages. Acknowledging
//! gives a reader credit and nothing else; reject, nack and requeue do the same. A delivery is named by a number of its own rather
//! than by its offset, because several readers may hold the same message.
//!
//! The newest messages are in memory, as many as a queue's tail window has room for. Older ones lie in the store, where all are
//! anyway: messages by number (here: by offset), until they are settled (here: until retention drops them). The stream is data and
//! cannot read: it asks by [`Effect::Fetch`] for pages, a few at a time, and readers take turns, so that who is far behind holds
//! up nobody. Without a store (simulations of shards alone) everything stays in memory.

pub mod log;
mod reader;
pub mod start;
#[cfg(test)]
mod tests;

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::ids::{ConsumerId, Seq, Time};
use crate::message::Message;
use crate::queue::{ConsumerSpec, Delivery, Effect, Page, Paged, Windows};
use crate::slots::Slots;

use log::{Log, Outline, Record, Retained, Retention};
use reader::{Next, Reader};

/// Messages that a call passes over because a filter does not want them. The next call goes on: see [`Stream::is_behind`].
const SCAN_MAX: usize = 4096;

/// Pages of a stream that are read at the same time.
const READS_MAX: usize = 2;

/// Readers that are behind share a window, but each has at least this many bytes of it.
const SHARE_MIN: u64 = 64 * 1024;

/// A message's place in its stream, as consumers are told. Holds one more than the offset, so that "none" takes no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOffset(NonZeroU64);

impl StreamOffset {
    fn new(offset: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(offset))
    }

    /// Counted from 0.
    pub fn get(self) -> u64 {
        self.0.get() - 1
    }
}

/// A delivery that is not settled.
#[derive(Clone, Copy, Debug)]
struct Held {
    reader: ConsumerId,
    offset: u64,
}

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Stream {
    log: Log,
    /// In the order of their arrival.
    readers: Vec<Reader>,
    /// Deliveries by number.
    held: Slots<Held>,
    /// How much stays in memory; `None`: all.
    windows: Option<Windows>,
    /// Where the pages begin that are being read.
    reads: Vec<u64>,
    /// One of them is for retention: it begins here.
    looking: Option<u64>,
    /// The reader whose turn it is to ask for a page.
    turn: usize,
}

impl Default for Stream {
    fn default() -> Self {
        let (log, readers, held) = (Log::default(), Vec::new(), Slots::starting_at(0));
        Self { log, readers, held, windows: None, reads: Vec::new(), looking: None, turn: 0 }
    }
}

impl Stream {
    /// Takes a message.
    pub(crate) fn publish(
        &mut self,
        message: Arc<Message>,
        now: Time,
        retention: &Retention,
        effects: &mut Vec<Effect>,
    ) {
        self.log.append(message, now, retention);
        self.retain(retention, now, effects);
        self.serve(effects);
        self.relieve();
    }

    /// Adds messages that the store kept, without having them in memory: so many, with so many bytes, of which the first came at
    /// that time. `false` if these offsets were given out meanwhile.
    pub(crate) fn restore(&mut self, first: u64, last: u64, (count, bytes): (u64, u64), first_time: Time) -> bool {
        self.log.restore(first, last, count, bytes, first_time)
    }

    /// Offsets below this one were given out before a restart.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.log.skip_to(offset);
    }

    /// From now on it keeps no more than this in memory.
    pub(crate) fn set_windows(&mut self, windows: Option<Windows>) {
        self.windows = windows;
    }

    /// Lets go of what is too much in memory.
    pub(crate) fn relieve(&mut self) {
        if let Some(windows) = self.windows {
            self.log.trim(windows.tail);
        }
    }

    /// Drops what need not be kept any more; the store may forget it too.
    pub(crate) fn retain(&mut self, retention: &Retention, now: Time, effects: &mut Vec<Effect>) {
        let Retained { dropped, unknown } = self.log.retain(retention, now);
        if let Some((first, last)) = dropped {
            effects.push(Effect::Settled { first: Seq(first), last: Seq(last) });
        }
        if let (Some((first, last)), None, Some(windows)) = (unknown, self.looking, self.windows) {
            self.looking = Some(first);
            self.fetch(first, last, windows.head / 2, effects);
        }
    }

    /// When [`Stream::retain`] has something to do because time has passed.
    pub(crate) fn due(&self, retention: &Retention) -> Option<Time> {
        if self.looking.is_some() { None } else { self.log.due(retention) }
    }

    /// A page has come. Answers how many messages are not there though they should be.
    pub(crate) fn page(&mut self, page: Page, retention: &Retention, now: Time, effects: &mut Vec<Effect>) -> u64 {
        let (first, through) = (page.first.0, page.through.0);
        let Some(at) = self.reads.iter().position(|read| *read == first) else { return 0 };
        self.reads.remove(at);
        self.looking.take_if(|looking| *looking == first);
        let read = records(page, self.log.first(), self.log.time_about(first));
        let outlines: Vec<Outline> = read.iter().map(outline).collect();
        let missing = self.log.learn(first.max(self.log.first()), through, &outlines, retention);
        let share = self.share();
        for reader in &mut self.readers {
            reader.take(&self.log, (first, through), &read, share);
        }
        self.retain(retention, now, effects);
        self.serve(effects);
        missing
    }

    /// Adds a reader.
    pub(crate) fn consume(&mut self, spec: ConsumerSpec, effects: &mut Vec<Effect>) {
        self.readers.push(Reader::new(spec, &self.log));
        self.serve(effects);
    }

    /// Removes a reader; whether it was there. What it holds may still be settled.
    pub(crate) fn cancel(&mut self, id: ConsumerId) -> bool {
        let before = self.readers.len();
        self.readers.retain(|reader| reader.id() != id);
        self.readers.len() < before
    }

    /// Deliveries are settled, one way or the other: their readers get credit.
    pub(crate) fn settle(&mut self, seqs: &[Seq], effects: &mut Vec<Effect>) -> bool {
        let mut found = false;
        for seq in seqs {
            let Some(held) = self.held.remove(seq.0) else { continue };
            found = true;
            if let Some(reader) = self.reader(held.reader) {
                reader.settled();
            }
        }
        self.serve(effects);
        found
    }

    /// A reader's channel could not take a delivery: it is read again after [`Stream::resume`].
    pub(crate) fn decline(&mut self, id: ConsumerId, seq: Seq) {
        let Some(held) = self.held.remove(seq.0) else { return };
        if let Some(reader) = self.reader(id) {
            reader.declined(held.offset);
        }
    }

    pub(crate) fn resume(&mut self, id: ConsumerId, effects: &mut Vec<Effect>) {
        if let Some(reader) = self.reader(id) {
            reader.paused = false;
        }
        self.serve(effects);
    }

    pub(crate) fn credit(&mut self, id: ConsumerId, bytes: u64, effects: &mut Vec<Effect>) {
        if let Some(reader) = self.reader(id) {
            reader.credit(bytes);
        }
        self.serve(effects);
    }

    /// Gives every reader what it can take, and asks for what they need next.
    pub(crate) fn serve(&mut self, effects: &mut Vec<Effect>) {
        for reader in &mut self.readers {
            serve(reader, &self.log, &mut self.held, effects);
        }
        self.look_ahead(effects);
    }

    /// Whether a reader had to pass over so many messages that it has not seen all that it may take; [`Stream::serve`] goes on.
    pub(crate) fn is_behind(&self) -> bool {
        self.readers.iter().any(|reader| reader.can_take() && reader.has_next(&self.log))
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    /// Bytes of memory that its messages take. One that was read for several readers counts for each.
    pub(crate) fn weight(&self) -> u64 {
        self.log.weight() + self.readers.iter().map(Reader::weight).sum::<u64>()
    }

    pub(crate) fn unsettled_count(&self) -> u64 {
        self.held.len() as u64
    }

    pub(crate) fn reader_count(&self) -> u64 {
        self.readers.len() as u64
    }

    pub(crate) fn reader_ids(&self) -> Vec<ConsumerId> {
        self.readers.iter().map(Reader::id).collect()
    }

    /// The readers: what was asked for, unsettled deliveries, whether paused, the window.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (&ConsumerSpec, u32, bool, i64)> {
        self.readers.iter().map(|it| (&it.spec, it.unsettled, it.paused, it.window))
    }

    fn reader(&mut self, id: ConsumerId) -> Option<&mut Reader> {
        self.readers.iter_mut().find(|reader| reader.id() == id)
    }

    /// Asks for the pages that readers need next; those that have waited longest first.
    fn look_ahead(&mut self, effects: &mut Vec<Effect>) {
        if self.windows.is_none() || self.log.last_away().is_none() {
            return;
        }
        let share = self.share();
        for _ in 0..self.readers.len() {
            if self.reads.len() >= READS_MAX {
                return;
            }
            self.turn = (self.turn + 1) % self.readers.len();
            let first = self.readers.get(self.turn).and_then(|reader| reader.to_read(&self.log, share));
            if let (Some(first), Some(last)) = (first, self.log.last_away()) {
                self.fetch(first, last, share / 2, effects);
            }
        }
    }

    /// Asks for a page, unless one that begins there is on its way.
    fn fetch(&mut self, first: u64, last: u64, size: u64, effects: &mut Vec<Effect>) {
        if !self.reads.contains(&first) {
            self.reads.push(first);
            effects.push(Effect::Fetch { first: Seq(first), last: Seq(last), size, spilled: false });
        }
    }

    /// Bytes that may be read ahead for a reader.
    fn share(&self) -> u64 {
        let behind = self.readers.iter().filter(|reader| reader.is_behind(&self.log)).count();
        self.windows.map_or(u64::MAX, |windows| (windows.head / behind.max(1) as u64).max(SHARE_MIN.min(windows.head)))
    }

    /// Panics if the fields contradict each other.
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        self.log.check_invariants();
        assert!(self.reads.len() <= READS_MAX + 1 && self.looking.is_none_or(|looking| self.reads.contains(&looking)));
        for reader in self.readers.iter().filter(|reader| reader.can_take() && !reader.has_next(&self.log)) {
            let is_waiting = reader.to_read(&self.log, self.share()).is_none() || !self.reads.is_empty();
            assert!(is_waiting, "who needs a page has asked for it, or others are before it");
        }
    }
}

/// What a page has of the messages that are still there; none of them came before `newest`.
fn records(page: Page, first: u64, mut newest: Time) -> Vec<(u64, Record)> {
    let messages = page.messages.into_iter().filter(|it| it.seq.0 >= first);
    let record = |it: Paged| {
        newest = newest.max(it.expiry.unwrap_or_default());
        (it.seq.0, Record { message: it.message, time: newest })
    };
    messages.map(record).collect()
}

fn outline((offset, record): &(u64, Record)) -> Outline {
    Outline { offset: *offset, time: record.time, bytes: record.message.body().len() as u64 }
}

fn serve(reader: &mut Reader, log: &Log, held: &mut Slots<Held>, effects: &mut Vec<Effect>) {
    for _ in 0..SCAN_MAX {
        if !reader.can_take() {
            return;
        }
        let (offset, message) = match reader.next(log) {
            Next::Message(offset, message) => (offset, message),
            Next::Unwanted => continue,
            Next::Nothing => return,
        };
        let seq = match reader.spec.no_ack {
            true => held.skip(),
            false => held.push(Held { reader: reader.id(), offset }),
        };
        reader.delivered(&message);
        effects.push(Effect::Deliver(Delivery {
            consumer: Some(reader.id()),
            seq: Seq(seq),
            message,
            redelivered: false,
            requeues: 0,
            offset: Some(StreamOffset::new(offset)),
        }));
    }
}
