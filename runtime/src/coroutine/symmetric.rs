//! Greenlets: explicit switches from any of them to any other, after Python's `greenlet`.
//!
//! ```text
//!   the one who first switches runs the others one after the other:
//!
//!   main: gr1.switch() --resume--> gr1 --"to gr2"--> main --resume--> gr2 --"to gr1"--> main --resume--> gr1 ...
//! ```
//!
//! Every stack is left for the one that started the first switch (a coroutine, or a thread), which resumes the next: two
//! switches instead of one, no stack ever runs on top of another, and control always has a way back. When a body ends,
//! its value goes to its parent's switch: the greenlet that made it, or else whoever switched from outside.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::resume_unwind;
use std::rc::{Rc, Weak};

use corosensei::{CoroutineResult, Yielder};

use super::nest::{self, Exit, Nested};
use super::park::{Expired, Killed};

/// A body that runs when it is switched to and stops when it switches away. A value goes with every switch.
///
/// ```
/// use std::rc::Rc;
/// use leveret_runtime::Greenlet;
///
/// let doubler = Greenlet::new(|mut n: u32| {
///     let main = Greenlet::outside();
///     loop {
///         n = main.switch_with(n * 2);
///     }
/// });
/// assert_eq!(doubler.switch_with(4), 8);
/// assert_eq!(doubler.switch_with(5), 10);
/// assert!(!doubler.is_finished());
/// ```
///
/// A handle is cheap to clone. When the last one goes before the end, the body unwinds. Two bodies that own each other's
/// handles keep each other alive, as any `Rc`s would.
///
/// A wait in the body parks the surrounding coroutine with all its greenlets. What kills or times that coroutine out goes
/// straight to whoever switched from outside; any other panic goes to the parent's switch.
pub struct Greenlet<T: 'static = ()> {
    to: Target<T>,
}

/// Where a switch goes.
enum Target<T: 'static> {
    Body(Rc<Core<T>>),
    /// Whoever made the first switch.
    Outside,
}

type Payload = Box<dyn Any + Send>;

/// What a switch brings: a value, or the panic of a body that ended.
type Message<T> = Result<T, Payload>;

/// What a body asks of whoever runs it: to go on there.
struct Switch<T: 'static> {
    to: Target<T>,
    value: T,
}

type Stack<T> = Nested<Message<T>, Switch<T>, T>;

struct Core<T: 'static> {
    /// `None` while it runs and after its end.
    stack: RefCell<Option<Stack<T>>>,
    stage: Cell<Stage>,
    parent: Weak<Core<T>>,
    /// Set by the body's first instructions; valid until its end.
    yielder: Cell<*const Yielder<Message<T>, Switch<T>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Suspended,
    Running,
    Ended,
}

impl<T: 'static> Greenlet<T> {
    /// A greenlet that runs `body` with the first value switched to it. Its parent is the greenlet that makes it.
    ///
    /// # Panics
    /// When the kernel gives no memory for a stack.
    pub fn new(body: impl FnOnce(T) -> T + 'static) -> Greenlet<T> {
        let parent = running().map_or_else(Weak::new, |core| Rc::downgrade(&core));
        let core = Rc::new_cyclic(|own: &Weak<Core<T>>| Core {
            stack: RefCell::new(Some(stack(own.clone(), body))),
            stage: Cell::new(Stage::New),
            parent,
            yielder: Cell::new(std::ptr::null()),
        });
        Greenlet { to: Target::Body(core) }
    }

    /// Whoever made the first switch into greenlets of this type, seen from inside of one. Seen from there itself, a
    /// switch to it returns at once.
    ///
    /// ```
    /// use leveret_runtime::Greenlet;
    /// let step = Greenlet::new(|()| Greenlet::outside().switch()); // stops half-way
    /// step.switch();
    /// assert!(!step.is_finished());
    /// step.switch();
    /// assert!(step.is_finished());
    /// ```
    pub fn outside() -> Greenlet<T> {
        Greenlet { to: Target::Outside }
    }

    /// Goes on there, with `value`; returns with the value of the next switch back here, or of a child that ends. A
    /// greenlet that has ended stands for its parent.
    ///
    /// ```
    /// use leveret_runtime::Greenlet;
    /// let adder = Greenlet::new(|a: u32| {
    ///     let b = Greenlet::outside().switch_with(0); // "the next, please"
    ///     a + b // its end goes to whoever waits outside
    /// });
    /// assert_eq!(adder.switch_with(3), 0);
    /// assert_eq!(adder.switch_with(4), 7);
    /// assert_eq!(adder.switch_with(9), 9); // ended: it stands for its parent, which is here
    /// ```
    ///
    /// # Panics
    /// While the stack unwinds; if the greenlet runs further down this stack or in another coroutine; with the panic of
    /// a child that ended by it.
    pub fn switch_with(&self, value: T) -> T {
        assert!(!std::thread::panicking(), "a greenlet cannot be switched to while a stack unwinds (in a destructor)");
        nest::check_not_ended();
        let to = self.to.resolved();
        match running::<T>() {
            Some(core) if to.is(&core) => value,
            Some(core) => {
                to.check_idle();
                core.leave(Switch { to, value })
            }
            None => run(to, value),
        }
    }

    /// Whether the body has ended.
    pub fn is_finished(&self) -> bool {
        match &self.to {
            Target::Body(core) => core.stage.get() == Stage::Ended,
            Target::Outside => false,
        }
    }
}

