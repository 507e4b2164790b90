//! Values that each coroutine has one of, as threads have thread-locals.
//!
//! A value is made when its coroutine first asks for it and dropped when the coroutine ends, on its own stack. It belongs to
//! the coroutine, not to the generators inside of it, and is not inherited by those that it spawns. For what a function can
//! be given as an argument, an argument is better.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::current;
use super::task::Task;

/// Rounds of dropping values whose destructors make new ones, after which the rest is leaked.
const DROP_ROUNDS_MAX: usize = 5;

/// The values of one coroutine, by the address of their key, which is a `static`.
pub(crate) type Locals = BTreeMap<usize, Rc<dyn Any>>;

/// Declares values that each coroutine has one of, in the shape of `std::thread_local!`. See [`CoroutineLocal`].
///
/// ```
/// use std::cell::Cell;
/// use leveret_runtime::{coroutine_local, spawn};
///
/// coroutine_local! {
///     /// Requests that this coroutine has served.
///     static SERVED: Cell<u32> = Cell::new(0);
/// }
///
/// # leveret_runtime::run(|| {
/// let serve = || {
///     SERVED.with(|served| served.set(served.get() + 1));
///     SERVED.get()
/// };
/// assert_eq!((serve(), serve()), (1, 2));
/// assert_eq!(spawn(serve).join().unwrap(), 1);
/// # }).unwrap();
/// ```
#[macro_export]
macro_rules! coroutine_local {
    () => {};
    ($(#[$attribute:meta])* $visibility:vis static $NAME:ident : $T:ty = $init:expr; $($rest:tt)*) => {
        $crate::coroutine_local!($(#[$attribute])* $visibility static $NAME: $T = $init);
        $crate::coroutine_local!($($rest)*);
    };
    ($(#[$attribute:meta])* $visibility:vis static $NAME:ident : $T:ty = $init:expr) => {
        $(#[$attribute])*
        $visibility static $NAME: $crate::CoroutineLocal<$T> = {
            fn init() -> $T {
                $init
            }
            $crate::CoroutineLocal::new(init)
        };
    };
}

/// A key to values of which each coroutine has one; declared by [`coroutine_local!`](crate::coroutine_local!).
///
/// Destructors run when the coroutine ends, also by a kill or a panic, before whoever joins it goes on.
///
/// ```
/// use std::cell::Cell;
/// use leveret_runtime::{coroutine_local, spawn};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// coroutine_local! { static REQUEST: Cell<u64> = Cell::new(0); }
/// REQUEST.set(7);
/// assert_eq!(spawn(|| REQUEST.get()).join().unwrap(), 0); // not inherited
/// assert_eq!(REQUEST.get(), 7);
/// # }).unwrap();
/// ```
pub struct CoroutineLocal<T: 'static> {
    init: fn() -> T,
}

/// There is no coroutine here that could have a value.
///
/// ```
/// use std::cell::Cell;
/// leveret_runtime::coroutine_local! { static DEPTH: Cell<u32> = Cell::new(0); }
/// assert!(DEPTH.try_with(Cell::get).is_err()); // a plain thread
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCoroutine;

impl fmt::Display for NoCoroutine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a coroutine-local value was asked for outside of a coroutine")
    }
}

impl std::error::Error for NoCoroutine {}

impl<T: 'static> CoroutineLocal<T> {
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> CoroutineLocal<T> {
        CoroutineLocal { init }
    }

    /// Calls `f` with the running coroutine's value, made now if this is the first time. `f` may wait.
    ///
    /// ```
    /// use leveret_runtime::coroutine_local;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// coroutine_local! { static NAME: String = leveret_runtime::current_name(); }
    /// assert_eq!(NAME.with(|name| name.len()), 4); // made now, for "main"
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.try_with(f).unwrap_or_else(|error| panic!("{error}"))
    }

    /// As [`CoroutineLocal::with`].
    ///
    /// ```
    /// use std::cell::Cell;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// leveret_runtime::coroutine_local! { static HITS: Cell<u32> = Cell::new(1); }
    /// assert_eq!(HITS.try_with(Cell::get), Ok(1));
    /// leveret_runtime::on_turn_end(|| assert!(HITS.try_with(Cell::get).is_err())); // a hook runs in no coroutine
    /// leveret_runtime::sleep(std::time::Duration::from_secs(1));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Outside of a coroutine: in a hook, or on a thread without a runtime.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, NoCoroutine> {
        let task = current::try_task().ok_or(NoCoroutine)?;
        Ok(f(&self.value(&task)))
    }

    fn value(&'static self, task: &Task) -> Rc<T> {
        let key = std::ptr::from_ref(self).addr();
        let found = with_locals(task, |locals| locals.get(&key).cloned());
        let value = found.unwrap_or_else(|| {
            let made: Rc<dyn Any> = Rc::new((self.init)());
            // If making it has asked for it, the one that was made inside stays.
            with_locals(task, |locals| locals.entry(key).or_insert(made).clone())
        });
        value.downcast().expect("a static has its address for itself")
    }
}

impl<T: Copy + 'static> CoroutineLocal<Cell<T>> {
    /// The running coroutine's value.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn get(&'static self) -> T {
        self.with(Cell::get)
    }

    /// Sets the running coroutine's value.
    ///
    /// # Panics
    /// Outside of a coroutine.
    pub fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }
}

