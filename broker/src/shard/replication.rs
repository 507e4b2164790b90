//! Changes on their way: from the owner to every shard and to the disk, and then the answers.
//!
//! ```text
//!   owner: apply -+-> Apply(number) to every other shard --> apply --> Applied(number) -+-> answer, when both are there
//!                 +-> ops, collected --one transaction for all that wait--> on disk ----+   (what is not durable waits for
//!                                                                                            the shards only)
//! ```
//!
//! Mail between two shards keeps its order, so replicas go through the same states, and one number a shard says how far it is.
//! A commit that fails ends the process: what clients were told and what every shard knows would be ahead of the disk.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use leveret_core::ShardId;
use leveret_core::access::AccessChange;
use leveret_core::topology::TopologyChange;
use leveret_runtime::sync::Event;

use super::address::{Reply, Ticket};
use super::mail::Mail;
use super::{Shard, shard_number};
use crate::metadata::{Metadata, Op};

/// One fact for every shard.
#[derive(Clone, Debug)]
pub enum Change {
    /// Of what exists.
    Topology(TopologyChange),
    /// Of who may do what, and of policies and limits.
    Access(AccessChange),
}

/// Who is told that a change is in force.
pub(super) enum Answer {
    /// A channel.
    Channel(Ticket, Reply),
    /// A coroutine of the owner's shard.
    Waker(Rc<Event>),
}

/// An answer that is not due yet.
struct Waiting {
    /// Every shard must have applied this.
    number: u64,
    /// The disk must have this.
    stored: u64,
    answer: Answer,
}

/// Changes under way. Used on shard 0 only.
#[derive(Default)]
pub struct Owner {
    /// The last number sent to the other shards.
    last: Cell<u64>,
    /// The last number that each other shard has applied.
    applied: RefCell<Vec<u64>>,
    disk: Disk,
    /// Answers that wait for the shards only; numbers count up.
    quick: RefCell<VecDeque<Waiting>>,
    /// Answers that wait for the disk too; both numbers count up.
    durable: RefCell<VecDeque<Waiting>>,
}

/// What goes to the disk.
#[derive(Default)]
struct Disk {
    /// `None` where nothing is stored: tests in memory.
    metadata: RefCell<Option<Metadata>>,
    /// Not handed over yet.
    ops: RefCell<Vec<Op>>,
    /// Counts the changes that had something to store.
    noted: Cell<u64>,
    /// How many of them are on disk.
    stored: Cell<u64>,
    /// Answers do not wait for the disk, since whoever asks waits for all of it at the end.
    together: Cell<bool>,
    work: Event,
    idle: Event,
}

impl Disk {
    fn note(&self, ops: Vec<Op>) {
        if !ops.is_empty() && self.metadata.borrow().is_some() {
            self.ops.borrow_mut().extend(ops);
            self.noted.set(self.noted.get() + 1);
            self.idle.clear();
            self.work.set();
        }
    }
}

#[cfg(test)]
impl Owner {
    /// Panics if a change is under way.
    pub(super) fn assert_at_rest(&self) {
        assert!(self.quick.borrow().is_empty() && self.durable.borrow().is_empty(), "every change is in force");
        assert!(
            self.applied.borrow().iter().all(|number| *number == self.last.get()),
            "every change was applied everywhere"
        );
    }
}

impl Shard {
    /// Has changes stored from now on.
    pub fn attach_metadata(&self, metadata: Metadata) {
        self.owner.disk.metadata.replace(Some(metadata));
    }

    /// The coroutine that stores changes, all that are there at a time, until the program ends. On the owner's shard.
    pub fn store_for_ever(self: &Rc<Self>) {
        let disk = &self.owner.disk;
        loop {
            disk.work.wait();
            disk.work.clear();
            let (ops, noted) = (std::mem::take(&mut *disk.ops.borrow_mut()), disk.noted.get());
            let metadata = disk.metadata.borrow().clone();
            if let Some(metadata) = metadata.filter(|_| !ops.is_empty())
                && let Err(error) = metadata.commit(ops)
            {
                super::stop_process(&format!("changes could not be stored: {error}"));
            }
            disk.stored.set(noted);
            if disk.ops.borrow().is_empty() {
                disk.idle.set();
            }
            self.release_answers();
        }
    }

