//! The queues that live on a shard: commands in, effects carried out.

mod memory;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leveret_core::message::Message;
use leveret_core::queue::settings::DeadLetterTarget;
use leveret_core::queue::settings::QueueSettings;
use leveret_core::queue::{
    ConsumerSpec, Delivery, Effect, Get, Page, Parcel, Published, Queue, Remains, Settlement, Windows,
};
use leveret_core::topology::QueueRecord;
use leveret_core::{ConnectionId, ConsumerId, Error, FastMap, Name, QueueId, Seq, Time, VhostId};
use leveret_runtime::sync::Event;
use leveret_store::StretchState;

use super::Shard;
use super::address::{ChannelAddress, QueueAddress, Reply, Subscriber, Ticket};
use super::flow::{CROWDED, CROWDED_NO_MORE, Held};
use super::mail::Mail;
use super::metadata::{Action, Request};
use super::stored::Who;
use super::stored::doubt::Doubts;
use super::stored::paging::Fetch;
use super::stored::spill::Spills;

/// What a channel asks of a queue.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are those of the queue's calls in leveret-core")]
pub enum Command {
    /// Take a message; if `confirm` is given, tell that channel about that publish.
    Publish {
        message: Arc<Message>,
        confirm: Option<(ChannelAddress, u64)>,
    },
    Consume {
        spec: ConsumerSpec,
        ticket: Ticket,
    },
    Cancel {
        consumer: ConsumerId,
        ticket: Ticket,
    },
    Get {
        no_ack: bool,
        ticket: Ticket,
    },
    Settle {
        seqs: Seqs,
        settlement: Settlement,
    },
    Requeue {
        seqs: Seqs,
    },
    Decline {
        consumer: ConsumerId,
        seq: Seq,
    },
    Resume {
        consumer: ConsumerId,
    },
    Credit {
        consumer: ConsumerId,
        bytes: u64,
    },
    /// A channel went.
    Release {
        consumers: Vec<ConsumerId>,
        held: Vec<Seq>,
        ticket: Ticket,
    },
    Purge {
        ticket: Ticket,
    },
    Delete {
        if_unused: bool,
        if_empty: bool,
        ticket: Ticket,
    },
    Counts {
        ticket: Ticket,
    },
    /// Policies have changed what governs it.
    Reconfigure {
        settings: Box<QueueSettings>,
    },
    /// The time has come for something in it.
    Expire,
    /// Messages that were asked for.
    Page(Box<Page>),
    /// Messages were written to a scratch file.
    Spilled,
    /// Memory is short.
    Relieve,
}

/// Places in a queue. Mostly there is one.
#[derive(Clone, Debug)]
pub enum Seqs {
    /// One.
    One(Seq),
    /// Several, in order.
    Many(Vec<Seq>),
}

impl Seqs {
    fn as_slice(&self) -> &[Seq] {
        match self {
            Seqs::One(seq) => std::slice::from_ref(seq),
            Seqs::Many(seqs) => seqs,
        }
    }
}

/// A queue with its consumers' addresses.
struct Home {
    id: QueueId,
    queue: Queue,
    vhost: VhostId,
    consumers: FastMap<ConsumerId, Way>,
    /// When it is scheduled to look after what expires.
    due: Option<Time>,
    /// Gets that wait for a page.
    gets: Vec<Command>,
    /// What is in scratch files.
    spills: Spills,
    /// Publishers that it holds up.
    held: Held,
}

/// Where a consumer's deliveries go.
enum Way {
    /// To a channel of this shard, at once.
    Here(Rc<dyn Subscriber>),
    /// By mail.
    There(ChannelAddress),
}

/// All queues of a shard.
#[derive(Default)]
pub struct Queues {
    homes: RefCell<FastMap<QueueId, Home>>,
    /// Effects of the call being carried out; its capacity is kept.
    spare: RefCell<Vec<Effect>>,
    /// Commands that came up while effects were carried out; they come next, one after the other and not nested, since
    /// a thousand consumers may decline a message in turn.
    later: RefCell<VecDeque<(QueueId, Command)>>,
    /// Effects are being carried out.
    is_busy: Cell<bool>,
    /// Commands for queues that this shard has not heard of yet: a publisher's shard may hear of a declaration first, and
    /// mail from two shards comes in any order.
    early: RefCell<FastMap<QueueId, Vec<Command>>>,
    /// Queues declared so far; their numbers count up.
    known: Cell<u64>,
    /// Queues by when something in them expires, or they do themselves.
    expiries: RefCell<BTreeSet<(Time, QueueId)>>,
    /// Set when an earlier one has come first.
    sooner: Event,
    /// Messages of purged and deleted queues that are not freed yet.
    remains: RefCell<Remains>,
    /// Set when there are some.
    has_remains: Event,
    /// How much of a queue stays in memory; `None`: all.
    windows: Cell<Option<Windows>>,
}

