//! A blocking connection that sends bytes and hears frames.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::codec::{BODY, FRAME_END, Field, HEADER, HEARTBEAT, METHOD, Said, decode_header, decode_method};
use super::spec::Method;
use crate::patience;

const READ_BYTES: usize = 64 * 1024;

/// What was heard on a channel: a method, with its content if it carries one.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) said: Said,
    pub(crate) body: Vec<u8>,
    /// Body frames in which the content came.
    pub(crate) frames: usize,
}

/// Content that is still coming.
struct Incoming {
    heard: Heard,
    /// Unknown until the header has come.
    size: Option<u64>,
}

/// Why nothing more is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The broker closed the connection.
    End,
    /// Nothing came within the patience.
    TimedOut,
    /// What came is not AMQP.
    Malformed(String),
}

/// A TCP connection to the broker. Says are buffered until [`Socket::flush`].
pub(crate) struct Socket {
    stream: TcpStream,
    unsent: Vec<u8>,
    unread: Vec<u8>,
    inboxes: BTreeMap<u16, VecDeque<Heard>>,
    incoming: BTreeMap<u16, Incoming>,
    heartbeats: usize,
    /// The largest frame that the broker may send, with its 8 bytes around the payload.
    pub(crate) frame_max: usize,
    /// Each byte goes by itself.
    pub(crate) is_slow: bool,
}

impl Socket {
    pub(crate) fn connect(address: SocketAddr) -> Socket {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(patience())))
            .expect("a fresh socket takes options");
        Socket {
            stream,
            unsent: Vec::new(),
            unread: Vec::new(),
            inboxes: BTreeMap::new(),
            incoming: BTreeMap::new(),
            heartbeats: 0,
            frame_max: 131_072,
            is_slow: false,
        }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Sends what was said, in one write. A broker that has closed already shows in what is heard, so errors are ignored.
    pub(crate) fn flush(&mut self) {
        let size = if self.is_slow { 1 } else { self.unsent.len().max(1) };
        let _ = self.unsent.chunks(size).try_for_each(|piece| self.stream.write_all(piece));
        self.unsent.clear();
    }

    /// The next that is heard on this channel.
    pub(crate) fn hear(&mut self, channel: u16) -> Result<Heard, Silence> {
        loop {
            if let Some(heard) = self.inboxes.get_mut(&channel).and_then(VecDeque::pop_front) {
                return Ok(heard);
            }
            // A connection that is being closed says nothing more on its channels: tell why instead of waiting.
            if let Some(close) = self.inboxes.get(&0).and_then(VecDeque::front).filter(|_| channel != 0) {
                return Err(Silence::Malformed(format!("instead on channel 0: {}", close.said)));
            }
            self.read_frame()?;
        }
    }

    /// What was heard on channel 0 and that nobody asked for, the oldest of it.
    pub(crate) fn unheard_close(&mut self) -> Option<Heard> {
        self.inboxes.get_mut(&0).and_then(VecDeque::pop_front)
    }

    /// Waits for a heartbeat; other frames are kept.
    pub(crate) fn hear_heartbeat(&mut self) -> Result<(), Silence> {
        let before = self.heartbeats;
        while self.heartbeats == before {
            self.read_frame()?;
        }
        Ok(())
    }

    /// Raw bytes instead of frames.
    pub(crate) fn hear_bytes(&mut self, count: usize) -> Result<Vec<u8>, Silence> {
        while self.unread.len() < count {
            self.read_more()?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Waits for the end of the connection; frames that come before are kept.
    pub(crate) fn hear_end(&mut self) -> Result<(), Silence> {
        loop {
            match self.read_frame() {
                Ok(()) => {}
                Err(Silence::End) => return Ok(()),
                Err(silence) => return Err(silence),
            }
        }
    }

    /// Everything that was heard and that nobody asked for.
    pub(crate) fn unheard(&mut self) -> Vec<String> {
        let inboxes = std::mem::take(&mut self.inboxes);
        let of_channel = |(channel, inbox): (u16, VecDeque<Heard>)| {
            inbox.into_iter().map(move |heard| format!("{channel}< {}", heard.said))
        };
        inboxes.into_iter().flat_map(of_channel).collect()
    }

    fn read_frame(&mut self) -> Result<(), Silence> {
        let (kind, channel, size) = loop {
            if let [kind, c1, c2, s1, s2, s3, s4, ..] = self.unread[..] {
                break (kind, u16::from_be_bytes([c1, c2]), u32::from_be_bytes([s1, s2, s3, s4]) as usize);
            }
            self.read_more()?;
        };
        while self.unread.len() < size + 8 {
            self.read_more()?;
        }
        let frame: Vec<u8> = self.unread.drain(..size + 8).collect();
        if frame.last() != Some(&FRAME_END) || frame.len() > self.frame_max {
            return Err(Silence::Malformed(format!(
                "a frame of type {kind} with {size} bytes, ended by {:?}",
                frame.last()
            )));
        }
        self.take_frame(kind, channel, &frame[7..size + 7]).map_err(Silence::Malformed)
    }

    fn take_frame(&mut self, kind: u8, channel: u16, payload: &[u8]) -> Result<(), String> {
        match (kind, self.incoming.remove(&channel)) {
            (HEARTBEAT, None) if channel == 0 && payload.is_empty() => self.heartbeats += 1,
            (METHOD, None) => {
                let said = decode_method(payload).map_err(|malformed| malformed.0)?;
                let content = Method::named(said.method).is_some_and(Method::carries_content);
                let heard = Heard { said, body: Vec::new(), frames: 0 };
                if content {
                    self.keep_incoming(channel, Incoming { heard, size: None })
                } else {
                    self.deliver(channel, heard)
                }
            }
            (HEADER, Some(Incoming { heard, size: None })) => {
                let (size, properties) = decode_header(payload).map_err(|malformed| malformed.0)?;
                self.keep_incoming(channel, Incoming { heard: with_properties(heard, properties), size: Some(size) });
            }
            (BODY, Some(Incoming { mut heard, size })) if size.is_some() && !payload.is_empty() => {
                heard.body.extend_from_slice(payload);
                heard.frames += 1;
                self.keep_incoming(channel, Incoming { heard, size });
            }
            (kind, incoming) => {
                let after = incoming.map_or("nothing".to_owned(), |incoming| incoming.heard.said.to_string());
                return Err(format!(
                    "a frame of type {kind} with {} bytes on channel {channel} after {after}",
                    payload.len()
                ));
            }
        }
        Ok(())
    }

    fn keep_incoming(&mut self, channel: u16, incoming: Incoming) {
        if incoming.size == Some(incoming.heard.body.len() as u64) {
            self.deliver(channel, incoming.heard);
        } else {
            self.incoming.insert(channel, incoming);
        }
    }

    fn deliver(&mut self, channel: u16, heard: Heard) {
        self.inboxes.entry(channel).or_default().push_back(heard);
    }

    fn read_more(&mut self) -> Result<(), Silence> {
        let mut bytes = [0; READ_BYTES];
        match self.stream.read(&mut bytes) {
            Ok(0) => Err(Silence::End),
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::Interrupted => Ok(()),
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Silence::TimedOut),
                // A reset: the broker closed with bytes of ours unread.
                _ => Err(Silence::End),
            },
        }
    }
}

fn with_properties(mut heard: Heard, properties: Vec<Field>) -> Heard {
    heard.said.fields.extend(properties);
    heard
}
