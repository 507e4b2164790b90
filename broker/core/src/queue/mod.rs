//! One queue: its messages, its consumers, and who gets what next.
//!
//! A queue belongs to one shard and is changed by plain calls. Each call ends with nothing left to do (no message is
//! ready while a consumer could take it) and appends what the shell must carry out to a list of [`Effect`]s.
//!
//! ```text
//!   publish -> ready -> unsettled -> (settled: acked, rejected)
//!                ^          |
//!                +----------+   requeue, release: marked redelivered
//!                               decline: as if nothing had happened
//! ```
//!
//! Leaving early, from ready: purged, expired, dropped or refused for a length limit; from unsettled: requeued too
//! often. Where a dead-letter exchange is configured, all of these but the purge yield [`Effect::DeadLetter`].
//!
//! The calls are in files by what they are about: `incoming`, `serving`, `settling`, `lifetime`; this one has the type
//! itself and its inspection. The queue does not know channels, tags, sockets or the store. It knows whether a message
//! *is* stored and says when that is settled.

mod away;
mod consumers;
mod effect;
mod expiry;
mod incoming;
mod lane;
mod lifetime;
#[cfg(test)]
mod oracle;
mod paging;
mod remains;
mod serving;
pub mod settings;
mod settling;
#[cfg(test)]
mod tests;

pub use consumers::{ConsumerSpec, DELIVERY_OVERHEAD_BYTES, delivery_cost};
pub use effect::{Delivery, Effect, EndReason, Parcel};
pub use incoming::Published;
pub use lifetime::EXPIRE_BATCH_MAX;
pub use paging::{Page, Paged, Windows};
pub use remains::Remains;
pub use serving::{Get, Got};
pub use settling::Settlement;

use std::sync::Arc;

use crate::error::Resource;
use crate::ids::{Name, QueueId, Seq, Time};
use crate::message::Message;
use crate::stream::Stream;
use crate::topology::QueueRecord;
use consumers::{Consumer, Consumers};
use expiry::ExpiryIndex;
use lane::{Entry, Lane, State};
use paging::Reading;
use settings::{DeadLetterTarget, QueueKind, QueueSettings};

/// Where a priority sits in a [`Seq`]; below it the number within the lane. At a million messages a second 56 bits last
/// two thousand years.
const PRIORITY_SHIFT: u32 = 56;

/// What inspection shows of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerState {
    /// As it was asked for.
    pub spec: ConsumerSpec,
    /// Deliveries that are not settled.
    pub unsettled: u32,
    /// Gets messages: `false` only for those that wait behind a single active consumer.
    pub active: bool,
    /// Declined a message and was not resumed since.
    pub paused: bool,
    /// What is left of its window; negative by at most one message.
    pub window: i64,
}

/// Totals since the queue exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Counters {
    pub published: u64,
    pub delivered: u64,
    /// Of those delivered, the ones that count as settled at once.
    pub delivered_no_ack: u64,
    pub redelivered: u64,
    pub got: u64,
    /// Of those got, the ones that count as settled at once.
    pub got_no_ack: u64,
    /// Gets that found nothing.
    pub got_empty: u64,
    pub acked: u64,
    pub rejected: u64,
    pub requeued: u64,
    pub expired: u64,
    pub overflowed: u64,
    pub purged: u64,
}

/// See the module's description.
#[derive(Debug)]
pub struct Queue {
    id: QueueId,
    vhost: Name,
    name: Name,
    durable: bool,
    auto_delete: bool,
    settings: QueueSettings,
    /// One for each priority.
    lanes: Vec<Lane>,
    /// No lane above this has ready messages.
    top: usize,
    expiry: ExpiryIndex,
    consumers: Consumers,
    /// When it was last used other than by consumers, for x-expires.
    last_used: Time,
    ended: bool,
    counters: Counters,
    /// What takes the place of lanes and consumers, if it is a stream.
    stream: Option<Box<Stream>>,
    /// Removed and not freed yet.
    remains: Remains,
    /// How much stays in memory; `None`: all.
    windows: Option<Windows>,
    /// The page that was asked for.
    reading: Option<Reading>,
    /// Spills that are being written.
    spilling: u32,
    /// Some lane may have messages that are not in memory.
    has_away: bool,
    /// The last page was to find what has expired.
    has_looked: bool,
}

