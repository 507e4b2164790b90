//! Flow of publishes: credit, so that whoever publishes faster than a shard takes, or than a queue's consumers are given, is slowed
//! by its own TCP, and nobody else is.
//!
//! ```text
//!   connection: publishes .. publishes, Mark(cost) --mail--> the other shard has handled all before the mark, its disk is
//!               reads on    <---- Returned(cost) ---mail---  not behind, and the last one's queue is not crowded
//! ```
//!
//! A connection may have `CREDIT` of publishes on their way to each shard. It counts them itself; behind every so many goes a mark,
//! which comes back when the other shard has handled what lies before it. A connection that has used its credit up reads no more until
//! marks come back. What is not marked is always less than any credit, so it never waits for a mark that nobody has sent. Publishes
//! to queues of the connection's own shard are handled at once; they count only while their queue is crowded.
//!
//! A queue is *crowded* while much waits in it and a consumer's window is used up: what consumers were given is somewhere between
//! here and their sockets, and it is us who are behind. Then marks wait until it is not, but not for long: a consumer that does not
//! read is no reason to hold up a publisher. Such a queue grows, as one without consumers does, until memory is short.
//!
//! So marks wait for what other shards do by themselves, or for a time: shards handle mail whatever their connections wait for,
//! and there is no circle to wait in.
//!
//! Dead letters, delayed messages and others that the broker publishes itself need no credit: nobody could be slowed for them, and
//! they are in memory already.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use leveret_core::{ConnectionId, QueueId, ShardId, Time};
use leveret_runtime::sync::Event;

use super::Shard;
use super::address::QueueAddress;
use super::mail::Mail;
use super::queues::Queues;

/// What a connection may have on its way to one shard, in bytes of memory.
const CREDIT: u64 = 1024 * 1024;

/// The same while all connections of its shard together have more than `SHARED` on their way there.
const CREDIT_MIN: u64 = 32 * 1024;

/// See [`CREDIT_MIN`].
const SHARED: u64 = 32 * 1024 * 1024;

/// Behind so much goes a mark. (Not more than any credit: see the module's description.)
const MARKED: u64 = CREDIT_MIN;

/// What waits in a crowded queue, in bytes of memory.
pub const CROWDED: u64 = 2 * 1024 * 1024;

/// When so little is left, publishers go on.
pub const CROWDED_NO_MORE: u64 = CROWDED / 2;

/// How long a crowded queue holds up publishers.
const PATIENCE_MS: u64 = 25;

/// How long it does not after it has done so in vain.
const IMPATIENCE_MS: u64 = 75;

/// What a publish in the mail takes besides its message, about.
pub const MAIL_COST: u64 = 128;

/// What a connection has on its way to other shards.
#[derive(Debug, Default)]
pub struct Outflow {
    /// By shard.
    ways: RefCell<Vec<Way>>,
    /// On one of them it has more than its credit.
    is_held_up: Cell<bool>,
}

/// Costs.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Sent, and not come back.
    marked: u64,
    /// Sent since the last mark.
    unmarked: u64,
}

impl Way {
    /// Counts a publish; the cost of the mark that is to follow it, if it is time for one.
    fn add(&mut self, cost: u64) -> Option<u64> {
        self.unmarked += cost;
        (self.unmarked >= MARKED).then(|| {
            self.marked += self.unmarked;
            std::mem::take(&mut self.unmarked)
        })
    }

    fn has_credit(self, all: u64) -> bool {
        self.marked + self.unmarked <= if all > SHARED { CREDIT_MIN } else { CREDIT }
    }
}

impl Outflow {
    /// Whether the connection has to wait before it publishes on.
    #[inline]
    pub fn is_held_up(&self) -> bool {
        self.is_held_up.get()
    }
}

/// What a shard's connections together have on their way, and what came to it and goes back later.
#[derive(Default)]
pub struct Flow {
    /// By shard: marks that have not come back, of connections that have gone as well.
    marked: RefCell<Vec<u64>>,
    /// Marks of others that wait for this shard's disk.
    waiting: RefCell<Vec<Mark>>,
    /// Crowded queues, and until when they hold up publishers; some have let them go since.
    crowded: RefCell<VecDeque<(Time, QueueId)>>,
    /// Set when there is one.
    has_crowded: Event,
}

