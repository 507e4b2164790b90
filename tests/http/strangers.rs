//! Crowds of connections on which nobody logs in: they hold a bounded number of descriptors, on every port, and whoever has logged in or
//! is about to does not notice.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use harness::wire::Transcript;
use harness::{Broker, patience};

use crate::client::{GUEST, parse, request};
use crate::secure;

/// Connections of a flood, all from one address.
const FLOOD: usize = 300;

/// How many of them may stay.
const PLACES: usize = 20;

/// Two shards share the places, each rounds up; the requests that look have sockets too.
const DESCRIPTORS_MORE: u64 = PLACES as u64 + 6;

const SETTINGS: [&str; 2] = ["unauthenticated_connection_max_per_address=20", "handshake_timeout=60000"];

fn flood(to: SocketAddr, says: &[u8]) -> Vec<TcpStream> {
    let come = |_| {
        let mut stranger = TcpStream::connect(to).expect("the kernel accepts");
        let _ = stranger.write_all(says); // it may be closed already
        stranger
    };
    (0..FLOOD).map(come).collect()
}

/// Asks over HTTP, again while it is turned away.
fn ask(broker: &Broker, path: &str) -> String {
    let limit = Instant::now() + patience();
    loop {
        let answer = request(broker.http(), GUEST, &format!("GET {path}"));
        if answer.status == 200 {
            return answer.body;
        }
        assert!(Instant::now() < limit, "never: {path}: {} {}", answer.status, answer.body);
        std::thread::yield_now();
    }
}

