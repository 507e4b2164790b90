//! Permits that coroutines take and give back.
//!
//! Strictly first come, first served: a request for many permits at the head of the line is not starved by small ones
//! behind it, and permits given back belong to whoever they were given to before that coroutine runs. [`Mutex`] and
//! [`RwLock`] are semaphores with a value.
//!
//! [`Mutex`]: super::Mutex
//! [`RwLock`]: super::RwLock

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use super::line::{Line, Standing};
use crate::coroutine::park::{Parker, Unwinding, WaitError};
use crate::coroutine::task::Wait;
use crate::time;

/// The most permits a semaphore may have.
pub const PERMITS_MAX: usize = usize::MAX >> 3;

/// Permits that coroutines take and give back.
///
/// ```
/// use std::rc::Rc;
/// use leveret_runtime::{join_all, sleep, spawn, sync::Semaphore, time};
/// use std::time::Duration;
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// let two_at_once = Rc::new(Semaphore::new(2));
/// let start = time::now();
/// let workers: Vec<_> = (0..6).map(|_| {
///     let semaphore = two_at_once.clone();
///     spawn(move || {
///         let _permit = semaphore.acquire();
///         sleep(Duration::from_secs(1));
///     })
/// }).collect();
/// join_all(workers);
/// assert_eq!(time::now() - start, Duration::from_secs(3));
/// # }).unwrap();
/// ```
pub struct Semaphore {
    permits: Cell<usize>,
    line: Line<usize>,
    /// What a parked coroutine is said to wait for.
    noun: &'static str,
}

/// Permits taken; given back when this is dropped.
#[must_use = "the permits are given back at once if this is not kept"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl Semaphore {
    /// A semaphore with `permits`.
    ///
    /// # Panics
    /// With more than [`PERMITS_MAX`].
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore::named(permits, "a semaphore")
    }

    pub(crate) const fn named(permits: usize, noun: &'static str) -> Semaphore {
        assert!(permits <= PERMITS_MAX, "a semaphore has at most PERMITS_MAX permits");
        Semaphore { permits: Cell::new(permits), line: Line::new(), noun }
    }

    /// Takes a permit; waits for one if there is none.
    ///
    /// ```
    /// use leveret_runtime::sync::Semaphore;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let semaphore = Semaphore::new(1);
    /// {
    ///     let _permit = semaphore.acquire();
    ///     assert_eq!(semaphore.available_permits(), 0);
    /// } // given back
    /// assert_eq!(semaphore.available_permits(), 1);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Takes `count` permits at once; waits until it can have them all.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{spawn, sync::Semaphore, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let semaphore = Rc::new(Semaphore::new(3));
    /// let one = semaphore.acquire();
    /// let theirs = semaphore.clone();
    /// let all = spawn(move || theirs.acquire_many(3).count());
    /// yield_now(); // it waits for the third
    /// assert!(semaphore.try_acquire().is_none()); // two are free, but they are kept for it
    /// drop(one);
    /// assert_eq!(all.join().unwrap(), 3);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    pub fn acquire_many(&self, count: usize) -> SemaphorePermit<'_> {
        match self.take(count, None) {
            Ok(()) => self.permit(count),
            Err(_) => super::refuse("Semaphore::acquire"),
        }
    }

    /// Takes a permit if there is one and nobody waits for it.
    ///
    /// ```
    /// use leveret_runtime::sync::Semaphore;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let semaphore = Semaphore::new(1);
    /// let permit = semaphore.try_acquire().unwrap();
    /// assert!(semaphore.try_acquire().is_none());
    /// drop(permit);
    /// assert!(semaphore.try_acquire().is_some());
    /// # }).unwrap();
    /// ```
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `count` permits if they are there and nobody waits.
    ///
    /// ```
    /// use leveret_runtime::sync::Semaphore;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let semaphore = Semaphore::new(3);
    /// let two = semaphore.try_acquire_many(2).unwrap();
    /// assert!(semaphore.try_acquire_many(2).is_none()); // all or nothing
    /// assert_eq!((two.count(), semaphore.available_permits()), (2, 1));
    /// # }).unwrap();
    /// ```
    pub fn try_acquire_many(&self, count: usize) -> Option<SemaphorePermit<'_>> {
        self.try_take(count).then(|| self.permit(count))
    }

    /// Takes a permit; waits for it at most `limit`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sync::Semaphore, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (semaphore, start) = (Semaphore::new(0), time::now());
    /// assert!(semaphore.acquire_timeout(Duration::from_secs(2)).is_none());
    /// assert_eq!(time::now() - start, Duration::from_secs(2));
    /// semaphore.add_permits(1);
    /// assert!(semaphore.acquire_timeout(Duration::ZERO).is_some());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    pub fn acquire_timeout(&self, limit: Duration) -> Option<SemaphorePermit<'_>> {
        if self.try_take(1) {
            return Some(self.permit(1));
        }
        match self.take(1, time::deadline_in(limit)) {
            Ok(()) => Some(self.permit(1)),
            Err(WaitError::TimedOut) => None,
            Err(WaitError::Unwinding) => super::refuse("Semaphore::acquire_timeout"),
        }
    }

    /// Adds permits: new ones, or those of a permit that was forgotten.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{spawn, sync::Semaphore, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let semaphore = Rc::new(Semaphore::new(0));
    /// let theirs = semaphore.clone();
    /// let waiter = spawn(move || theirs.acquire().forget());
    /// yield_now();
    /// semaphore.add_permits(1);
    /// assert_eq!(semaphore.available_permits(), 0); // it is the waiter's already
    /// waiter.join().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If there were more than [`PERMITS_MAX`].
    pub fn add_permits(&self, count: usize) {
        let permits = self.permits.get().checked_add(count).filter(|&permits| permits <= PERMITS_MAX);
        self.permits.set(permits.expect("a semaphore has at most PERMITS_MAX permits"));
        self.serve();
    }

    /// Permits that nobody has.
    pub fn available_permits(&self) -> usize {
        self.permits.get()
    }

    fn permit(&self, count: usize) -> SemaphorePermit<'_> {
        SemaphorePermit { semaphore: self, count }
    }

    pub(super) fn try_take(&self, count: usize) -> bool {
        let free = self.permits.get();
        let may = free >= count && self.line.first().is_none();
        if may {
            self.permits.set(free - count);
        }
        may
    }

    pub(super) fn take(&self, count: usize, deadline: Option<Instant>) -> Result<(), WaitError> {
        if self.try_take(count) {
            return Ok(());
        }
        let parker = Parker::arm().map_err(|Unwinding| WaitError::Unwinding)?;
        let _next = ServeOnDrop(self); // after leaving: who waited behind us may be served now
        let _standing = Standing::new(&self.line, parker.waiter(), count);
        parker.park(Wait::Sync(self.noun), deadline)
    }

    pub(super) fn give_back(&self, count: usize) {
        self.permits.set(self.permits.get() + count);
        self.serve();
    }

    /// Gives permits to those at the head of the line while there are enough.
    fn serve(&self) {
        while let Some(count) = self.line.first().filter(|&count| count <= self.permits.get()) {
            if self.line.wake_first() {
                self.permits.set(self.permits.get() - count);
            }
        }
    }
}