impl Queue {
    /// An empty queue, as declared.
    pub fn new(vhost: &Name, record: &QueueRecord, now: Time) -> Self {
        let settings = record.settings.clone();
        let levels = usize::from(settings.max_priority) + 1;
        Self {
            id: record.id,
            vhost: vhost.clone(),
            name: record.name.clone(),
            durable: record.durable,
            auto_delete: record.auto_delete,
            lanes: std::iter::repeat_with(Lane::default).take(levels).collect(),
            top: 0,
            expiry: ExpiryIndex::default(),
            consumers: Consumers::new(settings.single_active_consumer),
            settings,
            last_used: now,
            ended: false,
            counters: Counters::default(),
            stream: (record.settings.kind == QueueKind::Stream).then(Box::default),
            remains: Remains::default(),
            windows: None,
            reading: None,
            spilling: 0,
            has_away: false,
            has_looked: false,
        }
    }

    /// Its number.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// Whether it survives a restart, and its persistent messages with it.
    #[inline]
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its virtual host's name.
    pub fn vhost(&self) -> &Name {
        &self.vhost
    }

    /// What governs it.
    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// Where its dead messages go; `None` drops them.
    pub fn dead_letter_target(&self) -> Option<&DeadLetterTarget> {
        self.settings.dead_letter.as_ref()
    }

    /// Messages that wait; all of them, if it is a stream.
    pub fn ready_count(&self) -> u64 {
        if let Some(stream) = &self.stream {
            return stream.log().len();
        }
        self.lanes.iter().map(|lane| lane.ready() as u64).sum()
    }

    /// Bytes of the bodies of messages that wait.
    pub fn ready_bytes(&self) -> u64 {
        if let Some(stream) = &self.stream {
            return stream.log().bytes();
        }
        self.lanes.iter().map(Lane::ready_bytes).sum()
    }

    /// Messages that are delivered and not settled.
    pub fn unsettled_count(&self) -> u64 {
        if let Some(stream) = &self.stream {
            return stream.unsettled_count();
        }
        self.lanes.iter().map(|lane| lane.unsettled() as u64).sum()
    }

    /// Bytes of the bodies of messages that are delivered and not settled.
    pub fn unsettled_bytes(&self) -> u64 {
        self.lanes.iter().map(Lane::unsettled_bytes).sum()
    }

    /// Whether messages of more than this weight wait in memory for consumers that are behind: what they were given fills their
    /// windows. (Not those that have unsettled messages enough.)
    #[inline]
    pub fn is_crowded(&self, weight: u64) -> bool {
        self.consumers.any_is_full() && self.lanes.iter().map(Lane::ready_weight).sum::<u64>() > weight
    }

    /// Consumers, waiting ones included.
    pub fn consumer_count(&self) -> u64 {
        self.consumers.len() as u64 + self.stream.as_ref().map_or(0, |stream| stream.reader_count())
    }

