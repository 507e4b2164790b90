//! The coroutines that are ready to run, first come first served.
//!
//! An `UnsafeCell` and not a `RefCell`: every wait pushes and pops here once, and each method is over before any other
//! code can run. It knows nothing of states or shards.

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::task::Task;

/// One shard's run queue. It is not `Sync`.
#[derive(Default)]
pub(crate) struct RunQueue {
    ready: UnsafeCell<VecDeque<Rc<Task>>>,
}

impl RunQueue {
    /// Puts a coroutine at the end.
    #[inline(always)]
    pub(crate) fn push(&self, task: Rc<Task>) {
        self.ready().push_back(task);
    }

    /// Takes the first coroutine.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Rc<Task>> {
        self.ready().pop_front()
    }

    /// Has `pick` take a coroutine out of the queue; whoever is pushed meanwhile comes last.
    pub(crate) fn choose(&self, pick: impl FnOnce(&mut VecDeque<Rc<Task>>) -> Option<Rc<Task>>) -> Option<Rc<Task>> {
        let mut queue = std::mem::take(self.ready());
        let picked = pick(&mut queue);
        queue.append(self.ready());
        *self.ready() = queue;
        picked
    }

    /// Whether nothing is ready.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ready().is_empty()
    }

    /// How many are ready.
    pub(crate) fn len(&self) -> usize {
        self.ready().len()
    }

    /// Never kept: each use is one call of the queue, which runs no code but the allocator's (what is taken out is dropped
    /// by the caller).
    #[inline(always)]
    #[allow(clippy::mut_from_ref, reason = "that is what an `UnsafeCell` is for")]
    fn ready(&self) -> &mut VecDeque<Rc<Task>> {
        // SAFETY: no other reference is alive, since every method here is done with its own before other code can run, and
        // the type is not `Sync`.
        unsafe { &mut *self.ready.get() }
    }
}
