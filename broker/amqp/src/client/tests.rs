//! Both machines against each other, in memory: a client, a server and two byte buffers between them.

use std::sync::Arc;

use super::*;
use crate::auth::parse_plain;
use crate::frame::{write_content, write_heartbeat};
use crate::method::{basic, channel, queue};
use crate::properties::{BasicProperties, Properties};
use crate::reply::ReplyCode;
use crate::server::{self, Limits, Settings};
use crate::table::Table;
use crate::testing::Random;

/// A client and a server, and what is on its way between them.
struct Pair {
    client: Connection,
    server: server::Connection,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// What happened at the client, in short words.
    seen: Vec<String>,
    /// Contents that reached the client: routing key, properties, body.
    received: Vec<(String, Properties<'static>, Vec<u8>)>,
    next_tag: u64,
}

impl Pair {
    fn new(options: Options, limits: Limits) -> Self {
        let server_properties = Table::new().with("product", "Leveret");
        let settings = Settings { server_properties, mechanisms: "AMQPLAIN PLAIN".to_owned(), limits };
        let mut to_server = Vec::new();
        Self {
            client: Connection::open(options, &mut to_server),
            server: server::Connection::new(Arc::new(settings)),
            to_server,
            to_client: Vec::new(),
            seen: Vec::new(),
            received: Vec::new(),
            next_tag: 1,
        }
    }

    /// A pair whose channels 1 and 2 are open.
    fn open() -> Self {
        let mut pair = Self::new(Options::default(), Limits { frame_max: 4096, ..Limits::default() });
        pair.drive();
        for number in [1, 2] {
            write_method(&mut pair.to_server, number, &channel::Open {});
        }
        pair.drive();
        assert_eq!(pair.seen, ["ready", "1 channel.open-ok", "2 channel.open-ok"]);
        pair.seen.clear();
        pair
    }

    /// Carries bytes to and fro until nothing moves.
    fn drive(&mut self) {
        while self.step_server() | self.step_client() {}
    }

    fn step_server(&mut self) -> bool {
        let input = std::mem::take(&mut self.to_server);
        let mut start = 0;
        loop {
            let step = self.server.receive(&input[start..], &mut self.to_client);
            start += step.consumed;
            match step.event {
                server::Event::NeedInput { .. } => break,
                server::Event::Login(start_ok) => self.login(start_ok.response),
                server::Event::Open(open) if open.virtual_host == "/" => self.server.accept_open(&mut self.to_client),
                server::Event::Open(open) => {
                    let error = ProtocolError::new(ReplyCode::NotAllowed, "vhost x not found").blame(&open);
                    self.server.close_connection(&error, &mut self.to_client);
                }
                server::Event::ChannelOpen { channel } => self.server.accept_channel(channel, &mut self.to_client),
                server::Event::ChannelClose { channel, .. } => {
                    self.server.channel_close_ok(channel, &mut self.to_client);
                }
                server::Event::CloseRequested(_) => self.server.close_ok(&mut self.to_client),
                server::Event::Method { channel, method: Method::QueueDeclare(declare) } => {
                    let ok = queue::DeclareOk { queue: declare.queue, message_count: 0, consumer_count: 0 };
                    write_method(&mut self.to_client, channel, &ok);
                }
                server::Event::Method { channel, method } => {
                    let error = ProtocolError::new(ReplyCode::NotFound, "gone").blame(&method);
                    self.server.refuse(channel, &error, &mut self.to_client);
                }
                server::Event::Publish(message) => {
                    let deliver = basic::Deliver {
                        consumer_tag: "c",
                        delivery_tag: self.next_tag,
                        redelivered: false,
                        exchange: &message.exchange,
                        routing_key: &message.routing_key,
                    };
                    self.next_tag += 1;
                    let frame_max = self.server.negotiated().frame_max;
                    let (out, channel) = (&mut self.to_client, message.channel);
                    write_content(out, channel, frame_max, &deliver, &message.properties, &message.body);
                }
                _ => {}
            }
        }
        self.to_server = input[start..].to_vec();
        start > 0
    }

    fn login(&mut self, response: &[u8]) {
        let credentials = parse_plain(response).expect("a response of ours");
        if (credentials.user.as_str(), credentials.password.as_slice()) == ("guest", b"guest") {
            self.server.accept_login(&mut self.to_client);
        } else {
            self.server.refuse_login("PLAIN", &mut self.to_client);
        }
    }

