//! What the seeds have found, each told once more without chance.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use leveret_client::{BasicProperties, Channel, Error, ExchangeOptions, Outcome, PERSISTENT, QueueOptions, Table};
use leveret_runtime as runtime;
use runtime::Runtime;
use runtime::sim::{self, Host};

use super::layout::{BRIEF, DEAD, queue};
use super::ledger::now_ms;
use super::{clients, prepare, start};

const COUNT: u32 = 40;

fn publish(channel: &Channel, queue: &str, ttl_ms: Option<u32>) -> Result<(), Error> {
    let expiration = ttl_ms.map(|ttl| ttl.to_string().into_bytes());
    let properties = BasicProperties { delivery_mode: Some(PERSISTENT), expiration, ..BasicProperties::default() };
    for number in 0..COUNT {
        channel.publish("", queue, &properties.encode(), &number.to_le_bytes())?;
    }
    channel.wait_for_confirms().map(drop)
}

fn cut_power(server: Host) {
    server.crash();
    server.restart();
}

/// Messages that expire while the broker starts go to a queue that may not have its own messages yet. It gave out numbers
/// that had been used; the next start found that one of its messages comes "after a later one of its lane", and refused.
#[test]
fn what_dies_during_a_start_finds_its_grave_ready() {
    sim::check(0..6, |seed| {
        let shards = 1 + seed as usize % 3;
        let machine = Runtime::builder().shards(shards).simulated(seed).build().expect("a simulated machine");
        machine.run(move || bury_at_the_start(shards)).expect("somebody can always run");
    });
}

fn bury_at_the_start(shards: usize) {
    let (server, client) = (sim::host("server"), sim::host("clients"));
    prepare(server);
    drop(start(server, shards, Vec::new()));
    let published = client.run(|| -> Result<(), Error> {
        // Each on a connection, and so perhaps on a shard, of its own.
        for (name, ttl_ms) in [(DEAD, None), (BRIEF, Some(300))] {
            let channel = clients::connect().open_channel()?;
            clients::declare(&channel, queue(name).expect("it is in the layout"))?;
            channel.confirm_select()?;
            publish(&channel, name, ttl_ms)?;
        }
        Ok(())
    });
    published.expect("the client is well").expect("the broker is well");
    cut_power(server);
    runtime::sleep(Duration::from_secs(1)); // by now all are past their time
    drop(start(server, shards, Vec::new()));
    client.run(|| drop(clients::connect())).expect("it starts");
    runtime::sleep(Duration::from_secs(1));
    cut_power(server);
    let program = start(server, shards, Vec::new());
    let drained = client.run(|| -> Result<u32, Error> {
        let channel = clients::connect().open_channel()?;
        let mut count = 0;
        while channel.get(DEAD, true)?.is_some() {
            count += 1;
        }
        Ok(count)
    });
    assert!(!program.is_finished(), "it starts again: {:?}", program.join());
    assert_eq!(drained.expect("the client is well").expect("the broker is well"), 2 * COUNT);
}

/// The exchange at which messages wait, one that goes with what waits there, and the queue behind both.
const LATER: &str = "later";
const GONE: &str = "gone";
const GONE_COUNT: usize = 5;
const ARRIVED: &str = "arrived";

/// How long messages wait, at most, and how much earlier than said one may come: the broker reads its clock once a turn.
const DELAY_MAX_MS: u64 = 1500;
const CLOCK_MS: u64 = 50;

/// Messages that wait: when they are due, if that was confirmed; and how often they have arrived.
#[derive(Default)]
struct Delays {
    due: Vec<u64>,
    is_confirmed: Vec<bool>,
    arrived: BTreeMap<u64, u32>,
}

/// What was delayed waits on after power cuts, in whatever state they find it, on any number of threads; what was due meanwhile comes
/// at once, nothing comes before its time, and what waited at an exchange that was deleted does not come.
#[test]
fn what_was_delayed_waits_on_after_power_cuts() {
    sim::check(0..8, |seed| {
        let (shards, mut image) = ([1, 1, 2, 3][seed as usize % 4], None);
        let delays: Rc<RefCell<Delays>> = Rc::default();
        for (stint, shards) in [shards, 1 + seed as usize % 3].into_iter().enumerate() {
            let shards = if seed % 4 == 0 { 1 } else { shards };
            let machine = Runtime::builder().shards(shards).simulated(2 * seed + stint as u64).build();
            let (delays, before) = (delays.clone(), image.take());
            let run = move || wait_over_cuts(&delays, shards, before, stint == 1);
            image = Some(machine.expect("a simulated machine").run(run).expect("somebody can always run"));
        }
        let delays = delays.borrow();
        for (id, is_confirmed) in (0..).zip(&delays.is_confirmed) {
            let count = delays.arrived.get(&id).copied().unwrap_or(0);
            assert!(count > 0 || !is_confirmed, "{id} was confirmed and does not come");
            assert!(count <= 1 || seed % 4 != 0, "{id} comes {count} times");
        }
        assert!(delays.arrived.len() > 20, "something came");
    });
}

