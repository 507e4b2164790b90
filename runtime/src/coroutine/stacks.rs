//! Where a coroutine's stack comes from: pools by size, and machines whose stack is set up already.
//!
//! Setting up a stack, and giving it back, costs more than a short body. So a machine that has run its body to the end
//! waits on its stack for another one ([`serve`]) instead of ending; the one that ended last is the next to be used, while
//! its stack is in the caches. Only machines on stacks of the default size are kept, and not many. An idle machine is not
//! a coroutine: nobody can name, list, kill or inspect it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

use corosensei::{Coroutine, Yielder};

use super::current;
use super::stack::{PooledStack, StackPool};
use super::task::{Machine, State};

/// Idle machines that are kept for the next coroutines.
const IDLE_MACHINES_MAX: usize = 1024;

/// Stack pools by size, and idle machines on stacks of the default size.
pub(crate) struct Stacks {
    default: Rc<StackPool>,
    others: RefCell<BTreeMap<usize, Rc<StackPool>>>,
    idle: RefCell<Vec<Machine>>,
}

impl Stacks {
    /// Pools of stacks of `size` usable bytes where nothing else is asked for.
    pub(crate) fn new(size: usize) -> Stacks {
        Stacks { default: StackPool::new(size), others: RefCell::default(), idle: RefCell::default() }
    }

    /// Puts a machine into `place` that runs the body of the coroutine it is first resumed as, on a stack of the default size
    /// or of `size`.
    ///
    /// # Errors
    /// The kernel gave no memory for the stack.
    #[inline(always)]
    pub(super) fn equip(&self, place: &mut Option<Machine>, size: Option<usize>) -> io::Result<()> {
        if size.is_none() {
            *place = self.idle.borrow_mut().pop();
        }
        match place {
            Some(_) => Ok(()),
            None => self.equip_anew(place, size),
        }
    }

    #[cold]
    fn equip_anew(&self, place: &mut Option<Machine>, size: Option<usize>) -> io::Result<()> {
        *place = Some(Coroutine::with_stack(self.take(size)?, serve));
        Ok(())
    }

    /// Whether a machine whose stack has the default size should wait for another body.
    #[inline]
    fn wants_idle(&self) -> bool {
        self.idle.borrow().len() < IDLE_MACHINES_MAX
    }

    /// Takes a machine that waits for another body out of its place, and keeps it.
    #[inline(always)]
    pub(super) fn keep(&self, place: &mut Option<Machine>) {
        self.idle.borrow_mut().extend(place.take());
    }

    /// Ends the idle machines, so that their stacks go back to the pool.
    pub(crate) fn end_idle(&self) {
        for mut machine in self.idle.take() {
            machine.resume(()); // with no coroutine that runs
            debug_assert!(machine.done(), "a machine that is given no body ends");
        }
    }

    /// A stack for other purposes than a coroutine's.
    pub(crate) fn take(&self, size: Option<usize>) -> io::Result<PooledStack> {
        match size {
            None => self.default.take(),
            Some(size) => match StackPool::rounded(size) {
                size if size == self.default.stack_size() => self.default.take(),
                size => self.others.borrow_mut().entry(size).or_insert_with(|| StackPool::new(size)).take(),
            },
        }
    }

    /// As [`StackPool::cool`], for all.
    pub(crate) fn cool(&self) -> bool {
        let others = self.others.borrow();
        others.values().fold(self.default.cool(), |more, pool| pool.cool() || more)
    }

    /// Stacks that somebody uses.
    pub(crate) fn in_use(&self) -> usize {
        self.uses().map(|(_, in_use)| in_use).sum()
    }

    /// The most that were in use at once, of each size.
    pub(crate) fn most(&self) -> usize {
        self.uses().map(|(pool, _)| pool.most()).sum()
    }

    /// The pools with how many of their stacks somebody uses, the default one first.
    pub(crate) fn uses(&self) -> impl Iterator<Item = (Rc<StackPool>, usize)> {
        let default = (self.default.clone(), self.default.in_use() - self.idle.borrow().len());
        let others: Vec<_> = self.others.borrow().values().map(|pool| (pool.clone(), pool.in_use())).collect();
        std::iter::once(default).chain(others)
    }
}

impl Drop for Stacks {
    fn drop(&mut self) {
        self.end_idle();
    }
}

