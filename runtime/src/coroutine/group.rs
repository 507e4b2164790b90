//! Groups of coroutines that are waited for and ended together, and pools: groups of limited size.
//!
//! A member leaves its group when it ends, however it ends: the membership is a value on the member's own stack. Mapping a
//! function over values is a group's work too: [`Pool::map`] is a scope, so it may borrow; the iterators `imap` and
//! `imap_unordered` outlive the call and may not.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::iter::Fuse;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use super::join::{JoinError, JoinHandle};
use super::join_set::JoinSet;
use super::park::{self, WaitError, WaitQueue};
use super::scope::scope;
use super::task::{Name, Task, Wait};
use super::{current, no_stack, spawn_on_shard};
use crate::sync::Semaphore;
use crate::sync::semaphore::PERMITS_MAX;
use crate::time;

/// Who belongs to a group.
struct Members {
    tasks: RefCell<BTreeMap<u64, Rc<Task>>>,
    /// Places taken by members, also those that have no task yet.
    count: Cell<usize>,
    last: Cell<u64>,
    room: Semaphore,
    left: WaitQueue,
}

impl Members {
    fn new(limit: usize) -> Rc<Members> {
        Rc::new(Members {
            tasks: RefCell::default(),
            count: Cell::new(0),
            last: Cell::new(0),
            room: Semaphore::named(limit, "room in its pool"),
            left: WaitQueue::new(),
        })
    }

    /// Takes a place; waits for one if there is none.
    fn enter(self: &Rc<Self>) -> Membership {
        self.room.acquire().forget();
        self.entered()
    }

    /// Takes a place if there is one.
    fn try_enter(self: &Rc<Self>) -> Option<Membership> {
        self.room.try_acquire()?.forget();
        Some(self.entered())
    }

    fn entered(self: &Rc<Self>) -> Membership {
        self.count.set(self.count.get() + 1);
        self.last.set(self.last.get() + 1);
        Membership { members: self.clone(), number: self.last.get() }
    }

    fn kill_all(&self) {
        self.tasks.borrow().values().for_each(park::kill);
    }

    /// Waits until nobody is left; answers false if the time was over first.
    fn wait_empty(&self, limit: Option<Duration>) -> bool {
        let deadline = limit.and_then(time::deadline_in);
        while self.count.get() > 0 {
            match self.left.wait(Wait::Sync("the members of its group to end"), deadline) {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return self.count.get() == 0,
                Err(WaitError::Unwinding) => panic!("Group::join: {}", park::Unwinding),
            }
        }
        true
    }
}

/// A place in a group, on its member's stack; given up when dropped.
struct Membership {
    members: Rc<Members>,
    number: u64,
}

impl Membership {
    /// Spawns `f` in this place.
    fn spawn<T: 'static>(self, place: &'static Location<'static>, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        let (members, number) = (self.members.clone(), self.number);
        let body = move || {
            let _membership = self;
            f()
        };
        let spawned = current::with(|shard| spawn_on_shard(shard, Name::Place(place), None, body));
        let handle = spawned.unwrap_or_else(|error| no_stack(&error));
        members.tasks.borrow_mut().insert(number, handle.task().clone());
        handle
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let members = &self.members;
        let task = members.tasks.borrow_mut().remove(&self.number);
        drop(task);
        members.count.set(members.count.get() - 1);
        if members.count.get() == 0 {
            members.left.wake_all();
        }
        members.room.add_permits(1);
    }
}

/// A group of at most so many coroutines of this shard: whoever spawns one more waits until there is room. Dropping the pool
/// kills those that have not ended.
///
/// ```
/// use leveret_runtime::{Pool, sleep, time};
/// use std::time::Duration;
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// let pool = Pool::new(2);
/// let (words, start) = (["settle", "ack", "nack", "reject"], time::now());
/// let lengths = pool.map(words.iter(), |word| {
///     sleep(Duration::from_secs(1));
///     word.len()
/// });
/// assert_eq!(lengths.unwrap(), [6, 3, 4, 6]);
/// assert_eq!(time::now() - start, Duration::from_secs(2)); // two at a time
/// # }).unwrap();
/// ```
pub struct Pool {
    members: Rc<Members>,
    size: usize,
}

