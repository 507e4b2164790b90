//! Frames: `type:octet channel:short size:long payload[size] 0xCE`.
//!
//! [`Frame::parse`] splits one frame off the front of the input and borrows its payload. The `write_*` functions append whole
//! frames to an output buffer; content is split into body frames here, so nobody else computes with `frame_max`.
//!
//! After a [`FrameError`] the place of the next frame is unknown: the stream must not be read any further. All other errors
//! leave the framing intact and are [`ProtocolError`]s of the state machine.

use std::fmt;

use crate::error::{DecodeError, ProtocolError};
use crate::method::WireMethod;
use crate::properties::Properties;
use crate::reply::ReplyCode;
use crate::term::Octets;
use crate::wire::Reader;

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;
/// Bytes in front of the payload.
pub const FRAME_HEADER_SIZE: usize = 7;
/// Bytes of a frame that are not payload; `frame_max` counts them.
pub const FRAME_OVERHEAD: usize = 8;
/// "Both peers MUST accept frames of up to frame-min-size octets": the least `frame_max` that may be negotiated.
pub const FRAME_SIZE_MIN: u32 = 4096;
/// RabbitMQ tolerates payloads that exceed the limit by one frame's overhead, for clients that count it wrongly.
pub const FRAME_SIZE_TOLERANCE: usize = FRAME_OVERHEAD;
/// Payload bytes that an error text shows.
const SNIPPET_SIZE: usize = 16;

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// 1: ids and fields of a method.
    Method,
    /// 2: size and properties of a content.
    Header,
    /// 3: a part of a content's body.
    Body,
    /// 8: empty, on channel 0.
    Heartbeat,
    /// Nothing that AMQP 0-9-1 knows.
    Other(u8),
}

impl FrameKind {
    /// The octet on the wire.
    pub fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
            Self::Other(octet) => octet,
        }
    }
}

impl From<u8> for FrameKind {
    fn from(octet: u8) -> Self {
        match octet {
            1 => Self::Method,
            2 => Self::Header,
            3 => Self::Body,
            8 => Self::Heartbeat,
            other => Self::Other(other),
        }
    }
}

/// One frame, its payload borrowed from the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: FrameKind,
    /// 0 for the connection itself.
    pub channel: u16,
    /// Without header and end octet.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Splits the first frame off `input` and returns it with the number of bytes that it takes, or `None` when it has not
    /// arrived completely ([`frame_size`] tells how much is needed).
    ///
    /// # Errors
    /// A payload of more than `payload_max` bytes, as soon as the frame's header tells, and a wrong end octet.
    #[inline]
    pub fn parse(input: &'a [u8], payload_max: usize) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((&[kind, channel_high, channel_low, s0, s1, s2, s3], rest)) =
            input.split_first_chunk::<FRAME_HEADER_SIZE>()
        else {
            return Ok(None);
        };
        let channel = u16::from_be_bytes([channel_high, channel_low]);
        let announced = u32::from_be_bytes([s0, s1, s2, s3]);
        let size = usize::try_from(announced).unwrap_or(usize::MAX);
        if size > payload_max {
            return Err(FrameError::TooLarge { kind, channel, size: announced, payload_max });
        }
        let Some((payload, after)) = rest.split_at_checked(size) else { return Ok(None) };
        match after.first() {
            None => Ok(None),
            Some(&FRAME_END) => {
                Ok(Some((Self { kind: FrameKind::from(kind), channel, payload }, size + FRAME_OVERHEAD)))
            }
            Some(&octet) => Err(FrameError::EndOctet { kind, channel, snippet: Snippet::new(payload), octet }),
        }
    }

    /// `type <t>, <all|first 16> octets = <bytes>`: how RabbitMQ describes a frame that it does not want.
    pub(crate) fn describe(&self) -> impl fmt::Display {
        let (kind, snippet) = (self.kind.octet(), Snippet::new(self.payload));
        fmt::from_fn(move |f| write!(f, "type {kind}, {snippet}"))
    }
}

