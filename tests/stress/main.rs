//! Clients that mean harm, against the real process: it stays alive, serves others, and does not grow.
//!
//! Nothing here uses a codec: the bytes are written by hand, so that they can be wrong. Each test starts a broker of its own and
//! looks at it from outside (memory, descriptors) as well as through another client.

mod crowds;
mod observed;
mod session;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use harness::wire::play;
use harness::{Broker, SHARD_COUNTS};
use observed::{Observed, eventually};
use session::{Random, mutated, opened};

const MIB: u64 = 1024 * 1024;

/// Mutated sessions, a shard count.
const SESSIONS: u64 = 400;

/// Connections that are opened and dropped.
const CHURN: usize = 1500;

const HELLO: &str = "
    z1> queue.declare queue=$hello exclusive
    z1> basic.publish routing-key=$hello body=hello
    z1> basic.get queue=$hello no-ack
    z1< queue.declare-ok
    z1< basic.get-ok body=hello
";

fn connect(broker: &Broker) -> TcpStream {
    TcpStream::connect(broker.address()).expect("the broker accepts connections")
}

#[test]
fn mutated_sessions_harm_nobody() {
    for shards in SHARD_COUNTS {
        let broker = Broker::start_ours(shards);
        let _log = broker.log_on_failure();
        let observed = Observed::new(&broker);
        let mut random = Random::new(shards as u64);
        let mut open = Vec::new();
        for _ in 0..SESSIONS {
            let bytes = mutated(&mut random);
            let cut = random.below(bytes.len());
            let mut stream = connect(&broker);
            // The broker may have hung up by now, which is all right.
            let _ = stream.write_all(&bytes[..cut]).and_then(|()| stream.write_all(&bytes[cut..]));
            open.push(stream);
            if open.len() > 30 {
                open.swap_remove(random.below(open.len()));
            }
        }
        drop(open);
        (0..2 * shards).for_each(|_| play(&broker, HELLO));
        let digests = 2 * shards as u64 * 20 * MIB; // two passwords a shard are checked at a time, with 19 MiB each
        assert!(observed.memory() < 96 * MIB + digests, "{} MiB with {shards} shards", observed.memory() / MIB);
        assert!(!broker.log_tail().contains("panicked"));
    }
}

/// A few bytes of requests asked for as many gigabytes as the client liked, all of which were written into memory.
#[test]
fn who_asks_and_does_not_read_gets_little() {
    let broker = Broker::start_ours(2);
    let observed = Observed::new(&broker);
    let mut greedy = connect(&broker);
    greedy.write_all(&opened()).expect("sent");
    greedy.write_all(&session::declare("big")).expect("sent");
    greedy.write_all(&session::publish("big", &vec![b'x'; 100_000])).expect("sent");
    greedy.set_write_timeout(Some(Duration::from_secs(1))).expect("a fresh socket takes options");
    let request = [session::get("big"), session::requeue_all()].concat().repeat(1000);
    let sent = (0..1000).try_for_each(|_| greedy.write_all(&request));
    let is_blocked = sent.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    assert!(is_blocked, "the broker stops reading who does not read");
    assert!(observed.memory() < 64 * MIB, "{} MiB", observed.memory() / MIB);
    play(&broker, HELLO);
}

#[test]
fn made_up_reply_addresses_harm_nobody() {
    let broker = Broker::start_ours(2);
    let mut client = connect(&broker);
    client.write_all(&opened()).expect("sent");
    for address in ["ffff.ff.s", "2.1.s", "1.ffffffffffffffff.s", "0.1.s"] {
        client.write_all(&session::publish(&format!("amq.rabbitmq.reply-to.{address}"), b"")).expect("sent");
    }
    client.write_all(&session::close()).expect("sent");
    // After close-ok the socket is the client's to close, so there is no end to read to.
    let mut answers = Vec::new();
    while !answers.ends_with(&session::close_ok()) {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("the broker answers the close");
        answers.extend(byte);
    }
}

/// The rest of the commit was forgotten, and with it the messages that it settled.
#[test]
fn a_commit_to_an_exchange_that_is_gone_settles_all_the_same() {
    for shards in SHARD_COUNTS {
        play(
            Broker::shared(shards),
            "
            z1> exchange.declare exchange=$x type=fanout
            z1> queue.declare queue=$q
            z1> basic.publish routing-key=$q body=m
            z1< exchange.declare-ok
            z1< queue.declare-ok
            a1> tx.select
            a1> basic.get queue=$q
            a1> basic.nack delivery-tag=1 requeue
            a1> basic.publish exchange=$x body=n
            a1> basic.qos
            a1< tx.select-ok
            a1< basic.get-ok body=m
            a1< basic.qos-ok
            z1> exchange.delete exchange=$x
            z1< exchange.delete-ok
            a1> tx.commit
            a1! 404 tx.commit no exchange '$x' in vhost '/'
            z1~ queue.declare queue=$q passive => queue.declare-ok message-count=1
            z1> basic.get queue=$q no-ack
            z1< basic.get-ok redelivered body=m
            ",
        );
    }
}

#[test]
fn coming_and_going_leaves_nothing_behind() {
    let broker = Broker::start_ours(2);
    let observed = Observed::new(&broker);
    let once = || {
        let mut client = connect(&broker);
        client.write_all(&opened()).expect("sent");
        client.read_exact(&mut [0; 8]).expect("connection.start");
    };
    (0..CHURN / 3).for_each(|_| once());
    let before = observed.memory();
    (0..CHURN).for_each(|_| once());
    eventually("all sockets are gone", || observed.descriptors() == observed.descriptors_at_first());
    assert!(observed.memory() < before + 8 * MIB, "{before} grew to {}", observed.memory());
}