impl Pool {
    /// A pool for at most `size` coroutines at once.
    ///
    /// # Panics
    /// If `size` is zero, or beyond [`PERMITS_MAX`](crate::sync::semaphore::PERMITS_MAX).
    pub fn new(size: usize) -> Pool {
        assert!(size > 0, "a pool without room would never run anything");
        Pool { members: Members::new(size), size }
    }

    /// Spawns `f` on the current shard as a member; waits for room first. If the caller is killed or timed out while it
    /// waits, `f` does not begin. A member that does this while the pool is full waits for its own place: use
    /// [`Pool::try_spawn`] there, or another pool.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Pool, sleep, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (pool, start) = (Pool::new(1), time::now());
    /// let first = pool.spawn(|| sleep(Duration::from_secs(2)));
    /// let second = pool.spawn(time::now); // waits for room: the first has to end
    /// assert_eq!(second.join().unwrap() - start, Duration::from_secs(2));
    /// first.join().unwrap();
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn); and, if it has to wait, outside of a coroutine and while the stack unwinds.
    #[track_caller]
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        let place = Location::caller();
        self.members.enter().spawn(place, f)
    }

    /// Spawns `f` if there is room now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Pool, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let pool = Pool::new(1);
    /// let busy = pool.try_spawn(|| sleep(Duration::from_secs(1))).ok().unwrap();
    /// let job = pool.try_spawn(|| 7).unwrap_err(); // given back: to be run here, queued, refused
    /// assert_eq!(job(), 7);
    /// busy.join().unwrap();
    /// assert_eq!(pool.try_spawn(job).ok().unwrap().join().unwrap(), 7);
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// `f`, if there is none.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn try_spawn<T: 'static, F: FnOnce() -> T + 'static>(&self, f: F) -> Result<JoinHandle<T>, F> {
        let place = Location::caller();
        match self.members.try_enter() {
            Some(place_in_it) => Ok(place_in_it.spawn(place, f)),
            None => Err(f),
        }
    }

    /// Calls `f` with every item, each in a member of its own, and gives the results in the order of the items. `f` and the
    /// items may borrow from the caller.
    ///
    /// If the caller is killed or timed out meanwhile, the members it waits for are killed and unwind first.
    ///
    /// ```
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let pool = leveret_runtime::Pool::new(2);
    /// let limit = 10; // borrowed
    /// let small = pool.map([1, 2, 3], |n| { assert!(n < limit); n * 2 });
    /// assert_eq!(small.unwrap(), [2, 4, 6]);
    /// let failed = pool.map([1, 20, 3], |n| { assert!(n < limit, "{n} is too much"); n * 2 });
    /// assert_eq!(failed.unwrap_err().message(), Some("20 is too much"));
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The first failure in that order: the panic of `f`, or that a member was killed. The others are killed then.
    ///
    /// # Panics
    /// As [`scope`](crate::scope).
    pub fn map<A, T>(&self, items: impl IntoIterator<Item = A>, f: impl Fn(A) -> T) -> Result<Vec<T>, JoinError> {
        let f = &f;
        scope(|scope| {
            let spawn = |item| {
                let membership = self.members.enter();
                let (members, number) = (membership.members.clone(), membership.number);
                let handle = scope.spawn(move || {
                    let _membership = membership;
                    f(item)
                });
                members.tasks.borrow_mut().insert(number, handle.task().clone());
                handle
            };
            let mut handles: VecDeque<_> = items.into_iter().map(spawn).collect();
            let mut results = Vec::with_capacity(handles.len());
            while let Some(handle) = handles.pop_front() {
                match handle.join() {
                    Ok(result) => results.push(result),
                    Err(error) => {
                        handles.iter().for_each(|handle| handle.kill());
                        handles.into_iter().for_each(|handle| drop(handle.join())); // what they say is not asked any more
                        return Err(error);
                    }
                }
            }
            Ok(results)
        })
    }

    /// Calls `f` with the items as they come, each in a member of its own, and gives the results one by one in the order of
    /// the items. It begins when first asked, and runs ahead of the caller by at most the size of the pool.
    ///
    /// Each step may wait; its item is an error if `f` panicked or the member was killed. Dropped early, the iterator kills
    /// the members whose results were not taken.
    ///
    /// ```
    /// # leveret_runtime::run(|| {
    /// let pool = leveret_runtime::Pool::new(3);
    /// let squares: Vec<u32> = pool.imap(1..=4, |n| n * n).map(Result::unwrap).collect();
    /// assert_eq!(squares, [1, 4, 9, 16]);
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn imap<I, T, F>(&self, items: I, f: F) -> Imap<'_, I::IntoIter, T, F>
    where
        I: IntoIterator<Item: 'static>,
        T: 'static,
        F: Fn(I::Item) -> T + 'static,
    {
        Imap { feed: Feed::new(self, items, f), running: VecDeque::new() }
    }

    /// As [`Pool::imap`], but the results come in the order in which they are ready.
    ///
    /// ```
    /// # leveret_runtime::run(|| {
    /// let pool = leveret_runtime::Pool::new(3);
    /// let mut squares: Vec<u32> = pool.imap_unordered(1..=4, |n| n * n).map(Result::unwrap).collect();
    /// squares.sort();
    /// assert_eq!(squares, [1, 4, 9, 16]);
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn imap_unordered<I, T, F>(&self, items: I, f: F) -> ImapUnordered<'_, I::IntoIter, T, F>
    where
        I: IntoIterator<Item: 'static>,
        T: 'static,
        F: Fn(I::Item) -> T + 'static,
    {
        ImapUnordered { feed: Feed::new(self, items, f), running: JoinSet::new() }
    }

    /// Waits until every member has ended.
    ///
    /// A kill or an expired `timeout` strikes here, as at any wait; the members go on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Pool, sleep, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (pool, start) = (Pool::new(8), time::now());
    /// (1..=3).for_each(|seconds| drop(pool.spawn(move || sleep(Duration::from_secs(seconds)))));
    /// pool.join();
    /// assert_eq!(time::now() - start, Duration::from_secs(3));
    /// assert!(pool.is_empty());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it has to wait: outside of a coroutine, and while the stack unwinds.
    pub fn join(&self) {
        self.members.wait_empty(None);
    }

    /// Waits at most `limit` until every member has ended; says whether they have.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Pool, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let pool = Pool::new(8);
    /// drop(pool.spawn(|| sleep(Duration::from_secs(60))));
    /// if !pool.join_timeout(Duration::from_secs(5)) {
    ///     pool.kill_all(); // no more patience
    ///     pool.join();
    /// }
    /// assert!(pool.is_empty());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Pool::join`].
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.members.wait_empty(Some(limit))
    }

    /// Kills every member, as [`JoinHandle::kill`] does; [`Pool::join`] waits for their ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{JoinError, Pool, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let pool = Pool::new(8);
    /// let member = pool.spawn(|| sleep(Duration::from_secs(60)));
    /// pool.kill_all();
    /// pool.join();
    /// assert!(matches!(member.join(), Err(JoinError::Killed)));
    /// assert_eq!(pool.spawn(|| 7).join().unwrap(), 7); // it takes new ones
    /// # }).unwrap();
    /// ```
    pub fn kill_all(&self) {
        self.members.kill_all();
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.count.get()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many members it may have.
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many more could be spawned without waiting.
    ///
    /// ```
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let pool = leveret_runtime::Pool::new(2);
    /// let member = pool.spawn(|| ());
    /// assert_eq!((pool.len(), pool.free(), pool.size()), (1, 1, 2));
    /// member.join().unwrap();
    /// assert_eq!((pool.len(), pool.free()), (0, 2));
    /// # }).unwrap();
    /// ```
    pub fn free(&self) -> usize {
        self.members.room.available_permits()
    }

    /// Lets the members go: they run on, detached.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    /// use leveret_runtime::{Pool, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (done, pool) = (Rc::new(Cell::new(false)), Pool::new(1));
    /// let theirs = done.clone();
    /// drop(pool.spawn(move || { sleep(Duration::from_secs(1)); theirs.set(true) }));
    /// pool.detach(); // dropping the pool would kill it
    /// sleep(Duration::from_secs(2));
    /// assert!(done.get());
    /// # }).unwrap();
    /// ```
    pub fn detach(self) {
        self.members.tasks.borrow_mut().clear();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.members.kill_all();
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("size", &self.size).field("members", &self.len()).finish()
    }
}

