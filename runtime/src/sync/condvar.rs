//! Conditions to wait for with a [`Mutex`](super::Mutex) unlocked meanwhile.
//!
//! Unlike std's there are no spurious wake-ups, and a notification is never lost: if the coroutine that was notified is
//! killed or timed out before it has its lock again, the next one is notified instead.

use std::fmt;
use std::time::{Duration, Instant};

use super::mutex::MutexGuard;
use crate::coroutine::park::{WaitError, WaitQueue};
use crate::coroutine::task::Wait;
use crate::time;

/// A condition that coroutines wait for.
///
/// ```
/// use std::rc::Rc;
/// use leveret_runtime::{spawn, sync::{Condvar, Mutex}};
/// # leveret_runtime::run(|| {
/// let shared = Rc::new((Mutex::new(0), Condvar::new()));
/// let counter = spawn({
///     let shared = shared.clone();
///     move || {
///         let (count, changed) = &*shared;
///         let count = changed.wait_while(count.lock(), |count| *count < 3);
///         *count
///     }
/// });
/// for _ in 0..3 {
///     *shared.0.lock() += 1;
///     shared.1.notify_one();
/// }
/// assert_eq!(counter.join().unwrap(), 3);
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct Condvar {
    waiters: WaitQueue,
}

/// Whether a wait ended because its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over before a notification came.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar { waiters: WaitQueue::new() }
    }

    /// Unlocks, waits for a notification, and locks again.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{spawn, sync::{Condvar, Mutex}};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let shared = Rc::new((Mutex::new(0), Condvar::new()));
    /// let theirs = shared.clone();
    /// let setter = spawn(move || {
    ///     *theirs.0.lock() = 7; // the waiter has unlocked
    ///     theirs.1.notify_one();
    /// });
    /// let guard = shared.1.wait(shared.0.lock());
    /// assert_eq!(*guard, 7);
    /// setter.join().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Outside of a coroutine, and while the stack unwinds.
    pub fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.wait_until(guard, None).0
    }

    /// Waits until `condition` is false for the value.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{spawn, sync::{Condvar, Mutex}};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let jobs = Rc::new((Mutex::new(Vec::new()), Condvar::new()));
    /// let theirs = jobs.clone();
    /// let _ = spawn(move || {
    ///     theirs.1.notify_all(); // nothing has changed: the waiter looks, and waits on
    ///     theirs.0.lock().push("job");
    ///     theirs.1.notify_all();
    /// });
    /// let mut found = jobs.1.wait_while(jobs.0.lock(), |jobs| jobs.is_empty());
    /// assert_eq!(found.pop(), Some("job"));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Condvar::wait`].
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while condition(&mut guard) {
            guard = self.wait(guard);
        }
        guard
    }

    /// As [`Condvar::wait`], at most `limit` long; locking again may take longer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sync::{Condvar, Mutex}, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (mutex, changed, start) = (Mutex::new(0), Condvar::new(), time::now());
    /// let (guard, result) = changed.wait_timeout(mutex.lock(), Duration::from_secs(3));
    /// assert!(result.timed_out());
    /// assert_eq!((*guard, time::now() - start), (0, Duration::from_secs(3))); // locked again
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Condvar::wait`].
    pub fn wait_timeout<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        self.wait_until(guard, time::deadline_in(limit))
    }

    /// As [`Condvar::wait_while`], at most `limit` long. If the time is over, `condition` is still true.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::{Condvar, Mutex};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (mutex, changed) = (Mutex::new(3), Condvar::new());
    /// let limit = Duration::from_secs(1);
    /// let (guard, result) = changed.wait_timeout_while(mutex.lock(), limit, |count| *count > 0);
    /// assert!(result.timed_out());
    /// let (guard, result) = changed.wait_timeout_while(guard, limit, |count| *count > 3);
    /// assert!(!result.timed_out()); // it was false at once
    /// drop(guard);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Condvar::wait`].
    pub fn wait_timeout_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let deadline = time::deadline_in(limit);
        let mut late = WaitTimeoutResult(false);
        while condition(&mut guard) {
            if late.timed_out() {
                return (guard, late);
            }
            (guard, late) = self.wait_until(guard, deadline);
        }
        (guard, WaitTimeoutResult(false))
    }

    /// Wakes the coroutine that has waited longest.
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use leveret_runtime::{spawn, sync::{Condvar, Mutex}, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let shared = Rc::new((Mutex::new(()), Condvar::new()));
    /// shared.1.notify_one(); // nobody waits: nothing is kept for who comes later
    /// let wait = |shared: Rc<(Mutex<()>, Condvar)>| move || drop(shared.1.wait(shared.0.lock()));
    /// let (first, second) = (spawn(wait(shared.clone())), spawn(wait(shared.clone())));
    /// yield_now(); // both wait
    /// shared.1.notify_one();
    /// let limit = Duration::from_secs(1);
    /// assert_eq!([first, second].map(|waiter| waiter.join_timeout(limit).is_ok()), [true, false]);
    /// # }).unwrap();
    /// ```
    pub fn notify_one(&self) {
        self.waiters.wake_one();
    }

    /// Wakes everybody who waits; they get the lock in the order of waiting.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{join_all, spawn, sync::{Condvar, Mutex}, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let gate = Rc::new((Mutex::new(false), Condvar::new()));
    /// let waiters: Vec<_> = (0..3).map(|_| {
    ///     let gate = gate.clone();
    ///     spawn(move || drop(gate.1.wait_while(gate.0.lock(), |open| !*open)))
    /// }).collect();
    /// yield_now();
    /// *gate.0.lock() = true;
    /// gate.1.notify_all();
    /// assert!(join_all(waiters).iter().all(|ended| ended.is_ok()));
    /// # }).unwrap();
    /// ```
    pub fn notify_all(&self) {
        self.waiters.wake_all();
    }

    fn wait_until<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> (MutexGuard<'a, T>, WaitTimeoutResult) {
        let mutex = guard.mutex();
        drop(guard); // nobody else runs before the wait below has begun
        let late = match self.waiters.wait(Wait::Sync("a condition"), deadline) {
            Ok(()) => WaitTimeoutResult(false),
            Err(WaitError::TimedOut) => WaitTimeoutResult(true),
            Err(WaitError::Unwinding) => super::refuse("Condvar::wait"),
        };
        let notified = PassOn { condvar: self, armed: !late.timed_out() };
        let guard = mutex.lock();
        notified.used();
        (guard, late)
    }
}