/// Size of the first frame of `input` in bytes, or of its header while that is incomplete: what must have arrived before
/// [`Frame::parse`] can say more.
pub fn frame_size(input: &[u8]) -> usize {
    match input.first_chunk::<FRAME_HEADER_SIZE>() {
        None => FRAME_HEADER_SIZE,
        Some(&[_, _, _, s0, s1, s2, s3]) => {
            let size = usize::try_from(u32::from_be_bytes([s0, s1, s2, s3])).unwrap_or(usize::MAX);
            size.saturating_add(FRAME_OVERHEAD)
        }
    }
}

/// The beginning of a payload, kept for an error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snippet {
    bytes: [u8; SNIPPET_SIZE],
    size: usize,
    whole: bool,
}

impl Snippet {
    fn new(payload: &[u8]) -> Self {
        let mut bytes = [0; SNIPPET_SIZE];
        let mut size = 0;
        for (slot, &octet) in bytes.iter_mut().zip(payload) {
            *slot = octet;
            size += 1;
        }
        Self { bytes, size, whole: payload.len() <= SNIPPET_SIZE }
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = if self.whole { "all" } else { "first 16" };
        write!(f, "{amount} octets = {}", Octets::pretty(self.bytes.get(..self.size).unwrap_or_default()))
    }
}

/// The framing is lost: nothing after this frame can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The frame's header announces more than was agreed.
    TooLarge {
        /// Type octet.
        kind: u8,
        /// Channel number.
        channel: u16,
        /// Announced size of the payload in bytes.
        size: u32,
        /// The most that would have been taken, with the tolerance of [`FRAME_SIZE_TOLERANCE`].
        payload_max: usize,
    },
    /// The frame does not end in [`FRAME_END`].
    EndOctet {
        /// Type octet.
        kind: u8,
        /// Channel number.
        channel: u16,
        /// How the payload begins.
        snippet: Snippet,
        /// What is there instead.
        octet: u8,
    },
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { kind, size, payload_max, .. } => {
                let limit = payload_max.saturating_sub(FRAME_SIZE_TOLERANCE);
                write!(f, "type {kind}, all octets = <<>>: {{frame_too_large,{size},{limit}}}")
            }
            Self::EndOctet { kind, snippet, octet, .. } => {
                write!(f, "type {kind}, {snippet}: {{invalid_frame_end_marker,{octet}}}")
            }
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for ProtocolError {
    fn from(error: FrameError) -> Self {
        Self::new(ReplyCode::FrameError, error)
    }
}

/// The most payload bytes to accept in a frame when `frame_max` was agreed; 0 means "no limit" and gives `ceiling`.
pub fn payload_max(frame_max: u32, ceiling: usize) -> usize {
    match usize::try_from(frame_max) {
        Ok(0) | Err(_) => ceiling,
        Ok(frame_max) => frame_max.saturating_sub(FRAME_OVERHEAD) + FRAME_SIZE_TOLERANCE,
    }
}

/// A content header: the payload of a header frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentHeader<'a> {
    /// Class of the method that the content belongs to.
    pub class_id: u16,
    /// "Weight is unused and must be zero."
    pub weight: u16,
    /// Bytes of all body frames together.
    pub body_size: u64,
    /// Property flags and values, not yet checked.
    pub properties: &'a [u8],
}

impl<'a> ContentHeader<'a> {
    /// Splits the payload of a header frame.
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        Ok(Self { class_id: reader.u16()?, weight: reader.u16()?, body_size: reader.u64()?, properties: reader.rest() })
    }
}

/// Bytes of a header frame's payload in front of the properties.
const CONTENT_HEADER_SIZE: usize = 12;

/// Appends a method frame.
#[inline]
pub fn write_method(out: &mut Vec<u8>, channel: u16, method: &(impl WireMethod + ?Sized)) {
    let start = begin_frame(out, FrameKind::Method, channel);
    method.encode(out);
    end_frame(out, start);
}

