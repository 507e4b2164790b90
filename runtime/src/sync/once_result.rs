//! A value that comes once and that many may wait for: gevent's `AsyncResult`.

use std::cell::OnceCell;
use std::fmt;
use std::time::Duration;

use super::select::Watch;
use crate::coroutine::park::{WaitError, WaitQueue, Waiter};
use crate::coroutine::task::Wait;
use crate::time;

/// A value that is set once; whoever waits gets a reference to it. For a failure, let `T` be a `Result`.
///
/// ```
/// use std::rc::Rc;
/// use leveret_runtime::{spawn, sync::OnceResult};
/// # leveret_runtime::run(|| {
/// let answer = Rc::new(OnceResult::new());
/// let asker = spawn({
///     let answer = answer.clone();
///     move || *answer.wait() + 1
/// });
/// answer.set(41).unwrap();
/// assert_eq!(asker.join().unwrap(), 42);
/// assert_eq!(answer.set(43), Err(43));
/// # }).unwrap();
/// ```
pub struct OnceResult<T> {
    value: OnceCell<T>,
    waiters: WaitQueue,
}

impl<T> OnceResult<T> {
    /// Without a value yet.
    pub const fn new() -> OnceResult<T> {
        OnceResult { value: OnceCell::new(), waiters: WaitQueue::new() }
    }

    /// Sets the value and wakes everybody who waits for it.
    ///
    /// ```
    /// use leveret_runtime::sync::OnceResult;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let result = OnceResult::new();
    /// assert_eq!(result.set(1), Ok(()));
    /// assert_eq!(result.set(2), Err(2)); // the first one stays
    /// assert_eq!(*result.wait(), 1);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The value, if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)?;
        self.waiters.wake_all();
        Ok(())
    }

    /// The value, if it has come.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Whether the value has come.
    pub fn is_set(&self) -> bool {
        self.value.get().is_some()
    }

    /// Waits for the value.
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use leveret_runtime::{join_all, spawn, spawn_after, sync::OnceResult};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let opened: Rc<OnceResult<Result<u16, String>>> = Rc::new(OnceResult::new());
    /// let theirs = opened.clone();
    /// let _ = spawn_after(Duration::from_secs(1), move || theirs.set(Ok(5672)));
    /// let waiters = (0..3).map(|_| { let opened = opened.clone(); spawn(move || opened.wait().clone()) });
    /// assert!(join_all(waiters).into_iter().all(|port| port.unwrap() == Ok(5672)));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn wait(&self) -> &T {
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            let waited = self.waiters.wait(Wait::Sync("a result"), None);
            waited.unwrap_or_else(|_| super::refuse("OnceResult::wait"));
        }
    }

    /// Waits at most `limit` for the value.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::OnceResult;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let result = OnceResult::new();
    /// assert_eq!(result.wait_timeout(Duration::from_secs(1)), None);
    /// result.set(7).unwrap();
    /// assert_eq!(result.wait_timeout(Duration::from_secs(1)), Some(&7));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`OnceResult::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> Option<&T> {
        if !self.is_set() {
            match self.waiters.wait(Wait::Sync("a result"), time::deadline_in(limit)) {
                Ok(()) | Err(WaitError::TimedOut) => {}
                Err(WaitError::Unwinding) => super::refuse("OnceResult::wait_timeout"),
            }
        }
        self.get()
    }

    /// The value, if it has come; for the last owner.
    ///
    /// ```
    /// use leveret_runtime::sync::OnceResult;
    /// let result = OnceResult::new();
    /// result.set("value".to_string()).unwrap(); // not waiting works outside of a runtime
    /// assert_eq!(result.into_inner().as_deref(), Some("value"));
    /// ```
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }
}

impl<T> Watch for OnceResult<T> {
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

impl<T> Default for OnceResult<T> {
    fn default() -> Self {
        OnceResult::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceResult<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceResult").field(&self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::testing::{SECOND, simulated};
    use crate::{JoinError, join_all, spawn, timeout, yield_now};

    #[test]
    fn everybody_gets_the_first_value() {
        simulated(|| {
            let result = Rc::new(OnceResult::new());
            let waiters =
                (0..3).map(|_| result.clone()).map(|result| spawn(move || *result.wait())).collect::<Vec<_>>();
            yield_now();
            assert_eq!((result.set(1), result.set(2)), (Ok(()), Err(2)));
            assert!(join_all(waiters).into_iter().all(|value| value.unwrap() == 1));
            assert_eq!((result.get(), *result.wait()), (Some(&1), 1));
        });
    }

    #[test]
    fn waiting_ends_at_the_limit_or_by_a_kill() {
        simulated(|| {
            let result = Rc::new(OnceResult::<u8>::new());
            assert_eq!(result.wait_timeout(SECOND), None);
            assert!(timeout(SECOND, || *result.wait()).is_err());
            let waiting = result.clone();
            let victim = spawn(move || *waiting.wait());
            yield_now();
            victim.kill();
            assert!(matches!(victim.join(), Err(JoinError::Killed)));
            assert!(result.waiters.is_empty() && !result.is_set());
            result.set(3).unwrap();
            assert_eq!(result.wait_timeout(SECOND), Some(&3));
        });
    }
}
