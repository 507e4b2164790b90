//! A number that only grows, moved on by one thread and watched by shards.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::coroutine::current;
use crate::coroutine::park::Parker;
use crate::coroutine::task::Wait;
use crate::mailbox::{Inbox, RemoteWaiter};

/// Has a shard make a turn, from any thread: its [end-of-turn hooks](crate::on_turn_end) then look at what has changed.
///
/// Ringing a shard that is awake costs an atomic store, however often; one that sleeps is woken once.
///
/// ```
/// use leveret_runtime::{lane::{Bell, Progress}, on_turn_end, spawn_after};
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (synced, seen) = (Progress::new(0), Rc::new(Cell::new(0)));
/// synced.add_bell(Bell::of_this_shard());
/// let (looked_at, found) = (synced.clone(), seen.clone());
/// on_turn_end(move || found.set(looked_at.value())); // one load a turn, whoever waits
/// let _ = spawn_after(Duration::from_secs(1), move || synced.advance(4096));
/// leveret_runtime::sleep(Duration::from_secs(2));
/// assert_eq!(seen.get(), 4096);
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Bell(Arc<Inbox>);

impl Bell {
    /// The bell of the shard that the caller runs on.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn of_this_shard() -> Bell {
        Bell(current::with(|shard| shard.inbox.clone()))
    }

    /// Has the shard make a turn. What was written before is seen by its hooks.
    ///
    /// ```
    /// use leveret_runtime::lane::Bell;
    /// # leveret_runtime::run(|| {
    /// let (bell, before) = (Bell::of_this_shard(), leveret_runtime::stats().turns);
    /// std::thread::spawn(move || bell.ring()).join().unwrap();
    /// leveret_runtime::sleep(std::time::Duration::from_millis(1));
    /// assert!(leveret_runtime::stats().turns > before);
    /// # }).unwrap();
    /// ```
    pub fn ring(&self) {
        self.0.ring();
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

/// How far something has come that others wait for, such as the bytes of a log that are synced. Clones are the same.
///
/// Coroutines [`wait`](Progress::wait) for a value. Where a shard has thousands that depend on it, a hook is cheaper:
/// [`add_bell`](Progress::add_bell) once, and an [end-of-turn hook](crate::on_turn_end) that looks at
/// [`value`](Progress::value), which is one load.
///
/// ```
/// use leveret_runtime::{lane::Progress, spawn};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let synced = Progress::new(0);
/// let theirs = synced.clone(); // the same progress
/// let writer = spawn(move || theirs.advance(100));
/// synced.wait(64).unwrap();
/// assert_eq!(synced.value(), 100);
/// writer.join().unwrap();
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Progress {
    inner: Arc<Inner>,
}

struct Inner {
    value: AtomicU64,
    watchers: Mutex<Watchers>,
}

#[derive(Default)]
pub(super) struct Watchers {
    ended: bool,
    /// By the value that they wait for, and a number that tells them apart.
    pub(super) waiting: BTreeMap<(u64, u64), RemoteWaiter>,
    last_number: u64,
    bells: Vec<Bell>,
}

/// The value that was waited for will not come: [`Progress::end`] was called.
///
/// ```
/// use leveret_runtime::lane::{Ended, Progress};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let progress = Progress::new(5);
/// progress.end();
/// assert_eq!(progress.wait(6), Err(Ended));
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was waited for has ended before it came that far")
    }
}

impl std::error::Error for Ended {}

impl Progress {
    /// Begins at `value`.
    pub fn new(value: u64) -> Progress {
        Progress { inner: Arc::new(Inner { value: AtomicU64::new(value), watchers: Mutex::default() }) }
    }

    /// How far it has come.
    #[inline]
    pub fn value(&self) -> u64 {
        self.inner.value.load(Ordering::Acquire)
    }

    /// Moves on to `value`, never back; wakes who waits for no more than that, and rings the bells. From any thread.
    ///
    /// ```
    /// use leveret_runtime::lane::Progress;
    /// let progress = Progress::new(5);
    /// progress.advance(9);
    /// progress.advance(7); // never back
    /// assert_eq!(progress.value(), 9);
    /// ```
    pub fn advance(&self, value: u64) {
        if self.inner.value.fetch_max(value, Ordering::AcqRel) >= value {
            return;
        }
        let mut watchers = self.watchers();
        let later = value.checked_add(1).map(|next| watchers.waiting.split_off(&(next, 0))).unwrap_or_default();
        let woken = std::mem::replace(&mut watchers.waiting, later);
        watchers.bells.iter().for_each(Bell::ring);
        drop(watchers);
        woken.into_values().for_each(RemoteWaiter::wake);
    }

    /// Says that it goes no further: whoever waits for more learns that, now and later. The bells ring.
    ///
    /// ```
    /// use leveret_runtime::{lane::Progress, spawn, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let progress = Progress::new(0);
    /// let theirs = progress.clone();
    /// let waiter = spawn(move || theirs.wait(10));
    /// yield_now();
    /// progress.advance(5);
    /// progress.end();
    /// assert!(waiter.join().unwrap().is_err());
    /// assert_eq!(progress.wait(5), Ok(())); // it had come so far
    /// # }).unwrap();
    /// ```
    pub fn end(&self) {
        let mut watchers = self.watchers();
        watchers.ended = true;
        let woken = std::mem::take(&mut watchers.waiting);
        watchers.bells.iter().for_each(Bell::ring);
        drop(watchers);
        woken.into_values().for_each(RemoteWaiter::wake);
    }

    /// Whether [`Progress::end`] was called.
    pub fn is_ended(&self) -> bool {
        self.watchers().ended
    }

    /// Waits until the value is `target` or more. A kill or an expired timeout strikes here.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{lane::Progress, timeout};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let progress = Progress::new(10);
    /// assert_eq!(progress.wait(10), Ok(())); // at once
    /// assert!(timeout(Duration::from_secs(1), || progress.wait(11)).is_err());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Ended`], if it ends before that; also in a destructor while the stack unwinds, where nothing may wait.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait.
    pub fn wait(&self, target: u64) -> Result<(), Ended> {
        while self.value() < target {
            let parker = Parker::arm().map_err(|_| Ended)?;
            let _listed = self.list(target, parker.remote())?;
            if self.value() < target {
                parker.park(Wait::Mail, None).map_err(|_| Ended)?;
            }
        }
        Ok(())
    }

    /// Rings `bell` at every advance, and at the end.
    pub fn add_bell(&self, bell: Bell) {
        self.watchers().bells.push(bell);
    }

    fn list(&self, target: u64, waiter: RemoteWaiter) -> Result<Listed<'_>, Ended> {
        let mut watchers = self.watchers();
        if watchers.ended {
            return Err(Ended);
        }
        watchers.last_number += 1;
        let key = (target, watchers.last_number);
        watchers.waiting.insert(key, waiter);
        Ok(Listed { progress: self, key })
    }

    pub(super) fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.inner.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those who wait, left when dropped (also by unwinding).
struct Listed<'a> {
    progress: &'a Progress,
    key: (u64, u64),
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.progress.watchers().waiting.remove(&self.key);
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("value", &self.value()).finish()
    }
}