fn descriptors(broker: &Broker) -> u64 {
    let nodes = ask(broker, "/api/nodes?columns=fd_used");
    let digits: String = nodes.chars().filter(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

/// What the metric says of a protocol.
fn metric(broker: &Broker, name: &str, protocol: &str) -> u64 {
    let line = format!("{name}{{protocol=\"{protocol}\"}} ");
    let text = request(broker.prometheus(), "", "GET /metrics").body;
    let value = text.lines().find_map(|it| it.strip_prefix(line.as_str())).expect("the metric is there");
    value.parse().expect("a number")
}

fn refused(broker: &Broker, protocol: &str) -> u64 {
    metric(broker, "leveret_unauthenticated_connections_refused_total", protocol)
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let limit = Instant::now() + patience();
    while !is_so() {
        assert!(Instant::now() < limit, "never: {what}");
        std::thread::yield_now();
    }
}

/// Whether somebody who says all of it at once gets to connection.open-ok.
fn gets_in(to: SocketAddr) -> bool {
    let frames: [&[u8]; 3] = [
        b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x0c\x00guest\x00guest\x05en_US",
        b"\x00\x0a\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x00",
        b"\x00\x0a\x00\x28\x01/\x00\x00",
    ];
    let frame = |payload: &[u8]| {
        let size = u32::try_from(payload.len()).expect("short");
        [&[1, 0, 0][..], &size.to_be_bytes(), payload, &[0xCE]].concat()
    };
    let mut stream = TcpStream::connect(to).expect("the kernel accepts");
    stream.set_read_timeout(Some(patience())).expect("a socket");
    let words = [b"AMQP\x00\x00\x09\x01".to_vec(), frames.map(frame).concat()].concat();
    let mut heard = Vec::new();
    let mut bytes = [0; 4096];
    let _ = stream.write_all(&words);
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        heard.extend_from_slice(&bytes[..count]);
        if heard.windows(4).any(|it| it == b"\x00\x0a\x00\x29") {
            return true;
        }
    }
    false
}

const WORK: &str = "
    a1> basic.publish routing-key=$q body=m
    a1> basic.get queue=$q no-ack
    a1< basic.get-ok body=m
";

#[test]
fn silent_amqp_connections_take_nothing_from_others() {
    for says in [&b""[..], b"AMQ", b"AMQP\x00\x00\x09\x01"] {
        let broker = Broker::start_ours_with(2, &SETTINGS);
        let _log = broker.log_on_failure();
        let mut worker = Transcript::new(&broker);
        worker.play("a1> queue.declare queue=$q exclusive\n a1< queue.declare-ok");
        let before = descriptors(&broker);
        let _strangers = flood(broker.address(), says);
        worker.play(WORK);
        eventually("most are turned away", || refused(&broker, "amqp091") >= (FLOOD - PLACES - 2) as u64);
        assert!(descriptors(&broker) <= before + DESCRIPTORS_MORE, "{before} grew to {}", descriptors(&broker));
        assert!(metric(&broker, "leveret_unauthenticated_connections", "amqp091") <= PLACES as u64);
        eventually("who logs in at once gets in", || gets_in(broker.address()));
        worker.play(WORK);
        let line = broker.logged("AMQP connection 127.0.0.1:").expect("the log says why");
        assert!(line.contains("too many have not logged in (unauthenticated_connection_max_per_address)"), "{line}");
        let lines = broker.log_lines().iter().filter(|line| line.contains("have not logged in")).count();
        assert!(lines < 10, "a flood does not fill the log: {lines} lines");
    }
}

#[test]
fn the_limit_for_all_holds_too() {
    let broker = Broker::start_ours_with(1, &["unauthenticated_connection_max=5", "handshake_timeout=60000"]);
    let _strangers = flood(broker.address(), b"");
    eventually("most are turned away", || refused(&broker, "amqp091") == (FLOOD - 5) as u64);
    assert!(broker.logged("(unauthenticated_connection_max)").is_ok());
    eventually("who logs in at once gets in", || gets_in(broker.address()));
}

#[test]
fn silent_tls_connections_take_nothing_from_others() {
    let authority = secure::Authority::create();
    let broker = secure::start(&authority, &SETTINGS);
    let to = secure::secure_address(&broker);
    let mut worker = Transcript::new(&broker);
    worker.play("a1> queue.declare queue=$q exclusive\n a1< queue.declare-ok");
    let before = descriptors(&broker);
    // Nothing, and the beginning of a record.
    for says in [&b""[..], b"\x16\x03\x01\x02"] {
        let refused_before = refused(&broker, "amqp091");
        let strangers = flood(to, says);
        worker.play(WORK);
        let most = refused_before + (FLOOD - PLACES - 2) as u64;
        eventually("most are turned away", || refused(&broker, "amqp091") >= most);
        assert!(descriptors(&broker) <= before + DESCRIPTORS_MORE, "{before} grew to {}", descriptors(&broker));
        eventually("who shakes hands at once is greeted", || authority.is_greeted(to));
        drop(strangers);
        eventually("all are gone", || metric(&broker, "leveret_unauthenticated_connections", "amqp091") == 0);
    }
}

#[test]
fn silent_http_connections_take_nothing_from_others() {
    for says in [
        &b""[..],
        b"GET /api/overview HTTP/1.1\r\nx: ",
        b"PUT /api/vhosts/a HTTP/1.1\r\nhost: x\r\ncontent-length: 9999\r\n\r\n",
    ] {
        let broker = Broker::start_ours_with(2, &SETTINGS);
        let _log = broker.log_on_failure();
        let mut admin = TcpStream::connect(broker.http()).expect("the broker listens");
        let whoami = format!("GET /api/whoami HTTP/1.1\r\nhost: x\r\nauthorization: {GUEST}\r\n\r\n");
        let mut ask_on = || {
            admin.write_all(whoami.as_bytes()).expect("it is still there");
            let mut bytes = [0; 4096];
            let count = admin.read(&mut bytes).expect("it is still there");
            assert_eq!(parse(&String::from_utf8_lossy(&bytes[..count])).status, 200);
        };
        ask_on();
        let before = descriptors(&broker);
        let _strangers = flood(broker.http(), says);
        ask_on();
        let used = descriptors(&broker);
        assert!(used <= before + DESCRIPTORS_MORE, "{before} grew to {used}");
        eventually("most are turned away", || {
            let text = ask_metrics(&broker);
            text.is_some_and(|refused| refused >= (FLOOD - PLACES - 2) as u64)
        });
        ask_on();
        assert!(broker.logged("HTTP connection 127.0.0.1:").is_ok());
    }
}

/// The metrics' port counts as HTTP as well: a scrape may be turned away for a second.
fn ask_metrics(broker: &Broker) -> Option<u64> {
    let answer = request(broker.prometheus(), "", "GET /metrics");
    let line = "leveret_unauthenticated_connections_refused_total{protocol=\"http\"} ";
    answer.body.lines().find_map(|it| it.strip_prefix(line)).and_then(|value| value.parse().ok())
}
