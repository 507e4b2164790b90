//! Waiting: the one place where a coroutine leaves the processor, and where kill and timeout reach it.
//!
//! A blocking call arms a ticket ([`Parker::arm`]), leaves a [`Waiter`] with whoever will wake it, and parks. A wake-up
//! that was granted is never lost: if a kill or a deadline comes after it, the call still succeeds and the interruption
//! strikes at the next wait.
//!
//! Interruptions unwind: `kill` and `timeout` raise a payload of the runtime's own at the wait, destructors run, and the
//! root (or the `timeout` block) catches it. While a stack unwinds nothing may park, since `std::thread::panicking()`
//! would then be true for every other coroutine on the thread; [`Parker::arm`] fails at once instead.

use std::cell::RefCell;
use std::fmt;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Instant;

use super::current::{self, Running};
use super::lineup::Lineup;
use super::task::{Cause, State, Task, Wait};
use crate::mailbox::RemoteWaiter;
use crate::shard::Shard;

/// How often a kill, or the end of a `timeout`, is thrown again at a coroutine that catches it before the process is aborted.
pub(crate) const RETHROWS_MAX: u8 = 100;

/// Payload that unwinds a killed coroutine.
#[derive(Debug)]
pub(crate) struct Killed;

/// Payload that unwinds to the `timeout` block of this number.
#[derive(Debug)]
pub(crate) struct Expired(pub(crate) u64);

/// A blocking call was made by a destructor while its stack unwinds; it failed instead of parking.
///
/// ```
/// use leveret_runtime::{Unwinding, mailbox, spawn};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// struct Farewell(mailbox::channel::Receiver<u32>);
/// impl Drop for Farewell {
///     fn drop(&mut self) {
///         assert_eq!(self.0.receive_batch(&mut Vec::new()), Err(Unwinding)); // at once, instead of waiting
///     }
/// }
/// let (_sender, receiver) = mailbox::channel::channel();
/// let farewell = Farewell(receiver);
/// assert!(spawn(move || { let _farewell = farewell; panic!("ends") }).join().is_err());
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwinding;

impl fmt::Display for Unwinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a blocking call was made while its coroutine unwinds (by a destructor); use a call that does not wait there")
    }
}

impl std::error::Error for Unwinding {}

impl From<Unwinding> for std::io::Error {
    fn from(unwinding: Unwinding) -> Self {
        std::io::Error::other(unwinding)
    }
}

/// Why a wait did not end as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitError {
    TimedOut,
    Unwinding,
}

impl From<WaitError> for std::io::Error {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::TimedOut => std::io::ErrorKind::TimedOut.into(),
            WaitError::Unwinding => Unwinding.into(),
        }
    }
}

/// The armed wake-up of the running coroutine.
#[must_use = "an armed ticket is for parking"]
pub(crate) struct Parker {
    task: Running,
    ticket: u64,
}

/// What is left with whoever wakes the coroutine; wakes it once.
#[derive(Clone)]
pub(crate) struct Waiter {
    task: Rc<Task>,
    ticket: u64,
    /// Tells a coroutine that waits for several things at once which of them woke it.
    tag: u32,
}

impl Parker {
    /// Arms a ticket. Unwinds if the coroutine was killed or a `timeout` around it is over; fails while unwinding.
    #[inline]
    pub(crate) fn arm() -> Result<Parker, Unwinding> {
        Parker::arm_on(&current::here())
    }

    /// [`Parker::arm`] for callers that have the shard at hand.
    #[inline(always)] // the hot path of a transfer that waits
    pub(crate) fn arm_on(shard: &Shard) -> Result<Parker, Unwinding> {
        let task = current::task(shard);
        if std::thread::panicking() {
            return Err(Unwinding);
        }
        interrupt(shard, &task);
        Ok(Parker::armed(shard, task))
    }

    /// Arms a ticket whatever may be pending; for waits that keep memory sound.
    pub(crate) fn arm_shielded() -> Result<Parker, Unwinding> {
        current::with(|shard| {
            if std::thread::panicking() {
                return Err(Unwinding);
            }
            Ok(Parker::armed(shard, current::task(shard)))
        })
    }

