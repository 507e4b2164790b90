//! A stack inside a stack: what generators and greenlets are made of.
//!
//! ```text
//!   scheduler -> coroutine -> nested stack -> (another nested stack)
//!                    ^ resume / suspend ^          |
//!        park <------------------------------------+   a wait inside parks the coroutine with the whole nest on it
//! ```
//!
//! The scheduler never sees a nested stack. A wait in its body saves the processor's state on whichever stack it runs
//! and leaves for the scheduler by the coroutine's own yielder, so the coroutine parks with everything that is on it;
//! a kill or a timeout unwinds the body, goes on in whoever resumed it, and so reaches the coroutine's root.
//!
//! Kept per nested stack while it is suspended: the deadlines of `timeout` blocks inside its body, which must not strike
//! its resumer. Kept per coroutine (or per thread, outside of one): which nested stack is the innermost running one, since only
//! that one may be left. A yielder used anywhere else (from a scoped coroutine that borrowed it, from a generator
//! further in) would leave the wrong stack; it panics instead.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::current;
use super::park::RETHROWS_MAX;
use super::stack::{PooledStack, StackPool};
use super::task::{DeadlineFrame, Task};
use crate::runtime::STACK_SIZE_DEFAULT;

/// A body on a stack of its own. Dropping it half-way unwinds the body.
pub(crate) struct Nested<I: 'static, Y: 'static, R: 'static> {
    machine: Coroutine<I, Y, std::thread::Result<R>, PooledStack>,
    level: Rc<Level>,
}

/// What is kept for a nested stack.
#[derive(Default)]
pub(crate) struct Level {
    /// Of `timeout` blocks inside the body, while it is suspended.
    deadlines: RefCell<Vec<DeadlineFrame>>,
    /// The body is being unwound: it was dropped.
    ending: Cell<bool>,
    rethrown: Cell<u8>,
    /// What is built on it, for finding it again from inside.
    owner: RefCell<Option<Weak<dyn Any>>>,
}

/// Unwinds a body that caught its end and suspends again.
struct Ended;

/// The right to leave a nested stack from inside its body.
pub(crate) struct Exit<'a, I, Y> {
    yielder: &'a Yielder<I, Y>,
    level: &'a Rc<Level>,
}

impl<I: 'static, Y: 'static, R: 'static> Nested<I, Y, R> {
    /// Makes a stack of `stack_size` usable bytes (or the default) for `body`, which starts when first resumed.
    ///
    /// # Panics
    /// When the kernel gives no memory for the stack.
    pub(crate) fn new(
        stack_size: Option<usize>,
        body: impl FnOnce(Exit<'_, I, Y>, I) -> R + 'static,
    ) -> Nested<I, Y, R> {
        let level = Rc::new(Level::default());
        let inner = level.clone();
        let stack = take_stack(stack_size).unwrap_or_else(|error| panic!("no stack for a generator: {error}"));
        let root = move |yielder: &Yielder<I, Y>, input: I| {
            catch_unwind(AssertUnwindSafe(|| body(Exit { yielder, level: &inner }, input)))
        };
        Nested { machine: Coroutine::with_stack(stack, root), level }
    }

    /// Remembers what is built on this stack.
    pub(crate) fn set_owner(&self, owner: Weak<dyn Any>) {
        *self.level.owner.borrow_mut() = Some(owner);
    }

    /// Runs the body until it suspends or ends. Its panic, or what kills or times it out, is the result's error.
    pub(crate) fn resume(&mut self, input: I) -> CoroutineResult<Y, std::thread::Result<R>> {
        let entered = Entered::new(&self.level);
        let result = self.machine.resume(input);
        drop(entered);
        result
    }
}

impl<I: 'static, Y: 'static, R: 'static> Drop for Nested<I, Y, R> {
    fn drop(&mut self) {
        if !self.machine.done() {
            self.level.ending.set(true);
            let _entered = Entered::new(&self.level);
            // The payload ends at the root of the body, so nothing comes out of here.
            self.machine.force_unwind();
        }
    }
}