impl<T: 'static> CoroutineLocal<RefCell<T>> {
    /// Calls `f` with the running coroutine's value, borrowed.
    ///
    /// # Panics
    /// If it is borrowed mutably; outside of a coroutine.
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with the running coroutine's value, borrowed mutably.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// leveret_runtime::coroutine_local! { static PATH: RefCell<Vec<u32>> = RefCell::new(Vec::new()); }
    /// PATH.with_borrow_mut(|path| path.push(7));
    /// assert_eq!(PATH.with_borrow(Vec::len), 1);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it is borrowed; outside of a coroutine.
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }
}

impl<T: 'static> fmt::Debug for CoroutineLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CoroutineLocal")
    }
}

/// `f` must not call foreign code: the map is out of its place meanwhile.
fn with_locals<R>(task: &Task, f: impl FnOnce(&mut Locals) -> R) -> R {
    let mut locals = task.locals.take().unwrap_or_default();
    let result = f(&mut locals);
    task.locals.set(Some(locals));
    result
}

/// The coroutine ends: drops its values, on its own stack, and those that their destructors make. None is left, whatever
/// panics: the entry is another coroutine's next.
#[inline]
pub(super) fn drop_all(task: &Task) {
    if let Some(locals) = task.locals.take() {
        drop_rounds(task, locals);
    }
}

#[cold]
fn drop_rounds(task: &Task, mut locals: Box<Locals>) {
    for _ in 0..DROP_ROUNDS_MAX {
        // Each by itself: a second panic while the first one unwinds would abort.
        for (_, value) in *locals {
            super::drop_foreign(task, "a coroutine-local value", value);
        }
        let Some(made_meanwhile) = task.locals.take() else { return };
        locals = made_meanwhile;
    }
    Box::leak(locals);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{join_all, run, spawn, yield_now};

    coroutine_local! {
        static NAME: RefCell<String> = RefCell::new(String::from("nobody"));
        static COUNT: Cell<u32> = Cell::new(7)
    }

    #[test]
    fn each_coroutine_has_its_own_across_waits() {
        run(|| {
            let coroutines = (0..3).map(|n| {
                spawn(move || {
                    assert_eq!(COUNT.get(), 7);
                    COUNT.set(n);
                    NAME.with_borrow_mut(|name| *name = format!("number {n}"));
                    yield_now();
                    (COUNT.get(), NAME.with_borrow(String::clone))
                })
            });
            let found: Vec<_> = join_all(coroutines).into_iter().map(Result::unwrap).collect();
            assert_eq!(found, (0..3).map(|n| (n, format!("number {n}"))).collect::<Vec<_>>());
            assert_eq!(COUNT.get(), 7);
        })
        .unwrap();
    }

    #[test]
    fn outside_of_a_coroutine_there_is_none() {
        assert_eq!(COUNT.try_with(Cell::get), Err(NoCoroutine));
        run(|| {
            crate::on_turn_end(|| assert_eq!(COUNT.try_with(Cell::get), Err(NoCoroutine)));
            yield_now();
        })
        .unwrap();
    }

    thread_local! {
        static DROPPED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
    }

    struct Noisy(&'static str);

    impl Drop for Noisy {
        fn drop(&mut self) {
            DROPPED.with_borrow_mut(|dropped| dropped.push(self.0));
            if self.0 == "makes another" {
                COUNT.with(|_| ());
                LATE.with(|_| ());
            }
        }
    }

    coroutine_local! {
        static NOISY: RefCell<Option<Noisy>> = RefCell::new(None);
        static LATE: Noisy = Noisy("late");
    }

    #[test]
    fn values_are_dropped_before_the_coroutine_is_joined_however_it_ends() {
        run(|| {
            let hold = |name| NOISY.with_borrow_mut(|noisy| *noisy = Some(Noisy(name)));
            let check = |handle: crate::JoinHandle<()>, expected: &[&str]| {
                let _ = handle.join();
                assert_eq!(DROPPED.take(), expected);
            };
            check(spawn(move || hold("returns")), &["returns"]);
            let killed = spawn(move || {
                hold("killed");
                crate::sync::Event::new().wait();
            });
            yield_now();
            killed.kill();
            check(killed, &["killed"]);
            check(spawn(move || hold("makes another")), &["makes another", "late"]);
        })
        .unwrap();
    }

    #[test]
    fn making_a_value_may_ask_for_others_and_even_for_itself() {
        coroutine_local! {
            static INNER: u32 = 1;
            static OUTER: u32 = INNER.with(|inner| inner + 1);
            static DEPTH: Cell<u32> = Cell::new(0);
            static ITSELF: u32 = match DEPTH.get() {
                0 => {
                    DEPTH.set(1);
                    ITSELF.with(|inside| inside + 10)
                }
                _ => 5,
            };
        }
        run(|| {
            assert_eq!(OUTER.with(|outer| *outer), 2);
            assert_eq!(ITSELF.with(|value| *value), 5);
            assert_eq!(ITSELF.with(|value| *value), 5);
        })
        .unwrap();
    }
}
