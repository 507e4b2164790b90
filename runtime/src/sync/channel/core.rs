//! What a channel holds and who waits for what.
//!
//! ```text
//!   values:  | promised to woken receivers | in the buffer, up to the capacity | offered by waiting senders |
//!              ^ front: next to be received                                      ^ same order as `sending`
//! ```
//!
//! A value meets a waiting receiver by being *promised*: the receiver is woken, the value stays at the front and nobody
//! else may take it. That is direct hand-over without a place for it in every waiter. Senders that find no room leave
//! their value in the channel as an *offer* and park; whoever makes room accepts the first offer and wakes its sender,
//! so the sender need not run again for its value to move on. A `select` has no value to offer: a free slot is *reserved*
//! for it when it is woken.
//!
//! Between calls: while a value is free, no receiver waits; while there is room, no sender waits. (A value that was handed
//! to a waiting select is not given back to its sender if the select leaves it: it stays, beyond the capacity if need be.)

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::Instant;

use super::error::TrySendError;
use crate::coroutine::current;
use crate::coroutine::park::{Parker, Unwinding, WaitError, Waiter};
use crate::coroutine::task::Wait;
use crate::sync::line::{Line, Place, Standing};

/// The capacity of a channel without bound.
pub(super) const UNBOUNDED: usize = usize::MAX;

/// What a place among the waiting senders stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// A value, offered at the end of `values`.
    Offer,
    /// Room: a `select` will send when it is woken.
    Room,
}

/// Why a value was not sent. It comes back.
pub(super) enum Refused<T> {
    Disconnected(T),
    Unwinding(T),
    TimedOut(T),
}

/// Nothing is there and every sender is gone.
pub(super) struct Disconnected;

pub(super) struct Core<T> {
    values: RefCell<VecDeque<T>>,
    /// Values at the front that belong to receivers which were woken for them.
    promised: Cell<usize>,
    /// Values at the end that belong to parked senders.
    offered: Cell<usize>,
    /// Slots that are kept for selects which were woken to send.
    reserved: Cell<usize>,
    capacity: usize,
    receiving: Line<()>,
    sending: Line<Wish>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
}

fn add(cell: &Cell<usize>, count: usize) {
    cell.set(cell.get() + count);
}

fn subtract(cell: &Cell<usize>, count: usize) {
    cell.set(cell.get() - count);
}

