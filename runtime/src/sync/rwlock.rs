//! A lock for many readers or one writer, held across waits.
//!
//! A semaphore of [`READERS_MAX`] permits: a reader takes one, a writer all. So it is fair: readers that come after a
//! waiting writer wait behind it. No poisoning, as with [`Mutex`](super::Mutex).

use std::cell::{Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::semaphore::Semaphore;
use crate::coroutine::park::WaitError;
use crate::time;

/// The most readers at once; one more waits.
pub const READERS_MAX: usize = u32::MAX as usize >> 3;

/// A value that many coroutines may read, or one may change.
///
/// A reader that asks again while a writer waits is stuck: the writer waits for it, and it for the writer.
///
/// ```
/// use leveret_runtime::sync::RwLock;
/// # leveret_runtime::run(|| {
/// let routes = RwLock::new(vec!["a"]);
/// {
///     let (first, second) = (routes.read(), routes.read());
///     assert_eq!(first.len() + second.len(), 2);
/// }
/// routes.write().push("b");
/// assert_eq!(routes.into_inner(), ["a", "b"]);
/// # }).unwrap();
/// ```
pub struct RwLock<T: ?Sized> {
    keys: Semaphore,
    value: RefCell<T>,
}

/// The right to read; given up when dropped.
#[must_use = "the lock is given up at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // Fields are dropped in order: the borrow ends before the next owner is woken.
    value: Ref<'a, T>,
    _keys: Keys<'a>,
}

/// The right to change; given up when dropped.
#[must_use = "the lock is given up at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    value: RefMut<'a, T>,
    _keys: Keys<'a>,
}

/// Permits to give back when dropped.
struct Keys<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl Drop for Keys<'_> {
    fn drop(&mut self) {
        self.semaphore.give_back(self.count);
    }
}

impl<T> RwLock<T> {
    /// A lock with `value`, which nobody uses yet.
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { keys: Semaphore::named(READERS_MAX, "a read-write lock"), value: RefCell::new(value) }
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody changes the value, nor waited for that before.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use leveret_runtime::{spawn, sync::RwLock, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let lock = Rc::new(RwLock::new(1));
    /// let reading = lock.read();
    /// let (first, second) = (lock.clone(), lock.clone());
    /// let writer = spawn(move || *first.write() = 2);
    /// yield_now(); // it waits for us to end reading
    /// let reader = spawn(move || *second.read());
    /// yield_now(); // and this one waits behind it, so writers are not starved
    /// assert!(!reader.is_finished());
    /// drop(reading);
    /// writer.join().unwrap();
    /// assert_eq!(reader.join().unwrap(), 2);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.wait(1, None).unwrap_or_else(|_| super::refuse("RwLock::read"));
        self.reader()
    }

