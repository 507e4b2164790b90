//! An AMQP 0-9-1 client whose calls read as if they blocked: they park their coroutine, and others run.
//!
//! ```no_run
//! use leveret_client::{Connection, ConsumeOptions, Options, Properties, QueueOptions};
//!
//! leveret_runtime::run(|| -> Result<(), leveret_client::Error> {
//!     let connection = Connection::open(&Options::default())?;
//!     let channel = connection.open_channel()?;
//!     channel.queue_declare("hello", &QueueOptions::default())?;
//!     channel.publish("", "hello", &Properties::default(), b"Hello World!")?;
//!     for delivery in channel.consume("hello", &ConsumeOptions::default())? {
//!         let delivery = delivery?;
//!         println!("{}", String::from_utf8_lossy(delivery.body()));
//!         delivery.ack()?;
//!         break;
//!     }
//!     connection.close()
//! })
//! .unwrap()
//! .unwrap();
//! ```
//!
//! ```text
//!   coroutine ─ Channel ─┐                       ┌─ output: one write a turn ──► socket
//!   coroutine ─ Channel ─┼─ Link (the connection)┤
//!   coroutine ─ Consumer ┘                       └─ reader: one coroutine   ◄── socket
//!                 ▲ port: answers, deliveries, confirms, returns   │
//!                 └────────────────────────────────────────────────┘
//! ```
//!
//! - Any coroutines of one shard share a [`Connection`]; a [`Channel`] belongs to one coroutine. Requests of several channels
//!   are under way at the same time.
//! - A call may be cut short by [`leveret_runtime::timeout`] or a kill; the channel remains usable, and the answer that comes
//!   later is dropped.
//! - When the server closes a channel or the connection, every call on it answers with its code and text ([`Error`]).
//! - Nothing is declared or consumed again behind the caller's back: after a loss, [`Connection::reopen`] gives a new
//!   connection, and what has to exist on it is for the caller to say again.
//!
//! It deliberately does not know TLS, and reads no clock but the runtime's.

mod channel;
mod confirms;
mod connection;
mod consume;
mod declare;
mod error;
mod heartbeat;
mod link;
mod message;
mod numbers;
mod options;
mod output;
mod port;
mod publish;
mod reconnect;
mod rpc;
mod transaction;
mod uri;

pub use channel::Channel;
pub use confirms::Outcome;
pub use connection::Connection;
pub use consume::{ConsumeOptions, Consumer, Delivery};
pub use declare::{ExchangeOptions, QueueInfo, QueueOptions};
pub use error::{Close, Error};
pub use leveret_amqp::properties::{BasicProperties, PERSISTENT, Properties};
pub use leveret_amqp::server::Negotiated;
pub use leveret_amqp::table::Table;
pub use leveret_amqp::value::FieldValue;
pub use message::{Got, Message, Returned};
pub use options::Options;
pub use publish::PublishNumber;
pub use reconnect::Backoff;
pub use rpc::{RpcClient, serve};
pub use uri::UriError;
