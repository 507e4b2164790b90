//! The clients of a simulated world: publishers, transactions, consumers, and one who changes the topology. Each works until
//! it has done its share or the broker is gone, and tells the ledger before it sends and when it has heard.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use leveret_client::{
    Channel, Connection, ConsumeOptions, Consumer, Delivery, Error, ExchangeOptions, Options, Outcome, QueueOptions,
    Table,
};
use leveret_runtime as runtime;
use runtime::sim::Host;

use super::layout::{BINDINGS, EXCHANGES, LOOSE, LOOSE_EXCHANGE, QUEUES, ROUTES, Spec};
use super::ledger::{Copy, Shared, now_ms};
use super::streams;

/// Publishes of a publisher's life.
const PUBLISHES_MAX: u64 = 60;
/// Routes that do not change: all but those of the loose queues.
const FIXED_ROUTES: u64 = (ROUTES.len() - LOOSE.len()) as u64;
/// How long draining a queue may take when nothing goes wrong any more.
const DRAIN_MAX: Duration = Duration::from_secs(60);

pub(super) fn below(bound: u64) -> u64 {
    runtime::random::u64() % bound
}

pub(super) fn pause() {
    match below(3) {
        0 => runtime::yield_now(),
        1 => runtime::sleep(Duration::from_millis(below(25))),
        _ => {}
    }
}

/// A connection to the broker, as soon as it listens.
pub(super) fn connect() -> Connection {
    let options = Options { host: "server".into(), ..Options::default() };
    loop {
        match Connection::open(&options) {
            Ok(connection) => return connection,
            Err(_) => runtime::sleep(Duration::from_millis(50)),
        }
    }
}

/// All that clients do in a life, once the broker is there. `eaters` is the host of consumers who may die.
pub(super) fn work(ledger: &Shared, eaters: Host, shards: usize) -> Result<(), Error> {
    let connections: Vec<Connection> = (0..shards.min(3)).map(|_| connect()).collect();
    audit(ledger, &connections[0])?;
    streams::audit(ledger, &connections[0])?;
    set_up(ledger, &connections)?;
    let spawn = |task: fn(&Shared, &Connection) -> Result<(), Error>, connection: &Connection| {
        let (ledger, connection) = (ledger.clone(), connection.reopen());
        runtime::spawn(move || connection.and_then(|connection| task(&ledger, &connection)))
    };
    let mut tasks = vec![spawn(publish, &connections[0]), spawn(change_topology, &connections[0])];
    for task in
        [publish as fn(&Shared, &Connection) -> _, transact, take, streams::publish, streams::read, streams::read]
    {
        if below(2) == 0 {
            tasks.push(spawn(task, &connections[0]));
        }
    }
    let eating: Vec<_> = (0..1 + below(2))
        .map(|_| {
            let ledger = ledger.clone();
            eaters.spawn(move || eat(&ledger, &connect()))
        })
        .collect();
    // Whoever ends does so because the broker is gone, or with all done.
    for task in tasks.into_iter().chain(eating) {
        if let Err(ended) = task.join()
            && let Some(message) = ended.message()
        {
            ledger.borrow_mut().violate(format!("a client panics: {message}"));
        }
    }
    Ok(())
}

// ---- what is there

/// Makes what is not known to be there. What was said to be there must be.
fn set_up(ledger: &Shared, connections: &[Connection]) -> Result<(), Error> {
    let channels = connections.iter().map(Connection::open_channel).collect::<Result<Vec<_>, _>>()?;
    let mut channels = channels.iter().cycle();
    let mut once = |name: String, act: &dyn Fn(&Channel) -> Result<(), Error>| -> Result<(), Error> {
        let channel = channels.next().expect("there is one");
        if !ledger.borrow().topology.contains(&name) {
            act(channel)?;
            ledger.borrow_mut().topology.insert(name);
        }
        Ok(())
    };
    for (name, kind) in EXCHANGES {
        once(format!("exchange {name}"), &|channel| declare_exchange(channel, name, kind))?;
    }
    for spec in &QUEUES {
        once(format!("queue {}", spec.name), &|channel| declare(channel, spec))?;
    }
    for (stream, name) in streams::names() {
        once(format!("queue {name}"), &|channel| streams::declare(channel, stream))?;
    }
    for (queue, exchange, key) in BINDINGS {
        once(format!("binding {queue} {exchange} {key}"), &|channel| {
            channel.queue_bind(queue, exchange, key, &Table::new())
        })?;
    }
    Ok(())
}

