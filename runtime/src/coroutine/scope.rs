//! Structured concurrency: coroutines that may borrow from their spawner, all ended before the scope returns.
//!
//! The shape is `std::thread::scope`'s, for its reasons: the scope is a closure, so that nothing can be forgotten; the
//! children are owned by the runtime; and the function returns (or unwinds) only after every child has ended.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::rc::Rc;

use super::join::{JoinError, JoinHandle};
use super::park::{self, Parker, WaitQueue};
use super::task::{Name, State, Task, Wait};
use super::{current, spawn_on_shard};

#[derive(Default)]
struct Children {
    alive: Cell<usize>,
    tasks: RefCell<Vec<Rc<Task>>>,
    ended: WaitQueue,
    /// Children that panicked and were not joined.
    panicked: Cell<usize>,
}

/// Spawns coroutines that borrow from outside of [`scope`].
///
/// ```
/// use std::cell::Cell;
/// use leveret_runtime::{Scope, scope};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// fn count_all<'scope>(scope: &'scope Scope<'scope, '_>, words: &'scope [&str], total: &'scope Cell<usize>) {
///     for word in words { // a function may spawn into its caller's scope
///         scope.spawn(move || total.set(total.get() + word.len()));
///     }
/// }
/// let (words, total) = (["ack", "nack"], Cell::new(0));
/// scope(|scope| count_all(scope, &words, &total));
/// assert_eq!(total.get(), 7);
/// # }).unwrap();
/// ```
pub struct Scope<'scope, 'env: 'scope> {
    children: Rc<Children>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// The result of a coroutine spawned in a [`Scope`].
///
/// ```
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let text = String::from("settled");
/// let length = leveret_runtime::scope(|scope| {
///     let handle = scope.spawn(|| text.len()); // borrows
///     handle.join().unwrap()
/// });
/// assert_eq!(length, 7);
/// # }).unwrap();
/// ```
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<()>,
    value: Rc<RefCell<Option<T>>>,
    children: Rc<Children>,
    scope: PhantomData<&'scope ()>,
}

/// Runs `f`, in which coroutines that borrow local variables may be spawned; returns when all of them have ended.
///
/// If `f` panics, or the scope is killed or timed out (in `f`, or while it waits for the children), the children are killed
/// and unwind first.
///
/// ```
/// # leveret_runtime::run(|| {
/// let words = vec!["ack", "nack"];
/// let lengths: Vec<usize> = leveret_runtime::scope(|scope| {
///     let handles: Vec<_> = words.iter().map(|word| scope.spawn(move || word.len())).collect();
///     handles.into_iter().map(|handle| handle.join().unwrap()).collect()
/// });
/// assert_eq!(lengths, [3, 4]);
/// # }).unwrap();
/// ```
///
/// # Panics
/// With the panic of `f`; if a child panicked that was not joined; outside of a coroutine.
pub fn scope<'env, T>(f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T) -> T {
    current::with(|shard| _ = current::task(shard)); // elsewhere nothing could wait for the children
    let scope = Scope { children: Rc::default(), scope: PhantomData, env: PhantomData };
    let children = &scope.children;
    let result = catch_unwind(AssertUnwindSafe(|| {
        let value = f(&scope);
        children.wait_interruptibly();
        value
    }));
    if result.is_err() {
        children.kill();
    }
    children.wait();
    match result {
        Ok(value) => {
            assert!(children.panicked.get() == 0, "a coroutine of this scope panicked");
            value
        }
        Err(payload) => resume_unwind(payload),
    }
}

impl Children {
    fn kill(&self) {
        self.tasks.borrow().iter().for_each(park::kill);
    }

    /// Waits for all of them; unwinds if that is cut short.
    fn wait_interruptibly(&self) {
        while self.alive.get() > 0 {
            let Ok(parker) = Parker::arm() else { return };
            let _listed = self.ended.list(&parker);
            let woken = parker.park(Wait::Scope, None);
            debug_assert!(woken.is_ok(), "there is no deadline, and arm has checked for unwinding");
        }
    }

    /// Waits for all of them whatever happens: their stacks borrow from ours.
    fn wait(&self) {
        while self.alive.get() > 0 {
            if current::try_task().is_none() {
                self.abandon(); // inside a generator that a hook drops
            }
            let Ok(parker) = Parker::arm_shielded() else { self.abandon() };
            let _listed = self.ended.list(&parker);
            parker.park_shielded(Wait::Scope);
        }
    }

