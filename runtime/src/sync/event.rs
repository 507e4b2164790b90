//! A flag to wait for: gevent's `Event`.

use std::cell::Cell;
use std::time::Duration;

use super::select::Watch;
use crate::coroutine::park::{WaitError, WaitQueue, Waiter};
use crate::coroutine::task::Wait;
use crate::time;

/// A flag that any number of coroutines wait for. Setting it wakes them all, also those that would run only after it is
/// cleared again.
///
/// ```
/// use std::rc::Rc;
/// use leveret_runtime::{spawn, sync::Event};
/// # leveret_runtime::run(|| {
/// let ready = Rc::new(Event::new());
/// let waiter = spawn({
///     let ready = ready.clone();
///     move || ready.wait()
/// });
/// ready.set();
/// waiter.join().unwrap();
/// # }).unwrap();
/// ```
#[derive(Default)]
pub struct Event {
    set: Cell<bool>,
    waiters: WaitQueue,
}

impl Event {
    /// An event that is not set.
    pub const fn new() -> Event {
        Event { set: Cell::new(false), waiters: WaitQueue::new() }
    }

    /// Sets the flag and wakes everybody who waits for it.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{join_all, spawn, sync::Event, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let event = Rc::new(Event::new());
    /// let waiters: Vec<_> = (0..3).map(|_| { let event = event.clone(); spawn(move || event.wait()) }).collect();
    /// yield_now(); // they wait
    /// event.set();
    /// event.clear(); // too late to stop them
    /// assert!(join_all(waiters).iter().all(|ended| ended.is_ok()));
    /// # }).unwrap();
    /// ```
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.wake_all();
    }

    /// Clears the flag: who comes from now on waits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::Event;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let event = Event::new();
    /// event.set();
    /// event.wait(); // at once
    /// event.clear();
    /// assert!(!event.wait_timeout(Duration::from_secs(1)));
    /// # }).unwrap();
    /// ```
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the flag is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the flag is set; not at all if it is.
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use leveret_runtime::{spawn_after, sync::Event, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (event, start) = (Rc::new(Event::new()), time::now());
    /// let theirs = event.clone();
    /// let _ = spawn_after(Duration::from_secs(2), move || theirs.set());
    /// event.wait();
    /// event.wait(); // it stays set
    /// assert_eq!(time::now() - start, Duration::from_secs(2));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn wait(&self) {
        if !self.is_set() {
            let waited = self.waiters.wait(Wait::Sync("an event"), None);
            waited.unwrap_or_else(|_| super::refuse("Event::wait"));
        }
    }

    /// Waits at most `limit`. Answers whether the flag was set in that time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::Event;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let event = Event::new();
    /// assert!(!event.wait_timeout(Duration::from_secs(1)));
    /// event.set();
    /// assert!(event.wait_timeout(Duration::ZERO)); // set already: there is nothing to wait for
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Event::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        if self.is_set() {
            return true;
        }
        match self.waiters.wait(Wait::Sync("an event"), time::deadline_in(limit)) {
            Ok(()) => true,
            Err(WaitError::TimedOut) => self.is_set(),
            Err(WaitError::Unwinding) => super::refuse("Event::wait_timeout"),
        }
    }
}

impl Watch for Event {
    fn is_ready(&self) -> bool {
        self.is_set()
    }

    fn list(&self, waiter: Waiter) {
        self.waiters.push(waiter);
    }

    fn unlist(&self, ticket: u64) {
        self.waiters.remove(ticket);
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::testing::{SECOND, simulated};
    use crate::{JoinError, join_all, spawn, timeout, yield_now};

    #[test]
    fn set_wakes_everybody_even_if_cleared_at_once() {
        simulated(|| {
            let event = Rc::new(Event::new());
            let waiters: Vec<_> = (0..3).map(|_| (event.clone(), ())).map(|(e, ())| spawn(move || e.wait())).collect();
            yield_now();
            event.set();
            event.clear();
            assert!(join_all(waiters).iter().all(Result::is_ok));
            assert!(!event.is_set());
        });
    }

    #[test]
    fn a_set_event_is_not_waited_for() {
        let event = Event::new();
        event.set();
        event.wait(); // outside of any runtime
        assert!(event.wait_timeout(SECOND));
    }

    #[test]
    fn waiting_ends_at_the_limit() {
        simulated(|| {
            let event = Rc::new(Event::new());
            let start = time::now();
            assert!(!event.wait_timeout(SECOND));
            assert_eq!(time::now() - start, SECOND);
            let setter = event.clone();
            let _ = spawn(move || {
                crate::sleep(SECOND);
                setter.set();
            });
            assert!(event.wait_timeout(SECOND * 2));
        });
    }

    #[test]
    fn killed_and_timed_out_waiters_leave_the_queue() {
        simulated(|| {
            let event = Rc::new(Event::new());
            let waiting = event.clone();
            let victim = spawn(move || waiting.wait());
            yield_now();
            victim.kill();
            assert!(matches!(victim.join(), Err(JoinError::Killed)));
            assert!(timeout(SECOND, || event.wait()).is_err());
            assert!(event.waiters.is_empty());
            event.set();
        });
    }

    #[test]
    fn a_granted_wait_comes_before_a_kill() {
        simulated(|| {
            let event = Rc::new(Event::new());
            let waiting = event.clone();
            let waiter = spawn(move || {
                waiting.wait();
                7
            });
            yield_now();
            event.set();
            waiter.kill();
            assert_eq!(waiter.join().unwrap(), 7);
        });
    }
}
