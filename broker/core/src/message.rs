//! One published message, immutable and shared.
//!
//! A message is built once, by the connection that receives it, and then only handed around as `Arc<Message>`: each
//! queue that holds it and each delivery that carries it is a reference count. Names, property bytes and body lie in
//! one buffer, so a message costs two allocations, and its exchange name is a copy of its own rather than a shared
//! reference, because a reference count that every shard changes for every message is a cache line that every shard
//! waits for.
//!
//! ```text
//!   data:  length u8, exchange | length u8, routing key | properties (as received) | body
//! ```
//!
//! The names lie there as a delivery carries them, so that writing one copies both at once.
//!
//! The properties stay undecoded. What the model needs of them (priority, expiration, persistence, CC keys, sometimes
//! the headers) the shell reads once and states beside them.
//!
//! A dead-lettered message keeps the body of the message it was made from by referring to it ([`Builder::body_of`]).

use std::num::NonZeroU64;
use std::sync::Arc;

use crate::death::DeathHistory;
use crate::value::Arguments;

/// Room for names and properties is reserved before the body comes; so is the announced body, up to this many bytes. A
/// peer that announces 16 MiB and sends nothing costs no more than this.
const BODY_RESERVE_MAX: usize = 128 * 1024;

/// The most bytes of a name: "short strings" of AMQP. What is longer (a policy's routing key may be) is cut.
const NAME_SIZE_MAX: usize = u8::MAX as usize;

/// See the module's description.
#[derive(Debug)]
pub struct Message {
    data: Box<[u8]>,
    extra: Option<Box<Extra>>,
    /// The expiration property in milliseconds, and one.
    expiration: Option<NonZeroU64>,
    properties_end: u32,
    /// Two names and their lengths are below 2^16.
    key_end: u16,
    /// Delivery mode 2.
    pub persistent: bool,
    /// The priority property; absent counts as 0.
    pub priority: u8,
}

/// With the two counts of its `Arc` and what an allocator adds, 64 bytes.
const _: () = assert!(size_of::<Message>() <= 40);

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
        let (exchange, routing_key) = (cut(exchange), cut(routing_key));
        let key_end = 1 + exchange.len() + 1 + routing_key.len();
        let head = key_end + properties.len();
        let mut data = Vec::with_capacity(head + body_size.min(BODY_RESERVE_MAX));
        data.push(exchange.len() as u8);
        data.extend_from_slice(exchange.as_bytes());
        data.push(routing_key.len() as u8);
        data.extend_from_slice(routing_key.as_bytes());
        data.extend_from_slice(properties);
        let message = Self {
            data: Box::default(),
            extra: None,
            expiration: None,
            properties_end: u32::try_from(head).expect("names and properties fit one frame"),
            key_end: u16::try_from(key_end).expect("names are short"),
            persistent: false,
            priority: 0,
        };
        Builder { data, message }
    }

    #[inline]
    fn exchange_end(&self) -> usize {
        1 + usize::from(self.data[0])
    }

    /// The exchange it was published to, as the bytes that a delivery carries.
    #[inline]
    pub fn exchange(&self) -> &[u8] {
        &self.data[1..self.exchange_end()]
    }

    /// The first routing key, as the bytes that a delivery carries.
    #[inline]
    pub fn routing_key(&self) -> &[u8] {
        &self.data[self.exchange_end() + 1..usize::from(self.key_end)]
    }

    /// Exchange and routing key, each behind its length: two short strings of AMQP.
    #[inline]
    pub fn names(&self) -> &[u8] {
        &self.data[..usize::from(self.key_end)]
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
        &self.data[usize::from(self.key_end)..self.properties_end as usize]
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

    /// The expiration property, in milliseconds.
    #[inline]
    pub fn expiration_ms(&self) -> Option<u64> {
        self.expiration.map(|at| at.get() - 1)
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
pub struct Builder {
    /// The message's, in the making.
    data: Vec<u8>,
    message: Message,
}

impl Builder {
    /// Appends a piece of the body.
    #[inline]
    pub fn body(&mut self, piece: &[u8]) -> &mut Self {
        self.data.extend_from_slice(piece);
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
        self.message.persistent = persistent;
        self
    }

    /// The priority property.
    pub fn priority(&mut self, priority: u8) -> &mut Self {
        self.message.priority = priority;
        self
    }

    /// The expiration property, parsed.
    pub fn expiration_ms(&mut self, ms: Option<u64>) -> &mut Self {
        self.message.expiration = ms.map(|ms| NonZeroU64::MIN.saturating_add(ms));
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
        self.data.len() - self.message.properties_end as usize
    }

    /// The finished message, to be shared.
    #[inline]
    pub fn build(mut self) -> Arc<Message> {
        self.message.data = self.data.into_boxed_slice();
        Arc::new(self.message)
    }

    fn extra(&mut self) -> &mut Extra {
        self.message.extra.get_or_insert_default()
    }
}

/// What fits a short string.
#[inline]
fn cut(name: &str) -> &str {
    if name.len() <= NAME_SIZE_MAX { name } else { &name[..name.floor_char_boundary(NAME_SIZE_MAX)] }
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
            let names = [&[exchange.len() as u8], exchange.as_bytes(), &[key.len() as u8], key.as_bytes()].concat();
            assert_eq!(message.names(), names);
        };
        check("", "", b"", &[]);
        check("amq.topic", "a.b", b"\x10\x00\x02", &[b"hello"]);
        check("", "hello", b"\0\0", &[b"split ", b"in ", b"three"]);
    }

    #[test]
    fn names_fit_a_short_string() {
        let check = |name: &str, expected: usize| {
            let message = Message::builder(name, name, b"", 0).build();
            assert_eq!((message.exchange_name(), message.routing_key_text()), (&name[..expected], &name[..expected]));
        };
        check(&"x".repeat(255), 255);
        check(&"x".repeat(256), 255);
        check(&"ä".repeat(128), 254);
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
        assert!(builder.data.capacity() <= 2 * BODY_RESERVE_MAX);
    }
}
