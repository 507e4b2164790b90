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

mod channels;
mod event;
mod handshake;
mod phase;
mod publish;
mod replies;
mod settings;

use std::sync::Arc;

use channels::{Channel, Channels};
pub use event::{Event, Publish, Step};
use phase::Phase;
use publish::Incoming;
pub use replies::Reach;
pub use settings::{Capabilities, Limits, Negotiated, Settings};

pub use crate::content::BODY_SIZE_CEILING;
use crate::content::{LOOK_AHEAD_SIZE_MAX, LookAhead, Progress, look_ahead};
use crate::error::ProtocolError;
use crate::frame::{FRAME_OVERHEAD, Frame, FrameKind, frame_size, payload_max, write_method};
use crate::header::PROTOCOL_HEADER_SIZE;
use crate::method::{DecodeFields, Method, access, basic, channel, split_ids};
use crate::reply::ReplyCode;

/// The most payload bytes of one frame when "no limit" was agreed: no body may be larger anyway.
const PAYLOAD_CEILING: usize = 512 * 1024 * 1024;
/// Ids of the methods that are recognised without decoding them.
const BASIC_PUBLISH: (u16, u16) = (60, 40);
const CHANNEL_OPEN: (u16, u16) = (20, 10);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const CHANNEL_CLOSE_OK: (u16, u16) = (20, 41);
/// "RabbitMQ ignores tickets": everybody is given this one.
const TICKET: u16 = 1;

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
enum Advance<'i> {
    /// It is dealt with; look at the next one.
    Skip { size: usize },
    /// It is dealt with and the shell has to know.
    Tell { size: usize, event: Event<'i> },
    /// It has not arrived completely.
    Need { size: usize },
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
        let mut consumed = 0;
        loop {
            if self.phase.is_deaf() {
                return Step { consumed: input.len(), event: Event::NeedInput { size: 1 } };
            }
            let rest = input.get(consumed..).unwrap_or_default();
            match self.advance(rest, out) {
                Advance::Skip { size } => consumed += size,
                Advance::Tell { size, event } => return Step { consumed: consumed + size, event },
                Advance::Need { size } => return Step { consumed, event: Event::NeedInput { size } },
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

    #[inline]
    fn advance<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> Advance<'i> {
        if self.phase == Phase::Header {
            return match input.first_chunk::<PROTOCOL_HEADER_SIZE>() {
                Some(header) => {
                    Advance::Tell { size: PROTOCOL_HEADER_SIZE, event: self.take_protocol_header(*header, out) }
                }
                None => Advance::Need { size: PROTOCOL_HEADER_SIZE },
            };
        }
        let (frame, size) = match Frame::parse(input, self.payload_max) {
            Ok(Some(found)) => found,
            Ok(None) => return Advance::Need { size: frame_size(input) },
            Err(error) => return self.lose_framing(error, input, out),
        };
        match self.take_frame(frame, size, input, out) {
            Ok(advance) => advance,
            Err(error) => Advance::Tell { size, event: self.fault(frame.channel, error, out) },
        }
    }

    /// One frame, which is the first `size` bytes of `input`.
    #[inline]
    fn take_frame<'i>(
        &mut self,
        frame: Frame<'i>,
        size: usize,
        input: &'i [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<'i>, ProtocolError> {
        if self.phase.is_closing() {
            return Ok(self.take_frame_while_closing(&frame, size, out));
        }
        if frame.channel != 0 && !self.phase.is_running() {
            return Err(unexpected_frame(&frame));
        }
        if !is_well_formed(&frame) {
            let text = format_args!("{}: unknown_frame", frame.describe());
            return Err(ProtocolError::new(ReplyCode::FrameError, text));
        }
        match (frame.kind, frame.channel) {
            (FrameKind::Method, 0) => self.take_connection_method(frame.payload).map(|event| tell(size, event)),
            (FrameKind::Heartbeat, 0) => Ok(tell(size, Event::Heartbeat)),
            (_, 0) | (FrameKind::Heartbeat, _) => Err(unexpected_frame(&frame)),
            _ => self.take_channel_frame(frame, size, input, out),
        }
    }

    #[inline]
    fn take_channel_frame<'i>(
        &mut self,
        frame: Frame<'i>,
        size: usize,
        input: &'i [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<'i>, ProtocolError> {
        match self.channels.find_mut(frame.channel) {
            Some(Channel::Open(None)) => self.take_channel_method(frame, size, input, out),
            Some(Channel::Open(Some(_))) => self.take_content(frame, size, out),
            Some(Channel::Leaving) => Ok(Advance::Skip { size }),
            Some(Channel::Closing { .. }) => self.take_frame_of_closing_channel(frame, size, out),
            None => self.take_channel_open(frame, size),
        }
    }

    /// A frame on an open channel that is not in the middle of a content.
    #[inline]
    fn take_channel_method<'i>(
        &mut self,
        frame: Frame<'i>,
        size: usize,
        input: &'i [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<'i>, ProtocolError> {
        let (class_id, method_id, fields) = method_due(&frame)?;
        if (class_id, method_id) == BASIC_PUBLISH {
            let publish = basic::Publish::decode_fields(fields)
                .map_err(|error| ProtocolError::undecodable(error, class_id, method_id, fields))?;
            return Ok(self.take_publish(frame.channel, &publish, size, input));
        }
        let method = decode(class_id, method_id, fields)?;
        let event = match method {
            Method::ChannelOpen(open) => return Err(channel_error("second 'channel.open' seen").blame(&open)),
            Method::ChannelClose(close) => {
                self.channels.leave(frame.channel);
                Some(Event::ChannelClose { channel: frame.channel, close })
            }
            Method::ChannelFlow(flow) => {
                answer_flow(flow, frame.channel, out)?;
                None
            }
            Method::AccessRequest(_) => {
                write_method(out, frame.channel, &access::RequestOk { ticket: TICKET });
                None
            }
            // The answer to a cancel of ours, which asked for none but may get one.
            Method::BasicCancelOk(_) => None,
            method if is_for_shell(&method) => Some(Event::Method { channel: frame.channel, method }),
            other => return Err(ProtocolError::new(ReplyCode::CommandInvalid, "unimplemented method").blame(&other)),
        };
        Ok(event.map_or(Advance::Skip { size }, |event| tell(size, event)))
    }

    #[inline]
    fn take_publish<'i>(
        &mut self,
        number: u16,
        publish: &basic::Publish<'i>,
        size: usize,
        input: &'i [u8],
    ) -> Advance<'i> {
        let behind = input.get(size..).unwrap_or_default();
        match look_ahead(behind, number, self.payload_max, self.settings.limits.body_size_max) {
            LookAhead::Whole { properties, body, size: content_size } => {
                let message = Publish {
                    channel: number,
                    exchange: publish.exchange.into(),
                    routing_key: publish.routing_key.into(),
                    mandatory: publish.mandatory,
                    immediate: publish.immediate,
                    properties,
                    body: body.into(),
                };
                tell(size + content_size, Event::Publish(message))
            }
            LookAhead::Wait { size: content_size } => Advance::Need { size: size + content_size },
            LookAhead::Apart => {
                if let Some(Channel::Open(content)) = self.channels.find_mut(number) {
                    *content = Some(Box::new(Incoming::new(publish)));
                }
                Advance::Skip { size }
            }
        }
    }

    /// A frame on a channel that is in the middle of a content.
    fn take_content<'i>(
        &mut self,
        frame: Frame<'i>,
        size: usize,
        out: &mut Vec<u8>,
    ) -> Result<Advance<'i>, ProtocolError> {
        let body_size_max = self.settings.limits.body_size_max;
        let Some(Channel::Open(content)) = self.channels.find_mut(frame.channel) else {
            return Ok(Advance::Skip { size });
        };
        let Some(mut incoming) = content.take() else { return Ok(Advance::Skip { size }) };
        match incoming.take(&frame, body_size_max)? {
            Progress::Continue => {
                *content = Some(incoming);
                Ok(Advance::Skip { size })
            }
            Progress::Complete => Ok(tell(size, Event::Publish(incoming.finish(frame.channel)))),
            Progress::TooLarge(error) => {
                self.close_channel(frame.channel, &error, out);
                Ok(tell(size, Event::ChannelFault { channel: frame.channel, error }))
            }
        }
    }

    /// A frame on a channel that we closed and that the client has not agreed about: all but its end is thrown away.
    fn take_frame_of_closing_channel<'i>(
        &mut self,
        frame: Frame<'i>,
        size: usize,
        out: &mut Vec<u8>,
    ) -> Result<Advance<'i>, ProtocolError> {
        let Some(Channel::Closing { crossed }) = self.channels.find_mut(frame.channel) else {
            return Ok(Advance::Skip { size });
        };
        match method_ids(&frame) {
            Some(CHANNEL_CLOSE) => {
                *crossed = true;
                write_method(out, frame.channel, &channel::CloseOk {});
            }
            Some(CHANNEL_CLOSE_OK) => self.channels.remove(frame.channel),
            Some(CHANNEL_OPEN) if *crossed => {
                self.channels.remove(frame.channel);
                return self.take_channel_open(frame, size);
            }
            _ => {}
        }
        Ok(Advance::Skip { size })
    }

    /// A frame on a channel that is not open: only channel.open is due.
    fn take_channel_open<'i>(&mut self, frame: Frame<'i>, size: usize) -> Result<Advance<'i>, ProtocolError> {
        let (class_id, method_id, fields) = method_due(&frame)?;
        match decode(class_id, method_id, fields)? {
            Method::ChannelOpen(_) => {
                self.check_channel_max()?;
                Ok(tell(size, Event::ChannelOpen { channel: frame.channel }))
            }
            other => Err(channel_error("expected 'channel.open'").blame(&other)),
        }
    }

    /// "The channel limit counts open channels, not numbers."
    fn check_channel_max(&self) -> Result<(), ProtocolError> {
        let (open, limit) = (self.channels.open_count(), self.negotiated.channel_max);
        if limit == 0 || open < usize::from(limit) {
            return Ok(());
        }
        let text = format_args!("number of channels opened ({open}) has reached the negotiated channel_max ({limit})");
        Err(ProtocolError::new(ReplyCode::NotAllowed, text))
    }
}

