//! Messages that wait at `x-delayed-message` exchanges until their time has come.
//!
//! They wait on the shard of their publisher and are routed when they are due, with the bindings of that moment. Persistent ones
//! at durable exchanges are stored, so that they wait on after a restart (what is overdue then is published at once), and their
//! confirms wait for that. Of those, only as many as a queue's window has room for are in memory as well; of the others a few
//! words are, and they are read when they are due. What is not stored counts as held memory, and is bounded by the memory alarm.
//!
//! A stored message that is due is settled in the batch in which the queues of this shard take it; if queues of other shards take
//! it, when it is stored there: a crash in between may double it, and loses nothing.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_core::exchange::ExchangeKind;
use leveret_core::message::Message;
use leveret_core::topology::Aside;
use leveret_core::{Name, QueueId, Seq, Time, VhostId};
use leveret_runtime as runtime;
use runtime::sync::Event;

use super::stored::delayed::queue_of;
use super::{Shard, stop_process};
use crate::shard::stored::recovery::RecoveryError;

/// Messages that become due at once and are published before connections come in between again, and bytes of those among them
/// that have to be read.
const BATCH_MAX: usize = 256;
const BATCH_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// What a message that waits takes in memory besides itself.
const WEIGHT: u64 = 128;

/// See the module's description.
#[derive(Default)]
pub struct Delays {
    /// In the order in which they become due; equal times in the order of arrival.
    waiting: RefCell<BTreeMap<(Time, QueueId, u64), Delayed>>,
    /// The number of the next one; also its place in the store.
    next: Cell<u64>,
    bytes: Cell<u64>,
    /// Set when an earlier one has come first.
    sooner: Event,
    /// What the store had at the start and was not looked at yet: queues there, with their last numbers.
    expected: RefCell<Vec<(QueueId, Seq)>>,
    /// Exchanges that have gone since the start, until all of that was looked at; without a name all of a virtual host.
    forgotten: RefCell<Vec<(VhostId, Option<Name>)>>,
}

/// Where a message is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The queue in the store.
    pub queue: QueueId,
    /// Its number there.
    pub seq: Seq,
    /// Bytes that it takes when it is read, about.
    pub size: u64,
}

struct Delayed {
    vhost: VhostId,
    exchange: Name,
    kept: Kept,
}

enum Kept {
    /// In memory; and in the store, if it is said where.
    Here(Arc<Message>, Option<Place>),
    /// In the store only.
    Away(Place),
}

impl Kept {
    /// Bytes of memory that it takes.
    fn weight(&self) -> u64 {
        match self {
            Kept::Here(message, _) => message.size() as u64 + WEIGHT,
            Kept::Away(_) => WEIGHT,
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Kept::Here(_, place) => *place,
            Kept::Away(place) => Some(*place),
        }
    }

    /// Bytes that have to be read of it.
    fn to_read(&self) -> u64 {
        if let Kept::Away(place) = self { place.size } else { 0 }
    }
}

impl Delays {
    fn add(&self, at: (Time, QueueId, u64), delayed: Delayed) {
        self.bytes.set(self.bytes.get() + delayed.kept.weight());
        let mut waiting = self.waiting.borrow_mut();
        waiting.insert(at, delayed);
        if waiting.first_key_value().is_some_and(|(first, _)| *first == at) {
            self.sooner.set();
        }
    }

