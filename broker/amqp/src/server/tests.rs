//! Tests of the server's machine by raw frames: every rule of the handshake, of channels and of contents, with the exact codes
//! and texts that clients see.

use super::*;
use crate::frame::{write_content, write_method};
use crate::method::{access, basic, channel, connection, exchange, queue};
use crate::properties::BasicProperties;
use crate::table::Table;
use crate::testing::{Random, frame, hex};

/// A machine with its output, and a shell that says yes.
struct Server {
    connection: Connection,
    /// Input that was not consumed yet.
    pending: Vec<u8>,
    out: Vec<u8>,
}

impl Server {
    fn new(limits: Limits) -> Self {
        let server_properties = Table::new().with("product", "x");
        let settings = Settings { server_properties, mechanisms: "PLAIN".to_owned(), limits };
        Self { connection: Connection::new(Arc::new(settings)), pending: Vec::new(), out: Vec::new() }
    }

    /// A server up to the open vhost, with the output of the handshake taken away.
    fn running(limits: Limits) -> Self {
        let mut server = Self::new(limits);
        server.feed(&crate::header::PROTOCOL_HEADER);
        server.feed(&method(0, &start_ok()));
        let Limits { channel_max, frame_max, heartbeat, .. } = limits;
        server.feed(&method(0, &connection::TuneOk { channel_max, frame_max, heartbeat }));
        server.feed(&method(0, &connection::Open { virtual_host: "/" }));
        server.out.clear();
        server
    }

    /// A running server with channels 1 and 2 open.
    fn open() -> Self {
        let mut server = Self::running(LIMITS);
        server.feed(&[method(1, &channel::Open {}), method(2, &channel::Open {})].concat());
        assert_eq!(server.sent(), ["1 channel.open-ok", "2 channel.open-ok"]);
        server
    }

    /// Feeds all of `input` and returns the events in short words, saying yes to whatever is asked.
    fn feed(&mut self, input: &[u8]) -> Vec<String> {
        let input = [&std::mem::take(&mut self.pending), input].concat();
        let (mut start, mut words) = (0, Vec::new());
        loop {
            let step = self.connection.receive(&input[start..], &mut self.out);
            start += step.consumed;
            match step.event {
                Event::NeedInput { .. } => {
                    self.pending = input[start..].to_vec();
                    return words;
                }
                Event::Login(_) | Event::LoginAgain(_) => self.connection.accept_login(&mut self.out),
                Event::Open(_) => self.connection.accept_open(&mut self.out),
                Event::ChannelOpen { channel } => self.connection.accept_channel(channel, &mut self.out),
                _ => {}
            }
            words.push(in_words(&step.event));
        }
    }

    /// The frames sent since the last call, in short words.
    fn sent(&mut self) -> Vec<String> {
        let bytes = std::mem::take(&mut self.out);
        let (mut rest, mut words) = (&bytes[..], Vec::new());
        while let Some((frame, size)) = Frame::parse(rest, usize::MAX).expect("frames of ours") {
            words.push(match Method::decode(frame.payload).expect("a method of ours") {
                Method::ConnectionClose(close) => {
                    format!("0 close {} {} {}.{}", close.reply_code, close.reply_text, close.class_id, close.method_id)
                }
                Method::ChannelClose(close) => format!(
                    "{} close {} {} {}.{}",
                    frame.channel, close.reply_code, close.reply_text, close.class_id, close.method_id
                ),
                other => format!("{} {}", frame.channel, crate::method::WireMethod::name(&other)),
            });
            rest = &rest[size..];
        }
        assert!(rest.is_empty());
        words
    }
}

const LIMITS: Limits =
    Limits { frame_max: 4096, channel_max: 3, heartbeat: 60, initial_frame_max: 4096, body_size_max: 20_000 };

fn in_words(event: &Event<'_>) -> String {
    match event {
        Event::Login(start_ok) => format!("login {}", start_ok.mechanism),
        Event::LoginAgain(_) => "login again".to_owned(),
        Event::Open(open) => format!("open {}", open.virtual_host),
        Event::ChannelOpen { channel } => format!("{channel} open"),
        Event::ChannelClose { channel, close } => format!("{channel} close {}", close.reply_code),
        Event::Method { channel, method } => format!("{channel} {}", crate::method::WireMethod::name(method)),
        Event::Publish(message) => {
            format!("{} publish {} {}", message.channel, message.routing_key, message.body.len())
        }
        Event::ChannelFault { channel, error } => format!("{channel} fault {}", error.code.code()),
        Event::ConnectionFault { channel, error } => format!("{channel} connection fault {}", error.code.code()),
        Event::CloseRequested(close) => format!("close {}", close.reply_code),
        Event::UpdateSecret(_) => "update secret".to_owned(),
        other => format!("{other:?}").split([' ', '(']).next().unwrap_or_default().to_lowercase(),
    }
}

