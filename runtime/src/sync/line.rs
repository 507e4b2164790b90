//! Coroutines that stand in line, each with what it wants: a [`WaitQueue`](crate::coroutine::park::WaitQueue) whose
//! waiters are not all alike.
//!
//! It knows nothing of what is waited for. A place whose waiter was woken by something else (a deadline, a kill) stays
//! in line until its owner takes it out; [`Line::first`] passes over such places and drops them.

use std::cell::RefCell;

use crate::coroutine::lineup::{Lineup, Ticketed};
use crate::coroutine::park::Waiter;

/// A line of waiters, longest wait first.
pub(crate) struct Line<W> {
    places: RefCell<Lineup<Place<W>>>,
}

/// One waiter and what it wants.
pub(crate) struct Place<W> {
    pub(crate) waiter: Waiter,
    pub(crate) wants: W,
}

impl<W> Ticketed for Place<W> {
    #[inline(always)]
    fn ticket(&self) -> u64 {
        self.waiter.ticket()
    }
}

impl<W> Default for Line<W> {
    fn default() -> Self {
        Line::new()
    }
}

impl<W> Line<W> {
    pub(crate) const fn new() -> Line<W> {
        Line { places: RefCell::new(Lineup::new()) }
    }

    /// Takes the last place; [`Line::leave`] must follow.
    #[inline]
    pub(crate) fn stand(&self, waiter: Waiter, wants: W) {
        self.places.borrow_mut().push(Place { waiter, wants });
    }

    /// Gives the place of this wait up. Answers whether it was still in line.
    #[inline]
    pub(crate) fn leave(&self, ticket: u64) -> bool {
        let left = self.places.borrow_mut().remove(ticket);
        left.is_some()
    }

    /// Takes out the first place, whether its waiter still waits or not.
    #[inline]
    pub(crate) fn pop(&self) -> Option<Place<W>> {
        self.places.borrow_mut().pop()
    }

    /// Takes out the first place that `chosen` accepts.
    pub(crate) fn take_first(&self, chosen: impl Fn(&Place<W>) -> bool) -> Option<Place<W>> {
        self.places.borrow_mut().remove_first(chosen)
    }

    /// Whether there is a place that `found` accepts.
    #[cfg(test)]
    pub(crate) fn any(&self, found: impl Fn(&Place<W>) -> bool) -> bool {
        self.places.borrow().iter().any(found)
    }

    /// How many places does `counted` accept.
    #[cfg(test)]
    pub(crate) fn count(&self, counted: impl Fn(&Place<W>) -> bool) -> usize {
        self.places.borrow().iter().filter(|place| counted(place)).count()
    }

    /// How many of the places before that of `ticket` does `counted` accept; `None` if it is not in line.
    pub(crate) fn count_before(&self, ticket: u64, counted: impl Fn(&Place<W>) -> bool) -> Option<usize> {
        let places = self.places.borrow();
        let at = places.iter().position(|place| place.waiter.ticket() == ticket)?;
        Some(places.iter().take(at).filter(|place| counted(place)).count())
    }

    /// Wakes the first waiter that still waits, and takes it out. Answers whether there was one.
    #[inline]
    pub(crate) fn wake_first(&self) -> bool {
        loop {
            let Some(place) = self.pop() else { return false };
            if place.waiter.wake_and_drop() {
                return true;
            }
        }
    }

    /// Wakes everybody. Places stay for their owners to leave.
    pub(crate) fn wake_all(&self) {
        self.places.borrow().iter().for_each(|place| {
            place.waiter.wake();
        });
    }
}

impl<W: Copy> Line<W> {
    /// What the first coroutine that still waits wants.
    #[inline]
    pub(crate) fn first(&self) -> Option<W> {
        let mut places = self.places.borrow_mut();
        while let Some(place) = places.first() {
            if place.waiter.is_live() {
                return Some(place.wants);
            }
            places.pop();
        }
        None
    }
}

/// A place in a line, left when this is dropped (also by unwinding).
pub(crate) struct Standing<'a, W> {
    line: &'a Line<W>,
    ticket: u64,
}

impl<'a, W> Standing<'a, W> {
    #[inline]
    pub(crate) fn new(line: &'a Line<W>, waiter: Waiter, wants: W) -> Standing<'a, W> {
        let ticket = waiter.ticket();
        line.stand(waiter, wants);
        Standing { line, ticket }
    }
}

impl<W> Drop for Standing<'_, W> {
    #[inline]
    fn drop(&mut self) {
        self.line.leave(self.ticket);
    }
}
