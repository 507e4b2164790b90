//! What clients did and what the broker told them, and from it what may and what must be in every queue.
//!
//! A *promise* is a confirm or a commit-ok. The *epoch* counts power cuts: what was acknowledged without a promise may be
//! back in the next epoch, not in this one. A message is followed from queue to queue by the place where it died first.
//! What is not as it must be is noted as a *violation*; the world looks at them at the end of each life.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::UNIX_EPOCH;

use leveret_client::{BasicProperties, Message, PERSISTENT};
use leveret_runtime as runtime;

use super::layout::{self, ROUTES};
use super::streams::Book;

/// The ledger of a world, which its clients share.
pub(super) type Shared = Rc<RefCell<Ledger>>;

/// Bytes of a body: a number, and a pattern that follows from it.
const BODY_SIZES: [usize; 4] = [8, 60, 300, 2000];

/// Messages may be a little late in dying, for the broker reads the clock once a turn.
const OVERDUE_MS: u64 = 50;

/// A message in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copy {
    pub(super) queue: &'static str,
    pub(super) id: u64,
    /// The queue that it died in first, if it did.
    pub(super) origin: Option<&'static str>,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nobody may see it: its transaction was not committed, or it was returned.
    Withheld,
    /// The broker may have it.
    Sent,
    /// The broker has it, since then.
    Promised { at_ms: u64 },
}

#[derive(Debug)]
struct Record {
    route: usize,
    /// Its publisher's channel, whose messages keep their order.
    stream: u64,
    priority: u8,
    sent_ms: u64,
    ttl_ms: Option<u64>,
    epoch: u64,
    state: State,
    /// Messages of a transaction are all there or none.
    group: u64,
    /// The loose queue's changes when it was published, if it was settled then.
    changes: Option<u64>,
    /// Not certain to have reached its queue, although promised: the queue may just have changed.
    is_vague: bool,
}

/// What is known of a copy.
#[derive(Clone, Debug, Default)]
struct Facts {
    deliveries: u32,
    /// The epoch of the last one.
    last_epoch: u64,
    /// In an epoch after that of its publishing: so it was on disk.
    was_on_disk: bool,
    /// It may have gone: acknowledged, purged, its queue deleted.
    may_be_gone: bool,
    /// It may have died of a rejection.
    may_be_dead: bool,
    gone: Option<Gone>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    /// The broker knows, but has not said that the disk does.
    UntilPowerCut(u64),
    ForGood,
}

/// A loose queue, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Loose {
    /// `None` while something is under way, or nobody knows how it ended.
    pub(super) is_there: Option<bool>,
    pub(super) is_bound: Option<bool>,
    changes: u64,
}

impl Loose {
    fn settled(&self) -> Option<u64> {
        (self.is_there == Some(true) && self.is_bound == Some(true)).then_some(self.changes)
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) epoch: u64,
    messages: Vec<Record>,
    copies: BTreeMap<Copy, Facts>,
    last_stream: u64,
    /// Queues, exchanges and bindings that the broker has said are there.
    pub(super) topology: BTreeSet<String>,
    pub(super) loose: BTreeMap<&'static str, Loose>,
    /// Queues from which something was given back in this epoch, or may have been.
    stirred: BTreeSet<&'static str>,
    /// Whether all queues are on one shard: then fan-outs are atomic, and deaths too.
    pub(super) is_one_shard: bool,
    pub(super) streams: Book,
    pub(super) violations: Vec<String>,
    pub(super) checked: u64,
    pub(super) duplicates: u64,
}

/// A message that is about to be published.
pub(super) struct Outgoing {
    pub(super) id: u64,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = runtime::time::system_now().duration_since(UNIX_EPOCH).expect("the clock is after 1970");
    u64::try_from(since.as_millis()).expect("far from the end of time")
}

pub(super) fn body(id: u64) -> Vec<u8> {
    let size = BODY_SIZES[(id % 7 % 4) as usize];
    let mut body = id.to_le_bytes().to_vec();
    body.extend((8..size).map(|index| (id as u8).wrapping_mul(31).wrapping_add(index as u8)));
    body
}

// ---- what clients do