fn method(channel: u16, method: &impl crate::method::WireMethod) -> Vec<u8> {
    let mut out = Vec::new();
    write_method(&mut out, channel, method);
    out
}

fn start_ok() -> connection::StartOk<'static> {
    connection::StartOk { mechanism: "PLAIN", response: b"\0a\0b", ..Default::default() }
}

fn publish(channel: u16, routing_key: &str, body: &[u8]) -> Vec<u8> {
    let publish = basic::Publish { routing_key, ..Default::default() };
    let mut out = Vec::new();
    write_content(&mut out, channel, 4096, &publish, &BasicProperties::default().encode(), body);
    out
}

/// The payload of a header frame without properties.
fn content_header(class_id: u16, weight: u16, body_size: u64) -> Vec<u8> {
    [&class_id.to_be_bytes()[..], &weight.to_be_bytes(), &body_size.to_be_bytes(), &[0, 0]].concat()
}

fn publish_method(channel: u16) -> Vec<u8> {
    method(channel, &basic::Publish { routing_key: "k", ..Default::default() })
}

#[test]
fn a_bind_that_follows_is_seen() {
    let server = Server::open();
    let check = |input: &[u8], expected: Option<usize>| {
        assert_eq!(server.connection.next_bind(input, 1).map(|(_, size)| size), expected);
    };
    let queue_bind = method(1, &queue::Bind { queue: "q", exchange: "x", routing_key: "k", ..Default::default() });
    check(&queue_bind, Some(queue_bind.len()));
    check(&[&queue_bind[..], b"more"].concat(), Some(queue_bind.len()));
    check(&queue_bind[..queue_bind.len() - 1], None);
    check(&method(2, &queue::Bind::default()), None);
    check(&method(1, &queue::Purge::default()), None);
    let exchange_bind = method(1, &exchange::Bind { destination: "a", source: "b", ..Default::default() });
    check(&exchange_bind, Some(exchange_bind.len()));
    let mut broken = queue_bind.clone();
    broken[13] = 0xff; // the length of the queue's name
    check(&broken, None);
    check(b"", None);
}

#[test]
fn handshake() {
    let mut server = Server::new(LIMITS);
    let mut check = |input: &[u8], events: &[&str], sent: &[&str], state: &str| {
        assert_eq!(server.feed(input), events);
        assert_eq!(server.sent(), sent);
        assert_eq!(server.connection.state_name(), state);
    };
    check(b"AMQP\x01\x01\0", &[], &[], "starting");
    check(b"\x09", &["greeted"], &["0 connection.start"], "starting");
    check(&method(0, &start_ok()), &["login PLAIN"], &["0 connection.tune"], "tuning");
    let tune_ok = connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 };
    check(&method(0, &tune_ok), &["tuned"], &[], "opening");
    check(&method(0, &connection::Open { virtual_host: "v" }), &["open v"], &["0 connection.open-ok"], "running");
    check(&frame(8, 0, &[]), &["heartbeat"], &[], "running");
    let update = connection::UpdateSecret { new_secret: b"s", reason: "r" };
    check(&method(0, &update), &["update secret"], &[], "running");
    let negotiated = Negotiated { frame_max: 4096, channel_max: 1, heartbeat: 0 };
    assert_eq!(server.connection.negotiated(), negotiated);
}

#[test]
fn strangers_are_sent_our_header() {
    let check = |input: &[u8]| {
        let mut server = Server::new(LIMITS);
        assert_eq!(server.feed(input), ["stranger"]);
        assert_eq!(server.out, b"AMQP\0\0\x09\x01");
        assert!(server.connection.is_closed() && server.connection.reads_no_more());
        assert_eq!(server.feed(b"anything"), Vec::<String>::new());
    };
    check(b"AMQP\x03\x01\0\0");
    check(b"GET / HTTP/1.1\r\n");
    check(&hex("16 0301 0200 01 0001"));
}

