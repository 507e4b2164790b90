//! A queue's consumers and whose turn it is.
//!
//! A consumer *can take* a message while its prefetch allows it, its window is positive, and it is not paused. Those
//! that can stand in line, one line for each priority; the first of the highest line gets the next message and goes to
//! the end of its line, if it can take another. That is strict round robin: nine messages and three idle consumers make
//! three each.
//!
//! Standing in line is a promise that is checked when the turn comes: a consumer that became unable meanwhile just
//! leaves the line.
//!
//! Messages refer to their consumer by a [`Holder`], its place here. A consumer that was cancelled keeps its place
//! until its last message is settled, so that the place cannot be mistaken for another's.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use crate::hash::FastMap;
use crate::ids::ConsumerId;
use crate::message::Message;
use crate::stream::start::StreamSpec;

/// What a delivery costs of the window besides the message's bytes: method, frame headers and names.
pub const DELIVERY_OVERHEAD_BYTES: u64 = 128;

/// What a delivery takes from its consumer's window, and what the shell gives back by
/// [`Queue::credit`](super::Queue::credit) when it is written to the socket.
pub fn delivery_cost(message: &Message) -> u64 {
    (message.body().len() + message.properties().len()) as u64 + DELIVERY_OVERHEAD_BYTES
}

/// What basic.consume asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Unique within the queue.
    pub id: ConsumerId,
    /// Deliveries are settled as they are handed over.
    pub no_ack: bool,
    /// Nobody else may consume.
    pub exclusive: bool,
    /// How many unsettled messages it may have; 0 is no limit. Does not matter with `no_ack`.
    pub prefetch: u32,
    /// Consumers of higher priority are served first.
    pub priority: i64,
    /// How many bytes ([`delivery_cost`]) may be on their way to its socket. A delivery may exceed it by at most one
    /// message.
    pub window_bytes: u64,
    /// Where to begin and what to leave out, if the queue is a stream.
    pub stream: Option<Box<StreamSpec>>,
}

/// Who holds an unsettled message: a consumer's place (counted from 1), or whoever did a get. Never zero, so that a
/// message's whole state fits four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Holder(NonZeroU32);

impl Holder {
    /// A get; not counted for anybody.
    pub(super) const GET: Self = Self(NonZeroU32::MAX);

    fn of_place(place: usize) -> Self {
        let number = u32::try_from(place + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("memory ends before four billion consumers"))
    }

    #[inline]
    fn place(self) -> usize {
        self.0.get() as usize - 1
    }
}

#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) spec: ConsumerSpec,
    pub(super) unsettled: u32,
    /// What is left of the window; negative by at most one message.
    pub(super) window: i64,
    pub(super) paused: bool,
    /// Gone, but not all of its messages are settled.
    cancelled: bool,
    in_line: bool,
    /// The order of registration.
    arrival: u64,
}

#[derive(Debug)]
struct Line {
    priority: i64,
    waiting: VecDeque<Holder>,
    /// Consumers of this priority, in line or not.
    members: usize,
}

#[derive(Debug, Default)]
pub(super) struct Consumers {
    places: Vec<Option<Consumer>>,
    free: Vec<Holder>,
    by_id: FastMap<ConsumerId, Holder>,
    /// Highest priority first.
    lines: Vec<Line>,
    single_active: bool,
    active: Option<Holder>,
    arrivals: u64,
    /// Consumers whose window is used up.
    full: usize,
}

impl Consumer {
    fn can_take(&self) -> bool {
        let has_prefetch = self.spec.no_ack || self.spec.prefetch == 0 || self.unsettled < self.spec.prefetch;
        has_prefetch && self.window > 0 && !self.paused && !self.cancelled
    }
}

impl Consumers {
    pub(super) fn new(single_active: bool) -> Self {
        Self { single_active, ..Self::default() }
    }

    /// Whether one more may come: `false` if an exclusive one is there, or if it asks for what cannot be exclusive any
    /// more.
    pub(super) fn admits(&self, spec: &ConsumerSpec) -> bool {
        let excluded = self.by_id.len() == 1 && self.iter().any(|consumer| consumer.spec.exclusive);
        !excluded && !(spec.exclusive && (self.single_active || !self.by_id.is_empty()))
    }

