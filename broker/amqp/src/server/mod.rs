//! The server's side of a connection: bytes in, events and bytes out.
//!
//! [`Connection`] owns all that the protocol alone decides: the handshake, tuning, which frames are due on which channel,
//! putting contents together, closing in the right order, and the codes and texts of everything that breaks these rules. It
//! appends the replies that need no decision to the output itself. Whatever does need one it hands to its shell as an
//! [`Event`], and the shell answers by a call named after what it wants, such as [`accept_login`](Connection::accept_login).
//!
//! A shell is a loop. This one lets everybody in and answers queue.declare:
//!
//! ```
//! use leveret_amqp::frame::{write_heartbeat, write_method};
//! use leveret_amqp::method::{Method, queue};
//! use leveret_amqp::server::{Connection, Event, Limits, Settings};
//! use leveret_amqp::table::Table;
//! use std::sync::Arc;
//!
//! /// Handles `input` and returns how much of it is done with.
//! fn handle(connection: &mut Connection, input: &[u8], out: &mut Vec<u8>) -> usize {
//!     let mut done = 0;
//!     loop {
//!         let step = connection.receive(&input[done..], out);
//!         done += step.consumed;
//!         match step.event {
//!             Event::NeedInput { .. } => return done,
//!             Event::Login(_) => connection.accept_login(out),
//!             Event::Open(_) => connection.accept_open(out),
//!             Event::ChannelOpen { channel } => connection.accept_channel(channel, out),
//!             Event::ChannelClose { channel, .. } => connection.channel_close_ok(channel, out),
//!             Event::CloseRequested(_) => connection.close_ok(out),
//!             Event::Method { channel, method: Method::QueueDeclare(declare) } => {
//!                 write_method(out, channel, &queue::DeclareOk { queue: declare.queue, ..Default::default() });
//!             }
//!             Event::Publish(message) => println!("{} bytes for {}", message.body.len(), message.routing_key),
//!             other => println!("{other:?}"),
//!         }
//!     }
//! }
//!
//! let settings = Settings { server_properties: Table::new(), mechanisms: "PLAIN".into(), limits: Limits::default() };
//! let mut connection = Connection::new(Arc::new(settings));
//! let mut out = Vec::new();
//! assert_eq!(handle(&mut connection, b"AMQP\x00\x00\x09\x01", &mut out), 8);
//! assert_eq!(out[..11], [1, 0, 0, 0, 0, 0, 28, 0, 10, 0, 10], "connection.start on channel 0");
//! ```
//!
//! The shell keeps at most [`input_size_max`](Connection::input_size_max) bytes of input; before login that is
//! little more than `initial_frame_max`, and the machine itself holds nothing for strangers.
//!
//! What it does not know: time. Deadlines of the handshake, heartbeats and the wait for close-ok are the shell's.

mod channel;
mod channels;
mod event;
mod handshake;
mod phase;
mod publish;
mod replies;
mod settings;

use std::sync::Arc;

use channels::Channels;
pub use event::{Event, Publish, Step};
use phase::Phase;
pub use replies::Reach;
pub use settings::{Capabilities, Limits, Negotiated, Settings};

pub use crate::content::BODY_SIZE_CEILING;
use crate::content::LOOK_AHEAD_SIZE_MAX;
use crate::error::ProtocolError;
use crate::frame::{FRAME_OVERHEAD, Frame, FrameKind, frame_size, payload_max};
use crate::method::{Method, split_ids};
use crate::reply::ReplyCode;

/// The most payload bytes of one frame when "no limit" was agreed: no body may be larger anyway.
const PAYLOAD_CEILING: usize = 512 * 1024 * 1024;
/// The protocol state of one client's connection.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<Settings>,
    phase: Phase,
    negotiated: Negotiated,
    /// The most payload bytes to take in one frame; follows from `negotiated`.
    payload_max: usize,
    capabilities: Capabilities,
    /// Empty unless running.
    channels: Channels,
}