impl Queues {
    pub(super) fn add(&self, vhost_name: &Name, vhost: VhostId, record: &QueueRecord, now: Time) {
        let mut queue = Queue::new(vhost_name, record, now);
        queue.set_windows(self.windows.get());
        let consumers = FastMap::default();
        let (gets, spills, held) = (Vec::new(), Spills::new(), Held::default());
        let mut home = Home { id: record.id, queue, vhost, consumers, due: None, gets, spills, held };
        self.schedule(record.id, &mut home);
        self.homes.borrow_mut().insert(record.id, home);
    }

    /// Puts a stored message back in its place; `false` if that does not fit.
    pub(super) fn restore(
        &self,
        id: QueueId,
        seq: Seq,
        message: Arc<Message>,
        expiry: Option<Time>,
        requeues: u32,
    ) -> bool {
        let mut homes = self.homes.borrow_mut();
        homes.get_mut(&id).is_some_and(|home| home.queue.restore(seq, message, expiry, requeues))
    }

    /// Adds stored messages to a queue without reading them; `false` if their place is not there.
    pub(super) fn restore_away(&self, id: QueueId, stretch: &StretchState) -> bool {
        let StretchState { first, last, count, content, expiry_ms } = *stretch;
        let mut homes = self.homes.borrow_mut();
        homes.get_mut(&id).is_some_and(|home| {
            home.queue.restore_away(Seq(first.0), Seq(last.0), (count, content), expiry_ms.map(Time))
        })
    }

    /// Up to which places of durable queues messages may have been delivered before a crash.
    pub(super) fn doubts(&self) -> Vec<(QueueId, Seq)> {
        let homes = self.homes.borrow();
        let durable = homes.iter().filter(|(_, home)| home.queue.is_durable());
        let mut all: Vec<_> =
            durable.flat_map(|(id, home)| home.queue.doubts().into_iter().map(|it| (*id, it))).collect();
        all.sort_unstable();
        all
    }

    /// From now on queues keep no more than this in memory.
    pub(super) fn set_windows(&self, windows: Option<Windows>) {
        self.windows.set(windows);
        self.homes.borrow_mut().values_mut().for_each(|home| home.queue.set_windows(windows));
    }

    /// Places up to this one are not given out again.
    pub(super) fn resume_numbering(&self, id: QueueId, last: Seq) {
        if let Some(home) = self.homes.borrow_mut().get_mut(&id) {
            home.queue.resume_numbering(last);
        }
    }

    /// All of a queue's stored messages are back: what expires is looked after. `doubts` says which of them may have been
    /// delivered before.
    pub(super) fn restored(&self, id: QueueId, doubts: &Doubts) {
        if let Some(home) = self.homes.borrow_mut().get_mut(&id) {
            match doubts {
                Doubts::All => home.queue.doubt_restored(),
                Doubts::UpTo(places) => {
                    places.get(&id).into_iter().flatten().for_each(|place| home.queue.doubt_up_to(*place));
                }
            }
            self.schedule(id, home);
        }
    }

    /// Bytes that the messages of all queues occupy, about; one that lies in several queues counts in each.
    pub(super) fn held_bytes(&self) -> u64 {
        let homes = self.homes.borrow();
        let spills = |home: &Home| home.spills.values().map(|spill| spill.held_bytes()).sum::<u64>();
        homes.values().map(|home| home.queue.weight() + spills(home)).sum()
    }

    /// Has messages freed, a few at a time.
    fn bury(&self, remains: Remains) {
        if !remains.is_empty() {
            self.remains.borrow_mut().append(remains);
            self.has_remains.set();
        }
    }

    /// Where a queue's dead messages go, with the queue's place and name.
    pub(super) fn dead_letter_target(&self, id: QueueId) -> Option<(VhostId, Name, DeadLetterTarget)> {
        let homes = self.homes.borrow();
        let home = homes.get(&id)?;
        Some((home.vhost, home.queue.name().clone(), home.queue.dead_letter_target()?.clone()))
    }