    /// Waits until nobody uses the value.
    ///
    /// ```
    /// use leveret_runtime::sync::RwLock;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let lock = RwLock::new(vec![1]);
    /// let mut values = lock.write();
    /// assert!(lock.try_read().is_none() && lock.try_write().is_none());
    /// values.push(2);
    /// drop(values);
    /// assert_eq!(*lock.read(), [1, 2]);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`RwLock::read`].
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.wait(READERS_MAX, None).unwrap_or_else(|_| super::refuse("RwLock::write"));
        self.writer()
    }

    /// The right to read, if it can be had at once.
    ///
    /// ```
    /// use leveret_runtime::sync::RwLock;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let lock = RwLock::new(7);
    /// let reading = lock.read();
    /// assert_eq!(lock.try_read().as_deref(), Some(&7)); // readers share
    /// drop(reading);
    /// let _writing = lock.write();
    /// assert!(lock.try_read().is_none());
    /// # }).unwrap();
    /// ```
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        self.keys.try_take(1).then(|| self.reader())
    }

    /// The right to change, if it can be had at once.
    ///
    /// ```
    /// use leveret_runtime::sync::RwLock;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let lock = RwLock::new(7);
    /// let reading = lock.read();
    /// assert!(lock.try_write().is_none());
    /// drop(reading);
    /// *lock.try_write().unwrap() += 1;
    /// assert_eq!(lock.into_inner(), 8);
    /// # }).unwrap();
    /// ```
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        self.keys.try_take(READERS_MAX).then(|| self.writer())
    }

    /// Waits at most `limit` for the right to read.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::sync::RwLock;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let lock = RwLock::new(7);
    /// let writing = lock.write();
    /// assert!(lock.try_read_for(Duration::from_secs(1)).is_none());
    /// drop(writing);
    /// assert!(lock.try_read_for(Duration::from_secs(1)).is_some());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`RwLock::read`].
    pub fn try_read_for(&self, limit: Duration) -> Option<RwLockReadGuard<'_, T>> {
        self.wait_for(1, limit).then(|| self.reader())
    }

    /// Waits at most `limit` for the right to change.
    ///
    /// ```
    /// use std::{rc::Rc, time::Duration};
    /// use leveret_runtime::{sleep, spawn, sync::RwLock, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let lock = Rc::new(RwLock::new(7));
    /// let theirs = lock.clone();
    /// let _ = spawn(move || { let _reading = theirs.read(); sleep(Duration::from_secs(2)); });
    /// yield_now();
    /// assert!(lock.try_write_for(Duration::from_secs(1)).is_none());
    /// assert!(lock.try_write_for(Duration::from_secs(5)).is_some());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`RwLock::read`].
    pub fn try_write_for(&self, limit: Duration) -> Option<RwLockWriteGuard<'_, T>> {
        self.wait_for(READERS_MAX, limit).then(|| self.writer())
    }

    /// The value, which nobody can be using.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn wait(&self, count: usize, limit: Option<Duration>) -> Result<(), WaitError> {
        match self.keys.try_take(count) {
            true => Ok(()),
            false => self.keys.take(count, limit.and_then(time::deadline_in)),
        }
    }

    fn wait_for(&self, count: usize, limit: Duration) -> bool {
        match self.wait(count, Some(limit)) {
            Ok(()) => true,
            Err(WaitError::TimedOut) => false,
            Err(WaitError::Unwinding) => super::refuse("RwLock"),
        }
    }

    fn reader(&self) -> RwLockReadGuard<'_, T> {
        let keys = Keys { semaphore: &self.keys, count: 1 };
        RwLockReadGuard { value: self.value.borrow(), _keys: keys }
    }

    fn writer(&self) -> RwLockWriteGuard<'_, T> {
        let keys = Keys { semaphore: &self.keys, count: READERS_MAX };
        RwLockWriteGuard { value: self.value.borrow_mut(), _keys: keys }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> Self {
        RwLock::new(T::default())
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value.try_borrow() {
            Ok(value) => f.debug_struct("RwLock").field("value", &&*value).finish(),
            Err(_) => f.write_str("RwLock { <locked> }"),
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::sync::testing::{Log, SECOND, simulated};
    use crate::{JoinHandle, join_all, sleep, spawn, timeout, yield_now};

    /// Uses the lock for a second and logs when it began.
    fn user(lock: &Rc<RwLock<u32>>, log: &Log<(char, u64)>, kind: char) -> JoinHandle<()> {
        let (lock, log, start) = (lock.clone(), log.clone(), time::now());
        let note = move |kind| log.add((kind, (time::now() - start).as_secs()));
        spawn(move || match kind {
            'r' => {
                let _guard = lock.read();
                note(kind);
                sleep(SECOND);
            }
            _ => {
                let mut guard = lock.write();
                note(kind);
                sleep(SECOND);
                *guard += 1;
            }
        })
    }

    #[test]
    fn readers_share_writers_do_not_and_nobody_overtakes() {
        let check = |users: &'static str, began: &'static [u64]| {
            simulated(move || {
                let (lock, log) = (Rc::new(RwLock::new(0)), Log::new());
                let in_turn = |kind| {
                    let user = user(&lock, &log, kind);
                    yield_now(); // it stands in line before the next one comes
                    user
                };
                join_all(users.chars().map(in_turn));
                let expected: Vec<_> = users.chars().zip(began.iter().copied()).collect();
                assert_eq!(log.take(), expected, "{users}");
                assert_eq!(*lock.read() as usize, users.matches('w').count());
            });
        };
        check("rrr", &[0, 0, 0]);
        check("www", &[0, 1, 2]);
        check("rrwrr", &[0, 0, 1, 2, 2]);
        check("wrrw", &[0, 1, 1, 2]);
    }

    #[test]
    fn a_killed_or_late_writer_lets_the_readers_behind_it_go_on() {
        simulated(|| {
            let (lock, log) = (Rc::new(RwLock::new(0)), Log::new());
            let guard = lock.read();
            let writer = user(&lock, &log, 'w');
            let reader = user(&lock, &log, 'r');
            yield_now();
            assert!(lock.try_read().is_none(), "a writer waits");
            writer.kill();
            reader.join().unwrap();
            assert_eq!(log.take(), [('r', 0)]);
            assert!(lock.try_write_for(SECOND).is_none());
            assert!(timeout(SECOND, || drop(lock.write())).is_err());
            drop(guard);
            assert!(lock.try_write().is_some());
        });
    }

    #[test]
    fn try_and_limits() {
        simulated(|| {
            let mut lock = RwLock::new(5);
            let writer = lock.write();
            assert!(lock.try_read().is_none() && lock.try_write().is_none() && lock.try_read_for(SECOND).is_none());
            drop(writer);
            let reader = lock.try_read().expect("free");
            assert!(lock.try_read_for(SECOND).is_some() && lock.try_write().is_none());
            drop(reader);
            *lock.get_mut() += 1;
            assert_eq!(lock.into_inner(), 6);
        });
    }

    #[test]
    fn one_reader_too_many_waits() {
        let lock = RwLock::new(());
        let all_but_one = lock.keys.acquire_many(READERS_MAX - 1);
        let last = lock.try_read().expect("the last reader");
        assert!(lock.try_read().is_none());
        drop((all_but_one, last));
        assert!(lock.try_write().is_some());
    }
}