    /// A scope that cannot wait (in a destructor of an unwinding stack, outside of a coroutine) must not return either.
    fn abandon(&self) -> ! {
        eprintln!("leveret-runtime: a scope with live coroutines ends where nothing can wait for them; aborting");
        std::process::abort();
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a coroutine on the current shard that ends before the scope does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{scope, sleep, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (start, mut log) = (time::now(), Vec::new());
    /// scope(|scope| {
    ///     scope.spawn(|| { sleep(Duration::from_secs(2)); log.push("child") });
    /// }); // not joined, and waited for all the same
    /// log.push("after");
    /// assert_eq!((log, time::now() - start), (vec!["child", "after"], Duration::from_secs(2)));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// When the kernel gives no memory for a stack.
    #[track_caller]
    pub fn spawn<T: 'scope>(&'scope self, f: impl FnOnce() -> T + 'scope) -> ScopedJoinHandle<'scope, T> {
        let name = Name::Place(Location::caller());
        let value = Rc::new(RefCell::new(None));
        let body = Body { f, value: value.clone(), child: Child::new(&self.children) };
        let body: Box<dyn FnOnce() + 'scope> = Box::new(move || body.run());
        // SAFETY: only the lifetime changes. The body, and all it captures, is gone before 'scope ends: `scope` does not
        // return or unwind while a child is alive (`Children::wait` ignores kills and deadlines, and aborts where it
        // cannot wait), and a child counts as alive until its captures are dropped (`Body::child` is dropped last).
        let body: Box<dyn FnOnce() + 'static> = unsafe { std::mem::transmute(body) };
        let spawned = current::with(|shard| spawn_on_shard(shard, name, None, body));
        let handle = spawned.unwrap_or_else(|error| panic!("no stack for a coroutine: {error}"));
        self.children.adopt(handle.task());
        ScopedJoinHandle { handle, value, children: self.children.clone(), scope: PhantomData }
    }
}

impl Children {
    fn adopt(&self, task: &Rc<Task>) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| task.state.get() != State::Done);
        }
        tasks.push(task.clone());
    }
}

/// What a child runs. Dropped in the order of the fields, run or not: `child`, which lets the scope end, goes last.
struct Body<F, T> {
    f: F,
    value: Rc<RefCell<Option<T>>>,
    child: Child,
}

impl<F: FnOnce() -> T, T> Body<F, T> {
    fn run(self) {
        let Body { f, value, child } = self;
        let result = catch_unwind(AssertUnwindSafe(f));
        match result {
            Ok(result) => *value.borrow_mut() = Some(result),
            Err(payload) => {
                child.note_panic(payload.as_ref());
                drop(value);
                drop(child);
                resume_unwind(payload);
            }
        }
        drop(value);
        drop(child);
    }
}

/// Counts a child as alive.
struct Child(Rc<Children>);

impl Child {
    fn new(children: &Rc<Children>) -> Child {
        children.alive.set(children.alive.get() + 1);
        Child(children.clone())
    }

    fn note_panic(&self, payload: &(dyn Any + Send)) {
        if !payload.is::<park::Killed>() {
            self.0.panicked.set(self.0.panicked.get() + 1);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
        if self.0.alive.get() == 0 {
            self.0.ended.wake_all();
        }
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the end and gives the value. If the caller is killed or timed out meanwhile, so is its scope.
    ///
    /// ```
    /// use leveret_runtime::scope;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let outcome = scope(|scope| {
    ///     let child = scope.spawn(|| -> u32 { panic!("not today") });
    ///     child.join().map_err(|error| error.message().unwrap_or_default().to_string())
    /// }); // joined, so the panic does not go on in the scope
    /// assert_eq!(outcome, Err("not today".to_string()));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The child's panic; that it was killed; that the caller unwinds and would have to wait.
    pub fn join(self) -> Result<T, JoinError> {
        if let Err(error) = self.handle.join() {
            if matches!(error, JoinError::Panicked(_)) {
                self.children.panicked.set(self.children.panicked.get() - 1);
            }
            return Err(error);
        }
        Ok(self.value.borrow_mut().take().expect("a child that returned has stored its value"))
    }

    pub(crate) fn task(&self) -> &Rc<Task> {
        self.handle.task()
    }

    /// Ends the child at its next wait, as [`JoinHandle::kill`](crate::JoinHandle::kill) does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{JoinError, scope, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// scope(|scope| {
    ///     let heartbeat = scope.spawn(|| loop { sleep(Duration::from_secs(1)) });
    ///     sleep(Duration::from_secs(10)); // the work
    ///     heartbeat.kill(); // or the scope would never end
    ///     assert!(matches!(heartbeat.join(), Err(JoinError::Killed)));
    /// });
    /// # }).unwrap();
    /// ```
    pub fn kill(&self) {
        self.handle.kill();
    }

    /// Whether the child has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}
