//! How queues reach channels, and how answers find whoever waits for them.

use std::rc::Rc;

use leveret_core::access::limit::LimitReached;
use leveret_core::queue::{Got, Parcel};
use leveret_core::topology::QueueRecord;
use leveret_core::{ConsumerId, Error, QueueId, ShardId};
use std::sync::Arc;

/// Names a channel among those of its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelKey(pub u64);

/// Names a channel among those of all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelAddress {
    /// Where it lives.
    pub shard: ShardId,
    /// Which one.
    pub key: ChannelKey,
}

/// Names a queue among those of all shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueAddress {
    /// Where it lives.
    pub shard: ShardId,
    /// Which one.
    pub queue: QueueId,
}

impl QueueAddress {
    /// Of a declared queue.
    pub fn of(record: &QueueRecord) -> QueueAddress {
        QueueAddress { shard: record.shard, queue: record.id }
    }
}

/// A question that a channel has asked, to be named in the answer. Numbers count up within a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who asked.
    pub channel: ChannelAddress,
    /// Which question.
    pub number: u64,
}

/// What a queue or the owner of the topology answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is done.
    Done,
    /// It is done; so many messages were concerned.
    Count(u64),
    /// Ready messages and consumers.
    Counts {
        /// Ready messages.
        ready: u64,
        /// Consumers.
        consumers: u64,
    },
    /// The answer to a get.
    Got(Option<Got>),
    /// The queue as declared, and whether it is new.
    Queue(Arc<QueueRecord>, bool),
    /// So many binds were carried out, and the one after them was refused.
    Bound(usize, Option<Error>),
    /// It was refused.
    Refused(Error),
    /// A limit on connections or channels is reached.
    Full(LimitReached),
    /// The queue does not exist any more.
    Gone,
}

impl Reply {
    /// The refusal as an error.
    ///
    /// # Errors
    /// The refusal.
    pub fn accepted(self) -> Result<Reply, Error> {
        match self {
            Reply::Refused(error) => Err(error),
            other => Ok(other),
        }
    }
}

/// A channel as queues see it. Every call is made on the channel's own shard and must not wait.
pub trait Subscriber {
    /// Its name.
    fn key(&self) -> ChannelKey;
    /// A message for one of its consumers.
    fn deliver(&self, queue: QueueAddress, consumer: ConsumerId, parcel: Parcel<'_>);
    /// A message sent to this channel's reply consumer, past all queues.
    fn deliver_reply(self: Rc<Self>, message: &leveret_core::message::Message);
    /// Whether replies to that name are for this channel.
    fn has_reply_address(&self, name: &str) -> bool;
    /// A queue stopped serving one of its consumers.
    fn cancelled(self: Rc<Self>, consumer: ConsumerId);
    /// The answer to a question.
    fn reply(self: Rc<Self>, number: u64, reply: Reply);
    /// A queue has taken a publish, or refused it.
    fn confirm(self: Rc<Self>, number: u64, accepted: bool);
}
