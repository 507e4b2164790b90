//! Message properties of class basic: the second half of a content header.
//!
//! [`Properties`] are bytes as they were received, checked once and otherwise untouched, because they are forwarded as they
//! came: some clients compare them. Accessors find a property by walking over those in front of it; that is cheap since few are
//! set and most callers ask for delivery-mode only. [`BasicProperties`] owns decoded values, for those who build or change
//! properties.
//!
//! Wire form: 16 flag bits, then the values whose bit is set, highest bit first:
//!
//! ```text
//! 15 content-type  14 content-encoding  13 headers  12 delivery-mode  11 priority  10 correlation-id  9 reply-to
//!  8 expiration     7 message-id         6 timestamp  5 type           4 user-id    3 app-id           2 cluster-id
//! ```
//!
//! Short strings in here are bytes: RabbitMQ checks UTF-8 in method fields only.

use std::borrow::Cow;

use crate::error::DecodeError;
use crate::table::{RawTable, Table};
use crate::wire::{Reader, put_short_bytes};

/// The property flags of a content header, by name.
mod flag {
    pub(super) const CONTENT_TYPE: u16 = 1 << 15;
    pub(super) const CONTENT_ENCODING: u16 = 1 << 14;
    pub(super) const HEADERS: u16 = 1 << 13;
    pub(super) const DELIVERY_MODE: u16 = 1 << 12;
    pub(super) const PRIORITY: u16 = 1 << 11;
    pub(super) const CORRELATION_ID: u16 = 1 << 10;
    pub(super) const REPLY_TO: u16 = 1 << 9;
    pub(super) const EXPIRATION: u16 = 1 << 8;
    pub(super) const MESSAGE_ID: u16 = 1 << 7;
    pub(super) const TIMESTAMP: u16 = 1 << 6;
    pub(super) const KIND: u16 = 1 << 5;
    pub(super) const USER_ID: u16 = 1 << 4;
    pub(super) const APP_ID: u16 = 1 << 3;
    pub(super) const CLUSTER_ID: u16 = 1 << 2;
    /// Bits without a property; bit 0 would announce another flag word, which 0-9-1 never uses.
    pub(super) const UNKNOWN: u16 = 0b11;
}

/// Delivery mode of a message that survives a restart. Anything else is transient.
pub const PERSISTENT: u8 = 2;

/// Properties as they lie in a content header: checked, borrowed or owned, not decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Properties<'a> {
    /// Flags and values; valid through and through.
    raw: Cow<'a, [u8]>,
}

impl Default for Properties<'_> {
    fn default() -> Self {
        Self { raw: Cow::Borrowed(&[0, 0]) }
    }
}

impl<'a> Properties<'a> {
    /// Checks flags and values, headers included, without allocating.
    ///
    /// # Errors
    /// Unknown flags, values cut short, bytes left over, and headers that are no table.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw);
        let flags = reader.u16()?;
        if flags != 0 {
            check_values(flags, &mut reader)?;
        }
        reader.finish()?;
        Ok(Self { raw: Cow::Borrowed(raw) })
    }

    /// The bytes to forward: flags and values.
    #[inline]
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Whether only such are set as say nothing about what the broker is to do with the message but to keep it: it need not
    /// look at headers, priority, reply-to, expiration or user-id.
    #[inline]
    pub fn are_plain(&self) -> bool {
        const TELLING: u16 = flag::HEADERS | flag::PRIORITY | flag::REPLY_TO | flag::EXPIRATION | flag::USER_ID;
        self.raw.first_chunk::<2>().is_some_and(|flags| u16::from_be_bytes(*flags) & TELLING == 0)
    }

    /// The same properties with bytes of their own.
    pub fn into_owned(self) -> Properties<'static> {
        Properties { raw: Cow::Owned(self.raw.into_owned()) }
    }

    /// The bytes to forward, owned.
    pub fn into_raw(self) -> Vec<u8> {
        self.raw.into_owned()
    }

    /// MIME type of the body.
    pub fn content_type(&self) -> Option<&[u8]> {
        self.short(flag::CONTENT_TYPE)
    }

    /// MIME encoding of the body.
    pub fn content_encoding(&self) -> Option<&[u8]> {
        self.short(flag::CONTENT_ENCODING)
    }

    /// Headers, still undecoded.
    pub fn headers(&self) -> Option<RawTable<'_>> {
        self.locate(flag::HEADERS)?.long_bytes().ok().map(RawTable::trusted)
    }

    /// 2 is persistent, anything else is not.
    pub fn delivery_mode(&self) -> Option<u8> {
        self.locate(flag::DELIVERY_MODE)?.u8().ok()
    }

    /// Whether the message is to survive a restart.
    pub fn is_persistent(&self) -> bool {
        self.delivery_mode() == Some(PERSISTENT)
    }

    /// Higher is more urgent.
    pub fn priority(&self) -> Option<u8> {
        self.locate(flag::PRIORITY)?.u8().ok()
    }

    /// Which request this answers.
    pub fn correlation_id(&self) -> Option<&[u8]> {
        self.short(flag::CORRELATION_ID)
    }

    /// Where to send the answer.
    pub fn reply_to(&self) -> Option<&[u8]> {
        self.short(flag::REPLY_TO)
    }

    /// Time to live: decimal milliseconds, as text.
    pub fn expiration(&self) -> Option<&[u8]> {
        self.short(flag::EXPIRATION)
    }

    /// The application's id of the message.
    pub fn message_id(&self) -> Option<&[u8]> {
        self.short(flag::MESSAGE_ID)
    }

    /// Seconds since the epoch.
    pub fn timestamp(&self) -> Option<u64> {
        self.locate(flag::TIMESTAMP)?.u64().ok()
    }

    /// The property `type`, a name of the application's choice.
    pub fn kind(&self) -> Option<&[u8]> {
        self.short(flag::KIND)
    }

    /// The publisher, which the broker checks.
    pub fn user_id(&self) -> Option<&[u8]> {
        self.short(flag::USER_ID)
    }

    /// The publishing application.
    pub fn app_id(&self) -> Option<&[u8]> {
        self.short(flag::APP_ID)
    }

    /// Deprecated, passed through.
    pub fn cluster_id(&self) -> Option<&[u8]> {
        self.short(flag::CLUSTER_ID)
    }

    fn short(&self, flag: u16) -> Option<&[u8]> {
        self.locate(flag)?.short_bytes().ok()
    }

    /// A reader at the value of the property, if it is set.
    fn locate(&self, wanted: u16) -> Option<Reader<'_>> {
        let mut reader = Reader::new(&self.raw);
        let flags = reader.u16().ok()?;
        if flags & wanted == 0 {
            return None;
        }
        // Values lie in the order of the bits, highest first: step over all that are higher than the wanted one.
        let mut ahead = flags & !(wanted | (wanted - 1));
        while ahead != 0 {
            let flag = highest(ahead);
            skip_value(flag, &mut reader).ok()?;
            ahead &= !flag;
        }
        Some(reader)
    }
}

