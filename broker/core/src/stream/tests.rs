//! Streams against a list: whatever readers do, whatever is in memory and whatever is dropped, each gets every message behind its
//! start that it wants, in order, and never more than it may.

use std::collections::BTreeMap;

use super::start::{Start, StreamSpec};
use super::*;
use crate::queue::delivery_cost;
use crate::testing::Random;
use crate::value::Value;

/// Some messages in memory, and as many ahead of a reader.
const WINDOWS: Windows = Windows { head: 3_000, tail: 2_000, spill: 0, may_spill: false };

/// No message of these tests weighs more.
const WEIGHT_MAX: u64 = 400;

struct Reading {
    /// Nothing before is wanted.
    start: u64,
    filter: Option<u64>,
    prefetch: u32,
    /// Deliveries that are neither settled nor declined, with their offsets.
    open: Vec<(Seq, u64)>,
    /// Offsets taken for good.
    taken: Vec<u64>,
    paused: bool,
}

/// A page that was asked for: as it was then.
struct Asked {
    first: u64,
    last: u64,
    page: Page,
}

struct Run {
    stream: Stream,
    retention: Retention,
    windows: Option<Windows>,
    /// The messages that are there, and their times.
    stored: BTreeMap<u64, (Arc<Message>, Time)>,
    asked: Vec<Asked>,
    now: Time,
    published: u64,
    readers: BTreeMap<u64, Reading>,
    effects: Vec<Effect>,
    random: Random,
}

/// Every third message has a colour, which follows from its offset.
fn colour(offset: u64) -> Option<u64> {
    offset.is_multiple_of(3).then_some(offset % 5 % 2)
}

fn message(offset: u64) -> Arc<Message> {
    let mut message = Message::builder("", "s", b"\0\0", 8);
    message.body(&offset.to_le_bytes());
    if let Some(colour) = colour(offset) {
        message.filter_value(colour.to_string().as_bytes());
    }
    message.build()
}

impl Reading {
    fn wants(&self, offset: u64) -> bool {
        offset >= self.start && self.filter.is_none_or(|filter| colour(offset) == Some(filter))
    }

    fn last(&self) -> Option<u64> {
        self.open.last().map(|(_, offset)| *offset).or(self.taken.last().copied())
    }
}

impl Run {
    fn new(windows: Option<Windows>, retention: Retention, seed: u64) -> Self {
        let mut stream = Stream::default();
        stream.set_windows(windows);
        Self {
            stream,
            retention,
            windows,
            stored: BTreeMap::new(),
            asked: Vec::new(),
            now: Time(0),
            published: 0,
            readers: BTreeMap::new(),
            effects: Vec::new(),
            random: Random::new(seed),
        }
    }

    fn publish(&mut self) {
        self.now = self.now.plus_ms(self.random.below(20));
        let (offset, message) = (self.published, message(self.published));
        self.stream.publish(message.clone(), self.now, &self.retention, &mut self.effects);
        self.stored.insert(offset, (message, self.now));
        self.published += 1;
    }

    fn some_start(&mut self) -> (Start, u64) {
        let offset = self.random.below(self.published + 3);
        let time = Time(self.random.below(self.now.0 + 30));
        let first = self.stored.keys().next().copied().unwrap_or(self.published);
        let last = self.stored.keys().next_back().copied().unwrap_or(self.published);
        let at_time = self.stored.iter().find(|(_, it)| it.1 >= time).map_or(self.published, |(offset, _)| *offset);
        match self.random.below(5) {
            0 => (Start::First, first),
            1 => (Start::Last, last),
            2 => (Start::Next, self.published),
            3 => (Start::Time(time), at_time),
            _ => (Start::Offset(offset), offset),
        }
    }

    fn consume(&mut self, id: u64) {
        let (prefetch, (start, expected)) = (1 + self.random.below(4) as u32, self.some_start());
        let filter = self.random.chance(30).then(|| self.random.below(2));
        let place = match start {
            Start::First => Value::str("first"),
            Start::Last => Value::str("last"),
            Start::Next => Value::str("next"),
            Start::Offset(offset) => Value::long(offset as i64),
            Start::Time(_) => Value::Timestamp(0),
        };
        let mut arguments = vec![("x-stream-offset", place)];
        arguments.extend(filter.map(|it| ("x-stream-filter", Value::str(&it.to_string()))));
        let wants =
            StreamSpec { start, ..StreamSpec::parse(&arguments.into_iter().collect(), Time(0)).expect("valid") };
        let (open, taken) = (Vec::new(), Vec::new());
        self.readers.insert(id, Reading { start: expected, filter, prefetch, open, taken, paused: false });
        self.stream.consume(spec(id, prefetch, wants), &mut self.effects);
    }