    /// Totals.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether it has ended and refuses everything.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The consumers, in no particular order.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerState> {
        let active = self.consumers.active();
        let consumers = self.consumers.iter().map(move |consumer: &Consumer| ConsumerState {
            spec: consumer.spec.clone(),
            unsettled: consumer.unsettled,
            active: active.is_none_or(|active| active == consumer.spec.id),
            paused: consumer.paused,
            window: consumer.window,
        });
        let readers = self.stream.iter().flat_map(|stream| stream.readers());
        consumers.chain(readers.map(|(spec, unsettled, paused, window)| ConsumerState {
            spec: spec.clone(),
            unsettled,
            active: true,
            paused,
            window,
        }))
    }

    /// Ready messages in the order of delivery, up to the first one that is not in memory.
    pub fn ready(&self) -> impl Iterator<Item = (Seq, &Arc<Message>)> {
        let ready = self.entries_in_order().filter(|(_, entry)| entry.state == State::Ready);
        let streams = self.stream.iter().filter(|stream| stream.log().last_away().is_none());
        let records = streams.flat_map(|stream| stream.log().tail());
        ready.map(|(seq, it)| (seq, &it.message)).chain(records.map(|(offset, record)| (Seq(offset), &record.message)))
    }

    /// Unsettled messages; of priorities below the first one that has messages away, none.
    pub fn unsettled(&self) -> impl Iterator<Item = (Seq, &Arc<Message>)> {
        self.entries_in_order().filter(|(_, entry)| entry.state != State::Ready).map(|(seq, it)| (seq, &it.message))
    }

    fn entries_in_order(&self) -> impl Iterator<Item = (Seq, &Entry)> {
        let gap = self.lanes.iter().rposition(|lane| !lane.away().is_empty()).unwrap_or(0);
        let lanes = self.lanes.iter().enumerate().skip(gap).rev();
        lanes.flat_map(|(level, lane)| lane.iter_head().map(move |(number, entry)| (seq(level, number), entry)))
    }

    fn resource(&self) -> Resource {
        Resource::queue(&self.vhost, &self.name)
    }

    /// The lane of the next message to deliver; `None` if none is ready.
    #[inline]
    fn head_level(&mut self) -> Option<usize> {
        while self.lanes[self.top].ready() == 0 {
            self.top = self.top.checked_sub(1)?;
        }
        Some(self.top)
    }

    /// Panics if the fields contradict each other; for tests.
    #[cfg(test)]
    pub(crate) fn check_invariants(&mut self, now: Time) {
        self.lanes.iter().for_each(Lane::check_invariants);
        self.consumers.check_invariants();
        let is_behind = self.next_expiry().is_some_and(|time| time <= now);
        if !self.ended && !is_behind {
            assert!(
                self.ready_count() == 0 || self.consumers.next().is_none() || self.reading.is_some(),
                "nothing waits while somebody can take it"
            );
        }
        let mut held = std::collections::BTreeMap::<consumers::Holder, u32>::new();
        for entry in self.lanes.iter().flat_map(Lane::iter).map(|(_, entry)| entry) {
            if let State::Unsettled(holder) = entry.state {
                *held.entry(holder).or_default() += 1;
            }
        }
        held.remove(&consumers::Holder::GET);
        let top = self.lanes.iter().rposition(|lane| lane.ready() > 0).unwrap_or(0);
        assert!(self.top >= top);
        let indexed: std::collections::BTreeSet<_> = self.expiry.seqs().collect();
        let lanes = self.lanes.iter().enumerate();
        for (seq, entry) in lanes.flat_map(|(level, lane)| lane.iter().map(move |(at, entry)| (seq(level, at), entry)))
        {
            assert!(!entry.indexed || indexed.contains(&seq), "what counts as indexed is in the index");
            assert!(entry.state != State::Ready || entry.indexed == entry.expiry.is_some());
        }
        for (holder, count) in held {
            assert_eq!(self.consumers.get(holder).map(|consumer| consumer.unsettled), Some(count));
        }
    }
}

fn seq(level: usize, number: u64) -> Seq {
    Seq((level as u64) << PRIORITY_SHIFT | number)
}

fn level(seq: Seq) -> usize {
    (seq.0 >> PRIORITY_SHIFT) as usize
}

fn number(seq: Seq) -> u64 {
    seq.0 & ((1 << PRIORITY_SHIFT) - 1)
}

/// Tells the store that a message is done with.
fn settled(seq: Seq, entry: &Entry, effects: &mut Vec<Effect>) {
    if entry.stored {
        push_settled(seq, effects);
    }
}

fn push_settled(seq: Seq, effects: &mut Vec<Effect>) {
    match effects.last_mut() {
        Some(Effect::Settled { last, .. }) if last.0 + 1 == seq.0 => *last = seq,
        _ => effects.push(Effect::Settled { first: seq, last: seq }),
    }
}