/// Appends a method that carries content, its header frame and as many body frames as `frame_max` asks for (0 = one).
///
/// `properties` go out as they are. An empty body has no body frame.
pub fn write_content(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    method: &impl WireMethod,
    properties: &Properties<'_>,
    body: &[u8],
) {
    debug_assert!(method.carries_content(), "{} carries no content", method.name());
    write_method(out, channel, method);
    write_content_header(out, channel, method.class_id(), properties.raw(), body.len());
    write_body(out, channel, frame_max, body);
}

/// The fields of basic.deliver, in the bytes of the wire where they are known long before.
#[derive(Clone, Copy, Debug)]
pub struct DeliverHead<'a> {
    /// Names the consumer; at most 255 bytes.
    pub consumer_tag: &'a [u8],
    /// Names the delivery.
    pub delivery_tag: u64,
    /// It may have been delivered before.
    pub redelivered: bool,
    /// Exchange and routing key, two short strings as they go out: each behind its length.
    pub names: &'a [u8],
}

/// Appends basic.deliver with its content: what [`write_content`] does, with one reservation for all of it and few pieces,
/// since it is what a broker does most.
///
/// `properties` are raw property bytes as they were received: flags and values.
#[inline]
pub fn write_deliver(
    out: &mut Vec<u8>,
    channel: u16,
    frame_max: u32,
    head: &DeliverHead<'_>,
    properties: &[u8],
    body: &[u8],
) {
    let tag = head.consumer_tag.get(..usize::from(u8::MAX)).unwrap_or(head.consumer_tag);
    // Ids, the length of the tag, the delivery tag and the octet of the `redelivered` bit.
    let method_size = 4 + 1 + 8 + 1 + tag.len() + head.names.len();
    let header_size = CONTENT_HEADER_SIZE + properties.len();
    let frames = 3 * FRAME_OVERHEAD + CONTENT_HEADER_SIZE;
    out.reserve(frames + method_size + properties.len() + body.len());
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = frame_length(method_size);
    out.extend_from_slice(&[FrameKind::Method.octet(), c0, c1, s0, s1, s2, s3, 0, 60, 0, 60, short_size(tag)]);
    out.extend_from_slice(tag);
    let [t0, t1, t2, t3, t4, t5, t6, t7] = head.delivery_tag.to_be_bytes();
    out.extend_from_slice(&[t0, t1, t2, t3, t4, t5, t6, t7, u8::from(head.redelivered)]);
    out.extend_from_slice(head.names);
    let [s0, s1, s2, s3] = frame_length(header_size);
    let [b0, b1, b2, b3, b4, b5, b6, b7] = u64::try_from(body.len()).unwrap_or(u64::MAX).to_be_bytes();
    let header = FrameKind::Header.octet();
    out.extend_from_slice(&[FRAME_END, header, c0, c1, s0, s1, s2, s3, 0, 60, 0, 0, b0, b1, b2, b3, b4, b5, b6, b7]);
    out.extend_from_slice(properties);
    if body.is_empty() || body.len() > body_part_size(frame_max, body) {
        out.push(FRAME_END);
        return write_body(out, channel, frame_max, body);
    }
    let [s0, s1, s2, s3] = frame_length(body.len());
    out.extend_from_slice(&[FRAME_END, FrameKind::Body.octet(), c0, c1, s0, s1, s2, s3]);
    out.extend_from_slice(body);
    out.push(FRAME_END);
}

#[inline]
fn frame_length(payload: usize) -> [u8; 4] {
    u32::try_from(payload).unwrap_or(u32::MAX).to_be_bytes()
}

/// The most bytes of `body` that one frame takes.
#[inline]
fn body_part_size(frame_max: u32, body: &[u8]) -> usize {
    match usize::try_from(frame_max) {
        Ok(0) | Err(_) => body.len(),
        Ok(frame_max) => frame_max.saturating_sub(FRAME_OVERHEAD),
    }
}