/// What became of the frame at the beginning of the input.
#[derive(Clone, Copy, Debug)]
enum Advance {
    /// It is dealt with; look at the next one.
    Skip { size: usize },
    /// It is dealt with and the shell has to know: the event is in the [`Sink`].
    Tell { size: usize },
    /// It has not arrived completely.
    Need { size: usize },
}

/// Where a call of [`Connection::receive`] puts what it makes. The event is written in place, since moving it up through
/// the calls would cost more than decoding it.
struct Sink<'s, 'i> {
    out: &'s mut Vec<u8>,
    event: &'s mut Event<'i>,
}

impl<'i> Sink<'_, 'i> {
    #[inline]
    fn tell(&mut self, size: usize, event: Event<'i>) -> Advance {
        *self.event = event;
        Advance::Tell { size }
    }
}

/// A complete frame at the beginning of the input.
#[derive(Clone, Copy, Debug)]
struct Arrival<'i> {
    frame: Frame<'i>,
    /// Bytes of the frame.
    size: usize,
    /// The frame and what follows it.
    input: &'i [u8],
}

impl<'i> Arrival<'i> {
    #[inline]
    fn skip(&self) -> Advance {
        Advance::Skip { size: self.size }
    }

    /// What follows the frame.
    #[inline]
    fn behind(&self) -> &'i [u8] {
        self.input.get(self.size..).unwrap_or_default()
    }
}

impl Connection {
    /// A connection on which nothing was received.
    pub fn new(settings: Arc<Settings>) -> Self {
        let negotiated = Negotiated::initial(&settings.limits);
        Self {
            payload_max: payload_max(negotiated.frame_max, PAYLOAD_CEILING),
            phase: Phase::Header,
            negotiated,
            capabilities: Capabilities::default(),
            channels: Channels::default(),
            settings,
        }
    }