    /// The number of a new message.
    fn take_number(&self) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        number
    }

    /// At the start: the store has messages up to that number, which come by [`Delays::restore`]. `is_own`: new ones go there too.
    pub(super) fn expect(&self, queue: QueueId, last: Seq, is_own: bool) {
        self.expected.borrow_mut().push((queue, last));
        if is_own {
            self.next.set(self.next.get().max(last.0 + 1));
        }
    }

    /// See [`Delays::expect`].
    pub(super) fn expected(&self) -> Vec<(QueueId, Seq)> {
        self.expected.borrow().clone()
    }

    /// Whether the store has messages that were not looked at.
    pub(super) fn is_loading(&self) -> bool {
        !self.expected.borrow().is_empty()
    }

    /// All have been looked at.
    pub(super) fn loaded(&self) {
        self.expected.borrow_mut().clear();
        self.forgotten.borrow_mut().clear();
    }

    /// Whether an exchange has gone since the start: what the store has for it was for that one.
    pub(super) fn was_forgotten(&self, vhost: VhostId, exchange: &str) -> bool {
        let is_it =
            |it: &(VhostId, Option<Name>)| it.0 == vhost && it.1.as_ref().is_none_or(|name| **name == *exchange);
        self.forgotten.borrow().iter().any(is_it)
    }

    /// A message that was stored before the start waits on.
    pub(super) fn restore(&self, vhost: VhostId, exchange: Name, place: Place, due: Time) {
        self.add((due, place.queue, place.seq.0), Delayed { vhost, exchange, kept: Kept::Away(place) });
    }

    /// An exchange is gone, and with it what waits there; without a name all of a virtual host. Answers what the store has of it.
    fn forget(&self, vhost: VhostId, exchange: Option<&Name>) -> Vec<Place> {
        if self.is_loading() {
            self.forgotten.borrow_mut().push((vhost, exchange.cloned()));
        }
        let is_gone = |it: &Delayed| it.vhost == vhost && exchange.is_none_or(|exchange| *it.exchange == **exchange);
        let mut waiting = self.waiting.borrow_mut();
        let gone: Vec<Delayed> = waiting.extract_if(.., |_, it| is_gone(it)).map(|(_, it)| it).collect();
        drop(waiting);
        let weight: u64 = gone.iter().map(|it| it.kept.weight()).sum();
        self.bytes.set(self.bytes.get().saturating_sub(weight));
        gone.iter().filter_map(|it| it.kept.place()).collect()
    }

    /// Bytes of memory that the messages that wait take.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Messages that wait at an exchange.
    pub fn count(&self, vhost: VhostId, exchange: &str) -> usize {
        let waiting = self.waiting.borrow();
        waiting.values().filter(|it| it.vhost == vhost && *it.exchange == *exchange).count()
    }

    fn first_due(&self) -> Option<Time> {
        self.waiting.borrow().first_key_value().map(|((due, ..), _)| *due)
    }

    /// Those that are due, no more than a batch.
    fn take_due(&self, now: Time) -> Vec<Delayed> {
        let (mut waiting, mut due, mut to_read) = (self.waiting.borrow_mut(), Vec::new(), 0);
        while due.len() < BATCH_MAX
            && to_read < BATCH_BYTES_MAX
            && let Some(first) = waiting.first_entry().filter(|first| first.key().0 <= now)
        {
            let delayed = first.remove();
            self.bytes.set(self.bytes.get().saturating_sub(delayed.kept.weight()));
            to_read += delayed.kept.to_read();
            due.push(delayed);
        }
        due
    }
}

impl Shard {
    /// The name of a virtual host and of an exchange of it that delays messages and is durable.
    pub(super) fn keeps_delayed(&self, vhost: VhostId, exchange: &str) -> Option<(Name, Name)> {
        let topology = self.topology.borrow();
        let vhost = topology.vhost(vhost).ok()?;
        let record = vhost.exchange(exchange).filter(|it| it.durable && it.kind == ExchangeKind::Delayed)?;
        Some((vhost.name().clone(), record.name.clone()))
    }

    /// How many times a message will be stored to wait.
    pub fn count_stored_delays(&self, vhost: VhostId, aside: &Aside, is_persistent: bool) -> usize {
        if !is_persistent || !self.stored.is_attached() {
            return 0;
        }
        aside.delayed.iter().filter(|(exchange, _)| self.keeps_delayed(vhost, exchange).is_some()).count()
    }

    /// Has a message published to an exchange again at `due`.
    pub(super) fn delay(&self, vhost: VhostId, exchange: Name, message: &Arc<Message>, due: Time) {
        let (queue, number) = (queue_of(self.id), self.delays.take_number());
        let is_stored = message.persistent && self.stored.is_attached();
        let names = if is_stored { self.keeps_delayed(vhost, &exchange) } else { None };
        let place = Place { queue, seq: Seq(number), size: message.size() as u64 };
        if let Some((vhost, exchange)) = &names {
            self.stored.note_delayed(message, place, due, vhost, exchange);
        }
        let is_full = self.delays.bytes() + place.size > self.config.windows.max;
        let kept = match names {
            Some(_) if is_full => Kept::Away(place),
            names => Kept::Here(message.clone(), names.map(|_| place)),
        };
        self.delays.add((due, queue, number), Delayed { vhost, exchange, kept });
    }

