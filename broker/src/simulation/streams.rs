//! Streams in a simulated world: publishers with confirms, readers from every kind of place who settle in every way, and a book of
//! what must come of it. What was confirmed is there at its offset for good, in its publisher's order, as it was published;
//! settling takes nothing away, only retention does, and that from the front.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use leveret_client::{
    BasicProperties, Channel, Connection, ConsumeOptions, Consumer, Delivery, Error, FieldValue, Outcome, QueueOptions,
    Table,
};

use super::clients::{below, count, pause};
use super::ledger::{Shared, body, now_ms};

/// Publishes of a publisher's life, and deliveries of a reader's.
const PUBLISHES_MAX: u64 = 40;
const DELIVERIES_MAX: u64 = 60;

/// Bytes that [`SHORT`] keeps, and those of its segments.
const SHORT_BYTES: i64 = 8_000;
const SEGMENT_BYTES: i64 = 1_000;

/// The broker reads its clock once a turn.
const CLOCK_MS: u64 = 100;

/// How long a reader waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps everything.
const LONG: usize = 0;
/// Keeps [`SHORT_BYTES`].
const SHORT: usize = 1;
const NAMES: [&str; 2] = ["flow", "brook"];

#[derive(Debug)]
struct Record {
    stream: usize,
    /// Its publisher's channel, whose messages keep their order.
    channel: u64,
    sent_ms: u64,
    confirmed_ms: Option<u64>,
    epoch: u64,
    /// Where it was seen, and when last.
    seen: Option<(u64, u64)>,
}

impl Record {
    /// Whether it cannot go any more: it was confirmed, or has outlived a power cut.
    fn is_durable(&self) -> bool {
        self.confirmed_ms.is_some() || self.seen.is_some_and(|(_, epoch)| epoch > self.epoch)
    }
}

/// All messages of all streams, by their numbers, and what was wrong.
#[derive(Debug, Default)]
pub(super) struct Book {
    records: Vec<Record>,
    last_channel: u64,
    violations: Vec<String>,
    checked: u64,
}

impl Book {
    fn publish(&mut self, stream: usize, channel: u64, epoch: u64) -> u64 {
        let id = self.records.len() as u64;
        self.records.push(Record { stream, channel, sent_ms: now_ms(), confirmed_ms: None, epoch, seen: None });
        id
    }

    fn confirm(&mut self, id: u64) {
        self.records[id as usize].confirmed_ms = Some(now_ms());
    }

    fn of(&self, stream: usize) -> impl Iterator<Item = (u64, &Record)> {
        (0..).zip(&self.records).filter(move |(_, record)| record.stream == stream)
    }

    fn violate(&mut self, text: String) {
        self.violations.push(text);
    }

    /// A message came: it is one that was published there, as it was, where it was.
    fn see(&mut self, stream: usize, epoch: u64, delivery: &Delivery) -> Option<(u64, u64)> {
        self.checked += 1;
        let (bytes, offset) = (delivery.message().body(), offset_of(delivery)?);
        let id = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
        let is_known = self.records.get(id as usize).is_some_and(|it| it.stream == stream && bytes == body(id));
        if !is_known {
            self.violate(format!("at {offset} of {} is what nobody published there: {bytes:?}", NAMES[stream]));
            return None;
        }
        if delivery.redelivered() {
            self.violate(format!("{id} of {} is said to be redelivered", NAMES[stream]));
        }
        let is_settled = |record: &Record, at: (u64, u64)| record.is_durable() || at.1 == epoch;
        let before =
            self.records.get(id as usize).and_then(|it| it.seen.filter(|at| at.0 != offset && is_settled(it, *at)));
        if let Some(before) = before {
            self.violate(format!("{id} of {} was at {} and is at {offset}", NAMES[stream], before.0));
        }
        let is_other = |(other, record): &(u64, &Record)| {
            *other != id && record.seen.is_some_and(|at| at.0 == offset && is_settled(record, at))
        };
        let other = self.of(stream).find(is_other).map(|(other, _)| other);
        if let Some(other) = other {
            self.violate(format!("{id} of {} is at {offset}, where {other} was", NAMES[stream]));
        }
        self.records[id as usize].seen = Some((offset, epoch));
        Some((offset, id))
    }

    /// A reader's messages are neighbours, and those of one publisher in their order.
    fn check_order(&mut self, stream: usize, seen: &[(u64, u64)]) {
        let mut last_of = BTreeMap::new();
        let mut before: Option<u64> = None;
        for (offset, id) in seen {
            let channel = self.records[*id as usize].channel;
            let is_late = last_of.insert(channel, *id).is_some_and(|last| last >= *id);
            let is_neighbour = before.is_none_or(|before| before + 1 == *offset);
            if is_late || !(is_neighbour || stream == SHORT && before < Some(*offset)) {
                self.violate(format!("{id} at {offset} of {} comes out of its turn: {seen:?}", NAMES[stream]));
            }
            before = Some(*offset);
        }
    }

