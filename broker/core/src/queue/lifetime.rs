//! Ends: messages expire, the queue is purged, deleted, or ends by itself.

use crate::death::DeathReason;
use crate::error::Error;
use crate::ids::{Seq, Time};
use crate::slots::Slots;

use super::consumers::Consumers;
use super::effect::{Effect, EndReason};
use super::expiry::ExpiryIndex;
use super::lane::{Lane, State};
use super::remains::Remains;
use super::settings::{QueueKind, QueueSettings};
use super::{Queue, level, number, seq, settled};

/// How many messages one call lets expire. A million that expire at the same time must not hold the shard up; after a
/// full batch [`Queue::next_expiry`] is in the past, and the next call goes on.
pub const EXPIRE_BATCH_MAX: usize = 4096;

impl Queue {
    /// When [`Queue::expire`] has something to do next: a message's time to live, or the queue's own. `None` if never,
    /// as things stand; ask again after any other call.
    pub fn next_expiry(&mut self) -> Option<Time> {
        if let Some(stream) = &self.stream {
            let now = stream.is_behind().then_some(Time(0));
            return now.or_else(|| stream.due(&self.settings.retention));
        }
        self.forget_dead_expiries();
        let message = self.expiry.first().map(|(time, _)| time);
        [message, self.away_expiry(), self.lease_end()].into_iter().flatten().min()
    }

    /// Time has passed: removes messages whose time to live is over, up to [`EXPIRE_BATCH_MAX`], and ends the queue if
    /// its own is.
    pub fn expire(&mut self, now: Time, effects: &mut Vec<Effect>) {
        if let Some(stream) = &mut self.stream {
            stream.retain(&self.settings.retention, now, effects);
            return stream.serve(effects);
        }
        self.dispatch(now, effects);
        if self.lease_end().is_some_and(|end| end <= now) {
            self.end(EndReason::Unused, effects);
        }
    }

    /// The queue was declared again, which restarts its lease.
    pub fn touch(&mut self, now: Time) {
        self.last_used = now;
    }

    /// A policy changed what governs the queue. Times to live hold for messages enqueued from now on; limits hold at
    /// once. What cannot change while it exists (type, priorities, single active consumer) is left as it is.
    pub fn reconfigure(&mut self, settings: QueueSettings, now: Time, effects: &mut Vec<Effect>) {
        self.settings = QueueSettings {
            kind: self.settings.kind,
            max_priority: self.settings.max_priority,
            single_active_consumer: self.settings.single_active_consumer,
            ..settings
        };
        if let Some(stream) = &mut self.stream {
            return stream.retain(&self.settings.retention, now, effects);
        }
        self.dispatch(now, effects);
    }

    /// queue.purge: removes ready messages; returns their number. They are not dead-lettered. Their memory is freed by
    /// whoever calls [`Queue::take_remains`].
    pub fn purge(&mut self, effects: &mut Vec<Effect>) -> u64 {
        if self.stream.is_some() {
            return 0; // refused before, see `check_purge`
        }
        let count = self.ready_count();
        for level in (0..self.lanes.len()).rev() {
            if let Some((first, last)) = self.lanes[level].forget_away()
                && self.durable
            {
                effects.push(Effect::Settled { first: seq(level, first), last: seq(level, last) });
            }
            match self.lanes[level].take_all_if_ready() {
                Some(entries) => {
                    let all = entries.iter().flat_map(|part| part.iter());
                    all.for_each(|(number, entry)| settled(seq(level, number), entry, effects));
                    entries.into_iter().for_each(|part| self.remains.add(part));
                }
                None => self.purge_one_by_one(level, effects),
            }
        }
        self.top = 0;
        self.counters.purged += count;
        count
    }

    /// Some messages are unsettled and stay.
    fn purge_one_by_one(&mut self, level: usize, effects: &mut Vec<Effect>) {
        let mut removed = Slots::starting_at(0);
        while let Some((number, entry)) = self.lanes[level].remove_head() {
            settled(seq(level, number), &entry, effects);
            removed.push(entry);
        }
        self.remains.add(removed);
    }

    /// Whether it may be purged: streams keep what they have.
    pub fn check_purge(&self) -> Result<(), Error> {
        if self.stream.is_some() { Err(Error::StreamPurge(self.resource())) } else { Ok(()) }
    }

    /// What purges and the deletion have left to be freed.
    pub fn take_remains(&mut self) -> Remains {
        std::mem::take(&mut self.remains)
    }