/// Appends a header frame. `properties` are flags and values.
pub fn write_content_header(out: &mut Vec<u8>, channel: u16, class_id: u16, properties: &[u8], body_size: usize) {
    put_frame_header(out, FrameKind::Header, channel, CONTENT_HEADER_SIZE + properties.len());
    let [class_high, class_low] = class_id.to_be_bytes();
    let [b0, b1, b2, b3, b4, b5, b6, b7] = u64::try_from(body_size).unwrap_or(u64::MAX).to_be_bytes();
    out.extend_from_slice(&[class_high, class_low, 0, 0, b0, b1, b2, b3, b4, b5, b6, b7]);
    out.extend_from_slice(properties);
    out.push(FRAME_END);
}

/// Appends body frames, none for an empty body.
#[inline]
pub fn write_body(out: &mut Vec<u8>, channel: u16, frame_max: u32, body: &[u8]) {
    for part in body.chunks(body_part_size(frame_max, body).max(1)) {
        put_frame_header(out, FrameKind::Body, channel, part.len());
        out.extend_from_slice(part);
        out.push(FRAME_END);
    }
}

/// Appends a heartbeat frame.
pub fn write_heartbeat(out: &mut Vec<u8>) {
    put_frame_header(out, FrameKind::Heartbeat, 0, 0);
    out.push(FRAME_END);
}

fn short_size(bytes: &[u8]) -> u8 {
    u8::try_from(bytes.len()).unwrap_or(u8::MAX)
}

#[inline]
fn put_frame_header(out: &mut Vec<u8>, kind: FrameKind, channel: u16, size: usize) {
    let [channel_high, channel_low] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = u32::try_from(size).expect("no frame of ours reaches 4 GiB").to_be_bytes();
    out.extend_from_slice(&[kind.octet(), channel_high, channel_low, s0, s1, s2, s3]);
}

/// Starts a frame of unknown size. Returns where its payload begins, for [`end_frame`].
fn begin_frame(out: &mut Vec<u8>, kind: FrameKind, channel: u16) -> usize {
    put_frame_header(out, kind, channel, 0);
    out.len()
}

