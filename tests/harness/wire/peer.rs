//! A connection that says methods and keeps what it hears, for tests that do not know the answers beforehand.
//!
//! [`Peer::fence`] is how it knows that it has heard all: a channel answers in order, so what its requests caused *on it* stands before
//! the answer to a `channel.flow` that is said after them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::player::Link;
use super::socket::{Heard, Silence};

/// A method that was heard, with properties among its fields and its body as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Utterance {
    /// The channel's number, 0 for the connection.
    pub channel: u16,
    /// Such as `basic.deliver`.
    pub method: &'static str,
    /// Names and values as transcripts write them, in the order of the wire.
    pub fields: Vec<(&'static str, String)>,
    /// What came as content; bytes that are no UTF-8 are replaced.
    pub body: String,
}

impl Utterance {
    fn new(channel: u16, heard: Heard) -> Utterance {
        let body = String::from_utf8_lossy(&heard.body).into_owned();
        Utterance { channel, method: heard.said.method, fields: heard.said.fields, body }
    }

    /// The value of a field; empty when it has none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value)
    }
}

/// See the module's description. It is ended by the broker's `connection.close`, which it answers, or by the end of the stream.
pub struct Peer {
    link: Link,
    open: BTreeSet<u16>,
    is_ended: bool,
}

impl Peer {
    /// Connects as guest and shakes hands.
    ///
    /// # Panics
    /// When the broker does not agree.
    pub fn open(address: SocketAddr) -> Peer {
        Peer { link: Link::open(address, &BTreeMap::new()), open: BTreeSet::new(), is_ended: false }
    }

    /// Whether the connection is over.
    pub fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Whether this channel can be spoken on: opened, and closed by nobody since.
    pub fn is_open(&self, channel: u16) -> bool {
        !self.is_ended && self.open.contains(&channel)
    }

    /// Opens the channel, unless it is.
    ///
    /// # Panics
    /// When the broker does not let it.
    pub fn open_channel(&mut self, channel: u16) {
        if !self.is_ended && self.open.insert(channel) {
            self.link.say(channel, "channel.open", &[]);
            self.link.socket.flush();
            let heard = self.link.socket.hear(channel);
            assert!(heard.as_ref().is_ok_and(|it| it.said.method == "channel.open-ok"), "channel.open: {heard:?}");
        }
    }

    /// Says a method, with `body` and properties among the fields if it carries content.
    pub fn say(&mut self, channel: u16, method: &str, fields: &[(&str, String)]) {
        self.link.say(channel, method, fields);
    }

    /// Sends what was said.
    pub fn flush(&mut self) {
        self.link.socket.flush();
    }

    /// The next on this channel, or on channel 0 if that is the connection's end; `None` when nothing can follow.
    ///
    /// # Panics
    /// When nothing comes although something should, or what comes is not AMQP.
    pub fn hear(&mut self, channel: u16) -> Option<Utterance> {
        if self.is_ended {
            return None;
        }
        self.link.socket.flush();
        match self.link.socket.hear(channel) {
            Ok(heard) => Some(self.note(Utterance::new(channel, heard))),
            Err(Silence::End) => {
                self.is_ended = true;
                None
            }
            Err(silence) => match self.link.socket.unheard_close() {
                Some(heard) => Some(self.note(Utterance::new(0, heard))),
                None => panic!("on channel {channel}: {silence:?}"),
            },
        }
    }

    /// All that this channel still says before it answers a question asked now. A close, of the channel or the connection, is answered
    /// and is the last.
    ///
    /// # Panics
    /// As [`Peer::hear`].
    pub fn fence(&mut self, channel: u16) -> Vec<Utterance> {
        if !self.is_open(channel) {
            return Vec::new();
        }
        self.link.say(channel, "channel.flow", &[("active", "1".to_owned())]);
        let mut heard = Vec::new();
        while let Some(utterance) = self.hear(channel) {
            if utterance.method == "channel.flow-ok" {
                break;
            }
            let is_last = utterance.method.ends_with(".close") || utterance.method.ends_with(".close-ok");
            heard.push(utterance);
            if is_last {
                break;
            }
        }
        heard
    }

    fn note(&mut self, utterance: Utterance) -> Utterance {
        match utterance.method {
            "channel.close" => {
                self.link.say(utterance.channel, "channel.close-ok", &[]);
                self.link.socket.flush();
                self.open.remove(&utterance.channel);
            }
            "channel.close-ok" => drop(self.open.remove(&utterance.channel)),
            "connection.close" => {
                self.link.say(0, "connection.close-ok", &[]);
                self.link.socket.flush();
                self.is_ended = true;
            }
            "connection.close-ok" => self.is_ended = true,
            _ => {}
        }
        utterance
    }
}