/// Passes a notification on if its receiver unwinds before it could use it.
struct PassOn<'a> {
    condvar: &'a Condvar,
    armed: bool,
}

impl PassOn<'_> {
    fn used(mut self) {
        self.armed = false;
    }
}

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.condvar.notify_one();
        }
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condvar")
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::Mutex;
    use crate::sync::testing::{Log, SECOND, simulated};
    use crate::{JoinError, JoinHandle, join_all, sleep, spawn, timeout, yield_now};

    type Shared = Rc<(Mutex<u32>, Condvar)>;

    fn shared() -> Shared {
        Rc::new((Mutex::new(0), Condvar::new()))
    }

    /// Waits once and logs its number.
    fn waiter(shared: &Shared, log: &Log<u32>, id: u32) -> JoinHandle<()> {
        let (shared, log) = (shared.clone(), log.clone());
        let handle = spawn(move || {
            let _guard = shared.1.wait(shared.0.lock());
            log.add(id);
        });
        yield_now();
        handle
    }

    #[test]
    fn one_or_all_are_woken_in_order() {
        simulated(|| {
            let (shared, log) = (shared(), Log::new());
            let handles: Vec<_> = (0..4).map(|id| waiter(&shared, &log, id)).collect();
            yield_now();
            assert_eq!(log.take(), []);
            shared.1.notify_one();
            yield_now();
            assert_eq!(log.take(), [0]);
            shared.1.notify_all();
            join_all(handles);
            assert_eq!(log.take(), [1, 2, 3]);
            shared.1.notify_one(); // nobody waits: not kept
        });
    }

    #[test]
    fn a_condition_is_checked_again_after_each_notification() {
        simulated(|| {
            let shared = shared();
            let waiting = shared.clone();
            let waiter = spawn(move || *waiting.1.wait_while(waiting.0.lock(), |count| *count < 3));
            for _ in 0..5 {
                *shared.0.lock() += 1;
                shared.1.notify_all();
                yield_now();
            }
            assert_eq!(waiter.join().unwrap(), 3);
        });
    }

    #[test]
    fn waits_end_at_the_limit_with_the_lock_held() {
        simulated(|| {
            let shared = shared();
            let (guard, late) = shared.1.wait_timeout(shared.0.lock(), SECOND);
            assert!(late.timed_out() && shared.0.is_locked());
            drop(guard);
            let (guard, late) = shared.1.wait_timeout_while(shared.0.lock(), SECOND, |count| *count == 0);
            assert!(late.timed_out() && *guard == 0);
            drop(guard);
            let setter = shared.clone();
            let setter = spawn(move || {
                sleep(SECOND);
                *setter.0.lock() = 1;
                setter.1.notify_one();
            });
            let (guard, late) = shared.1.wait_timeout_while(shared.0.lock(), SECOND * 2, |count| *count == 0);
            assert!(!late.timed_out() && *guard == 1);
            drop(guard);
            setter.join().unwrap();
        });
    }

    #[test]
    fn a_killed_or_timed_out_waiter_leaves_the_queue() {
        simulated(|| {
            let (shared, log) = (shared(), Log::new());
            let victim = waiter(&shared, &log, 0);
            let next = waiter(&shared, &log, 1);
            victim.kill();
            yield_now();
            shared.1.notify_one();
            next.join().unwrap();
            assert!(timeout(SECOND, || drop(shared.1.wait(shared.0.lock()))).is_err());
            assert!(shared.1.waiters.is_empty() && !shared.0.is_locked());
            assert_eq!(log.take(), [1]);
        });
    }

    #[test]
    fn a_notification_to_a_coroutine_that_dies_before_it_locks_goes_to_the_next() {
        simulated(|| {
            let (shared, log) = (shared(), Log::new());
            let victim = waiter(&shared, &log, 0);
            let next = waiter(&shared, &log, 1);
            let guard = shared.0.lock();
            shared.1.notify_one();
            yield_now(); // the victim has its notification and waits for the lock
            victim.kill();
            assert!(matches!(victim.join(), Err(JoinError::Killed)));
            drop(guard);
            next.join().unwrap();
            assert_eq!(log.take(), [1]);
        });
    }
}