    #[inline]
    fn armed(shard: &Shard, task: Running) -> Parker {
        let ticket = shard.next_ticket();
        task.ticket.set(ticket);
        Parker { task, ticket }
    }

    /// The wake-up, for a holder on the same shard.
    #[inline]
    pub(crate) fn waiter(&self) -> Waiter {
        self.tagged(0)
    }

    /// The wake-up, for one of several holders on the same shard; [`Parker::park_tagged`] tells which of them used it.
    #[inline]
    pub(crate) fn tagged(&self, tag: u32) -> Waiter {
        Waiter { task: self.task.share(), ticket: self.ticket, tag }
    }

    /// The wake-up, for another thread.
    pub(crate) fn remote(&self) -> RemoteWaiter {
        current::with(|shard| RemoteWaiter::new(shard.inbox.clone(), self.task.key.get(), self.ticket))
    }

    /// The number that names this wait in a [`WaitQueue`].
    #[inline]
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }

    /// Waits for the wake-up or for `deadline`. Unwinds when killed or when a `timeout` block around it ends first.
    #[inline]
    pub(crate) fn park(self, wait: Wait, deadline: Option<Instant>) -> Result<(), WaitError> {
        self.park_on(&current::here(), wait, deadline)
    }

    /// [`Parker::park`] for callers that have the shard at hand.
    #[inline(always)] // the hot path of a transfer that waits
    pub(crate) fn park_on(self, shard: &Shard, wait: Wait, deadline: Option<Instant>) -> Result<(), WaitError> {
        let cause = self.suspend(shard, wait, deadline);
        if cause == Cause::Notified {
            return Ok(());
        }
        self.failed(shard, cause)
    }

    #[cold]
    fn failed(self, shard: &Shard, cause: Cause) -> Result<(), WaitError> {
        match cause {
            Cause::Notified => Ok(()),
            Cause::TimedOut => {
                interrupt(shard, &self.task);
                Err(WaitError::TimedOut)
            }
            Cause::Killed => {
                interrupt(shard, &self.task);
                unreachable!("a killed coroutine unwinds at its wait")
            }
            Cause::Inspected => unreachable!("`suspend` returns only when the wait is over"),
        }
    }

    /// As [`Parker::park`]; gives the tag of the waiter that woke the coroutine.
    pub(crate) fn park_tagged(self, wait: Wait, deadline: Option<Instant>) -> Result<u32, WaitError> {
        let task = self.task;
        self.park(wait, deadline)?;
        Ok(task.tag.get())
    }

    /// Waits for the wake-up alone.
    pub(crate) fn park_shielded(self, wait: Wait) {
        current::with(|shard| {
            self.task.shielded.set(true);
            let cause = self.suspend(shard, wait, None);
            self.task.shielded.set(false);
            debug_assert_eq!(cause, Cause::Notified, "nothing else ends a shielded wait");
        });
    }

    /// Waits for `deadline`, or for ever, but ends when the coroutine is killed, and does not unwind: for what runs as if on a
    /// thread of its own. The ticket must be one of [`Parker::arm_shielded`].
    pub(crate) fn park_until_killed(self, wait: Wait, deadline: Option<Instant>) {
        if !self.task.is_killed() {
            current::with(|shard| self.suspend(shard, wait, deadline));
        }
    }

    #[inline(always)] // of `park_on` and of the waits that do not unwind
    fn suspend(&self, shard: &Shard, wait: Wait, deadline: Option<Instant>) -> Cause {
        let task = self.task;
        if task.ticket.get() != self.ticket {
            return task.cause.get(); // woken between arming and parking
        }
        let deadline = match task.is_pressed() && !task.shielded.get() {
            false => deadline,
            true => earlier(deadline, task.scope_deadline()),
        };
        match deadline {
            None => switch(shard, &task, wait),
            Some(deadline) => {
                task.timer.set(Some(shard.set_timer(deadline, task.share(), self.ticket)));
                switch(shard, &task, wait);
                if let Some(timer) = task.timer.take() {
                    shard.cancel_timer(timer);
                }
            }
        }
        task.cause.get()
    }
}