fn tell(size: usize, event: Event<'_>) -> Advance<'_> {
    Advance::Tell { size, event }
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

fn unexpected_frame(frame: &Frame<'_>) -> ProtocolError {
    ProtocolError::new(ReplyCode::UnexpectedFrame, frame.describe())
}

fn channel_error(explanation: &str) -> ProtocolError {
    ProtocolError::new(ReplyCode::ChannelError, explanation)
}

/// Ids of the method in a frame, if it is a method frame.
fn method_ids(frame: &Frame<'_>) -> Option<(u16, u16)> {
    let (class_id, method_id, _) = (frame.kind == FrameKind::Method).then(|| split_ids(frame.payload).ok())??;
    Some((class_id, method_id))
}

/// Ids and fields of the method that has to be in this frame.
#[inline]
fn method_due<'i>(frame: &Frame<'i>) -> Result<(u16, u16, &'i [u8]), ProtocolError> {
    let due = (frame.kind == FrameKind::Method).then(|| split_ids(frame.payload).ok()).flatten();
    due.ok_or_else(|| {
        ProtocolError::new(ReplyCode::UnexpectedFrame, "expected method frame, got non method frame instead")
    })
}

#[inline]
fn decode(class_id: u16, method_id: u16, fields: &[u8]) -> Result<Method<'_>, ProtocolError> {
    Method::decode_fields(class_id, method_id, fields)
        .map_err(|error| ProtocolError::undecodable(error, class_id, method_id, fields))
}