#[test]
fn secure_rounds() {
    let mut server = Server::new(LIMITS);
    server.feed(b"AMQP\0\0\x09\x01");
    server.out.clear();
    let login = method(0, &start_ok());
    let step = server.connection.receive(&login, &mut server.out);
    assert!(matches!(step.event, Event::Login(_)));
    server.connection.challenge(b"?", &mut server.out);
    assert_eq!((server.sent(), server.connection.state_name()), (vec!["0 connection.secure".to_owned()], "securing"));
    assert_eq!(server.feed(&method(0, &connection::SecureOk { response: b"!" })), ["login again"]);
    assert_eq!(server.sent(), ["0 connection.tune"]);
}

#[test]
fn refused_logins_are_told_to_those_who_understand() {
    let check = |announced: bool, expected: &[&str]| {
        let mut server = Server::new(LIMITS);
        server.feed(b"AMQP\0\0\x09\x01");
        server.out.clear();
        let capabilities = Table::new().with("authentication_failure_close", announced);
        let bytes = Table::new().with("capabilities", capabilities).to_bytes();
        let client_properties = crate::table::RawTable::parse(&bytes).expect("ours");
        let login = method(0, &connection::StartOk { client_properties, ..start_ok() });
        server.connection.receive(&login, &mut server.out);
        assert_eq!(server.connection.refuse_login("PLAIN", &mut server.out), announced);
        assert_eq!(server.sent(), expected);
        assert!(server.connection.is_closing());
    };
    check(false, &[]);
    let text = "0 close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                For details see the broker logfile. 0.0";
    check(true, &[text]);
}

#[test]
fn methods_in_the_wrong_state() {
    let check = |before: &[Vec<u8>], bad: Vec<u8>, expected: &str| {
        let mut server = Server::new(LIMITS);
        before.iter().for_each(|input| drop(server.feed(input)));
        server.out.clear();
        assert_eq!(server.feed(&bad).last().map(String::as_str), Some("0 connection fault 504"));
        let text = "CHANNEL_ERROR - unexpected method in connection state";
        assert_eq!(server.sent(), [format!("0 close 504 {text} {expected}")]);
    };
    let header = b"AMQP\0\0\x09\x01".to_vec();
    let login = method(0, &start_ok());
    let tune_ok = method(0, &connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 });
    let open = method(0, &connection::Open { virtual_host: "/" });
    let starting = [header.clone()];
    let tuning = [header.clone(), login.clone()];
    let opening = [header.clone(), login.clone(), tune_ok.clone()];
    let running = [header, login.clone(), tune_ok.clone(), open.clone()];
    check(&starting, tune_ok.clone(), "starting 10.31");
    check(&tuning, open.clone(), "tuning 10.40");
    check(&opening, tune_ok, "opening 10.31");
    check(&running, open, "running 10.40");
    check(&running, login, "running 10.11");
    check(&running, method(0, &channel::Open {}), "running 20.10");
    check(&running, method(0, &queue::Purge::default()), "running 50.30");
    check(&running, method(0, &connection::CloseOk {}), "running 10.51");
    check(&running, method(0, &connection::Start::default()), "running 10.10");
}

#[test]
fn tables_of_methods_have_to_decode() {
    let mut server = Server::new(LIMITS);
    server.feed(b"AMQP\0\0\x09\x01");
    server.out.clear();
    let start_ok = hex("000A 000B  00000003 01 61 7A  00 00000000 00");
    assert_eq!(server.feed(&frame(1, 0, &start_ok)), ["0 connection fault 501"]);
    let text = "FRAME_ERROR - cannot decode <<0,0,0,3,1,97,122,0,0,0,0,0,0>>";
    assert_eq!(server.sent(), [format!("0 close 501 {text} 10.11")]);
}

#[test]
fn long_texts_are_cut() {
    let mut server = Server::open();
    assert_eq!(server.feed(&frame(1, 1, &[[0, 60, 0, 80].as_slice(), &[9; 300]].concat())), ["1 connection fault 501"]);
    let sent = server.sent().concat();
    let cut = &sent["0 close 501 ".len()..sent.len() - " 60.80".len()];
    assert!(cut.starts_with("FRAME_ERROR - cannot decode <<9,9,9,") && cut.len() == 255, "{cut}");
}

