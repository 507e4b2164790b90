//! The durable log: what is published here and synced is there after any crash, until it is settled.
//!
//! The store knows queues by number, messages by their place in a queue, and bytes. It knows no protocol.
//!
//! ```text
//!   shard 0: Writer --batch--\                              +--> position moves: shard 0 confirms
//!   shard 1: Writer --batch---> committer: group, write, sync --> position moves: shard 1 confirms
//!                                   |            log/*.log, used in turn
//!                                   v
//!                                keeper: index; empties log files into segments/*.seg; MANIFEST
//! ```
//!
//! ```
//! use leveret_store::{Attributes, Options, QueueKey, ReadLimits, Reference, Seq, SeqRange, Store};
//! # leveret_runtime::run(|| {
//! # let path = std::env::temp_dir().join(format!("leveret-doc-store-{}", std::process::id()));
//! let (store, recovered) = Store::open(&path, Options::default()).unwrap();
//! assert!(recovered.queues.is_empty());
//!
//! // Each shard has a writer. What it does in a turn is one batch, which is atomic.
//! let mut writer = store.writer();
//! let (queue, seq) = (QueueKey(1), Seq(1));
//! writer.publish(&[b"properties", b"body"], &[Reference { queue, seq, attributes: Attributes::NONE }]).unwrap();
//! let position = writer.flush();
//!
//! // In the broker an end-of-turn hook looks at `writer.durable()`; here a coroutine waits.
//! writer.progress().wait(position.0).unwrap();
//! let messages = store.read(queue, SeqRange::one(seq), ReadLimits::default()).unwrap();
//! assert_eq!(messages[0].body, b"propertiesbody");
//!
//! writer.settle(queue, &[SeqRange::one(seq)]).unwrap();
//! writer.flush();
//! store.close().unwrap();
//! # leveret_runtime::fs::remove_dir_all(&path).unwrap();
//! # }).unwrap();
//! ```
//!
//! # How the broker uses it
//!
//! - At the start: [`Store::open`]; [`Recovered`] says which queues have how many messages and which numbers were used.
//!   [`Store::read`] gives the messages, a window at a time.
//! - Each shard has a [`Writer`], on which it calls [`ring_this_shard`](Writer::ring_this_shard) once. During a turn:
//!   [`publish`](Writer::publish), [`settle`](Writer::settle), [`requeue`](Writer::requeue), [`purge`](Writer::purge),
//!   [`delete_queue`](Writer::delete_queue); they never wait. [`position`](Writer::position) after a publish is what its
//!   confirm waits for. At the turn's end: [`flush`](Writer::flush), and whatever waits for up to
//!   [`durable`](Writer::durable) goes out.
//! - Publishers wait while [`in_flight_bytes`](Writer::in_flight_bytes) is large, and while [`Store::is_blocked`].
//!   [`Store::tick`] once a second. [`Event::Failed`] stops the process.
//! - A queue's numbers ascend within a lane (the upper eight bits of a [`Seq`]); a queue is written by one writer at a time.
//!
//! - Transient messages under memory pressure go to a [`Scratch`] file, never into the log.
//!
//! `FORMAT.md` describes every byte. What must hold of them, and why, stands at the modules that write them.

mod attributes;
mod batch;
mod bodies;
mod committer;
mod copy;
mod directory;
mod error;
mod group;
mod hash;
mod ids;
mod index;
mod keeper;
mod lane;
mod live;
mod losses;
mod manifest;
mod mended;
mod options;
mod plan;
mod record;
mod recover;
mod reserve;
mod scan;
mod scratch;
mod segment;
mod segments;
mod shared;
mod stats;
mod store;
mod survey;
pub mod tools;
mod wire;
mod writer;

pub use attributes::Attributes;
pub use error::{Damage, Error, Flaw};
pub use ids::{Position, QueueKey, Seq};
pub use index::Contradiction;
pub use options::{Confirm, Event, Options};
pub use plan::{Message, ReadLimits};
pub use record::{REFERENCES_MAX, Reference, SeqRange};
pub use recover::{LaneState, QueueState, Recovered, StretchState};
pub use scratch::{Scratch, Stretch};
pub use stats::Stats;
pub use store::Store;
pub use writer::{FLUSH_SIZE, Writer};
