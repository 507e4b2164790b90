//! AMQP 0-9-1 as RabbitMQ speaks it: a sans-io codec and protocol state machine.
//!
//! Bytes go in, values come out; there is no socket, no clock and no dependency. Decoded values borrow from the bytes they
//! came from, encoders append to a `Vec<u8>`, and the paths of small messages allocate nothing.
//!
//! ```text
//!   bytes ─► frame ─► method, properties, body ─► server::Connection ─► Event   (what the broker has to do)
//!                                                          │
//!   bytes ◄───────────────────── replies that the protocol alone determines, frame::write_*
//! ```
//!
//! | module | what it has |
//! |---|---|
//! | [`frame`] | the frame splitter and the writers of frames |
//! | [`header`] | the eight bytes that a client sends first |
//! | [`method`] | every method, from one table |
//! | [`properties`] | message properties: borrowed, lazily read; and owned |
//! | [`table`], [`value`] | field tables and the values in them |
//! | [`reply`], [`error`] | reply codes, texts and errors |
//! | [`auth`] | responses of the PLAIN and AMQPLAIN mechanisms |
//! | [`server`] | the server's side of a connection as a state machine |
//! | [`client`] | the client's side, smaller |
//!
//! What it deliberately does not know: queues, exchanges, users, permissions, and the texts of errors that concern them.

pub mod auth;
pub mod client;
mod content;
pub mod error;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod header;
pub mod method;
pub mod properties;
pub mod reply;
pub mod server;
pub mod table;
mod term;
pub mod value;
pub mod wire;

#[cfg(test)]
mod testing;
