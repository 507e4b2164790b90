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
//! The log is in memory as a whole. What is in the store is the same as for any queue: messages by number (here: by offset), until
//! they are settled (here: until retention drops them).

pub mod log;
pub mod start;
#[cfg(test)]
mod tests;

use std::num::NonZeroU64;

use crate::ids::{ConsumerId, Seq, Time};
use crate::message::Message;
use crate::queue::{ConsumerSpec, Delivery, Effect, delivery_cost};
use crate::slots::Slots;
use std::sync::Arc;

use log::{Log, Record, Retention};
use start::StreamSpec;

/// Messages that a call passes over because a filter does not want them. The next call goes on: see [`Stream::is_behind`].
const SCAN_MAX: usize = 4096;

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

#[derive(Debug)]
struct Reader {
    spec: ConsumerSpec,
    wants: StreamSpec,
    /// The offset to look at next.
    position: u64,
    unsettled: u32,
    window: i64,
    paused: bool,
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
}

impl Reader {
    fn can_take(&self) -> bool {
        let has_credit = self.spec.no_ack || self.spec.prefetch == 0 || self.unsettled < self.spec.prefetch;
        has_credit && self.window > 0 && !self.paused
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self { log: Log::default(), readers: Vec::new(), held: Slots::starting_at(0) }
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
    }

    /// Puts a message back that the store kept; `false` if its offset was given out meanwhile. Its age counts from `now`.
    pub(crate) fn restore(&mut self, offset: u64, message: Arc<Message>, now: Time, retention: &Retention) -> bool {
        self.log.skip_to(offset);
        let fits = self.log.next() == offset;
        if fits {
            self.log.append(message, now, retention);
        }
        fits
    }

    /// Offsets below this one were given out before a restart.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.log.skip_to(offset);
    }

    /// Drops what need not be kept any more; the store may forget it too.
    pub(crate) fn retain(&mut self, retention: &Retention, now: Time, effects: &mut Vec<Effect>) {
        if let Some((first, last)) = self.log.retain(retention, now) {
            effects.push(Effect::Settled { first: Seq(first), last: Seq(last) });
        }
    }

    /// Adds a reader.
    pub(crate) fn consume(&mut self, spec: ConsumerSpec, effects: &mut Vec<Effect>) {
        let wants = spec.stream.as_deref().cloned().unwrap_or_default();
        let position = wants.start.resolve(&self.log);
        let window = i64::try_from(spec.window_bytes).unwrap_or(i64::MAX);
        self.readers.push(Reader { spec, wants, position, unsettled: 0, window, paused: false });
        self.serve(effects);
    }

    /// Removes a reader; whether it was there. What it holds may still be settled.
    pub(crate) fn cancel(&mut self, id: ConsumerId) -> bool {
        let before = self.readers.len();
        self.readers.retain(|reader| reader.spec.id != id);
        self.readers.len() < before
    }

    /// Deliveries are settled, one way or the other: their readers get credit.
    pub(crate) fn settle(&mut self, seqs: &[Seq], effects: &mut Vec<Effect>) -> bool {
        let mut found = false;
        for seq in seqs {
            let Some(held) = self.held.remove(seq.0) else { continue };
            found = true;
            if let Some(reader) = self.reader(held.reader) {
                reader.unsettled = reader.unsettled.saturating_sub(1);
            }
        }
        self.serve(effects);
        found
    }

    /// A reader's channel could not take a delivery: it is read again after [`Stream::resume`].
    pub(crate) fn decline(&mut self, id: ConsumerId, seq: Seq) {
        let Some(held) = self.held.remove(seq.0) else { return };
        if let Some(reader) = self.reader(id) {
            reader.paused = true;
            reader.unsettled = reader.unsettled.saturating_sub(1);
            reader.position = reader.position.min(held.offset);
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
            let full = i64::try_from(reader.spec.window_bytes).unwrap_or(i64::MAX);
            reader.window = reader.window.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX)).min(full);
        }
        self.serve(effects);
    }

    /// Gives every reader what it can take.
    pub(crate) fn serve(&mut self, effects: &mut Vec<Effect>) {
        for reader in &mut self.readers {
            serve(reader, &self.log, &mut self.held, effects);
        }
    }

    /// Whether a reader had to pass over so many messages that it has not seen all that it may take; [`Stream::serve`] goes on.
    pub(crate) fn is_behind(&self) -> bool {
        self.readers.iter().any(|reader| reader.can_take() && reader.position < self.log.next())
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn unsettled_count(&self) -> u64 {
        self.held.len() as u64
    }

    pub(crate) fn reader_count(&self) -> u64 {
        self.readers.len() as u64
    }

    pub(crate) fn reader_ids(&self) -> Vec<ConsumerId> {
        self.readers.iter().map(|reader| reader.spec.id).collect()
    }

    /// The readers: what was asked for, unsettled deliveries, whether paused, the window.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (&ConsumerSpec, u32, bool, i64)> {
        self.readers.iter().map(|it| (&it.spec, it.unsettled, it.paused, it.window))
    }

    fn reader(&mut self, id: ConsumerId) -> Option<&mut Reader> {
        self.readers.iter_mut().find(|reader| reader.spec.id == id)
    }
}

fn serve(reader: &mut Reader, log: &Log, held: &mut Slots<Held>, effects: &mut Vec<Effect>) {
    for _ in 0..SCAN_MAX {
        if !reader.can_take() {
            return;
        }
        let Some((offset, Record { message, .. })) = log.from(reader.position) else { return };
        reader.position = offset + 1;
        if reader.wants.filter.as_ref().is_some_and(|filter| !filter.admits(message)) {
            continue;
        }
        let seq = match reader.spec.no_ack {
            true => held.skip(),
            false => held.push(Held { reader: reader.spec.id, offset }),
        };
        reader.unsettled += u32::from(!reader.spec.no_ack);
        reader.window -= i64::try_from(delivery_cost(message)).unwrap_or(i64::MAX);
        effects.push(Effect::Deliver(Delivery {
            consumer: Some(reader.spec.id),
            seq: Seq(seq),
            message: message.clone(),
            redelivered: false,
            requeues: 0,
            offset: Some(StreamOffset::new(offset)),
        }));
    }
}
