//! Things in the order of their tickets, the first of them kept apart: most lines never have more than one, and so never
//! allocate and need no look at a ring.
//!
//! It is the store of [`WaitQueue`](super::park::WaitQueue) and of the lines of `sync`. It knows nothing of waiting.

use std::collections::VecDeque;

use super::park::Waiter;

/// What stands in line.
pub(crate) trait Ticketed {
    /// The number of its wait: they rise from front to back. (Not if simulated shards meet in a thread-local. Whoever is not
    /// found then is a dead one, which is passed over.)
    fn ticket(&self) -> u64;
}

impl Ticketed for Waiter {
    #[inline(always)]
    fn ticket(&self) -> u64 {
        Waiter::ticket(self)
    }
}

/// A line, longest wait first.
pub(crate) struct Lineup<P> {
    /// While it is `None` nobody stands in line.
    first: Option<P>,
    others: VecDeque<P>,
}

impl<P: Ticketed> Lineup<P> {
    pub(crate) const fn new() -> Lineup<P> {
        Lineup { first: None, others: VecDeque::new() }
    }

    /// Puts one at the end.
    #[inline(always)]
    pub(crate) fn push(&mut self, place: P) {
        match self.first {
            None => self.first = Some(place),
            Some(_) => self.push_behind(place),
        }
    }

    #[inline(never)]
    fn push_behind(&mut self, place: P) {
        self.others.push_back(place);
    }

    /// Takes the first out.
    #[inline(always)]
    pub(crate) fn pop(&mut self) -> Option<P> {
        let first = self.first.take();
        if !self.others.is_empty() {
            self.move_up();
        }
        first
    }

    #[inline(never)]
    fn move_up(&mut self) {
        self.first = self.others.pop_front();
    }

    /// The first.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<&P> {
        self.first.as_ref()
    }

    /// Takes out the one with this ticket. Whoever was woken in order is known to be out at a glance.
    #[inline(always)]
    pub(crate) fn remove(&mut self, ticket: u64) -> Option<P> {
        let first = self.first.as_ref()?.ticket();
        match ticket <= first {
            true if ticket == first => self.pop(),
            true => None,
            false => self.remove_behind(ticket),
        }
    }

    #[inline(never)]
    fn remove_behind(&mut self, ticket: u64) -> Option<P> {
        let at = self.others.binary_search_by_key(&ticket, P::ticket).ok()?;
        self.others.remove(at)
    }

    /// Takes out the first that `chosen` accepts.
    #[inline]
    pub(crate) fn remove_first(&mut self, chosen: impl Fn(&P) -> bool) -> Option<P> {
        if chosen(self.first.as_ref()?) {
            return self.pop();
        }
        let at = self.others.iter().position(chosen)?;
        self.others.remove(at)
    }

    /// All of them, in order.
    #[inline]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &P> {
        self.first.iter().chain(&self.others)
    }
}

impl<P: Ticketed> Default for Lineup<P> {
    fn default() -> Self {
        Lineup::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Ticketed for u64 {
        fn ticket(&self) -> u64 {
            *self
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push,
        Pop,
        Remove(u64),
        RemoveFirst(fn(&u64) -> bool),
    }

    /// Against a plain vector.
    fn check(steps: &[Step]) {
        let (mut line, mut naive, mut last) = (Lineup::new(), Vec::new(), 0);
        for &step in steps {
            let (ours, expected) = match step {
                Step::Push => {
                    last += 1;
                    naive.push(last);
                    line.push(last);
                    (None, None)
                }
                Step::Pop => (line.pop(), (!naive.is_empty()).then(|| naive.remove(0))),
                Step::Remove(ticket) => {
                    let at = naive.iter().position(|&other| other == ticket);
                    (line.remove(ticket), at.map(|at| naive.remove(at)))
                }
                Step::RemoveFirst(chosen) => {
                    let at = naive.iter().position(chosen);
                    (line.remove_first(chosen), at.map(|at| naive.remove(at)))
                }
            };
            assert_eq!(ours, expected, "{step:?} of {steps:?}");
            assert_eq!(line.iter().copied().collect::<Vec<_>>(), naive, "after {step:?} of {steps:?}");
            assert_eq!(line.first(), naive.first());
        }
    }

    #[test]
    fn it_is_a_line_as_a_vector_would_be() {
        use Step::{Pop, Push, Remove, RemoveFirst};
        let even: fn(&u64) -> bool = |ticket| ticket % 2 == 0;
        check(&[Pop, Push, Pop, Pop]);
        check(&[Push, Push, Push, Pop, Push, Pop, Pop, Pop, Pop]);
        check(&[Push, Push, Push, Remove(2), Remove(2), Pop, Pop]);
        check(&[Push, Push, Push, Remove(1), Remove(1), Remove(9), Pop, Pop]);
        check(&[Push, Push, Push, Remove(3), Pop, Pop, Pop, Remove(1)]);
        check(&[Push, RemoveFirst(even), Push, RemoveFirst(even), RemoveFirst(even), Push, Push, RemoveFirst(even)]);
        check(&[Push, Pop, Push, Push, RemoveFirst(even), Pop, RemoveFirst(even), Push]);
    }

    #[test]
    fn any_order_of_steps_leaves_what_a_vector_leaves() {
        let mut state = 1u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2_000 {
            let steps: Vec<_> = (0..24)
                .map(|_| match next(6) {
                    0..3 => Step::Push,
                    3 => Step::Pop,
                    4 => Step::Remove(next(12)),
                    _ => Step::RemoveFirst(|ticket| ticket % 3 == 0),
                })
                .collect();
            check(&steps);
        }
    }
}
