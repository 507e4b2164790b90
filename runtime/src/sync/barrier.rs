//! A meeting point for a fixed number of coroutines.

use std::cell::Cell;
use std::fmt;

use crate::coroutine::park::WaitQueue;
use crate::coroutine::task::Wait;

/// Lets `count` coroutines wait for each other, again and again.
///
/// ```
/// use std::rc::Rc;
/// use leveret_runtime::{join_all, spawn, sync::Barrier};
/// # leveret_runtime::run(|| {
/// let barrier = Rc::new(Barrier::new(3));
/// let workers = (0..3).map(|_| {
///     let barrier = barrier.clone();
///     spawn(move || barrier.wait().is_leader())
/// });
/// let leaders = join_all(workers).into_iter().filter(|leader| *leader.as_ref().unwrap()).count();
/// assert_eq!(leaders, 1);
/// # }).unwrap();
/// ```
pub struct Barrier {
    count: usize,
    /// Of this round, and those that were killed or timed out and will take it back at their next turn.
    arrived: Cell<usize>,
    waiters: WaitQueue,
}

/// What [`Barrier::wait`] gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this coroutine was the last to arrive: one of each round is.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for `count` coroutines; none is as good as one: nobody waits.
    pub const fn new(count: usize) -> Barrier {
        Barrier { count, arrived: Cell::new(0), waiters: WaitQueue::new() }
    }

    /// Waits until `count` coroutines have arrived. One that is killed or timed out meanwhile has not.
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use leveret_runtime::{spawn, sync::Barrier, timeout};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let barrier = Rc::new(Barrier::new(2));
    /// // Who is timed out has not arrived: the next two meet as if it had never come.
    /// assert!(timeout(Duration::from_secs(1), || barrier.wait()).is_err());
    /// let other = barrier.clone();
    /// let second = spawn(move || other.wait().is_leader());
    /// assert!(!barrier.wait().is_leader()); // the one who came last is
    /// assert!(second.join().unwrap());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn wait(&self) -> BarrierWaitResult {
        let arrived = self.arrived.get() + 1;
        if arrived >= self.count {
            // Some may have been killed or timed out and not had their turn to leave yet: those have not arrived.
            let waiting = self.waiters.live();
            if waiting + 1 >= self.count {
                self.arrived.set(arrived - 1 - waiting);
                self.waiters.wake_all();
                return BarrierWaitResult(true);
            }
        }
        self.arrived.set(arrived);
        let mut arrival = Arrival { barrier: self, complete: false };
        self.waiters.wait(Wait::Sync("a barrier"), None).unwrap_or_else(|_| super::refuse("Barrier::wait"));
        arrival.complete = true;
        BarrierWaitResult(false)
    }
}

/// Takes the arrival back if its coroutine unwinds while it waits.
struct Arrival<'a> {
    barrier: &'a Barrier,
    /// The round is over; its arrivals were counted off all at once.
    complete: bool,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if !self.complete {
            self.barrier.arrived.set(self.barrier.arrived.get() - 1);
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("count", &self.count).field("arrived", &self.arrived.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::testing::{Log, SECOND, simulated};
    use crate::{JoinHandle, join_all, sleep, spawn, time, timeout, yield_now};

    fn comer(barrier: &Rc<Barrier>) -> JoinHandle<bool> {
        let barrier = barrier.clone();
        let handle = spawn(move || barrier.wait().is_leader());
        yield_now();
        handle
    }

    #[test]
    fn rounds_begin_when_the_last_arrives_and_it_leads() {
        simulated(|| {
            let (barrier, log, start) = (Rc::new(Barrier::new(3)), Log::new(), time::now());
            let handles: Vec<_> = (1..=3)
                .map(|id| {
                    let (barrier, log) = (barrier.clone(), log.clone());
                    spawn(move || {
                        for _ in 0..2 {
                            sleep(SECOND * id);
                            let leads = barrier.wait().is_leader();
                            log.add(((time::now() - start).as_secs(), leads.then_some(id)));
                        }
                    })
                })
                .collect();
            join_all(handles);
            let mut log = log.take();
            log.sort();
            assert_eq!(log, [(3, None), (3, None), (3, Some(3)), (6, None), (6, None), (6, Some(3))]);
        });
    }

    #[test]
    fn barriers_of_none_and_one_let_everybody_pass() {
        for count in 0..=1 {
            assert!(Barrier::new(count).wait().is_leader());
        }
    }

    #[test]
    fn the_killed_and_the_late_have_not_arrived() {
        simulated(|| {
            let barrier = Rc::new(Barrier::new(2));
            let victim = comer(&barrier);
            victim.kill();
            assert!(victim.join().is_err());
            assert!(timeout(SECOND, || barrier.wait()).is_err());
            let first = comer(&barrier);
            assert!(!first.is_finished());
            let second = comer(&barrier);
            assert_eq!((first.join().unwrap(), second.join().unwrap()), (false, true));
        });
    }

    /// The last to arrive counted one that was killed a moment before, who then took its arrival back from the next round.
    #[test]
    fn one_that_is_killed_and_has_not_left_yet_has_not_arrived() {
        simulated(|| {
            let barrier = Rc::new(Barrier::new(2));
            let victim = comer(&barrier);
            victim.kill();
            let first = spawn({
                let barrier = barrier.clone();
                move || barrier.wait().is_leader()
            });
            assert!(timeout(SECOND, || barrier.wait()).is_ok(), "the first and this one");
            assert!(victim.join().is_err() && first.join().is_ok());
            assert_eq!(barrier.arrived.get(), 0);

            let victim = comer(&barrier);
            victim.kill();
            let start = time::now();
            assert!(timeout(SECOND, || barrier.wait()).is_err());
            assert!(time::now() - start == SECOND && victim.join().is_err());
            assert_eq!(barrier.arrived.get(), 0);
        });
    }

    #[test]
    fn a_kill_after_the_last_arrival_takes_nothing_back() {
        simulated(|| {
            let barrier = Rc::new(Barrier::new(2));
            let first = comer(&barrier);
            assert!(barrier.wait().is_leader());
            first.kill();
            assert!(!first.join().unwrap());
            assert_eq!(barrier.arrived.get(), 0);
        });
    }
}
