//! One published message, immutable and shared.
//!
//! A message is built once, by the connection that receives it, and then only handed around as `Arc<Message>`: each
//! queue that holds it and each delivery that carries it is a reference count. Names, property bytes and body lie in
//! one buffer, so a message costs two allocations, and its exchange name is a copy of its own rather than a shared
//! reference, because a reference count that every shard changes for every message is a cache line that every shard
//! waits for.
//!
//! ```text
//!   data:  exchange | routing key | properties (as received) | body
//! ```
//!
//! The properties stay undecoded. What the model needs of them (priority, expiration, persistence, CC keys, sometimes
//! the headers) the shell reads once and states beside them.
//!
//! A dead-lettered message keeps the body of the message it was made from by referring to it ([`Builder::body_of`]).

use std::sync::Arc;

use crate::death::DeathHistory;
use crate::value::Arguments;

/// Room for names and properties is reserved before the body comes; so is the announced body, up to this many bytes. A
/// peer that announces 16 MiB and sends nothing costs no more than this.
const BODY_RESERVE_MAX: usize = 128 * 1024;

/// See the module's description.
#[derive(Debug)]
pub struct Message {
    data: Vec<u8>,
    exchange_end: u32,
    key_end: u32,
    properties_end: u32,
    /// Delivery mode 2.
    pub persistent: bool,
    /// The priority property; absent counts as 0.
    pub priority: u8,
    /// The expiration property, in milliseconds.
    pub expiration_ms: Option<u64>,
    extra: Option<Box<Extra>>,
}

/// What few messages have.
#[derive(Debug, Default)]
struct Extra {
    cc_keys: Vec<Box<str>>,
    bcc_keys: Vec<Box<str>>,
    headers: Option<Arguments>,
    deaths: Option<DeathHistory>,
    body_of: Option<Arc<Message>>,
    filter_value: Option<Box<[u8]>>,
}

impl Message {
    /// Starts a message. `properties` are the bytes of the content header after the body size, exactly as they shall be
    /// delivered. `body_size` is a hint.
    pub fn builder(exchange: &str, routing_key: &str, properties: &[u8], body_size: usize) -> Builder {
        let head = exchange.len() + routing_key.len() + properties.len();
        let mut data = Vec::with_capacity(head + body_size.min(BODY_RESERVE_MAX));
        data.extend_from_slice(exchange.as_bytes());
        data.extend_from_slice(routing_key.as_bytes());
        data.extend_from_slice(properties);
        Builder(Self {
            exchange_end: offset(exchange.len()),
            key_end: offset(exchange.len() + routing_key.len()),
            properties_end: offset(head),
            data,
            persistent: false,
            priority: 0,
            expiration_ms: None,
            extra: None,
        })
    }

    /// The exchange it was published to, as the bytes that a delivery carries.
    #[inline]
    pub fn exchange(&self) -> &[u8] {
        &self.data[..self.exchange_end as usize]
    }

    /// The first routing key, as the bytes that a delivery carries.
    #[inline]
    pub fn routing_key(&self) -> &[u8] {
        &self.data[self.exchange_end as usize..self.key_end as usize]
    }

    /// [`Message::exchange`] as text; checks the bytes, so not for hot paths.
    pub fn exchange_name(&self) -> &str {
        str::from_utf8(self.exchange()).expect("built from a str")
    }

    /// [`Message::routing_key`] as text; checks the bytes, so not for hot paths.
    pub fn routing_key_text(&self) -> &str {
        str::from_utf8(self.routing_key()).expect("built from a str")
    }

    /// The property bytes as received.
    #[inline]
    pub fn properties(&self) -> &[u8] {
        &self.data[self.key_end as usize..self.properties_end as usize]
    }

    /// The content.
    #[inline]
    pub fn body(&self) -> &[u8] {
        match self.extra.as_deref().and_then(|extra| extra.body_of.as_deref()) {
            Some(origin) => &origin.data[origin.properties_end as usize..],
            None => &self.data[self.properties_end as usize..],
        }
    }

    /// Bytes that the message occupies, shared body included; for memory accounting.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.properties_end as usize + self.body().len()
    }

    /// Further routing keys from the CC header.
    pub fn cc_keys(&self) -> &[Box<str>] {
        self.extra.as_deref().map_or(&[], |extra| &extra.cc_keys)
    }

    /// Further routing keys from the BCC header, which nobody may see; dead-lettering routes by them again.
    pub fn bcc_keys(&self) -> &[Box<str>] {
        self.extra.as_deref().map_or(&[], |extra| &extra.bcc_keys)
    }

    /// The headers table, if somebody had to decode it.
    pub fn headers(&self) -> Option<&Arguments> {
        self.extra.as_deref()?.headers.as_ref()
    }

    /// The header x-stream-filter-value, by which consumers of a stream choose.
    pub fn filter_value(&self) -> Option<&[u8]> {
        self.extra.as_deref()?.filter_value.as_deref()
    }

    /// What the broker knows of the message's earlier deaths; `None` if it never was dead-lettered.
    pub fn deaths(&self) -> Option<&DeathHistory> {
        self.extra.as_deref()?.deaths.as_ref()
    }
}

