//! The end of a coroutine: its value, its panic, or its kill, kept for whoever joins it.
//!
//! Coroutine and handle share the coroutine's entry and nothing else: the outcome lies in its parcel, from which the handle
//! alone takes it. When the handle is gone and nobody else has the entry, it is the next coroutine's.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::current;
use super::join_set::Follower;
use super::park::{self, Killed, RemoteKill, WaitError, WaitQueue, Waiter};
use super::task::{Task, Wait};
use crate::sync::select::Watch;
use crate::time;

/// Why a joined coroutine has no value.
///
/// ```
/// # leveret_runtime::run(|| {
/// let ended = leveret_runtime::spawn(|| panic!("out of ideas")).join();
/// assert_eq!(ended.unwrap_err().message(), Some("out of ideas"));
/// # }).unwrap();
/// ```
pub enum JoinError {
    /// It panicked; the payload is what `std::thread::JoinHandle::join` would give.
    Panicked(Box<dyn Any + Send>),
    /// It was killed, by its handle or because the runtime ended.
    Killed,
    /// The joiner itself unwinds and cannot wait; the coroutine goes on.
    Unwinding,
}

impl JoinError {
    /// The panic's message, if it was a string.
    pub fn message(&self) -> Option<&str> {
        match self {
            JoinError::Panicked(payload) => panic_message(payload.as_ref()),
            JoinError::Killed | JoinError::Unwinding => None,
        }
    }

    /// Goes on with the coroutine's panic in the caller.
    ///
    /// ```
    /// use leveret_runtime::spawn;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let supervisor = spawn(|| {
    ///     let worker = spawn(|| -> u32 { panic!("no such queue") });
    ///     worker.join().unwrap_or_else(|error| error.resume()) // as if the worker had been a plain call
    /// });
    /// assert_eq!(supervisor.join().unwrap_err().message(), Some("no such queue"));
    /// # }).unwrap();
    /// ```
    pub fn resume(self) -> ! {
        match self {
            JoinError::Panicked(payload) => resume_unwind(payload),
            other => panic!("{other}"),
        }
    }
}

pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&'static str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(payload) => {
                write!(f, "the coroutine panicked: {}", panic_message(payload.as_ref()).unwrap_or("(no message)"))
            }
            JoinError::Killed => f.write_str("the coroutine was killed"),
            JoinError::Unwinding => f.write_str("join was called while its coroutine unwinds"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

/// What a coroutine's entry knows of its end; the outcome itself is in the parcel.
pub(crate) struct Ending {
    done: Cell<bool>,
    /// Whether there is a handle, which has the right to the outcome.
    joinable: Cell<bool>,
    waiters: WaitQueue,
    /// The set that is told of the end, if the coroutine is in one.
    follower: Cell<Option<Follower>>,
}

impl Ending {
    pub(super) fn new() -> Ending {
        Ending {
            done: Cell::new(false),
            joinable: Cell::new(true),
            waiters: WaitQueue::new(),
            follower: Cell::new(None),
        }
    }

    /// As new, for the next coroutine. Nobody waits or follows any more: they would have the handle.
    #[inline]
    pub(super) fn renew(&mut self) {
        self.done.set(false);
        self.joinable.set(true);
        self.waiters.clear();
        self.follower.set(None);
    }

    /// Whether somebody has the handle.
    pub(super) fn is_joinable(&self) -> bool {
        self.joinable.get()
    }

    /// Tells all who wait for it.
    pub(super) fn tell(&self) {
        self.done.set(true);
        self.waiters.wake_all();
        if let Some(follower) = self.follower.take() {
            follower.tell();
        }
    }
}

/// What the root of a coroutine makes of its body's end.
pub(crate) fn outcome<T>(result: std::thread::Result<T>) -> Result<T, JoinError> {
    result.map_err(|payload| match payload.is::<Killed>() {
        true => JoinError::Killed,
        false => JoinError::Panicked(payload),
    })
}

/// Owns the right to a coroutine's result. Dropping it lets the coroutine run on, detached.
///
/// ```
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// use leveret_runtime::{sleep, spawn};
/// use std::time::Duration;
/// let worker = spawn(|| { sleep(Duration::from_secs(2)); 7 });
/// let worker = worker.join_timeout(Duration::from_secs(1)).unwrap_err(); // not yet
/// assert_eq!(worker.join().unwrap(), 7);
/// let endless = spawn(|| sleep(Duration::MAX));
/// endless.kill();
/// assert!(endless.join().is_err());
/// # }).unwrap();
/// ```
#[must_use = "dropping the handle detaches the coroutine; bind it to `_` on purpose, or join it"]
pub struct JoinHandle<T> {
    /// Its outcome, once there is one, is a `Result<T, JoinError>`.
    task: Rc<Task>,
    outcome: PhantomData<RefCell<T>>,
}

impl<T> JoinHandle<T> {
    /// # Safety
    /// - What the coroutine leaves in its parcel is a `Result<T, JoinError>`, and it has no other handle.
    pub(super) unsafe fn new(task: Rc<Task>) -> JoinHandle<T> {
        JoinHandle { task, outcome: PhantomData }
    }

    /// Waits for the end and gives the value. If the caller is killed or timed out meanwhile, the coroutine goes on, detached.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{JoinError, sleep, spawn, timeout};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// assert_eq!(spawn(|| 7).join().unwrap(), 7);
    /// assert!(matches!(spawn(|| panic!("lost")).join(), Err(JoinError::Panicked(_))));
    /// // A joiner that is timed out leaves the coroutine running:
    /// let (done, was_done) = leveret_runtime::sync::channel::bounded(1);
    /// let slow = spawn(move || { sleep(Duration::from_secs(5)); done.send(()).unwrap() });
    /// assert!(timeout(Duration::from_secs(1), || slow.join()).is_err());
    /// assert!(was_done.recv().is_ok());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The coroutine's panic; that it was killed; that the caller unwinds and would have to wait.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait.
    pub fn join(self) -> Result<T, JoinError> {
        match self.wait(None) {
            Ok(()) => self.into_outcome(),
            Err(_) => Err(JoinError::Unwinding),
        }
    }

    /// Waits at most `limit` for the end; gives the handle back when it has not come.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{sleep, spawn};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut worker = spawn(|| { sleep(Duration::from_secs(25)); "done" });
    /// let mut waited = 0;
    /// let result = loop {
    ///     match worker.join_timeout(Duration::from_secs(10)) {
    ///         Ok(result) => break result,
    ///         Err(handle) => (worker, waited) = (handle, waited + 10), // still at it
    ///     }
    /// };
    /// assert_eq!((result.unwrap(), waited), ("done", 20));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The handle, to try again: the time was over, or the caller unwinds.
    ///
    /// # Panics
    /// As [`JoinHandle::join`].
    pub fn join_timeout(self, limit: Duration) -> Result<Result<T, JoinError>, JoinHandle<T>> {
        match self.wait(time::deadline_in(limit)) {
            Ok(()) => Ok(self.into_outcome()),
            Err(_) => Err(self),
        }
    }

    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        let ending = &self.task.ending;
        while !ending.done.get() {
            ending.waiters.wait(Wait::Join, deadline)?;
        }
        Ok(())
    }

    /// Tells `follower` of the end, at once if that is past. A coroutine has one follower at a time.
    pub(crate) fn follow(&self, follower: Follower) {
        match self.task.ending.done.get() {
            true => follower.tell(),
            false => self.task.ending.follower.set(Some(follower)),
        }
    }

    /// The outcome of a coroutine that has ended.
    pub(crate) fn into_outcome(self) -> Result<T, JoinError> {
        assert!(self.task.ending.done.get(), "the coroutine has ended");
        // SAFETY: it has ended, so what is in the parcel is no body but its outcome, whose type `new` was promised.
        let outcome = unsafe { self.task.parcel.take() };
        outcome.expect("an outcome is stored before `done` is set, and taken once")
    }

    /// Ends the coroutine at its next wait: it unwinds, its destructors run, and `join` gives [`JoinError::Killed`].
    /// A wake-up that it was already granted comes first. A coroutine that never waits is never killed.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    /// use leveret_runtime::{JoinError, sleep, spawn, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// struct Cleanup(Rc<Cell<bool>>);
    /// impl Drop for Cleanup { fn drop(&mut self) { self.0.set(true) } }
    /// let clean = Rc::new(Cell::new(false));
    /// let guard = Cleanup(clean.clone());
    /// let sleeper = spawn(move || { let _guard = guard; sleep(Duration::from_secs(3600)) });
    /// yield_now(); // it sleeps
    /// sleeper.kill();
    /// assert!(matches!(sleeper.join(), Err(JoinError::Killed)));
    /// assert!(clean.get()); // its destructors have run
    /// # }).unwrap();
    /// ```
    pub fn kill(&self) {
        park::kill(&self.task);
    }

    pub(crate) fn task(&self) -> &Rc<Task> {
        &self.task
    }

    pub(crate) fn remote_kill(&self) -> RemoteKill {
        RemoteKill::of(&self.task)
    }

    /// Whether the coroutine has ended.
    pub fn is_finished(&self) -> bool {
        self.task.ending.done.get()
    }

    /// The coroutine's name, or the place that spawned it.
    pub fn name(&self) -> String {
        self.task.name.to_string()
    }
}

