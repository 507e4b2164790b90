//! A consumer of a stream: where it stands, what it may take, and what was read ahead for it.
//!
//! ```text
//!   away                                      in memory
//!   ... | position | ahead: read, and wanted | ... | tail ... |
//!                                            ^ read_to
//! ```
//!
//! What is away is read in pages, before the reader wants it, but no more than its share of memory. What no reader wants of a page
//! is not kept: filters are looked at when the page comes. A page is for whoever stands at its place, so readers that go along
//! together read once.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ids::{ConsumerId, Time};
use crate::message::Message;
use crate::queue::{ConsumerSpec, delivery_cost};

use super::log::{At, Log, Record};
use super::start::{Filter, Start};

/// Messages with their offsets.
type Records = VecDeque<(u64, Record)>;

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) spec: ConsumerSpec,
    filter: Option<Filter>,
    /// What it does not want of those that were there when it came.
    seek: Option<Seek>,
    /// The offset to look at next.
    position: u64,
    pub(super) unsettled: u32,
    pub(super) window: i64,
    pub(super) paused: bool,
    /// What it wants of those from `position` to `read_to`.
    ahead: Records,
    ahead_weight: u64,
    /// Behind the last one that was read, if that is behind `position`.
    read_to: u64,
}

/// A reader wants messages from a time on, and nobody knows where they begin.
#[derive(Clone, Copy, Debug)]
struct Seek {
    from: Time,
    /// What has come since is wanted, whatever the time.
    before: u64,
}

/// What comes next for a reader.
pub(super) enum Next {
    /// This one.
    Message(u64, Arc<Message>),
    /// Nothing that it wants of those that were looked at.
    Unwanted,
    /// Nothing, or nothing yet.
    Nothing,
}

impl Reader {
    pub(super) fn new(spec: ConsumerSpec, log: &Log) -> Self {
        let wants = spec.stream.as_deref().cloned().unwrap_or_default();
        let window = i64::try_from(spec.window_bytes).unwrap_or(i64::MAX);
        let seek = match wants.start {
            Start::Time(from) => Some(Seek { from, before: log.next() }),
            _ => None,
        };
        Self {
            spec,
            filter: wants.filter,
            seek,
            position: wants.start.resolve(log),
            unsettled: 0,
            window,
            paused: false,
            ahead: Records::new(),
            ahead_weight: 0,
            read_to: 0,
        }
    }

    pub(super) fn id(&self) -> ConsumerId {
        self.spec.id
    }

    pub(super) fn can_take(&self) -> bool {
        let has_credit = self.spec.no_ack || self.spec.prefetch == 0 || self.unsettled < self.spec.prefetch;
        has_credit && self.window > 0 && !self.paused
    }

    /// Whether [`Reader::next`] would come to something.
    pub(super) fn has_next(&self, log: &Log) -> bool {
        !self.ahead.is_empty() || matches!(log.at(self.unread()), At::Here(..))
    }

    /// Takes one step.
    pub(super) fn next(&mut self, log: &Log) -> Next {
        if let Some((offset, record)) = self.pop_ahead() {
            self.position = offset + 1;
            // It may have been dropped since.
            return if offset < log.first() { Next::Unwanted } else { Next::Message(offset, record.message) };
        }
        let At::Here(offset, record) = log.at(self.unread()) else { return Next::Nothing };
        self.position = offset + 1;
        match self.wants(offset, record) {
            true => Next::Message(offset, record.message.clone()),
            false => Next::Unwanted,
        }
    }

    /// It was given a message that is on its way to it.
    pub(super) fn delivered(&mut self, message: &Message) {
        self.unsettled += u32::from(!self.spec.no_ack);
        self.window -= i64::try_from(delivery_cost(message)).unwrap_or(i64::MAX);
    }

    pub(super) fn settled(&mut self) {
        self.unsettled = self.unsettled.saturating_sub(1);
    }

    /// It could not take the message at an offset, and waits.
    pub(super) fn declined(&mut self, offset: u64) {
        self.paused = true;
        self.settled();
        if offset < self.position {
            self.position = offset;
            self.read_to = 0;
            self.ahead.clear();
            self.ahead_weight = 0;
        }
    }

    pub(super) fn credit(&mut self, bytes: u64) {
        let full = i64::try_from(self.spec.window_bytes).unwrap_or(i64::MAX);
        self.window = self.window.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX)).min(full);
    }

    /// Whether what it wants next is not in memory.
    pub(super) fn is_behind(&self, log: &Log) -> bool {
        !self.ahead.is_empty() || matches!(log.at(self.unread()), At::Away(_))
    }

    /// The offset to read from, if less than half of its share of memory is filled.
    pub(super) fn to_read(&self, log: &Log, share: u64) -> Option<u64> {
        match log.at(self.unread()) {
            At::Away(offset) if self.ahead_weight <= share / 2 => Some(offset),
            _ => None,
        }
    }

    /// These were read, from an offset through another one: takes what it needs of them.
    pub(super) fn take(&mut self, log: &Log, (first, through): (u64, u64), read: &[(u64, Record)], share: u64) {
        let Some(unread) = self.to_read(log, share).filter(|unread| (first..=through).contains(unread)) else { return };
        let from = read.partition_point(|(offset, _)| *offset < unread);
        for (offset, record) in read.get(from..).unwrap_or_default() {
            if self.ahead_weight > share {
                return; // there is more than it may have
            }
            self.read_to = offset + 1;
            if self.wants(*offset, record) {
                self.ahead_weight += record.weight();
                self.ahead.push_back((*offset, record.clone()));
            }
        }
        self.read_to = through + 1;
    }

    /// Bytes of memory that what was read ahead takes.
    pub(super) fn weight(&self) -> u64 {
        self.ahead_weight
    }

    /// The first offset that it has neither taken nor ahead of it.
    fn unread(&self) -> u64 {
        self.position.max(self.read_to)
    }

    fn wants(&self, offset: u64, record: &Record) -> bool {
        let is_too_early = self.seek.is_some_and(|seek| offset < seek.before && record.time < seek.from);
        !is_too_early && self.filter.as_ref().is_none_or(|filter| filter.admits(&record.message))
    }

    fn pop_ahead(&mut self) -> Option<(u64, Record)> {
        let first = self.ahead.pop_front()?;
        self.ahead_weight -= first.1.weight();
        Some(first)
    }
}
