//! The messages of one priority: a queue in its strictest sense.
//!
//! Every message keeps its number for as long as it stays, whatever happens to it; the order of numbers is the order of
//! delivery. Its state is *ready* or *unsettled* (delivered, not settled yet).
//!
//! ```text
//!   numbers:    3   4   5   6   7   8   9  10  11      cursor = 8
//!   states:     u   .   R   u   .   r   r   .   r      returned = {5}
//! ```
//!
//! From the cursor on nothing was ever delivered: all messages there are ready (`r`), or gone (`.`: expired or purged).
//! Before it, a message is unsettled (`u`), unless it came back (`R`): those are listed in `returned`, which is empty
//! most of the time. The next message to deliver is the first one returned, else the one at the cursor. So a message
//! that comes back is in its original place at once, without moving anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::message::Message;
use crate::slots::Slots;

use super::consumers::Holder;
use super::expiry::Expiry;

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

#[derive(Debug)]
pub(super) struct Lane {
    entries: Entries,
    cursor: u64,
    returned: BTreeSet<u64>,
    ready: usize,
    /// Bytes of ready messages' bodies.
    ready_bytes: u64,
    /// Bytes of all messages' bodies.
    bytes: u64,
    /// Messages below this number came back from a crash, and may have been delivered before it.
    in_doubt_below: u64,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            entries: Slots::starting_at(0),
            cursor: 0,
            returned: BTreeSet::new(),
            ready: 0,
            ready_bytes: 0,
            bytes: 0,
            in_doubt_below: 0,
        }
    }
}

impl Lane {
    /// Nobody knows which of the messages that are here now were delivered.
    pub(super) fn doubt_all(&mut self) {
        self.in_doubt_below = self.entries.next_number();
    }

    /// Whether the message may have been delivered before a crash.
    pub(super) fn is_in_doubt(&self, number: u64) -> bool {
        number < self.in_doubt_below
    }

    /// Appends a ready message.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        debug_assert_eq!(entry.state, State::Ready);
        self.ready += 1;
        let bytes = body_len(&entry);
        self.ready_bytes += bytes;
        self.bytes += bytes;
        self.entries.push(entry)
    }

    /// Appends a message that is unsettled from the start. Only while nothing is ready, or it would overtake.
    pub(super) fn push_unsettled(&mut self, entry: Entry) -> u64 {
        debug_assert!(self.ready == 0 && entry.state != State::Ready);
        self.bytes += body_len(&entry);
        let number = self.entries.push(entry);
        self.cursor = number + 1;
        number
    }

    /// Uses up a number for a message that never stays.
    pub(super) fn skip(&mut self) -> u64 {
        let at_end = self.cursor == self.entries.next_number();
        let number = self.entries.skip();
        if at_end {
            self.cursor = number + 1;
        }
        number
    }

    /// The next message to deliver.
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
        let bytes = body_len(entry);
        self.left_ready(number, bytes);
        Some((number, self.entries.get(number)?))
    }

    /// Removes the head.
    pub(super) fn remove_head(&mut self) -> Option<(u64, Entry)> {
        let (number, _) = self.head()?;
        Some((number, self.remove(number)?))
    }

    /// Takes all messages out, if all are ready; the numbers go on.
    pub(super) fn take_all_if_ready(&mut self) -> Option<Entries> {
        if self.unsettled() > 0 {
            return None;
        }
        let next = self.entries.next_number();
        let fresh = Self { entries: Slots::starting_at(next), cursor: next, ..Self::default() };
        Some(std::mem::replace(self, fresh).entries)
    }

    /// All messages, for the end of the queue.
    pub(super) fn into_entries(self) -> Entries {
        self.entries
    }

    /// Removes a message in any state.
    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(number)?;
        let bytes = body_len(&entry);
        self.bytes -= bytes;
        if entry.state == State::Ready {
            self.left_ready(number, bytes);
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
        self.returned.insert(number);
    }

    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(number)
    }

    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        self.entries.get_mut(number)
    }

    /// Messages of all states in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter()
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
        self.entries.len() - self.ready
    }

    /// Gives out all numbers below this one, unused; for recovery.
    pub(super) fn skip_to(&mut self, number: u64) {
        let at_end = self.cursor == self.entries.next_number();
        self.entries.skip_to(number);
        if at_end {
            self.cursor = self.entries.next_number();
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.entries.next_number()
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
    fn left_ready(&mut self, number: u64, bytes: u64) {
        self.ready -= 1;
        self.ready_bytes -= bytes;
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
        assert!(self.cursor <= self.entries.next_number());
        let (mut ready, mut bytes, mut all) = (0, 0, 0);
        for (number, entry) in self.entries.iter() {
            let is_ready = entry.state == State::Ready;
            ready += usize::from(is_ready);
            bytes += if is_ready { body_len(entry) } else { 0 };
            all += body_len(entry);
            assert!(number < self.cursor || is_ready, "nothing is delivered behind the cursor");
            assert_eq!(number < self.cursor && is_ready, self.returned.contains(&number));
        }
        assert_eq!((ready, bytes, all), (self.ready, self.ready_bytes, self.bytes));
        assert!(self.returned.iter().all(|number| self.entries.get(*number).is_some()));
    }
}

fn body_len(entry: &Entry) -> u64 {
    entry.message.body().len() as u64
}