impl<I, Y> Exit<'_, I, Y> {
    /// Leaves the stack with `value`; returns when it is resumed.
    ///
    /// # Panics
    /// While the stack unwinds, and anywhere but in the body itself.
    pub(crate) fn suspend(&self, value: Y) -> I {
        assert!(!std::thread::panicking(), "a generator cannot suspend while its stack unwinds (in a destructor)");
        let innermost = innermost(|cell| cell.borrow().as_ref().is_some_and(|level| Rc::ptr_eq(level, self.level)));
        assert!(innermost, "a yielder works only in the body of its own generator, not in one further in or elsewhere");
        if self.level.ending.get() {
            self.level.rethrow();
        }
        self.yielder.suspend(value)
    }

    /// The yielder's address, which stays valid until the body ends.
    pub(crate) fn yielder(&self) -> *const Yielder<I, Y> {
        self.yielder
    }
}

impl Level {
    #[cold]
    fn rethrow(&self) -> ! {
        let times = self.rethrown.get();
        if times >= RETHROWS_MAX {
            eprintln!(
                "leveret-runtime: a dropped generator caught its end {RETHROWS_MAX} times and goes on suspending; \
                 aborting (do not swallow panics whose payload you do not know: pass them on with resume_unwind)"
            );
            std::process::abort();
        }
        self.rethrown.set(times + 1);
        resume_unwind(Box::new(Ended))
    }
}

/// Leaves the innermost nested stack that runs here.
///
/// # Safety
/// `yielder` is that of the innermost nested stack, and its body has not ended.
pub(crate) unsafe fn leave_innermost<I, Y>(yielder: *const Yielder<I, Y>, value: Y) -> I {
    let level = innermost(|cell| cell.borrow().clone()).expect("somebody is inside of a nested stack");
    // SAFETY: the yielder lies at the root of a stack whose body has not ended, says the caller.
    let yielder = unsafe { &*yielder };
    Exit { yielder, level: &level }.suspend(value)
}

/// Unwinds on if the innermost body was dropped, caught its end and goes on.
pub(crate) fn check_not_ended() {
    if let Some(level) = innermost(|cell| cell.borrow().clone())
        && level.ending.get()
    {
        level.rethrow();
    }
}

/// What is built on the innermost nested stack that runs here.
pub(crate) fn innermost_owner() -> Option<Rc<dyn Any>> {
    innermost(|cell| cell.borrow().as_ref()?.owner.borrow().as_ref()?.upgrade())
}

/// A nested stack is the innermost one, and its deadlines count, for as long as this lives.
struct Entered<'a> {
    level: &'a Rc<Level>,
    previous: Option<Rc<Level>>,
    task: Option<Rc<Task>>,
    /// How many deadlines the coroutine had around the resume.
    outer_deadlines: usize,
}

impl<'a> Entered<'a> {
    fn new(level: &'a Rc<Level>) -> Entered<'a> {
        let task = current::try_task();
        let previous = innermost(|cell| cell.replace(Some(level.clone())));
        let mut outer_deadlines = 0;
        if let Some(task) = &task {
            outer_deadlines = task.change_deadlines(|deadlines| {
                let outer = deadlines.len();
                deadlines.append(&mut level.deadlines.borrow_mut());
                outer
            });
        }
        Entered { level, previous, task, outer_deadlines }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            let inner = task.change_deadlines(|deadlines| deadlines.split_off(self.outer_deadlines));
            self.level.deadlines.borrow_mut().extend(inner);
        }
        let previous = self.previous.take();
        drop(innermost(|cell| cell.replace(previous)));
    }
}

thread_local! {
    /// Of a thread that runs no coroutine at the moment.
    static INNERMOST: RefCell<Option<Rc<Level>>> = const { RefCell::new(None) };

    static STACKS: Rc<StackPool> = StackPool::new(STACK_SIZE_DEFAULT);
}

fn innermost<R>(f: impl FnOnce(&RefCell<Option<Rc<Level>>>) -> R) -> R {
    match current::try_task() {
        Some(task) => f(&task.innermost),
        None => INNERMOST.with(f),
    }
}

/// From the shard's pools, or outside of a runtime from one of the thread's own.
pub(crate) fn take_stack(size: Option<usize>) -> std::io::Result<PooledStack> {
    let from_shard = current::try_with(|shard| shard.stacks.take(size));
    from_shard.unwrap_or_else(|| match size {
        None => STACKS.with(|pool| pool.take()),
        Some(size) => StackPool::new(size).take(),
    })
}
