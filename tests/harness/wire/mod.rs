//! AMQP 0-9-1 as seen on the wire: a small client that plays transcripts.
//!
//! A test is a conversation written down, one frame a line; what the broker must say stands beside what the client says:
//!
//! ```text
//!   a1> queue.declare queue=$q durable                 connection a, channel 1 says
//!   a1< queue.declare-ok queue=$q message-count=0      and hears
//!   b1> queue.declare queue=$q                         another connection
//!   b1! 406 queue.declare inequivalent arg 'durable' for queue '$q' in vhost '/': received 'false' but current is 'true'
//! ```
//!
//! `script` has the whole language. The codec is driven by one table of methods (`spec`) and shares nothing with the broker's, so that a
//! mistake there cannot hide by being made twice. It blocks, copies and formats at will: it is written to be right, not fast.

mod codec;
mod peer;
mod player;
mod script;
mod socket;
mod spec;
mod table;

pub use peer::{Peer, Utterance};
pub use player::{Transcript, delete_all, play};
