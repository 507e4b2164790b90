//! Coroutines whose results come in the order in which they end.
//!
//! Waiting for whichever of n coroutines ends first by n places in n lines would cost n for each result. Instead each
//! member's end leaves its number in one list of the set (it *follows* the member), so a result costs the same however many
//! there are.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use super::join::{JoinError, JoinHandle};
use super::park::{WaitError, WaitQueue};
use super::spawn;
use super::task::Wait;

/// The ends of a set's members that nobody has taken yet.
#[derive(Default)]
struct Endings {
    /// Numbers of members, first ended first.
    ended: RefCell<VecDeque<usize>>,
    arrived: WaitQueue,
}

/// What a coroutine tells of its end.
pub(crate) struct Follower {
    endings: Rc<Endings>,
    member: usize,
}

impl Follower {
    /// The member has ended.
    pub(crate) fn tell(self) {
        self.endings.ended.borrow_mut().push_back(self.member);
        self.endings.arrived.wake_one();
    }
}

/// Coroutines of this shard whose results are taken in the order in which they end. Dropping the set kills those that have
/// not ended.
///
/// ```
/// use leveret_runtime::{JoinSet, sleep};
/// use std::time::Duration;
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// let mut set = JoinSet::new();
/// for seconds in [3, 1, 2] {
///     set.spawn(move || {
///         sleep(Duration::from_secs(seconds));
///         seconds
///     });
/// }
/// let mut order = Vec::new();
/// while let Some(ended) = set.join_next() {
///     order.push(ended.unwrap());
/// }
/// assert_eq!(order, [1, 2, 3]);
/// # }).unwrap();
/// ```
pub struct JoinSet<T> {
    members: BTreeMap<usize, JoinHandle<T>>,
    endings: Rc<Endings>,
    added: usize,
}