/// A message being put together; the setters of things that few messages have cost an allocation.
#[derive(Debug)]
pub struct Builder(Message);

impl Builder {
    /// Appends a piece of the body.
    #[inline]
    pub fn body(&mut self, piece: &[u8]) -> &mut Self {
        self.0.data.extend_from_slice(piece);
        self
    }

    /// Takes the body of another message instead of one of its own; the bytes are shared.
    pub fn body_of(&mut self, other: &Arc<Message>) -> &mut Self {
        let root = other.extra.as_deref().and_then(|extra| extra.body_of.as_ref()).unwrap_or(other);
        self.extra().body_of = Some(Arc::clone(root));
        self
    }

    /// Delivery mode 2: survives a restart in durable queues.
    pub fn persistent(&mut self, persistent: bool) -> &mut Self {
        self.0.persistent = persistent;
        self
    }

    /// The priority property.
    pub fn priority(&mut self, priority: u8) -> &mut Self {
        self.0.priority = priority;
        self
    }

    /// The expiration property, parsed.
    pub fn expiration_ms(&mut self, ms: Option<u64>) -> &mut Self {
        self.0.expiration_ms = ms;
        self
    }

    /// The CC header's strings.
    pub fn cc_keys(&mut self, keys: Vec<Box<str>>) -> &mut Self {
        self.extra().cc_keys = keys;
        self
    }

    /// The BCC header's strings.
    pub fn bcc_keys(&mut self, keys: Vec<Box<str>>) -> &mut Self {
        self.extra().bcc_keys = keys;
        self
    }

    /// The decoded headers table, for exchanges that match on it.
    pub fn headers(&mut self, headers: Arguments) -> &mut Self {
        self.extra().headers = Some(headers);
        self
    }

    /// The header x-stream-filter-value.
    pub fn filter_value(&mut self, value: &[u8]) -> &mut Self {
        self.extra().filter_value = Some(value.into());
        self
    }

    /// The history of a message that was dead-lettered.
    pub fn deaths(&mut self, deaths: DeathHistory) -> &mut Self {
        self.extra().deaths = Some(deaths);
        self
    }

    /// Bytes of the body so far.
    pub fn body_len(&self) -> usize {
        self.0.data.len() - self.0.properties_end as usize
    }

    /// The finished message, to be shared.
    #[inline]
    pub fn build(self) -> Arc<Message> {
        Arc::new(self.0)
    }

    fn extra(&mut self) -> &mut Extra {
        self.0.extra.get_or_insert_default()
    }
}

/// Lengths of names are below 256 and those of properties below one frame; whoever hands in 4 GiB of them has broken
/// the frame limit.
fn offset(length: usize) -> u32 {
    u32::try_from(length).expect("names and properties fit one frame")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart() {
        let check = |exchange: &str, key: &str, properties: &[u8], pieces: &[&[u8]]| {
            let mut builder = Message::builder(exchange, key, properties, 3);
            for piece in pieces {
                builder.body(piece);
            }
            let body = pieces.concat();
            assert_eq!(builder.body_len(), body.len());
            let message = builder.build();
            assert_eq!((message.exchange_name(), message.routing_key_text()), (exchange, key));
            assert_eq!((message.properties(), message.body()), (properties, &body[..]));
        };
        check("", "", b"", &[]);
        check("amq.topic", "a.b", b"\x10\x00\x02", &[b"hello"]);
        check("", "hello", b"\0\0", &[b"split ", b"in ", b"three"]);
    }

    #[test]
    fn a_borrowed_body_comes_from_the_first_message() {
        let mut first = Message::builder("x", "k", b"p", 4);
        first.body(b"body");
        let first = first.build();
        let mut second = Message::builder("dlx", "k2", b"other", 0);
        second.body_of(&first);
        let second = second.build();
        let mut third = Message::builder("dlx", "k3", b"", 0);
        third.body_of(&second);
        let third = third.build();
        assert_eq!((second.body(), third.body()), (&b"body"[..], &b"body"[..]));
        assert_eq!(Arc::strong_count(&first), 3, "the third refers to the first, not to the second");
        assert_eq!(Arc::strong_count(&second), 1);
    }

    #[test]
    fn a_huge_announced_body_reserves_little() {
        let builder = Message::builder("x", "k", b"", usize::MAX);
        assert!(builder.0.data.capacity() <= 2 * BODY_RESERVE_MAX);
    }
}