/// Leaves the processor until somebody shows the ticket.
#[inline(always)]
fn switch(shard: &Shard, task: &Task, wait: Wait) {
    shard.note_parked(task, wait);
    current::suspend(task);
    shard.note_resumed(wait);
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Unwinds if the coroutine has to.
#[inline(always)]
pub(crate) fn interrupt(shard: &Shard, task: &Task) {
    if task.is_pressed() {
        raise(shard, task);
    }
}

#[inline(never)]
fn raise(shard: &Shard, task: &Task) {
    if task.is_killed() {
        raise_kill(task);
    }
    raise_expired(shard, task);
}

fn raise_expired(shard: &Shard, task: &Task) {
    match task.expired_scope(shard.now()) {
        Some((_, times)) if times > RETHROWS_MAX => abort_swallower(task, "the end of its timeout"),
        Some((id, _)) => resume_unwind(Box::new(Expired(id))),
        None => {}
    }
}

#[cold]
fn raise_kill(task: &Task) -> ! {
    let times = task.rethrown.get();
    if times >= RETHROWS_MAX {
        abort_swallower(task, "its kill");
    }
    task.rethrown.set(times + 1);
    resume_unwind(Box::new(Killed))
}

/// It would hold the shard for ever: every wait fails at once.
#[cold]
fn abort_swallower(task: &Task, what: &str) -> ! {
    eprintln!(
        "leveret-runtime: coroutine '{}' caught {what} {RETHROWS_MAX} times and goes on waiting; aborting (do not \
         swallow panics whose payload you do not know: pass them on with resume_unwind)",
        task.name
    );
    std::process::abort();
}

impl Waiter {
    /// Makes the coroutine ready if it still waits for this. Says whether it did.
    #[inline]
    pub(crate) fn wake(&self) -> bool {
        self.wake_as(Cause::Notified)
    }

    /// As [`Waiter::wake`], for a waiter that is done with.
    #[inline(always)] // so that it stays in registers: written to memory and read again in other pieces it costs a stall
    pub(crate) fn wake_and_drop(self) -> bool {
        let task = self.task;
        if task.ticket.get() != self.ticket {
            return false;
        }
        disarm(&task, Cause::Notified, self.tag);
        if task.state.get() == State::Parked {
            current::with(|shard| shard.make_ready(task));
        }
        true
    }

    /// As [`Waiter::wake`], on the coroutine's own shard, for a waiter that is done with.
    #[inline(always)] // of every event that somebody waits for
    pub(crate) fn wake_own(self, shard: &Shard) {
        let task = self.task;
        if task.ticket.get() == self.ticket {
            disarm(&task, Cause::Notified, self.tag);
            if task.state.get() == State::Parked {
                shard.make_own_ready(task);
            }
        }
    }

    #[inline]
    fn wake_as(&self, cause: Cause) -> bool {
        let task = &self.task;
        if task.ticket.get() != self.ticket {
            return false;
        }
        disarm(task, cause, self.tag);
        if task.state.get() == State::Parked {
            current::with(|shard| shard.make_ready(task.clone()));
        }
        true
    }

    /// Ends the wait because its time is over.
    pub(crate) fn time_out(self) {
        self.wake_as(Cause::TimedOut);
    }

    /// Whether the coroutine still waits for this.
    #[inline]
    pub(crate) fn is_live(&self) -> bool {
        self.task.ticket.get() == self.ticket
    }

    /// The number of the wait that this ends.
    #[inline]
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }
}

#[inline]
fn disarm(task: &Task, cause: Cause, tag: u32) {
    task.ticket.set(0);
    task.cause.set(cause);
    task.tag.set(tag);
}

/// Wakes a coroutine because its deadline has come.
pub(crate) fn time_out(task: Rc<Task>, ticket: u64) {
    task.timer.set(None);
    Waiter { task, ticket, tag: 0 }.wake_as(Cause::TimedOut);
}

/// Wakes a coroutine by the ticket that another thread held.
pub(crate) fn wake_remote(task: Rc<Task>, ticket: u64) -> bool {
    Waiter { task, ticket, tag: 0 }.wake()
}

