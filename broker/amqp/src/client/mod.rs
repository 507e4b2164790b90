//! The client's side of a connection: bytes in, events and bytes out.
//!
//! It is smaller than the server's side, because a client trusts its server more than the other way round: it does the
//! handshake with the mechanism PLAIN, puts contents together and notices when the connection ends. Channels are the
//! caller's: open them and settle on them with [`write_method`] and [`write_content`](crate::frame::write_content), and answer
//! channel.close with channel.close-ok.
//!
//! ```text
//! Starting ─start─► Tuning ─tune─► Opening ─open-ok─► Running ─close sent─► Closing ─close-ok─► Closed
//! ```

mod content;
mod options;

use std::collections::BTreeMap;

pub use content::Content;
use content::Incoming;
pub use options::Options;

use crate::content::{BODY_SIZE_CEILING, LookAhead, Progress, look_ahead};
use crate::error::ProtocolError;
use crate::frame::{FRAME_OVERHEAD, Frame, FrameKind, frame_size, payload_max, write_method};
use crate::header::{PROTOCOL_HEADER, PROTOCOL_HEADER_SIZE};
use crate::method::{Method, WireMethod, connection, split_ids};
use crate::reply::ReplyCode;
use crate::server::Negotiated;
use crate::table::RawTable;

/// The most payload bytes of a frame when "no limit" was agreed.
const PAYLOAD_CEILING: usize = 512 * 1024 * 1024;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Tuning,
    Opening,
    Running,
    Closing,
    Closed,
}

/// The protocol state of one connection to a server.
#[derive(Debug)]
pub struct Connection {
    options: Options,
    phase: Phase,
    negotiated: Negotiated,
    payload_max: usize,
    /// Contents that are not complete, by channel.
    incoming: BTreeMap<u16, Incoming>,
}

/// The outcome of one call of [`Connection::receive`].
#[derive(Clone, Debug, PartialEq)]
pub struct Step<'i> {
    /// Bytes of the input that are done with. Drop them when the event is.
    pub consumed: usize,
    /// What happened.
    pub event: Event<'i>,
}

