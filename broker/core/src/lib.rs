//! The broker's model as plain data: commands in, effects out.
//!
//! ```text
//!   publish                                                     deliver
//!      |                                                           ^
//!      v                                                           |
//!   Message --> Topology: Router --> [Destination] --> Queue --> Effect::Deliver --> Ledger (a channel's tags)
//!      |        (a replica on        one entry for     (on its    Effect::Settled        |
//!      |         every shard)        each shard)        shard)    Effect::DeadLetter     | ack, nack, reject
//!      v                                                  ^                              |
//!   Confirms (a channel's numbers) <--- accepted, stored -+------------- settle ---------+
//! ```
//!
//! - [`message`]: one publish, immutable, shared by reference count.
//! - [`topology`]: what exists (virtual hosts, exchanges, queues, bindings), how it may change, and where a message
//!   goes. One owner checks; replicas apply the same [`TopologyChange`](topology::TopologyChange)s. [`exchange`] holds
//!   the matching.
//! - [`queue`]: one queue's messages and consumers. Calls append [`Effect`](queue::Effect)s; the shell carries them
//!   out.
//! - [`stream`]: queues whose messages stay.
//! - [`ledger`]: a channel's unsettled deliveries. [`confirms`]: a channel's unconfirmed publishes.
//! - [`transaction`]: what a channel holds back until tx.commit. [`death`]: what dead-lettering writes down.
//!   [`access`]: who may do what, and by which policies and limits.
//! - [`error`]: every refusal, exact, without reply codes.
//!
//! Everything is single-threaded data, owned by one shard; what goes between shards are values. There is no clock, no
//! randomness, no IO and no wire format in this crate: `now` and random bytes are arguments, property bytes are opaque.
//! Behaviour is RabbitMQ's; where a sentence in the documentation stands between quotation marks, it is that behaviour
//! stated.

pub mod access;
pub mod confirms;
pub mod death;
pub mod error;
pub mod exchange;
mod hash;
mod ids;
pub mod ledger;
pub mod message;
pub mod queue;
mod slots;
pub mod stream;
#[cfg(test)]
mod testing;
pub mod topology;
pub mod transaction;
pub mod value;

pub use error::Error;
pub use hash::{FastMap, FastSet, FoldHasher, key_hashes};
pub use ids::{ConnectionId, ConsumerId, ExchangeId, Name, QueueId, QueueKey, Seq, ShardId, Time, VhostId};
