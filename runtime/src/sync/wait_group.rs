//! Waiting until everybody who takes part is done.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::coroutine::park::{WaitError, WaitQueue};
use crate::coroutine::task::Wait;
use crate::time;

/// A group whose members are clones: [`WaitGroup::wait`] returns when every other one was dropped. A coroutine that
/// panics or is killed drops its clone like any other, so nobody waits for the dead.
///
/// ```
/// use leveret_runtime::{spawn, sync::WaitGroup};
/// # leveret_runtime::run(|| {
/// let group = WaitGroup::new();
/// for _ in 0..3 {
///     let member = group.clone();
///     let _ = spawn(move || {
///         // work
///         drop(member);
///     });
/// }
/// group.wait();
/// # }).unwrap();
/// ```
pub struct WaitGroup {
    members: Rc<Members>,
}

#[derive(Default)]
struct Members {
    count: std::cell::Cell<usize>,
    waiters: WaitQueue,
}

impl WaitGroup {
    /// A group with one member.
    pub fn new() -> WaitGroup {
        let members = Rc::new(Members::default());
        members.count.set(1);
        WaitGroup { members }
    }

    /// Leaves the group and waits until everybody else has.
    ///
    /// ```
    /// use leveret_runtime::{spawn, sync::WaitGroup};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = WaitGroup::new();
    /// let member = group.clone();
    /// let _ = spawn(move || {
    ///     let _member = member; // moved in: it is dropped however this ends
    ///     panic!("on the way");
    /// });
    /// group.wait(); // all the same
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn wait(self) {
        let members = self.leave();
        members.wait(None).unwrap_or_else(|_| super::refuse("WaitGroup::wait"));
    }

    /// Leaves the group and waits at most `limit` for everybody else. Answers whether all have left.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sleep, spawn, sync::WaitGroup};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = WaitGroup::new();
    /// let (slow, again) = (group.clone(), group.clone());
    /// let _ = spawn(move || { sleep(Duration::from_secs(5)); drop(slow); });
    /// assert!(!group.wait_timeout(Duration::from_secs(1))); // it has left all the same
    /// assert!(again.wait_timeout(Duration::from_secs(5)));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`WaitGroup::wait`].
    pub fn wait_timeout(self, limit: Duration) -> bool {
        let members = self.leave();
        if members.count.get() == 0 {
            return true;
        }
        match members.wait(time::deadline_in(limit)) {
            Ok(()) => true,
            Err(WaitError::TimedOut) => members.count.get() == 0,
            Err(WaitError::Unwinding) => super::refuse("WaitGroup::wait_timeout"),
        }
    }

    /// How many members there are, this one among them.
    pub fn len(&self) -> usize {
        self.members.count.get()
    }

    /// Never: this member is one.
    pub fn is_empty(&self) -> bool {
        false
    }

    fn leave(self) -> Rc<Members> {
        self.members.clone() // `self` is dropped here, and counted as gone
    }
}

impl Members {
    fn wait(&self, deadline: Option<std::time::Instant>) -> Result<(), WaitError> {
        match self.count.get() {
            0 => Ok(()),
            _ => self.waiters.wait(Wait::Sync("a group to finish"), deadline),
        }
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> Self {
        self.members.count.set(self.members.count.get() + 1);
        WaitGroup { members: self.members.clone() }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        self.members.count.set(self.members.count.get() - 1);
        if self.members.count.get() == 0 {
            self.members.waiters.wake_all();
        }
    }
}

impl Default for WaitGroup {
    fn default() -> Self {
        WaitGroup::new()
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("members", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::testing::{SECOND, simulated};
    use crate::{JoinError, sleep, spawn, timeout, yield_now};

    #[test]
    fn it_waits_for_the_last_member() {
        simulated(|| {
            let (group, start) = (WaitGroup::new(), time::now());
            for seconds in 1..=3 {
                let member = group.clone();
                let _ = spawn(move || {
                    sleep(SECOND * seconds);
                    drop(member);
                });
            }
            let other = group.clone();
            let also_waits = spawn(move || other.wait());
            assert_eq!(group.len(), 5);
            group.wait();
            assert_eq!(time::now() - start, SECOND * 3);
            also_waits.join().unwrap();
        });
    }

    #[test]
    fn a_group_of_one_is_done() {
        WaitGroup::new().wait(); // outside of any runtime
        assert!(WaitGroup::new().wait_timeout(SECOND));
    }

    #[test]
    fn killed_and_panicking_members_count_as_done() {
        simulated(|| {
            let group = WaitGroup::new();
            let (one, two) = (group.clone(), group.clone());
            let killed = spawn(move || {
                let _member = one;
                sleep(SECOND * 60);
            });
            let panics = spawn(move || {
                let _member = two;
                panic!("on purpose");
            });
            yield_now();
            killed.kill();
            group.wait();
            assert!(killed.is_finished() && panics.join().is_err());
        });
    }

    #[test]
    fn a_waiter_may_be_killed_or_late() {
        simulated(|| {
            let group = WaitGroup::new();
            let waiting = group.clone();
            let waiter = spawn(move || waiting.wait());
            yield_now();
            waiter.kill();
            assert!(matches!(waiter.join(), Err(JoinError::Killed)));
            assert_eq!(group.len(), 1);
            let member = group.clone();
            assert!(!group.clone().wait_timeout(SECOND));
            assert!(timeout(SECOND, || group.wait()).is_err());
            member.wait();
        });
    }
}