/// The first function on every coroutine's stack: runs one body after the other, each as the coroutine that it is resumed
/// as, until it is resumed as none. Bodies catch their panics themselves.
fn serve(yielder: &Yielder<(), ()>, (): ()) {
    while let Some(task) = current::try_running() {
        task.yielder.set(yielder);
        task.run_body();
        task.state.set(State::Done);
        if !task.shares_stack || !current::with(|shard| shard.stacks.wants_idle()) {
            return;
        }
        yielder.suspend(());
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    use super::*;
    use crate::{
        Builder, JoinError, Runtime, coroutine_local, current_name, join_all, run, sleep, spawn, stats, timeout,
        yield_now,
    };

    const HOUR: Duration = Duration::from_secs(3600);

    coroutine_local! { static TOUCHED: Cell<bool> = Cell::new(false); }

    /// Address of something on the running stack, to the page.
    fn page() -> usize {
        let here = 0u8;
        (&raw const here).addr() / 4096
    }

    /// Whatever the last coroutine did and however it ended, the next one has its stack and its entry and nothing else of it.
    fn check(end_one: impl Fn() -> *const u8 + 'static) {
        let simulated = Runtime::builder().simulated(1).build().expect("a runtime");
        let checked = simulated.run(move || {
            let entry = end_one();
            let next = Builder::new().name("next").spawn(|| {
                assert_eq!((TOUCHED.get(), current_name().as_str()), (false, "next"));
                sleep(HOUR);
                yield_now();
                timeout(HOUR, || sleep(HOUR / 2)).expect("no other deadline is left");
                catch_unwind(AssertUnwindSafe(|| crate::sync::Event::new().wait_timeout(HOUR)))
                    .expect("it is not killed")
            });
            let next = next.expect("a stack");
            assert_eq!(Rc::as_ptr(next.task()).cast::<u8>(), entry, "the entry is used again");
            assert!(!next.is_finished());
            yield_now();
            assert!(!next.is_finished());
            assert!(!next.join().expect("it ends well"));
        });
        checked.expect("no deadlock");
    }

    #[test]
    fn the_next_coroutine_has_stack_and_entry_of_the_last_and_nothing_else_of_it() {
        let entry = |handle: &crate::JoinHandle<()>| Rc::as_ptr(handle.task()).cast::<u8>();
        check(move || {
            let returns = spawn(|| TOUCHED.set(true));
            let entry = entry(&returns);
            returns.join().expect("it returns");
            entry
        });
        check(move || {
            let panics = spawn(|| timeout(HOUR, || panic!("on purpose")).expect("it panics first"));
            let entry = entry(&panics);
            assert!(matches!(panics.join(), Err(JoinError::Panicked(_))));
            entry
        });
        check(move || {
            let never_begins = spawn(|| unreachable!("it is killed"));
            let entry = entry(&never_begins);
            never_begins.kill();
            assert!(matches!(never_begins.join(), Err(JoinError::Killed)));
            entry
        });
        check(move || {
            let swallows = spawn(|| {
                for _ in 0..3 {
                    let _ = catch_unwind(AssertUnwindSafe(|| sleep(HOUR)));
                }
                timeout(Duration::from_secs(1), || sleep(HOUR)).expect_err("its time is over");
            });
            let entry = entry(&swallows);
            yield_now();
            swallows.kill();
            assert!(matches!(swallows.join(), Err(JoinError::Killed)));
            entry
        });
        check(move || {
            let detached = spawn(|| TOUCHED.set(true));
            let entry = entry(&detached);
            drop(detached);
            yield_now();
            entry
        });
    }

    #[test]
    fn an_entry_that_somebody_refers_to_is_not_used_again() {
        run(|| {
            let (first, second) = (spawn(|| ()), spawn(|| ()));
            yield_now();
            let third = spawn(|| ());
            let entries = [&first, &second, &third].map(|handle| Rc::as_ptr(handle.task()));
            assert!(entries[0] != entries[1] && entries[2] != entries[0] && entries[2] != entries[1]);
            first.kill(); // of the past, and so of nobody
            third.join().expect("it was not killed");
        })
        .expect("no deadlock");
    }

    #[test]
    fn stacks_are_used_again_and_are_not_in_use_meanwhile() {
        run(|| {
            let before = stats();
            let pages: Vec<_> = (0..10).map(|_| spawn(page).join().expect("it returns")).collect();
            assert!(pages.iter().all(|page| *page == pages[0]), "{pages:?}");
            for _ in 0..2 {
                join_all((0..IDLE_MACHINES_MAX + 10).map(|_| spawn(yield_now)));
                assert_eq!(stats().stacks, before.stacks);
                assert_eq!(stats().stacks_most, before.stacks_most.max(IDLE_MACHINES_MAX + 11));
            }
            let large = Builder::new().stack_size(1 << 20).spawn(page).expect("a stack");
            assert_eq!(stats().stacks, before.stacks + 1);
            large.join().expect("it returns");
            assert_eq!(stats().stacks, before.stacks);
        })
        .expect("no deadlock");
    }

    /// Where one that has not begun stands is not asked: to be resumed would begin it.
    #[test]
    fn one_that_has_not_begun_is_inspected_without_beginning() {
        run(|| {
            spawn(|| ()).join().expect("it returns");
            let began = Rc::new(Cell::new(false));
            let begins = began.clone();
            let next = spawn(move || begins.set(true));
            let seen = current::with(|shard| shard.inspect(true));
            assert!(seen.iter().all(|one| one.backtrace.is_none()) && !began.get());
            next.join().expect("it returns");
            assert!(began.get());
        })
        .expect("no deadlock");
    }

    #[test]
    fn all_who_wait_for_an_end_are_told() {
        use crate::sync::{Event, Select};
        let simulated = Runtime::builder().simulated(1).build().expect("a runtime");
        let told = simulated.run(|| {
            let over = Rc::new(Event::new());
            let until = over.clone();
            let ends = Rc::new(spawn(move || until.wait()));
            let waiting = |_| {
                let ends = ends.clone();
                spawn(move || {
                    let mut select = Select::new();
                    select.join(&ends);
                    select.wait_timeout(HOUR).is_some()
                })
            };
            let waiting: Vec<_> = (0..3).map(waiting).collect();
            yield_now();
            over.set();
            let start = crate::time::now();
            let told = join_all(waiting).into_iter().all(|told| told.expect("it returns"));
            told && crate::time::now() == start // and not by a last look when their time was over
        });
        assert!(told.expect("no deadlock"));
    }

    #[test]
    fn a_runtime_that_has_ended_has_given_all_stacks_back() {
        let pool = run(|| {
            spawn(|| ()).join().expect("it returns");
            current::with(|shard| Rc::downgrade(&shard.stacks.default))
        });
        assert!(pool.expect("no deadlock").upgrade().is_none(), "each stack keeps its pool alive");
    }
}
