//! What a queue asks its shell to do.

use std::sync::Arc;

use crate::death::DeathReason;
use crate::ids::{ConsumerId, Seq};
use crate::message::Message;
use crate::stream::StreamOffset;

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

/// Why a queue ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// Auto-delete, and the last consumer went.
    LastConsumer,
    /// x-expires, and nobody used it for that long.
    Unused,
}