#[test]
fn refused_tuning() {
    let mut server = Server::new(LIMITS);
    server.feed(&[b"AMQP\0\0\x09\x01".to_vec(), method(0, &start_ok())].concat());
    server.out.clear();
    server.feed(&method(0, &connection::TuneOk { channel_max: 0, frame_max: 4096, heartbeat: 0 }));
    let text = "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (3)";
    assert_eq!(server.sent(), [format!("0 close 530 {text} 10.30")]);
}

/// Checks which connection.close the frames `bad` provoke on a running connection, channels 1 and 2 open.
fn check_hard_error(bad: &[Vec<u8>], expected: &str) {
    let mut server = Server::open();
    let events = server.feed(&bad.concat());
    assert!(events.last().is_some_and(|last| last.contains("connection fault")), "{events:?}");
    assert_eq!(server.sent(), [format!("0 close {expected}")]);
    assert!(server.connection.is_closing());
    assert_eq!(server.connection.channel_count(), 0);
}

#[test]
fn frames_that_are_not_due() {
    let check = check_hard_error;
    check(&[frame(9, 0, b"abc")], "501 FRAME_ERROR - type 9, all octets = <<\"abc\">>: unknown_frame 0.0");
    check(&[frame(4, 1, &[])], "501 FRAME_ERROR - type 4, all octets = <<>>: unknown_frame 0.0");
    check(&[frame(1, 1, &[0, 10, 0])], "501 FRAME_ERROR - type 1, all octets = <<0,10,0>>: unknown_frame 0.0");
    check(&[frame(8, 0, &[1])], "501 FRAME_ERROR - type 8, all octets = <<1>>: unknown_frame 0.0");
    check(&[frame(8, 1, &[])], "505 UNEXPECTED_FRAME - type 8, all octets = <<>> 0.0");
    check(&[frame(3, 0, &[7; 17])], {
        "505 UNEXPECTED_FRAME - type 3, first 16 octets = <<7,7,7,7,7,7,7,7,7,7,7,7,7,7,7,7>> 0.0"
    });
    check(&[frame(2, 0, &content_header(60, 0, 0))], {
        "505 UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>> 0.0"
    });
}

#[test]
fn methods_that_are_not_understood() {
    let check = check_hard_error;
    check(&[frame(1, 1, &[0, 60, 0, 200])], "503 COMMAND_INVALID - unknown method 60.200 60.200");
    check(&[frame(1, 0, &[0, 99, 0, 1])], "503 COMMAND_INVALID - unknown method 99.1 99.1");
    check(&[frame(1, 1, &[0, 60, 0, 80, 0, 5])], "501 FRAME_ERROR - cannot decode <<0,5>> 60.80");
    check(&[frame(1, 1, &[0, 60, 0, 40, 0, 0, 9])], "501 FRAME_ERROR - cannot decode <<0,0,9>> 60.40");
    check(&[frame(1, 1, &[0, 60, 0, 40, 0, 0, 1, 0xFF, 0, 0])], {
        "501 FRAME_ERROR - Malformed UTF-8 in shortstr 0.0"
    });
    check(&[method(1, &queue::PurgeOk { message_count: 1 })], "503 COMMAND_INVALID - unimplemented method 50.31");
    check(&[method(1, &basic::Deliver::default())], "503 COMMAND_INVALID - unimplemented method 60.60");
    check(&[method(1, &connection::Open::default())], "503 COMMAND_INVALID - unimplemented method 10.40");
    check(&[method(1, &channel::FlowOk { active: true })], "503 COMMAND_INVALID - unimplemented method 20.21");
    check(&[method(1, &channel::Flow { active: false })], "540 NOT_IMPLEMENTED - active=false 20.20");
}

#[test]
fn methods_on_channels_in_the_wrong_state() {
    let check = check_hard_error;
    check(&[method(1, &channel::Open {})], "504 CHANNEL_ERROR - second 'channel.open' seen 20.10");
    check(&[method(3, &basic::Qos::default())], "504 CHANNEL_ERROR - expected 'channel.open' 60.10");
    check(&[publish_method(3)], "504 CHANNEL_ERROR - expected 'channel.open' 60.40");
    check(&[method(3, &channel::Close::default())], "504 CHANNEL_ERROR - expected 'channel.open' 20.40");
}