/// A crowded queue's part in it.
#[derive(Debug, Default)]
pub struct Held {
    /// Until when it holds up publishers.
    until: Option<Time>,
    marks: Vec<Mark>,
    /// It has held them up in vain, and does not until then.
    free_until: Time,
}

impl Held {
    /// Whether it holds nobody up.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.until.is_none()
    }

    /// Whether it may hold somebody up.
    #[inline]
    pub fn may_hold(&self, now: Time) -> bool {
        self.free_until <= now
    }

    /// Holds a mark; until when, if it is the first.
    fn hold(&mut self, mark: Mark, now: Time) -> Option<Time> {
        self.marks.push(mark);
        let is_first = self.until.is_none();
        let until = *self.until.get_or_insert(now.plus_ms(PATIENCE_MS));
        is_first.then_some(until)
    }

    /// Lets all go; those that were held until `vain` in vain.
    fn let_go(&mut self, vain: Option<Time>) -> Vec<Mark> {
        if vain != self.until && vain.is_some() {
            return Vec::new(); // of a time before
        }
        self.free_until = vain.map_or(self.free_until, |at| at.plus_ms(IMPATIENCE_MS));
        self.until = None;
        std::mem::take(&mut self.marks)
    }
}

/// Where a mark goes back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The connection's shard.
    pub shard: ShardId,
    /// The connection.
    pub connection: ConnectionId,
    /// Where it has published last.
    pub queue: QueueId,
    /// What it stands for.
    pub cost: u64,
}

impl Flow {
    fn marked(&self, to: ShardId) -> u64 {
        self.marked.borrow().get(usize::from(to.0)).copied().unwrap_or(0)
    }

    fn change_marked(&self, to: ShardId, change: impl FnOnce(u64) -> u64) {
        let mut marked = self.marked.borrow_mut();
        let sum = at(&mut marked, to);
        *sum = change(*sum);
    }

    /// Panics if a mark has not come back; for tests.
    #[cfg(test)]
    pub(super) fn assert_at_rest(&self) {
        assert!(self.marked.borrow().iter().all(|sum| *sum == 0), "every mark came back");
        assert!(self.waiting.borrow().is_empty() && self.crowded.borrow().is_empty());
    }
}

impl Shard {
    /// A connection has sent a publish of that cost to a queue.
    #[inline]
    pub fn note_sent(&self, outflow: &Outflow, connection: ConnectionId, queue: QueueAddress, cost: u64) {
        let mut ways = outflow.ways.borrow_mut();
        let QueueAddress { shard: to, queue } = queue;
        let way = at(&mut ways, to);
        if let Some(cost) = way.add(cost) {
            self.flow.change_marked(to, |sum| sum + cost);
            self.send(to, Mail::Mark(Mark { shard: self.id, connection, queue, cost }));
        }
        if !way.has_credit(self.flow.marked(to)) {
            outflow.is_held_up.set(true);
        }
    }

    /// Everything that was sent before this mark is handled.
    pub(super) fn note_mark(&self, mark: Mark) {
        if self.stored.is_behind() {
            self.flow.waiting.borrow_mut().push(mark);
        } else if self.queues.is_crowded(mark.queue, self.now()) {
            let until = self.queues.change_held(mark.queue, |held| held.hold(mark, self.now())).flatten();
            if let Some(until) = until {
                self.flow.crowded.borrow_mut().push_back((until, mark.queue));
                self.flow.has_crowded.set();
            }
        } else {
            self.send_back(mark);
        }
    }

    fn send_back(&self, Mark { shard, connection, cost, .. }: Mark) {
        self.send(shard, Mail::Returned(self.id, connection, cost));
    }

    /// Sends marks back that have waited for the disk; at the end of a turn.
    #[inline]
    pub(super) fn send_marks_back(&self) {
        if !self.flow.waiting.borrow().is_empty() && !self.stored.is_behind() {
            self.flow.waiting.take().into_iter().for_each(|mark| self.send_back(mark));
        }
    }

