//! Queues that give their values in another order than they came: the greatest first, or the newest first. For first come
//! first served, and for ends that notice each other's going, there are [channels](super::channel).
//!
//! Any coroutines of a shard share a queue by `Rc`, and each may put values in and take them out. Whoever takes a value when
//! there is none stands in line; a value that comes belongs to the first in line from then on, but which value that
//! is, the order of the queue says at the moment it takes it.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::time::{Duration, Instant};

use super::select::Watch;
use crate::coroutine::park::{WaitError, WaitQueue, Waiter};
use crate::coroutine::task::Wait;
use crate::time;

/// The capacity of a queue without bound.
const UNBOUNDED: usize = usize::MAX;

/// Values and the order in which they go.
trait Store {
    type Value;
    fn put(&mut self, value: Self::Value);
    fn take(&mut self) -> Option<Self::Value>;
    fn len(&self) -> usize;
}

/// What waits and what for. Between calls: while a value is free nobody waits for one, while there is room nobody waits to
/// put one in.
struct Core<S> {
    values: RefCell<S>,
    /// How many of the values belong to coroutines that were woken to take them.
    promised: Cell<usize>,
    /// Places that are kept for coroutines which were woken to fill them.
    reserved: Cell<usize>,
    capacity: usize,
    taking: WaitQueue,
    putting: WaitQueue,
}

impl<S: Store + Default> Core<S> {
    fn new(capacity: usize) -> Core<S> {
        assert!(capacity > 0, "a queue without room would never take a value");
        Core {
            values: RefCell::default(),
            promised: Cell::new(0),
            reserved: Cell::new(0),
            capacity,
            taking: WaitQueue::new(),
            putting: WaitQueue::new(),
        }
    }
}

fn add(cell: &Cell<usize>) {
    cell.set(cell.get() + 1);
}

fn subtract(cell: &Cell<usize>) {
    cell.set(cell.get() - 1);
}

impl<S: Store> Core<S> {
    fn put(&self, value: S::Value, deadline: Option<Instant>) -> Result<(), (S::Value, WaitError)> {
        if self.has_room() {
            self.insert(value);
            return Ok(());
        }
        match self.putting.wait(Wait::Sync("room in a queue"), deadline) {
            Ok(()) => {
                subtract(&self.reserved);
                self.insert(value);
                Ok(())
            }
            Err(error) => Err((value, error)),
        }
    }

    fn insert(&self, value: S::Value) {
        self.values.borrow_mut().put(value);
        self.promise();
    }

    fn take(&self, deadline: Option<Instant>) -> Result<S::Value, WaitError> {
        if let Some(value) = self.try_take() {
            return Ok(value);
        }
        self.taking.wait(Wait::Sync("a value in a queue"), deadline)?;
        subtract(&self.promised);
        Ok(self.take_first().expect("a promised value is there"))
    }

    fn try_take(&self) -> Option<S::Value> {
        if self.has_free() { self.take_first() } else { None }
    }

    fn take_first(&self) -> Option<S::Value> {
        let value = self.values.borrow_mut().take();
        while self.has_room() && self.putting.wake_one() {
            add(&self.reserved);
        }
        value
    }

    /// Promises free values to those who wait.
    fn promise(&self) {
        while self.has_free() && self.taking.wake_one() {
            add(&self.promised);
        }
    }

    fn has_free(&self) -> bool {
        self.values.borrow().len() > self.promised.get()
    }

    fn has_room(&self) -> bool {
        self.values.borrow().len() + self.reserved.get() < self.capacity
    }

    fn len(&self) -> usize {
        self.values.borrow().len() - self.promised.get()
    }
}

impl<S: Store> Watch for Core<S> {
    fn is_ready(&self) -> bool {
        self.has_free()
    }

    fn list(&self, waiter: Waiter) {
        self.taking.push(waiter);
    }

    fn unlist(&self, ticket: u64) {
        self.taking.remove(ticket);
    }

    fn take_grant_back(&self) {
        subtract(&self.promised);
    }

    fn settle(&self) {
        self.promise();
    }
}

/// The greatest first; of equals, the one that came first.
struct Greatest<T> {
    heap: BinaryHeap<Entry<T>>,
    put: u64,
}

impl<T: Ord> Default for Greatest<T> {
    fn default() -> Self {
        Greatest { heap: BinaryHeap::new(), put: 0 }
    }
}

struct Entry<T> {
    value: T,
    /// Its place among all that were ever put in.
    number: u64,
}

