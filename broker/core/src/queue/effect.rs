//! What a queue asks its shell to do.

use std::sync::Arc;

use crate::death::DeathReason;
use crate::ids::{ConsumerId, Seq};
use crate::message::Message;
use crate::stream::StreamOffset;

use super::paging::Paged;

/// One request. A call appends all of its effects in the order in which they shall be carried out; none may be left
/// out.
///
/// Effects are carried out after the call, so the queue is always ahead of them: a delivery that is still in a mailbox
/// counts as unsettled already.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Hand a message to a consumer. Unless the consumer takes without acknowledgement, the queue holds the message
    /// until [`Queue::settle`](super::Queue::settle), [`Queue::requeue`](super::Queue::requeue) or
    /// [`Queue::decline`](super::Queue::decline).
    Deliver(Delivery),
    /// The queue stopped serving this consumer by its own decision (it was deleted): send basic.cancel, if the client
    /// knows that.
    Cancelled {
        /// The consumer.
        consumer: ConsumerId,
    },
    /// The queue has reached the end of its life (see [`EndReason`]) and refuses everything from now on. Have it
    /// removed from the topology, then call [`Queue::delete`](super::Queue::delete).
    Ended(EndReason),
    /// Publish this message to the queue's dead-letter exchange
    /// ([`Queue::dead_letter_target`](super::Queue::dead_letter_target)). If it was stored, its [`Effect::Settled`]
    /// follows in the same call: store both in one group, and no crash can lose or double it.
    DeadLetter {
        /// The message as it was in the queue.
        message: Arc<Message>,
        /// Why it died.
        reason: DeathReason,
    },
    /// Stored messages (persistent, in a durable queue) are done with: the store may forget them. Comes for every way
    /// out of the queue but its deletion; neighbours that go in one call come as one range.
    Settled {
        /// The place of the first one.
        first: Seq,
        /// The place of the last one; often the same.
        last: Seq,
    },
    /// Read messages that are not in memory, those from `first` on, and answer by [`Queue::page`](super::Queue::page) in a later turn.
    /// There is one such request of a queue at a time, and a few of a stream; none two that begin at the same place.
    Fetch {
        /// Where to begin.
        first: Seq,
        /// Where to end, unless there is enough before.
        last: Seq,
        /// How many bytes are enough, about.
        size: u64,
        /// They are where an [`Effect::Spill`] has put them, else in the store.
        spilled: bool,
    },
    /// Write these messages away, for as long as the process lives; they have left memory. They can be asked for at once.
    Spill {
        /// The place of the first one.
        first: Seq,
        /// The place of the last one.
        last: Seq,
        /// In order.
        messages: Vec<Paged>,
    },
    /// A stored message came back for the `count`th time: a restart shall not forget that.
    Requeued {
        /// Its place.
        seq: Seq,
        /// How often it has come back.
        count: u32,
    },
}

/// A message on its way to a consumer, or the answer to a get.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Who gets it; `None` for a get.
    pub consumer: Option<ConsumerId>,
    /// Its place in the queue; what settles it.
    pub seq: Seq,
    /// The message.
    pub message: Arc<Message>,
    /// It was delivered before and came back.
    pub redelivered: bool,
    /// How often it came back: quorum queues show it as `x-delivery-count`.
    pub requeues: u32,
    /// Its place, if the queue is a stream.
    pub offset: Option<StreamOffset>,
}

/// A [`Delivery`] as whoever carries it out sees it: a message that goes to many need not be counted for each.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are those of the delivery")]
pub struct Parcel<'a> {
    pub seq: Seq,
    pub message: &'a Arc<Message>,
    pub redelivered: bool,
    pub requeues: u32,
    pub offset: Option<StreamOffset>,
}

impl Delivery {
    /// Without its consumer.
    #[inline]
    pub fn parcel(&self) -> Parcel<'_> {
        Parcel {
            seq: self.seq,
            message: &self.message,
            redelivered: self.redelivered,
            requeues: self.requeues,
            offset: self.offset,
        }
    }
}

/// Why a queue ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Auto-delete, and the last consumer went.
    LastConsumer,
    /// x-expires, and nobody used it for that long.
    Unused,
}
