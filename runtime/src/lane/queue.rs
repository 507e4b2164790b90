//! The jobs of a lane between those who send and the one that works, which waits as a thread or as a coroutine.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::coroutine::park::Parker;
use crate::coroutine::task::Wait;
use crate::mailbox::RemoteWaiter;

/// What the lane runs on, which is how it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Thread,
    Coroutine,
}

struct State<J> {
    jobs: VecDeque<J>,
    /// Nobody will send any more.
    closed: bool,
    /// The worker is gone.
    ended: bool,
    /// The worker is a thread that waits: std's condition makes a system call for each notice, heard or not.
    asleep: bool,
    /// The worker as a coroutine, while it waits.
    parked: Option<RemoteWaiter>,
}

pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    come: Condvar,
}

impl<J> Queue<J> {
    pub(super) fn new() -> Arc<Queue<J>> {
        let state = State { jobs: VecDeque::new(), closed: false, ended: false, asleep: false, parked: None };
        Arc::new(Queue { state: Mutex::new(state), come: Condvar::new() })
    }

    pub(super) fn push(&self, job: J) -> Result<(), J> {
        let mut state = self.lock();
        if state.ended || state.closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        self.wake(state);
        Ok(())
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Calls `work` with what there is until the queue is closed and done.
    pub(super) fn run(&self, place: Place, mut work: impl FnMut(&mut VecDeque<J>)) {
        let _ended = EndOnDrop(self);
        let mut batch = VecDeque::new();
        let mut waits = true;
        while self.take(place, &mut batch, waits) {
            let before = batch.len();
            work(&mut batch);
            waits = batch.is_empty() || batch.len() == before;
        }
    }

    /// Moves what has come into `batch`; waits for something if it is to. False when the queue is closed and nothing has come.
    fn take(&self, place: Place, batch: &mut VecDeque<J>, waits: bool) -> bool {
        loop {
            let parker = (place == Place::Coroutine)
                .then(|| Parker::arm().expect("a lane takes jobs on its root, where nothing unwinds"));
            let mut state = self.lock();
            if !state.jobs.is_empty() || !waits {
                batch.append(&mut state.jobs);
                return true;
            }
            if state.closed {
                return false;
            }
            match parker {
                None => {
                    state.asleep = true;
                    drop(self.come.wait(state).unwrap_or_else(PoisonError::into_inner));
                }
                Some(parker) => {
                    state.parked = Some(parker.remote());
                    drop(state);
                    let woken = parker.park(Wait::Mail, None);
                    debug_assert!(woken.is_ok(), "there is no deadline, and arm has checked for unwinding");
                }
            }
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State<J>>) {
        let parked = state.parked.take();
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.come.notify_one();
        }
        if let Some(coroutine) = parked {
            coroutine.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// However the worker ends, by a panic or a kill too.
struct EndOnDrop<'a, J>(&'a Queue<J>);

impl<J> Drop for EndOnDrop<'_, J> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ended = true;
        let jobs = std::mem::take(&mut state.jobs);
        drop(state);
        drop(jobs); // outside of the lock: a job may answer when it is dropped
    }
}
