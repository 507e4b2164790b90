//! A message as the store keeps it: what routing and delivery need, then the property bytes and the body as they came.
//!
//! ```text
//!   version u8 = 1 | flags u8 | exchange length u8 | key length u8 | BCC keys u16 | properties length u32
//!   exchange | key | (length u8, BCC key)* | properties | body            (numbers are little-endian)
//! ```
//!
//! What the properties say (priority, expiration, CC keys, deaths) is read from them again. BCC keys are not among them
//! any more, since nobody may see them.

use std::fmt;

use leveret_core::message::Message;

/// The version that this program writes, and the only one that it reads.
const VERSION: u8 = 1;
/// The broker itself has written the headers about earlier deaths.
const DEAD: u8 = 1;
/// It was not published as persistent: a message of a stream, or one that was only written away for want of memory.
const TRANSIENT: u8 = 2;
/// Bytes before the names.
const FIXED_SIZE: usize = 10;

/// A record that does not say what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It ends too early, or its lengths do not fit.
    Short,
    /// Written by a version of this program that this one does not know.
    Version(u8),
    /// A name is not UTF-8.
    Name,
    /// The properties are not AMQP's.
    Properties,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the stored message ends too early"),
            Self::Version(version) => {
                write!(f, "the stored message has format {version}, this program reads {VERSION}: use a newer program")
            }
            Self::Name => f.write_str("the stored message has a name that is not UTF-8"),
            Self::Properties => f.write_str("the stored message's properties are not AMQP's"),
        }
    }
}

impl std::error::Error for Malformed {}

/// A record taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Kept<'a> {
    /// The exchange that it was published to.
    pub exchange: &'a str,
    /// The first routing key.
    pub routing_key: &'a str,
    /// Further routing keys that nobody may see.
    pub bcc_keys: Vec<Box<str>>,
    /// Whether its headers about earlier deaths are the broker's own.
    pub is_dead: bool,
    /// Delivery mode 2.
    pub is_persistent: bool,
    /// As delivered.
    pub properties: &'a [u8],
    /// As delivered.
    pub body: &'a [u8],
}

/// Writes what comes before the properties. `out` is emptied first.
pub fn write_head(message: &Message, out: &mut Vec<u8>) {
    out.clear();
    let bcc_keys = message.bcc_keys();
    let flags = if message.deaths().is_some() { DEAD } else { 0 } | if message.persistent { 0 } else { TRANSIENT };
    let length = |bytes: &[u8]| u8::try_from(bytes.len()).expect("AMQP's names have at most 255 bytes");
    out.extend([VERSION, flags, length(message.exchange()), length(message.routing_key())]);
    out.extend(u16::try_from(bcc_keys.len()).unwrap_or(u16::MAX).to_le_bytes());
    let properties = u32::try_from(message.properties().len()).expect("properties fit one frame");
    out.extend(properties.to_le_bytes());
    out.extend_from_slice(message.exchange());
    out.extend_from_slice(message.routing_key());
    for key in bcc_keys.iter().take(usize::from(u16::MAX)) {
        let key = &key.as_bytes()[..key.len().min(255)]; // longer ones match no queue
        out.push(length(key));
        out.extend_from_slice(key);
    }
}

/// Bytes that [`write_head`] writes.
pub fn head_size(message: &Message) -> usize {
    let keys = message.bcc_keys().iter().take(usize::from(u16::MAX)).map(|key| 1 + key.len().min(255)).sum::<usize>();
    FIXED_SIZE + message.exchange().len() + message.routing_key().len() + keys
}

/// Takes a record apart.
///
/// # Errors
/// See [`Malformed`].
pub fn parse(bytes: &[u8]) -> Result<Kept<'_>, Malformed> {
    let (fixed, mut rest) = bytes.split_at_checked(FIXED_SIZE).ok_or(Malformed::Short)?;
    let &[version, flags, exchange, key, bcc_low, bcc_high, p0, p1, p2, p3] = fixed else {
        return Err(Malformed::Short);
    };
    if version != VERSION {
        return Err(Malformed::Version(version));
    }
    let exchange = text(take(&mut rest, exchange.into())?)?;
    let routing_key = text(take(&mut rest, key.into())?)?;
    let mut bcc_keys = Vec::new();
    for _ in 0..u16::from_le_bytes([bcc_low, bcc_high]) {
        let length = take(&mut rest, 1)?.first().copied().unwrap_or(0);
        bcc_keys.push(text(take(&mut rest, length.into())?)?.into());
    }
    let properties = usize::try_from(u32::from_le_bytes([p0, p1, p2, p3])).map_err(|_| Malformed::Short)?;
    let properties = take(&mut rest, properties)?;
    let (is_dead, is_persistent) = (flags & DEAD != 0, flags & TRANSIENT == 0);
    Ok(Kept { exchange, routing_key, bcc_keys, is_dead, is_persistent, properties, body: rest })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, left) = rest.split_at_checked(count).ok_or(Malformed::Short)?;
    *rest = left;
    Ok(taken)
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(exchange: &str, key: &str, bcc: &[&str]) -> Vec<u8> {
        let mut builder = Message::builder(exchange, key, b"\x10\x00\x02", 4);
        builder.body(b"body").persistent(true);
        if !bcc.is_empty() {
            builder.bcc_keys(bcc.iter().map(|key| Box::from(*key)).collect());
        }
        let message = builder.build();
        let mut head = vec![9; 3];
        write_head(&message, &mut head);
        assert_eq!(head.len(), head_size(&message));
        [&head, message.properties(), message.body()].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        for (exchange, key, bcc) in [("", "q", &[][..]), ("amq.topic", "a.b", &["x", ""]), ("größe", "", &["é"])] {
            let bytes = written(exchange, key, bcc);
            let kept = parse(&bytes).expect("just written");
            assert_eq!((kept.exchange, kept.routing_key, kept.is_dead), (exchange, key, false));
            assert_eq!(kept.bcc_keys.iter().map(|key| &**key).collect::<Vec<_>>(), bcc);
            assert_eq!((kept.properties, kept.body), (&b"\x10\x00\x02"[..], &b"body"[..]));
        }
    }

    #[test]
    fn the_bytes_are_these() {
        let expected = b"\x01\x00\x01\x02\x01\x00\x03\x00\x00\x00xab\x01c\x10\x00\x02body";
        assert_eq!(written("x", "ab", &["c"]), expected);
    }

    #[test]
    fn a_record_cut_anywhere_is_short_or_has_a_shorter_body() {
        let bytes = written("amq.topic", "a.b", &["x", "yz"]);
        for length in 0..bytes.len() {
            match parse(&bytes[..length]) {
                Ok(kept) => assert!(kept.body.len() < 4),
                Err(error) => assert_eq!(error, Malformed::Short),
            }
        }
    }

    #[test]
    fn other_versions_and_names_that_are_no_text_are_refused() {
        let mut bytes = written("x", "k", &[]);
        bytes[0] = 2;
        assert_eq!(parse(&bytes), Err(Malformed::Version(2)));
        bytes[0] = 1;
        bytes[FIXED_SIZE] = 0xFF;
        assert_eq!(parse(&bytes), Err(Malformed::Name));
    }
}
