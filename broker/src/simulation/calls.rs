//! One short story, told once for each call of the disk, in which that call fails: with EIO, for want of room, or half done. Whatever
//! the call, the broker goes on or stops with its reason, and what it has confirmed is there at the next start.
//!
//! The random worlds of this folder do the same to longer stories, but cannot say that they have failed every call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use leveret_client::{BasicProperties, Connection, Error, PERSISTENT, QueueOptions};
use leveret_runtime as runtime;
use runtime::signal::Signal;
use runtime::sim::{self, Effect, Fault, Host};
use runtime::{JoinHandle, Runtime};

use super::{clients, prepare, start};

/// Messages of the story; every fourth is acknowledged.
const MESSAGES: u32 = 12;

/// How long the clients, and a stop, may take; then the broker has stopped, or has lost its disk and hangs as no real one would.
const PATIENCE: Duration = Duration::from_secs(20);

/// Calls of a story, at most: a bound against not ending.
const CALLS_MAX: u64 = 2_000;

const QUEUE: &str = "promised";

/// What is known of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Published,
    Confirmed,
    Acknowledged,
}

type Book = Rc<RefCell<BTreeMap<u32, Known>>>;

#[test]
fn every_call_may_fail() {
    for effect in [Effect::Fails, Effect::Full, Effect::Short] {
        let (mut fired, mut stopped, mut confirmed) = (0, 0, 0);
        for call in 1..CALLS_MAX {
            let told = tell(call, effect);
            fired += u64::from(told.has_fired);
            stopped += u64::from(told.has_stopped);
            confirmed += told.confirmed;
            if !told.has_fired && call > fired + 20 {
                break; // there are no more calls
            }
        }
        assert!(fired > 60, "{fired} calls");
        println!("TEST: {fired} faults ({effect}), each call once, {confirmed} checked, 0 lost, {stopped} stops");
    }
}

/// What came of a story.
struct Told {
    has_fired: bool,
    has_stopped: bool,
    confirmed: u64,
}

fn tell(call: u64, effect: Effect) -> Told {
    let machine = Runtime::builder().shards(1).simulated(call).build().expect("a simulated machine");
    machine.run(move || live(call, effect)).expect("somebody can always run")
}

fn live(call: u64, effect: Effect) -> Told {
    let (server, client) = (sim::host("server"), sim::host("clients"));
    prepare(server);
    let book = Book::default();
    let program = start(server, 1, vec![Fault::at("fs.*").nth(call).then(effect)]);
    let noted = book.clone();
    drop(client.run(move || drop(runtime::timeout(PATIENCE, || work(&noted)))));
    let has_stopped = end(server, program);
    let has_fired = !sim::faults_fired().is_empty();
    sim::clear_faults();
    if server.is_up() {
        server.crash();
    }
    server.restart();
    client.crash();
    client.restart();
    let program = start(server, 1, Vec::new());
    let found = client.run(|| runtime::timeout(PATIENCE, || drain().expect("nothing fails any more")));
    let found = found
        .expect("the client is well")
        .unwrap_or_else(|_| panic!("call {call}: {:?}", program.join_timeout(PATIENCE)));
    let confirmed = judge(&book.borrow(), &found, call);
    Told { has_fired, has_stopped, confirmed }
}

/// Declares, publishes, takes.
fn work(book: &Book) -> Result<(), Error> {
    let connection = clients::connect();
    let channel = connection.open_channel()?;
    channel.queue_declare(QUEUE, &QueueOptions { durable: true, ..QueueOptions::default() })?;
    channel.confirm_select()?;
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), ..BasicProperties::default() }.encode();
    for number in 0..MESSAGES {
        book.borrow_mut().insert(number, Known::Published);
        channel.publish("", QUEUE, &properties, &body(number))?;
        if number % 3 == 2 {
            channel.wait_for_confirms()?;
            book.borrow_mut()
                .values_mut()
                .filter(|known| **known == Known::Published)
                .for_each(|it| *it = Known::Confirmed);
        }
    }
    take(&connection, book)
}

fn take(connection: &Connection, book: &Book) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    for _ in 0..MESSAGES / 4 {
        let Some(got) = channel.get(QUEUE, false)? else { break };
        book.borrow_mut().insert(number(got.message.body()), Known::Acknowledged);
        channel.ack(got.delivery_tag, false)?;
    }
    channel.close()
}

/// Asks the broker to stop; says whether it ended with a reason of its own.
fn end(server: Host, program: JoinHandle<Result<(), String>>) -> bool {
    drop(server.run(|| Signal::Terminate.raise()));
    match program.join_timeout(PATIENCE) {
        Ok(Ok(Err(reason))) => {
            assert!(!reason.is_empty() && !reason.contains("damaged"), "{reason}");
            true
        }
        Ok(Err(error)) => panic!("the broker panics: {error}"),
        Ok(Ok(Ok(()))) | Err(_) => false,
    }
}

fn drain() -> Result<Vec<u32>, Error> {
    let connection = clients::connect();
    let channel = connection.open_channel()?;
    let mut found = Vec::new();
    // It may be that the queue was never there.
    channel.queue_declare(QUEUE, &QueueOptions { durable: true, ..QueueOptions::default() })?;
    while let Some(got) = channel.get(QUEUE, true)? {
        found.push(number(got.message.body()));
    }
    channel.close()?;
    Ok(found)
}

fn judge(book: &BTreeMap<u32, Known>, found: &[u32], call: u64) -> u64 {
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "call {call}: in order, each once: {found:?}");
    assert!(found.iter().all(|number| book.contains_key(number)), "call {call}: {found:?}");
    let confirmed: Vec<u32> =
        book.iter().filter(|(_, known)| **known == Known::Confirmed).map(|(number, _)| *number).collect();
    let lost: Vec<_> = confirmed.iter().filter(|number| !found.contains(number)).collect();
    assert!(lost.is_empty(), "call {call}: confirmed and lost: {lost:?} of {book:?}, found {found:?}");
    confirmed.len() as u64
}

/// Its number, often enough to fill some windows.
fn body(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(64)
}

fn number(body: &[u8]) -> u32 {
    let number = body.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).expect("a number");
    assert_eq!(body, self::body(number), "every byte is as it was");
    number
}
