//! A lock that parks its waiters and may be held across a wait.
//!
//! Most code on a shard needs none: between two waits nothing else runs, so a `Cell` or a `RefCell` is enough. It is for
//! what must stay whole *across* a wait, such as one exchange at a time on a shared connection. `std::sync::Mutex` is not
//! for that: its second locker blocks the thread, and the holder with it, for ever.
//!
//! There is no poisoning. A coroutine that panics, is killed or timed out unlocks and leaves the value as it is.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::semaphore::Semaphore;
use crate::coroutine::park::WaitError;
use crate::time;

/// A value that one coroutine at a time may use.
///
/// Locking it twice in one coroutine waits for ever, which the runtime reports as a deadlock if nothing else can run.
///
/// ```
/// use std::{rc::Rc, time::Duration};
/// use leveret_runtime::{join_all, sleep, spawn, sync::Mutex};
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// let total = Rc::new(Mutex::new(0));
/// let adders = (1..=3).map(|n| {
///     let total = total.clone();
///     spawn(move || {
///         let mut total = total.lock();
///         let before = *total;
///         sleep(Duration::from_secs(1)); // nobody else has it meanwhile
///         *total = before + n;
///     })
/// });
/// join_all(adders);
/// assert_eq!(*total.lock(), 6);
/// # }).unwrap();
/// ```
pub struct Mutex<T: ?Sized> {
    key: Semaphore,
    value: RefCell<T>,
}

/// The right to use the value of a [`Mutex`]; given up when dropped.
#[must_use = "the mutex is unlocked at once if the guard is not kept"]
pub struct MutexGuard<'a, T: ?Sized> {
    // Fields are dropped in order: the borrow ends before the next owner is woken.
    value: RefMut<'a, T>,
    lock: Locked<'a, T>,
}

/// Has the key; gives it back when dropped.
struct Locked<'a, T: ?Sized>(&'a Mutex<T>);

impl<T: ?Sized> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        self.0.key.give_back(1);
    }
}

impl<T> Mutex<T> {
    /// A mutex with `value`, unlocked.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { key: Semaphore::named(1, "a mutex"), value: RefCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else has the value, in the order of asking.
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use leveret_runtime::{sleep, spawn, sync::Mutex, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mutex = Rc::new(Mutex::new(vec![1]));
    /// let theirs = mutex.clone();
    /// let killed = spawn(move || {
    ///     let mut values = theirs.lock();
    ///     values.push(2);
    ///     sleep(Duration::from_secs(60)); // killed here, with the lock
    ///     values.push(3);
    /// });
    /// yield_now();
    /// killed.kill();
    /// assert_eq!(*mutex.lock(), [1, 2]); // unlocked as its stack unwound, and not poisoned
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds (a destructor uses [`Mutex::try_lock`]).
    pub fn lock(&self) -> MutexGuard<'_, T> {
        match self.key.take(1, None) {
            Ok(()) => self.guard(),
            Err(_) => super::refuse("Mutex::lock"),
        }
    }