impl Ledger {
    pub(super) fn new_stream(&mut self) -> u64 {
        self.last_stream += 1;
        self.last_stream
    }

    /// A message is published; in a transaction nobody may see it before [`Ledger::commit`]. Messages of a group are there
    /// together or not at all.
    pub(super) fn publish(
        &mut self,
        route: usize,
        stream: u64,
        ttl_ms: Option<u64>,
        transaction: Option<u64>,
    ) -> Outgoing {
        let id = self.messages.len() as u64;
        let priority = (id % 5) as u8;
        self.messages.push(Record {
            route,
            stream,
            priority: priority.min(3),
            sent_ms: now_ms(),
            ttl_ms,
            epoch: self.epoch,
            state: if transaction.is_some() { State::Withheld } else { State::Sent },
            group: transaction.unwrap_or(u64::MAX - id),
            changes: self.loose_of(route).and_then(Loose::settled),
            is_vague: false,
        });
        let properties = BasicProperties {
            delivery_mode: Some(PERSISTENT),
            priority: Some(priority),
            message_id: Some(id.to_string().into_bytes()),
            expiration: ttl_ms.map(|ttl| ttl.to_string().into_bytes()),
            ..BasicProperties::default()
        };
        Outgoing { id, properties, body: body(id) }
    }

    fn loose_of(&self, route: usize) -> Option<&Loose> {
        self.loose.get(ROUTES[route].key)
    }

    fn is_to_loose(route: usize) -> bool {
        ROUTES[route].exchange == layout::LOOSE_EXCHANGE
    }

    /// The broker has confirmed it.
    pub(super) fn confirm(&mut self, id: u64) {
        let record = &self.messages[id as usize];
        let settled = self.loose_of(record.route).and_then(Loose::settled);
        let is_vague = Self::is_to_loose(record.route) && (settled.is_none() || settled != record.changes);
        let record = &mut self.messages[id as usize];
        if record.state == State::Sent {
            record.state = State::Promised { at_ms: now_ms() };
            record.is_vague = is_vague;
        }
    }

    /// The broker found no queue for it.
    pub(super) fn returned(&mut self, message: &Message) {
        let Some(id) = self.id_of(message) else { return };
        let record = &self.messages[id as usize];
        let now_settled = self.loose_of(record.route).and_then(Loose::settled);
        let is_wrong = !Self::is_to_loose(record.route) || (record.changes.is_some() && record.changes == now_settled);
        if is_wrong {
            self.violate(format!("message {id} came back, though its queue is bound"));
        }
        self.messages[id as usize].state = State::Withheld;
    }

    /// A transaction is about to be committed.
    pub(super) fn commit(&mut self, ids: &[u64], acks: &[Copy]) {
        ids.iter().for_each(|id| self.messages[*id as usize].state = State::Sent);
        acks.iter().for_each(|copy| self.settling(*copy));
    }

    /// It is committed.
    pub(super) fn committed(&mut self, ids: &[u64], acks: &[Copy]) {
        ids.iter().for_each(|id| self.confirm(*id));
        for copy in acks.iter().filter(|copy| self.comes_once(copy)).copied().collect::<Vec<_>>() {
            self.facts(copy).gone = Some(Gone::ForGood);
        }
    }

    /// Whether there is one of it at most. A dead letter from another shard is settled there when it is durable here: a power
    /// cut between leaves two of them, of which the second may die much later.
    fn comes_once(&self, copy: &Copy) -> bool {
        copy.origin.is_none() || self.is_one_shard || self.epoch == 0
    }

    /// An acknowledgement is about to be sent.
    pub(super) fn settling(&mut self, copy: Copy) {
        self.facts(copy).may_be_gone = true;
    }

    /// The broker has certainly taken these acknowledgements, since it has answered something later.
    pub(super) fn settled(&mut self, copies: &[Copy]) {
        let epoch = self.epoch;
        for copy in copies.iter().filter(|copy| self.comes_once(copy)).copied().collect::<Vec<_>>() {
            let facts = self.facts(copy);
            facts.gone = facts.gone.or(Some(Gone::UntilPowerCut(epoch)));
        }
    }