/// RabbitMQ answers channel.flow only when it asks for nothing.
fn answer_flow(flow: channel::Flow, number: u16, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    if !flow.active {
        return Err(ProtocolError::new(ReplyCode::NotImplemented, "active=false").blame(&flow));
    }
    write_method(out, number, &channel::FlowOk { active: true });
    Ok(())
}

/// The methods that clients send on channels and that need more than the protocol to be answered.
#[inline]
fn is_for_shell(method: &Method<'_>) -> bool {
    matches!(
        method,
        Method::ExchangeDeclare(_)
            | Method::ExchangeDelete(_)
            | Method::ExchangeBind(_)
            | Method::ExchangeUnbind(_)
            | Method::QueueDeclare(_)
            | Method::QueueBind(_)
            | Method::QueuePurge(_)
            | Method::QueueDelete(_)
            | Method::QueueUnbind(_)
            | Method::BasicQos(_)
            | Method::BasicConsume(_)
            | Method::BasicCancel(_)
            | Method::BasicGet(_)
            | Method::BasicAck(_)
            | Method::BasicReject(_)
            | Method::BasicRecoverAsync(_)
            | Method::BasicRecover(_)
            | Method::BasicNack(_)
            | Method::TxSelect(_)
            | Method::TxCommit(_)
            | Method::TxRollback(_)
            | Method::ConfirmSelect(_)
    )
}

#[cfg(test)]
mod tests;