    /// The queues that live here.
    pub fn ids(&self) -> Vec<QueueId> {
        self.homes.borrow().keys().copied().collect()
    }

    /// Looks at a queue that lives here, and at whom it holds up.
    #[inline]
    pub(super) fn look_at_home<T>(&self, id: QueueId, look: impl FnOnce(&Queue, &Held) -> T) -> Option<T> {
        self.homes.borrow().get(&id).map(|home| look(&home.queue, &home.held))
    }

    /// Changes whom a queue that lives here holds up.
    pub(super) fn change_held<T>(&self, id: QueueId, change: impl FnOnce(&mut Held) -> T) -> Option<T> {
        self.homes.borrow_mut().get_mut(&id).map(|home| change(&mut home.held))
    }

    /// Looks at a queue that lives here.
    pub fn look<T>(&self, id: QueueId, look: impl FnOnce(&Queue) -> T) -> Option<T> {
        self.homes.borrow().get(&id).map(|home| look(&home.queue))
    }

    /// This shard has heard of a queue, wherever it lives; answers the commands that came before.
    pub(super) fn note_declared(&self, id: QueueId) -> Vec<Command> {
        self.known.set(self.known.get().max(id.0 + 1));
        self.early.borrow_mut().remove(&id).unwrap_or_default()
    }

    /// Keeps the schedule in step with what the queue has to do next.
    #[inline]
    fn schedule(&self, id: QueueId, home: &mut Home) {
        let due = home.queue.next_expiry();
        if due != home.due {
            self.reschedule(id, home, due);
        }
    }

    #[cold]
    fn reschedule(&self, id: QueueId, home: &mut Home, due: Option<Time>) {
        let mut expiries = self.expiries.borrow_mut();
        if let Some(before) = home.due {
            expiries.remove(&(before, id));
        }
        if let Some(due) = due {
            expiries.insert((due, id));
            if expiries.first() == Some(&(due, id)) {
                self.sooner.set();
            }
        }
        home.due = due;
    }

    /// Drops all queues, and with them their references to channels.
    pub(super) fn clear(&self) {
        self.expiries.borrow_mut().clear();
        let homes = std::mem::take(&mut *self.homes.borrow_mut());
        drop(homes); // not under the borrow
    }
}

#[cfg(test)]
impl Queues {
    /// Panics if anything is under way or anybody holds anything.
    pub(super) fn assert_at_rest(&self) {
        assert!(!self.is_busy.get());
        assert!(self.later.borrow().is_empty());
        assert!(self.early.borrow().is_empty(), "what came early was done");
        for home in self.homes.borrow().values() {
            let name = home.queue.name();
            assert!(home.consumers.is_empty(), "consumers of {name} are left");
            assert_eq!((home.queue.consumer_count(), home.queue.unsettled_count()), (0, 0), "{name}");
        }
    }

    /// By queue: the bodies of its ready messages, which are numbers, each once.
    pub(super) fn ready_bodies(&self) -> std::collections::BTreeMap<u64, BTreeSet<u64>> {
        let number = |message: &Message| u64::from_le_bytes(message.body().try_into().expect("a number"));
        let mut all = std::collections::BTreeMap::new();
        for (id, home) in self.homes.borrow().iter() {
            let bodies: BTreeSet<u64> = home.queue.ready().map(|(_, message)| number(message)).collect();
            assert_eq!(bodies.len() as u64, home.queue.ready_count(), "nothing is there twice");
            all.insert(id.0, bodies);
        }
        all
    }
}

impl Shard {
    /// Gives a command to a queue, wherever it lives.
    pub fn command(self: &Rc<Self>, queue: QueueAddress, command: Command) {
        if queue.shard == self.id {
            self.command_here(queue.queue, command);
        } else {
            self.send(queue.shard, Mail::Queue(queue.queue, command));
        }
    }

    /// Gives a command to a queue in a later turn, even where it lives here.
    pub fn command_next_turn(&self, queue: QueueAddress, command: Command) {
        self.send(queue.shard, Mail::Queue(queue.queue, command));
    }

    pub(super) fn command_here(self: &Rc<Self>, id: QueueId, command: Command) {
        if self.queues.is_busy.get() {
            return self.queues.later.borrow_mut().push_back((id, command));
        }
        self.command_now(id, command);
        self.catch_up();
    }

