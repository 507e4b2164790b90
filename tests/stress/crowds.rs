//! Crowds, and those who take their time: what each costs, that all of them are let go, and that others do not notice.
//!
//! In CI the crowds are small; `LEVERET_CROWD=10000` makes them as large as the promise, with a release build in `LEVERET_BIN`. Each
//! test prints what it measured.

use std::cell::RefCell;
use std::env;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use harness::Broker;
use harness::wire::play;

use crate::observed::{Observed, eventually};
use crate::session::{self, opened};
use crate::{HELLO, MIB, connect};

/// Of memory, for a connection that has not logged in. The promise is 32 KiB in release; a debug build has larger stacks.
const STRANGER_BYTES_MAX: u64 = if cfg!(debug_assertions) { 64 * 1024 } else { 32 * 1024 };

/// For a connection with a channel and a consumer.
const CUSTOMER_BYTES_MAX: u64 = 64 * 1024;

const HANDSHAKE_TIMEOUT_MS: u64 = 4000;

/// Of the time of one core.
const IDLE_PERCENT_MAX: f64 = 5.0;

fn crowd(usual: usize) -> usize {
    env::var("LEVERET_CROWD").map_or(usual, |text| text.parse().expect("LEVERET_CROWD is a number"))
}

/// How long a client needs from connecting to open-ok and channel.open-ok, the slowest of some.
fn slowest_greeting(broker: &Broker) -> Duration {
    let greet = || {
        let began = Instant::now();
        let mut client = connect(broker);
        client.write_all(&opened()).expect("sent");
        hear_until(&mut client, &session::channel_open_ok());
        began.elapsed()
    };
    (0..20).map(|_| greet()).max().unwrap_or_default()
}

/// Reads up to these bytes, and no further than they reach in one piece.
fn hear_until(client: &mut TcpStream, end: &[u8]) {
    let mut heard = Vec::new();
    let mut bytes = [0; 4096];
    while !heard.ends_with(end) {
        match client.read(&mut bytes) {
            Ok(count) if count > 0 => heard.extend_from_slice(&bytes[..count]),
            other => panic!("{other:?} after {heard:?}"),
        }
    }
}

/// Waits on a socket on which nothing is to come.
fn let_pass(quiet: &mut TcpStream, time: Duration) {
    quiet.set_read_timeout(Some(time)).expect("it takes options");
    let heard = quiet.read(&mut [0]);
    assert!(
        heard.as_ref().is_err_and(|it| matches!(it.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)),
        "{heard:?}"
    );
}

fn await_end(mut stranger: TcpStream) {
    stranger.set_read_timeout(Some(harness::patience())).expect("it takes options");
    let mut bytes = [0; 1024];
    loop {
        match stranger.read(&mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
            Err(error) => panic!("a stranger is still there: {error}"),
        }
    }
}

#[test]
fn strangers_are_cheap_and_let_go() {
    let timeout = format!("handshake_timeout={HANDSHAKE_TIMEOUT_MS}");
    let broker = Broker::start_ours_with(2, &[&timeout]);
    let observed = Observed::new(&broker);
    slowest_greeting(&broker);
    let before = observed.memory();
    let count = crowd(1000);
    let began = Instant::now();
    let mut strangers = Vec::new();
    for index in 0..count {
        let mut stranger = connect(&broker);
        // Half of them have said who they would like to be spoken to as.
        stranger.write_all(if index % 2 == 0 { b"AMQ" } else { b"AMQP\x00\x00\x09\x01" }).expect("sent");
        strangers.push(stranger);
    }
    let slowest = slowest_greeting(&broker);
    let each = observed.memory().saturating_sub(before) / count as u64;
    println!("{count} strangers in {:?}: {each} bytes each, a login beside them in {slowest:?}", began.elapsed());
    strangers.into_iter().for_each(await_end);
    println!("all let go after {:?}", began.elapsed());
    assert!(each < STRANGER_BYTES_MAX, "{each} bytes each");
    eventually("all sockets are gone", || observed.descriptors() <= observed.descriptors_at_first());
    play(&broker, HELLO);
}

