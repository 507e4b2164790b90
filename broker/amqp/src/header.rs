//! The protocol header: the eight bytes that a client sends before any frame.
//!
//! RabbitMQ speaks 0-9-1 to clients that ask for it, and to those that ask for 0-9 by its old header `AMQP 1 1 0 9`. Everybody
//! else is sent the header that the server speaks and is disconnected. It knows the usual strangers by their first bytes, so
//! that the log can say what knocked.

use std::fmt;

/// Bytes of a protocol header.
pub const PROTOCOL_HEADER_SIZE: usize = 8;
/// The header of AMQP 0-9-1, which also answers a wrong one.
pub const PROTOCOL_HEADER: [u8; PROTOCOL_HEADER_SIZE] = *b"AMQP\x00\x00\x09\x01";
/// How 0-9 (and 0-8 in 0-9's clothes) introduces itself.
const PROTOCOL_HEADER_0_9: [u8; PROTOCOL_HEADER_SIZE] = *b"AMQP\x01\x01\x00\x09";

/// Somebody who does not speak AMQP 0-9-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// `AMQP` with another version; the four bytes after the name.
    Amqp([u8; 4]),
    /// An HTTP request.
    Http,
    /// A TLS ClientHello on a plain port.
    Tls,
    /// Anything else.
    Unknown([u8; PROTOCOL_HEADER_SIZE]),
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amqp([id, major, minor, revision]) => {
                write!(f, "a client of another AMQP version ({id}, {major}, {minor}, {revision})")
            }
            Self::Http => f.write_str("an HTTP request on the AMQP port"),
            Self::Tls => f.write_str("a TLS client on a port without TLS"),
            Self::Unknown(bytes) => write!(f, "unknown protocol header {}", crate::term::Octets::pretty(bytes)),
        }
    }
}

/// Whether the header asks for a version that we speak.
pub fn check_protocol_header(header: [u8; PROTOCOL_HEADER_SIZE]) -> Result<(), Stranger> {
    match header {
        PROTOCOL_HEADER | PROTOCOL_HEADER_0_9 => Ok(()),
        [b'A', b'M', b'Q', b'P', version @ ..] => Err(Stranger::Amqp(version)),
        [b'G', b'E', b'T', b' ', ..] => Err(Stranger::Http),
        [0x16, 0x03, _, _, _, 0x01, ..] => Err(Stranger::Tls),
        other => Err(Stranger::Unknown(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_told_apart() {
        let check = |header: &[u8; 8], expected| assert_eq!(check_protocol_header(*header), expected);
        check(b"AMQP\x00\x00\x09\x01", Ok(()));
        check(b"AMQP\x01\x01\x00\x09", Ok(()));
        check(b"AMQP\x00\x01\x00\x00", Err(Stranger::Amqp([0, 1, 0, 0])));
        check(b"AMQP\x03\x01\x00\x00", Err(Stranger::Amqp([3, 1, 0, 0])));
        check(b"AMQP\x01\x01\x08\x00", Err(Stranger::Amqp([1, 1, 8, 0])));
        check(b"GET / HT", Err(Stranger::Http));
        check(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01], Err(Stranger::Tls));
        check(b"HELO mx ", Err(Stranger::Unknown(*b"HELO mx ")));
    }
}
