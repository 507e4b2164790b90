//! Reaching other shards: spawn there, call there, and join from here.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::coroutine::contain::quietly;
use crate::coroutine::join::{JoinError, JoinHandle, outcome};
use crate::coroutine::park::{Parker, RemoteKill, Unwinding, WaitError};
use crate::coroutine::task::{Name, Wait};
use crate::coroutine::{current, spawn_on_shard};
use crate::mailbox::{Inbox, Mail, RemoteWaiter};
use crate::shard::ShardId;
use crate::time;

/// The shard that the caller runs on.
///
/// ```
/// # leveret_runtime::run(|| {
/// assert_eq!(leveret_runtime::shard_id().index(), 0); // where `main` runs
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn shard_id() -> ShardId {
    current::with(|shard| shard.id)
}

/// How many shards the runtime has.
///
/// ```
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// assert_eq!(leveret_runtime::shard_count(), 1);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn shard_count() -> usize {
    current::with(|shard| shard.shared.inboxes.len())
}

/// All shards of the runtime, from 0.
///
/// ```
/// let runtime = leveret_runtime::Runtime::builder().shards(3).build().unwrap();
/// let shards = runtime.run(|| leveret_runtime::shards().map(|shard| shard.index()).collect::<Vec<_>>());
/// assert_eq!(shards.unwrap(), [0, 1, 2]);
/// ```
///
/// # Panics
/// Outside of a runtime.
pub fn shards() -> impl Iterator<Item = ShardId> {
    (0..shard_count() as u16).map(ShardId)
}

enum Outcome<T> {
    Pending(Option<RemoteWaiter>),
    Done(Result<T, JoinError>),
    Taken,
}

struct RemoteState<T> {
    outcome: Outcome<T>,
    /// Kills the coroutine, once it exists; or whether it is to be killed as soon as it does.
    kill: Option<RemoteKill>,
    killed: bool,
}

/// Owns the right to the result of a coroutine on another shard. Dropping it lets the coroutine run on, detached.
///
/// ```
/// use leveret_runtime::{Runtime, shards, spawn_on};
/// let runtime = Runtime::builder().shards(2).simulated(1).build().unwrap();
/// runtime.run(|| {
///     let everywhere: Vec<_> = shards().map(|shard| spawn_on(shard, move || shard.index())).collect();
///     let found: Vec<_> = everywhere.into_iter().map(|there| there.join().unwrap()).collect();
///     assert_eq!(found, [0, 1]);
/// }).unwrap();
/// ```
#[must_use = "dropping the handle detaches the coroutine; bind it to `_` on purpose, or join it"]
pub struct RemoteJoinHandle<T> {
    state: Arc<Mutex<RemoteState<T>>>,
    inbox: Arc<Inbox>,
    shard: ShardId,
}

/// Spawns `f` on `shard`, which may be the current one. Coroutines never move afterwards, so what `f` makes there (sockets,
/// `Rc`s) stays there; only `f` itself and its result cross. A killed or timed-out caller does not end it.
///
/// ```
/// let runtime = leveret_runtime::Runtime::builder().shards(2).build().unwrap();
/// runtime.run(|| {
///     let other = leveret_runtime::shards().nth(1).unwrap();
///     let there = leveret_runtime::spawn_on(other, leveret_runtime::shard_id);
///     assert_eq!(there.join().unwrap(), other);
/// }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime, and for a shard of another runtime that this one has not.
#[track_caller]
pub fn spawn_on<T: Send + 'static>(shard: ShardId, f: impl FnOnce() -> T + Send + 'static) -> RemoteJoinHandle<T> {
    let name = Location::caller();
    let inbox = current::with(|current| current.shared.inboxes[shard.index()].clone());
    post_spawn(inbox, shard, name, f)
}

