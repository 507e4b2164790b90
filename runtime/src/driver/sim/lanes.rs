//! Which coroutines stand for threads: the [lanes](crate::lane) of a simulation.
//!
//! A thread cannot be killed, and libraries that run on one may not survive it: they hold locks, and a lock that is left by
//! unwinding is poisoned. So a kill does not unwind a lane in the middle of its work. Its file calls fail instead, from the
//! moment that its machine is off, and it ends where it takes its next job.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::coroutine::current;

/// File calls that a lane may make after its kill. One that makes more does not stop for errors, and would never end.
const CALLS_AFTER_KILL_MAX: u32 = 100_000;

/// The lanes of a simulation, by shard and number, with the calls that they have made since they were killed.
#[derive(Debug, Default)]
pub(crate) struct SimulatedLanes(RefCell<BTreeMap<(u16, u64), u32>>);

impl SimulatedLanes {
    /// The running coroutine is a lane from now on.
    pub(crate) fn enter(&self) {
        self.0.borrow_mut().extend(running().map(|lane| (lane, 0)));
    }

    /// It is none any more.
    pub(crate) fn leave(&self) {
        self.0.borrow_mut().retain(|lane, _| Some(*lane) != running());
    }

    /// Whether the running coroutine is one.
    pub(crate) fn is_running(&self) -> bool {
        running().is_some_and(|lane| self.0.borrow().contains_key(&lane))
    }

    /// Whether the running lane was killed, which counts as a call.
    ///
    /// # Panics
    /// When it has been told too often.
    pub(crate) fn is_killed(&self) -> bool {
        let Some(task) = current::try_task().filter(|task| task.is_killed()) else { return false };
        if let Some(calls) = self.0.borrow_mut().get_mut(&(task.home.0, task.number)) {
            *calls += 1;
            assert!(*calls < CALLS_AFTER_KILL_MAX, "lane '{}' goes on after {calls} file calls that failed", task.name);
        }
        true
    }
}

fn running() -> Option<(u16, u64)> {
    current::try_task().map(|task| (task.home.0, task.number))
}
