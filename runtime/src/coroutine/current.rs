//! Which shard and which coroutine this thread is running, and the switch between a coroutine and its scheduler.

use std::cell::Cell;
use std::rc::Rc;

use super::inspect;
use super::task::{Cause, Machine, Name, State, Task};
use crate::shard::Shard;

thread_local! {
    /// Null when the thread runs no shard. Constant-initialised and without destructor, so that a signal handler may read it.
    static CURRENT: Cell<*const Shard> = const { Cell::new(std::ptr::null()) };
}

/// Makes `shard` the thread's current one while `f` runs.
pub(crate) fn enter<R>(shard: &Shard, f: impl FnOnce() -> R) -> R {
    struct Restore(*const Shard);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(shard));
    f()
}

/// Runs `f` on the thread's shard, if it has one.
#[inline]
pub(crate) fn try_with<R>(f: impl FnOnce(&Shard) -> R) -> Option<R> {
    let shard = CURRENT.get();
    // SAFETY: `enter` sets the pointer from a reference and clears it before that reference ends; coroutines, which may
    // hold the reference across a switch, never outlive the shard's loop (the shard unwinds them all before it ends).
    unsafe { shard.as_ref() }.map(f)
}

/// Runs `f` on the thread's shard.
///
/// # Panics
/// Outside of a runtime.
#[inline(always)] // two instructions; as a call it would cost five times as much, several times a transfer
pub(crate) fn with<R>(f: impl FnOnce(&Shard) -> R) -> R {
    let shard = CURRENT.get();
    // SAFETY: as in `try_with`.
    match unsafe { shard.as_ref() } {
        Some(shard) => f(shard),
        None => outside(),
    }
}

/// The thread's shard, for as long as the caller runs on it: where a closure around a switch would cost. A processor
/// predicts where a function returns to by where it was called from; behind a switch that is another stack's function,
/// so each frame between a body and its switch costs a misprediction in every wait.
pub(crate) struct Here {
    shard: *const Shard,
}

impl std::ops::Deref for Here {
    type Target = Shard;

    #[inline(always)]
    fn deref(&self) -> &Shard {
        // SAFETY: as in `try_with`: `here` found it set, and whoever holds this runs on it or is suspended on it.
        unsafe { &*self.shard }
    }
}

/// The thread's shard.
///
/// # Panics
/// Outside of a runtime.
#[inline(always)]
pub(crate) fn here() -> Here {
    let shard = CURRENT.get();
    if shard.is_null() {
        outside();
    }
    Here { shard }
}

#[cold]
fn outside() -> ! {
    panic!(
        "this call works only inside a runtime: put it into the closure given to Runtime::run (or leveret_runtime::run)"
    )
}

/// The running coroutine's entry, for as long as the caller runs on it: what a wait needs, without counting a reference.
#[derive(Clone, Copy)]
pub(crate) struct Running {
    task: *const Task,
}

impl Running {
    /// A counted reference, for whoever may outlive the coroutine.
    #[inline(always)]
    pub(crate) fn share(self) -> Rc<Task> {
        // SAFETY: `resume` took the pointer from an `Rc`, and the shard's table holds one until the coroutine has ended.
        unsafe { Rc::increment_strong_count(self.task) };
        // SAFETY: as above; the count that this takes over was just added.
        unsafe { Rc::from_raw(self.task) }
    }
}

impl std::ops::Deref for Running {
    type Target = Task;

    #[inline(always)]
    fn deref(&self) -> &Task {
        // SAFETY: the shard's table holds the task until its coroutine has ended, and whoever has this runs on it, or is
        // suspended on it.
        unsafe { &*self.task }
    }
}

/// The running coroutine.
///
/// # Panics
/// When the scheduler itself runs (an end-of-turn hook), which must not wait.
#[inline(always)]
pub(crate) fn task(shard: &Shard) -> Running {
    let task = shard.current.get();
    if task.is_null() {
        no_coroutine();
    }
    Running { task }
}

/// The running coroutine, if one runs.
#[inline]
pub(super) fn try_running() -> Option<Running> {
    let task = try_with(|shard| shard.current.get())?;
    (!task.is_null()).then_some(Running { task })
}

/// As [`try_running`], counted.
#[inline]
pub(crate) fn try_task() -> Option<Rc<Task>> {
    try_running().map(Running::share)
}

#[cold]
fn no_coroutine() -> ! {
    panic!(
        "this call may wait, and only a coroutine can wait: spawn one (end-of-turn hooks and callbacks must not block)"
    )
}

/// Gives the running coroutine's name to `f`; an unnamed one is known by its file. For signal handlers: it takes no lock,
/// allocates nothing, and leaves every count of references alone, which the interrupted code may be about to change.
pub(crate) fn with_name(f: impl FnOnce(&str)) {
    let shard = CURRENT.get();
    // SAFETY: as in `try_with`.
    let current = unsafe { shard.as_ref() }.map_or(std::ptr::null(), |shard| shard.current.get());
    // SAFETY: `resume` sets the pointer from a reference and clears it before that reference ends.
    match unsafe { current.as_ref() }.map(|task| &task.name) {
        Some(Name::Given(name)) => f(name),
        Some(Name::Place(place)) => f(place.file()),
        None => f("(none)"),
    }
}

/// Leaves the running coroutine for its scheduler; returns when it is resumed.
#[inline(always)]
pub(crate) fn suspend(task: &Task) {
    let yielder = task.yielder.get();
    debug_assert!(!yielder.is_null(), "only a started coroutine suspends");
    // SAFETY: `serve` stored the pointer to the yielder at the root of this coroutine's stack, which lives as long as
    // the coroutine, and we are running on it.
    let yielder = unsafe { &*yielder };
    yielder.suspend(());
    while task.cause.get() == Cause::Inspected {
        inspect::answer();
        yielder.suspend(());
    }
}

/// Runs a coroutine until it suspends or ends; says whether it has ended. Panics never come through here: its root catches them.
///
/// # Panics
/// When a coroutine runs already.
#[inline(always)] // into the loop over the run queue
pub(crate) fn resume(shard: &Shard, task: Rc<Task>) -> bool {
    assert!(shard.current.get().is_null(), "coroutines are resumed by the scheduler only, one at a time");
    // SAFETY: the cell is reached into while its coroutine is made, which is over; by `inspect`, unless it runs; and here, by
    // its shard alone, which resumes nothing else before this function ends, as just asserted.
    let place = unsafe { task.machine.reach() };
    let Some(machine) = place.as_mut() else { return false };
    task.state.set(State::Running);
    shard.current.set(&raw const *task);
    machine.resume(());
    shard.current.set(std::ptr::null());
    let ended = task.state.get() == State::Done;
    if ended {
        end(shard, &task, place);
    }
    ended
}

#[inline(never)]
fn end(shard: &Shard, task: &Rc<Task>, place: &mut Option<Machine>) {
    match place.as_ref().is_some_and(|machine| !machine.done()) {
        true => shard.stacks.keep(place),
        false => *place = None, // and its stack is given back
    }
    shard.forget(task);
    shard.blanks.keep(task);
}

/// Has the entry of a coroutine that has ended used again, if the caller is the last who refers to it.
#[inline]
pub(super) fn recycle(task: &Rc<Task>) {
    try_with(|shard| {
        if task.home == shard.id && task.state.get() == State::Done {
            shard.blanks.keep(task);
        }
    });
}
