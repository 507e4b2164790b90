//! Reply codes: the one table of numbers, names and kinds, and the form of a reply text.
//!
//! A *soft* code closes a channel, a *hard* one the connection. Which code answers which mistake is decided where the
//! mistake is found.

use std::fmt;

use crate::wire::cut_text;

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $variant:ident = $code:literal $name:literal $kind:ident,)*) => {
        /// Every reply code of AMQP 0-9-1 that RabbitMQ knows.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ReplyCode {
            $($(#[$doc])* #[doc = concat!("\n\n", stringify!($code), " ", $name, ".")] $variant,)*
        }

        impl ReplyCode {
            /// All codes, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number on the wire.
            pub fn code(self) -> u16 {
                match self { $(Self::$variant => $code),* }
            }

            /// The name that begins a reply text.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Whether it closes the connection and not only a channel.
            pub fn is_hard(self) -> bool {
                match self { $(Self::$variant => is_hard!($kind)),* }
            }
        }
    };
}

macro_rules! is_hard {
    (hard) => {
        true
    };
    (soft) => {
        false
    };
}

reply_codes! {
    /// A close without any error.
    ReplySuccess = 200 "REPLY_SUCCESS" soft,
    /// The content is larger than the peer is ready to take.
    ContentTooLarge = 311 "CONTENT_TOO_LARGE" soft,
    /// In basic.return only: a mandatory message reached no queue.
    NoRoute = 312 "NO_ROUTE" soft,
    /// For immediate messages, which RabbitMQ gave up; never sent.
    NoConsumers = 313 "NO_CONSUMERS" soft,
    /// An operator closed the connection.
    ConnectionForced = 320 "CONNECTION_FORCED" hard,
    /// The vhost's path is not known.
    InvalidPath = 402 "INVALID_PATH" hard,
    /// The user may not do this.
    AccessRefused = 403 "ACCESS_REFUSED" soft,
    /// The thing is not there.
    NotFound = 404 "NOT_FOUND" soft,
    /// Somebody else holds it exclusively.
    ResourceLocked = 405 "RESOURCE_LOCKED" soft,
    /// The thing is there but not as asked.
    PreconditionFailed = 406 "PRECONDITION_FAILED" soft,
    /// A frame that cannot be decoded.
    FrameError = 501 "FRAME_ERROR" hard,
    /// A field has an impossible value.
    SyntaxError = 502 "SYNTAX_ERROR" hard,
    /// A method that is not known, or not here.
    CommandInvalid = 503 "COMMAND_INVALID" hard,
    /// A channel or connection in the wrong state.
    ChannelError = 504 "CHANNEL_ERROR" hard,
    /// A frame that is not due.
    UnexpectedFrame = 505 "UNEXPECTED_FRAME" hard,
    /// Something ran out.
    ResourceError = 506 "RESOURCE_ERROR" hard,
    /// Not allowed on this connection.
    NotAllowed = 530 "NOT_ALLOWED" hard,
    /// Part of the protocol that is not implemented.
    NotImplemented = 540 "NOT_IMPLEMENTED" hard,
    /// The broker's own fault.
    InternalError = 541 "INTERNAL_ERROR" hard,
}

impl ReplyCode {
    /// The code with this number.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|known| known.code() == code)
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.name())
    }
}

/// `NAME - explanation`, cut to the 255 bytes of a short string on a character boundary.
pub fn reply_text(code: ReplyCode, explanation: impl fmt::Display) -> String {
    let mut text = format!("{} - {explanation}", code.name());
    text.truncate(cut_text(&text).len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_on_a_character_boundary() {
        let check = |explanation: &str, expected: &str| {
            assert_eq!(reply_text(ReplyCode::NotFound, explanation), expected);
        };
        let room = 255 - "NOT_FOUND - ".len();
        check("no queue 'q' in vhost '/'", "NOT_FOUND - no queue 'q' in vhost '/'");
        check(&"x".repeat(room), &format!("NOT_FOUND - {}", "x".repeat(room)));
        check(&"x".repeat(room + 1), &format!("NOT_FOUND - {}", "x".repeat(room)));
        check(&format!("{}é", "x".repeat(room - 1)), &format!("NOT_FOUND - {}", "x".repeat(room - 1)));
        check(&"é".repeat(room), &format!("NOT_FOUND - {}", "é".repeat(room / 2)));
    }

    #[test]
    fn kinds_follow_the_table() {
        let soft: Vec<u16> = ReplyCode::ALL.iter().filter(|code| !code.is_hard()).map(|code| code.code()).collect();
        assert_eq!(soft, [200, 311, 312, 313, 403, 404, 405, 406]);
        assert!(ReplyCode::ALL.is_sorted_by_key(|code| code.code()));
        assert_eq!(ReplyCode::from_code(530), Some(ReplyCode::NotAllowed));
        assert_eq!(ReplyCode::from_code(531), None);
    }
}