/// What came from the server.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'i> {
    /// Nothing: flush the output, then come back when the rest of the input has grown to `size` bytes.
    NeedInput {
        /// Bytes, counted from the first that was not consumed.
        size: usize,
    },
    /// The connection is open; channels may be used.
    Ready(Negotiated),
    /// The server speaks another protocol and sent this header. The connection is over.
    Refused([u8; PROTOCOL_HEADER_SIZE]),
    /// Any method without content; on channel 0 connection.blocked and the like.
    Method {
        /// Where.
        channel: u16,
        /// What.
        method: Method<'i>,
    },
    /// A delivery, an answer to basic.get or a returned message.
    Content(Content<'i>),
    /// The server closed the connection; close-ok is in the output.
    Closed(connection::Close<'i>),
    /// The server agreed to our close.
    CloseOk,
    /// The server broke a rule. connection.close is in the output, the connection is of no use any more.
    Fault(ProtocolError),
    /// The server is alive.
    Heartbeat,
}

enum Advance<'i> {
    Skip { size: usize },
    Tell { size: usize, event: Event<'i> },
    Need { size: usize },
}

impl Connection {
    /// Starts a connection: the protocol header goes to the output.
    pub fn open(options: Options, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&PROTOCOL_HEADER);
        let negotiated = options.negotiated_at_first();
        let payload_max = payload_max(negotiated.frame_max, PAYLOAD_CEILING);
        Self { options, phase: Phase::Starting, negotiated, payload_max, incoming: BTreeMap::new() }
    }

    /// Takes what came from the server up to the first thing that the caller has to know; as
    /// [`server::Connection::receive`](crate::server::Connection::receive).
    pub fn receive<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> Step<'i> {
        let mut consumed = 0;
        loop {
            if self.phase == Phase::Closed {
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

    /// Ends the connection. [`Event::CloseOk`] follows.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        self.phase = Phase::Closing;
        let close = connection::Close { reply_code: 200, reply_text: "Goodbye", class_id: 0, method_id: 0 };
        write_method(out, 0, &close);
    }

    /// What was agreed.
    pub fn negotiated(&self) -> Negotiated {
        self.negotiated
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    fn advance<'i>(&mut self, input: &'i [u8], out: &mut Vec<u8>) -> Advance<'i> {
        if self.phase == Phase::Starting {
            // A server that speaks something else sends its protocol header, which no frame resembles.
            match input.first_chunk::<PROTOCOL_HEADER_SIZE>() {
                None => return Advance::Need { size: PROTOCOL_HEADER_SIZE },
                Some(&header @ [b'A', b'M', b'Q', b'P', ..]) => {
                    self.phase = Phase::Closed;
                    return Advance::Tell { size: PROTOCOL_HEADER_SIZE, event: Event::Refused(header) };
                }
                Some(_) => {}
            }
        }
        let (frame, size) = match Frame::parse(input, self.payload_max) {
            Ok(Some(found)) => found,
            Ok(None) => return Advance::Need { size: frame_size(input) },
            Err(error) => return Advance::Tell { size: input.len(), event: self.fault(error.into(), out) },
        };
        match self.take_frame(frame, size, input, out) {
            Ok(advance) => advance,
            Err(error) => Advance::Tell { size, event: self.fault(error, out) },
        }
    }

    fn take_frame<'i>(
        &mut self,
        frame: Frame<'i>,
        size: usize,
        input: &'i [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<'i>, ProtocolError> {
        if self.incoming.contains_key(&frame.channel) {
            return self.take_content(&frame, size);
        }
        match frame.kind {
            FrameKind::Heartbeat => Ok(Advance::Tell { size, event: Event::Heartbeat }),
            FrameKind::Method => self.take_method(frame, size, input, out),
            _ => Err(unexpected("expected method frame, got non method frame instead")),
        }
    }

    fn take_method<'i>(
        &mut self,
        frame: Frame<'i>,
        size: usize,
        input: &'i [u8],
        out: &mut Vec<u8>,
    ) -> Result<Advance<'i>, ProtocolError> {
        let method = decode(frame.payload)?;
        if frame.channel == 0 {
            let event = self.take_connection_method(method, out)?;
            return Ok(event.map_or(Advance::Skip { size }, |event| Advance::Tell { size, event }));
        }
        if !method.carries_content() {
            return Ok(Advance::Tell { size, event: Event::Method { channel: frame.channel, method } });
        }
        let behind = input.get(size..).unwrap_or_default();
        Ok(match look_ahead(behind, frame.channel, self.payload_max, BODY_SIZE_CEILING) {
            LookAhead::Whole { properties, body, size: content_size } => {
                let content = Content::borrowed(frame, properties, body);
                Advance::Tell { size: size + content_size, event: Event::Content(content) }
            }
            LookAhead::Wait { size: content_size } => Advance::Need { size: size + content_size },
            LookAhead::Apart => {
                self.incoming.insert(frame.channel, Incoming::new(frame.payload, method.method_id()));
                Advance::Skip { size }
            }
        })
    }

    fn take_content<'i>(&mut self, frame: &Frame<'i>, size: usize) -> Result<Advance<'i>, ProtocolError> {
        let Some(mut incoming) = self.incoming.remove(&frame.channel) else { return Ok(Advance::Skip { size }) };
        match incoming.take(frame, BODY_SIZE_CEILING)? {
            Progress::Complete => Ok(Advance::Tell { size, event: Event::Content(incoming.finish(frame.channel)) }),
            Progress::Continue => {
                self.incoming.insert(frame.channel, incoming);
                Ok(Advance::Skip { size })
            }
            Progress::TooLarge(error) => Err(error),
        }
    }

    fn take_connection_method<'i>(
        &mut self,
        method: Method<'i>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<'i>>, ProtocolError> {
        match (self.phase, method) {
            (_, Method::ConnectionClose(close)) => {
                self.phase = Phase::Closed;
                write_method(out, 0, &connection::CloseOk {});
                Ok(Some(Event::Closed(close)))
            }
            (Phase::Starting, Method::ConnectionStart(start)) => self.answer_start(&start, out).map(|()| None),
            (Phase::Tuning, Method::ConnectionTune(tune)) => {
                self.answer_tune(&tune, out);
                Ok(None)
            }
            (Phase::Opening, Method::ConnectionOpenOk(_)) => {
                self.phase = Phase::Running;
                Ok(Some(Event::Ready(self.negotiated)))
            }
            (Phase::Closing, Method::ConnectionCloseOk(_)) => {
                self.phase = Phase::Closed;
                Ok(Some(Event::CloseOk))
            }
            (
                Phase::Running | Phase::Closing,
                method @ (Method::ConnectionBlocked(_)
                | Method::ConnectionUnblocked(_)
                | Method::ConnectionUpdateSecretOk(_)),
            ) => Ok(Some(Event::Method { channel: 0, method })),
            (_, other) => Err(ProtocolError::new(ReplyCode::CommandInvalid, "unexpected method").blame(&other)),
        }
    }

    fn answer_start(&mut self, start: &connection::Start<'_>, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        const MECHANISM: &str = "PLAIN";
        if !start.mechanisms.split(|&octet| octet == b' ').any(|name| name == MECHANISM.as_bytes()) {
            let text = "the server does not offer the mechanism PLAIN";
            return Err(ProtocolError::new(ReplyCode::NotImplemented, text).blame(start));
        }
        let properties = self.options.client_properties.to_bytes();
        let start_ok = connection::StartOk {
            client_properties: RawTable::trusted(&properties),
            mechanism: MECHANISM,
            response: &self.options.plain_response(),
            locale: "en_US",
        };
        self.phase = Phase::Tuning;
        write_method(out, 0, &start_ok);
        Ok(())
    }

    fn answer_tune(&mut self, tune: &connection::Tune, out: &mut Vec<u8>) {
        self.negotiated = self.options.choose(tune);
        self.payload_max = payload_max(self.negotiated.frame_max, PAYLOAD_CEILING);
        self.phase = Phase::Opening;
        let Negotiated { frame_max, channel_max, heartbeat } = self.negotiated;
        write_method(out, 0, &connection::TuneOk { channel_max, frame_max, heartbeat });
        write_method(out, 0, &connection::Open { virtual_host: &self.options.virtual_host });
    }

    fn fault<'i>(&mut self, error: ProtocolError, out: &mut Vec<u8>) -> Event<'i> {
        let &ProtocolError { code, ref text, class_id, method_id } = &error;
        write_method(out, 0, &connection::Close { reply_code: code.code(), reply_text: text, class_id, method_id });
        self.phase = Phase::Closed;
        Event::Fault(error)
    }

    /// The most input in bytes that ever has to be kept for the next call of [`receive`](Self::receive).
    pub fn input_size_max(&self) -> usize {
        self.payload_max.saturating_add(FRAME_OVERHEAD).saturating_add(crate::content::LOOK_AHEAD_SIZE_MAX)
    }
}

fn decode(payload: &[u8]) -> Result<Method<'_>, ProtocolError> {
    let (class_id, method_id, fields) =
        split_ids(payload).map_err(|error| ProtocolError::undecodable(error, 0, 0, payload))?;
    Method::decode_fields(class_id, method_id, fields)
        .map_err(|error| ProtocolError::undecodable(error, class_id, method_id, fields))
}

fn unexpected(explanation: &str) -> ProtocolError {
    ProtocolError::new(ReplyCode::UnexpectedFrame, explanation)
}

#[cfg(test)]
mod tests;