/// What is left to do of an `imap`.
struct Feed<'a, I: Iterator, F> {
    pool: &'a Pool,
    items: Fuse<I>,
    f: Rc<F>,
    place: &'static Location<'static>,
}

impl<'a, I, T, F> Feed<'a, I, F>
where
    I: Iterator<Item: 'static>,
    T: 'static,
    F: Fn(I::Item) -> T + 'static,
{
    #[track_caller]
    fn new(pool: &'a Pool, items: impl IntoIterator<IntoIter = I, Item = I::Item>, f: F) -> Feed<'a, I, F> {
        Feed { pool, items: items.into_iter().fuse(), f: Rc::new(f), place: Location::caller() }
    }

    /// Begins the next item, if there is one and `waiting`, the results that nobody has taken yet, are not too many. Waits
    /// for room only if nothing of ours runs that one could wait for instead.
    fn begin_next(&mut self, waiting: usize) -> Option<JoinHandle<T>> {
        if waiting >= self.pool.size {
            return None;
        }
        let members = &self.pool.members;
        let membership = if waiting == 0 { members.enter() } else { members.try_enter()? };
        let (item, f) = (self.items.next()?, self.f.clone());
        Some(membership.spawn(self.place, move || f(item)))
    }
}

/// The results of [`Pool::imap`].
#[must_use = "an iterator does nothing until it is asked"]
pub struct Imap<'a, I: Iterator, T, F> {
    feed: Feed<'a, I, F>,
    running: VecDeque<JoinHandle<T>>,
}