/// Marks a coroutine as killed and, where it may be interrupted, wakes it to unwind.
pub(crate) fn kill(task: &Rc<Task>) {
    if task.state.get() == State::Done || task.set_killed() {
        return;
    }
    let ticket = task.ticket.get();
    if task.state.get() == State::Parked && ticket != 0 && !task.shielded.get() {
        Waiter { task: task.clone(), ticket, tag: 0 }.wake_as(Cause::Killed);
    }
}

/// Coroutines that wait for the same thing, first come first served. One shard's own; never shared.
#[derive(Default)]
pub(crate) struct WaitQueue {
    waiting: RefCell<Lineup<Waiter>>,
}

impl WaitQueue {
    /// An empty queue.
    pub(crate) const fn new() -> WaitQueue {
        WaitQueue { waiting: RefCell::new(Lineup::new()) }
    }

    /// Parks the running coroutine until [`WaitQueue::wake_one`] or [`WaitQueue::wake_all`] reaches it.
    #[inline(always)] // into the call that waits, see `current::Here`
    pub(crate) fn wait(&self, wait: Wait, deadline: Option<Instant>) -> Result<(), WaitError> {
        let shard = current::here();
        let parker = Parker::arm_on(&shard).map_err(|Unwinding| WaitError::Unwinding)?;
        let _listed = self.list(&parker);
        parker.park_on(&shard, wait, deadline)
    }

    /// Puts an armed wait at the end of the queue until the answer is dropped.
    #[inline]
    pub(crate) fn list(&self, parker: &Parker) -> Listed<'_> {
        self.push(parker.waiter());
        Listed { queue: self, ticket: parker.ticket() }
    }

    /// Puts a waiter at the end of the queue; [`WaitQueue::remove`] must follow.
    #[inline]
    pub(crate) fn push(&self, waiter: Waiter) {
        self.waiting.borrow_mut().push(waiter);
    }

    /// Takes the waiter of this wait out of the queue, if it still stands there.
    #[inline]
    pub(crate) fn remove(&self, ticket: u64) {
        let removed = self.waiting.borrow_mut().remove(ticket);
        drop(removed);
    }

    /// Wakes the coroutine that has waited longest. Says whether there was one.
    #[inline]
    pub(crate) fn wake_one(&self) -> bool {
        loop {
            let Some(waiter) = self.waiting.borrow_mut().pop() else { return false };
            if waiter.wake_and_drop() {
                return true;
            }
        }
    }

    /// Wakes all of them; says how many. (Nobody runs meanwhile, so nobody joins the queue.)
    #[inline]
    pub(crate) fn wake_all(&self) -> usize {
        let mut woken = 0;
        while self.wake_one() {
            woken += 1;
        }
        woken
    }

    /// Forgets those who stand in it.
    #[inline]
    pub(super) fn clear(&mut self) {
        let waiting = self.waiting.get_mut();
        while waiting.pop().is_some() {}
    }

    /// How many coroutines still wait.
    pub(crate) fn live(&self) -> usize {
        self.waiting.borrow().iter().filter(|waiter| waiter.is_live()).count()
    }

    /// Whether nobody waits.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.live() == 0
    }
}

/// A place in a [`WaitQueue`], left when dropped (also by unwinding).
pub(crate) struct Listed<'a> {
    queue: &'a WaitQueue,
    ticket: u64,
}

impl Drop for Listed<'_> {
    #[inline]
    fn drop(&mut self) {
        self.queue.remove(self.ticket);
    }
}

/// Names a coroutine for a kill from another thread. Striking a coroutine that has ended does nothing.
#[derive(Clone)]
pub(crate) struct RemoteKill {
    key: u32,
    number: u64,
}

impl RemoteKill {
    pub(crate) fn of(task: &Task) -> RemoteKill {
        RemoteKill { key: task.key.get(), number: task.number }
    }

    /// Kills the coroutine; called on its own shard.
    pub(crate) fn strike(&self) {
        let task = current::with(|shard| shard.task(self.key));
        if let Some(task) = task.filter(|task| task.number == self.number) {
            kill(&task);
        }
    }
}