    /// Does what came up meanwhile.
    fn catch_up(self: &Rc<Self>) {
        loop {
            let Some((id, command)) = self.queues.later.borrow_mut().pop_front() else { return };
            self.command_now(id, command);
        }
    }

    fn command_now(self: &Rc<Self>, id: QueueId, command: Command) {
        let mut effects = self.queues.spare.take();
        let mut homes = self.queues.homes.borrow_mut();
        let Some(home) = homes.get_mut(&id) else {
            drop(homes);
            self.queues.spare.replace(effects);
            if id.0 >= self.queues.known.get() {
                return self.queues.early.borrow_mut().entry(id).or_default().push(command);
            }
            return self.command_to_nobody(command);
        };
        let outcome = self.execute(home, command, &mut effects);
        self.queues.schedule(id, home);
        if !home.held.is_empty() && !home.queue.is_crowded(CROWDED_NO_MORE) {
            self.let_go(&mut home.held);
        }
        drop(homes);
        let deferred = self.answer_first(outcome, &effects);
        self.carry_out(id, &mut effects, deferred);
        effects.clear();
        self.queues.spare.replace(effects);
    }

    /// The queue is gone, which its users have not heard yet.
    fn command_to_nobody(&self, command: Command) {
        match command {
            Command::Publish { confirm: Some((channel, number)), .. } => self.confirm(channel, number, true),
            Command::Consume { ticket, .. } | Command::Get { ticket, .. } | Command::Counts { ticket } => {
                self.answer(ticket, Reply::Gone);
            }
            Command::Cancel { ticket, .. } | Command::Release { ticket, .. } => self.answer(ticket, Reply::Done),
            Command::Purge { ticket } | Command::Delete { ticket, .. } => self.answer(ticket, Reply::Count(0)),
            _ => {}
        }
    }

    /// Makes the call. What it answers is sent before its effects are carried out: consume-ok precedes the first delivery.
    fn execute(&self, home: &mut Home, command: Command, effects: &mut Vec<Effect>) -> Outcome {
        let (queue, now) = (&mut home.queue, self.now());
        match command {
            Command::Publish { message, confirm } => {
                let taken = self.take(home, message, effects);
                return match confirm {
                    Some((channel, number)) => Outcome::Confirm(channel, number, taken),
                    None => Outcome::None,
                };
            }
            Command::Settle { seqs, settlement } => {
                for seq in seqs.as_slice() {
                    queue.settle(*seq, settlement, now, effects);
                }
            }
            Command::Requeue { seqs } => queue.requeue(seqs.as_slice(), now, effects),
            Command::Decline { consumer, seq } => queue.decline(consumer, seq, now, effects),
            Command::Resume { consumer } => queue.resume(consumer, now, effects),
            Command::Credit { consumer, bytes } => queue.credit(consumer, bytes, now, effects),
            Command::Consume { spec, ticket } => return self.execute_consume(home, spec, ticket, effects),
            Command::Cancel { consumer, ticket } => {
                queue.cancel(consumer, now, effects);
                home.consumers.remove(&consumer);
                return Outcome::Reply(ticket, Reply::Done);
            }
            Command::Release { consumers, held, ticket } => {
                queue.release(&consumers, &held, now, effects);
                consumers.iter().for_each(|consumer| drop(home.consumers.remove(consumer)));
                return Outcome::Reply(ticket, Reply::Done);
            }
            Command::Get { no_ack, ticket } => {
                let got = match queue.get(no_ack, now, effects) {
                    Ok(Get::Message(got)) => Ok(Reply::Got(Some(got))),
                    Ok(Get::Empty) => Ok(Reply::Got(None)),
                    Ok(Get::Later) => {
                        home.gets.push(Command::Get { no_ack, ticket });
                        return Outcome::None;
                    }
                    Err(error) => Err(error),
                };
                return reply(ticket, got);
            }
            Command::Purge { ticket } => {
                if let Err(error) = queue.check_purge() {
                    return Outcome::Reply(ticket, Reply::Refused(error));
                }
                let count = queue.purge(effects);
                self.queues.bury(queue.take_remains());
                home.spills.clear();
                return Outcome::Reply(ticket, Reply::Count(count));
            }
            Command::Delete { if_unused, if_empty, ticket } => {
                let deleted = queue.delete(if_unused, if_empty, effects);
                self.queues.bury(queue.take_remains());
                return reply(ticket, deleted.map(Reply::Count));
            }
            Command::Expire => queue.expire(now, effects),
            Command::Page(page) => {
                let (first, through) = (page.first, page.through);
                let missing = queue.page(*page, now, effects);
                memory::forget_spills(home, first, through);
                let queue = &home.queue;
                if missing > 0 {
                    log::error!("{missing} messages of queue {} are not in the store any more", queue.name());
                }
                self.queues.later.borrow_mut().extend(home.gets.drain(..).map(|get| (home.id, get)));
            }
            Command::Spilled => queue.spilled(),
            Command::Relieve => queue.relieve(effects),
            Command::Reconfigure { settings } => queue.reconfigure(*settings, now, effects),
            Command::Counts { ticket } => {
                queue.touch(now); // "declaring a queue with x-expires restarts its lease"
                let (ready, consumers) = (queue.ready_count(), queue.consumer_count());
                return Outcome::Reply(ticket, Reply::Counts { ready, consumers });
            }
        }
        Outcome::None
    }