#[test]
fn contents_out_of_order() {
    let check = check_hard_error;
    let header = |class_id, weight, body_size| frame(2, 1, &content_header(class_id, weight, body_size));
    let header_of = |body_size| header(60, 0, body_size);
    let not_due = "505 UNEXPECTED_FRAME - expected method frame, got non method frame instead 0.0";
    check(&[header_of(1)], not_due);
    check(&[frame(3, 1, b"x")], not_due);
    check(&[frame(3, 9, b"x")], not_due);
    check(&[publish_method(1), header_of(0), frame(3, 1, b"")], not_due);
    let no_header =
        "505 UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead 60.40";
    check(&[publish_method(1), frame(3, 1, b"x")], no_header);
    check(&[publish_method(1), publish_method(1)], no_header);
    check(&[publish_method(1), header(60, 1, 1)], no_header);
    check(&[publish_method(1), header(10, 0, 1)], {
        "505 UNEXPECTED_FRAME - expected content header for class 60, got one for class 10 instead 60.40"
    });
    let no_body = "505 UNEXPECTED_FRAME - expected content body, got non content body frame instead 60.40";
    check(&[publish_method(1), header_of(1), publish_method(1)], no_body);
    check(&[publish_method(1), header_of(1), header_of(1)], no_body);
    check(&[publish_method(1), header_of(2), frame(3, 1, b"x"), publish_method(1)], no_body);
    let too_long = "501 FRAME_ERROR - content body frame exceeds remaining content size 60.40";
    check(&[publish_method(1), header_of(1), frame(3, 1, b"xy")], too_long);
    check(&[publish_method(1), header_of(3), frame(3, 1, b"xy"), frame(3, 1, b"xy")], too_long);
    check(&[publish_method(1), header_of(536_870_913)], {
        "501 FRAME_ERROR - content body size 536870913 exceeds maximum allowed size 536870912 60.40"
    });
    let bad_properties = [&content_header(60, 0, 0)[..12], &[0x10, 0]].concat();
    check(&[publish_method(1), frame(2, 1, &bad_properties)], "501 FRAME_ERROR - cannot decode <<16,0>> 60.40");
}

#[test]
fn channel_max_counts_open_channels() {
    let mut server = Server::open();
    assert_eq!(server.feed(&method(5000, &channel::Open {})), ["5000 open"]);
    assert_eq!(server.connection.channel_count(), 3);
    server.out.clear();
    assert_eq!(server.feed(&method(3, &channel::Open {})), ["3 connection fault 530"]);
    let text = "NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)";
    assert_eq!(server.sent(), [format!("0 close 530 {text} 0.0")]);
}

#[test]
fn channels_before_open_ok() {
    let mut server = Server::new(LIMITS);
    server.feed(&[b"AMQP\0\0\x09\x01".to_vec(), method(0, &start_ok())].concat());
    server.out.clear();
    assert_eq!(server.feed(&method(1, &channel::Open {})), ["1 connection fault 505"]);
    let text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>";
    assert_eq!(server.sent(), [format!("0 close 505 {text} 0.0")]);
}

#[test]
fn lost_framing_ends_all_reading() {
    let check = |bad: &[u8], expected: &str| {
        let mut server = Server::open();
        let input = [bad, &method(0, &connection::CloseOk {})].concat();
        assert_eq!(server.feed(&input).len(), 1);
        assert_eq!(server.sent(), [format!("0 close 501 FRAME_ERROR - type {expected} 0.0")]);
        assert!(server.connection.reads_no_more());
        assert_eq!(server.feed(&method(0, &connection::CloseOk {})), Vec::<String>::new());
    };
    check(&hex("01 0001 00001001"), "1, all octets = <<>>: {frame_too_large,4097,4088}");
    check(&hex("03 0001 00000001 05 00"), "3, all octets = <<5>>: {invalid_frame_end_marker,0}");
}

#[test]
fn payloads_a_little_over_the_limit_are_taken() {
    let mut server = Server::open();
    let body = [7; 4096];
    let input = [publish_method(1), frame(2, 1, &content_header(60, 0, 4096)), frame(3, 1, &body)].concat();
    assert_eq!(server.feed(&input), ["1 publish k 4096"]);
}

#[test]
fn no_limit_has_a_ceiling() {
    let check = |frame_header: &str, expected: &[&str]| {
        let mut server = Server::running(Limits { frame_max: 0, ..LIMITS });
        assert_eq!(server.feed(&hex(frame_header)), expected);
    };
    check("03 0001 20000000", &[]);
    check("03 0001 20000001", &["1 connection fault 501"]);
}