fn highest(flags: u16) -> u16 {
    (1 << 15) >> flags.leading_zeros()
}

fn skip_value(flag: u16, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    match flag {
        flag::DELIVERY_MODE | flag::PRIORITY => reader.u8().map(drop),
        flag::TIMESTAMP => reader.u64().map(drop),
        flag::HEADERS => reader.long_bytes().map(drop),
        _ => reader.short_bytes().map(drop),
    }
}

fn check_values(flags: u16, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    if flags & flag::UNKNOWN != 0 {
        return Err(DecodeError::PropertyFlags(flags));
    }
    let mut ahead = flags;
    while ahead != 0 {
        let flag = highest(ahead);
        match flag {
            flag::HEADERS => RawTable::read(reader).map(drop)?,
            _ => skip_value(flag, reader)?,
        }
        ahead &= !flag;
    }
    Ok(())
}

/// Properties with decoded values, to build or change.
///
/// ```
/// use leveret_amqp::properties::BasicProperties;
///
/// let properties = BasicProperties { delivery_mode: Some(2), reply_to: Some("answers".into()), ..Default::default() };
/// let encoded = properties.encode();
/// assert!(encoded.is_persistent());
/// assert_eq!(encoded.reply_to(), Some("answers".as_bytes()));
/// assert_eq!(BasicProperties::from(&encoded), properties);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasicProperties {
    /// MIME type of the body.
    pub content_type: Option<Vec<u8>>,
    /// MIME encoding of the body.
    pub content_encoding: Option<Vec<u8>>,
    /// Headers, which the broker reads for routing and marks with its own.
    pub headers: Option<Table>,
    /// 2 is persistent, anything else is not.
    pub delivery_mode: Option<u8>,
    /// Higher is more urgent.
    pub priority: Option<u8>,
    /// Which request this answers.
    pub correlation_id: Option<Vec<u8>>,
    /// Where to send the answer.
    pub reply_to: Option<Vec<u8>>,
    /// Time to live: decimal milliseconds, as text.
    pub expiration: Option<Vec<u8>>,
    /// The application's id of the message.
    pub message_id: Option<Vec<u8>>,
    /// Seconds since the epoch.
    pub timestamp: Option<u64>,
    /// The property `type`, a name of the application's choice.
    pub kind: Option<Vec<u8>>,
    /// The publisher, which the broker checks.
    pub user_id: Option<Vec<u8>>,
    /// The publishing application.
    pub app_id: Option<Vec<u8>>,
    /// Deprecated, passed through.
    pub cluster_id: Option<Vec<u8>>,
}

