//! A lock that its holder may take again.
//!
//! For code that calls itself through others, such as a callback which comes back to whoever called it. Since the same
//! coroutine may have it several times, it gives shared access only; a `Cell` or a `RefCell` inside does the rest.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use super::semaphore::Semaphore;
use crate::coroutine::current;

/// A value that one coroutine at a time may use, which may lock it again while it has it: gevent's and Python's `RLock`.
///
/// ```
/// use leveret_runtime::sync::ReentrantMutex;
/// # leveret_runtime::run(|| {
/// let mutex = ReentrantMutex::new(7);
/// let outer = mutex.lock();
/// let inner = mutex.lock(); // a `Mutex` would wait for ever
/// assert_eq!(*outer + *inner, 14);
/// # }).unwrap();
/// ```
pub struct ReentrantMutex<T> {
    key: Semaphore,
    owner: Cell<Option<Owner>>,
    depth: Cell<usize>,
    value: T,
}

/// A coroutine, or whoever runs outside of one.
type Owner = Option<u64>;

fn caller() -> Owner {
    current::try_task().map(|task| task.number)
}

/// The right to use the value of a [`ReentrantMutex`]; given up when dropped, by the coroutine that took it.
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
pub struct ReentrantMutexGuard<'a, T> {
    mutex: &'a ReentrantMutex<T>,
}

impl<T> ReentrantMutex<T> {
    /// A mutex with `value`, unlocked.
    pub const fn new(value: T) -> ReentrantMutex<T> {
        ReentrantMutex { key: Semaphore::named(1, "a mutex"), owner: Cell::new(None), depth: Cell::new(0), value }
    }

    /// Waits until no other coroutine has the value, in the order of asking.
    ///
    /// A kill or an expired `timeout` strikes while it waits, as at any wait.
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use leveret_runtime::{spawn, sync::ReentrantMutex, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let log = Rc::new(ReentrantMutex::new(RefCell::new(Vec::new())));
    /// let ours = log.lock();
    /// let theirs = log.clone();
    /// let other = spawn(move || theirs.lock().borrow_mut().push("theirs"));
    /// yield_now(); // it waits
    /// log.lock().borrow_mut().push("ours, inside"); // does not
    /// ours.borrow_mut().push("ours");
    /// drop(ours);
    /// other.join().unwrap();
    /// assert_eq!(*log.lock().borrow(), ["ours, inside", "ours", "theirs"]);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn lock(&self) -> ReentrantMutexGuard<'_, T> {
        if !self.is_callers() && self.key.take(1, None).is_err() {
            super::refuse("ReentrantMutex::lock");
        }
        self.guard()
    }

    /// Locks if no other coroutine has the value or waits for it.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{spawn, sync::ReentrantMutex};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mutex = Rc::new(ReentrantMutex::new(()));
    /// let _ours = mutex.lock();
    /// assert!(mutex.try_lock().is_some()); // again, in the same coroutine
    /// let theirs = mutex.clone();
    /// assert!(spawn(move || theirs.try_lock().is_none()).join().unwrap());
    /// # }).unwrap();
    /// ```
    pub fn try_lock(&self) -> Option<ReentrantMutexGuard<'_, T>> {
        (self.is_callers() || self.key.try_take(1)).then(|| self.guard())
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value
    }

    fn is_callers(&self) -> bool {
        self.owner.get() == Some(caller())
    }

    fn guard(&self) -> ReentrantMutexGuard<'_, T> {
        self.owner.set(Some(caller()));
        self.depth.set(self.depth.get() + 1);
        ReentrantMutexGuard { mutex: self }
    }
}

impl<T> Deref for ReentrantMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.mutex.value
    }
}

impl<T> Drop for ReentrantMutexGuard<'_, T> {
    fn drop(&mut self) {
        let depth = self.mutex.depth.get() - 1;
        self.mutex.depth.set(depth);
        if depth == 0 {
            self.mutex.owner.set(None);
            self.mutex.key.give_back(1);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for ReentrantMutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReentrantMutex").field("depth", &self.depth.get()).field("value", &self.value).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for ReentrantMutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mutex.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::testing::{SECOND, simulated};
    use crate::{sleep, spawn, time, timeout, yield_now};

    #[test]
    fn its_holder_takes_it_again_and_others_wait_for_the_last_guard() {
        simulated(|| {
            let mutex = Rc::new(ReentrantMutex::new(Cell::new(0)));
            let theirs = mutex.clone();
            let holder = spawn(move || {
                let outer = theirs.lock();
                let inner = theirs.lock();
                sleep(SECOND);
                inner.set(1);
                drop(outer);
                sleep(SECOND);
                assert!(theirs.try_lock().is_some(), "it still has the other one");
                drop(inner);
            });
            yield_now();
            sleep(SECOND / 2);
            let start = time::now();
            assert!(mutex.try_lock().is_none());
            assert!(timeout(SECOND / 2, || drop(mutex.lock())).is_err());
            assert_eq!(mutex.lock().get(), 1);
            assert_eq!(time::now() - start, SECOND * 3 / 2);
            holder.join().unwrap();
        });
    }

    #[test]
    fn a_killed_holder_unlocks() {
        simulated(|| {
            let mutex = Rc::new(ReentrantMutex::new(()));
            let theirs = mutex.clone();
            let holder = spawn(move || {
                let _guards = [theirs.lock(), theirs.lock()];
                sleep(SECOND);
            });
            yield_now();
            holder.kill();
            drop(mutex.lock());
            assert!(holder.join().is_err());
        });
        let outside = ReentrantMutex::new(1);
        assert_eq!(*outside.lock() + *outside.lock(), 2);
    }
}