    /// A rejection is about to be sent.
    pub(super) fn rejecting(&mut self, copy: Copy) {
        self.facts(copy).may_be_dead = true;
    }

    /// Something was given back to the queue, or whoever held it may have ended.
    pub(super) fn stir(&mut self, queue: &'static str) {
        self.stirred.insert(queue);
    }

    /// The queue is about to be purged or deleted. Answers what a deletion takes with it for good.
    pub(super) fn empty(&mut self, queue: &'static str) -> Vec<u64> {
        let copies = self.published_to(queue);
        for id in &copies {
            self.facts(Copy { queue, id: *id, origin: None }).may_be_gone = true;
        }
        let promised =
            copies.into_iter().filter(|id| matches!(self.messages[*id as usize].state, State::Promised { .. }));
        promised.collect()
    }

    /// The queue was deleted with these.
    pub(super) fn deleted(&mut self, queue: &'static str, ids: &[u64]) {
        ids.iter().for_each(|id| self.facts(Copy { queue, id: *id, origin: None }).gone = Some(Gone::ForGood));
    }

    fn published_to(&self, queue: &str) -> Vec<u64> {
        let all = (0..).zip(&self.messages);
        all.filter(|(_, record)| ROUTES[record.route].queues.contains(&queue)).map(|(id, _)| id).collect()
    }

    /// A loose queue is about to change.
    pub(super) fn changing(&mut self, queue: &'static str) -> &mut Loose {
        let loose = self.loose.entry(queue).or_default();
        loose.changes += 1;
        // What was published and not confirmed yet may find it in either state.
        let unsure = self.messages.iter_mut().filter(|it| it.state == State::Sent && ROUTES[it.route].key == queue);
        unsure.for_each(|record| record.changes = None);
        loose
    }

    /// The power was cut.
    pub(super) fn power_cut(&mut self) {
        self.epoch += 1;
        self.stirred.clear();
    }

    pub(super) fn violate(&mut self, text: String) {
        self.violations.push(text);
    }

    fn facts(&mut self, copy: Copy) -> &mut Facts {
        self.copies.entry(copy).or_default()
    }
}

// ---- what clients see

impl Ledger {
    /// A message came out of a queue: checks what can be said of it alone.
    pub(super) fn see(&mut self, queue: &'static str, message: &Message, redelivered: bool) -> Option<Copy> {
        let id = self.id_of(message)?;
        self.checked += 1;
        let origin = match origin_of(message) {
            None => None,
            Some(name) => match layout::queue(&name) {
                Some(spec) => Some(spec.name),
                None => {
                    self.violate(format!("message {id} says that it died in '{name}'"));
                    return None;
                }
            },
        };
        let copy = Copy { queue, id, origin };
        self.check_bytes(id, message);
        self.check_place(copy);
        self.check_redelivered(copy, redelivered);
        let epoch = self.epoch;
        let is_later = self.messages[id as usize].epoch < epoch;
        let facts = self.facts(copy);
        facts.deliveries += 1;
        facts.last_epoch = epoch;
        facts.was_on_disk |= is_later;
        Some(copy)
    }

