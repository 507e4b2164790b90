//! Messages away and back: how much of a backlog stays in memory, and the pages in which the rest returns.
//!
//! The queue is data and cannot read. It asks by [`Effect::Fetch`] for one page at a time, and [`Queue::page`] is the answer,
//! some turns later; whatever happens meanwhile, a page that has become pointless is passed over. Nothing is delivered past a
//! message that is away: while the head is on its way, consumers and gets wait.
//!
//! | feature | what it needs while messages are away |
//! |---|---|
//! | order, priorities | nothing: each priority has its own middle, and the highest is served first |
//! | TTL | the earliest time of each 2,048 messages; a page is read to find what has expired, wherever it stands |
//! | length limits | counts and bytes, which are exact; drop-head waits for the head, so a limit is exceeded for as long as a read takes |
//! | dead letters out of the middle | 16 bytes each until the head has passed them |
//! | requeue, delivery counts | delivered messages stay in memory until they are settled; counts come back with the page |
//! | purge, deletion | nothing: one range |

use std::sync::Arc;

use crate::death::DeathReason;
use crate::ids::{Seq, Time};
use crate::message::Message;

use super::away::{Place, Stretch};
use super::effect::Effect;
use super::expiry::Expiry;
use super::lane::{Entry, Lane, State};
use super::{Queue, level, number, push_settled, seq};

/// How many bytes of ready messages a queue keeps in memory, for each priority: those to be delivered next, and those that came
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Next to be delivered. Below half of this a page is asked for.
    pub head: u64,
    /// Came last.
    pub tail: u64,
    /// Messages that nobody keeps go away in pieces of this size.
    pub spill: u64,
    /// Whether those may go at all.
    pub may_spill: bool,
}

/// Spills of a queue that are being written at the same time: what is on its way is in memory still.
const SPILLING_MAX: u32 = 4;

/// A message on its way to a scratch file, or as it was read back.
#[derive(Clone, Debug)]
pub struct Paged {
    /// Its place.
    pub seq: Seq,
    /// The message.
    pub message: Arc<Message>,
    /// When it expires; in a stream, when it came.
    pub expiry: Option<Time>,
    /// How often it came back.
    pub requeues: u32,
    /// The store has it, and wants to know when it is settled.
    pub stored: bool,
}

/// The answer to an [`Effect::Fetch`].
#[derive(Debug)]
pub struct Page {
    /// As it was asked for.
    pub first: Seq,
    /// Up to here all that is live has been read.
    pub through: Seq,
    /// In the order of their places.
    pub messages: Vec<Paged>,
}

/// What a read that is under way is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The head.
    Head(Seq),
    /// Finding what has expired.
    Expired(Seq),
}

impl Queue {
    /// From now on the queue keeps no more than this in memory, and asks for what it needs; without, it keeps all.
    pub fn set_windows(&mut self, windows: Option<Windows>) {
        if self.windows != windows {
            self.windows = windows;
            self.lanes.iter_mut().for_each(Lane::try_again);
            if let Some(stream) = &mut self.stream {
                stream.set_windows(windows);
            }
        }
    }