#[test]
fn the_machine_answers_what_needs_no_decision() {
    let mut server = Server::open();
    let input = [
        method(1, &channel::Flow { active: true }),
        method(1, &access::Request::default()),
        method(1, &basic::CancelOk { consumer_tag: "c" }),
    ];
    assert_eq!(server.feed(&input.concat()), Vec::<String>::new());
    assert_eq!(server.sent(), ["1 channel.flow-ok", "1 access.request-ok"]);
}

#[test]
fn contents_interleave_across_channels() {
    let mut server = Server::open();
    let input = [
        publish_method(1),
        publish_method(2),
        frame(2, 1, &content_header(60, 0, 4)),
        frame(8, 0, &[]),
        frame(2, 2, &content_header(60, 0, 0)),
        frame(3, 1, b"ab"),
        publish(2, "two", b"12345"),
        frame(3, 1, b""),
        frame(3, 1, b"cd"),
    ];
    let events = server.feed(&input.concat());
    assert_eq!(events, ["heartbeat", "2 publish k 0", "2 publish two 5", "1 publish k 4"]);
}

#[test]
fn contents_interleave_on_very_many_channels() {
    let mut server = Server::running(Limits { channel_max: 0, ..LIMITS });
    let numbers: Vec<u16> = (1..=100).chain(60_000..60_100).collect();
    let each = |input: &dyn Fn(u16) -> Vec<u8>| numbers.iter().flat_map(|&number| input(number)).collect::<Vec<u8>>();
    server.feed(&each(&|number| method(number, &channel::Open {})));
    server.feed(&each(&publish_method));
    server.feed(&each(&|number| frame(2, number, &content_header(60, 0, 2))));
    assert_eq!(server.feed(&each(&|number| frame(3, number, b"a"))), Vec::<String>::new());
    let events = server.feed(&each(&|number| frame(3, number, b"b")));
    assert_eq!(events, numbers.iter().map(|number| format!("{number} publish k 2")).collect::<Vec<_>>());
}

#[test]
fn small_messages_are_borrowed_whole() {
    let mut server = Server::open();
    for (body_size, is_borrowed) in [(0, true), (1, true), (4088, true), (4089, false), (20_000, false)] {
        let body = vec![1; body_size];
        let input = publish(1, "key", &body);
        let step = server.connection.receive(&input, &mut server.out);
        let Event::Publish(message) = step.event else { panic!("{:?}", step.event) };
        assert_eq!(step.consumed, input.len());
        assert_eq!((message.routing_key.as_ref(), message.body.as_ref()), ("key", &body[..]));
        assert_eq!(matches!(message.body, std::borrow::Cow::Borrowed(_)), is_borrowed, "{body_size} bytes");
    }
}

#[test]
fn oversized_messages_close_their_channel_only() {
    let mut server = Server::open();
    assert_eq!(server.feed(&publish(1, "k", &[0; 20_000])), ["1 publish k 20000"]);
    assert_eq!(server.feed(&publish(1, "k", &[0; 20_001])), ["1 fault 406"]);
    let text = "PRECONDITION_FAILED - message size 20001 is larger than configured max size 20000";
    assert_eq!(server.sent(), [format!("1 close 406 {text} 60.40")]);
    assert_eq!(server.feed(&publish(1, "k", b"dropped")), Vec::<String>::new());
    assert_eq!(server.feed(&publish(2, "k", b"taken")), ["2 publish k 5"]);
    assert_eq!(server.feed(&method(1, &channel::CloseOk {})), Vec::<String>::new());
    assert_eq!(server.feed(&method(1, &channel::Open {})), ["1 open"]);
}

