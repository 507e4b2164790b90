//! The whole broker on the simulated machine: clients publish with confirms, the machine loses power in the middle of it, and
//! what was confirmed must be there when it comes back.
//!
//! `LEVERET_SIM_SEEDS` sets how many seeds are run (default [`SEEDS`]).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_client::{BasicProperties, Channel, Connection, Error, Options, Outcome, PERSISTENT, QueueOptions};
use leveret_runtime as runtime;
use runtime::Runtime;
use runtime::sim::{self, Host};

use crate::boot;
use crate::config::Config;

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 12;

/// Power cuts of a seed.
const CUTS: u64 = 3;

/// Messages of a life at most.
const MESSAGES_MAX: u64 = 60;

const QUEUE: &str = "kept";

/// What was promised, and what was taken out.
#[derive(Default)]
struct Book {
    published: u64,
    confirmed: BTreeSet<u64>,
    /// Acknowledged: whether the broker has heard of it is not known.
    acknowledged: BTreeSet<u64>,
}

#[test]
fn nothing_confirmed_is_lost_by_power_cuts() {
    let seeds = std::env::var("LEVERET_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SEEDS);
    let checked = sim::check(0..seeds, |seed| {
        let shards = 1 + (seed % 3) as usize;
        let machine = Runtime::builder().shards(shards).simulated(seed).build().expect("a simulated machine");
        machine.run(move || live_and_die(shards)).expect("somebody can always run");
    });
    println!("TEST: {} power cuts, {checked}", checked.seeds * CUTS);
}

fn live_and_die(shards: usize) {
    let (server, client) = (sim::host("server"), sim::host("client"));
    let book = Rc::new(RefCell::new(Book::default()));
    for _ in 0..CUTS {
        start(server, shards);
        let publishing = {
            let book = book.clone();
            client.spawn(move || drop(publish(&book)))
        };
        runtime::sleep(Duration::from_millis(1000 + runtime::random::u64() % 4000));
        server.crash();
        server.restart();
        publishing.join().expect("the client finds out");
    }
    start(server, shards);
    let judging = client.spawn(move || judge(&book.borrow()));
    judging.join().expect("nothing is lost");
}

/// Starts the broker; it ends with its machine.
fn start(server: Host, shards: usize) {
    let serve = move || {
        let config = Config {
            shards,
            data_dir: "/data".into(),
            amqp: vec!["0.0.0.0:5672".parse().expect("an address")],
            loopback_users: BTreeSet::new(),
            ..Config::default()
        };
        boot::run(&Arc::new(config)).expect("the broker starts on what a power cut left");
    };
    drop(server.spawn(serve));
}

/// A connection to the broker, as soon as it listens.
fn connect() -> Connection {
    let options = Options { host: "server".into(), ..Options::default() };
    loop {
        match Connection::open(&options) {
            Ok(connection) => return connection,
            Err(_) => runtime::sleep(Duration::from_millis(200)),
        }
    }
}

fn declare(channel: &Channel) -> Result<(), Error> {
    channel.queue_declare(QUEUE, &QueueOptions { durable: true, ..QueueOptions::default() }).map(drop)
}

/// Publishes, and takes some out again, until that is enough or the broker is gone.
fn publish(book: &Rc<RefCell<Book>>) -> Result<(), Error> {
    let connection = connect();
    let channel = connection.open_channel()?;
    declare(&channel)?;
    channel.confirm_select()?;
    let (first, noted) = (book.borrow().published, book.clone());
    channel.on_confirm(move |number, outcome| {
        assert_eq!(outcome, Outcome::Acked, "nothing refuses a message here");
        noted.borrow_mut().confirmed.insert(first + number - 1);
    });
    let persistent = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for index in 0..MESSAGES_MAX {
        let number = book.borrow().published;
        book.borrow_mut().published += 1;
        channel.publish("", QUEUE, &persistent, &number.to_le_bytes())?;
        if index % 7 == 6
            && let Some(got) = channel.get(QUEUE, false)?
        {
            book.borrow_mut().acknowledged.insert(number_of(got.message.body()));
            channel.ack(got.delivery_tag, false)?;
        }
        runtime::sleep(Duration::from_millis(runtime::random::u64() % 40));
    }
    channel.wait_for_confirms().map(drop)
}

fn number_of(body: &[u8]) -> u64 {
    u64::from_le_bytes(body.try_into().expect("a body is a number"))
}

/// Takes everything out, and holds it against the book.
fn judge(book: &Book) {
    let connection = connect();
    let channel = connection.open_channel().expect("a channel");
    declare(&channel).expect("the queue");
    let mut found = Vec::new();
    while let Some(got) = channel.get(QUEUE, true).expect("the queue is there") {
        found.push(number_of(got.message.body()));
    }
    assert!(found.is_sorted_by(|a, b| a < b), "each once, in order: {found:?}");
    assert!(found.iter().all(|number| *number < book.published), "nothing comes from nowhere");
    let lost: Vec<_> =
        book.confirmed.iter().filter(|it| !found.contains(it) && !book.acknowledged.contains(it)).collect();
    assert!(lost.is_empty(), "confirmed and lost: {lost:?} of {}", book.confirmed.len());
}