pub(crate) fn post_spawn<T: Send + 'static>(
    inbox: Arc<Inbox>,
    shard: ShardId,
    place: &'static Location<'static>,
    f: impl FnOnce() -> T + Send + 'static,
) -> RemoteJoinHandle<T> {
    let state = RemoteState { outcome: Outcome::Pending(None), kill: None, killed: false };
    let state = Arc::new(Mutex::new(state));
    let report = Report(state.clone());
    inbox.post(Mail::Run(Box::new(move || start(report, place, f))));
    RemoteJoinHandle { state, inbox, shard }
}

/// Runs on the target shard.
fn start<T: Send + 'static>(report: Report<T>, place: &'static Location<'static>, f: impl FnOnce() -> T + 'static) {
    let state = report.0.clone();
    let spawned = current::with(|shard| {
        spawn_on_shard(shard, Name::Place(place), None, move || {
            report.finish(place, outcome(catch_unwind(AssertUnwindSafe(f))));
        })
    });
    match spawned {
        Ok(handle) => note_started(&state, &handle),
        Err(error) => finish(&state, Err(JoinError::Panicked(Box::new(format!("no stack for a coroutine: {error}"))))),
    }
}

/// A coroutine that is killed before it starts never runs its body, and one whose shard has ended never exists: its captures
/// are dropped, and this one reports it.
struct Report<T>(Arc<Mutex<RemoteState<T>>>);

impl<T> Report<T> {
    /// A panic that nobody can join is logged with the place that spawned the coroutine.
    fn finish(&self, place: &Location<'_>, result: Result<T, JoinError>) {
        if let Err(error @ JoinError::Panicked(_)) = &result
            && Arc::strong_count(&self.0) == 1
        {
            quietly(|| log::error!("coroutine '{}:{}': {error}", place.file(), place.line()));
        }
        finish(&self.0, result);
    }
}

impl<T> Drop for Report<T> {
    fn drop(&mut self) {
        finish(&self.0, Err(JoinError::Killed));
    }
}

fn note_started<T>(state: &Mutex<RemoteState<T>>, handle: &JoinHandle<()>) {
    let mut state = lock(state);
    state.kill = Some(handle.remote_kill());
    if state.killed {
        handle.kill();
    }
}

