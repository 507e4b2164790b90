//! Seeing where a suspended coroutine stands: its frames, and how much of its stack it uses.
//!
//! Nobody but the coroutine itself can walk its frames without frame pointers or an unwinder of our own. So whoever wants to
//! know resumes it with a cause that ends no wait ([`Cause::Inspected`]); at the innermost place of every wait it
//! captures a backtrace, leaves it in a thread-local, and suspends again. Its wait, its ticket and its place in every line
//! stay as they are. The capture runs on a stack of its own, since the coroutine may have little of its stack left; the
//! frames are linked all the same.
//!
//! A backtrace is captured without names, which takes microseconds. Finding the names takes far longer, and is left to
//! whoever prints it, on another thread if need be.

use std::backtrace::Backtrace;
use std::cell::Cell;
use std::time::Instant;

use super::nest::take_stack;
use super::task::{Cause, State, Task};
use crate::diagnostics::CoroutineInfo;
use crate::shard::ShardId;
use crate::sys::memory::lowest_resident;
use crate::sys::overflow::stack_around;

/// Usable bytes of the stack for a capture. The first one of a process also opens libraries.
const CAPTURE_STACK: usize = 256 * 1024;

thread_local! {
    /// The answer of the coroutine that was asked last.
    static ANSWER: Cell<Option<Backtrace>> = const { Cell::new(None) };
}

/// How much of a stack is used, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) used: usize,
    pub(crate) size: usize,
}

/// A coroutine seen from outside. It may be sent to another thread.
#[derive(Debug)]
pub(crate) struct Inspection {
    pub(crate) info: CoroutineInfo,
    /// To whole pages; of those who had the same stack before it, too.
    pub(crate) depth: Option<Depth>,
    /// Where it stands; `None` if it is running, never ran, or was not to be asked.
    pub(crate) backtrace: Option<Backtrace>,
}

impl Inspection {
    pub(crate) fn of(shard: ShardId, task: &Task, now: Instant, backtrace: bool) -> Inspection {
        let backtrace = if backtrace { capture(task) } else { None };
        Inspection { info: CoroutineInfo::of(shard, task, now), depth: depth(task), backtrace }
    }
}

/// How much of its stack a coroutine has used.
fn depth(task: &Task) -> Option<Depth> {
    let at_its_root = task.yielder.get().addr();
    let stack = if task.state.get() == State::Done { None } else { stack_around(at_its_root) }?;
    Some(Depth { used: stack.end - lowest_resident(stack.clone()), size: stack.len() })
}

/// Has a suspended coroutine say where it stands.
fn capture(task: &Task) -> Option<Backtrace> {
    if task.yielder.get().is_null() || task.state.get() == State::Running {
        return None; // resuming would start it; or it runs already
    }
    // SAFETY: it does not run, so `current::resume` has no reference; and what it does when it is resumed here, `answer`,
    // resumes nobody.
    let machine = unsafe { task.machine.reach() }.as_mut()?;
    let cause = task.cause.replace(Cause::Inspected);
    machine.resume(());
    task.cause.set(cause);
    ANSWER.take()
}

/// The coroutine's side: called at the innermost place of a wait.
#[cold]
pub(super) fn answer() {
    let captured = take_stack(Some(CAPTURE_STACK)).map(|stack| corosensei::on_stack(stack, Backtrace::force_capture));
    ANSWER.set(captured.ok());
}