impl<T: Ord> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value).then(other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Entry<T> {}

impl<T: Ord> Store for Greatest<T> {
    type Value = T;

    fn put(&mut self, value: T) {
        self.put += 1;
        self.heap.push(Entry { value, number: self.put });
    }

    fn take(&mut self) -> Option<T> {
        self.heap.pop().map(|entry| entry.value)
    }

    fn len(&self) -> usize {
        self.heap.len()
    }
}

/// The newest first.
impl<T> Store for Vec<T> {
    type Value = T;

    fn put(&mut self, value: T) {
        self.push(value);
    }

    fn take(&mut self) -> Option<T> {
        self.pop()
    }

    fn len(&self) -> usize {
        self.len()
    }
}

/// A queue that a select can take from.
///
/// Sealed: it stands for the queues of this module.
///
/// ```
/// use leveret_runtime::{select, sync::LifoQueue};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let stack = LifoQueue::unbounded();
/// stack.push(1);
/// let top = select! {
///     pop(stack) -> value => Some(value),
///     default => None,
/// };
/// assert_eq!(top, Some(1));
/// # }).unwrap();
/// ```
pub trait Queue: sealed::Watched {}

mod sealed {
    pub trait Watched {
        #[doc(hidden)]
        #[allow(private_interfaces)]
        fn watch(&self) -> &dyn super::Watch;
    }
}

/// A queue that gives the greatest value first, and of equal ones the one that came first. For the smallest first, put in
/// [`std::cmp::Reverse`]s.
///
/// ```
/// use leveret_runtime::{spawn, sync::PriorityQueue};
/// use std::rc::Rc;
/// # leveret_runtime::run(|| {
/// let jobs = Rc::new(PriorityQueue::unbounded());
/// for job in [(1, "sweep"), (9, "extinguish"), (1, "dust")] {
///     jobs.push(job);
/// }
/// let theirs = jobs.clone();
/// let worker = spawn(move || [theirs.pop().1, theirs.pop().1, theirs.pop().1]);
/// assert_eq!(worker.join().unwrap(), ["extinguish", "sweep", "dust"]);
/// # }).unwrap();
/// ```
pub struct PriorityQueue<T: Ord> {
    core: Core<Greatest<T>>,
}

/// A queue that gives the newest value first, as a stack does.
///
/// ```
/// use leveret_runtime::sync::LifoQueue;
/// # leveret_runtime::run(|| {
/// let queue = LifoQueue::bounded(2);
/// queue.push(1);
/// queue.push(2);
/// assert_eq!(queue.try_push(3), Err(3));
/// assert_eq!((queue.pop(), queue.pop(), queue.try_pop()), (2, 1, None));
/// # }).unwrap();
/// ```
pub struct LifoQueue<T> {
    core: Core<Vec<T>>,
}

macro_rules! queue {
    ($Queue:ident $(, $Bound:ident)?) => {
        impl<T $(: $Bound)?> $Queue<T> {
            /// An empty queue that takes any number of values.
            pub fn unbounded() -> Self {
                Self { core: Core::new(UNBOUNDED) }
            }

            /// An empty queue that takes `capacity` values.
            ///
            /// # Panics
            /// If `capacity` is zero.
            pub fn bounded(capacity: usize) -> Self {
                Self { core: Core::new(capacity) }
            }

            /// Puts a value in; waits for room if there is none. If the caller is killed or timed out while it waits, the
            /// value is dropped.
            ///
            /// ```
            /// use std::time::Duration;
            /// use leveret_runtime::{spawn_after, sync::LifoQueue, time};
            /// use std::rc::Rc;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (queue, start) = (Rc::new(LifoQueue::bounded(1)), time::now());
            /// queue.push("first");
            /// let theirs = queue.clone();
            /// let taker = spawn_after(Duration::from_secs(1), move || theirs.pop());
            /// queue.push("second"); // not before the first is taken
            /// assert_eq!(time::now() - start, Duration::from_secs(1));
            /// assert_eq!(taker.join().unwrap(), "first");
            /// # }).unwrap();
            /// ```
            ///
            /// # Panics
            /// If it has to wait: outside of a coroutine, and while the stack unwinds.
            pub fn push(&self, value: T) {
                if self.core.put(value, None).is_err() {
                    super::refuse(concat!(stringify!($Queue), "::push"));
                }
            }

            /// Puts a value in if there is room.
            ///
            /// ```
            /// use leveret_runtime::sync::PriorityQueue;
            /// let queue = PriorityQueue::bounded(1);
            /// assert_eq!(queue.try_push(3), Ok(()));
            /// assert_eq!(queue.try_push(9), Err(9)); // full; being greater does not help
            /// ```
            ///
            /// # Errors
            /// The value, if there is none.
            pub fn try_push(&self, value: T) -> Result<(), T> {
                match self.core.has_room() {
                    true => Ok(self.core.insert(value)),
                    false => Err(value),
                }
            }

            /// Puts a value in; waits for room at most `limit`.
            ///
            /// ```
            /// use std::time::Duration;
            /// use leveret_runtime::sync::LifoQueue;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let queue = LifoQueue::bounded(1);
            /// queue.push(1);
            /// assert_eq!(queue.push_timeout(2, Duration::from_secs(1)), Err(2));
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// The value, if there was none in time.
            ///
            /// # Panics
            /// As `push`.
            pub fn push_timeout(&self, value: T, limit: Duration) -> Result<(), T> {
                match self.core.put(value, time::deadline_in(limit)) {
                    Ok(()) => Ok(()),
                    Err((value, WaitError::TimedOut)) => Err(value),
                    Err(_) => super::refuse(concat!(stringify!($Queue), "::push_timeout")),
                }
            }

            /// Takes the first value; waits for one if there is none. A caller that is killed or timed out while it waits
            /// takes none.
            ///
            /// ```
            /// use std::{cmp::Reverse, rc::Rc};
            /// use leveret_runtime::{spawn, sync::PriorityQueue, yield_now};
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let deadlines = Rc::new(PriorityQueue::<Reverse<u32>>::unbounded());
            /// let theirs = deadlines.clone();
            /// let earliest = spawn(move || theirs.pop().0);
            /// yield_now(); // it waits
            /// deadlines.push(Reverse(30));
            /// deadlines.push(Reverse(10)); // before the waiter has run: it takes the first by the queue's order
            /// assert_eq!(earliest.join().unwrap(), 10);
            /// # }).unwrap();
            /// ```
            ///
            /// # Panics
            /// If it has to wait: outside of a coroutine, and while the stack unwinds.
            pub fn pop(&self) -> T {
                self.core.take(None).unwrap_or_else(|_| super::refuse(concat!(stringify!($Queue), "::pop")))
            }

            /// Takes the first value if there is one.
            ///
            /// ```
            /// use leveret_runtime::sync::LifoQueue;
            /// let queue = LifoQueue::unbounded();
            /// queue.push(1); // an unbounded queue never waits
            /// assert_eq!((queue.try_pop(), queue.try_pop()), (Some(1), None));
            /// ```
            pub fn try_pop(&self) -> Option<T> {
                self.core.try_take()
            }

            /// Takes the first value; waits for one at most `limit`.
            ///
            /// ```
            /// use std::time::Duration;
            /// use leveret_runtime::{sync::LifoQueue, time};
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (queue, start) = (LifoQueue::<u32>::unbounded(), time::now());
            /// assert_eq!(queue.pop_timeout(Duration::from_secs(1)), None);
            /// assert_eq!(time::now() - start, Duration::from_secs(1));
            /// # }).unwrap();
            /// ```
            ///
            /// # Panics
            /// As `pop`.
            pub fn pop_timeout(&self, limit: Duration) -> Option<T> {
                match self.core.take(time::deadline_in(limit)) {
                    Ok(value) => Some(value),
                    Err(WaitError::TimedOut) => None,
                    Err(_) => super::refuse(concat!(stringify!($Queue), "::pop_timeout")),
                }
            }

            /// How many values can be taken without waiting.
            pub fn len(&self) -> usize {
                self.core.len()
            }

            /// Whether none can.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// How many values it takes; `None` for any number.
            pub fn capacity(&self) -> Option<usize> {
                (self.core.capacity != UNBOUNDED).then_some(self.core.capacity)
            }
        }

        impl<T $(: $Bound)?> Queue for $Queue<T> {}

        impl<T $(: $Bound)?> sealed::Watched for $Queue<T> {
            #[allow(private_interfaces)]
            fn watch(&self) -> &dyn Watch {
                &self.core
            }
        }

        impl<T $(: $Bound)?> Default for $Queue<T> {
            fn default() -> Self {
                Self::unbounded()
            }
        }

        impl<T $(: $Bound)?> fmt::Debug for $Queue<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Queue)).field("len", &self.len()).field("capacity", &self.capacity()).finish()
            }
        }
    };
}

queue!(PriorityQueue, Ord);
queue!(LifoQueue);

#[cfg(test)]
mod tests;