    fn execute_consume(
        &self,
        home: &mut Home,
        spec: ConsumerSpec,
        ticket: Ticket,
        effects: &mut Vec<Effect>,
    ) -> Outcome {
        let consumer = spec.id;
        if let Err(error) = home.queue.consume(spec, self.now(), effects) {
            return Outcome::Reply(ticket, Reply::Refused(error));
        }
        let route = match self.channel(ticket.channel.key).filter(|_| ticket.channel.shard == self.id) {
            Some(channel) => Way::Here(channel),
            None => Way::There(ticket.channel),
        };
        home.consumers.insert(consumer, route);
        Outcome::Reply(ticket, Reply::Done)
    }

    /// Sends the answer, unless the queue has just ended: then it waits until every shard has heard of that, and comes back.
    fn answer_first(&self, outcome: Outcome, effects: &[Effect]) -> Option<(Ticket, Reply)> {
        match outcome {
            Outcome::None => None,
            Outcome::Confirm(channel, number, Taken::Stored) => {
                self.stored.wait(Who::At(channel), number);
                None
            }
            Outcome::Confirm(channel, number, taken) => {
                self.confirm(channel, number, taken == Taken::Done);
                None
            }
            Outcome::Reply(ticket, reply) if effects.iter().any(|effect| matches!(effect, Effect::Ended(_))) => {
                Some((ticket, reply))
            }
            Outcome::Reply(ticket, reply) => {
                self.answer(ticket, reply);
                None
            }
        }
    }

    fn carry_out(self: &Rc<Self>, id: QueueId, effects: &mut Vec<Effect>, mut deferred: Option<(Ticket, Reply)>) {
        let _busy = Busy::begin(&self.queues.is_busy);
        let mut relay = None; // of the dead message whose settling comes next
        for effect in effects.drain(..) {
            match effect {
                Effect::Deliver(delivery) => self.deliver(id, delivery),
                Effect::Cancelled { consumer } => self.cancelled(id, consumer),
                Effect::Ended(_) => self.queue_ended(id, deferred.take()),
                Effect::DeadLetter { message, reason } => relay = self.dead_letter(id, &message, reason),
                Effect::Settled { first, last } => match relay.take() {
                    Some(number) => self.stored.relays.settle_after(number, id, first),
                    None => self.stored.settle(id, first, last),
                },
                Effect::Requeued { seq, count } => self.stored.requeue(id, seq, count),
                Effect::Fetch { first, last, size, spilled } => {
                    let spill = if spilled { self.queues.spill_at(id, first) } else { None };
                    self.fetch(id, Fetch { first, last, size }, spill);
                }
                Effect::Spill { first, last, messages } => {
                    let spill = self.spill(id, last, messages);
                    if let Some(home) = self.queues.homes.borrow_mut().get_mut(&id) {
                        home.spills.insert(first, spill);
                    }
                }
            }
        }
    }

    fn deliver(self: &Rc<Self>, id: QueueId, delivery: Delivery) {
        let Some(consumer) = delivery.consumer else { return };
        let queue = QueueAddress { shard: self.id, queue: id };
        let homes = self.queues.homes.borrow();
        match homes.get(&id).and_then(|home| home.consumers.get(&consumer)) {
            Some(Way::Here(channel)) => {
                let channel = channel.clone();
                drop(homes);
                channel.deliver(queue, consumer, delivery.parcel());
            }
            Some(Way::There(address)) => {
                let mail = Mail::Deliver { channel: address.key, queue, consumer, delivery: Box::new(delivery) };
                self.send(address.shard, mail);
            }
            None => debug_assert!(false, "queues deliver to registered consumers only"),
        }
    }