    /// What there is between two offsets, a few messages of it.
    fn read(&mut self, first: u64, last: u64) -> Page {
        let count = 1 + self.random.below(12) as usize;
        let messages = self.stored.range(first..=last).take(count);
        let messages: Vec<Paged> = messages
            .map(|(offset, (message, time))| Paged {
                seq: Seq(*offset),
                message: message.clone(),
                expiry: Some(*time),
                requeues: 0,
                stored: true,
            })
            .collect();
        let through = if messages.len() == count { messages[count - 1].seq } else { Seq(last) };
        Page { first: Seq(first), through, messages }
    }

    /// One of the pages that were asked for comes, as it was then or as it is now.
    fn answer(&mut self) {
        if self.asked.is_empty() {
            return;
        }
        let at = self.random.below(self.asked.len() as u64) as usize;
        let Asked { first, last, page } = self.asked.remove(at);
        let page = if self.random.chance(50) { page } else { self.read(first, last) };
        assert_eq!(self.stream.page(page, &self.retention, self.now, &mut self.effects), 0);
    }

    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            match effect {
                Effect::Deliver(delivery) => self.see(&delivery),
                Effect::Settled { first, last } => self.stored.retain(|at, _| !(first.0..=last.0).contains(at)),
                Effect::Fetch { first, last, spilled: false, .. } => {
                    assert!(self.asked.iter().all(|it| it.first != first.0), "no page is asked for twice");
                    let page = self.read(first.0, last.0);
                    self.asked.push(Asked { first: first.0, last: last.0, page });
                }
                other => panic!("{other:?}"),
            }
        }
        self.check();
    }

    /// Looks at what was delivered.
    fn see(&mut self, delivery: &Delivery) {
        let id = delivery.consumer.expect("streams deliver to readers").0;
        let reader = self.readers.get_mut(&id).expect("it is there");
        assert!(!reader.paused, "who declined gets nothing");
        let offset = delivery.offset.expect("streams say offsets").get();
        assert_eq!(delivery.message.body(), offset.to_le_bytes());
        assert!(reader.wants(offset), "{offset} was not wanted");
        let from = reader.last().map_or(reader.start, |last| last + 1);
        assert!(from <= offset, "each in turn");
        let left_out = self.stored.range(from..offset).find(|(offset, _)| reader.wants(**offset));
        assert!(left_out.is_none(), "{left_out:?} comes before {offset}");
        reader.open.push((delivery.seq, offset));
        assert!(reader.open.len() <= reader.prefetch as usize);
    }

    fn check(&self) {
        self.stream.check_invariants();
        assert!(!self.stream.is_behind());
        let log = self.stream.log();
        assert_eq!((log.len(), log.next()), (self.stored.len() as u64, self.published));
        if let Some(Windows { head, tail, .. }) = self.windows {
            let index = log.weight() - log.tail().map(|(_, record)| record.weight()).sum::<u64>();
            let most = tail + self.readers.len() as u64 * (head + WEIGHT_MAX) + WEIGHT_MAX;
            assert!(self.stream.weight() - index <= most, "{} bytes", self.stream.weight());
        }
    }

    fn settle(&mut self, id: u64) {
        let Some(reader) = self.readers.get_mut(&id).filter(|reader| !reader.open.is_empty()) else { return };
        let (seq, offset) = reader.open.remove(0);
        reader.taken.push(offset);
        assert!(self.stream.settle(&[seq], &mut self.effects));
        assert!(!self.stream.settle(&[seq], &mut self.effects), "once only");
    }

    /// Everything that is open is declined, as a channel does it.
    fn decline(&mut self, id: u64) {
        let Some(reader) = self.readers.get_mut(&id).filter(|reader| !reader.open.is_empty()) else { return };
        reader.paused = true;
        for (seq, _) in std::mem::take(&mut reader.open) {
            self.stream.decline(ConsumerId(id), seq);
        }
    }

    fn resume(&mut self, id: u64) {
        if let Some(reader) = self.readers.get_mut(&id) {
            reader.paused = false;
            self.stream.resume(ConsumerId(id), &mut self.effects);
        }
    }

    fn cancel(&mut self, id: u64) {
        assert_eq!(self.stream.cancel(ConsumerId(id)), self.readers.contains_key(&id));
        let open = self.readers.remove(&id).map(|reader| reader.open).unwrap_or_default();
        open.iter().for_each(|(seq, _)| assert!(self.stream.settle(&[*seq], &mut self.effects)));
    }

    /// The stream is as a start finds it; offsets may have been given out that are not there any more.
    fn restart(&mut self) {
        *self = Run {
            stored: std::mem::take(&mut self.stored),
            now: self.now,
            published: self.published + self.random.below(3),
            ..Run::new(self.windows, self.retention, self.random.next())
        };
        let all: Vec<(u64, Time)> = self.stored.iter().map(|(offset, it)| (*offset, it.1)).collect();
        let mut rest = &all[..];
        while !rest.is_empty() {
            let (part, others) = rest.split_at(1 + self.random.below(rest.len() as u64) as usize);
            let ((first, time), (last, _), count) = (part[0], part[part.len() - 1], part.len() as u64);
            assert!(self.stream.restore(first, last, (count, 8 * count), time));
            rest = others;
        }
        self.stream.skip_to(self.published);
    }

    fn step(&mut self) {
        let id = self.random.below(4);
        match self.random.below(100) {
            0..40 => self.publish(),
            40..48 if !self.readers.contains_key(&id) => self.consume(id),
            40..65 => self.settle(id),
            65..70 => self.decline(id),
            70..80 => self.resume(id),
            80..81 => self.cancel(id),
            81..82 if self.windows.is_some() => self.restart(),
            _ => self.answer(),
        }
        self.carry_out();
    }

    /// Everybody takes all that there is.
    fn finish(&mut self) {
        let ids: Vec<u64> = self.readers.keys().copied().collect();
        ids.iter().for_each(|id| self.resume(*id));
        self.carry_out();
        while !self.asked.is_empty() || self.readers.values().any(|reader| !reader.open.is_empty()) {
            self.answer();
            self.carry_out();
            for id in &ids {
                self.settle(*id);
                self.carry_out();
            }
        }
        for reader in self.readers.values() {
            let from = reader.last().map_or(reader.start, |last| last + 1);
            assert!(!self.stored.range(from..).any(|(offset, _)| reader.wants(*offset)), "nothing is left");
        }
        assert_eq!(self.stream.unsettled_count(), 0);
    }
}