#[test]
fn a_closing_channel_ignores_all_but_its_end() {
    let mut server = Server::open();
    let error = ProtocolError::new(ReplyCode::NotFound, "no queue 'q' in vhost '/'").blame(&queue::Purge::default());
    assert_eq!(server.connection.refuse(1, &error, &mut server.out), Reach::Channel);
    assert_eq!(server.sent(), ["1 close 404 NOT_FOUND - no queue 'q' in vhost '/' 50.30"]);
    assert_eq!(server.connection.refuse(1, &error, &mut server.out), Reach::Channel);
    let ignored = [
        publish(1, "k", b"body"),
        publish_method(1),
        frame(3, 1, b"stray"),
        frame(1, 1, &[0, 60, 0, 200]),
        method(1, &queue::Declare::default()),
        method(1, &channel::Open {}),
    ];
    assert_eq!(server.feed(&ignored.concat()), Vec::<String>::new());
    assert_eq!(server.sent(), Vec::<String>::new());
    // Both closed at once: the client's close is answered, and ours still waits for close-ok.
    assert_eq!(server.feed(&method(1, &channel::Close::default())), Vec::<String>::new());
    assert_eq!(server.sent(), ["1 channel.close-ok"]);
    assert_eq!(server.feed(&method(1, &channel::CloseOk {})), Vec::<String>::new());
    assert_eq!(server.feed(&method(1, &channel::Open {})), ["1 open"]);
}

#[test]
fn a_number_may_be_reopened_after_both_closed() {
    let mut server = Server::open();
    let error = ProtocolError::new(ReplyCode::NotFound, "x");
    server.connection.close_channel(1, &error, &mut server.out);
    server.feed(&method(1, &channel::Close::default()));
    assert_eq!(server.feed(&method(1, &channel::Open {})), ["1 open"]);
    assert_eq!(server.feed(&method(1, &basic::Recover { requeue: true })), ["1 basic.recover"]);
}

#[test]
fn channel_close_by_the_client() {
    let mut server = Server::open();
    let close = channel::Close { reply_code: 200, reply_text: "bye", class_id: 0, method_id: 0 };
    assert_eq!(server.feed(&[method(1, &close), publish_method(1)].concat()), ["1 close 200"]);
    assert_eq!(server.sent(), Vec::<String>::new(), "close-ok comes last, when the shell has cleaned up");
    server.connection.channel_close_ok(1, &mut server.out);
    server.connection.channel_close_ok(1, &mut server.out);
    assert_eq!(server.sent(), ["1 channel.close-ok"]);
    assert_eq!(server.feed(&method(1, &channel::Open {})), ["1 open"]);
}

#[test]
fn connection_close_by_the_client() {
    let mut server = Server::open();
    let close = connection::Close { reply_code: 200, reply_text: "bye", class_id: 0, method_id: 0 };
    assert_eq!(server.feed(&[method(0, &close), publish(1, "k", b"x"), vec![9; 99]].concat()), ["close 200"]);
    assert_eq!(server.sent(), Vec::<String>::new());
    assert_eq!(server.connection.state_name(), "closing");
    server.connection.close_ok(&mut server.out);
    assert_eq!(server.sent(), ["0 connection.close-ok"]);
    assert!(server.connection.is_closed());
}

#[test]
fn connection_close_by_the_server() {
    let mut server = Server::open();
    let error = ProtocolError::new(ReplyCode::ConnectionForced, "maintenance");
    assert_eq!(server.connection.refuse(1, &error, &mut server.out), Reach::Connection);
    server.connection.close_connection(&error, &mut server.out);
    assert_eq!(server.sent(), ["0 close 320 CONNECTION_FORCED - maintenance 0.0"]);
    let dropped = [publish(1, "k", b"x"), frame(9, 0, b"?"), frame(1, 0, &[0, 99, 0, 9]), frame(8, 3, &[])];
    assert_eq!(server.feed(&dropped.concat()), Vec::<String>::new());
    // Both closed at once.
    assert_eq!(server.feed(&method(0, &connection::Close::default())), Vec::<String>::new());
    assert_eq!(server.sent(), ["0 connection.close-ok"]);
    assert_eq!(server.feed(&method(0, &connection::CloseOk {})), ["closeok"]);
    assert!(server.connection.is_closed());
}

#[test]
fn soft_errors_on_channel_0_are_hard() {
    let mut server = Server::open();
    let error = ProtocolError::new(ReplyCode::NotFound, "x");
    assert_eq!(server.connection.refuse(0, &error, &mut server.out), Reach::Connection);
    assert_eq!(server.sent(), ["0 close 404 NOT_FOUND - x 0.0"]);
}

#[test]
fn alarms_are_told_to_those_who_want_to_know() {
    for announced in [true, false] {
        let mut server = Server::open();
        server.connection.capabilities.connection_blocked = announced;
        assert_eq!(server.connection.block("low on memory", &mut server.out), announced);
        assert!(!server.connection.block("low on disk", &mut server.out), "once");
        assert_eq!(server.connection.state_name(), "blocked");
        assert_eq!(server.feed(&publish(1, "k", b"")), ["1 publish k 0"]);
        assert_eq!(server.connection.unblock(&mut server.out), announced);
        assert!(!server.connection.unblock(&mut server.out), "once");
        let expected: &[&str] = if announced { &["0 connection.blocked", "0 connection.unblocked"] } else { &[] };
        assert_eq!(server.sent(), expected);
    }
}

