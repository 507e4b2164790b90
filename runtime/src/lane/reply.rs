//! A one-time answer across threads.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::coroutine::park::Parker;
use crate::coroutine::task::Wait;
use crate::mailbox::RemoteWaiter;

enum State<T> {
    Pending(Option<RemoteWaiter>),
    Given(T),
    /// Taken, or never to come.
    Over,
}

/// Where the answer is given, on any thread.
///
/// ```
/// use leveret_runtime::lane::reply;
/// # leveret_runtime::run(|| {
/// let (reply, answer) = reply();
/// std::thread::spawn(move || reply.send(6 * 7)); // from any thread
/// assert_eq!(answer.wait(), Ok(42));
/// # }).unwrap();
/// ```
pub struct Reply<T>(Arc<Mutex<State<T>>>);

/// Where the answer is waited for, in a coroutine.
///
/// ```
/// use leveret_runtime::{lane::{NoReply, Reply, reply}, spawn};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (question, answer): (Reply<u32>, _) = reply();
/// let _ = spawn(move || drop(question)); // forgotten
/// assert_eq!(answer.wait(), Err(NoReply));
/// # }).unwrap();
/// ```
#[must_use = "an answer that nobody waits for is lost"]
pub struct Answer<T>(Arc<Mutex<State<T>>>);

/// The [`Reply`] was dropped without an answer: its lane has ended, by a panic or with its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoReply;

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("whoever was to answer has ended without doing so")
    }
}

impl std::error::Error for NoReply {}

/// A reply and its answer: the one goes with a job, the other is waited for.
///
/// ```
/// use leveret_runtime::lane::{Lane, Reply, reply};
/// # leveret_runtime::run(|| {
/// let adder = Lane::start("adder", |jobs: &mut std::collections::VecDeque<(u32, u32, Reply<u32>)>| {
///     jobs.drain(..).for_each(|(a, b, reply)| reply.send(a + b));
/// })
/// .unwrap();
/// let (reply, answer) = reply();
/// adder.send((1, 2, reply)).ok().unwrap();
/// assert_eq!(answer.wait(), Ok(3));
/// # }).unwrap();
/// ```
pub fn reply<T: Send>() -> (Reply<T>, Answer<T>) {
    let state = Arc::new(Mutex::new(State::Pending(None)));
    (Reply(state.clone()), Answer(state))
}

impl<T> Reply<T> {
    /// Gives the answer. If nobody waits for it any more, it is dropped.
    pub fn send(self, value: T) {
        settle(&self.0, State::Given(value));
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        settle(&self.0, State::Over);
    }
}

impl<T> Answer<T> {
    /// Waits for the answer. A kill or an expired timeout strikes here, and the answer is lost.
    ///
    /// # Errors
    /// [`NoReply`], if there will be none; also in a destructor while the stack unwinds, where nothing may wait.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn wait(self) -> Result<T, NoReply> {
        loop {
            let parker = Parker::arm().map_err(|_| NoReply)?;
            let mut state = lock(&self.0);
            match std::mem::replace(&mut *state, State::Over) {
                State::Given(value) => return Ok(value),
                State::Over => return Err(NoReply),
                State::Pending(_) => *state = State::Pending(Some(parker.remote())),
            }
            drop(state);
            parker.park(Wait::Mail, None).map_err(|_| NoReply)?;
        }
    }
}

/// The first outcome counts.
fn settle<T>(place: &Mutex<State<T>>, outcome: State<T>) {
    let mut state = lock(place);
    if let State::Pending(waiter) = &mut *state {
        let waiter = waiter.take();
        *state = outcome;
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

fn lock<T>(place: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}

impl<T> fmt::Debug for Answer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answer")
    }
}
