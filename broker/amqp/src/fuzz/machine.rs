//! Both state machines under arbitrary input, cut in two ways.
//!
//! The first bytes of the data choose: a byte of flags (bit 0: begin after a complete handshake with channel 1 open) and two
//! bytes that seed the cuts. The rest is what the peer sends.

use std::sync::Arc;

use crate::client;
use crate::error::ProtocolError;
use crate::frame::write_method;
use crate::method::{channel, connection};
use crate::reply::ReplyCode;
use crate::server::{Connection, Event, Limits, Settings};
use crate::table::Table;

/// Small limits, so that short inputs reach them.
const LIMITS: Limits =
    Limits { frame_max: 4096, channel_max: 2, heartbeat: 60, initial_frame_max: 4096, body_size_max: 100_000 };
/// Longest piece of input between two calls.
const PIECE_SIZE_MAX: u64 = 40;

/// What a machine did: its events in words, and its output.
#[derive(Debug, Default, PartialEq)]
struct Transcript {
    events: Vec<String>,
    out: Vec<u8>,
}

/// The server's machine: the same transcript, whether the input comes at once or in pieces.
pub fn server(data: &[u8]) {
    let Some((&[flags, high, low], stream)) = data.split_first_chunk::<3>() else { return };
    let mut input = if flags & 1 == 1 { handshake() } else { Vec::new() };
    input.extend_from_slice(stream);
    let whole = run(&mut ServerSide::new(), &input, |_| usize::MAX);
    let mut cuts = Cuts::new(high, low);
    let pieces = run(&mut ServerSide::new(), &input, |_| cuts.next());
    assert_eq!(whole, pieces);
}

/// The client's machine, likewise.
pub fn client(data: &[u8]) {
    let Some((&[_, high, low], stream)) = data.split_first_chunk::<3>() else { return };
    let whole = run(&mut ClientSide::new(), stream, |_| usize::MAX);
    let mut cuts = Cuts::new(high, low);
    let pieces = run(&mut ClientSide::new(), stream, |_| cuts.next());
    assert_eq!(whole, pieces);
}

/// What a client sends until its channel 1 is open.
pub(crate) fn handshake() -> Vec<u8> {
    let mut out = crate::header::PROTOCOL_HEADER.to_vec();
    write_method(&mut out, 0, &connection::StartOk { mechanism: "PLAIN", response: b"\0a\0b", ..Default::default() });
    write_method(&mut out, 0, &connection::TuneOk { channel_max: 2, frame_max: 4096, heartbeat: 60 });
    write_method(&mut out, 0, &connection::Open { virtual_host: "/" });
    write_method(&mut out, 1, &channel::Open {});
    out
}

/// Sizes of pieces from a seed (a linear congruence: any will do).
struct Cuts(u64);

impl Cuts {
    fn new(high: u8, low: u8) -> Self {
        Self(u64::from(u16::from_be_bytes([high, low])))
    }

    fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % PIECE_SIZE_MAX + 1).unwrap_or(1)
    }
}

trait Side {
    /// One call of `receive`: bytes consumed, and the event in words or how much input is needed.
    fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Result<String, usize>);
    /// Bytes of input that the machine promises to need at most.
    fn input_size_max(&self) -> usize;
}

/// Feeds `input` in pieces, as a shell would that keeps what was not consumed.
fn run(side: &mut impl Side, input: &[u8], mut piece_size: impl FnMut(&[u8]) -> usize) -> Transcript {
    let mut transcript = Transcript::default();
    let (mut start, mut end, mut needed) = (0, 0, 0);
    while end < input.len() {
        end = end.saturating_add(piece_size(input)).min(input.len());
        loop {
            let pending = &input[start..end];
            let out_size = transcript.out.len();
            let (consumed, outcome) = side.receive(pending, &mut transcript.out);
            assert!(consumed <= pending.len());
            start += consumed;
            match outcome {
                Ok(event) => {
                    assert!(pending.len() >= needed, "nothing happens before the size that was asked for: {event}");
                    needed = 0;
                    transcript.events.push(event);
                }
                Err(size) => {
                    assert!(size > end - start, "more is asked for than there is");
                    assert!(size <= side.input_size_max(), "the promise of the buffer's size holds");
                    assert!(pending.len() >= needed || (consumed == 0 && out_size == transcript.out.len()));
                    needed = size;
                    break;
                }
            }
        }
    }
    transcript
}

struct ServerSide(Connection);

impl ServerSide {
    fn new() -> Self {
        let server_properties = Table::new().with("product", "x");
        let settings = Settings { server_properties, mechanisms: "PLAIN".to_owned(), limits: LIMITS };
        Self(Connection::new(Arc::new(settings)))
    }
}

impl Side for ServerSide {
    /// A shell that says yes to all, and that refuses exchange.delete to have a channel closed from this side.
    fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Result<String, usize>) {
        let step = self.0.receive(input, out);
        let words = format!("{:?}", step.event);
        match step.event {
            Event::NeedInput { size } => return (step.consumed, Err(size)),
            Event::Login(_) | Event::LoginAgain(_) => self.0.accept_login(out),
            Event::Open(_) => self.0.accept_open(out),
            Event::ChannelOpen { channel } => self.0.accept_channel(channel, out),
            Event::ChannelClose { channel, .. } => self.0.channel_close_ok(channel, out),
            Event::CloseRequested(_) => self.0.close_ok(out),
            Event::Method { channel, method: crate::method::Method::ExchangeDelete(delete) } => {
                let error = ProtocolError::new(ReplyCode::NotFound, "gone").blame(&delete);
                self.0.refuse(channel, &error, out);
            }
            _ => {}
        }
        (step.consumed, Ok(words))
    }

    fn input_size_max(&self) -> usize {
        self.0.input_size_max()
    }
}

struct ClientSide(client::Connection);

impl ClientSide {
    fn new() -> Self {
        Self(client::Connection::open(client::Options::default(), &mut Vec::new()))
    }
}

impl Side for ClientSide {
    fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, Result<String, usize>) {
        let step = self.0.receive(input, out);
        match step.event {
            client::Event::NeedInput { size } => (step.consumed, Err(size)),
            event => (step.consumed, Ok(format!("{event:?}"))),
        }
    }

    fn input_size_max(&self) -> usize {
        self.0.input_size_max()
    }
}
