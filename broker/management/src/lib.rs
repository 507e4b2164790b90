//! The broker's management: HTTP API, metrics and web pages.
//!
//! ```text
//!   socket -> http (bytes <-> requests) -> site -> api (a table of paths, one file a group) -> port (what the broker answers)
//!                                           |       |                                           ^
//!                                           |       +-> stats (rings of samples) ---------------+
//!                                           +-> ui (files)                                      |
//!   prometheus -----------------------------------------------------------------------------------+
//! ```
//!
//! The broker is behind the trait [`port::Broker`]: snapshots and commands. This crate alone knows JSON shapes, and knows
//! neither AMQP's wire nor shards. Handlers are plain functions from a request to a response; they may wait, since
//! the broker's answers may come from other shards.

mod api;
pub mod clock;
pub mod definitions;
mod doctor;
mod failure;
pub mod http;
mod json;
mod listing;
pub mod port;
mod prometheus;
mod site;
mod stats;
mod ui;

pub use api::context::{Api, Settings};
pub use prometheus::MetricsSettings;
