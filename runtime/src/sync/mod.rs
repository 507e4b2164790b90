//! Waiting for each other, on one shard.
pub mod channel;