impl Greenlet<()> {
    /// Goes on there; see [`Greenlet::switch_with`].
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use leveret_runtime::Greenlet;
    /// let said = Rc::new(RefCell::new(Vec::new()));
    /// let (inner, outer) = (said.clone(), said.clone());
    /// let pong = Greenlet::new(move |()| inner.borrow_mut().push("pong"));
    /// let ping = Greenlet::new(move |()| {
    ///     outer.borrow_mut().push("ping");
    ///     pong.switch();
    /// });
    /// ping.switch();
    /// assert_eq!(*said.borrow(), ["ping", "pong"]);
    /// ```
    ///
    /// # Panics
    /// As [`Greenlet::switch_with`].
    pub fn switch(&self) {
        self.switch_with(());
    }
}

fn stack<T: 'static>(core: Weak<Core<T>>, body: impl FnOnce(T) -> T + 'static) -> Stack<T> {
    let inner = core.clone();
    let stack = Nested::new(None, move |exit: Exit<'_, Message<T>, Switch<T>>, first: Message<T>| {
        let core = inner.upgrade().expect("a greenlet runs while there is a handle to it: the one who runs it has one");
        core.yielder.set(exit.yielder());
        drop((core, inner));
        match first {
            Ok(value) => body(value),
            Err(payload) => resume_unwind(payload),
        }
    });
    stack.set_owner(core);
    stack
}

/// The greenlet of this type whose body is the innermost one that runs here.
fn running<T: 'static>() -> Option<Rc<Core<T>>> {
    nest::innermost_owner()?.downcast().ok()
}

/// Runs greenlets one after the other until control comes back to here.
fn run<T: 'static>(mut to: Target<T>, value: T) -> T {
    let mut message = Ok(value);
    loop {
        let Target::Body(core) = to.resolved() else { break };
        (to, message) = match core.resume(message) {
            CoroutineResult::Yield(Switch { to, value }) => (to, Ok(value)),
            CoroutineResult::Return(Err(payload)) if payload.is::<Killed>() || payload.is::<Expired>() => {
                resume_unwind(payload) // meant for the coroutine around all of them
            }
            CoroutineResult::Return(ended) => (Target::parent_of(&core), ended),
        };
    }
    message.unwrap_or_else(|payload| resume_unwind(payload))
}

impl<T: 'static> Target<T> {
    fn parent_of(core: &Core<T>) -> Target<T> {
        core.parent.upgrade().map_or(Target::Outside, Target::Body)
    }

    /// The nearest one in the line of parents that has not ended.
    fn resolved(&self) -> Target<T> {
        let mut to = self.clone();
        while let Target::Body(core) = &to
            && core.stage.get() == Stage::Ended
        {
            to = Target::parent_of(core);
        }
        to
    }

    fn is(&self, core: &Rc<Core<T>>) -> bool {
        matches!(self, Target::Body(own) if Rc::ptr_eq(own, core))
    }

    fn check_idle(&self) {
        if let Target::Body(core) = self {
            core.check_idle();
        }
    }
}

impl<T: 'static> Core<T> {
    fn check_idle(&self) {
        let idle = self.stage.get() != Stage::Running;
        assert!(idle, "this greenlet runs already: further down this stack, or in another coroutine");
    }

    fn resume(&self, message: Message<T>) -> CoroutineResult<Switch<T>, Message<T>> {
        self.check_idle();
        if self.stage.get() == Stage::New
            && let Err(payload) = message
        {
            self.stage.set(Stage::Ended); // a child's panic ends a parent that never ran
            drop(self.stack.take());
            return CoroutineResult::Return(Err(payload));
        }
        let mut stack = self.stack.take().expect("an idle greenlet has its stack");
        self.stage.set(Stage::Running);
        let result = stack.resume(message);
        match &result {
            CoroutineResult::Yield(_) => {
                self.stage.set(Stage::Suspended);
                *self.stack.borrow_mut() = Some(stack);
            }
            CoroutineResult::Return(_) => self.stage.set(Stage::Ended),
        }
        result
    }

    /// Leaves the body, which is the innermost one that runs.
    fn leave(self: Rc<Self>, switch: Switch<T>) -> T {
        let yielder = self.yielder.get();
        drop(self); // the suspended stack must not keep itself alive
        debug_assert!(!yielder.is_null(), "only a started greenlet is left");
        // SAFETY: the body stored its yielder's address when it began, and we are running in it: `running` found this
        // greenlet to be the innermost one.
        match unsafe { nest::leave_innermost(yielder, switch) } {
            Ok(value) => value,
            Err(payload) => resume_unwind(payload),
        }
    }
}

impl<T: 'static> Clone for Target<T> {
    fn clone(&self) -> Self {
        match self {
            Target::Body(core) => Target::Body(core.clone()),
            Target::Outside => Target::Outside,
        }
    }
}

impl<T: 'static> Clone for Greenlet<T> {
    fn clone(&self) -> Self {
        Greenlet { to: self.to.clone() }
    }
}

impl<T: 'static> fmt::Debug for Greenlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            Target::Body(core) => write!(f, "Greenlet({:?})", core.stage.get()),
            Target::Outside => f.write_str("Greenlet(Outside)"),
        }
    }
}

#[cfg(test)]
mod tests;