    /// Nothing is delivered that was never published.
    fn id_of(&mut self, message: &Message) -> Option<u64> {
        let id = message.body().get(..8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        match id.filter(|id| *id < self.messages.len() as u64) {
            Some(id) => Some(id),
            None => {
                self.violate(format!("a message that nobody published: {:?}", message.body()));
                None
            }
        }
    }

    /// Every byte is as it was published.
    fn check_bytes(&mut self, id: u64, message: &Message) {
        let properties = message.properties();
        let is_same = message.body() == body(id)
            && properties.is_persistent()
            && properties.priority() == Some((id % 5) as u8)
            && properties.message_id() == Some(id.to_string().as_bytes());
        if !is_same {
            self.violate(format!("message {id} is not as it was published: {message:?}, {properties:?}"));
        }
    }

    /// It may be in this queue: it was sent there, and has not certainly gone from there.
    fn check_place(&mut self, copy: Copy) {
        let record = &self.messages[copy.id as usize];
        let first = copy.origin.unwrap_or(copy.queue);
        let follows = |from: &'static str| layout::queue(from).and_then(|spec| spec.dead_to);
        let is_on_way = copy.origin.is_none_or(|origin| {
            std::iter::successors(follows(origin), |at| follows(at)).take(3).any(|at| at == copy.queue)
        });
        let (state, is_sent) = (record.state, ROUTES[record.route].queues.contains(&first));
        if !is_sent || !is_on_way {
            self.violate(format!("{copy:?} was not sent there"));
        }
        if state == State::Withheld {
            self.violate(format!("{copy:?} was never committed, or was returned"));
        }
        let epoch = self.epoch;
        match self.facts(copy).gone {
            Some(Gone::ForGood) => {
                self.violate(format!("{copy:?} is back, though the broker has said that it is gone"))
            }
            Some(Gone::UntilPowerCut(since)) if since == epoch => {
                self.violate(format!("{copy:?} is back without a power cut"));
            }
            _ => {}
        }
    }

    /// "Redelivered" is said of what was delivered before, and only of what may have been.
    fn check_redelivered(&mut self, copy: Copy, redelivered: bool) {
        // What goes round in circles comes anew; what dies on another shard may be doubled by a power cut. One that was delivered
        // before its death was on disk may die anew after a power cut.
        let is_in_circle = layout::queue(copy.queue).is_some_and(layout::Spec::is_circle);
        let (epoch, is_one_shard) = (self.epoch, self.is_one_shard);
        let facts = self.facts(copy);
        let may_be_double = copy.origin.is_some() && (is_in_circle || !is_one_shard || facts.last_epoch < epoch);
        let before = facts.deliveries;
        if before > 0 && !redelivered && !may_be_double {
            self.violate(format!("{copy:?} is delivered again, and not as redelivered"));
        }
        let is_fresh = self.messages[copy.id as usize].epoch == self.epoch && !self.stirred.contains(copy.queue);
        if redelivered && is_fresh && before == 0 {
            self.violate(format!("{copy:?} is said to be redelivered, and nobody can have had it"));
        }
    }

    /// Of one stream and priority, messages come in the order in which they were published. `last` is what came last.
    pub(super) fn check_order(&mut self, last: &mut BTreeMap<(u64, u8), u64>, copy: Copy) {
        let record = &self.messages[copy.id as usize];
        let before = last.insert((record.stream, record.priority), copy.id);
        if copy.origin.is_none() && before.is_some_and(|before| before >= copy.id) {
            self.violate(format!("{copy:?} comes after {before:?} of the same publisher"));
        }
    }

    pub(super) fn priority(&self, copy: Copy) -> u8 {
        self.messages[copy.id as usize].priority
    }

    /// It should have died before this moment.
    pub(super) fn check_not_overdue(&mut self, copy: Copy, asked_ms: u64) {
        let record = &self.messages[copy.id as usize];
        if let (State::Promised { at_ms }, Some(ttl), None) = (record.state, record.ttl_ms, copy.origin)
            && at_ms + ttl + OVERDUE_MS < asked_ms
        {
            self.violate(format!("{copy:?} was delivered {} ms after its time", asked_ms - at_ms - ttl));
        }
    }
}

// ---- judgement

impl Ledger {
    /// How many messages a queue must have at least, and may have at most, before anybody works with it. The most is not known
    /// where dead letters come.
    pub(super) fn bounds(&self, queue: &'static str) -> (u64, u64) {
        let spec = layout::queue(queue);
        let receives_dead = layout::QUEUES.iter().any(|other| other.dead_to == Some(queue));
        let (mut least, mut most) = (0, if receives_dead { u64::MAX } else { 0 });
        for id in self.published_to(queue) {
            let copy = Copy { queue, id, origin: None };
            least += u64::from(self.must_be_there(copy, spec));
            most = most.saturating_add(u64::from(self.may_be_there(copy)));
        }
        (least, most)
    }

    fn must_be_there(&self, copy: Copy, spec: Option<&layout::Spec>) -> bool {
        let record = &self.messages[copy.id as usize];
        let settled = self.copies.get(&copy).is_some_and(|it| it.may_be_gone || it.may_be_dead);
        matches!(record.state, State::Promised { .. })
            && !record.is_vague
            && !settled
            && record.ttl_ms.is_none()
            && spec.is_none_or(|spec| spec.ttl_ms.is_none() && spec.max_length.is_none())
    }