    /// Locks if nobody has the value or waits for it.
    ///
    /// ```
    /// use leveret_runtime::sync::Mutex;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mutex = Mutex::new(1);
    /// let guard = mutex.try_lock().unwrap();
    /// assert!(mutex.try_lock().is_none());
    /// drop(guard);
    /// assert!(mutex.try_lock().is_some());
    /// # }).unwrap();
    /// ```
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.key.try_take(1).then(|| self.guard())
    }

    /// Waits at most `limit` for the value.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sync::Mutex, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mutex = Mutex::new(1);
    /// let (guard, start) = (mutex.lock(), time::now());
    /// assert!(mutex.try_lock_for(Duration::from_secs(2)).is_none());
    /// assert_eq!(time::now() - start, Duration::from_secs(2));
    /// drop(guard);
    /// assert!(mutex.try_lock_for(Duration::ZERO).is_some());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Mutex::lock`].
    pub fn try_lock_for(&self, limit: Duration) -> Option<MutexGuard<'_, T>> {
        match self.try_lock() {
            Some(guard) => Some(guard),
            None => match self.key.take(1, time::deadline_in(limit)) {
                Ok(()) => Some(self.guard()),
                Err(WaitError::TimedOut) => None,
                Err(WaitError::Unwinding) => super::refuse("Mutex::try_lock_for"),
            },
        }
    }

    /// The value, which nobody can have locked.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether a coroutine has the value.
    pub fn is_locked(&self) -> bool {
        self.key.available_permits() == 0
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        let lock = Locked(self);
        MutexGuard { value: self.value.borrow_mut(), lock }
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that this locks.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.lock.0
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.try_borrow() {
            Ok(value) => f.debug_struct("Mutex").field("value", &&*value).finish(),
            Err(_) => f.write_str("Mutex { <locked> }"),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::testing::{Log, SECOND, simulated};
    use crate::{JoinError, join_all, sleep, spawn, timeout, yield_now};

    #[test]
    fn it_is_held_across_waits_and_handed_over_in_order() {
        simulated(|| {
            let (mutex, log) = (Rc::new(Mutex::new(0)), Log::new());
            let handles: Vec<_> = (0..4)
                .map(|id| {
                    let (mutex, log) = (mutex.clone(), log.clone());
                    let locker = spawn(move || {
                        for _ in 0..2 {
                            let mut value = mutex.lock();
                            sleep(SECOND);
                            *value += 1;
                            log.add(id);
                        }
                    });
                    yield_now(); // it stands in line before the next one comes
                    locker
                })
                .collect();
            join_all(handles);
            assert_eq!(log.take(), [0, 1, 2, 3, 0, 1, 2, 3]);
            assert_eq!(*mutex.lock(), 8);
        });
    }

    #[test]
    fn a_passer_by_cannot_lock_what_was_handed_over() {
        simulated(|| {
            let mutex = Rc::new(Mutex::new(()));
            let guard = mutex.lock();
            let waiting = mutex.clone();
            let waiter = spawn(move || drop(waiting.lock()));
            yield_now();
            drop(guard);
            assert!(mutex.try_lock().is_none() && mutex.is_locked());
            waiter.join().unwrap();
            assert!(mutex.try_lock().is_some());
        });
    }

    #[test]
    fn killed_late_and_panicking_holders_unlock() {
        simulated(|| {
            let mutex = Rc::new(Mutex::new(1));
            let held = mutex.clone();
            let holder = spawn(move || {
                let _guard = held.lock();
                sleep(SECOND * 60);
            });
            yield_now();
            assert!(mutex.try_lock_for(SECOND).is_none());
            assert!(timeout(SECOND, || drop(mutex.lock())).is_err());
            holder.kill();
            assert!(matches!(holder.join(), Err(JoinError::Killed)));
            let held = mutex.clone();
            let panics = spawn(move || {
                let _guard = held.lock();
                panic!("on purpose");
            });
            assert!(panics.join().is_err());
            assert_eq!(*mutex.try_lock_for(SECOND).expect("free"), 1);
        });
    }

    #[test]
    fn a_killed_waiter_does_not_keep_the_lock() {
        simulated(|| {
            let mutex = Rc::new(Mutex::new(()));
            let guard = mutex.lock();
            let [first, second] = [(); 2].map(|()| {
                let mutex = mutex.clone();
                spawn(move || drop(mutex.lock()))
            });
            yield_now();
            first.kill();
            drop(guard);
            assert!(matches!(first.join(), Err(JoinError::Killed)));
            second.join().unwrap();
        });
    }

    #[test]
    fn locking_while_unwinding_works_only_if_it_need_not_wait() {
        struct LocksInDrop(Rc<Mutex<u8>>, Rc<Mutex<u8>>);
        impl Drop for LocksInDrop {
            fn drop(&mut self) {
                *self.0.lock() += 1;
                assert!(self.1.try_lock().is_none());
                let waits = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(self.1.lock())));
                *self.0.lock() += u8::from(waits.is_err());
            }
        }
        simulated(|| {
            let (free, taken) = (Rc::new(Mutex::new(0)), Rc::new(Mutex::new(0)));
            let _guard = taken.lock();
            let locks = LocksInDrop(free.clone(), taken.clone());
            let panics = spawn(move || {
                let _locks = locks;
                panic!("on purpose");
            });
            assert!(panics.join().is_err());
            assert_eq!(*free.lock(), 2);
        });
    }
}