    /// A reader began where it wanted to.
    fn check_start(&mut self, stream: usize, place: Place, first: (u64, u64)) {
        let (offset, id) = first;
        let is_right = match place {
            Place::First => stream == SHORT || offset == 0,
            Place::Offset(wanted) => offset == wanted || (stream == SHORT && offset > wanted),
            Place::Time(seconds) => self.is_first_since(stream, seconds * 1000, offset, id),
            Place::Next | Place::Last => true,
        };
        if !is_right {
            self.violate(format!("{id} at {offset} of {} is not the first from {place:?}", NAMES[stream]));
        }
    }

    fn is_first_since(&self, stream: usize, from_ms: u64, offset: u64, id: u64) -> bool {
        let came = self.records[id as usize].confirmed_ms;
        let is_left_out = |record: &Record| {
            record.sent_ms > from_ms + CLOCK_MS && record.is_durable() && record.seen.is_some_and(|at| at.0 < offset)
        };
        // What retention has taken is not left out.
        let is_whole = stream == SHORT || !self.of(stream).any(|(_, record)| is_left_out(record));
        came.is_none_or(|came| came + CLOCK_MS >= from_ms) && is_whole
    }

    /// How many messages a stream has at least and at most.
    fn bounds(&self, stream: usize) -> (u64, u64) {
        let confirmed = self.of(stream).filter(|(_, record)| record.confirmed_ms.is_some()).count() as u64;
        let least = if stream == LONG { confirmed } else { confirmed.min(1) };
        (least, self.of(stream).count() as u64)
    }

    /// All that a stream has: whether every promise was kept.
    fn judge(&mut self, stream: usize, found: &[(u64, u64)]) {
        let first = found.first().map_or(0, |(offset, _)| *offset);
        let ids: BTreeSet<u64> = found.iter().map(|(_, id)| *id).collect();
        let may_be_gone = |record: &Record| {
            let is_before = record.seen.is_none_or(|(offset, _)| offset < first);
            !record.is_durable() || (stream == SHORT && is_before)
        };
        let lost = self.of(stream).filter(|(id, record)| !ids.contains(id) && !may_be_gone(record));
        let lost: Vec<String> =
            lost.map(|(id, record)| format!("{id} of {} is lost: {record:?}", NAMES[stream])).collect();
        self.violations.extend(lost);
        // The newest confirmed message of each publisher is there, if anything that it published later is.
        let newest: BTreeMap<u64, u64> = self
            .of(stream)
            .filter(|(_, record)| record.confirmed_ms.is_some())
            .map(|(id, record)| (record.channel, id))
            .collect();
        let oldest: BTreeMap<u64, u64> =
            found.iter().rev().map(|(_, id)| (self.records[*id as usize].channel, *id)).collect();
        for (channel, oldest) in oldest {
            if newest.get(&channel).is_some_and(|newest| *newest > oldest && !ids.contains(newest)) {
                self.violate(format!("{:?} of {} is lost, and {oldest} is there", newest[&channel], NAMES[stream]));
            }
        }
    }
}

fn offset_of(delivery: &Delivery) -> Option<u64> {
    let properties = delivery.message().properties();
    let offset = properties.headers()?.find("x-stream-offset")?.decode().as_integer()?;
    u64::try_from(offset).ok()
}

/// What was wrong since this was asked last, and how many messages were looked at.
pub(super) fn take_violations(ledger: &Shared) -> (Vec<String>, u64) {
    let book = &mut ledger.borrow_mut().streams;
    (std::mem::take(&mut book.violations), std::mem::take(&mut book.checked))
}

/// Declares a stream, by number.
pub(super) fn declare(channel: &Channel, stream: usize) -> Result<(), Error> {
    let mut arguments = Table::new();
    arguments.push("x-queue-type", "stream");
    if stream == SHORT {
        arguments.push("x-max-length-bytes", SHORT_BYTES);
        arguments.push("x-stream-max-segment-size-bytes", SEGMENT_BYTES);
    }
    channel
        .queue_declare(NAMES[stream], &QueueOptions { durable: true, arguments, ..QueueOptions::default() })
        .map(drop)
}

/// The streams: their names, by number.
pub(super) fn names() -> impl Iterator<Item = (usize, &'static str)> {
    NAMES.into_iter().enumerate()
}