/// Serves the line when a coroutine has left it, woken or not.
struct ServeOnDrop<'a>(&'a Semaphore);

impl Drop for ServeOnDrop<'_> {
    fn drop(&mut self) {
        self.0.serve();
    }
}

impl SemaphorePermit<'_> {
    /// How many permits these are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Keeps the permits from being given back; [`Semaphore::add_permits`] does it later, from anywhere.
    ///
    /// ```
    /// use leveret_runtime::sync::Semaphore;
    /// let semaphore = Semaphore::new(2);
    /// semaphore.try_acquire().unwrap().forget(); // the semaphore is smaller by one from now on
    /// assert_eq!(semaphore.available_permits(), 1);
    /// semaphore.add_permits(1);
    /// assert_eq!(semaphore.available_permits(), 2);
    /// ```
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.give_back(self.count);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available_permits", &self.available_permits()).finish()
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").field("count", &self.count).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::testing::{Log, SECOND, simulated};
    use crate::{JoinError, JoinHandle, spawn, timeout, yield_now};

    /// A coroutine that takes `count`, logs it, and keeps the permits.
    fn taker(semaphore: &Rc<Semaphore>, count: usize, log: &Log<usize>) -> JoinHandle<()> {
        let (semaphore, log) = (semaphore.clone(), log.clone());
        let handle = spawn(move || {
            semaphore.acquire_many(count).forget();
            log.add(count);
        });
        yield_now();
        handle
    }

    #[test]
    fn the_line_is_served_in_order_and_large_requests_are_not_starved() {
        simulated(|| {
            let (semaphore, log) = (Rc::new(Semaphore::new(1)), Log::new());
            let _takers: Vec<_> = [3, 1, 2].map(|count| taker(&semaphore, count, &log)).into();
            assert!(semaphore.try_acquire().is_none(), "a passer-by may not overtake the line");
            for (added, served) in [(1, vec![]), (1, vec![3]), (2, vec![1]), (1, vec![2])] {
                semaphore.add_permits(added);
                yield_now();
                assert_eq!(log.take(), served);
            }
            assert_eq!(semaphore.available_permits(), 0);
        });
    }

    #[test]
    fn permits_given_to_a_waiter_cannot_be_taken_before_it_runs() {
        simulated(|| {
            let (semaphore, log) = (Rc::new(Semaphore::new(0)), Log::new());
            let waiter = taker(&semaphore, 1, &log);
            semaphore.add_permits(1);
            assert!(semaphore.try_acquire().is_none());
            waiter.kill(); // too late: it has its permit
            assert!(waiter.join().is_ok());
        });
    }

    #[test]
    fn a_killed_or_late_waiter_lets_those_behind_it_go_on() {
        simulated(|| {
            let (semaphore, log) = (Rc::new(Semaphore::new(1)), Log::new());
            let large = taker(&semaphore, 5, &log);
            let small = taker(&semaphore, 1, &log);
            large.kill();
            assert!(matches!(large.join(), Err(JoinError::Killed)));
            small.join().unwrap();
            assert_eq!(log.take(), [1]);

            let start = time::now();
            assert!(semaphore.acquire_timeout(SECOND).is_none());
            assert!(timeout(SECOND, || drop(semaphore.acquire())).is_err());
            assert_eq!(time::now() - start, SECOND * 2);
            semaphore.add_permits(1);
            assert!(semaphore.acquire_timeout(SECOND).is_some());
            assert_eq!(semaphore.available_permits(), 1);
        });
    }

    #[test]
    fn permits_come_back_when_dropped_and_not_when_forgotten() {
        let semaphore = Semaphore::new(4);
        let three = semaphore.acquire_many(3);
        assert_eq!((three.count(), semaphore.available_permits()), (3, 1));
        assert!(semaphore.try_acquire_many(2).is_none());
        drop(three);
        semaphore.acquire().forget();
        assert_eq!(semaphore.available_permits(), 3);
        drop(semaphore.acquire_many(0));
    }

    #[test]
    fn there_are_at_most_permits_max() {
        let semaphore = Semaphore::new(PERMITS_MAX);
        let full = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| semaphore.add_permits(1)));
        assert!(full.is_err());
        semaphore.acquire().forget();
        semaphore.add_permits(1);
    }
}