    /// Sends away what is too much in memory, if nothing comes that would do it in passing. To be called now and then.
    pub fn relieve(&mut self, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            stream.relieve();
        } else if !self.ended {
            (0..self.lanes.len()).for_each(|level| self.send_away(level, effects));
        }
    }

    /// What an [`Effect::Spill`] asked for is written, or cannot be: then it stays where it is.
    pub fn spilled(&mut self) {
        self.spilling = self.spilling.saturating_sub(1);
    }

    /// Adds stored messages to the end of the backlog without having them in memory. They lie between `first` and `last`, of one
    /// priority; `bytes` are those of their bodies, and none expires before `earliest`; in a stream the first came then. To be
    /// called before anything else, in ascending order; `false` if the place does not fit (then publish them anew).
    pub fn restore_away(&mut self, first: Seq, last: Seq, (count, bytes): (u64, u64), earliest: Option<Time>) -> bool {
        if let Some(stream) = &mut self.stream {
            return stream.restore(first.0, last.0, (count, bytes), earliest.unwrap_or(self.last_used));
        }
        let level = level(first);
        match self.lanes.get_mut(level) {
            Some(lane) if lane.next_number() <= number(first) => {
                let (first, last) = (number(first), number(last));
                lane.restore_away(Stretch { first, last, count, bytes, earliest, place: Place::Store });
                self.top = self.top.max(level);
                self.has_away = true;
                true
            }
            _ => false,
        }
    }

    /// Messages that are not in memory.
    pub fn away_count(&self) -> u64 {
        let stream = self.stream.as_ref().map_or(0, |stream| stream.log().away().0);
        stream + self.lanes.iter().map(|lane| lane.away().count()).sum::<u64>()
    }

    /// Bytes of the bodies of messages that are not in memory.
    pub fn away_bytes(&self) -> u64 {
        let stream = self.stream.as_ref().map_or(0, |stream| stream.log().away().1);
        stream + self.lanes.iter().map(|lane| lane.away().bytes()).sum::<u64>()
    }

    /// The first and the last message that are not in memory, if it is a stream, whose first they are.
    pub fn stream_away(&self) -> Option<(Seq, Seq)> {
        let log = self.stream.as_ref()?.log();
        Some((Seq(log.first()), Seq(log.last_away()?)))
    }

    /// Bytes of memory that its messages take, about. A message that lies in several queues counts in each.
    pub fn weight(&self) -> u64 {
        let stream = self.stream.as_ref().map_or(0, |stream| stream.weight());
        stream + self.lanes.iter().map(|lane| lane.weight()).sum::<u64>()
    }

    /// A page has come. Answers how many messages are not there though they should be, which is 0 unless whoever keeps them has
    /// lost some.
    pub fn page(&mut self, page: Page, now: Time, effects: &mut Vec<Effect>) -> u64 {
        if let Some(stream) = &mut self.stream {
            return stream.page(page, &self.settings.retention, now, effects);
        }
        let mut missing = 0;
        match self.reading.take() {
            Some(Reading::Head(first)) if first == page.first => missing = self.take_page(page),
            Some(Reading::Expired(first)) if first == page.first => self.look_through(page, now, effects),
            _ => {} // it was asked for by a queue that has ended meanwhile
        }
        if !self.ended {
            self.dispatch(now, effects);
        }
        missing
    }

    /// Whether messages between these places, of one priority, are not in memory.
    pub fn is_away(&self, first: Seq, last: Seq) -> bool {
        let lane = self.lanes.get(level(first));
        lane.is_some_and(|lane| lane.away().overlaps(number(first), number(last)))
    }

    /// Asks for the page that is needed next, if one is.
    #[inline]
    pub(super) fn look_ahead(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if self.has_away && self.windows.is_some() && self.reading.is_none() && !self.ended {
            self.ask(now, effects);
        }
    }

    /// Sends away what is too much in memory.
    #[inline]
    pub(super) fn send_away(&mut self, level: usize, effects: &mut Vec<Effect>) {
        let Some(windows) = self.windows else { return };
        let lane = &mut self.lanes[level];
        let mut spilled = Vec::new();
        let may_spill = windows.may_spill && self.spilling < SPILLING_MAX;
        lane.send_away(&windows, may_spill.then_some(&mut spilled));
        self.has_away |= !lane.away().is_empty();
        if let Some((first, last)) = spilled.first().zip(spilled.last()) {
            let (first, last) = (seq(level, first.0), seq(level, last.0));
            self.spilling += 1;
            let messages = spilled.into_iter().map(|(number, entry)| paged(seq(level, number), entry)).collect();
            effects.push(Effect::Spill { first, last, messages });
        }
    }

    fn ask(&mut self, now: Time, effects: &mut Vec<Effect>) {
        let Some(windows) = self.windows else { return };
        let Some(level) = self.head_level() else { return };
        let head = self.lanes[level].away().front().filter(|_| self.lanes[level].wants_page(&windows));
        // If there is both to do, they take turns.
        let due = self.lanes.iter().enumerate().find_map(|(level, lane)| Some((level, lane.away().due(now)?)));
        let (reading, stretch, level) = match (head, due) {
            (Some(front), Some((due_level, due)))
                if !self.has_looked && (due_level, due.first) != (level, front.first) =>
            {
                (Reading::Expired(seq(due_level, due.first)), due, due_level)
            }
            (Some(front), _) => (Reading::Head(seq(level, front.first)), front, level),
            (None, Some((level, due))) => (Reading::Expired(seq(level, due.first)), due, level),
            (None, None) => return,
        };
        let spilled = stretch.place == Place::Scratch;
        let (first, last) = (seq(level, stretch.first), seq(level, stretch.last));
        self.has_looked = matches!(reading, Reading::Expired(_));
        self.reading = Some(reading);
        effects.push(Effect::Fetch { first, last, size: windows.head / 2, spilled });
    }

    fn take_page(&mut self, page: Page) -> u64 {
        let level = level(page.first);
        let Some(lane) = self.lanes.get_mut(level) else { return 0 };
        let restored: Vec<(u64, Entry)> =
            page.messages.into_iter().map(|paged| (number(paged.seq), entry(paged))).collect();
        let expiring: Vec<_> =
            restored.iter().filter_map(|(at, it)| Some((it.expiry?.time(), seq(level, *at)))).collect();
        let Some(missing) = lane.come_back(number(page.first), number(page.through), restored) else { return 0 };
        for (time, seq) in expiring {
            if self.lanes[level].get(number(seq)).is_some() {
                self.index_expiry(time, seq);
            }
        }
        missing
    }

    /// Removes what has expired of a stretch that stays away.
    fn look_through(&mut self, page: Page, now: Time, effects: &mut Vec<Effect>) {
        let level = level(page.first);
        let Some(lane) = self.lanes.get(level) else { return };
        if lane.away().at(number(page.first)).is_none() {
            return; // purged meanwhile
        }
        let live = page.messages.into_iter().filter(|it| !lane.away().is_gone(number(it.seq)));
        let live: Vec<Paged> = live.collect();
        let size = |it: &Paged| it.message.body().len() as u64;
        let seen = (live.len() as u64, live.iter().map(size).sum());
        let is_expired = |it: &&Paged| it.expiry.is_some_and(|time| time <= now);
        let expired: Vec<&Paged> = live.iter().filter(is_expired).collect();
        let earliest = live.iter().filter(|it| !is_expired(it)).filter_map(|it| it.expiry).min();
        let numbers: Vec<u64> = expired.iter().map(|it| number(it.seq)).collect();
        let bytes = expired.iter().map(|it| size(it)).sum();
        let (first, through) = (number(page.first), number(page.through));
        self.lanes[level].looked_through(first, through, seen, (&numbers, bytes), earliest);
        for it in expired {
            self.counters.expired += 1;
            self.dead_letter(&it.message, DeathReason::Expired, effects);
            if it.stored {
                push_settled(it.seq, effects);
            }
        }
    }
}

