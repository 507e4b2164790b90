//! Channel 0: protocol header, handshake, closing, and what is done when a rule was broken.

use super::phase::Phase;
use super::{Advance, Connection, Event, PAYLOAD_CEILING};
use crate::error::ProtocolError;
use crate::frame::{Frame, FrameError, payload_max, write_method};
use crate::header::{PROTOCOL_HEADER, PROTOCOL_HEADER_SIZE, check_protocol_header};
use crate::method::{Method, connection, split_ids};
use crate::reply::ReplyCode;
use crate::table::RawTable;

use super::settings::Capabilities;

/// The only locale there is.
const LOCALES: &[u8] = b"en_US";
/// Ids of the two methods that matter while closing.
const CONNECTION_CLOSE: (u16, u16) = (10, 50);
const CONNECTION_CLOSE_OK: (u16, u16) = (10, 51);

impl Connection {
    pub(super) fn take_protocol_header(
        &mut self,
        header: [u8; PROTOCOL_HEADER_SIZE],
        out: &mut Vec<u8>,
    ) -> Event<'static> {
        match check_protocol_header(header) {
            Ok(()) => {
                self.phase = Phase::Starting;
                self.write_start(out);
                Event::Greeted
            }
            Err(stranger) => {
                self.phase = Phase::Closed;
                out.extend_from_slice(&PROTOCOL_HEADER);
                Event::Stranger(stranger)
            }
        }
    }

    fn write_start(&self, out: &mut Vec<u8>) {
        let properties = self.settings.server_properties.to_bytes();
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::trusted(&properties),
            mechanisms: self.settings.mechanisms.as_bytes(),
            locales: LOCALES,
        };
        write_method(out, 0, &start);
    }

    /// A method on channel 0, which is well formed and not thrown away.
    pub(super) fn take_connection_method<'i>(&mut self, payload: &'i [u8]) -> Result<Event<'i>, ProtocolError> {
        let (class_id, method_id, fields) =
            split_ids(payload).map_err(|error| ProtocolError::undecodable(error, 0, 0, payload))?;
        match (self.phase, super::decode(class_id, method_id, fields)?) {
            (_, Method::ConnectionClose(close)) => {
                self.phase = Phase::Leaving;
                self.channels.clear();
                Ok(Event::CloseRequested(close))
            }
            (Phase::Starting, Method::ConnectionStartOk(start_ok)) => {
                self.capabilities = Capabilities::of_client(&start_ok.client_properties.decode());
                self.phase = Phase::Deciding;
                Ok(Event::Login(start_ok))
            }
            (Phase::Securing, Method::ConnectionSecureOk(secure_ok)) => {
                self.phase = Phase::Deciding;
                Ok(Event::LoginAgain(secure_ok))
            }
            (Phase::Tuning, Method::ConnectionTuneOk(tune_ok)) => self.take_tune_ok(&tune_ok),
            (Phase::Opening, Method::ConnectionOpen(open)) => {
                self.phase = Phase::Entering;
                Ok(Event::Open(open))
            }
            (Phase::Running | Phase::Blocked, Method::ConnectionUpdateSecret(update)) => {
                Ok(Event::UpdateSecret(update))
            }
            (phase, other) => {
                let text = format_args!("unexpected method in connection state {}", phase.name());
                Err(ProtocolError::new(ReplyCode::ChannelError, text).blame(&other))
            }
        }
    }

    fn take_tune_ok(&mut self, tune_ok: &connection::TuneOk) -> Result<Event<'static>, ProtocolError> {
        self.negotiated = self.settings.limits.negotiate(tune_ok)?;
        self.payload_max = payload_max(self.negotiated.frame_max, PAYLOAD_CEILING);
        self.phase = Phase::Opening;
        Ok(Event::Tuned(self.negotiated))
    }

    /// A frame after a close was sent or received: all but close and close-ok on channel 0 is thrown away.
    pub(super) fn take_frame_while_closing<'i>(
        &mut self,
        frame: &Frame<'i>,
        size: usize,
        out: &mut Vec<u8>,
    ) -> Advance<'i> {
        let ids = if frame.channel == 0 { super::method_ids(frame) } else { None };
        match (self.phase, ids) {
            (Phase::Closing, Some(CONNECTION_CLOSE)) => {
                // Both closed at once: each answers the other.
                write_method(out, 0, &connection::CloseOk {});
                Advance::Skip { size }
            }
            (Phase::Closing, Some(CONNECTION_CLOSE_OK)) => {
                self.phase = Phase::Closed;
                Advance::Tell { size, event: Event::CloseOk }
            }
            _ => Advance::Skip { size },
        }
    }

    /// Closes the connection over a broken rule.
    pub(super) fn fault<'i>(&mut self, channel: u16, error: ProtocolError, out: &mut Vec<u8>) -> Event<'i> {
        self.close_connection(&error, out);
        Event::ConnectionFault { channel, error }
    }

    /// Closes the connection because the place of the next frame is unknown. Nothing more is read.
    pub(super) fn lose_framing<'i>(&mut self, error: FrameError, input: &[u8], out: &mut Vec<u8>) -> Advance<'i> {
        let was_closing = self.phase.is_closing();
        let (FrameError::TooLarge { channel, .. } | FrameError::EndOctet { channel, .. }) = error;
        let event = self.fault(channel, error.into(), out);
        self.phase = Phase::Lost;
        let size = input.len();
        if was_closing { Advance::Skip { size } } else { Advance::Tell { size, event } }
    }
}
