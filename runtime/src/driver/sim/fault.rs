//! Faults that fired, in one numbered list for the network, the disk and fault points in code: so that a failing run can be
//! repeated without some of them, to find the few that matter.
//!
//! The list belongs to one body of a simulation test, which may run several runtimes one after the other.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

/// A fault that fired (or would have, were it not switched off).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Firing {
    /// Virtual time since its simulation began.
    pub(crate) at: Duration,
    /// In words.
    pub(crate) what: String,
}

/// All firings of a run, and which of them are switched off.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    fired: RefCell<Vec<Firing>>,
    /// The numbers, counted from 0, of those that may take place; `None` for all.
    only: Option<BTreeSet<usize>>,
}

impl Faults {
    /// A run in which only the firings of these numbers, counted from 0, take place.
    pub(crate) fn only(numbers: BTreeSet<usize>) -> Faults {
        Faults { fired: RefCell::default(), only: Some(numbers) }
    }

    /// Numbers a fault that the seed wants to fire now. Whether it does.
    pub(crate) fn fires(&self, at: Duration, what: String) -> bool {
        let mut fired = self.fired.borrow_mut();
        let number = fired.len();
        fired.push(Firing { at, what });
        self.only.as_ref().is_none_or(|only| only.contains(&number))
    }

    /// Every firing so far, also of those that were switched off.
    pub(crate) fn fired(&self) -> Vec<Firing> {
        self.fired.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firings_are_numbered_and_can_be_switched_off() {
        let faults = Faults::only([0, 2].into());
        let fires: Vec<bool> = ["a", "b", "c"].map(|what| faults.fires(Duration::ZERO, what.into())).into();
        assert_eq!(fires, [true, false, true]);
        assert_eq!(faults.fired().len(), 3);
    }
}
