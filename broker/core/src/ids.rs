//! The small integers by which the model's pieces call each other.
//!
//! Every id is a newtype, so that a queue's sequence number cannot be taken for a channel's delivery tag. They are
//! plain integers because they are copied into every effect and every mailbox entry. Who allocates which is said at
//! each type; none of them is ever reused while the program runs.

use std::fmt;
use std::sync::Arc;

/// A name as AMQP knows it: at most 255 bytes of UTF-8. Shared, because records, indexes and errors all hold it.
pub type Name = Arc<str>;

/// A moment, in milliseconds since an epoch of the caller's choice (the Unix epoch where timestamps go to clients).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// The moment `ms` milliseconds later; saturates at the end of time.
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Whole seconds, as AMQP's timestamp type wants them.
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

/// A virtual host, numbered by the topology's owner. Connections look it up once, at `connection.open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VhostId(pub u32);

/// A queue, numbered by the topology's owner; a queue that is deleted and declared again has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

/// A durable queue, as the store knows it: the [`QueueId`] that it got at its declaration and keeps over restarts. Never given to
/// another queue of the same data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey(pub u64);

/// An exchange within its virtual host, numbered in the order of declaration; the same in every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u32);

/// A client connection, numbered by the shell; owns exclusive queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A consumer, numbered by the shell, unique within its queue. The shell maps it to shard, connection, channel and tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

/// A thread of the program; a queue belongs to exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// A message's place in one queue. The order of two of them is the order of delivery within one priority; the value is
/// opaque otherwise (the priority sits in the upper bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