impl<T: 'static> JoinSet<T> {
    /// A set without members.
    pub fn new() -> JoinSet<T> {
        JoinSet { members: BTreeMap::new(), endings: Rc::default(), added: 0 }
    }

    /// Spawns `f` on the current shard as a member.
    ///
    /// # Panics
    /// As [`spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn(&mut self, f: impl FnOnce() -> T + 'static) {
        self.add(spawn(f));
    }

    /// Makes a coroutine a member that was spawned before; it may have ended.
    ///
    /// ```
    /// use leveret_runtime::{Builder, JoinSet};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut set = JoinSet::new();
    /// set.add(Builder::new().name("named").spawn(|| 1).unwrap()); // what `JoinSet::spawn` cannot say
    /// set.spawn(|| 2);
    /// assert_eq!(set.join_all().into_iter().map(Result::unwrap).sum::<i32>(), 3);
    /// # }).unwrap();
    /// ```
    pub fn add(&mut self, handle: JoinHandle<T>) {
        handle.follow(Follower { endings: self.endings.clone(), member: self.added });
        self.members.insert(self.added, handle);
        self.added += 1;
    }

    /// Waits for the next end and gives that member's result; `None` when there are no members left.
    ///
    /// A kill or an expired `timeout` strikes here, as at any wait; the members go on, and so does the set.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{JoinSet, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut set = JoinSet::new();
    /// set.spawn(|| { sleep(Duration::from_secs(2)); 2 });
    /// set.spawn(|| { sleep(Duration::from_secs(1)); panic!("the first to end") });
    /// assert!(set.join_next().unwrap().is_err());
    /// assert_eq!(set.join_next().unwrap().unwrap(), 2);
    /// assert!(set.join_next().is_none());
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`JoinHandle::join`]: the member's panic or kill, or that the caller unwinds and would have to wait: then a member
    /// is given up and killed, so that a loop over the results ends.
    ///
    /// # Panics
    /// Outside of a coroutine, if it has to wait.
    pub fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.next_indexed().map(|(_, result)| result)
    }

    /// The result of a member that has ended, without waiting.
    ///
    /// ```
    /// use leveret_runtime::{JoinSet, yield_now};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut set = JoinSet::new();
    /// set.spawn(|| 7);
    /// assert!(set.try_join_next().is_none()); // it has not run yet
    /// yield_now();
    /// assert_eq!(set.try_join_next().unwrap().unwrap(), 7);
    /// # }).unwrap();
    /// ```
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        self.take_ended().map(|(_, result)| result)
    }

    /// Waits for all members and gives their results in the order of their ends.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{JoinSet, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut set = JoinSet::new();
    /// for n in [3, 1, 2] {
    ///     set.spawn(move || { sleep(Duration::from_secs(n)); n });
    /// }
    /// let ends: Vec<u64> = set.join_all().into_iter().map(Result::unwrap).collect();
    /// assert_eq!(ends, [1, 2, 3]);
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// As [`JoinSet::join_next`].
    pub fn join_all(mut self) -> Vec<Result<T, JoinError>> {
        std::iter::from_fn(|| self.join_next()).collect()
    }

    /// Kills every member, as [`JoinHandle::kill`] does. Their results can still be taken.
    ///
    /// ```
    /// use std::time::Duration;
    /// use leveret_runtime::{JoinError, JoinSet, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let mut set = JoinSet::new();
    /// set.spawn(|| sleep(Duration::from_secs(3600)));
    /// set.spawn(|| sleep(Duration::from_secs(7200)));
    /// set.kill_all();
    /// assert_eq!(set.len(), 2); // until their results are taken
    /// assert!(set.join_all().iter().all(|ended| matches!(ended, Err(JoinError::Killed))));
    /// # }).unwrap();
    /// ```
    pub fn kill_all(&self) {
        self.members.values().for_each(JoinHandle::kill);
    }

    /// Lets every member go: they run on, detached.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    /// use leveret_runtime::{JoinSet, sleep};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// let (done, mut set) = (Rc::new(Cell::new(false)), JoinSet::new());
    /// let theirs = done.clone();
    /// set.spawn(move || { sleep(Duration::from_secs(1)); theirs.set(true) });
    /// set.detach_all();
    /// drop(set); // would have killed it
    /// sleep(Duration::from_secs(2));
    /// assert!(done.get());
    /// # }).unwrap();
    /// ```
    pub fn detach_all(&mut self) {
        self.members.clear();
        self.endings = Rc::default(); // the ends of those that went are not ours any more
    }

    /// How many members' results were not taken yet.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether every result was taken.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// As [`JoinSet::join_next`], with the member's number in the order of adding.
    fn next_indexed(&mut self) -> Option<(usize, Result<T, JoinError>)> {
        while !self.members.is_empty() {
            if let Some(ended) = self.take_ended() {
                return Some(ended);
            }
            match self.endings.arrived.wait(Wait::Join, None) {
                Ok(()) => {}
                Err(WaitError::Unwinding) => return self.refused(),
                Err(WaitError::TimedOut) => unreachable!("no deadline was given"),
            }
        }
        None
    }

    fn take_ended(&mut self) -> Option<(usize, Result<T, JoinError>)> {
        let member = self.endings.ended.borrow_mut().pop_front()?;
        let handle = self.members.remove(&member).expect("a member's end is told once, and taken once");
        Some((member, handle.into_outcome()))
    }

    /// The caller unwinds: gives a member up, so that a loop over the results ends.
    fn refused(&mut self) -> Option<(usize, Result<T, JoinError>)> {
        let (member, handle) = self.members.pop_first()?;
        handle.kill();
        Some((member, Err(JoinError::Unwinding)))
    }
}

impl<T: 'static> Default for JoinSet<T> {
    fn default() -> Self {
        JoinSet::new()
    }
}

impl<T: 'static> FromIterator<JoinHandle<T>> for JoinSet<T> {
    fn from_iter<I: IntoIterator<Item = JoinHandle<T>>>(handles: I) -> Self {
        let mut set = JoinSet::new();
        handles.into_iter().for_each(|handle| set.add(handle));
        set
    }
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        self.members.values().for_each(JoinHandle::kill);
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("members", &self.members.len()).finish()
    }
}

/// The results of coroutines in the order in which they end, each with the number of its handle among those given, from 0.
///
/// Each step waits as [`JoinHandle::join`] does. Dropped early, it lets the rest go on, detached.
///
/// ```
/// use leveret_runtime::{as_completed, sleep, spawn};
/// use std::time::Duration;
/// # let runtime = leveret_runtime::Runtime::builder().simulated(1).build().unwrap();
/// # runtime.run(|| {
/// let handles = [3, 1, 2].map(|seconds| spawn(move || sleep(Duration::from_secs(seconds))));
/// let order: Vec<usize> = as_completed(handles).map(|(index, _)| index).collect();
/// assert_eq!(order, [1, 2, 0]);
/// # }).unwrap();
/// ```
///
/// # Panics
/// A step that has to wait panics outside of a coroutine.
pub fn as_completed<T: 'static>(handles: impl IntoIterator<Item = JoinHandle<T>>) -> AsCompleted<T> {
    AsCompleted { set: handles.into_iter().collect() }
}

