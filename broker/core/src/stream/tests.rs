//! Streams against a list: whatever readers do, each gets every message behind its start, in order, and never more than it may.

use std::collections::BTreeMap;

use super::start::Start;
use super::*;
use crate::testing::Random;

struct Reading {
    start: u64,
    prefetch: u32,
    /// Deliveries that are neither settled nor declined, with their offsets.
    open: Vec<(Seq, u64)>,
    /// Offsets taken for good.
    taken: Vec<u64>,
    paused: bool,
}

#[derive(Default)]
struct Run {
    stream: Stream,
    published: u64,
    readers: BTreeMap<u64, Reading>,
    effects: Vec<Effect>,
}

impl Run {
    fn publish(&mut self) {
        let mut message = Message::builder("", "s", b"\0\0", 1);
        message.body(b"x");
        self.stream.publish(message.build(), Time(0), &Retention::default(), &mut self.effects);
        self.published += 1;
    }

    fn consume(&mut self, id: u64, random: &mut Random) {
        let (prefetch, start) = (1 + random.below(4) as u32, random.below(self.published + 2));
        let wants = StreamSpec { start: Start::Offset(start), filter: None };
        let spec = ConsumerSpec {
            id: ConsumerId(id),
            no_ack: false,
            exclusive: false,
            prefetch,
            priority: 0,
            window_bytes: 1 << 20,
            stream: Some(Box::new(wants)),
        };
        self.readers.insert(id, Reading { start, prefetch, open: Vec::new(), taken: Vec::new(), paused: false });
        self.stream.consume(spec, &mut self.effects);
    }

    /// Looks at what was delivered.
    fn carry_out(&mut self) {
        for effect in std::mem::take(&mut self.effects) {
            let Effect::Deliver(delivery) = effect else { panic!("{effect:?}") };
            let id = delivery.consumer.expect("streams deliver to readers").0;
            let reader = self.readers.get_mut(&id).expect("it is there");
            assert!(!reader.paused, "who declined gets nothing");
            let offset = delivery.offset.expect("streams say offsets").get();
            let next = reader.open.last().map(|(_, offset)| *offset).or(reader.taken.last().copied());
            assert_eq!(offset, next.map_or(reader.start, |last| last + 1), "each in turn");
            reader.open.push((delivery.seq, offset));
            assert!(reader.open.len() <= reader.prefetch as usize);
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
}

#[test]
fn every_reader_gets_every_message_in_order() {
    for seed in 0..50 {
        let (mut run, mut random) = (Run::default(), Random::new(seed));
        for step in 0..300 {
            let id = random.below(4);
            match random.below(8) {
                0..=2 => run.publish(),
                3 if !run.readers.contains_key(&id) => run.consume(id, &mut random),
                4 | 5 => run.settle(id),
                6 => run.decline(id),
                _ => run.resume(id),
            }
            run.carry_out();
            assert!(!run.stream.is_behind(), "seed {seed}, step {step}");
        }
        let ids: Vec<_> = run.readers.keys().copied().collect();
        for id in ids {
            run.resume(id);
            run.carry_out();
            while !run.readers[&id].open.is_empty() {
                run.settle(id);
                run.carry_out();
            }
            let reader = &run.readers[&id];
            assert!(reader.taken.iter().copied().eq(reader.start..run.published), "seed {seed}");
        }
        assert_eq!(run.stream.unsettled_count(), 0);
    }
}

#[test]
fn a_window_holds_a_reader_back_until_it_gets_credit() {
    let mut run = Run::default();
    (0..3).for_each(|_| run.publish());
    let cost = delivery_cost(&run.stream.log.get(0).expect("published").message);
    let wants = StreamSpec { start: Start::First, filter: None };
    let (stream, window_bytes) = (Some(Box::new(wants)), 2 * cost);
    let id = ConsumerId(1);
    let spec = ConsumerSpec { id, no_ack: false, exclusive: false, prefetch: 100, priority: 0, window_bytes, stream };
    run.stream.consume(spec, &mut run.effects);
    assert_eq!(run.effects.len(), 2);
    run.stream.credit(id, cost, &mut run.effects);
    assert_eq!(run.effects.len(), 3);
    assert!(run.stream.cancel(id) && !run.stream.cancel(id));
}

#[test]
fn a_filter_that_wants_nothing_does_not_hold_others_up() {
    let mut run = Run::default();
    (0..3 * SCAN_MAX).for_each(|_| run.publish());
    let arguments =
        [("x-stream-offset", crate::value::Value::str("first")), ("x-stream-filter", crate::value::Value::str("odd"))];
    let wants = StreamSpec::parse(&arguments.into_iter().collect(), Time(0)).expect("valid");
    let (id, stream) = (ConsumerId(1), Some(Box::new(wants)));
    let spec =
        ConsumerSpec { id, no_ack: false, exclusive: false, prefetch: 1, priority: 0, window_bytes: 1 << 20, stream };
    run.stream.consume(spec, &mut run.effects);
    let mut calls = 1;
    while run.stream.is_behind() {
        run.stream.serve(&mut run.effects);
        calls += 1;
    }
    assert_eq!((calls, run.effects.len()), (3, 0), "a slice for each call");
}