impl<T> Core<T> {
    /// A channel with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> Core<T> {
        Core {
            values: RefCell::new(VecDeque::new()),
            promised: Cell::new(0),
            offered: Cell::new(0),
            reserved: Cell::new(0),
            capacity,
            receiving: Line::new(),
            sending: Line::new(),
            senders: Cell::new(1),
            receivers: Cell::new(1),
        }
    }

    // ---- sending

    /// Sends without waiting.
    #[inline]
    pub(super) fn put(&self, value: T) -> Result<(), TrySendError<T>> {
        if self.receivers.get() == 0 {
            return Err(TrySendError::Disconnected(value));
        }
        if self.receiving.wake_first() {
            // Nothing is free or offered while a receiver waits, so the end of the queue is the end of the promises.
            add(&self.promised, 1);
            self.values.borrow_mut().push_back(value);
            return Ok(());
        }
        if !self.has_room() {
            return Err(TrySendError::Full(value));
        }
        let mut values = self.values.borrow_mut();
        match self.offered.get() {
            0 => values.push_back(value),
            offered => {
                let at = values.len() - offered;
                values.insert(at, value);
            }
        }
        Ok(())
    }

    /// Sends; waits for room until `deadline`.
    #[inline]
    pub(super) fn send(&self, value: T, deadline: Option<Instant>) -> Result<(), Refused<T>> {
        match self.put(value) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(value)) => Err(Refused::Disconnected(value)),
            Err(TrySendError::Full(value)) => self.offer(value, deadline),
        }
    }

    #[inline]
    fn offer(&self, value: T, deadline: Option<Instant>) -> Result<(), Refused<T>> {
        let shard = current::here();
        let Ok(parker) = Parker::arm_on(&shard) else { return Err(Refused::Unwinding(value)) };
        let waiter = parker.waiter();
        let offer = Offer { core: self, ticket: waiter.ticket() };
        self.values.borrow_mut().push_back(value);
        add(&self.offered, 1);
        self.sending.stand(waiter, Wish::Offer);
        let waited = parker.park_on(&shard, Wait::Send, deadline);
        match (offer.withdraw(), waited) {
            (None, _) => Ok(()), // accepted, perhaps after the deadline had woken us
            (Some(value), Err(WaitError::TimedOut)) if self.has_receivers() => Err(Refused::TimedOut(value)),
            (Some(value), _) => Err(Refused::Disconnected(value)),
        }
    }

    fn withdraw(&self, ticket: u64) -> Option<T> {
        let index = self.sending.count_before(ticket, |place| place.wants == Wish::Offer)?;
        self.sending.take_first(|place| place.waiter.ticket() == ticket);
        let mut values = self.values.borrow_mut();
        let first_offer = values.len() - self.offered.get();
        subtract(&self.offered, 1);
        values.remove(first_offer + index)
    }

    // ---- receiving

    /// Receives without waiting.
    #[inline]
    pub(super) fn take(&self) -> Option<T> {
        let mut values = self.values.borrow_mut();
        let promised = self.promised.get();
        if values.len() == promised {
            return None;
        }
        let was_buffered = values.len() - promised > self.offered.get();
        let value = if promised == 0 { values.pop_front() } else { values.remove(promised) };
        drop(values);
        match was_buffered {
            true => self.admit(),
            false => self.accept_first_offer(),
        }
        value
    }

    /// Receives; waits for a value until `deadline`.
    #[inline(always)]
    pub(super) fn receive(&self, deadline: Option<Instant>) -> Result<T, Result<Disconnected, WaitError>> {
        loop {
            if let Some(value) = self.take() {
                return Ok(value);
            }
            if !self.has_senders() {
                return Err(Ok(Disconnected));
            }
            let shard = current::here();
            let parker = Parker::arm_on(&shard).map_err(|Unwinding| Err(WaitError::Unwinding))?;
            let waiter = parker.waiter();
            self.call_select(&waiter);
            let standing = Standing::new(&self.receiving, waiter, ());
            let waited = parker.park_on(&shard, Wait::Receive, deadline);
            drop(standing);
            match waited {
                Ok(()) => {
                    if let Some(value) = self.take_promised() {
                        return Ok(value);
                    }
                }
                Err(error) => return self.take().ok_or(Err(error)),
            }
        }
    }

    #[inline]
    fn take_promised(&self) -> Option<T> {
        if self.promised.get() == 0 {
            return None; // woken because the last sender went
        }
        subtract(&self.promised, 1);
        self.values.borrow_mut().pop_front()
    }

    // ---- making ends meet

    /// Fills the room there is: accepts offers, and reserves slots for selects.
    #[inline]
    fn admit(&self) {
        while self.has_room() {
            let Some(Place { waiter, wants }) = self.sending.pop() else { return };
            match wants {
                Wish::Offer => {
                    subtract(&self.offered, 1); // by that it is in the buffer
                    waiter.wake();
                }
                Wish::Room if waiter.wake() => add(&self.reserved, 1),
                Wish::Room => {}
            }
        }
    }

    /// The first offer's value was taken or promised, past a buffer without room.
    fn accept_first_offer(&self) {
        let first = self.sending.take_first(|place| place.wants == Wish::Offer);
        debug_assert!(first.is_some(), "every offered value has its place");
        subtract(&self.offered, 1);
        if let Some(place) = first {
            place.waiter.wake();
        }
    }

    /// A receiver comes to a rendezvous where a select wants to send: calls the select.
    #[inline]
    fn call_select(&self, receiver: &Waiter) {
        if self.capacity > 0 {
            return;
        }
        let other = |place: &Place<Wish>| place.waiter.is_live() && place.waiter.ticket() != receiver.ticket();
        if let Some(place) = self.sending.take_first(other) {
            place.waiter.wake();
        }
    }

    /// Restores the invariants after a select gave back what it was woken for, or did not use it.
    pub(super) fn settle(&self) {
        while self.values.borrow().len() > self.promised.get() && self.receiving.wake_first() {
            let was_buffered = self.len() > 0;
            add(&self.promised, 1);
            if !was_buffered {
                self.accept_first_offer();
            }
        }
        self.admit();
        if self.capacity == 0 && self.receiving.first().is_some() {
            self.sending.wake_first();
        }
    }

    // ---- for selects

    pub(super) fn can_receive(&self) -> bool {
        self.values.borrow().len() > self.promised.get() || !self.has_senders()
    }

    pub(super) fn can_send(&self) -> bool {
        self.has_room() || !self.has_receivers() || self.receiving.first().is_some()
    }

    pub(super) fn list_receiver(&self, waiter: Waiter) {
        self.call_select(&waiter);
        self.receiving.stand(waiter, ());
    }

    pub(super) fn unlist_receiver(&self, ticket: u64) {
        self.receiving.leave(ticket);
    }

    pub(super) fn list_sender(&self, waiter: Waiter) {
        self.sending.stand(waiter, Wish::Room);
    }

    pub(super) fn unlist_sender(&self, ticket: u64) {
        self.sending.leave(ticket);
    }

    /// Frees the value that was promised to a select. (A select that was woken because the senders went had none: then
    /// the promise of another receiver is freed, who runs later and takes it as any free value.)
    pub(super) fn unpromise(&self) {
        self.promised.set(self.promised.get().saturating_sub(1));
    }

    /// Frees the slot that was reserved for a select, if one was.
    pub(super) fn unreserve(&self) {
        self.reserved.set(self.reserved.get().saturating_sub(1));
    }

    // ---- the ends

    pub(super) fn add_sender(&self) {
        add(&self.senders, 1);
    }

    pub(super) fn add_receiver(&self) {
        add(&self.receivers, 1);
    }

    pub(super) fn remove_sender(&self) {
        subtract(&self.senders, 1);
        if self.senders.get() == 0 {
            self.receiving.wake_all();
        }
    }

    /// Drops what was not received when the last receiver goes; waiting senders take their offers back themselves.
    pub(super) fn remove_receiver(&self) {
        subtract(&self.receivers, 1);
        if self.receivers.get() > 0 {
            return;
        }
        let buffered: Vec<T> = {
            let mut values = self.values.borrow_mut();
            let end = values.len() - self.offered.get();
            values.drain(..end).collect()
        };
        self.promised.set(0);
        self.sending.wake_all();
        drop(buffered); // last: a value's destructor may come back to this channel
    }

    pub(super) fn has_senders(&self) -> bool {
        self.senders.get() > 0
    }

    pub(super) fn has_receivers(&self) -> bool {
        self.receivers.get() > 0
    }

    /// Values in the buffer.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.values.borrow().len() - self.promised.get() - self.offered.get()
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.len() + self.reserved.get() < self.capacity
    }

    pub(super) fn is_full(&self) -> bool {
        !self.has_room()
    }

    pub(super) fn capacity(&self) -> Option<usize> {
        (self.capacity != UNBOUNDED).then_some(self.capacity)
    }

    /// Says what must hold between calls.
    #[cfg(test)]
    pub(super) fn check_invariants(&self) {
        let free = self.values.borrow().len() - self.promised.get();
        assert!(free == 0 || self.receiving.first().is_none(), "a value is free and a receiver waits");
        let waits = self.sending.any(|place| place.waiter.is_live());
        assert!(!self.has_room() || !waits, "there is room and a sender waits");
        assert_eq!(
            self.offered.get(),
            self.sending.count(|place| place.wants == Wish::Offer),
            "an offer without its place"
        );
    }
}

/// A value left with the channel by a parked sender; taken back when dropped, unless it was accepted.
struct Offer<'a, T> {
    core: &'a Core<T>,
    ticket: u64,
}

impl<T> Offer<'_, T> {
    fn withdraw(&self) -> Option<T> {
        self.core.withdraw(self.ticket)
    }
}

impl<T> Drop for Offer<'_, T> {
    fn drop(&mut self) {
        drop(self.withdraw());
    }
}
