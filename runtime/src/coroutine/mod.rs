//! Coroutines: spawning, naming, waiting, ending.
//!
//! A coroutine starts and ends on the shard that runs it and never moves: code may keep `Rc`s, borrows and
//! thread-locals across a wait. (A started stack that another thread resumes is undefined behaviour as soon as it
//! touches a thread-local; no such call exists here.)
#![allow(unsafe_code)]

pub(crate) mod big_stack;
pub(crate) mod contain;
pub(crate) mod current;
pub(crate) mod generator;
pub(crate) mod group;
pub(crate) mod inspect;
pub(crate) mod join;
pub(crate) mod join_set;
pub(crate) mod lineup;
pub(crate) mod local;
pub(crate) mod nest;
pub(crate) mod parcel;
pub(crate) mod park;
pub(crate) mod run_queue;
pub(crate) mod scope;
pub(crate) mod stack;
pub(crate) mod stacks;
pub(crate) mod symmetric;
pub(crate) mod task;

use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use crate::shard::Shard;
use join::{JoinError, JoinHandle, outcome};
use task::{Name, State, Task, Wait};

use crate::time::{self, CENTURY};

/// Sets up a coroutine before it is spawned, in the manner of `std::thread::Builder`.
///
/// ```
/// # leveret_runtime::run(|| {
/// use leveret_runtime::{Builder, current_name};
/// let deep = Builder::new().name("deep thought").stack_size(1 << 20).spawn(current_name).unwrap();
/// assert_eq!(deep.join().unwrap(), "deep thought");
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Builder {
    name: Option<Rc<str>>,
    stack_size: Option<usize>,
}

impl Builder {
    /// A builder with the runtime's defaults.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the coroutine in dumps, logs and overflow reports. Without a name it is known by the place that spawned it.
    pub fn name(mut self, name: impl AsRef<str>) -> Builder {
        self.name = Some(name.as_ref().into());
        self
    }

    /// Usable bytes of its stack (rounded up to pages, at least 16 KiB) instead of the runtime's default.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = Some(bytes);
        self
    }

    /// Spawns `f` on the current shard.
    ///
    /// ```
    /// use leveret_runtime::Builder;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let small = Builder::new().name("small").stack_size(32 * 1024).spawn(|| 6 * 7).unwrap();
    /// assert_eq!(small.name(), "small");
    /// assert_eq!(small.join().unwrap(), 42);
    /// assert!(Builder::new().stack_size(1 << 46).spawn(|| ()).is_err()); // an error, where `spawn` would panic
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The kernel gave no memory for the stack.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<T: 'static>(self, f: impl FnOnce() -> T + 'static) -> std::io::Result<JoinHandle<T>> {
        let name = match self.name {
            Some(name) => Name::Given(name),
            None => Name::Place(Location::caller()),
        };
        current::with(|shard| spawn_on_shard(shard, name, self.stack_size, f))
    }
}

/// Spawns `f` on the current shard. It runs when the spawner next waits or yields.
///
/// ```
/// # leveret_runtime::run(|| {
/// let sum = leveret_runtime::spawn(|| 1 + 2);
/// assert_eq!(sum.join().unwrap(), 3);
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a runtime, or when the kernel gives no memory for a stack (use [`Builder::spawn`] for an error).
#[track_caller]
pub fn spawn<T: 'static>(f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let name = Name::Place(Location::caller());
    current::with(|shard| spawn_on_shard(shard, name, None, f)).unwrap_or_else(|error| no_stack(&error))
}

/// Spawns `f` on the current shard, to begin after `delay`. Killed before that, it never begins.
///
/// ```
/// use leveret_runtime::{spawn_after, time};
/// use std::time::Duration;
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// let start = time::now();
/// let began = spawn_after(Duration::from_secs(5), time::now);
/// assert_eq!(began.join().unwrap() - start, Duration::from_secs(5));
/// # }).unwrap();
/// ```
///
/// # Panics
/// As [`spawn`].
#[track_caller]
pub fn spawn_after<T: 'static>(delay: std::time::Duration, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    let name = Name::Place(Location::caller());
    let deadline = time::deadline_in(delay).unwrap_or_else(|| time::now() + CENTURY);
    let body = move || {
        time::sleep_until(deadline);
        f()
    };
    current::with(|shard| spawn_on_shard(shard, name, None, body)).unwrap_or_else(|error| no_stack(&error))
}