#[test]
fn who_says_a_byte_at_a_time_is_let_go_too() {
    let timeout = format!("handshake_timeout={HANDSHAKE_TIMEOUT_MS}");
    let broker = Broker::start_ours_with(2, &[&timeout]);
    let mut quiet = connect(&broker);
    let mut strangers: Vec<TcpStream> = (0..crowd(500)).map(|_| connect(&broker)).collect();
    let began = Instant::now();
    let words = opened();
    let mut slowest = Duration::ZERO;
    for byte in words.chunks(1).take(8) {
        // Some have been let go by the last rounds, if this machine is slow.
        strangers.iter_mut().for_each(|stranger| _ = stranger.write_all(byte));
        let_pass_unless_ended(&mut quiet, Duration::from_millis(HANDSHAKE_TIMEOUT_MS / 10));
        slowest = slowest.max(slowest_greeting(&broker));
    }
    let count = strangers.len();
    strangers.into_iter().for_each(await_end);
    let gone = began.elapsed();
    println!("{count} slow ones let go after {gone:?}; a login beside them in {slowest:?}");
    assert!(gone < Duration::from_millis(HANDSHAKE_TIMEOUT_MS) + harness::patience() / 2);
    play(&broker, HELLO);
}

/// As [`let_pass`], on a socket that is a stranger's itself.
fn let_pass_unless_ended(quiet: &mut TcpStream, time: Duration) {
    quiet.set_read_timeout(Some(time)).expect("it takes options");
    let _ = quiet.read(&mut [0]);
}

#[test]
fn customers_are_cheap_and_come_back() {
    let mut broker = Broker::start_ours(2);
    let count = crowd(1000);
    {
        let observed = Observed::new(&broker);
        slowest_greeting(&broker);
        let before = observed.memory();
        let (mut customers, opening) = enter(&broker, count);
        let each = observed.memory().saturating_sub(before) / count as u64;
        let used = observed.processor_time();
        let began = Instant::now();
        let_pass(&mut customers[0], Duration::from_secs(2));
        let busy = (observed.processor_time() - used).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
        println!("{count} with a channel and a consumer in {opening:?}: {each} bytes each, {busy:.1} % of a core");
        assert!(each < CUSTOMER_BYTES_MAX, "{each} bytes each");
        assert!(busy < IDLE_PERCENT_MAX, "{busy} %");
        broker.terminate();
        assert!(broker.await_end().success());
    }
    let broker = broker.restarted(2);
    let (_customers, opening) = enter(&broker, count);
    println!("all back after {opening:?}");
    play(&broker, HELLO);
}

/// So many clients, each with a channel, a queue of its own and a consumer of it, all heard to be there.
fn enter(broker: &Broker, count: usize) -> (Vec<TcpStream>, Duration) {
    let began = Instant::now();
    let words = [opened(), session::declare_own(), session::consume("")].concat();
    let come = |_| {
        let mut customer = connect(broker);
        customer.write_all(&words).expect("sent");
        customer
    };
    let mut customers: Vec<TcpStream> = (0..count).map(come).collect();
    for customer in &mut customers {
        hear_consume_ok(customer);
    }
    (customers, began.elapsed())
}

/// Its tag is the broker's, so it is told by its beginning.
fn hear_consume_ok(client: &mut TcpStream) {
    let mut heard: Vec<u8> = Vec::new();
    let mut bytes = [0; 4096];
    while !heard.windows(4).any(|it| it == b"\x00\x3c\x00\x15") || heard.last() != Some(&0xce) {
        match client.read(&mut bytes) {
            Ok(count) if count > 0 => heard.extend_from_slice(&bytes[..count]),
            other => panic!("{other:?} after {heard:?}"),
        }
    }
}

#[test]
fn who_consumes_and_does_not_read_holds_up_nobody() {
    let broker = Broker::start_ours(2);
    let observed = Observed::new(&broker);
    let mut sleeper = connect(&broker);
    sleeper.write_all(&[opened(), session::declare("slow"), session::consume("slow")].concat()).expect("sent");
    hear_consume_ok(&mut sleeper);
    let mut publisher = connect(&broker);
    publisher.write_all(&opened()).expect("sent");
    let batch = session::publish("slow", &[b'x'; 1000]).repeat(1000);
    let before = observed.memory();
    let rounds = 30;
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        publisher.write_all(&batch).expect("the queue takes it all");
        let began = Instant::now();
        play(&broker, HELLO);
        slowest = slowest.max(began.elapsed());
    }
    publisher.write_all(&session::close()).expect("sent");
    hear_until(&mut publisher, &session::close_ok());
    let grown = observed.memory().saturating_sub(before);
    println!("{rounds} MB for who does not read: {grown} bytes more, others wait {slowest:?} at most");
    // The messages are in the queue, once; on top of that the connection has its window.
    assert!(grown < 2 * rounds * 1000 * 1000 + 8 * MIB, "{grown} bytes");
    // It wakes up and gets everything.
    let mut bytes = vec![0; 256 * 1024];
    let mut left = rounds as usize * 1000 * 1000;
    while left > 0 {
        let count = sleeper.read(&mut bytes).expect("it is served");
        assert!(count > 0, "{left} bytes are missing");
        left = left.saturating_sub(count);
    }
}