    /// A queue is not crowded any more, or is gone.
    #[cold]
    pub(super) fn let_go(&self, held: &mut Held) {
        held.let_go(None).into_iter().for_each(|mark| self.send_back(mark));
    }

    /// The coroutine that lets publishers go which crowded queues have held up in vain, until the program ends.
    pub fn let_go_for_ever(self: &Rc<Self>) {
        loop {
            self.flow.has_crowded.clear();
            let first = self.flow.crowded.borrow().front().copied();
            let Some((until, queue)) = first else {
                self.flow.has_crowded.wait();
                continue;
            };
            self.read_clock();
            match until.0.saturating_sub(self.now().0) {
                0 => {
                    self.flow.crowded.borrow_mut().pop_front();
                    let marks = self.queues.change_held(queue, |held| held.let_go(Some(until)));
                    marks.into_iter().flatten().for_each(|mark| self.send_back(mark));
                }
                left => leveret_runtime::sleep(Duration::from_millis(left)),
            }
        }
    }

    /// A mark has come back.
    pub(super) fn note_returned(self: &Rc<Self>, by: ShardId, connection: ConnectionId, cost: u64) {
        self.flow.change_marked(by, |sum| sum - cost);
        if let Some(client) = self.client(connection) {
            client.credit_came_back(by, cost);
        }
    }

    /// A mark of the connection has come back; whether it may publish on.
    pub fn take_back(&self, outflow: &Outflow, by: ShardId, cost: u64) -> bool {
        let mut ways = outflow.ways.borrow_mut();
        at(&mut ways, by).marked -= cost;
        let is_held_up = ways.iter().zip(0..).any(|(way, shard)| !way.has_credit(self.flow.marked(ShardId(shard))));
        outflow.is_held_up.set(is_held_up);
        !is_held_up
    }
}

impl Queues {
    /// Whether publishers to a queue are to be held up.
    #[inline]
    pub fn is_crowded(&self, queue: QueueId, now: Time) -> bool {
        self.look_at_home(queue, |queue, held| queue.is_crowded(CROWDED) && held.may_hold(now)).unwrap_or(false)
    }
}

/// The place of a shard.
fn at<T: Clone + Default>(list: &mut Vec<T>, shard: ShardId) -> &mut T {
    let index = usize::from(shard.0);
    if list.len() <= index {
        list.resize(index + 1, T::default());
    }
    &mut list[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Publishes of these costs, with so much of other connections' on the way: which of them are followed by a mark, and whether there
    /// is credit left in the end.
    #[test]
    fn marks_follow_and_credit_ends() {
        let check = |costs: &[u64], others: u64, marks: &[Option<u64>], has_credit: bool| {
            let mut way = Way::default();
            let sent: Vec<_> = costs.iter().map(|cost| way.add(*cost)).collect();
            assert_eq!((&sent[..], way.has_credit(others)), (marks, has_credit), "{costs:?}");
            assert!(way.unmarked < MARKED, "whoever waits has a mark on its way");
            assert_eq!(way.marked + way.unmarked, costs.iter().sum::<u64>());
        };
        check(&[100, 100], 0, &[None, None], true);
        check(&[MARKED - 1, 1], 0, &[None, Some(MARKED)], true);
        check(&[MARKED - 1, 2, 5], 0, &[None, Some(MARKED + 1), None], true);
        check(&[CREDIT], 0, &[Some(CREDIT)], true);
        check(&[CREDIT, 1], 0, &[Some(CREDIT), None], false);
        check(&[CREDIT + 1], SHARED + 1, &[Some(CREDIT + 1)], false);
        check(&[CREDIT_MIN], SHARED + 1, &[Some(CREDIT_MIN)], true);
        check(&[CREDIT_MIN, 1], SHARED + 1, &[Some(CREDIT_MIN), None], false);
        check(&[CREDIT_MIN, 1], SHARED, &[Some(CREDIT_MIN), None], true);
    }
}