    fn step_client(&mut self) -> bool {
        let input = std::mem::take(&mut self.to_client);
        let mut start = 0;
        loop {
            let step = self.client.receive(&input[start..], &mut self.to_server);
            start += step.consumed;
            self.seen.push(match step.event {
                Event::NeedInput { .. } => break,
                Event::Ready(_) => "ready".to_owned(),
                Event::Refused(header) => format!("refused {header:?}"),
                Event::Method { channel, method } => format!("{channel} {}", method.name()),
                Event::Content(content) => {
                    let Ok(Method::BasicDeliver(deliver)) = content.method() else { panic!("{content:?}") };
                    let routing_key = deliver.routing_key.to_owned();
                    let words = format!("{} deliver {}", content.channel, deliver.delivery_tag);
                    self.received.push((routing_key, content.properties.into_owned(), content.body.into_owned()));
                    words
                }
                Event::Closed(close) => format!("closed {}", close.reply_text),
                Event::CloseOk => "close-ok".to_owned(),
                Event::Fault(error) => format!("fault {error}"),
                Event::Heartbeat => "heartbeat".to_owned(),
            });
        }
        self.to_client = input[start..].to_vec();
        start > 0
    }
}

#[test]
fn handshake_and_tuning() {
    let mut pair = Pair::new(Options { channel_max: 7, ..Options::default() }, Limits::default());
    pair.drive();
    assert_eq!(pair.seen, ["ready"]);
    let expected = Negotiated { frame_max: 131_072, channel_max: 7, heartbeat: 60 };
    assert_eq!((pair.client.negotiated(), pair.server.negotiated()), (expected, expected));
    assert!(pair.server.client_capabilities().consumer_cancel_notify);
    assert!(pair.server.is_running());
}

#[test]
fn declare_publish_deliver() {
    let mut pair = Pair::open();
    write_method(&mut pair.to_server, 1, &queue::Declare { queue: "q", ..Default::default() });
    let mut random = Random::new(9);
    let mut expected = Vec::new();
    for (index, body_size) in [0, 1, 4087, 4088, 4089, 8176, 20_000, 300_000].into_iter().enumerate() {
        let publish = basic::Publish { routing_key: "q", ..Default::default() };
        let properties: BasicProperties = random.properties();
        let (properties, body) = (properties.encode(), vec![random.byte(); body_size]);
        let number = u16::try_from(index % 2 + 1).expect("small");
        write_content(&mut pair.to_server, number, 4096, &publish, &properties, &body);
        expected.push(("q".to_owned(), properties, body));
    }
    pair.drive();
    assert_eq!(pair.seen[..3], ["1 queue.declare-ok", "1 deliver 1", "2 deliver 2"]);
    assert!(pair.received == expected, "properties and bodies come back as they were sent");
}

#[test]
fn closing_a_channel_and_the_connection() {
    let mut pair = Pair::open();
    write_method(&mut pair.to_server, 1, &channel::Close::default());
    pair.drive();
    write_method(&mut pair.to_server, 2, &queue::Purge { queue: "q", ..Default::default() });
    pair.drive();
    write_method(&mut pair.to_server, 2, &channel::CloseOk {});
    write_method(&mut pair.to_server, 2, &channel::Open {});
    write_heartbeat(&mut pair.to_client);
    pair.client.close(&mut pair.to_server);
    pair.drive();
    let expected =
        ["1 channel.close-ok", "2 channel.close", "2 channel.open-ok", "heartbeat", "close-ok"].map(str::to_owned);
    pair.seen.sort_by_key(|word| expected.iter().position(|known| known == word));
    assert_eq!(pair.seen, expected);
    assert!(pair.client.is_closed() && pair.server.is_closed());
}

#[test]
fn both_close_at_once() {
    let mut pair = Pair::open();
    pair.client.close(&mut pair.to_server);
    let error = ProtocolError::new(ReplyCode::ConnectionForced, "bye");
    pair.server.close_connection(&error, &mut pair.to_client);
    pair.drive();
    assert_eq!(pair.seen, ["closed CONNECTION_FORCED - bye"]);
    assert!(pair.client.is_closed() && pair.server.is_closed());
}

#[test]
fn refusals() {
    let check = |options: Options, expected: &str| {
        let mut pair = Pair::new(options, Limits::default());
        pair.drive();
        assert_eq!(pair.seen, [expected]);
        assert!(pair.client.is_closed() && pair.server.is_closed());
    };
    let login = "closed ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                 For details see the broker logfile.";
    check(Options { password: "wrong".to_owned(), ..Options::default() }, login);
    check(Options { virtual_host: "x".to_owned(), ..Options::default() }, "closed NOT_ALLOWED - vhost x not found");
    let low = "closed NOT_ALLOWED - negotiated frame_max = 100 is lower than the minimum allowed value (4096)";
    check(Options { frame_max: 100, ..Options::default() }, low);
}

#[test]
fn servers_that_speak_something_else() {
    let mut client = Connection::open(Options::default(), &mut Vec::new());
    let step = client.receive(b"AMQP\0\x01\0\0", &mut Vec::new());
    assert_eq!(step.event, Event::Refused(*b"AMQP\0\x01\0\0"));
    assert!(client.is_closed());
}

#[test]
fn cutting_the_input_changes_nothing() {
    let mut random = Random::new(10);
    let mut pair = Pair::new(Options::default(), Limits::default());
    let mut stream = Vec::new();
    while pair.step_server() {
        stream.extend_from_slice(&pair.to_client);
        pair.step_client();
    }
    for body_size in [0, 10, 5000] {
        let deliver = basic::Deliver { delivery_tag: 1, ..Default::default() };
        write_content(&mut stream, 1, 4096, &deliver, &Properties::default(), &vec![1; body_size]);
    }
    for _ in 0..100 {
        let mut stream = stream.clone();
        if random.flip() {
            let index = random.below(stream.len());
            stream[index] ^= random.byte();
        }
        crate::fuzz::client(&[&[0, random.byte(), random.byte()], &stream[..]].concat());
    }
}
