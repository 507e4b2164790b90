//! The messages of one priority: a queue in its strictest sense.
//!
//! Every message keeps its number for as long as it stays, whatever happens to it; the order of numbers is the order of
//! delivery. Its state is *ready* or *unsettled* (delivered, not settled yet).
//!
//! ```text
//!   numbers:    3   4   5   6   7   8   9  10  11 ( 12 ... 900000 ) 900001  900002     cursor = 8
//!   states:     u   .   R   u   .   r   r   .   r       away           r       r       returned = {5}
//!               |--------- entries -----------|                  |---- tail ----|
//! ```
//!
//! From the cursor on nothing was ever delivered: all messages there are ready (`r`), or gone (`.`: expired or purged).
//! Before it, a message is unsettled (`u`), unless it came back (`R`): those are listed in `returned`, which is empty
//! most of the time. The next message to deliver is the first one returned, else the one at the cursor. So a message
//! that comes back is in its original place at once, without moving anything.
//!
//! A backlog that outgrows two [`Windows`] has its middle on disk ([`Away`](super::away)). Then what is published goes to the
//! tail, whose oldest messages go away; what is delivered comes from the head, which gets the oldest of those away back in pages.
//! Unsettled and returned messages are always in memory.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::message::Message;
use crate::slots::Slots;

use super::away::{Away, Place, Stretch};
use super::consumers::Holder;
use super::expiry::Expiry;
use super::paging::Windows;

/// A message in its place.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) message: Arc<Message>,
    /// When it expires; fixed when it is enqueued.
    pub(super) expiry: Option<Expiry>,
    /// How often it came back.
    pub(super) requeues: u32,
    pub(super) state: State,
    /// It is in the store, which wants to know when it is settled.
    pub(super) stored: bool,
    /// The expiry index has an entry for it.
    pub(super) indexed: bool,
}

/// A backlog of ten million messages has ten million of these.
const _: () = assert!(size_of::<Option<Entry>>() <= 32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Unsettled(Holder),
}

/// Messages by number.
pub(super) type Entries = Slots<Entry>;

/// What a message takes besides its bytes, about: its place, and what the allocator adds.
const ENTRY_WEIGHT: u64 = 64;

/// After a try to send messages away that found the next one had to stay, so many more come before the next try.
const RETRY_AFTER: u64 = 1024;

/// Messages that one publish sends away; more than come in, so that a window that became smaller is reached soon.
const AWAY_BATCH_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Lane {
    entries: Entries,
    /// Behind the entries.
    away: Away,
    /// Behind those; empty unless something is away.
    tail: Entries,
    cursor: u64,
    returned: BTreeSet<u64>,
    ready: usize,
    /// Bytes of ready messages' bodies.
    ready_bytes: u64,
    /// Bytes of all messages' bodies.
    bytes: u64,
    /// Memory of all messages that are in it.
    weight: u64,
    /// Of those that are ready.
    ready_weight: u64,
    /// Of those in the tail.
    tail_weight: u64,
    /// Below this number nothing is tried to be sent away again.
    retry_at: u64,
    /// Messages below this number came back from a crash, and may have been delivered before it.
    in_doubt_below: u64,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            entries: Slots::starting_at(0),
            away: Away::default(),
            tail: Slots::starting_at(0),
            cursor: 0,
            returned: BTreeSet::new(),
            ready: 0,
            ready_bytes: 0,
            bytes: 0,
            weight: 0,
            ready_weight: 0,
            tail_weight: 0,
            retry_at: 0,
            in_doubt_below: 0,
        }
    }
}

impl Lane {
    /// Nobody knows which of the messages that are here now were delivered.
    pub(super) fn doubt_all(&mut self) {
        self.in_doubt_below = self.next_number();
    }

    /// Nobody knows which of the messages below this number were delivered.
    pub(super) fn doubt_below(&mut self, number: u64) {
        self.in_doubt_below = self.in_doubt_below.max(number);
    }