    /// Takes what came from the client up to the first thing that the shell has to know.
    ///
    /// Replies that need no decision are appended to `out`. Call again with the rest of the input until
    /// [`Event::NeedInput`]. How the input is cut into calls makes no difference to events and output.
    pub fn receive<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> Step<'i> {
        let mut step = Step { consumed: 0, event: Event::NeedInput { size: 1 } };
        loop {
            if self.phase.is_deaf() {
                step.consumed = input.len();
                return step;
            }
            let rest = input.get(step.consumed..).unwrap_or_default();
            match self.advance(rest, &mut Sink { out, event: &mut step.event }) {
                Advance::Skip { size } => step.consumed += size,
                Advance::Tell { size } => {
                    step.consumed += size;
                    return step;
                }
                Advance::Need { size } => {
                    step.event = Event::NeedInput { size };
                    return step;
                }
            }
        }
    }

    /// What was agreed when tuning; before that, what holds until then.
    pub fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// What the client announced; nothing before [`Event::Login`].
    pub fn client_capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// RabbitMQ's name of the state: starting, securing, tuning, opening, running, blocked, closing or closed.
    pub fn state_name(&self) -> &'static str {
        self.phase.name()
    }

    /// Whether channels may be used.
    pub fn is_running(&self) -> bool {
        self.phase.is_running()
    }

    /// Whether a close was sent or received, or it is over.
    pub fn is_closing(&self) -> bool {
        self.phase.is_closing()
    }

    /// Whether it is over: nothing is sent or understood any more.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether all further input will be thrown away unseen. RabbitMQ keeps such a socket for 3 s, so that the client can
    /// read why, and closes it.
    pub fn reads_no_more(&self) -> bool {
        self.phase.is_deaf()
    }

    /// Number of channels that are open.
    pub fn channel_count(&self) -> usize {
        self.channels.open_count()
    }

    /// The most input in bytes that the shell ever has to keep for the next call of [`receive`](Self::receive).
    pub fn input_size_max(&self) -> usize {
        self.payload_max.saturating_add(FRAME_OVERHEAD).saturating_add(LOOK_AHEAD_SIZE_MAX)
    }

    /// The queue.bind or exchange.bind that `input` begins with, on this channel, and its size: a shell may carry out together
    /// what was sent together. To be asked right behind another method of that channel; then it is the next event, and the
    /// shell goes on after it.
    pub fn next_bind<'i>(&self, input: &'i [u8], channel: u16) -> Option<(Method<'i>, usize)> {
        let (frame, size) = Frame::parse(input, self.payload_max).ok()??;
        if frame.kind != FrameKind::Method || frame.channel != channel || !self.phase.is_running() {
            return None;
        }
        match Method::decode(frame.payload) {
            Ok(method @ (Method::QueueBind(_) | Method::ExchangeBind(_))) => Some((method, size)),
            _ => None,
        }
    }

    #[inline]
    fn advance<'i>(&mut self, input: &'i [u8], sink: &mut Sink<'_, 'i>) -> Advance {
        if self.phase == Phase::Header {
            return self.take_protocol_header(input, sink);
        }
        let (frame, size) = match Frame::parse(input, self.payload_max) {
            Ok(Some(found)) => found,
            Ok(None) => return Advance::Need { size: frame_size(input) },
            Err(error) => return self.lose_framing(error, input, sink),
        };
        match self.take_frame(&Arrival { frame, size, input }, sink) {
            Ok(advance) => advance,
            Err(error) => self.fault(frame.channel, error, size, sink),
        }
    }

    #[inline]
    fn take_frame<'i>(&mut self, arrival: &Arrival<'i>, sink: &mut Sink<'_, 'i>) -> Result<Advance, ProtocolError> {
        let frame = &arrival.frame;
        if self.phase.is_closing() {
            return Ok(self.take_frame_while_closing(arrival, sink));
        }
        if frame.channel != 0 && !self.phase.is_running() {
            return Err(unexpected_frame(frame));
        }
        if !is_well_formed(frame) {
            return Err(unknown_frame(frame));
        }
        match (frame.kind, frame.channel) {
            (FrameKind::Method, 0) => {
                let event = self.take_connection_method(frame.payload)?;
                Ok(sink.tell(arrival.size, event))
            }
            (FrameKind::Heartbeat, 0) => Ok(sink.tell(arrival.size, Event::Heartbeat)),
            (_, 0) | (FrameKind::Heartbeat, _) => Err(unexpected_frame(frame)),
            _ => self.take_channel_frame(arrival, sink),
        }
    }
}

/// Whether the frame is of a known kind and long enough for it; RabbitMQ calls all others unknown.
#[inline]
fn is_well_formed(frame: &Frame<'_>) -> bool {
    /// Two ids.
    const METHOD_SIZE_MIN: usize = 4;
    /// Class, weight and body size.
    const HEADER_SIZE_MIN: usize = 12;
    match frame.kind {
        FrameKind::Method => frame.payload.len() >= METHOD_SIZE_MIN,
        FrameKind::Header => frame.payload.len() >= HEADER_SIZE_MIN,
        FrameKind::Body => true,
        FrameKind::Heartbeat => frame.payload.is_empty(),
        FrameKind::Other(_) => false,
    }
}

#[cold]
fn unknown_frame(frame: &Frame<'_>) -> ProtocolError {
    ProtocolError::new(ReplyCode::FrameError, format_args!("{}: unknown_frame", frame.describe()))
}

#[cold]
fn unexpected_frame(frame: &Frame<'_>) -> ProtocolError {
    ProtocolError::new(ReplyCode::UnexpectedFrame, frame.describe())
}

/// Ids of the method in a frame, if it is a method frame.
fn method_ids(frame: &Frame<'_>) -> Option<(u16, u16)> {
    let (class_id, method_id, _) = (frame.kind == FrameKind::Method).then(|| split_ids(frame.payload).ok())??;
    Some((class_id, method_id))
}

#[inline]
fn decode(class_id: u16, method_id: u16, fields: &[u8]) -> Result<Method<'_>, ProtocolError> {
    Method::decode_fields(class_id, method_id, fields)
        .map_err(|error| ProtocolError::undecodable(error, class_id, method_id, fields))
}

#[cfg(test)]
mod tests;