fn wait_over_cuts(
    delays: &Rc<RefCell<Delays>>,
    shards: usize,
    before: Option<sim::Image>,
    is_last: bool,
) -> sim::Image {
    let (server, client) = (sim::host("server"), sim::host("clients"));
    match &before {
        Some(image) => server.disk().restore(image),
        None => prepare(server),
    }
    for host in [server, client] {
        host.set_clock_ahead(Duration::from_secs(if before.is_some() { 60 } else { 0 }));
    }
    for life in 0..3 {
        drop(start(server, shards, Vec::new()));
        let of_client = delays.clone();
        let is_first = before.is_none() && life == 0;
        let working = client.spawn(move || drop(delay_some(&of_client, is_first)));
        runtime::sleep(Duration::from_millis(700 + clients::below(900)));
        cut_power(server);
        drop(working);
        client.crash();
        client.restart();
    }
    if is_last {
        drop(start(server, shards, Vec::new()));
        let of_client = delays.clone();
        let taken = client.run(move || take_arrived(&of_client));
        taken.expect("the client is well").expect("the broker is well");
    }
    server.disk().image()
}

fn delay_some(delays: &Rc<RefCell<Delays>>, is_first: bool) -> Result<(), Error> {
    let connections = [clients::connect(), clients::connect()]; // and so perhaps on two shards
    let channel = connections[1].open_channel()?;
    channel.queue_declare(ARRIVED, &QueueOptions { durable: true, ..QueueOptions::default() })?;
    for name in [LATER, GONE] {
        let mut arguments = Table::new();
        arguments.push("x-delayed-type", "fanout");
        let options = ExchangeOptions { durable: true, arguments, ..ExchangeOptions::default() };
        channel.exchange_declare(name, "x-delayed-message", &options)?;
        channel.queue_bind(ARRIVED, name, "", &Table::new())?;
    }
    let channel = connections[0].open_channel()?;
    channel.confirm_select()?;
    if is_first {
        for _ in 0..GONE_COUNT {
            channel.publish(GONE, "", &waiting(3 * DELAY_MAX_MS).encode(), &u64::MAX.to_le_bytes())?;
        }
        channel.wait_for_confirms()?;
        channel.exchange_delete(GONE, false)?;
    }
    let noted = delays.clone();
    let (first, before) = (delays.borrow().due.len(), if is_first { GONE_COUNT } else { 0 });
    channel.on_confirm(move |number, outcome| {
        assert_eq!(outcome, Outcome::Acked);
        noted.borrow_mut().is_confirmed[first + number as usize - 1 - before] = true;
    });
    for _ in 0..60 {
        let delay_ms = 1 + clients::below(DELAY_MAX_MS);
        let id = {
            let mut delays = delays.borrow_mut();
            delays.due.push(now_ms() + delay_ms);
            delays.is_confirmed.push(false);
            delays.due.len() as u64 - 1
        };
        let mut body = id.to_le_bytes().to_vec();
        body.resize(8 + clients::below(400) as usize, 7);
        channel.publish(LATER, "", &waiting(delay_ms).encode(), &body)?;
        channel.wait_for_confirms_below(10)?;
        clients::pause();
    }
    channel.wait_for_confirms().map(drop)
}

fn waiting(delay_ms: u64) -> BasicProperties {
    let mut headers = Table::new();
    headers.push("x-delay", delay_ms as i64);
    BasicProperties { delivery_mode: Some(PERSISTENT), headers: Some(headers), ..BasicProperties::default() }
}

/// Takes what has come, until nothing can be waiting any more.
fn take_arrived(delays: &Rc<RefCell<Delays>>) -> Result<(), Error> {
    let channel = clients::connect().open_channel()?;
    let end = now_ms() + 4 * DELAY_MAX_MS;
    while now_ms() < end {
        let Some(got) = channel.get(ARRIVED, true)? else {
            runtime::sleep(Duration::from_millis(10));
            continue;
        };
        let mut delays = delays.borrow_mut();
        let id = u64::from_le_bytes(got.message.body()[..8].try_into().expect("eight bytes"));
        let due = *delays.due.get(id as usize).expect("nothing comes from an exchange that was deleted");
        assert!(due <= now_ms() + CLOCK_MS, "{id} comes {} ms before its time", due - now_ms());
        *delays.arrived.entry(id).or_default() += 1;
    }
    Ok(())
}