fn paged(seq: Seq, entry: Entry) -> Paged {
    let Entry { message, expiry, requeues, stored, .. } = entry;
    Paged { seq, message, expiry: expiry.map(Expiry::time), requeues, stored }
}

fn entry(paged: Paged) -> Entry {
    let Paged { message, expiry, requeues, stored, .. } = paged;
    let expiry = expiry.map(Expiry::at);
    Entry { message, expiry, requeues, state: State::Ready, stored, indexed: expiry.is_some() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Get;
    use super::super::tests::{declare, spec};
    use super::*;
    use crate::testing::Random;
    use crate::value::Value;

    /// A queue, with a shell that reads and writes at once.
    struct Bench {
        queue: Queue,
        effects: Vec<Effect>,
        /// All that was published and stored; of a queue that is told to forget, the store has less.
        stored: BTreeMap<u64, Paged>,
        spilled: BTreeMap<u64, Paged>,
        delivered: Vec<u64>,
        weight_max: u64,
    }

    const WINDOWS: Windows = Windows { head: 4_000, tail: 2_000, spill: 1_000, may_spill: true };

    impl Bench {
        fn new(arguments: &[(&str, Value)], windows: Windows) -> Self {
            let mut queue = declare(true, false, arguments).expect("valid arguments");
            queue.set_windows(Some(windows));
            let (stored, spilled) = (BTreeMap::new(), BTreeMap::new());
            Self { queue, effects: Vec::new(), stored, spilled, delivered: Vec::new(), weight_max: 0 }
        }

        fn publish(&mut self, number: u64, persistent: bool) {
            let mut message = Message::builder("", "q", b"", 8);
            message.body(&number.to_le_bytes()).persistent(persistent).priority((number % 3) as u8);
            let message = message.build();
            let published = self.queue.publish(message.clone(), Time(0), &mut self.effects);
            let super::super::Published::Accepted { seq, stored } = published else { panic!("refused") };
            if stored {
                self.stored.insert(seq.0, Paged { seq, message, expiry: None, requeues: 0, stored });
            }
            self.carry_out();
        }

        fn carry_out(&mut self) {
            let mut effects = std::mem::take(&mut self.effects);
            while !effects.is_empty() {
                for effect in std::mem::take(&mut effects) {
                    match effect {
                        Effect::Deliver(delivery) => self.delivered.push(delivery.seq.0),
                        Effect::Settled { first, last } => self.stored.retain(|at, _| !(first.0..=last.0).contains(at)),
                        Effect::Spill { messages, .. } => {
                            self.spilled.extend(messages.into_iter().map(|it| (it.seq.0, it)));
                            self.queue.spilled();
                        }
                        Effect::Fetch { first, last, spilled, .. } => {
                            let from = if spilled { &self.spilled } else { &self.stored };
                            let messages =
                                from.range(first.0..=last.0).take(5).map(|(_, it)| it.clone()).collect::<Vec<_>>();
                            let through = if messages.len() == 5 { messages[4].seq } else { last };
                            let missing = self.queue.page(Page { first, through, messages }, Time(0), &mut effects);
                            assert_eq!(missing, 0);
                        }
                        other => panic!("{other:?}"),
                    }
                    self.queue.check_invariants(Time(0));
                    self.weight_max = self.weight_max.max(self.queue.weight());
                }
            }
        }

        fn get(&mut self) -> Option<u64> {
            loop {
                let got = self.queue.get(true, Time(0), &mut self.effects).expect("not refused");
                self.carry_out();
                match got {
                    Get::Message(got) => {
                        return Some(u64::from_le_bytes(got.delivery.message.body().try_into().expect("a number")));
                    }
                    Get::Empty => return None,
                    Get::Later => {}
                }
            }
        }
    }

    #[test]
    fn a_backlog_takes_two_windows_of_memory_whatever_is_stored() {
        let mut random = Random::new(3);
        for persistent in [100, 0, 50, 97, 3] {
            let mut bench = Bench::new(&[], WINDOWS);
            let count = 2_000;
            (0..count).for_each(|number| {
                let persistent = random.chance(persistent);
                bench.publish(number, persistent);
            });
            assert_eq!((bench.queue.ready_count(), bench.queue.ready_bytes()), (count, 8 * count));
            assert!(bench.weight_max < 8_000, "{} bytes, {persistent} % stored", bench.weight_max);
            assert!(bench.queue.away_count() > 1_900);
            for number in 0..count {
                assert_eq!(bench.get(), Some(number));
            }
            assert_eq!((bench.get(), bench.queue.weight()), (None, 0));
            assert!(bench.weight_max < 8_000, "{} bytes, {persistent} % stored", bench.weight_max);
        }
    }

    #[test]
    fn a_queue_spills_no_faster_than_it_is_written() {
        let mut bench = Bench::new(&[], Windows { may_spill: false, ..WINDOWS });
        (0..1_000).for_each(|number| bench.publish(number, false));
        let before = bench.queue.weight();
        bench.queue.set_windows(Some(WINDOWS));
        let mut count_spills = |times| {
            (0..times).for_each(|_| bench.queue.relieve(&mut bench.effects));
            let count = bench.effects.iter().filter(|effect| matches!(effect, Effect::Spill { .. })).count();
            bench.carry_out();
            count
        };
        assert_eq!((count_spills(9), count_spills(2), count_spills(500)), (4, 2, 4));
        (0..500).for_each(|_| _ = count_spills(1));
        assert!(bench.queue.weight() < 8_000 && before > 100_000);
        assert!((0..1_000).all(|number| bench.get() == Some(number)));
    }

    #[test]
    fn priorities_are_kept_over_what_is_away() {
        let mut bench = Bench::new(&[("x-max-priority", Value::long(2))], WINDOWS);
        (0..3_000).for_each(|number| bench.publish(number, number % 5 != 0));
        let expected = [2, 1, 0].into_iter().flat_map(|level| (0..3_000).filter(move |it| it % 3 == level));
        for number in expected {
            assert_eq!(bench.get(), Some(number));
        }
        assert_eq!(bench.get(), None);
    }

    #[test]
    fn what_nobody_keeps_stays_unless_it_may_go() {
        let mut bench = Bench::new(&[], Windows { may_spill: false, ..WINDOWS });
        (0..100).for_each(|number| bench.publish(number, number != 50));
        let away = bench.queue.away_count();
        assert!(0 < away && away < 50, "{away}");
        (100..3_000).for_each(|number| bench.publish(number, true));
        assert_eq!(bench.queue.away_count(), away, "whatever is behind it stays too");
        assert_eq!((0..60).filter_map(|_| bench.get()).count(), 60);
        (3_000..5_000).for_each(|number| bench.publish(number, true));
        assert!(bench.queue.away_count() > 3_000);
    }

    #[test]
    fn a_purge_takes_what_is_away_too_and_a_late_page_brings_nothing_back() {
        let mut bench = Bench::new(&[], WINDOWS);
        (0..500).for_each(|number| bench.publish(number, true));
        bench.queue.consume(spec(1), Time(0), &mut bench.effects).expect("admitted");
        let asked = bench.effects.iter().find_map(|effect| match effect {
            Effect::Fetch { first, last, .. } => Some((*first, *last)),
            _ => None,
        });
        let (first, last) = asked.expect("the head was delivered");
        let messages: Vec<_> = bench.stored.range(first.0..=last.0).map(|(_, it)| it.clone()).collect();
        let held = bench.queue.unsettled_count();
        assert_eq!(bench.queue.purge(&mut Vec::new()), 500 - held);
        assert_eq!((bench.queue.ready_count(), bench.queue.unsettled_count()), (0, held));
        bench.effects.clear();
        let missing = bench.queue.page(Page { first, through: last, messages }, Time(0), &mut bench.effects);
        assert_eq!(missing, 0);
        assert!(bench.effects.is_empty() && bench.queue.ready_count() == 0);
        bench.queue.check_invariants(Time(0));
        bench.publish(7, true);
        assert_eq!(bench.delivered.len(), 1);
    }

    #[test]
    fn a_restart_knows_counts_without_messages() {
        let mut bench = Bench::new(&[], WINDOWS);
        (0..300).for_each(|number| bench.publish(number, true));
        let mut again = Bench::new(&[], WINDOWS);
        again.stored = std::mem::take(&mut bench.stored);
        assert!(again.queue.restore_away(Seq(0), Seq(199), (200, 1_600), None));
        assert!(again.queue.restore_away(Seq(200), Seq(299), (100, 800), None));
        assert!(!again.queue.restore_away(Seq(299), Seq(299), (1, 8), None));
        again.queue.resume_numbering(Seq(320));
        assert_eq!((again.queue.ready_count(), again.queue.ready_bytes(), again.queue.weight()), (300, 2_400, 0));
        again.publish(300, true);
        assert_eq!((0..=300).filter(|number| again.get() == Some(*number)).count(), 301);
        assert_eq!(again.get(), None);
        again.publish(301, true);
        assert_eq!(again.stored.keys().copied().collect::<Vec<_>>(), [322]);
    }

    #[test]
    fn after_a_crash_restored_messages_count_as_redelivered_and_new_ones_do_not() {
        let mut bench = Bench::new(&[], WINDOWS);
        let mut message = Message::builder("x", "k", b"", 0);
        message.persistent(true);
        let message = message.build();
        assert!(bench.queue.restore(Seq(5), message.clone(), None, 0));
        bench.queue.doubt_restored();
        assert_eq!(bench.queue.doubts(), [Seq(5)]);
        let published = bench.queue.publish(message, Time(0), &mut Vec::new());
        assert_eq!(published, super::super::Published::Accepted { seq: Seq(6), stored: true });
        let mut get = || match bench.queue.get(false, Time(0), &mut Vec::new()) {
            Ok(Get::Message(got)) => got,
            other => panic!("{other:?}"),
        };
        assert_eq!((get().delivery.redelivered, get().delivery.redelivered), (true, false));
        assert_eq!(bench.queue.doubts(), [Seq(5)], "what is unsettled may come back at the next start");
        assert!(bench.queue.settle(Seq(5), super::super::Settlement::Ack, Time(0), &mut Vec::new()));
        assert_eq!(bench.queue.doubts(), []);
    }
}