/// Publishers, queues and their consumers on two shards, so that every message crosses from one to the other: what a shard cannot hand
/// on at once was piled up by the other one, hundreds of megabytes in seconds.
#[test]
fn who_is_faster_than_another_shard_is_slowed_by_its_own_socket() {
    const MEGABYTES: usize = 300;
    const PAIRS: usize = 3; // an odd number: who comes third after another is served by the other shard
    let broker = Broker::start_ours(2);
    let observed = Observed::new(&broker);
    let queue = |number: usize| format!("fast{number}");
    let consumers: Vec<TcpStream> = (0..PAIRS)
        .map(|number| {
            let mut consumer = connect(&broker);
            let queue = queue(number);
            let consume = session::consume_no_ack(&queue);
            consumer.write_all(&[opened(), session::declare(&queue), consume].concat()).expect("sent");
            hear_consume_ok(&mut consumer);
            consumer
        })
        .collect();
    let publishers: Vec<TcpStream> = (0..PAIRS).map(|_| connect(&broker)).collect();
    let before = observed.memory();
    let mut most = before;
    thread::scope(|scope| {
        for (number, mut publisher) in publishers.into_iter().enumerate() {
            let batch = session::publish(&queue(number), &[b'x'; 1000]).repeat(1000);
            scope.spawn(move || {
                publisher.write_all(&opened()).expect("sent");
                (0..MEGABYTES).for_each(|_| publisher.write_all(&batch).expect("the queue takes it all"));
                publisher.write_all(&session::close()).expect("sent");
                hear_until(&mut publisher, &session::close_ok());
            });
        }
        let reading: Vec<_> =
            consumers.into_iter().map(|consumer| scope.spawn(|| read_megabytes(consumer, MEGABYTES))).collect();
        while !reading.iter().all(|it| it.is_finished()) {
            most = most.max(observed.memory());
            thread::yield_now();
        }
    });
    let grown = most - before;
    println!("{PAIRS} times {MEGABYTES} MB from shard to shard: {grown} bytes more");
    assert!(grown < 64 * MIB, "{grown} bytes");
}

fn read_megabytes(mut consumer: TcpStream, megabytes: usize) {
    let mut bytes = vec![0; 256 * 1024];
    let mut left = megabytes * 1000 * 1000;
    while left > 0 {
        let count = consumer.read(&mut bytes).expect("it is served");
        assert!(count > 0, "{left} bytes are missing");
        left = left.saturating_sub(count);
    }
}

#[test]
fn without_descriptors_it_waits_and_recovers() {
    let broker = Broker::start_ours_with_descriptors(2, 200);
    let observed = Observed::new(&broker);
    let mut first = connect(&broker);
    first.write_all(&[opened(), session::declare_durable("held"), session::confirm_select()].concat()).expect("sent");
    hear_until(&mut first, &session::confirm_select_ok());
    // Strangers alone cannot do it: they are let go.
    let strangers: Vec<TcpStream> = (0..400).map(|_| connect(&broker)).collect();
    assert!(observed.descriptors() < 150, "{}", observed.descriptors());
    drop(strangers);
    let crowd = RefCell::new(Vec::new());
    eventually("no descriptor is left", || {
        let mut customer = connect(&broker);
        let _ = customer.write_all(&opened()); // the broker may have too many of them at the moment
        crowd.borrow_mut().push(customer);
        observed.descriptors() >= 180
    });
    let used = observed.processor_time();
    let began = Instant::now();
    let_pass(&mut first, Duration::from_secs(2));
    let busy = (observed.processor_time() - used).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0;
    println!("{} descriptors are taken: {busy:.1} % of a core", observed.descriptors());
    assert!(busy < IDLE_PERCENT_MAX, "{busy} %");
    // The disk has its own already.
    first.set_read_timeout(Some(harness::patience())).expect("it takes options");
    first.write_all(&session::publish_persistent("held", b"m")).expect("sent");
    hear_until(&mut first, &session::confirmed(1));
    drop(crowd);
    play(&broker, HELLO);
}