    fn cancelled(&self, id: QueueId, consumer: ConsumerId) {
        let mut homes = self.queues.homes.borrow_mut();
        let route = homes.get_mut(&id).and_then(|home| home.consumers.remove(&consumer));
        drop(homes);
        match route {
            Some(Way::Here(channel)) => channel.cancelled(consumer),
            Some(Way::There(address)) => self.send(address.shard, Mail::Cancelled(address.key, consumer)),
            None => {}
        }
    }

    /// Has the owner remove a queue that ended; `answer` goes out when all shards have.
    fn queue_ended(self: &Rc<Self>, id: QueueId, answer: Option<(Ticket, Reply)>) {
        let vhost = self.queues.homes.borrow().get(&id).map(|home| home.vhost);
        let Some(vhost) = vhost else { return };
        let (ticket, reply) = match answer {
            Some((ticket, reply)) => (Some(ticket), reply),
            None => (None, Reply::Done),
        };
        let action = Action::QueueEnded { queue: id, reply };
        self.request(Request { ticket, vhost, connection: ConnectionId(0), action });
    }

    /// The coroutine that looks after what expires, until the program ends.
    pub fn expire_for_ever(self: &Rc<Self>) {
        loop {
            let first = self.queues.expiries.borrow().first().copied();
            self.queues.sooner.clear();
            match first {
                None => self.queues.sooner.wait(),
                Some((due, queue)) => {
                    self.read_clock();
                    let left = due.0.saturating_sub(self.now().0);
                    if left == 0 {
                        self.command_here(queue, Command::Expire);
                        leveret_runtime::yield_now(); // a million may expire at once; others come in between
                    } else {
                        self.queues.sooner.wait_timeout(Duration::from_millis(left));
                    }
                }
            }
        }
    }

    /// The topology has forgotten the queue: so does its shard, and its consumers hear of it.
    pub(super) fn end_queue(self: &Rc<Self>, id: QueueId) {
        let mut effects = Vec::new();
        if let Some(home) = self.queues.homes.borrow_mut().get_mut(&id) {
            let deleted = home.queue.delete(false, false, &mut effects);
            debug_assert!(deleted.is_ok(), "an unconditional delete has nothing to refuse");
            self.queues.bury(home.queue.take_remains());
        }
        self.carry_out(id, &mut effects, None);
        let mut home = self.queues.homes.borrow_mut().remove(&id);
        if home.as_ref().is_some_and(|home| home.queue.is_durable()) {
            self.stored.delete_queue(id);
        }
        if let Some(due) = home.as_ref().and_then(|home| home.due) {
            self.queues.expiries.borrow_mut().remove(&(due, id));
        }
        for get in home.as_mut().map(|home| std::mem::take(&mut home.gets)).unwrap_or_default() {
            self.command_to_nobody(get);
        }
        if let Some(home) = &mut home {
            self.let_go(&mut home.held);
        }
        self.tally.queues_deleted.add(u64::from(home.is_some()));
        drop(home); // its references to channels may be the last ones: not under the borrow
    }

    pub(super) fn confirm(&self, channel: ChannelAddress, number: u64, accepted: bool) {
        if channel.shard != self.id {
            self.send(channel.shard, Mail::Confirm(channel.key, number, accepted));
        } else if let Some(channel) = self.channel(channel.key) {
            channel.confirm(number, accepted);
        }
    }

    /// Gives a message to a queue, and has it stored if it must be.
    #[inline]
    fn take(&self, home: &mut Home, message: Arc<Message>, effects: &mut Vec<Effect>) -> Taken {
        let now = self.now();
        let is_stored = home.queue.stores(&message) && self.stored.is_attached();
        let to_store = is_stored.then(|| message.clone());
        match (home.queue.publish(message, now, effects), to_store) {
            (Published::Rejected, _) => Taken::Rejected,
            (Published::Accepted { seq, stored: true }, Some(message)) => {
                if was_settled_at_once(seq, effects) {
                    return Taken::Done;
                }
                let time = home.queue.time_to_store(&message, now);
                self.stored.note(message, home.id, seq, time);
                Taken::Stored
            }
            _ => Taken::Done,
        }
    }