/// Before anybody works: streams that were promised are there, with as many messages as they may have.
pub(super) fn audit(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    for (stream, name) in names() {
        let found = count(connection, name)?;
        let is_promised = ledger.borrow().topology.contains(&format!("queue {name}"));
        let book = &mut ledger.borrow_mut().streams;
        let (least, most) = book.bounds(stream);
        match found {
            None if is_promised => book.violate(format!("stream '{name}' was declared and is not there")),
            Some(found) if found < least || found > most => {
                book.violate(format!("stream '{name}' has {found} messages, and should have {least} to {most}"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Publishes, with confirms; most are transient, which is the same to a stream.
pub(super) fn publish(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    let channel = connection.open_channel()?;
    channel.confirm_select()?;
    let numbers: Rc<RefCell<Vec<u64>>> = Rc::default();
    let (noted, sent) = (ledger.clone(), numbers.clone());
    channel.on_confirm(move |number, outcome| {
        let (id, book) = (sent.borrow()[number as usize - 1], &mut noted.borrow_mut().streams);
        match outcome {
            Outcome::Acked => book.confirm(id),
            Outcome::Nacked => book.violate(format!("message {id} of a stream was refused")),
        }
    });
    let of = {
        let book = &mut ledger.borrow_mut().streams;
        book.last_channel += 1;
        book.last_channel
    };
    let window = 1 + below(20) as usize;
    for _ in 0..below(PUBLISHES_MAX) {
        let stream = below(NAMES.len() as u64) as usize;
        let epoch = ledger.borrow().epoch;
        let id = ledger.borrow_mut().streams.publish(stream, of, epoch);
        numbers.borrow_mut().push(id);
        let properties = BasicProperties {
            delivery_mode: (below(3) == 0).then_some(leveret_client::PERSISTENT),
            ..BasicProperties::default()
        };
        channel.publish("", NAMES[stream], &properties.encode(), &body(id))?;
        channel.wait_for_confirms_below(window)?;
        pause();
    }
    channel.wait_for_confirms().map(drop)
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug)]
enum Place {
    First,
    Last,
    Next,
    Offset(u64),
    /// Seconds since 1970.
    Time(u64),
}

impl Place {
    fn draw(ledger: &Shared) -> Place {
        let book = &ledger.borrow().streams;
        match below(6) {
            0 => Place::First,
            1 => Place::Last,
            2 => Place::Next,
            3 => Place::Time((now_ms() / 1000).saturating_sub(below(12))),
            _ => {
                let highest = book.records.iter().filter_map(|record| record.seen).map(|(offset, _)| offset).max();
                Place::Offset(below(highest.unwrap_or(0) + 1))
            }
        }
    }

    fn value(self) -> FieldValue {
        match self {
            Place::First => "first".into(),
            Place::Last => "last".into(),
            Place::Next => "next".into(),
            Place::Offset(offset) => FieldValue::from(offset as i64),
            Place::Time(seconds) => FieldValue::Timestamp(seconds),
        }
    }
}

fn consume(channel: &Channel, stream: usize, place: Place) -> Result<Consumer, Error> {
    channel.qos(1 + below(12) as u16, false)?;
    let mut arguments = Table::new();
    arguments.push("x-stream-offset", place.value());
    channel.consume(NAMES[stream], &ConsumeOptions { arguments, ..ConsumeOptions::default() })
}

/// Reads, from some places, and settles.
pub(super) fn read(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    for _ in 0..1 + below(4) {
        let (channel, stream) = (connection.open_channel()?, below(NAMES.len() as u64) as usize);
        let place = Place::draw(ledger);
        let mut consumer = consume(&channel, stream, place)?;
        let (mut seen, wanted) = (Vec::new(), below(DELIVERIES_MAX) as usize);
        while seen.len() < wanted
            && let Some(delivery) = consumer.next_timeout(Duration::from_millis(1 + below(300)))?
        {
            note(ledger, stream, &delivery, &mut seen);
            match below(6) {
                0 => delivery.reject(false)?,
                1 => delivery.nack(true)?,
                _ => delivery.ack()?,
            }
            pause();
        }
        let book = &mut ledger.borrow_mut().streams;
        book.check_order(stream, &seen);
        if let Some(first) = seen.first() {
            book.check_start(stream, place, *first);
        }
    }
    Ok(())
}

fn note(ledger: &Shared, stream: usize, delivery: &Delivery, seen: &mut Vec<(u64, u64)>) {
    let mut ledger = ledger.borrow_mut();
    let epoch = ledger.epoch;
    match ledger.streams.see(stream, epoch, delivery) {
        Some(place) => seen.push(place),
        None => ledger.streams.violate(format!("{} has a message without a place", NAMES[stream])),
    }
}

/// When nothing goes wrong any more: everything is read once, and judged.
pub(super) fn drain(ledger: &Shared, connection: &Connection) -> Result<(), Error> {
    audit(ledger, connection)?;
    for (stream, name) in names() {
        let Some(count) = count(connection, name)? else { continue };
        let channel = connection.open_channel()?;
        let mut consumer = consume(&channel, stream, Place::First)?;
        let mut seen = Vec::new();
        while (seen.len() as u64) < count {
            let Some(delivery) = consumer.next_timeout(PATIENCE)? else { break };
            note(ledger, stream, &delivery, &mut seen);
            delivery.ack()?;
        }
        let book = &mut ledger.borrow_mut().streams;
        if seen.len() as u64 != count {
            book.violate(format!("stream '{name}' said {count} messages and had {}", seen.len()));
        }
        book.check_order(stream, &seen);
        book.judge(stream, &seen);
    }
    Ok(())
}