    fn may_be_there(&self, copy: Copy) -> bool {
        let is_gone = match self.copies.get(&copy).and_then(|facts| facts.gone) {
            Some(Gone::ForGood) => true,
            Some(Gone::UntilPowerCut(epoch)) => epoch == self.epoch,
            None => false,
        };
        !is_gone && self.messages[copy.id as usize].state != State::Withheld
    }

    /// Whether messages of this queue may die of age between two questions.
    pub(super) fn may_expire(&self, queue: &str) -> bool {
        let has_ttl = |id: &u64| self.messages[*id as usize].ttl_ms.is_some();
        layout::queue(queue).is_some_and(|spec| spec.ttl_ms.is_some()) || self.published_to(queue).iter().any(has_ttl)
    }

    /// When all queues were emptied into `found`: whether every promise was kept.
    pub(super) fn judge(&mut self, found: &BTreeSet<Copy>) {
        let together = if self.is_one_shard { self.groups_on_disk(found) } else { BTreeSet::new() };
        let now = now_ms();
        let mut lost = Vec::new();
        for (id, record) in (0..).zip(&self.messages) {
            let is_promised = matches!(record.state, State::Promised { .. });
            let is_whole = record.state == State::Sent && together.contains(&record.group);
            if !(is_promised || is_whole) || record.is_vague || (is_whole && Self::is_to_loose(record.route)) {
                continue;
            }
            for queue in ROUTES[record.route].queues {
                let copy = Copy { queue, id, origin: None };
                if !self.is_accounted(copy, found, now, 0) {
                    lost.push(format!(
                        "{copy:?} {}: {record:?}, {:?}",
                        ["was part of what is there", "is lost"][usize::from(is_promised)],
                        self.copies.get(&copy)
                    ));
                }
            }
        }
        self.violations.extend(lost);
    }

    /// Transactions and fan-outs of which a part was on disk at some time.
    fn groups_on_disk(&self, found: &BTreeSet<Copy>) -> BTreeSet<u64> {
        let seen = self.copies.iter().filter(|(_, facts)| facts.was_on_disk).map(|(copy, _)| copy);
        seen.chain(found).map(|copy| self.messages[copy.id as usize].group).collect()
    }

    /// Whether a copy is there, or may rightly not be.
    fn is_accounted(&self, copy: Copy, found: &BTreeSet<Copy>, now: u64, deaths: usize) -> bool {
        let facts = self.copies.get(&copy).cloned().unwrap_or_default();
        if found.contains(&copy) || facts.may_be_gone {
            return true;
        }
        let record = &self.messages[copy.id as usize];
        let spec = layout::queue(copy.queue);
        let own_ttl = record.ttl_ms.filter(|_| copy.origin.is_none());
        let queue_ttl = spec.and_then(|spec| spec.ttl_ms).map(|ttl| ttl as u64);
        let is_due = own_ttl.into_iter().chain(queue_ttl).any(|ttl| record.sent_ms + ttl <= now);
        let may_be_dead = facts.may_be_dead || is_due || spec.is_some_and(|spec| spec.max_length.is_some());
        if !may_be_dead {
            return false;
        }
        match spec.and_then(|spec| Some((spec, spec.dead_to?))) {
            None => true, // it has no grave
            // "Automatic dead-letter cycles are detected": messages that go round for want of a consumer end.
            Some((spec, _)) if spec.is_circle() && deaths >= 1 => true,
            Some((_, next)) => {
                let copy = Copy { queue: next, id: copy.id, origin: copy.origin.or(Some(copy.queue)) };
                self.is_accounted(copy, found, now, deaths + 1)
            }
        }
    }
}

fn origin_of(message: &Message) -> Option<String> {
    let properties = message.properties();
    let headers = properties.headers()?;
    let name = headers.find("x-first-death-queue")?.as_long_string()?;
    Some(String::from_utf8_lossy(name).into_owned())
}
