//! What can go wrong, by who is at fault: the network, the server's verdict, the caller.
//!
//! Errors are cloned, because the end of a connection is told to every channel on it.

use std::fmt;
use std::io;
use std::time::Duration;

use leveret_amqp::error::{DecodeError, ProtocolError};
use leveret_amqp::method::{channel, connection};

use crate::message::Returned;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq)]
pub enum Error {
    /// The socket: no connection, or it was lost.
    Io {
        /// The kind of the system's error.
        kind: io::ErrorKind,
        /// Its text.
        text: String,
    },
    /// The server closed the connection.
    ConnectionClosed(Close),
    /// The server closed the channel; other channels live on.
    ChannelClosed(Close),
    /// The caller closed the channel or the connection before.
    Closed,
    /// The server speaks another protocol and answered with this header.
    OtherProtocol([u8; 8]),
    /// The server broke a rule of the protocol.
    Protocol(ProtocolError),
    /// Nothing came from the server for two heartbeat intervals.
    HeartbeatMissed {
        /// The agreed interval.
        interval: Duration,
    },
    /// No answer within the caller's limit.
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The server answered with something else than what was asked for.
    UnexpectedReply {
        /// The request.
        request: &'static str,
        /// The method that came.
        reply: &'static str,
    },
    /// The server ended the consumer (basic.cancel): its queue was deleted, or its node went away.
    Cancelled,
    /// No queue took a mandatory request.
    Unroutable(Box<Returned>),
    /// All channel numbers of the connection are in use.
    NoChannelLeft {
        /// How many there are.
        channel_max: u16,
    },
    /// A name or key is longer than the 255 bytes of a short string.
    NameTooLong {
        /// Its size in bytes.
        size: usize,
    },
    /// An arguments table that cannot go over the wire.
    Arguments(DecodeError),
    /// Confirms were asked for on a channel without [`Channel::confirm_select`](crate::Channel::confirm_select).
    NotInConfirmMode,
    /// The stack unwinds, so nothing can be waited for.
    Unwinding,
}

/// What `connection.close` or `channel.close` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The reply code, such as 404.
    pub code: u16,
    /// The reply text, such as `NOT_FOUND - no queue 'q' in vhost '/'`.
    pub text: String,
    /// Class of the method to blame, 0 if none.
    pub class_id: u16,
    /// Method to blame within the class, 0 if none.
    pub method_id: u16,
}

impl Error {
    /// The server's reply code, if the server gave one.
    pub fn reply_code(&self) -> Option<u16> {
        match self {
            Error::ConnectionClosed(close) | Error::ChannelClosed(close) => Some(close.code),
            Error::Unroutable(returned) => Some(returned.code),
            _ => None,
        }
    }

    /// Whether another attempt may succeed without anybody changing anything: the network's faults, and a server that stops
    /// or restarts (320 `CONNECTION_FORCED`). A refused login is not among them.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Io { .. } | Error::HeartbeatMissed { .. } | Error::TimedOut { .. } => true,
            Error::ConnectionClosed(close) => close.code == 320,
            _ => false,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Io { kind: error.kind(), text: error.to_string() }
    }
}

impl From<&connection::Close<'_>> for Close {
    fn from(close: &connection::Close<'_>) -> Self {
        let &connection::Close { reply_code, reply_text, class_id, method_id } = close;
        Close { code: reply_code, text: reply_text.to_owned(), class_id, method_id }
    }
}

impl From<&channel::Close<'_>> for Close {
    fn from(close: &channel::Close<'_>) -> Self {
        let &channel::Close { reply_code, reply_text, class_id, method_id } = close;
        Close { code: reply_code, text: reply_text.to_owned(), class_id, method_id }
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { text, .. } => f.write_str(text),
            Error::ConnectionClosed(close) => write!(f, "the server closed the connection: {close}"),
            Error::ChannelClosed(close) => write!(f, "the server closed the channel: {close}"),
            Error::Closed => f.write_str("the channel or connection was closed before"),
            Error::OtherProtocol(header) => {
                write!(f, "the server does not speak AMQP 0-9-1; it answered {}", header.escape_ascii())
            }
            Error::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Error::HeartbeatMissed { interval } => {
                write!(f, "nothing came from the server for two heartbeat intervals of {interval:?}")
            }
            Error::TimedOut { what, limit } => write!(f, "no {what} within {limit:?}"),
            Error::UnexpectedReply { request, reply } => write!(f, "the server answered {request} with {reply}"),
            Error::Cancelled => f.write_str("the server cancelled the consumer: its queue is gone or moved"),
            Error::Unroutable(returned) => write!(f, "no queue took the message: {} {}", returned.code, returned.text),
            Error::NoChannelLeft { channel_max } => {
                write!(
                    f,
                    "all {channel_max} channels of the connection are open; close some, or open a connection more"
                )
            }
            Error::NameTooLong { size } => {
                write!(f, "a name or key of {size} bytes: AMQP has room for 255")
            }
            Error::Arguments(error) => write!(f, "these arguments cannot be sent: {error}"),
            Error::NotInConfirmMode => f.write_str("the channel is not in confirm mode; call confirm_select first"),
            Error::Unwinding => f.write_str("the stack unwinds: nothing can be waited for"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_that_pass_by_themselves_are_transient() {
        let closed = |code| Error::ConnectionClosed(Close { code, text: String::new(), class_id: 0, method_id: 0 });
        let check = |error: Error, expected| assert_eq!(error.is_transient(), expected, "{error}");
        check(io::Error::from(io::ErrorKind::ConnectionRefused).into(), true);
        check(closed(320), true);
        check(closed(403), false);
        check(closed(530), false);
        check(Error::HeartbeatMissed { interval: Duration::from_secs(1) }, true);
        check(Error::Closed, false);
        check(Error::OtherProtocol(*b"AMQP\0\x01\0\0"), false);
    }
}
