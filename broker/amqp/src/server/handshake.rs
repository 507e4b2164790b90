//! Channel 0: protocol header, handshake, closing, and what is done when a rule was broken.

use super::phase::Phase;
use super::settings::Capabilities;
use super::{Advance, Arrival, Connection, Event, PAYLOAD_CEILING, Sink, decode, method_ids};
use crate::error::ProtocolError;
use crate::frame::{FrameError, payload_max, write_method};
use crate::header::{PROTOCOL_HEADER, PROTOCOL_HEADER_SIZE, check_protocol_header};
use crate::method::{Method, connection, split_ids};
use crate::reply::ReplyCode;
use crate::table::RawTable;

/// The only locale there is.
const LOCALES: &[u8] = b"en_US";
/// Ids of the two methods that matter while closing.
const CONNECTION_CLOSE: (u16, u16) = (10, 50);
const CONNECTION_CLOSE_OK: (u16, u16) = (10, 51);

impl Connection {
    pub(super) fn take_protocol_header<'i>(&mut self, input: &'i [u8], sink: &mut Sink<'_, 'i>) -> Advance {
        let Some(header) = input.first_chunk::<PROTOCOL_HEADER_SIZE>() else {
            return Advance::Need { size: PROTOCOL_HEADER_SIZE };
        };
        let event = match check_protocol_header(*header) {
            Ok(()) => {
                self.phase = Phase::Starting;
                self.write_start(sink.out);
                Event::Greeted
            }
            Err(stranger) => {
                self.phase = Phase::Closed;
                sink.out.extend_from_slice(&PROTOCOL_HEADER);
                Event::Stranger(stranger)
            }
        };
        sink.tell(PROTOCOL_HEADER_SIZE, event)
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
        match (self.phase, decode(class_id, method_id, fields)?) {
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

    /// A frame after a close was sent: all but close and close-ok on channel 0 is thrown away.
    pub(super) fn take_frame_while_closing<'i>(&mut self, arrival: &Arrival<'i>, sink: &mut Sink<'_, 'i>) -> Advance {
        let ids = if arrival.frame.channel == 0 { method_ids(&arrival.frame) } else { None };
        match (self.phase, ids) {
            (Phase::Closing, Some(CONNECTION_CLOSE)) => {
                // Both closed at once: each answers the other.
                write_method(sink.out, 0, &connection::CloseOk {});
                arrival.skip()
            }
            (Phase::Closing, Some(CONNECTION_CLOSE_OK)) => {
                self.phase = Phase::Closed;
                sink.tell(arrival.size, Event::CloseOk)
            }
            _ => arrival.skip(),
        }
    }

    /// Closes the connection over a rule that the first `size` bytes of the input broke.
    #[cold]
    pub(super) fn fault(
        &mut self,
        channel: u16,
        error: ProtocolError,
        size: usize,
        sink: &mut Sink<'_, '_>,
    ) -> Advance {
        self.close_connection(&error, sink.out);
        sink.tell(size, Event::ConnectionFault { channel, error })
    }

    /// Closes the connection because the place of the next frame is unknown. Nothing more is read.
    #[cold]
    pub(super) fn lose_framing(&mut self, error: FrameError, input: &[u8], sink: &mut Sink<'_, '_>) -> Advance {
        let size = input.len();
        let (FrameError::TooLarge { channel, .. } | FrameError::EndOctet { channel, .. }) = error;
        let was_closing = self.phase.is_closing();
        let advance = if was_closing { Advance::Skip { size } } else { self.fault(channel, error.into(), size, sink) };
        self.phase = Phase::Lost;
        advance
    }
}