impl BasicProperties {
    /// Encodes flags and values. Short strings are cut at 255 bytes.
    pub fn encode(&self) -> Properties<'static> {
        let mut writer = ValueWriter { flags: 0, out: vec![0, 0] };
        writer.short(flag::CONTENT_TYPE, self.content_type.as_deref());
        writer.short(flag::CONTENT_ENCODING, self.content_encoding.as_deref());
        writer.put(flag::HEADERS, self.headers.as_ref(), |out, headers| headers.encode(out));
        writer.put(flag::DELIVERY_MODE, self.delivery_mode, |out, mode| out.push(mode));
        writer.put(flag::PRIORITY, self.priority, |out, priority| out.push(priority));
        writer.short(flag::CORRELATION_ID, self.correlation_id.as_deref());
        writer.short(flag::REPLY_TO, self.reply_to.as_deref());
        writer.short(flag::EXPIRATION, self.expiration.as_deref());
        writer.short(flag::MESSAGE_ID, self.message_id.as_deref());
        writer.put(flag::TIMESTAMP, self.timestamp, |out, time| out.extend_from_slice(&time.to_be_bytes()));
        writer.short(flag::KIND, self.kind.as_deref());
        writer.short(flag::USER_ID, self.user_id.as_deref());
        writer.short(flag::APP_ID, self.app_id.as_deref());
        writer.short(flag::CLUSTER_ID, self.cluster_id.as_deref());
        writer.finish()
    }
}

impl From<&Properties<'_>> for BasicProperties {
    fn from(raw: &Properties<'_>) -> Self {
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        Self {
            content_type: owned(raw.content_type()),
            content_encoding: owned(raw.content_encoding()),
            headers: raw.headers().map(|headers| headers.decode()),
            delivery_mode: raw.delivery_mode(),
            priority: raw.priority(),
            correlation_id: owned(raw.correlation_id()),
            reply_to: owned(raw.reply_to()),
            expiration: owned(raw.expiration()),
            message_id: owned(raw.message_id()),
            timestamp: raw.timestamp(),
            kind: owned(raw.kind()),
            user_id: owned(raw.user_id()),
            app_id: owned(raw.app_id()),
            cluster_id: owned(raw.cluster_id()),
        }
    }
}

struct ValueWriter {
    flags: u16,
    out: Vec<u8>,
}

impl ValueWriter {
    fn put<T>(&mut self, flag: u16, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
        if let Some(value) = value {
            self.flags |= flag;
            write(&mut self.out, value);
        }
    }

    fn short(&mut self, flag: u16, value: Option<&[u8]>) {
        self.put(flag, value, put_short_bytes);
    }

    fn finish(mut self) -> Properties<'static> {
        for (slot, octet) in self.out.iter_mut().zip(self.flags.to_be_bytes()) {
            *slot = octet;
        }
        Properties { raw: Cow::Owned(self.out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, hex};

    #[test]
    fn golden() {
        let check = |properties: BasicProperties, digits: &str| {
            let bytes = hex(digits);
            assert_eq!(properties.encode().raw(), bytes);
            assert_eq!(Properties::parse(&bytes).map(|raw| BasicProperties::from(&raw)), Ok(properties));
        };
        let short = |text: &str| Some(text.as_bytes().to_vec());
        check(BasicProperties::default(), "0000");
        check(BasicProperties { delivery_mode: Some(2), ..Default::default() }, "1000 02");
        check(
            BasicProperties { content_type: short("t"), headers: Some(Table::new()), ..Default::default() },
            "A000 01 74 00000000",
        );
        check(
            BasicProperties {
                content_type: short("a"),
                content_encoding: short("b"),
                headers: Some(Table::new().with("h", true)),
                delivery_mode: Some(1),
                priority: Some(9),
                correlation_id: short("c"),
                reply_to: short("d"),
                expiration: short("60"),
                message_id: short("e"),
                timestamp: Some(2),
                kind: short("f"),
                user_id: short("g"),
                app_id: short("i"),
                cluster_id: short("j"),
            },
            "FFFC 0161 0162 00000004 0168 7401 01 09 0163 0164 023630 0165 0000000000000002 0166 0167 0169 016A",
        );
    }

    #[test]
    fn random_properties_survive_and_are_cut_nowhere() {
        let mut random = Random::new(5);
        for _ in 0..2000 {
            let properties = random.properties();
            let encoded = properties.encode();
            let bytes = encoded.raw();
            let raw = Properties::parse(bytes).expect("properties of ours");
            assert_eq!(BasicProperties::from(&raw), properties);
            assert_eq!(raw.raw(), bytes, "forwarded untouched");
            for end in 0..bytes.len() {
                assert_eq!(Properties::parse(&bytes[..end]), Err(DecodeError::Truncated));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let check = |digits: &str, expected| assert_eq!(Properties::parse(&hex(digits)), Err(expected), "{digits}");
        check("", DecodeError::Truncated);
        check("0001", DecodeError::PropertyFlags(1));
        check("0002", DecodeError::PropertyFlags(2));
        check("8001 0161 0000", DecodeError::PropertyFlags(0x8001));
        check("0000 00", DecodeError::Trailing);
        check("1000 02 00", DecodeError::Trailing);
        check("2000 00000002 0161", DecodeError::Truncated);
        check("2000 00000003 0161 7A", DecodeError::FieldType(b'z'));
    }

    #[test]
    fn short_strings_are_any_bytes() {
        let bytes = hex("0400 02 FF00");
        assert_eq!(Properties::parse(&bytes).expect("fine").correlation_id(), Some(&[0xFF, 0][..]));
        let long = BasicProperties { app_id: Some(vec![b'x'; 300]), ..Default::default() };
        assert_eq!(long.encode().app_id(), Some(&[b'x'; 255][..]));
    }
}
