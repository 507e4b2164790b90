//! AMQP 0-9-1: from connections and channels to queues, and back.
//!
//! ```text
//!   listener ─ connection (the coroutine: bytes in, events, heartbeats, close)
//!                  ├─ output (frames out, written once a turn)
//!                  └─ channel ─ publish, consume, settle, declare (methods in) ─ deliver (effects out)
//! ```

mod channel;
mod connection;
mod consume;
mod dead_letter;
mod declare;
pub mod editor;
mod errors;
mod heartbeat;
mod inspect;
pub mod listener;
mod login;
mod output;
mod overdue;
mod printed;
mod publish;
mod reply_to;
mod rights;
mod server_properties;
pub(super) mod service;
mod settle;
pub(super) mod trace;
mod transaction;
mod values;
