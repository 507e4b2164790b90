//! What can go wrong between a peer's bytes and a decoded value, and what then goes over the wire.
//!
//! [`DecodeError`] is about one value. [`ProtocolError`] is what a `connection.close` or `channel.close` carries: the
//! reply code, the text that clients match on and the method that is to blame. The frame splitter has an error of its
//! own, [`FrameError`](crate::frame::FrameError), since after it the byte stream cannot be followed any more.

use std::fmt;

use crate::method::WireMethod;
use crate::reply::{ReplyCode, reply_text};
use crate::term::Octets;

/// Why bytes are not the value that they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end before the value does.
    Truncated,
    /// The value ends before the bytes do.
    Trailing,
    /// A short string that must be text is not UTF-8.
    Utf8,
    /// A field value has a type octet that nobody knows.
    FieldType(u8),
    /// Tables and arrays are nested deeper than [`TABLE_DEPTH_MAX`](crate::table::TABLE_DEPTH_MAX).
    TooDeep,
    /// Property flags name a property that class basic does not have.
    PropertyFlags(u16),
    /// No such method in any class.
    UnknownMethod {
        /// The class that was asked for.
        class_id: u16,
        /// The method within it.
        method_id: u16,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the value is cut short"),
            Self::Trailing => f.write_str("there are bytes after the value"),
            Self::Utf8 => f.write_str("Malformed UTF-8 in shortstr"),
            Self::FieldType(octet) => write!(f, "unknown field type octet {octet}"),
            Self::TooDeep => f.write_str("tables are nested too deeply"),
            Self::PropertyFlags(flags) => write!(f, "unknown property flags {flags:#06x}"),
            Self::UnknownMethod { class_id, method_id } => write!(f, "unknown method {class_id}.{method_id}"),
        }
    }
}

impl std::error::Error for DecodeError {}

/// An error as AMQP tells it to the other side: the fields of `connection.close` and `channel.close`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// Why; its kind decides whether the channel or the whole connection closes.
    pub code: ReplyCode,
    /// `NAME - explanation`, at most 255 bytes.
    pub text: String,
    /// Class of the method to blame, 0 if none is.
    pub class_id: u16,
    /// Method to blame within the class, 0 if none is.
    pub method_id: u16,
}

impl ProtocolError {
    /// An error that no method is to blame for. `explanation` becomes the part after `NAME - `.
    pub fn new(code: ReplyCode, explanation: impl fmt::Display) -> Self {
        Self { code, text: reply_text(code, explanation), class_id: 0, method_id: 0 }
    }

    /// The same error, blamed on a method.
    #[must_use]
    pub fn blame(self, method: &impl WireMethod) -> Self {
        self.blame_ids(method.class_id(), method.method_id())
    }

    /// The same error, blamed on a method that is known by its ids only.
    #[must_use]
    pub fn blame_ids(self, class_id: u16, method_id: u16) -> Self {
        Self { class_id, method_id, ..self }
    }

    /// A method or header that does not decode: hard 501, or 503 if there is no such method.
    ///
    /// `fields` are the bytes after the ids. RabbitMQ prints them as integers: `cannot decode <<0,0,5>>`.
    pub fn undecodable(error: DecodeError, class_id: u16, method_id: u16, fields: &[u8]) -> Self {
        let plain = match error {
            DecodeError::UnknownMethod { .. } => Self::new(ReplyCode::CommandInvalid, error),
            DecodeError::Utf8 => return Self::new(ReplyCode::FrameError, error), // blamed on nobody, as by RabbitMQ
            _ => Self::new(ReplyCode::FrameError, format_args!("cannot decode {}", Octets::plain(fields))),
        };
        plain.blame_ids(class_id, method_id)
    }

    /// Whether the whole connection has to close, and not only the channel.
    pub fn is_hard(&self) -> bool {
        self.code.is_hard()
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.code(), self.text)
    }
}

impl std::error::Error for ProtocolError {}