    /// Adds a consumer; the id must be new.
    pub(super) fn add(&mut self, spec: ConsumerSpec) {
        debug_assert!(!self.by_id.contains_key(&spec.id), "ids are unique within the queue");
        let (id, priority) = (spec.id, spec.priority);
        let window = i64::try_from(spec.window_bytes).unwrap_or(i64::MAX);
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.full += usize::from(window <= 0);
        let consumer =
            Consumer { spec, unsettled: 0, window, paused: false, cancelled: false, in_line: false, arrival };
        let holder = self.place(consumer);
        self.by_id.insert(id, holder);
        self.line_mut(priority).members += 1;
        if self.single_active && self.active.is_none() {
            self.active = Some(holder);
        }
        self.join_line(holder);
    }

    /// Removes a consumer; what it holds stays unsettled. Does not choose the next active one, see
    /// [`Consumers::promote`].
    pub(super) fn remove(&mut self, id: ConsumerId) -> bool {
        let Some(holder) = self.by_id.remove(&id) else { return false };
        let Some(consumer) = self.get_mut(holder) else { return false };
        consumer.cancelled = true;
        consumer.in_line = false;
        let is_full = consumer.window <= 0;
        let priority = consumer.spec.priority;
        self.leave_line(holder, priority);
        self.full -= usize::from(is_full);
        if self.active == Some(holder) {
            self.active = None;
        }
        self.free_if_done(holder);
        true
    }

    /// Makes the next consumer the active one where there is none: "highest x-priority, then oldest".
    pub(super) fn promote(&mut self) {
        if !self.single_active || self.active.is_some() {
            return;
        }
        let best = self.by_id.values().copied().filter_map(|holder| {
            let consumer = self.get(holder)?;
            Some((std::cmp::Reverse(consumer.spec.priority), consumer.arrival, holder))
        });
        if let Some((_, _, holder)) = best.min() {
            self.active = Some(holder);
            self.join_line(holder);
        }
    }

