//! The program itself: it stops when it is told to, and goes on whatever is said to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use harness::wire::{Transcript, play};
use harness::{Broker, SHARD_COUNTS, patience};

/// Connections that talk nonsense, a shard count.
const NONSENSE_CONNECTIONS: u64 = 150;
/// The most bytes that one of them says.
const NONSENSE_BYTES_MAX: u64 = 3000;

const HELLO: &str = "
    z1> queue.declare queue=$hello exclusive
    z1> basic.publish routing-key=$hello body=hello
    z1> basic.get queue=$hello no-ack
    z1< queue.declare-ok
    z1< basic.get-ok body=hello
";

#[test]
fn everybody_is_told_when_it_stops() {
    for shards in SHARD_COUNTS {
        let mut broker = Broker::start_ours(shards);
        let mut transcript = Transcript::new(&broker);
        let all: String = ('a'..='h').map(|name| format!("{name}1> basic.qos\n {name}1< basic.qos-ok\n")).collect();
        transcript.play(&all);
        broker.terminate();
        let told = |name| format!("{name}! 320 - broker forced connection closure with reason 'shutdown'\n");
        transcript.play(&('a'..='h').map(told).collect::<String>());
        assert!(broker.await_end().success(), "with {shards} shards");
    }
}

#[test]
fn it_stops_though_a_client_does_not_answer() {
    let mut broker = Broker::start_ours(2);
    let mut transcript = Transcript::new(&broker);
    transcript.play("a1> basic.qos\n a1< basic.qos-ok");
    broker.terminate();
    transcript.play("a0< connection.close reply-code=320");
    assert!(broker.await_end().success());
}

#[test]
fn its_port_is_free_when_it_was_killed() {
    let mut broker = Broker::start_ours(1);
    play(&broker, HELLO);
    broker.kill();
    assert!(TcpStream::connect(broker.address()).is_err());
}

#[test]
fn nonsense_ends_only_the_connection_that_says_it() {
    for shards in SHARD_COUNTS {
        let broker = Broker::start_ours(shards);
        let _log = broker.log_on_failure();
        for seed in 1..=NONSENSE_CONNECTIONS {
            say_nonsense(&broker, seed);
        }
        // Every shard still serves.
        (0..2 * shards).for_each(|_| play(&broker, HELLO));
    }
}

/// Says random bytes, some of them behind a good beginning, and listens until the broker has had enough.
fn say_nonsense(broker: &Broker, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut stream = TcpStream::connect(broker.address()).expect("the broker accepts connections");
    let beginning = &beginning()[..random.below(beginning().len() as u64 + 1) as usize];
    let nonsense: Vec<u8> = (0..random.below(NONSENSE_BYTES_MAX)).map(|_| random.byte()).collect();
    // The broker may have hung up by now, which is all right.
    let _ = stream
        .write_all(beginning)
        .and_then(|()| stream.write_all(&nonsense))
        .and_then(|()| stream.shutdown(Shutdown::Write));
    // Reading must come to an end: at worst when the broker is tired of waiting for more of the handshake.
    stream.set_read_timeout(Some(patience())).expect("a fresh socket takes options");
    let read = stream.read_to_end(&mut Vec::new());
    let waits = read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(!waits, "nonsense {seed}: the broker does not hang up");
}

/// What a well-behaved client says up to a declared queue, in one go.
fn beginning() -> Vec<u8> {
    let frames: [(u16, &[u8]); 5] = [
        (0, b"\x00\x0a\x00\x0b\x00\x00\x00\x00\x05PLAIN\x00\x00\x00\x0c\x00guest\x00guest\x05en_US"),
        (0, b"\x00\x0a\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x00"),
        (0, b"\x00\x0a\x00\x28\x01/\x00\x00"),
        (1, b"\x00\x14\x00\x0a\x00"),
        (1, b"\x00\x32\x00\x0a\x00\x00\x00\x04\x00\x00\x00\x00"),
    ];
    let frame = |(channel, payload): (u16, &[u8])| {
        let size = u32::try_from(payload.len()).expect("the frames above are short");
        [&[1][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[0xCE]].concat()
    };
    [b"AMQP\x00\x00\x09\x01".to_vec(), frames.map(frame).concat()].concat()
}

/// xorshift64: the same nonsense every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Small values, which look like lengths and types, as often as any.
    fn byte(&mut self) -> u8 {
        let limit = if self.below(2) == 0 { 12 } else { 256 };
        u8::try_from(self.below(limit)).expect("below 256")
    }
}