    /// The number below which that is so, while any message may be below it.
    pub(super) fn in_doubt_below(&self) -> Option<u64> {
        let first = self.entries.first().map(|(number, _)| number);
        let first = first.or_else(|| self.away.front().map(|front| front.first));
        first.is_some_and(|first| first < self.in_doubt_below).then_some(self.in_doubt_below)
    }

    /// Whether the message may have been delivered before a crash.
    pub(super) fn is_in_doubt(&self, number: u64) -> bool {
        number < self.in_doubt_below
    }

    /// Appends a ready message.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        debug_assert_eq!(entry.state, State::Ready);
        self.ready += 1;
        let (bytes, weight) = (body_len(&entry), weight(&entry));
        self.ready_bytes += bytes;
        self.bytes += bytes;
        self.weight += weight;
        self.ready_weight += weight;
        if self.away.is_empty() {
            return self.entries.push(entry);
        }
        self.tail_weight += weight;
        self.tail.push(entry)
    }

    /// Appends a message that is unsettled from the start. Only while nothing is ready, or it would overtake.
    pub(super) fn push_unsettled(&mut self, entry: Entry) -> u64 {
        debug_assert!(self.ready == 0 && entry.state != State::Ready);
        self.bytes += body_len(&entry);
        self.weight += weight(&entry);
        let number = self.entries.push(entry);
        self.cursor = number + 1;
        number
    }

    /// Uses up a number for a message that never stays. Only while nothing is ready.
    pub(super) fn skip(&mut self) -> u64 {
        debug_assert!(self.away.is_empty());
        let at_end = self.cursor == self.entries.next_number();
        let number = self.entries.skip();
        if at_end {
            self.cursor = number + 1;
        }
        number
    }

    /// The next message to deliver; none if it is away.
    pub(super) fn head(&mut self) -> Option<(u64, &mut Entry)> {
        let number = match self.returned.first() {
            Some(number) => *number,
            None => self.first_fresh()?,
        };
        Some((number, self.entries.get_mut(number)?))
    }

    /// Marks the head as unsettled.
    pub(super) fn take_head(&mut self, holder: Holder) -> Option<(u64, &Entry)> {
        let (number, entry) = self.head()?;
        entry.state = State::Unsettled(holder);
        let (bytes, weight) = (body_len(entry), weight(entry));
        self.left_ready(number, bytes, weight);
        Some((number, self.entries.get(number)?))
    }

    /// Removes the head.
    pub(super) fn remove_head(&mut self) -> Option<(u64, Entry)> {
        let (number, _) = self.head()?;
        Some((number, self.remove(number)?))
    }

    /// Takes all messages in memory out, if all are ready, and forgets those that are away; the numbers go on.
    pub(super) fn take_all_if_ready(&mut self) -> Option<[Entries; 2]> {
        if self.unsettled() > 0 {
            return None;
        }
        let next = self.next_number();
        let fresh = Self { entries: Slots::starting_at(next), cursor: next, ..Self::default() };
        Some(std::mem::replace(self, fresh).into_entries())
    }

    /// All messages in memory, for the end of the queue.
    pub(super) fn into_entries(self) -> [Entries; 2] {
        [self.entries, self.tail]
    }

    /// Removes a message in any state.
    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        let is_in_tail = self.is_in_tail(number);
        let slots = if is_in_tail { &mut self.tail } else { &mut self.entries };
        let entry = slots.remove(number)?;
        let (bytes, weight) = (body_len(&entry), weight(&entry));
        self.bytes -= bytes;
        self.weight -= weight;
        self.tail_weight -= if is_in_tail { weight } else { 0 };
        if entry.state == State::Ready {
            self.left_ready(number, bytes, weight);
        }
        Some(entry)
    }

    /// Makes an unsettled message ready again, in its place.
    pub(super) fn put_back(&mut self, number: u64) {
        let Some(entry) = self.entries.get_mut(number) else { return };
        debug_assert_ne!(entry.state, State::Ready);
        entry.state = State::Ready;
        self.ready += 1;
        self.ready_bytes += body_len(entry);
        self.ready_weight += weight(entry);
        self.returned.insert(number);
    }

    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        if self.is_in_tail(number) { self.tail.get(number) } else { self.entries.get(number) }
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        if self.is_in_tail(number) { self.tail.get_mut(number) } else { self.entries.get_mut(number) }
    }

    /// Messages of all states before those that are away, in order.
    pub(super) fn iter_head(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter()
    }

    /// Messages of all states that are in memory, in order.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().chain(self.tail.iter())
    }

    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    pub(super) fn ready_bytes(&self) -> u64 {
        self.ready_bytes
    }

    pub(super) fn unsettled_bytes(&self) -> u64 {
        self.bytes - self.ready_bytes
    }

    pub(super) fn unsettled(&self) -> usize {
        self.entries.len() + self.tail.len() + self.away.count() as usize - self.ready
    }

    /// Bytes of memory that its messages take, about.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// Bytes of memory that those take that wait, about.
    pub(super) fn ready_weight(&self) -> u64 {
        self.ready_weight
    }

    pub(super) fn away(&self) -> &Away {
        &self.away
    }

    /// Gives out all numbers below this one, unused; for recovery.
    pub(super) fn skip_to(&mut self, number: u64) {
        if !self.away.is_empty() {
            return self.tail.skip_to(number);
        }
        let at_end = self.cursor == self.entries.next_number();
        self.entries.skip_to(number);
        if at_end {
            self.cursor = self.entries.next_number();
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        if self.away.is_empty() { self.entries.next_number() } else { self.tail.next_number() }
    }

    // ---- what is away

    /// Adds messages that are in the store and not in memory, behind all others; for recovery.
    pub(super) fn restore_away(&mut self, stretch: Stretch) {
        debug_assert!(stretch.first >= self.next_number() && self.tail.is_empty());
        self.ready += stretch.count as usize;
        self.ready_bytes += stretch.bytes;
        self.bytes += stretch.bytes;
        self.tail = Slots::starting_at(stretch.last + 1);
        self.away.push(stretch);
    }

    /// The windows have changed.
    pub(super) fn try_again(&mut self) {
        self.retry_at = 0;
    }

    /// Whether the head should get a page: less than half a window of it is left.
    #[inline]
    pub(super) fn wants_page(&self, windows: &Windows) -> bool {
        let head = self.ready_weight - self.tail_weight;
        !self.away.is_empty() && (head == 0 || head < windows.head / 2)
    }

    /// Sends away what is too much in memory. Messages that nobody keeps are given to `spill`, a megabyte at a time, if there is
    /// one; else they stay, and whatever is behind them.
    pub(super) fn send_away(&mut self, windows: &Windows, mut spill: Option<&mut Vec<(u64, Entry)>>) {
        if self.away.is_empty() {
            let spilled = if spill.is_some() { windows.spill } else { 0 };
            if self.ready_weight <= windows.head + windows.tail + spilled || self.next_number() < self.retry_at {
                return;
            }
            if !self.make_tail(windows, spill.is_some()) {
                return;
            }
        }
        for _ in 0..AWAY_BATCH_MAX {
            if self.tail_weight <= windows.tail {
                break;
            }
            let Some((number, first)) = self.tail.first() else { break };
            if first.stored {
                self.send_stored(number);
            } else if let Some(spill) = spill.as_deref_mut()
                && self.tail_weight > windows.tail + windows.spill
            {
                return self.send_to_scratch(windows.spill, spill);
            } else {
                break;
            }
        }
        if self.away.is_empty() {
            self.close_gap();
        }
    }

    /// Makes what is behind the head's window the tail, of which at least one message is to go away.
    fn make_tail(&mut self, windows: &Windows, may_spill: bool) -> bool {
        let mut weight_so_far = 0;
        let Some(first) = self.first_fresh() else { return false };
        let mut at = first;
        while at < self.entries.next_number() && weight_so_far <= windows.head {
            weight_so_far += self.entries.get(at).map_or(0, weight);
            at += 1;
        }
        while at < self.entries.next_number() && self.entries.get(at).is_none() {
            at += 1;
        }
        let may_go = |entry: &Entry| entry.stored || may_spill;
        if !self.entries.get(at).is_some_and(may_go) {
            self.retry_at = self.next_number() + if windows.may_spill { 0 } else { RETRY_AFTER };
            return false;
        }
        let tail_weight: u64 = (at..self.entries.next_number()).filter_map(|it| self.entries.get(it)).map(weight).sum();
        if tail_weight <= windows.tail + if may_spill { windows.spill } else { 0 } {
            // It is not long enough yet, or what came back takes the room.
            self.retry_at = self.next_number() + if self.returned.is_empty() { 0 } else { RETRY_AFTER };
            return false;
        }
        self.tail = self.entries.split_off(at);
        self.tail_weight = tail_weight;
        true
    }

    /// The store has it.
    fn send_stored(&mut self, number: u64) {
        let Some(entry) = self.take_from_tail(number) else { return };
        self.away.push(Stretch {
            first: number,
            last: number,
            count: 1,
            bytes: body_len(&entry),
            earliest: entry.expiry.map(Expiry::time),
            place: Place::Store,
        });
    }

    /// The oldest of the tail, with this weight together.
    fn send_to_scratch(&mut self, weight_max: u64, spill: &mut Vec<(u64, Entry)>) {
        let before = self.tail_weight;
        let mut stretch: Option<Stretch> = None;
        while before - self.tail_weight < weight_max
            && let Some((number, _)) = self.tail.first()
            && let Some(entry) = self.take_from_tail(number)
        {
            let time = entry.expiry.map(Expiry::time);
            let it = stretch.get_or_insert(Stretch {
                first: number,
                last: number,
                count: 0,
                bytes: 0,
                earliest: None,
                place: Place::Scratch,
            });
            it.last = number;
            it.count += 1;
            it.bytes += body_len(&entry);
            it.earliest = it.earliest.into_iter().chain(time).min();
            spill.push((number, entry));
        }
        stretch.into_iter().for_each(|stretch| self.away.push(stretch));
    }

    /// It counts as ready still.
    fn take_from_tail(&mut self, number: u64) -> Option<Entry> {
        let entry = self.tail.remove(number)?;
        let weight = weight(&entry);
        self.weight -= weight;
        self.ready_weight -= weight;
        self.tail_weight -= weight;
        Some(entry)
    }

    /// What a page of the first stretch, which begins at `first`, brings back: all that is live of it up to number `through`.
    /// Answers how many messages more it was said to have; `None`, and nothing happens, if the stretch is not there any more.
    pub(super) fn come_back(&mut self, first: u64, through: u64, page: Vec<(u64, Entry)>) -> Option<u64> {
        if self.away.front().is_none_or(|front| front.first != first) {
            return None;
        }
        let (mut count, mut bytes) = (0, 0);
        for (number, entry) in page {
            if self.away.is_gone(number) {
                continue;
            }
            count += 1;
            bytes += body_len(&entry);
            self.append_to_head(number, entry);
        }
        let counted = self.away.front().map_or((0, 0), |front| (count.min(front.count), bytes.min(front.bytes)));
        let missing = self.away.take_front(through, count, bytes);
        // All of this is nothing unless the stretch was not known exactly.
        self.ready = self.ready + (count - counted.0) as usize - missing.0 as usize;
        self.ready_bytes = self.ready_bytes + (bytes - counted.1) - missing.1;
        self.bytes = self.bytes + (bytes - counted.1) - missing.1;
        if self.away.is_empty() {
            self.close_gap();
        }
        Some(missing.0)
    }

    fn append_to_head(&mut self, number: u64, entry: Entry) {
        let at_end = self.cursor == self.entries.next_number();
        self.entries.skip_to(number);
        if at_end {
            self.cursor = self.entries.next_number();
        }
        let weight = weight(&entry);
        self.weight += weight;
        self.ready_weight += weight;
        self.entries.push(entry);
    }

    /// Nothing is away any more.
    fn close_gap(&mut self) {
        let next = self.tail.next_number();
        let at_end = self.cursor == self.entries.next_number();
        let tail = std::mem::replace(&mut self.tail, Slots::starting_at(next));
        self.tail_weight = 0;
        if at_end {
            let first = tail.first().map_or(next, |(first, _)| first);
            self.entries.skip_to(first);
            self.cursor = self.entries.next_number();
        }
        self.entries.append(tail);
    }

    /// Forgets all that is away, and says between which numbers it lay.
    pub(super) fn forget_away(&mut self) -> Option<(u64, u64)> {
        let span = self.away.span()?;
        self.ready -= self.away.count() as usize;
        self.ready_bytes -= self.away.bytes();
        self.bytes -= self.away.bytes();
        self.away = Away::default();
        self.close_gap();
        Some(span)
    }

    /// The stretch that begins at `first` was looked through up to `through`: see [`Away::looked_through`].
    pub(super) fn looked_through(
        &mut self,
        first: u64,
        through: u64,
        seen: (u64, u64),
        expired: (&[u64], u64),
        earliest: Option<crate::ids::Time>,
    ) {
        let before = (self.away.count(), self.away.bytes());
        self.away.looked_through(first, through, seen, expired, earliest);
        self.ready -= (before.0 - self.away.count()) as usize;
        self.ready_bytes -= before.1 - self.away.bytes();
        self.bytes -= before.1 - self.away.bytes();
        if self.away.is_empty() {
            self.close_gap();
        }
    }

    #[inline]
    fn is_in_tail(&self, number: u64) -> bool {
        self.away.last().is_some_and(|last| number > last)
    }

    /// Moves the cursor over what is gone.
    fn first_fresh(&mut self) -> Option<u64> {
        let end = self.entries.next_number();
        while self.cursor < end {
            if self.entries.get(self.cursor).is_some() {
                return Some(self.cursor);
            }
            self.cursor += 1;
        }
        None
    }

    /// A message is not ready any more.
    fn left_ready(&mut self, number: u64, bytes: u64, weight: u64) {
        self.ready -= 1;
        self.ready_bytes -= bytes;
        self.ready_weight -= weight;
        if number >= self.cursor {
            // Either it was the head, or it is gone from the middle and the cursor will pass over it.
            self.cursor += u64::from(number == self.cursor);
        } else {
            self.returned.remove(&number);
        }
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        self.entries.check_invariants();
        self.tail.check_invariants();
        self.away.check_invariants();
        assert!(self.cursor <= self.entries.next_number());
        let (mut ready, mut bytes, mut all) = (0, 0, 0);
        for (number, entry) in self.iter() {
            let is_ready = entry.state == State::Ready;
            ready += usize::from(is_ready);
            bytes += if is_ready { body_len(entry) } else { 0 };
            all += body_len(entry);
            assert!(number < self.cursor || is_ready, "nothing is delivered behind the cursor");
            assert_eq!(number < self.cursor && is_ready, self.returned.contains(&number));
        }
        let (away, away_bytes) = (self.away.count(), self.away.bytes());
        assert_eq!((ready + away as usize, bytes + away_bytes), (self.ready, self.ready_bytes));
        assert_eq!(all + away_bytes, self.bytes);
        assert!(self.returned.iter().all(|number| self.entries.get(*number).is_some()));
        self.check_weights();
        match self.away.span() {
            Some((first, last)) => {
                assert!(self.entries.next_number() <= first);
                assert!(self.tail.first().is_none_or(|(first, _)| last < first));
            }
            None => assert!(self.tail.is_empty() && self.tail_weight == 0),
        }
    }

    #[cfg(test)]
    fn check_weights(&self) {
        let ready = self.iter().filter(|(_, entry)| entry.state == State::Ready);
        assert_eq!(self.weight, self.iter().map(|(_, entry)| weight(entry)).sum::<u64>());
        assert_eq!(self.ready_weight, ready.map(|(_, entry)| weight(entry)).sum::<u64>());
        assert_eq!(self.tail_weight, self.tail.iter().map(|(_, entry)| weight(entry)).sum::<u64>());
    }
}

fn body_len(entry: &Entry) -> u64 {
    entry.message.body().len() as u64
}

fn weight(entry: &Entry) -> u64 {
    entry.message.size() as u64 + ENTRY_WEIGHT
}