    /// Waits until everything that was to be stored is.
    pub fn wait_until_stored(&self) {
        let disk = &self.owner.disk;
        while disk.stored.get() < disk.noted.get() {
            disk.idle.wait();
        }
    }

    /// Runs `f`, whose changes do not wait for the disk one by one, and then waits for all of them: for definitions at start, when
    /// nobody else asks for anything.
    pub fn store_together<T>(&self, f: impl FnOnce() -> T) -> T {
        let disk = &self.owner.disk;
        disk.together.set(true);
        let value = f();
        disk.together.set(false);
        self.wait_until_stored();
        value
    }

    /// Applies changes here and sends them to all. The answer goes out when all have applied the last one, also if that is
    /// somebody else's: who declares what another is declaring must not be told that it is there before it is. The same holds
    /// for the disk, if the answer `is_durable`.
    pub(super) fn publish_changes(self: &Rc<Self>, changes: Vec<Change>, answer: Option<Answer>, is_durable: bool) {
        let is_stored = self.apply_and_store(&changes);
        self.spread(changes, answer, is_durable || is_stored);
    }

    /// The first half of [`Shard::publish_changes`]: says whether there was something to store.
    pub(super) fn apply_and_store(self: &Rc<Self>, changes: &[Change]) -> bool {
        let events = self.events_of(changes);
        let ops: Vec<Op> = changes.iter().flat_map(|change| self.apply(change)).collect();
        self.tell_all(events);
        let is_stored = !ops.is_empty();
        self.owner.disk.note(ops);
        is_stored
    }

    /// The second half: the other shards, and the answer.
    pub(super) fn spread(&self, changes: Vec<Change>, answer: Option<Answer>, is_durable: bool) {
        let is_durable = is_durable && !self.owner.disk.together.get();
        let others = self.count() - 1;
        if others > 0 && !changes.is_empty() {
            let number = self.owner.last.get() + 1;
            self.owner.last.set(number);
            self.owner.applied.borrow_mut().resize(others, 0);
            let changes: Arc<[Change]> = changes.into();
            for shard in 1..=others {
                self.send(shard_number(shard), Mail::Apply(number, changes.clone()));
            }
        }
        let Some(answer) = answer else { return };
        let owner = &self.owner;
        let stored = if is_durable { owner.disk.noted.get() } else { 0 };
        let line = if stored > owner.disk.stored.get() { &owner.durable } else { &owner.quick };
        line.borrow_mut().push_back(Waiting { number: owner.last.get(), stored, answer });
        self.release_answers();
    }

    /// A shard has applied all changes up to a number.
    pub(super) fn note_applied(self: &Rc<Self>, shard: ShardId, number: u64) {
        if let Some(applied) = self.owner.applied.borrow_mut().get_mut(usize::from(shard.0).wrapping_sub(1)) {
            *applied = number;
        }
        let applied = self.owner.applied.borrow().iter().copied().min().unwrap_or(u64::MAX);
        self.replay_histories(applied);
        self.release_answers();
    }

    /// The number of the last change that another shard has applied.
    pub(super) fn applied_by(&self, shard: ShardId) -> u64 {
        self.owner.applied.borrow().get(usize::from(shard.0).wrapping_sub(1)).copied().unwrap_or(0)
    }

    /// The number of the change that is being applied on the owner, as other shards will know it.
    pub(super) fn next_change(&self) -> u64 {
        self.owner.last.get() + 1
    }

    fn release_answers(&self) {
        let owner = &self.owner;
        let applied = owner.applied.borrow().iter().copied().min().unwrap_or(u64::MAX);
        let is_due = |waiting: &mut Waiting| waiting.number <= applied && waiting.stored <= owner.disk.stored.get();
        for line in [&owner.quick, &owner.durable] {
            loop {
                let due = line.borrow_mut().pop_front_if(is_due);
                match due.map(|waiting| waiting.answer) {
                    Some(Answer::Channel(ticket, reply)) => self.answer(ticket, reply),
                    Some(Answer::Waker(event)) => event.set(),
                    None => break,
                }
            }
        }
    }
}