    /// queue.delete: checks, then ends the queue; returns the number of ready messages. Consumers are cancelled; no
    /// effect speaks of the messages, since the queue's deletion itself goes to the store.
    pub fn delete(&mut self, if_unused: bool, if_empty: bool, effects: &mut Vec<Effect>) -> Result<u64, Error> {
        self.check_delete(if_unused, if_empty)?;
        let count = self.ready_count();
        let readers = self.stream.take().map(|stream| stream.reader_ids()).unwrap_or_default();
        for consumer in self.consumers.ids().into_iter().chain(readers) {
            effects.push(Effect::Cancelled { consumer });
        }
        for lane in &mut self.lanes {
            std::mem::take(lane).into_entries().into_iter().for_each(|part| self.remains.add(part));
        }
        self.expiry = ExpiryIndex::default();
        self.consumers = Consumers::new(self.settings.single_active_consumer);
        self.ended = true;
        Ok(count)
    }

    /// Removes messages that have expired, at most [`EXPIRE_BATCH_MAX`]; whether all are gone.
    #[inline]
    pub(super) fn expire_messages(&mut self, now: Time, effects: &mut Vec<Effect>) -> bool {
        let mut budget = EXPIRE_BATCH_MAX;
        while let Some((time, seq)) = self.expiry.first()
            && time <= now
        {
            if budget == 0 {
                return false;
            }
            budget -= 1;
            self.expiry.remove_first();
            self.expire_message(seq, effects);
        }
        true
    }

    pub(super) fn index_expiry(&mut self, time: Time, seq: Seq) {
        self.expiry.add(time, seq);
        if self.expiry.is_bloated(self.ready_count() - self.away_count()) {
            let lanes = &mut self.lanes;
            self.expiry.retain(|seq| unindex_if_dead(lanes, seq));
        }
    }

    pub(super) fn end(&mut self, reason: EndReason, effects: &mut Vec<Effect>) {
        self.ended = true;
        effects.push(Effect::Ended(reason));
    }

    fn expire_message(&mut self, seq: Seq, effects: &mut Vec<Effect>) {
        let lane = &mut self.lanes[level(seq)];
        match lane.get_mut(number(seq)) {
            Some(entry) if entry.state == State::Ready => {}
            // It will be indexed again if it comes back.
            Some(entry) => return entry.indexed = false,
            None => return,
        }
        let Some(entry) = lane.remove(number(seq)) else { return };
        self.counters.expired += 1;
        self.dead_letter(&entry.message, DeathReason::Expired, effects);
        settled(seq, &entry, effects);
    }

    fn forget_dead_expiries(&mut self) {
        while let Some((_, seq)) = self.expiry.first()
            && !unindex_if_dead(&mut self.lanes, seq)
        {
            self.expiry.remove_first();
        }
    }

    /// When something that is away expires; while a page is on its way nobody can look.
    fn away_expiry(&mut self) -> Option<Time> {
        if !self.has_away || self.reading.is_some() {
            return None;
        }
        self.has_away = self.lanes.iter().any(|lane| !lane.away().is_empty());
        self.lanes.iter().filter_map(|lane| lane.away().earliest()).min()
    }

    /// "unused (no consumers, no declare, no get) for that long" (RabbitMQ).
    fn lease_end(&self) -> Option<Time> {
        let lease = self.settings.expires_ms.filter(|_| !self.ended && self.consumers.len() == 0);
        lease.map(|ms| self.last_used.plus_ms(ms))
    }

    fn check_delete(&self, if_unused: bool, if_empty: bool) -> Result<(), Error> {
        if self.stream.is_some() {
            return Ok(()); // as RabbitMQ, which does not look at the flags
        }
        let flags = [("if-unused", if_unused), ("if-empty", if_empty)];
        let flag = flags.into_iter().find(|(_, is_set)| *is_set);
        match flag {
            Some((flag, _)) if self.settings.kind == QueueKind::Quorum => {
                Err(Error::DeleteFlagUnsupported { queue: self.resource(), flag })
            }
            _ if if_unused && self.consumers.len() > 0 => Err(Error::InUse(self.resource())),
            _ if if_empty && self.ready_count() > 0 => Err(Error::NotEmpty(self.resource())),
            _ => Ok(()),
        }
    }
}

/// Whether an index entry's message is ready still; if it is unsettled, notes that it is not indexed any more.
fn unindex_if_dead(lanes: &mut [Lane], seq: Seq) -> bool {
    match lanes[level(seq)].get_mut(number(seq)) {
        Some(entry) if entry.state == State::Ready => true,
        Some(entry) => {
            entry.indexed = false;
            false
        }
        None => false,
    }
}