impl<I, T, F> Iterator for Imap<'_, I, T, F>
where
    I: Iterator<Item: 'static>,
    T: 'static,
    F: Fn(I::Item) -> T + 'static,
{
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(handle) = self.feed.begin_next(self.running.len()) {
            self.running.push_back(handle);
        }
        // Waited for in its place: a caller that is timed out finds it there again.
        let _ = self.running.front()?.wait(None);
        let first = self.running.pop_front()?;
        Some(first.join())
    }
}

impl<I: Iterator, T, F> Drop for Imap<'_, I, T, F> {
    fn drop(&mut self) {
        self.running.iter().for_each(JoinHandle::kill);
    }
}

impl<I: Iterator, T, F> fmt::Debug for Imap<'_, I, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imap").field("running", &self.running.len()).finish()
    }
}

/// The results of [`Pool::imap_unordered`].
#[must_use = "an iterator does nothing until it is asked"]
pub struct ImapUnordered<'a, I: Iterator, T, F> {
    feed: Feed<'a, I, F>,
    running: JoinSet<T>,
}

impl<I, T, F> Iterator for ImapUnordered<'_, I, T, F>
where
    I: Iterator<Item: 'static>,
    T: 'static,
    F: Fn(I::Item) -> T + 'static,
{
    type Item = Result<T, JoinError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(handle) = self.feed.begin_next(self.running.len()) {
            self.running.add(handle);
        }
        self.running.join_next()
    }
}

impl<I: Iterator, T, F> fmt::Debug for ImapUnordered<'_, I, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImapUnordered").field("running", &self.running).finish()
    }
}

/// Coroutines of this shard that are waited for and ended together: a [`Pool`] without a limit. Dropping the group kills
/// those that have not ended.
///
/// ```
/// use leveret_runtime::{Group, sleep};
/// use std::time::Duration;
/// # leveret_runtime::run(|| {
/// let group = Group::new();
/// group.spawn(|| sleep(Duration::from_millis(1)));
/// group.spawn(|| sleep(Duration::from_secs(3600)));
/// assert!(!group.join_timeout(Duration::from_millis(10)));
/// assert_eq!(group.len(), 1);
/// group.kill_all();
/// group.join();
/// # }).unwrap();
/// ```
pub struct Group {
    pool: Pool,
}

impl Group {
    /// A group without members.
    pub fn new() -> Group {
        Group { pool: Pool::new(PERMITS_MAX) }
    }