#[test]
fn late_decisions_do_nothing() {
    let mut server = Server::open();
    server.connection.close_connection(&ProtocolError::new(ReplyCode::InternalError, "x"), &mut server.out);
    server.out.clear();
    server.connection.accept_login(&mut server.out);
    server.connection.accept_open(&mut server.out);
    server.connection.accept_secret(&mut server.out);
    server.connection.accept_channel(7, &mut server.out);
    server.connection.channel_close_ok(1, &mut server.out);
    server.connection.close_ok(&mut server.out);
    server.connection.block("x", &mut server.out);
    server.connection.challenge(b"x", &mut server.out);
    assert_eq!(server.sent(), Vec::<String>::new());
}

#[test]
fn strangers_cannot_make_us_hold_much() {
    let mut server = Server::new(Limits::default());
    server.feed(b"AMQP\0\0\x09\x01");
    assert!(server.connection.input_size_max() < 32 * 1024);
    assert_eq!(server.feed(&hex("01 0000 00002001")), ["0 connection fault 501"]);
}

#[test]
fn every_client_method_reaches_the_shell_or_is_refused() {
    let mut random = Random::new(7);
    for &(class_id, method_id, name) in Method::ALL {
        let mut server = Server::open();
        // Enough zero bytes make fields of any method; leftovers are cut off one by one.
        let fields =
            (0..40).map(|size| vec![0; size]).find(|fields| Method::decode_fields(class_id, method_id, fields).is_ok());
        let fields = fields.expect("zeros are fields of any method");
        let payload = [&class_id.to_be_bytes()[..], &method_id.to_be_bytes(), &fields].concat();
        let number = 1 + u16::from(random.flip());
        let events = server.feed(&frame(1, number, &payload));
        let is_clients = matches!(
            name,
            "exchange.declare"
                | "exchange.delete"
                | "exchange.bind"
                | "exchange.unbind"
                | "queue.declare"
                | "queue.bind"
                | "queue.purge"
                | "queue.delete"
                | "queue.unbind"
                | "basic.qos"
                | "basic.consume"
                | "basic.cancel"
                | "basic.get"
                | "basic.ack"
                | "basic.reject"
                | "basic.recover-async"
                | "basic.recover"
                | "basic.nack"
                | "tx.select"
                | "tx.commit"
                | "tx.rollback"
                | "confirm.select"
        );
        let expected = match name {
            "basic.publish" | "access.request" | "basic.cancel-ok" => vec![],
            "channel.close" => vec![format!("{number} close 0")],
            "channel.open" => vec![format!("{number} connection fault 504")],
            "channel.flow" => vec![format!("{number} connection fault 540")],
            name if is_clients => vec![format!("{number} {name}")],
            _ => vec![format!("{number} connection fault 503")],
        };
        assert_eq!(events, expected, "{name}");
    }
}

#[test]
fn cutting_the_input_changes_nothing() {
    let mut random = Random::new(8);
    for _ in 0..300 {
        let mut stream = Vec::new();
        for _ in 0..random.below(12) {
            let number = u16::try_from(random.below(4)).expect("small");
            let size_max = if random.flip() { 10 } else { 20_500 };
            let body = random.bytes(size_max);
            stream.extend(match random.below(12) {
                0 => method(number, &channel::Open {}),
                1 => method(number, &channel::Close::default()),
                2 => method(number, &channel::CloseOk {}),
                3 => publish_method(number),
                4 => frame(2, number, &content_header(60, 0, 5)),
                5 => frame(3, number, b"12345"),
                6 => method(number, &exchange::Delete::default()),
                7 => frame(8, 0, &[]),
                _ => publish(1, "k", &body),
            });
        }
        if random.below(4) == 0 && !stream.is_empty() {
            let index = random.below(stream.len());
            stream[index] ^= random.byte();
        }
        let seed = [u8::from(random.below(10) != 0), random.byte(), random.byte()];
        crate::fuzz::server(&[&seed, &stream[..]].concat());
    }
}
