//! Messages that came from the server.
//!
//! All bytes of a message lie in one allocation: exchange, routing key, properties, body. At hundreds of thousands of messages a
//! second, four allocations each are what a client spends its time on.

use std::fmt;

use leveret_amqp::method::basic;
use leveret_amqp::properties::Properties;

/// A message: where it was published to, its properties and its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    bytes: Box<[u8]>,
    exchange_size: u8,
    routing_key_size: u8,
    properties_size: u32,
}

impl Message {
    /// `exchange` and `routing_key` come out of short strings, so their sizes fit an octet.
    pub(crate) fn new(exchange: &str, routing_key: &str, properties: &Properties<'_>, body: &[u8]) -> Message {
        let raw = properties.raw();
        let octet = |text: &str| u8::try_from(text.len()).expect("a short string has at most 255 bytes");
        Message {
            bytes: [exchange.as_bytes(), routing_key.as_bytes(), raw, body].concat().into_boxed_slice(),
            exchange_size: octet(exchange),
            routing_key_size: octet(routing_key),
            properties_size: u32::try_from(raw.len()).expect("properties come in one frame"),
        }
    }

    /// The exchange that it was published to; empty for the default exchange.
    pub fn exchange(&self) -> &str {
        self.text(0, self.exchange_end())
    }

    /// The key that it was published with.
    pub fn routing_key(&self) -> &str {
        self.text(self.exchange_end(), self.key_end())
    }

    /// Its properties.
    pub fn properties(&self) -> Properties<'_> {
        let raw = self.bytes.get(self.key_end()..self.properties_end()).unwrap_or_default();
        Properties::parse(raw).expect("they were checked when they came")
    }

    /// Its body.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.properties_end()..).unwrap_or_default()
    }

    /// Bytes of memory that it holds.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + size_of::<Message>()
    }

    fn text(&self, from: usize, to: usize) -> &str {
        self.bytes.get(from..to).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn exchange_end(&self) -> usize {
        self.exchange_size.into()
    }

    fn key_end(&self) -> usize {
        self.exchange_end() + usize::from(self.routing_key_size)
    }

    fn properties_end(&self) -> usize {
        self.key_end() + usize::try_from(self.properties_size).unwrap_or(usize::MAX)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .field("body_size", &self.body().len())
            .finish_non_exhaustive()
    }
}

/// A mandatory message that no queue took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returned {
    /// 312 for "no route".
    pub code: u16,
    /// The server's words.
    pub text: String,
    /// The message as it was published.
    pub message: Message,
}

impl Returned {
    pub(crate) fn new(returned: &basic::Return<'_>, properties: &Properties<'_>, body: &[u8]) -> Returned {
        Returned {
            code: returned.reply_code,
            text: returned.reply_text.to_owned(),
            message: Message::new(returned.exchange, returned.routing_key, properties, body),
        }
    }
}

/// What basic.get brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The message.
    pub message: Message,
    /// Its delivery tag, from 1 per channel, to settle it with.
    pub delivery_tag: u64,
    /// Whether it was delivered before.
    pub redelivered: bool,
    /// Ready messages that are left in the queue.
    pub message_count: u32,
}

impl Got {
    pub(crate) fn new(got: &basic::GetOk<'_>, properties: &Properties<'_>, body: &[u8]) -> Got {
        Got {
            message: Message::new(got.exchange, got.routing_key, properties, body),
            delivery_tag: got.delivery_tag,
            redelivered: got.redelivered,
            message_count: got.message_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_amqp::properties::BasicProperties;

    #[test]
    fn the_parts_come_back() {
        let check = |exchange: &str, key: &str, properties: &BasicProperties, body: &[u8]| {
            let message = Message::new(exchange, key, &properties.encode(), body);
            assert_eq!((message.exchange(), message.routing_key(), message.body()), (exchange, key, body));
            assert_eq!(BasicProperties::from(&message.properties()), *properties);
        };
        let properties = BasicProperties { reply_to: Some("q".into()), priority: Some(3), ..Default::default() };
        check("", "", &BasicProperties::default(), b"");
        check("amq.topic", "a.b.c", &properties, b"body");
        check(&"x".repeat(255), &"k".repeat(255), &properties, &[0; 100_000]);
        check("é", "", &properties, &[0xff]);
    }
}