impl<T> Drop for JoinHandle<T> {
    /// Drops an outcome that nobody has taken.
    #[inline]
    fn drop(&mut self) {
        let ending = &self.task.ending;
        ending.joinable.set(false);
        if ending.done.get() {
            self.task.parcel.clear();
            current::recycle(&self.task);
        }
    }
}

impl<T> Watch for JoinHandle<T> {
    fn is_ready(&self) -> bool {
        self.task.ending.done.get()
    }

    fn list(&self, waiter: Waiter) {
        self.task.ending.waiters.push(waiter);
    }

    fn unlist(&self, ticket: u64) {
        self.task.ending.waiters.remove(ticket);
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("name", &self.name()).field("finished", &self.is_finished()).finish()
    }
}

/// Waits for all of them, and gives the results in the order of the handles. If the caller is killed or timed out meanwhile,
/// those that have not ended go on, detached; a [`scope`](crate::scope) would end them.
///
/// ```
/// # leveret_runtime::run(|| {
/// use leveret_runtime::{join_all, spawn};
/// let squares = join_all((1..=3).map(|n| spawn(move || n * n)));
/// assert_eq!(squares.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 4, 9]);
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`JoinHandle::join`].
pub fn join_all<T>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> Vec<Result<T, JoinError>> {
    let handles: Vec<_> = handles.into_iter().collect(); // a lazy iterator that spawns must have spawned all before we wait
    handles.into_iter().map(JoinHandle::join).collect()
}

/// Kills all of them, as [`JoinHandle::kill`] does, without waiting for their ends; [`join_all`] waits.
///
/// ```
/// use leveret_runtime::{join_all, kill_all, sleep, spawn};
/// use std::time::Duration;
/// # leveret_runtime::run(|| {
/// let sleepers: Vec<_> = (0..3).map(|_| spawn(|| sleep(Duration::from_secs(3600)))).collect();
/// kill_all(&sleepers);
/// assert!(join_all(sleepers).iter().all(|ended| ended.is_err()));
/// # }).unwrap();
/// ```
pub fn kill_all<'a, T: 'a>(handles: impl IntoIterator<Item = &'a JoinHandle<T>>) {
    handles.into_iter().for_each(JoinHandle::kill);
}