fn spec(id: u64, prefetch: u32, wants: StreamSpec) -> ConsumerSpec {
    ConsumerSpec {
        id: ConsumerId(id),
        no_ack: false,
        exclusive: false,
        prefetch,
        priority: 0,
        window_bytes: 1 << 20,
        stream: Some(Box::new(wants)),
    }
}

#[test]
fn every_reader_gets_every_message_in_order() {
    let retentions = [
        Retention::default(),
        Retention { bytes: Some(600), ..Retention::default() },
        Retention { age_ms: Some(500), segment_bytes: Some(64), ..Retention::default() },
    ];
    for windows in [None, Some(WINDOWS), Some(Windows { tail: 0, head: 500, ..WINDOWS })] {
        for (seed, retention) in (0..60).zip(retentions.iter().cycle()) {
            let mut run = Run::new(windows, *retention, seed);
            (0..800).for_each(|_| run.step());
            run.finish();
        }
    }
}

#[test]
fn readers_that_are_far_behind_take_turns() {
    let mut run = Run::new(Some(WINDOWS), Retention::default(), 1);
    (0..500).for_each(|_| run.publish());
    run.carry_out();
    for id in 0..10 {
        run.readers.insert(
            id,
            Reading { start: 40 * id, filter: None, prefetch: 1, open: vec![], taken: vec![], paused: false },
        );
        let wants = StreamSpec { start: Start::Offset(40 * id), filter: None };
        run.stream.consume(spec(id, 1, wants), &mut run.effects);
        run.carry_out();
        assert!(run.asked.len() <= READS_MAX);
    }
    // One reader takes all that it gets, and the others nothing: they have their first message all the same.
    for _ in 0..40 {
        run.answer();
        run.settle(0);
        run.carry_out();
    }
    assert!(run.readers.values().all(|reader| reader.last().is_some()));
    run.finish();
}

#[test]
fn a_window_holds_a_reader_back_until_it_gets_credit() {
    let mut run = Run::new(None, Retention::default(), 1);
    (0..3).for_each(|_| run.publish());
    let cost = delivery_cost(&run.stored[&0].0);
    let wants = StreamSpec { start: Start::First, filter: None };
    let spec = ConsumerSpec { window_bytes: 2 * cost, ..spec(1, 100, wants) };
    let id = spec.id;
    run.stream.consume(spec, &mut run.effects);
    assert_eq!(run.effects.len(), 2);
    run.stream.credit(id, cost, &mut run.effects);
    assert_eq!(run.effects.len(), 3);
    assert!(run.stream.cancel(id) && !run.stream.cancel(id));
}

#[test]
fn a_filter_that_wants_nothing_does_not_hold_others_up() {
    let mut run = Run::new(None, Retention::default(), 1);
    (0..3 * SCAN_MAX).for_each(|_| run.publish());
    let arguments = [("x-stream-offset", Value::str("first")), ("x-stream-filter", Value::str("odd"))];
    let wants = StreamSpec::parse(&arguments.into_iter().collect(), Time(0)).expect("valid");
    run.stream.consume(spec(1, 1, wants), &mut run.effects);
    let mut calls = 1;
    while run.stream.is_behind() {
        run.stream.serve(&mut run.effects);
        calls += 1;
    }
    assert_eq!((calls, run.effects.len()), (3, 0), "a slice for each call");
}