fn declare_exchange(channel: &Channel, name: &str, kind: &str) -> Result<(), Error> {
    channel.exchange_declare(name, kind, &ExchangeOptions { durable: true, ..ExchangeOptions::default() })
}

pub(super) fn declare(channel: &Channel, spec: &Spec) -> Result<(), Error> {
    let options = QueueOptions { durable: true, arguments: spec.arguments(), ..QueueOptions::default() };
    channel.queue_declare(spec.name, &options).map(drop)
}

/// How many messages a queue has; `None` if it is not there.
pub(super) fn count(connection: &Connection, queue: &str) -> Result<Option<u64>, Error> {
    let channel = connection.open_channel()?;
    let passive = QueueOptions { passive: true, ..QueueOptions::default() };
    match channel.queue_declare(queue, &passive) {
        Ok(info) => Ok(Some(u64::from(info.message_count))),
        Err(error) if error.reply_code() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Before anybody works: every queue that was promised is there, none that was deleted, and each has as many messages as it may.
fn audit(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    for spec in &QUEUES {
        let is_promised = ledger.borrow().topology.contains(&format!("queue {}", spec.name));
        let found = count(connection, spec.name)?;
        let mut ledger = ledger.borrow_mut();
        let (least, most) = ledger.bounds(spec.name);
        match found {
            None if is_promised => ledger.violate(format!("queue '{}' was declared and is not there", spec.name)),
            Some(found) if found < least || found > most => {
                ledger
                    .violate(format!("queue '{}' has {found} messages, and should have {least} to {most}", spec.name));
            }
            _ => {}
        }
    }
    for name in LOOSE {
        let found = count(connection, name)?;
        let mut ledger = ledger.borrow_mut();
        let expected = ledger.loose.get(name).and_then(|loose| loose.is_there);
        if expected.is_some_and(|expected| expected != found.is_some()) {
            ledger
                .violate(format!("queue '{name}' is there: {}, and the broker has said {expected:?}", found.is_some()));
        }
        let (least, most) = ledger.bounds(name);
        if let Some(found) = found
            && (found < least || found > most)
        {
            ledger.violate(format!("queue '{name}' has {found} messages, and should have {least} to {most}"));
        }
    }
    Ok(())
}

// ---- publishing

fn publish(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    channel.confirm_select()?;
    let numbers: Rc<RefCell<Vec<u64>>> = Rc::default();
    let (noted, sent) = (ledger.clone(), numbers.clone());
    channel.on_confirm(move |number, outcome| {
        let mut ledger = noted.borrow_mut();
        match outcome {
            Outcome::Acked => ledger.confirm(sent.borrow()[number as usize - 1]),
            Outcome::Nacked => ledger.violate("a message was refused".into()),
        }
    });
    let (stream, window) = (ledger.borrow_mut().new_stream(), 1 + below(20) as usize);
    for _ in 0..below(PUBLISHES_MAX) {
        let route = below(ROUTES.len() as u64) as usize;
        let outgoing = ledger.borrow_mut().publish(route, stream, some_ttl(), None);
        numbers.borrow_mut().push(outgoing.id);
        let route = &ROUTES[route];
        channel.publish_mandatory(route.exchange, route.key, &outgoing.properties.encode(), &outgoing.body)?;
        channel.wait_for_confirms_below(window)?;
        note_returned(ledger, &channel);
        pause();
    }
    channel.wait_for_confirms()?;
    note_returned(ledger, &channel);
    Ok(())
}

fn some_ttl() -> Option<u64> {
    (below(5) == 0).then(|| 1 + below(800))
}

fn note_returned(ledger: &Shared, channel: &Channel) {
    while let Some(returned) = channel.take_returned() {
        ledger.borrow_mut().returned(&returned.message);
    }
}

/// Publishes and acknowledges in transactions: committed, rolled back, or left.
fn transact(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    channel.tx_select()?;
    let stream = ledger.borrow_mut().new_stream();
    for _ in 0..1 + below(4) {
        let (group, mut ids, mut acks) = (runtime::random::u64() >> 1, Vec::new(), Vec::new());
        for _ in 0..below(6) {
            let route = below(FIXED_ROUTES) as usize;
            let outgoing = ledger.borrow_mut().publish(route, stream, some_ttl(), Some(group));
            ids.push(outgoing.id);
            let route = &ROUTES[route];
            channel.publish(route.exchange, route.key, &outgoing.properties.encode(), &outgoing.body)?;
            pause();
        }
        for _ in 0..below(4) {
            let queue = some_queue();
            if let Some(got) = channel.get(queue, false)? {
                let copy = ledger.borrow_mut().see(queue, &got.message, got.redelivered);
                channel.ack(got.delivery_tag, false)?;
                acks.extend(copy);
            }
        }
        if below(4) > 0 {
            ledger.borrow_mut().commit(&ids, &acks);
            channel.tx_commit()?;
            ledger.borrow_mut().committed(&ids, &acks);
        } else {
            acks.iter().for_each(|copy| ledger.borrow_mut().stir(copy.queue));
            channel.tx_rollback()?;
        }
    }
    Ok(())
}

fn some_queue() -> &'static str {
    QUEUES[below(QUEUES.len() as u64) as usize].name
}

// ---- consuming

/// Takes messages one by one.
fn take(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    for _ in 0..below(25) {
        let queue = some_queue();
        if let Some(got) = channel.get(queue, false)? {
            let copy = ledger.borrow_mut().see(queue, &got.message, got.redelivered);
            if let Some(copy) = copy {
                settle_one(ledger, copy, &channel, got.delivery_tag)?;
            }
        }
        pause();
    }
    QUEUES.iter().for_each(|spec| ledger.borrow_mut().stir(spec.name)); // what was kept goes back
    channel.close()
}

fn settle_one(ledger: &Shared, copy: Copy, channel: &Channel, tag: u64) -> Result<(), Error> {
    match below(10) {
        0..5 => {
            ledger.borrow_mut().settling(copy);
            channel.ack(tag, false)
        }
        5 | 6 => {
            ledger.borrow_mut().rejecting(copy);
            channel.reject(tag, false)
        }
        7 | 8 => {
            ledger.borrow_mut().stir(copy.queue);
            channel.nack(tag, false, true)
        }
        _ => Ok(()),
    }
}

/// Consumes, and settles in every way there is.
fn eat(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    for _ in 0..1 + below(3) {
        let channel = connection.open_channel()?;
        channel.qos(1 + below(12) as u16, false)?;
        let queue = some_queue();
        let mut consumer = match channel.consume(queue, &ConsumeOptions::default()) {
            Err(error) if error.reply_code() == Some(404) => continue, // it was not declared yet
            consumer => consumer?,
        };
        let acknowledged = eat_from(ledger, queue, &mut consumer)?;
        ledger.borrow_mut().stir(queue);
        drop(consumer);
        channel.close()?;
        ledger.borrow_mut().settled(&acknowledged);
    }
    Ok(())
}

/// Answers what was acknowledged.
fn eat_from(ledger: &Shared, queue: &'static str, consumer: &mut Consumer) -> Result<Vec<Copy>, Error> {
    let (mut held, mut acknowledged, mut last) = (Vec::new(), Vec::new(), BTreeMap::new());
    for _ in 0..below(30) {
        let Some(delivery) = consumer.next_timeout(Duration::from_millis(below(200)))? else { break };
        let copy = ledger.borrow_mut().see(queue, delivery.message(), delivery.redelivered());
        let Some(copy) = copy else { continue };
        if !delivery.redelivered() {
            ledger.borrow_mut().check_order(&mut last, copy);
        }
        settle_delivery(ledger, copy, delivery, &mut held, &mut acknowledged)?;
        pause();
    }
    Ok(acknowledged)
}

fn settle_delivery(
    ledger: &Shared,
    copy: Copy,
    delivery: Delivery,
    held: &mut Vec<Copy>,
    acknowledged: &mut Vec<Copy>,
) -> Result<(), Error> {
    match below(12) {
        0..5 => {
            ledger.borrow_mut().settling(copy);
            acknowledged.push(copy);
            delivery.ack()
        }
        5 => {
            held.push(copy);
            held.iter().for_each(|copy| ledger.borrow_mut().settling(*copy));
            acknowledged.append(held);
            delivery.ack_multiple()
        }
        6 | 7 => {
            ledger.borrow_mut().rejecting(copy);
            delivery.reject(false)
        }
        8 | 9 => {
            ledger.borrow_mut().stir(copy.queue);
            delivery.nack(true)
        }
        _ => {
            held.push(copy);
            Ok(())
        }
    }
}

// ---- changing the topology

fn change_topology(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    for _ in 0..below(10) {
        let channel = connection.open_channel()?;
        let queue = LOOSE[below(LOOSE.len() as u64) as usize];
        match below(8) {
            0..4 => make(ledger, &channel, queue)?,
            4 => delete(ledger, &channel, queue)?,
            5 => unbind(ledger, &channel, queue)?,
            6 => purge(ledger, &channel, queue)?,
            _ => purge(ledger, &channel, "other")?,
        }
        pause();
    }
    Ok(())
}

fn make(ledger: &Shared, channel: &Channel, queue: &'static str) -> Result<(), Error> {
    let known =
        ledger.borrow().loose.get(queue).is_some_and(|it| it.is_there == Some(true) && it.is_bound == Some(true));
    if known {
        return Ok(());
    }
    ledger.borrow_mut().changing(queue).is_there.take_if(|it| !*it);
    ledger.borrow_mut().changing(queue).is_bound = None;
    channel.queue_declare(queue, &QueueOptions { durable: true, ..QueueOptions::default() })?;
    ledger.borrow_mut().changing(queue).is_there = Some(true);
    channel.queue_bind(queue, LOOSE_EXCHANGE, queue, &Table::new())?;
    ledger.borrow_mut().changing(queue).is_bound = Some(true);
    Ok(())
}

fn delete(ledger: &Shared, channel: &Channel, queue: &'static str) -> Result<(), Error> {
    let taken = ledger.borrow_mut().empty(queue);
    let mut change = ledger.borrow_mut();
    let loose = change.changing(queue);
    (loose.is_there, loose.is_bound) = (None, None);
    drop(change);
    channel.queue_delete(queue, false, false)?;
    let mut ledger = ledger.borrow_mut();
    let loose = ledger.changing(queue);
    (loose.is_there, loose.is_bound) = (Some(false), Some(false));
    // What was sent meanwhile may have come before it.
    ledger.empty(queue);
    ledger.deleted(queue, &taken);
    Ok(())
}

fn unbind(ledger: &Shared, channel: &Channel, queue: &'static str) -> Result<(), Error> {
    if ledger.borrow().loose.get(queue).and_then(|loose| loose.is_there) != Some(true) {
        return Ok(()); // it would be a 404
    }
    ledger.borrow_mut().changing(queue).is_bound = None;
    channel.queue_unbind(queue, LOOSE_EXCHANGE, queue, &Table::new())?;
    ledger.borrow_mut().changing(queue).is_bound = Some(false);
    Ok(())
}

fn purge(ledger: &Shared, channel: &Channel, queue: &'static str) -> Result<(), Error> {
    let is_there = match ledger.borrow().loose.get(queue) {
        Some(loose) => loose.is_there == Some(true),
        None => ledger.borrow().topology.contains(&format!("queue {queue}")),
    };
    if is_there {
        ledger.borrow_mut().empty(queue);
        channel.queue_purge(queue)?;
        ledger.borrow_mut().empty(queue);
    }
    Ok(())
}

// ---- the end

/// When nothing goes wrong any more: every queue drains, in order, with as many messages as it said; answers what was there.
pub(super) fn drain(ledger: &Shared) -> Result<Vec<Copy>, Error> {
    let connection = connect();
    audit(ledger, &connection)?;
    streams::drain(ledger, &connection)?;
    runtime::sleep(Duration::from_millis(1500)); // what goes in circles has come to its end
    let mut found = Vec::new();
    let began = runtime::time::now();
    // The graves last: what dies meanwhile comes there.
    for queue in super::layout::names() {
        if let Some(count) = count(&connection, queue)? {
            found.extend(drain_queue(ledger, &connection, queue, count)?);
        }
    }
    if runtime::time::now() - began > DRAIN_MAX {
        ledger.borrow_mut().violate(format!("it took {:?} to drain the queues", runtime::time::now() - began));
    }
    Ok(found)
}

fn drain_queue(ledger: &Shared, connection: &Connection, queue: &'static str, count: u64) -> Result<Vec<Copy>, Error> {
    let channel = connection.open_channel()?;
    let (mut found, mut last, mut priority, mut gone) = (Vec::new(), BTreeMap::new(), u8::MAX, 0);
    loop {
        let asked_ms = now_ms();
        let Some(got) = channel.get(queue, true)? else { break };
        let mut ledger = ledger.borrow_mut();
        let Some(copy) = ledger.see(queue, &got.message, got.redelivered) else { continue };
        ledger.check_order(&mut last, copy);
        ledger.check_not_overdue(copy, asked_ms);
        if queue == "ranked" && ledger.priority(copy) > priority {
            ledger.violate(format!("{copy:?} comes after messages of lower priority"));
        }
        priority = ledger.priority(copy);
        if copy.origin.is_some() {
            gone += 1;
        }
        found.push(copy);
    }
    let may_differ = ledger.borrow().may_expire(queue) || gone > 0;
    if found.len() as u64 != count && !may_differ {
        ledger.borrow_mut().violate(format!("queue '{queue}' said {count} messages and had {}", found.len()));
    }
    Ok(found)
}
