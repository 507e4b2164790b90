//! The HTTP front-end: listeners, and the broker as the management crate sees it.
//!
//! All of it lives on shard 0, where the topology's owner is; what queues and connections of other shards have is asked
//! there, in slices, so that nobody is held up by a list of ten thousand queues.

mod asker;
mod broker;
mod commands;
pub mod control;
pub mod definitions;
pub mod listener;
mod machine;
mod reset;
