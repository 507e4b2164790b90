//! The broker is killed (SIGKILL) again and again under confirmed load, and started again on what it left: nothing that was
//! confirmed and not acknowledged may be missing, nothing may be there that nobody published, and every queue keeps its order.
//!
//! `LEVERET_KILLS` sets how often (default [`KILLS`]), `LEVERET_SEED` the moments.

mod book;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use book::Book;
use harness::{Broker, SHARD_COUNTS};
use leveret_client::{
    BasicProperties, Connection, ConsumeOptions, Error, ExchangeOptions, Options, Outcome, PERSISTENT, QueueOptions,
    Table,
};
use leveret_runtime as runtime;
use runtime::sync::Event;

/// Kills of one run of the tests, over all shard counts.
const KILLS: u64 = 50;

/// Confirms of a round, at most.
const CONFIRMS_MAX: u64 = 400;

/// Unconfirmed publishes of a round at a time.
const WINDOW: usize = 200;

/// Queues bound to the fan-out, and one beside it that nobody consumes from.
const QUEUES: [&str; 4] = ["crash.0", "crash.1", "crash.2", "crash.kept"];

const FANOUT: &str = "crash.fanout";

/// How long a broker may take to be ready after a kill. A bound against hanging, not a figure.
const RECOVERY_MAX: Duration = Duration::from_secs(30);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_confirmed_is_lost_by_kills() {
    let (kills, seed) = (setting("LEVERET_KILLS", KILLS), setting("LEVERET_SEED", 1));
    let rounds = kills.div_ceil(SHARD_COUNTS.len() as u64);
    for shards in SHARD_COUNTS {
        let report = runtime::run(move || run(shards, rounds, seed)).expect("somebody can always run");
        println!("TEST: {rounds} kills with {shards} shards, {report} (seed {seed})");
    }
}

/// One broker's life of many deaths; answers the report's middle.
fn run(shards: usize, rounds: u64, seed: u64) -> String {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ shards as u64;
    let book = Rc::new(RefCell::new(Book::default()));
    let mut broker = Broker::start_ours(shards);
    let mut worst = Duration::ZERO;
    declare(&broker);
    for round in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let confirms = 1 + (random >> 33) % CONFIRMS_MAX;
        round_of_load(&mut broker, &book, confirms);
        let start = Instant::now();
        // Now and then with another number of threads: where a queue lives is no part of what is stored.
        broker = broker.restarted(if round % 5 == 4 { shards % 5 + 1 } else { shards });
        worst = worst.max(start.elapsed());
        assert!(worst < RECOVERY_MAX, "the broker was not ready for {worst:?}");
    }
    let _log = broker.log_on_failure();
    drain(&broker, &book);
    let book = book.borrow();
    book.judge();
    format!(
        "{} confirmed, 0 lost, {} doubled, worst recovery {:.2} s",
        book.confirmed(),
        book.doubled(),
        worst.as_secs_f64()
    )
}

fn connect(broker: &Broker) -> Result<Connection, Error> {
    let address = broker.address();
    Connection::open(&Options { host: address.ip().to_string(), port: address.port(), ..Options::default() })
}

fn declare(broker: &Broker) {
    let connection = connect(broker).expect("a connection");
    let channel = connection.open_channel().expect("a channel");
    let durable = ExchangeOptions { durable: true, ..ExchangeOptions::default() };
    channel.exchange_declare(FANOUT, "fanout", &durable).expect("an exchange");
    for queue in QUEUES {
        let durable = QueueOptions { durable: true, ..QueueOptions::default() };
        channel.queue_declare(queue, &durable).expect("a queue");
        channel.queue_bind(queue, FANOUT, "", &Table::new()).expect("a binding");
    }
    connection.close().expect("open until now");
}

/// Publishes and consumes until so many are confirmed, and kills the broker in the middle of it.
fn round_of_load(broker: &mut Broker, book: &Rc<RefCell<Book>>, confirms: u64) {
    let enough = Rc::new(Event::new());
    let connection = Rc::new(connect(broker).expect("the broker is ready"));
    let publisher = {
        let (connection, book, enough) = (connection.clone(), book.clone(), enough.clone());
        runtime::spawn(move || drop(publish_until_it_fails(&connection, &book, &enough, confirms)))
    };
    let consumers: Vec<_> = QUEUES[..2]
        .iter()
        .map(|queue| {
            let (connection, book) = (connection.clone(), book.clone());
            runtime::spawn(move || drop(consume_until_it_fails(&connection, &book, queue)))
        })
        .collect();
    enough.wait();
    broker.kill();
    publisher.join().expect("the publisher ends");
    consumers.into_iter().for_each(|consumer| consumer.join().expect("the consumer ends"));
}

fn publish_until_it_fails(
    connection: &Connection,
    book: &Rc<RefCell<Book>>,
    enough: &Rc<Event>,
    confirms: u64,
) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    channel.confirm_select()?;
    let first = book.borrow().next();
    let (noted, reached, mut count) = (book.clone(), enough.clone(), 0);
    channel.on_confirm(move |number, outcome| {
        assert_eq!(outcome, Outcome::Acked, "nothing refuses a message here");
        noted.borrow_mut().confirm(first + number - 1);
        count += 1;
        if count == confirms {
            reached.set();
        }
    });
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    loop {
        channel.wait_for_confirms_below(WINDOW)?;
        let (_, body) = book.borrow_mut().publish();
        channel.publish(FANOUT, "", &properties, &body)?;
    }
}

/// Acknowledges two of three.
fn consume_until_it_fails(connection: &Connection, book: &Rc<RefCell<Book>>, queue: &'static str) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    channel.qos(50, false)?;
    let mut consumer = channel.consume(queue, &ConsumeOptions::default())?;
    let mut held = Vec::new();
    while let Some(delivery) = consumer.next().transpose()? {
        let number = book.borrow_mut().deliver(queue, delivery.message().body());
        if number.is_multiple_of(3) && held.len() < 40 {
            held.push(delivery); // unsettled when the broker dies
            continue;
        }
        delivery.ack()?;
        book.borrow_mut().acknowledge(queue, number);
    }
    Ok(())
}

/// Takes everything out, in order.
fn drain(broker: &Broker, book: &Rc<RefCell<Book>>) {
    let connection = connect(broker).expect("the broker is ready");
    let channel = connection.open_channel().expect("a channel");
    for queue in QUEUES {
        let passive = QueueOptions { passive: true, ..QueueOptions::default() };
        let count = channel.queue_declare(queue, &passive).expect("the queue is there").message_count;
        let no_ack = ConsumeOptions { no_ack: true, ..ConsumeOptions::default() };
        let mut consumer = channel.consume(queue, &no_ack).expect("a consumer");
        for _ in 0..count {
            let delivery = consumer.next().expect("as many as were counted").expect("a delivery");
            book.borrow_mut().drain(queue, delivery.message().body());
        }
        consumer.cancel().expect("the consumer is there");
        assert!(channel.get(queue, true).expect("the queue is there").is_none(), "{queue} had as many as it said");
    }
    connection.close().expect("open until now");
}