    /// Gives a message to a queue of this shard without a confirm; says what became of it, and whether the queue is crowded now. The
    /// short way for publishers.
    pub fn publish_here(self: &Rc<Self>, id: QueueId, message: Cow<'_, Arc<Message>>) -> (Taken, bool) {
        if self.hand_over(id, &message) {
            return (Taken::Done, false);
        }
        let message = message.into_owned();
        let mut effects = self.queues.spare.take();
        let mut homes = self.queues.homes.borrow_mut();
        let Some(home) = homes.get_mut(&id) else {
            self.queues.spare.replace(effects);
            return (Taken::Done, false);
        };
        let taken = self.take(home, message, &mut effects);
        let is_crowded = home.queue.is_crowded(CROWDED) && home.held.may_hold(self.now());
        self.queues.schedule(id, home);
        drop(homes);
        self.carry_out(id, &mut effects, None);
        self.queues.spare.replace(effects);
        self.catch_up();
        (taken, is_crowded)
    }

    /// Gives a message to a consumer that waits for it on this shard or another, if that is all that there is to do.
    #[inline]
    fn hand_over(self: &Rc<Self>, id: QueueId, message: &Arc<Message>) -> bool {
        if self.queues.is_busy.get() {
            return false; // in its turn
        }
        let mut homes = self.queues.homes.borrow_mut();
        let Some(home) = homes.get_mut(&id) else { return false };
        let Some((consumer, seq)) = home.queue.publish_straight(message, self.now()) else { return false };
        let parcel = Parcel { seq, message, redelivered: false, requeues: 0, offset: None };
        let Some(Way::Here(channel)) = home.consumers.get(&consumer) else {
            drop(homes);
            let Parcel { seq, redelivered, requeues, offset, .. } = parcel;
            let consumer = Some(consumer);
            self.deliver(id, Delivery { consumer, seq, message: message.clone(), redelivered, requeues, offset });
            return true;
        };
        let channel = channel.clone();
        drop(homes);
        let busy = Busy::begin(&self.queues.is_busy);
        channel.deliver(QueueAddress { shard: self.id, queue: id }, consumer, parcel);
        drop(busy);
        self.catch_up();
        true
    }

    /// Sends a message past all queues to a channel's reply consumer, if there is one: a client may make addresses up.
    pub fn deliver_reply(&self, to: ChannelAddress, message: &Arc<Message>) {
        let ChannelAddress { shard, key } = to;
        if usize::from(shard.0) >= self.count() {
            return;
        }
        if shard != self.id {
            self.send(shard, Mail::DeliverReply(key, message.clone()));
        } else if let Some(channel) = self.channel(key) {
            channel.deliver_reply(message);
        }
    }
}

/// Effects are being carried out, also those of another queue meanwhile. Ends by unwinding too: one connection's panic must not
/// stop every queue of the shard.
struct Busy<'a> {
    flag: &'a Cell<bool>,
    before: bool,
}

impl Busy<'_> {
    fn begin(flag: &Cell<bool>) -> Busy<'_> {
        Busy { flag, before: flag.replace(true) }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.flag.set(self.before);
    }
}

/// Whether a message has left its queue in the call that took it in; then it need not be stored, nor its settling.
fn was_settled_at_once(seq: Seq, effects: &mut Vec<Effect>) -> bool {
    let is_asking = |effect: &Effect| matches!(effect, Effect::Fetch { .. } | Effect::Spill { .. });
    let Some(at) = effects.iter().rposition(|effect| !is_asking(effect)) else { return false };
    let is_it = matches!(effects[at], Effect::Settled { first, last } if first == seq && last == seq);
    if is_it {
        effects.remove(at);
    }
    is_it
}

/// What became of a message that was given to a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The publisher may hear that all is well.
    Done,
    /// It may when the message is on disk: see [`Stored::wait`](super::stored::Stored::wait).
    Stored,
    /// A length limit refused it.
    Rejected,
}

/// What a command answers.
enum Outcome {
    None,
    Reply(Ticket, Reply),
    Confirm(ChannelAddress, u64, Taken),
}

fn reply(ticket: Ticket, result: Result<Reply, Error>) -> Outcome {
    Outcome::Reply(ticket, result.unwrap_or_else(Reply::Refused))
}