fn end_frame(out: &mut Vec<u8>, start: usize) {
    crate::wire::end_sized(out, start);
    out.push(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::basic;
    use crate::properties::BasicProperties;
    use crate::testing::{Random, frame, hex};
    use crate::wire::{cut_text, put_short_str};

    #[test]
    fn frames_are_split() {
        let check = |digits: &str, expected: Option<(FrameKind, u16, &[u8], usize)>| {
            let bytes = hex(digits);
            let found = Frame::parse(&bytes, 4).expect("no error");
            assert_eq!(found.map(|(frame, size)| (frame.kind, frame.channel, frame.payload, size)), expected);
        };
        check("", None);
        check("01 0000 000000", None);
        check("01 0000 00000001", None);
        check("01 0000 00000001 AA", None);
        check("01 0102 00000001 AA CE", Some((FrameKind::Method, 0x0102, &[0xAA], 9)));
        check("02 0001 00000000 CE 02", Some((FrameKind::Header, 1, &[], 8)));
        check("03 0001 00000004 CECECECE CE", Some((FrameKind::Body, 1, &[0xCE; 4], 12)));
        check("08 0000 00000000 CE", Some((FrameKind::Heartbeat, 0, &[], 8)));
        check("04 FFFF 00000000 CE", Some((FrameKind::Other(4), 65535, &[], 8)));
    }

    #[test]
    fn lost_framing_is_worded_as_rabbitmq_does() {
        let check = |digits: &str, expected: &str| {
            let error: ProtocolError = Frame::parse(&hex(digits), 24).expect_err("an error").into();
            assert_eq!((error.code, error.text.as_str()), (ReplyCode::FrameError, expected));
            assert_eq!((error.class_id, error.method_id), (0, 0));
        };
        check("01 0000 00000019", "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,25,16}");
        check("47 4554 FFFFFFFF", "FRAME_ERROR - type 71, all octets = <<>>: {frame_too_large,4294967295,16}");
        check("01 0000 00000000 00", "FRAME_ERROR - type 1, all octets = <<>>: {invalid_frame_end_marker,0}");
        check(
            "03 0001 00000003 010203 CD",
            "FRAME_ERROR - type 3, all octets = <<1,2,3>>: {invalid_frame_end_marker,205}",
        );
        check(
            "03 0001 00000011 4142434445464748494A4B4C4D4E4F5051 CD",
            "FRAME_ERROR - type 3, first 16 octets = <<\"ABCDEFGHIJKLMNOP\">>: {invalid_frame_end_marker,205}",
        );
    }

    #[test]
    fn limits_hold_to_the_byte() {
        assert_eq!(payload_max(4096, 9), 4096);
        assert_eq!(payload_max(0, 9), 9);
        for (size, is_fine) in [(4096, true), (4097, false)] {
            let bytes = frame(3, 1, &vec![7; size]);
            assert_eq!(Frame::parse(&bytes, payload_max(4096, 0)).is_ok(), is_fine);
        }
    }

    #[test]
    fn bodies_are_split_at_frame_max() {
        let check = |body_size: usize, frame_max: u32, expected: &[usize]| {
            let mut out = Vec::new();
            write_body(&mut out, 1, frame_max, &vec![7; body_size]);
            let mut sizes = Vec::new();
            let mut rest = &out[..];
            while let Some((frame, size)) = Frame::parse(rest, usize::MAX).expect("frames of ours") {
                assert_eq!((frame.kind, frame.channel), (FrameKind::Body, 1));
                sizes.push(frame.payload.len());
                rest = &rest[size..];
            }
            assert_eq!((sizes.as_slice(), rest.len()), (expected, 0));
        };
        check(0, 4096, &[]);
        check(1, 4096, &[1]);
        check(4088, 4096, &[4088]);
        check(4089, 4096, &[4088, 1]);
        check(10_000, 4096, &[4088, 4088, 1824]);
        check(10_000, 0, &[10_000]);
        check(3, 8, &[1, 1, 1]);
    }

    #[test]
    fn golden_deliver() {
        let head = DeliverHead { consumer_tag: b"c", delivery_tag: 1, redelivered: true, names: b"\0\x01q" };
        let mut out = Vec::new();
        write_deliver(&mut out, 3, 4096, &head, &[0x10, 0, 2], b"hi");
        let expected = "01 0003 00000012 003C 003C 01 63 0000000000000001 01 00 01 71 CE
                        02 0003 0000000F 003C 0000 0000000000000002 1000 02 CE
                        03 0003 00000002 6869 CE";
        assert_eq!(out, hex(expected));
    }

    #[test]
    fn the_fast_path_writes_what_the_general_one_writes() {
        let mut random = Random::new(6);
        for round in 0..500 {
            let (tag, exchange, routing_key) = (random.text(200), random.text(200), random.text(9));
            let deliver = basic::Deliver {
                consumer_tag: &tag,
                delivery_tag: random.next(),
                redelivered: random.flip(),
                exchange: &exchange,
                routing_key: &routing_key,
            };
            let properties: BasicProperties = random.properties();
            let (properties, body) = (properties.encode(), random.bytes(9000));
            let frame_max = [0, 4096, 4097][round % 3];
            let mut names = Vec::new();
            put_short_str(&mut names, &exchange);
            put_short_str(&mut names, &routing_key);
            let head = DeliverHead {
                consumer_tag: cut_text(&tag).as_bytes(),
                delivery_tag: deliver.delivery_tag,
                redelivered: deliver.redelivered,
                names: &names,
            };
            let (mut fast, mut general) = (Vec::new(), Vec::new());
            let body = if round % 5 == 0 { &[][..] } else { &body };
            write_deliver(&mut fast, 9, frame_max, &head, properties.raw(), body);
            write_content(&mut general, 9, frame_max, &deliver, &properties, body);
            assert_eq!(fast, general);
        }
    }

    #[test]
    fn golden_heartbeat_and_method() {
        let mut out = Vec::new();
        write_heartbeat(&mut out);
        write_method(&mut out, 258, &basic::QosOk {});
        assert_eq!(out, hex("08 0000 00000000 CE  01 0102 00000004 003C 000B CE"));
    }
}
