//! Leveret: an AMQP 0-9-1 broker that RabbitMQ's users can switch to without touching their code.
//!
//! This crate composes the others into the one program: [`boot`] starts the runtime's shards, [`shard`] is what each of
//! them owns, [`frontend`] is what clients speak to, [`metadata`] what survives a restart besides messages, [`transport`] what carries it. The protocol is in `leveret-amqp`, the model in `leveret-core`, and
//! everything that waits in `leveret-runtime`. [`perf`] is the load generator, a client that knows nothing of the broker, and [`ctl`] the
//! operator's commands.

pub mod boot;
pub mod cli;
pub mod config;
pub mod ctl;
pub mod first_start;
pub mod frontend;
pub mod gate;
pub mod logging;
pub mod metadata;
pub mod perf;
pub mod shard;
#[cfg(test)]
mod simulation;
pub mod transport;