    /// An exchange is gone, and with it what waits there; without a name all of a virtual host.
    pub(super) fn forget_delays(&self, vhost: VhostId, exchange: Option<&Name>) {
        for place in self.delays.forget(vhost, exchange) {
            self.stored.settle(place.queue, place.seq, place.seq);
        }
    }

    /// The coroutine that publishes what is due, until the program ends.
    pub fn delay_for_ever(self: &Rc<Self>) {
        loop {
            self.delays.sooner.clear();
            match self.delays.first_due() {
                None => self.delays.sooner.wait(),
                Some(due) => {
                    self.read_clock();
                    match due.0.saturating_sub(self.now().0) {
                        0 => {
                            self.publish_due();
                            runtime::yield_now();
                        }
                        left => drop(self.delays.sooner.wait_timeout(Duration::from_millis(left))),
                    }
                }
            }
        }
    }

    fn publish_due(self: &Rc<Self>) {
        let due = self.delays.take_due(self.now());
        let away = due.iter().filter_map(|it| if let Kept::Away(place) = &it.kept { Some(*place) } else { None });
        let read = match self.read_delayed(away.collect()) {
            Ok(read) => read,
            Err(RecoveryError::Store(leveret_store::Error::Closed)) => return, // they are there after the next start
            Err(error) => stop_process(&format!("a delayed message cannot be read back: {error}")),
        };
        self.read_clock();
        for Delayed { vhost, exchange, kept } in due {
            let (message, place) = match kept {
                Kept::Here(message, place) => (message, place),
                Kept::Away(place) => match read.get(&(place.queue, place.seq)) {
                    Some(message) => (message.clone(), Some(place)),
                    None => continue, // the disk has harmed it, and the store has said so
                },
            };
            self.publish_waited(vhost, &exchange, &(self.editor.waited)(&message), place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VHOST: VhostId = VhostId(0);

    fn place(seq: u64) -> Place {
        Place { queue: QueueId(7), seq: Seq(seq), size: 100 }
    }

    fn taken(delays: &Delays, now: u64) -> Vec<u64> {
        let due = delays.take_due(Time(now));
        due.iter().filter_map(|it| it.kept.place()).map(|place| place.seq.0).collect()
    }

    #[test]
    fn what_is_due_comes_in_its_order_and_what_is_forgotten_does_not() {
        let delays = Delays::default();
        for (seq, due, exchange) in [(0, 30, "a"), (1, 10, "a"), (2, 10, "b"), (3, 20, "b")] {
            delays.restore(VHOST, exchange.into(), place(seq), Time(due));
        }
        assert_eq!((delays.bytes(), delays.count(VHOST, "a"), delays.first_due()), (4 * WEIGHT, 2, Some(Time(10))));
        assert!(taken(&delays, 9).is_empty());
        assert_eq!(taken(&delays, 10), [1, 2]);
        assert_eq!(delays.forget(VHOST, Some(&"b".into())), [place(3)]);
        assert_eq!(taken(&delays, 100), [0]);
        assert_eq!(delays.bytes(), 0);
    }

    #[test]
    fn exchanges_that_go_while_the_start_is_under_way_are_remembered() {
        let delays = Delays::default();
        delays.expect(QueueId(7), Seq(5), true);
        delays.expect(QueueId(8), Seq(50), false);
        assert_eq!(delays.take_number(), 6);
        delays.forget(VHOST, Some(&"a".into()));
        delays.forget(VhostId(1), None);
        let gone = |vhost, exchange| delays.was_forgotten(VhostId(vhost), exchange);
        assert_eq!([gone(0, "a"), gone(0, "b"), gone(1, "b")], [true, false, true]);
        delays.loaded();
        assert!(!gone(0, "a") && !delays.is_loading());
    }

    #[test]
    fn a_batch_is_bounded() {
        let delays = Delays::default();
        (0..1000).for_each(|seq| delays.restore(VHOST, "a".into(), place(seq), Time(1)));
        assert_eq!(taken(&delays, 1).len(), BATCH_MAX);
        let large = |seq| Place { size: BATCH_BYTES_MAX, ..place(seq) };
        (0..3).for_each(|seq| delays.restore(VHOST, "a".into(), large(seq), Time(0)));
        assert_eq!(taken(&delays, 1), [0]);
    }
}