/// Stores the first outcome and wakes the joiner.
fn finish<T>(state: &Mutex<RemoteState<T>>, result: Result<T, JoinError>) {
    let mut state = lock(state);
    if let Outcome::Pending(waiter) = &mut state.outcome {
        let waiter = waiter.take();
        state.outcome = Outcome::Done(result);
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

fn lock<T>(state: &Mutex<RemoteState<T>>) -> std::sync::MutexGuard<'_, RemoteState<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Send> RemoteJoinHandle<T> {
    /// Waits for the end and gives the value. If the caller is killed or timed out meanwhile, the coroutine goes on, detached.
    ///
    /// ```
    /// use leveret_runtime::{Runtime, shards, spawn_on};
    /// let runtime = Runtime::builder().shards(2).simulated(1).build().unwrap();
    /// runtime.run(|| {
    ///     let other = shards().nth(1).unwrap();
    ///     assert_eq!(spawn_on(other, || "from there").join().unwrap(), "from there");
    ///     let lost = spawn_on(other, || panic!("far away")).join();
    ///     assert_eq!(lost.unwrap_err().message(), Some("far away"));
    /// }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The coroutine's panic; that it was killed, or never began because its runtime has ended; that the caller unwinds and
    /// would have to wait.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait.
    pub fn join(self) -> Result<T, JoinError> {
        self.wait(None).map_err(|_| JoinError::Unwinding)?;
        self.take()
    }

    /// Waits at most `limit`; gives the handle back when the end has not come.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Runtime, shards, sleep, spawn_on};
    /// let runtime = Runtime::builder().shards(2).simulated(1).build().unwrap();
    /// runtime.run(|| {
    ///     let slow = spawn_on(shards().nth(1).unwrap(), || sleep(Duration::from_secs(5)));
    ///     let slow = slow.join_timeout(Duration::from_secs(1)).unwrap_err(); // not yet
    ///     assert!(slow.join_timeout(Duration::from_secs(5)).is_ok());
    /// }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The handle, to try again: the time was over, or the caller unwinds.
    ///
    /// # Panics
    /// As [`RemoteJoinHandle::join`].
    pub fn join_timeout(self, limit: Duration) -> Result<Result<T, JoinError>, RemoteJoinHandle<T>> {
        match self.wait(time::deadline_in(limit)) {
            Ok(()) => Ok(self.take()),
            Err(_) => Err(self),
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> Result<(), WaitError> {
        while !self.is_finished() {
            let parker = Parker::arm().map_err(|Unwinding| WaitError::Unwinding)?;
            let mut state = lock(&self.state);
            match &mut state.outcome {
                Outcome::Pending(waiter) => *waiter = Some(parker.remote()),
                _ => return Ok(()),
            }
            drop(state);
            parker.park(Wait::Call(self.shard.0), deadline)?;
        }
        Ok(())
    }

    fn take(self) -> Result<T, JoinError> {
        match std::mem::replace(&mut lock(&self.state).outcome, Outcome::Taken) {
            Outcome::Done(result) => result,
            Outcome::Pending(_) | Outcome::Taken => {
                unreachable!("`wait` saw the outcome, and `take` consumes the handle")
            }
        }
    }

    /// Ends the coroutine at its next wait, as [`JoinHandle::kill`] does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{JoinError, Runtime, shards, sleep, spawn_on};
    /// let runtime = Runtime::builder().shards(2).simulated(1).build().unwrap();
    /// runtime.run(|| {
    ///     let endless = spawn_on(shards().nth(1).unwrap(), || sleep(Duration::MAX));
    ///     endless.kill(); // from here
    ///     assert!(matches!(endless.join(), Err(JoinError::Killed)));
    /// }).unwrap();
    /// ```
    pub fn kill(&self) {
        let mut state = lock(&self.state);
        state.killed = true;
        if let Some(kill) = state.kill.clone() {
            drop(state);
            self.inbox.post(Mail::Run(Box::new(move || kill.strike())));
        }
    }

    /// Whether the coroutine has ended.
    pub fn is_finished(&self) -> bool {
        !matches!(lock(&self.state).outcome, Outcome::Pending(_))
    }
}

impl<T> fmt::Debug for RemoteJoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteJoinHandle").field("shard", &self.shard).finish()
    }
}

/// Runs `f` on `shard` and waits for its value. If the caller is killed or timed out meanwhile, `f` goes on.
///
/// ```
/// let runtime = leveret_runtime::Runtime::builder().shards(2).build().unwrap();
/// runtime.run(|| {
///     let other = leveret_runtime::shards().nth(1).unwrap();
///     assert_eq!(leveret_runtime::call(other, leveret_runtime::shard_id).unwrap(), other);
/// }).unwrap();
/// ```
///
/// # Errors
/// As [`RemoteJoinHandle::join`].
///
/// # Panics
/// Outside of a coroutine.
#[track_caller]
pub fn call<T: Send + 'static>(shard: ShardId, f: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    spawn_on(shard, f).join()
}

/// Runs `f` on `shard` without waiting and without a coroutine of its own: on the scheduler's stack, so it must not wait.
///
/// If the runtime ends first, `f` is dropped.
///
/// ```
/// let runtime = leveret_runtime::Runtime::builder().shards(2).build().unwrap();
/// runtime.run(|| {
///     let other = leveret_runtime::shards().nth(1).unwrap();
///     let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
///     leveret_runtime::post(other, move || sender.send(leveret_runtime::shard_id()).unwrap());
///     let mut answers = Vec::new();
///     receiver.receive_batch(&mut answers).unwrap();
///     assert_eq!(answers, [other]);
/// }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime. A panic of `f` ends the runtime: every coroutine is killed, and
/// [`Runtime::run`](crate::Runtime::run) panics.
pub fn post(shard: ShardId, f: impl FnOnce() + Send + 'static) {
    let inbox = current::with(|current| current.shared.inboxes[shard.index()].clone());
    inbox.post(Mail::Run(Box::new(f)));
}