    /// Whose turn it is; the consumer can take a message.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Holder> {
        for line in &mut self.lines {
            while let Some(&holder) = line.waiting.front() {
                let consumer = self.places[holder.place()].as_mut().expect("only live consumers stand in line");
                if consumer.can_take() {
                    return Some(holder);
                }
                consumer.in_line = false;
                line.waiting.pop_front();
            }
        }
        None
    }

    /// Counts a delivery to the consumer that [`Consumers::next`] named, and moves it to the end of its line.
    #[inline]
    pub(super) fn delivered(&mut self, holder: Holder, cost: u64) -> &ConsumerSpec {
        let consumer = self.places[holder.place()].as_mut().expect("next named it");
        consumer.unsettled += u32::from(!consumer.spec.no_ack);
        consumer.window -= i64::try_from(cost).unwrap_or(i64::MAX);
        self.full += usize::from(consumer.window <= 0); // it was not, or it could not have taken this
        let place = self.lines.partition_point(|line| line.priority > consumer.spec.priority);
        let line = self.lines.get_mut(place).expect("every consumer has a line");
        debug_assert_eq!(line.waiting.front(), Some(&holder));
        if consumer.can_take() {
            if line.waiting.len() > 1 {
                line.waiting.rotate_left(1);
            }
        } else {
            line.waiting.pop_front();
            consumer.in_line = false;
        }
        &consumer.spec
    }

    /// A message that this holder had is settled or back in the queue.
    #[inline]
    pub(super) fn settled(&mut self, holder: Holder) {
        let Some(consumer) = self.get_mut(holder) else { return };
        consumer.unsettled -= 1;
        if consumer.cancelled {
            self.free_if_done(holder);
        } else {
            self.join_line(holder);
        }
    }

    /// Bytes were written to the socket.
    pub(super) fn credit(&mut self, id: ConsumerId, bytes: u64) {
        let Some(holder) = self.holder(id) else { return };
        let Some(consumer) = self.get_mut(holder) else { return };
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let full = i64::try_from(consumer.spec.window_bytes).unwrap_or(i64::MAX);
        let was_full = consumer.window <= 0;
        consumer.window = consumer.window.saturating_add(bytes).min(full);
        let is_open = was_full && consumer.window > 0;
        self.full -= usize::from(is_open);
        self.join_line(holder);
    }

    pub(super) fn set_paused(&mut self, id: ConsumerId, paused: bool) {
        let Some(holder) = self.holder(id) else { return };
        let Some(consumer) = self.get_mut(holder) else { return };
        consumer.paused = paused;
        self.join_line(holder);
    }

    pub(super) fn holder(&self, id: ConsumerId) -> Option<Holder> {
        self.by_id.get(&id).copied()
    }

    /// Consumers in the order of registration.
    pub(super) fn ids(&self) -> Vec<ConsumerId> {
        let mut ids: Vec<_> = self.iter().map(|consumer| (consumer.arrival, consumer.spec.id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Live consumers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.places.iter().flatten().filter(|consumer| !consumer.cancelled)
    }

    /// Whether some would get more if what they were given were on its way to them.
    #[inline]
    pub(super) fn any_is_full(&self) -> bool {
        self.full > 0
    }

    pub(super) fn active(&self) -> Option<ConsumerId> {
        Some(self.get(self.active?)?.spec.id)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, holder: Holder) -> Option<&Consumer> {
        self.places.get(holder.place())?.as_ref()
    }

    fn get_mut(&mut self, holder: Holder) -> Option<&mut Consumer> {
        self.places.get_mut(holder.place())?.as_mut()
    }

    fn place(&mut self, consumer: Consumer) -> Holder {
        if let Some(holder) = self.free.pop() {
            self.places[holder.place()] = Some(consumer);
            return holder;
        }
        self.places.push(Some(consumer));
        Holder::of_place(self.places.len() - 1)
    }

    fn free_if_done(&mut self, holder: Holder) {
        if self.get(holder).is_some_and(|consumer| consumer.unsettled == 0) {
            self.places[holder.place()] = None;
            self.free.push(holder);
        }
    }

    fn line_mut(&mut self, priority: i64) -> &mut Line {
        let place = self.lines.partition_point(|line| line.priority > priority);
        if self.lines.get(place).is_none_or(|line| line.priority != priority) {
            self.lines.insert(place, Line { priority, waiting: VecDeque::new(), members: 0 });
        }
        &mut self.lines[place]
    }

    /// Lines a consumer up, if it can take a message, may be served at all, and is not there yet.
    #[inline]
    fn join_line(&mut self, holder: Holder) {
        if self.single_active && self.active != Some(holder) {
            return;
        }
        let Some(consumer) = self.get_mut(holder) else { return };
        if consumer.in_line || !consumer.can_take() {
            return;
        }
        consumer.in_line = true;
        let priority = consumer.spec.priority;
        self.line_mut(priority).waiting.push_back(holder);
    }

    fn leave_line(&mut self, holder: Holder, priority: i64) {
        let line = self.line_mut(priority);
        line.members -= 1;
        line.waiting.retain(|waiting| *waiting != holder);
        self.lines.retain(|line| line.members > 0);
    }

    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let live = self.iter().count();
        assert_eq!(live, self.by_id.len());
        assert_eq!(self.iter().filter(|consumer| consumer.window <= 0).count(), self.full);
        assert_eq!(self.lines.iter().map(|line| line.members).sum::<usize>(), live);
        assert!(self.lines.is_sorted_by(|a, b| a.priority > b.priority));
        let waiting: Vec<_> = self.lines.iter().flat_map(|line| &line.waiting).collect();
        assert_eq!(waiting.len(), self.places.iter().flatten().filter(|consumer| consumer.in_line).count());
        assert!(waiting.iter().all(|holder| self.get(**holder).is_some_and(|it| it.in_line && !it.cancelled)));
        for (place, consumer) in self.places.iter().enumerate() {
            let Some(consumer) = consumer else { continue };
            let may = !self.single_active || self.active == Some(Holder::of_place(place));
            assert!(!may || !consumer.can_take() || consumer.in_line, "who can take a message stands in line");
            assert!(!consumer.cancelled || consumer.unsettled > 0, "places are freed");
        }
        assert_eq!(self.active.is_some(), self.single_active && live > 0);
    }
}