    /// Spawns `f` on the current shard as a member.
    ///
    /// ```
    /// use leveret_runtime::Group;
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = Group::new();
    /// let sum = group.spawn(|| 1 + 2);
    /// assert_eq!(group.len(), 1);
    /// assert_eq!(sum.join().unwrap(), 3); // a member may be joined on its own
    /// assert!(group.is_empty());
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<T: 'static>(&self, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        self.pool.spawn(f)
    }

    /// Calls `f` with every item at once, each in a member of its own, and gives the results in the order of the items. See
    /// [`Pool::map`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Group, sleep, time};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let start = time::now();
    /// let slept = Group::new().map([3, 1, 2], |seconds| { sleep(Duration::from_secs(seconds)); seconds });
    /// assert_eq!(slept.unwrap(), [3, 1, 2]);
    /// assert_eq!(time::now() - start, Duration::from_secs(3)); // all at once
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Pool::map`].
    ///
    /// # Panics
    /// As [`Pool::map`].
    pub fn map<A, T>(&self, items: impl IntoIterator<Item = A>, f: impl Fn(A) -> T) -> Result<Vec<T>, JoinError> {
        self.pool.map(items, f)
    }

    /// As [`Pool::imap`], with all items begun when the iterator is first asked.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Group, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = Group::new();
    /// let slept = group.imap([3, 1, 2], |seconds| { sleep(Duration::from_secs(seconds)); seconds });
    /// assert_eq!(slept.map(Result::unwrap).collect::<Vec<_>>(), [3, 1, 2]);
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn imap<I, T, F>(&self, items: I, f: F) -> Imap<'_, I::IntoIter, T, F>
    where
        I: IntoIterator<Item: 'static>,
        T: 'static,
        F: Fn(I::Item) -> T + 'static,
    {
        self.pool.imap(items, f)
    }

    /// As [`Pool::imap_unordered`], with all items begun when the iterator is first asked.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Group, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = Group::new();
    /// let slept = group.imap_unordered([3, 1, 2], |seconds| { sleep(Duration::from_secs(seconds)); seconds });
    /// assert_eq!(slept.map(Result::unwrap).collect::<Vec<_>>(), [1, 2, 3]);
    /// # }).unwrap();
    /// ```
    #[track_caller]
    pub fn imap_unordered<I, T, F>(&self, items: I, f: F) -> ImapUnordered<'_, I::IntoIter, T, F>
    where
        I: IntoIterator<Item: 'static>,
        T: 'static,
        F: Fn(I::Item) -> T + 'static,
    {
        self.pool.imap_unordered(items, f)
    }

    /// Waits until every member has ended. See [`Pool::join`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Group, sleep, timeout};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = Group::new();
    /// drop(group.spawn(|| sleep(Duration::from_secs(5))));
    /// assert!(timeout(Duration::from_secs(1), || group.join()).is_err());
    /// assert_eq!(group.len(), 1); // the member goes on
    /// group.join();
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Pool::join`].
    pub fn join(&self) {
        self.pool.join();
    }

    /// Waits at most `limit` until every member has ended; says whether they have.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Group, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = Group::new();
    /// drop(group.spawn(|| sleep(Duration::from_secs(5))));
    /// assert!(!group.join_timeout(Duration::from_secs(1)));
    /// assert!(group.join_timeout(Duration::from_secs(5)));
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`Pool::join`].
    pub fn join_timeout(&self, limit: Duration) -> bool {
        self.pool.join_timeout(limit)
    }

    /// Kills every member, as [`JoinHandle::kill`] does; [`Group::join`] waits for their ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{Group, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let group = Group::new();
    /// (0..3).for_each(|_| drop(group.spawn(|| sleep(Duration::from_secs(3600)))));
    /// group.kill_all(); // marks them; they unwind when they next run
    /// assert_eq!(group.len(), 3);
    /// group.join();
    /// assert!(group.is_empty());
    /// # }).unwrap();
    /// ```
    pub fn kill_all(&self) {
        self.pool.kill_all();
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.pool.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.pool.is_empty()
    }

    /// Lets the members go: they run on, detached.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use leveret_runtime::{Group, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (done, group) = (Rc::new(Cell::new(false)), Group::new());
    /// let theirs = done.clone();
    /// drop(group.spawn(move || theirs.set(true)));
    /// group.detach();
    /// yield_now();
    /// assert!(done.get());
    /// # }).unwrap();
    /// ```
    pub fn detach(self) {
        self.pool.detach();
    }
}

impl Default for Group {
    fn default() -> Self {
        Group::new()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("members", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests;