#[cold]
#[track_caller]
fn no_stack(error: &std::io::Error) -> ! {
    panic!("no stack for a coroutine: {error}")
}

#[inline]
pub(crate) fn spawn_on_shard<T: 'static, F: FnOnce() -> T + 'static>(
    shard: &Shard,
    name: Name,
    stack_size: Option<usize>,
    f: F,
) -> std::io::Result<JoinHandle<T>> {
    let task = shard.new_task(name, stack_size.is_none());
    task.load(&shard.stacks, stack_size, begin::<T, F>, f)?;
    shard.adopt(&task);
    // SAFETY: `begin::<T, F>` leaves that in the parcel, and this is the only handle.
    Ok(unsafe { JoinHandle::new(task) })
}

/// A coroutine from its first to its last function of its own. It is the outermost frame of a backtrace.
fn begin<T, F: FnOnce() -> T>(task: &Task) {
    // SAFETY: `spawn_on_shard` has put an `F` there, and only this takes it.
    let body = unsafe { task.parcel.take::<F>() }.expect("a coroutine has a body until it begins");
    let result = match task.is_killed() {
        true => outcome(catch_unwind(AssertUnwindSafe(|| drop(body)))).and(Err(JoinError::Killed)),
        false => outcome(catch_unwind(AssertUnwindSafe(body))),
    };
    local::drop_all(task);
    end(task, result);
}

/// Leaves the outcome to the handle. If nobody has it any more, the value is dropped here, and a panic is logged with the
/// coroutine's name.
fn end<T>(task: &Task, result: Result<T, JoinError>) {
    if task.ending.is_joinable() {
        task.parcel.put(result);
        return task.ending.tell();
    }
    if let Err(error @ JoinError::Panicked(_)) = &result {
        contain::quietly(|| log::error!("coroutine '{}': {error}", task.name));
    }
    task.ending.tell();
    drop_foreign(task, "its value", result);
    local::drop_all(task); // those that the value's destructor made: the entry is another coroutine's next
}

/// Drops what the coroutine leaves: the panic of a destructor must not get out into the scheduler.
fn drop_foreign<V>(task: &Task, what: &str, value: V) {
    let name = &task.name;
    contain::contain(|| drop(value), |text| log::error!("coroutine '{name}': dropping {what} panicked: {text}"));
}

/// Lets every other ready coroutine of the shard run first.
///
/// A kill or an expired `timeout` strikes here, as at any wait. Does nothing while the stack unwinds.
///
/// ```
/// # leveret_runtime::run(|| {
/// use leveret_runtime::{spawn, yield_now};
/// let other = spawn(|| ());
/// assert!(!other.is_finished());
/// yield_now();
/// assert!(other.is_finished());
/// # }).unwrap();
/// ```
#[inline(always)]
pub fn yield_now() {
    if std::thread::panicking() {
        return;
    }
    let shard = current::here();
    let task = current::task(&shard);
    park::interrupt(&shard, &task);
    task.state.set(State::Ready);
    task.wait.set(Wait::Turn);
    shard.enqueue(task.share());
    current::suspend(&task);
}

/// Ends the turn: every other ready coroutine runs first, then what was collected during the turn is handed on
/// ([`on_turn_end`](crate::on_turn_end)) and the kernel is asked for news. For whoever has more work than a turn should have.
///
/// A kill or an expired `timeout` strikes here, as at any wait. Does nothing while the stack unwinds.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// # leveret_runtime::run(|| {
/// let (turns, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
/// let count = turns.clone();
/// leveret_runtime::on_turn_end(move || count.set(count.get() + 1));
/// for _ in 0..10 {
///     leveret_runtime::next_turn();
///     assert!(turns.get() > seen.replace(turns.get()));
/// }
/// # }).unwrap();
/// ```
pub fn next_turn() {
    if !std::thread::panicking() {
        current::here().end_turn_soon();
        yield_now();
    }
}

/// The name of the running coroutine, or the place that spawned it.
///
/// ```
/// # leveret_runtime::run(|| {
/// assert_eq!(leveret_runtime::current_name(), "main");
/// # }).unwrap();
/// ```
///
/// # Panics
/// Outside of a coroutine.
pub fn current_name() -> String {
    current::with(|shard| current::task(shard).name.to_string())
}