/// What [`as_completed`] gives.
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked"]
pub struct AsCompleted<T: 'static> {
    set: JoinSet<T>,
}

impl<T: 'static> Iterator for AsCompleted<T> {
    type Item = (usize, Result<T, JoinError>);

    fn next(&mut self) -> Option<Self::Item> {
        self.set.next_indexed()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.set.len(), Some(self.set.len()))
    }
}

impl<T: 'static> ExactSizeIterator for AsCompleted<T> {}

impl<T: 'static> Drop for AsCompleted<T> {
    fn drop(&mut self) {
        self.set.detach_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Runtime, sleep, time, timeout, yield_now};

    const SECOND: Duration = Duration::from_secs(1);

    fn simulated<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
        Runtime::builder().simulated(1).build().expect("a valid configuration").run(main).expect("no deadlock")
    }

    fn sleeper(seconds: u32) -> JoinHandle<u32> {
        spawn(move || {
            sleep(SECOND * seconds);
            seconds
        })
    }

    #[test]
    fn results_come_in_the_order_of_ending() {
        let check = |delays: &'static [u32], expected: &[u32]| {
            let order = simulated(|| {
                let set: JoinSet<u32> = delays.iter().map(|&seconds| sleeper(seconds)).collect();
                set.join_all().into_iter().map(Result::unwrap).collect::<Vec<_>>()
            });
            assert_eq!(order, expected);
        };
        check(&[], &[]);
        check(&[1], &[1]);
        check(&[3, 1, 2], &[1, 2, 3]);
        check(&[1, 2, 3], &[1, 2, 3]);
        check(&[2, 2, 1, 2], &[1, 2, 2, 2]);
    }

    #[test]
    fn one_that_has_ended_before_counts_too() {
        simulated(|| {
            let early = sleeper(0);
            sleep(SECOND);
            assert!(early.is_finished());
            let order: Vec<_> = as_completed([sleeper(1), early]).map(|(index, _)| index).collect();
            assert_eq!(order, [1, 0]);
        });
    }

    #[test]
    fn panics_and_kills_are_results() {
        simulated(|| {
            let mut set = JoinSet::new();
            set.spawn(|| panic!("one"));
            set.add(sleeper(5));
            set.kill_all();
            set.add(sleeper(1));
            let ended: Vec<String> = std::iter::from_fn(|| set.join_next()).map(|end| format!("{end:?}")).collect();
            assert_eq!(
                ended,
                ["Err(JoinError(the coroutine was killed))", "Err(JoinError(the coroutine was killed))", "Ok(1)"]
            );
        });
    }

    #[test]
    fn a_timeout_loses_nothing() {
        simulated(|| {
            let mut set: JoinSet<u32> = [sleeper(2), sleeper(4)].into_iter().collect();
            let mut ended = Vec::new();
            while !set.is_empty() {
                if let Ok(Some(result)) = timeout(SECOND * 3 / 2, || set.join_next()) {
                    ended.push(result.unwrap());
                }
            }
            assert_eq!(ended, [2, 4]);
            assert!(set.try_join_next().is_none());
        });
    }

    #[test]
    fn a_set_kills_its_members_when_dropped_and_an_iterator_lets_them_go() {
        simulated(|| {
            let (kept, start) = (Rc::new(()), time::now());
            let member = |kept: &Rc<()>| {
                let kept = kept.clone();
                spawn(move || {
                    sleep(SECOND);
                    drop(kept);
                })
            };
            let set: JoinSet<()> = [member(&kept)].into_iter().collect();
            yield_now();
            drop(set);
            yield_now();
            assert_eq!((Rc::strong_count(&kept), time::now()), (1, start));
            drop(as_completed([member(&kept)]));
            yield_now();
            assert_eq!(Rc::strong_count(&kept), 2);
            sleep(SECOND * 2);
            assert_eq!(Rc::strong_count(&kept), 1);
        });
    }

    #[test]
    fn members_that_were_let_go_do_not_come_back() {
        simulated(|| {
            let mut set = JoinSet::new();
            set.add(sleeper(1));
            set.detach_all();
            set.add(sleeper(2));
            assert_eq!(set.join_next().unwrap().unwrap(), 2);
            assert!(set.join_next().is_none());
        });
    }
}
