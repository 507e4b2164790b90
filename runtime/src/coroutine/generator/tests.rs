//! Generators alone, inside coroutines that wait, are killed and timed out, and inside each other.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::net::UnixStream;
use crate::{JoinError, Runtime, join_all, run, scope, sleep, spawn, stats, time, timeout, yield_now};

const SECOND: Duration = Duration::from_secs(1);

fn simulated<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
    Runtime::builder().simulated(1).build().unwrap().run(main).unwrap()
}

/// Counts its drops.
#[derive(Clone, Default)]
struct Drops(Rc<Cell<u32>>);

struct Counted(Drops);

impl Drops {
    fn guard(&self) -> Counted {
        Counted(self.clone())
    }

    fn count(&self) -> u32 {
        self.0.get()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.set(self.0.count() + 1);
    }
}

/// Gives 0, 1, 2, ... for ever, one a second, with a guard on its stack.
fn ticker(drops: &Drops) -> Generator<(), u32, ()> {
    let guard = drops.guard();
    Generator::new(move |yielder, ()| {
        let _guard = guard;
        for n in 0.. {
            sleep(SECOND);
            yielder.suspend(n);
        }
    })
}

fn deep(yielder: &Yielder<'_, u32, u32>, level: u32) -> u32 {
    let marks = [level; 16];
    let below = if level == 0 { yielder.suspend(0) } else { deep(yielder, level - 1) };
    let input = yielder.suspend(below);
    assert_eq!(marks, [level; 16]);
    below + input
}

#[test]
fn it_suspends_from_any_depth_and_keeps_its_locals() {
    let mut generator = Generator::new(|yielder, first| first + deep(yielder, 9));
    let mut yields = 0;
    let total = loop {
        match generator.resume(1) {
            GeneratorState::Yielded(_) => yields += 1,
            GeneratorState::Complete(total) => break total,
        }
    };
    assert_eq!((yields, total, generator.is_complete()), (11, 12, true));
}

#[test]
fn dropped_half_way_it_unwinds_once_and_never_started_it_just_goes() {
    let drops = Drops::default();
    let make = || {
        let guard = drops.guard();
        Generator::new(move |yielder: &Yielder<'_, (), u8>, ()| {
            let _guard = guard;
            yielder.suspend(1);
            yielder.suspend(2);
        })
    };
    drop(make());
    assert_eq!(drops.count(), 1);
    let mut generator = make();
    assert_eq!(generator.next(), Some(1));
    drop(generator);
    assert_eq!(drops.count(), 2);
    assert_eq!(make().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(drops.count(), 3);
}

#[test]
fn a_panic_of_the_body_goes_through_resume() {
    let mut generator = Generator::new(|yielder: &Yielder<'_, (), u8>, ()| {
        yielder.suspend(1);
        panic!("on purpose");
    });
    assert_eq!(generator.next(), Some(1));
    let panic = catch_unwind(AssertUnwindSafe(|| generator.next())).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    assert!(generator.is_complete() && !std::thread::panicking());
    assert_eq!(generator.next(), None);
    assert!(catch_unwind(AssertUnwindSafe(|| generator.resume(()))).is_err());
}

#[test]
fn the_stack_goes_back_at_the_end_and_when_dropped() {
    simulated(|| {
        let before = stats().stacks;
        let mut ended = Generator::new(|yielder: &Yielder<'_, (), ()>, ()| yielder.suspend(()));
        let mut dropped = Generator::with_stack_size(1 << 20, |yielder: &Yielder<'_, (), ()>, ()| yielder.suspend(()));
        assert_eq!(stats().stacks, before + 2);
        while ended.next().is_some() {}
        dropped.next();
        assert_eq!(stats().stacks, before + 1);
        drop(dropped);
        assert_eq!(stats().stacks, before);
    });
}

#[test]
fn a_wait_in_the_body_parks_the_coroutine_around_it() {
    simulated(|| {
        let (drops, start) = (Drops::default(), time::now());
        let others = (0..3).map(|_| drops.clone()).map(|drops| spawn(move || ticker(&drops).take(5).sum::<u32>()));
        assert!(join_all(others).into_iter().all(|sum| sum.unwrap() == 10));
        assert_eq!((time::now() - start, drops.count()), (SECOND * 5, 3));
    });
}

#[test]
fn sockets_work_in_the_body() {
    run(|| {
        let (mut one, mut two) = UnixStream::pair().unwrap();
        let mut bytes = Generator::new(move |yielder, ()| {
            let mut byte = [0];
            while one.read(&mut byte).unwrap() > 0 {
                yielder.suspend(byte[0]);
            }
        });
        let reader = spawn(move || bytes.by_ref().collect::<Vec<u8>>());
        yield_now();
        two.write_all(b"ab").unwrap();
        yield_now();
        two.write_all(b"c").unwrap();
        drop(two);
        assert_eq!(reader.join().unwrap(), b"abc");
    })
    .unwrap();
}

#[test]
fn kill_and_timeout_unwind_through_the_body_and_its_resumer() {
    simulated(|| {
        let drops = Drops::default();
        let (inner, outer) = (drops.clone(), drops.guard());
        let victim = spawn(move || {
            let _outer = outer;
            ticker(&inner).count()
        });
        sleep(SECOND * 3);
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        assert_eq!(drops.count(), 2);

        let mut generator = ticker(&drops);
        assert!(timeout(SECOND / 2, || generator.next()).is_err());
        assert!(generator.is_complete() && drops.count() == 3);
        sleep(SECOND); // no deadline is left behind
    });
}

#[test]
fn a_killed_coroutine_unwinds_what_it_has_suspended() {
    simulated(|| {
        let drops = Drops::default();
        let inner = drops.clone();
        let victim = spawn(move || {
            let mut generator = ticker(&inner);
            generator.next();
            sleep(SECOND * 60);
            generator.next()
        });
        sleep(SECOND * 2);
        victim.kill();
        assert!(victim.join().is_err());
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn a_timeout_block_in_the_body_strikes_there_and_not_the_resumer() {
    simulated(|| {
        let mut generator = Generator::new(|yielder, ()| {
            let inside = timeout(SECOND, || {
                yielder.suspend("first");
                sleep(SECOND * 60);
            });
            yielder.suspend(if inside.is_err() { "late" } else { "in time" });
            sleep(SECOND * 60); // and is gone
        });
        assert_eq!(generator.next(), Some("first"));
        sleep(SECOND * 5); // the block's time is over, and it is not ours
        let start = time::now();
        assert_eq!(generator.next(), Some("late"));
        assert_eq!(time::now() - start, Duration::ZERO);
        assert_eq!(generator.next(), None);
    });
}

#[test]
fn it_may_be_resumed_by_another_coroutine() {
    simulated(|| {
        let drops = Drops::default();
        let guard = drops.guard();
        let mut generator = Generator::new(move |yielder, ()| {
            let _guard = guard;
            let _ = timeout(SECOND * 10, || {
                yielder.suspend(1);
                sleep(SECOND);
                yielder.suspend(2);
            });
            sleep(SECOND);
            yielder.suspend(3);
        });
        assert_eq!(generator.next(), Some(1));
        let other = spawn(move || {
            assert_eq!((generator.next(), generator.next()), (Some(2), Some(3)));
            sleep(SECOND * 60); // no deadline came along
            generator
        });
        let generator = other.join().unwrap();
        assert!(timeout(SECOND, || sleep(SECOND * 2)).is_err());
        drop(generator);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn generators_nest() {
    simulated(|| {
        let outer = Generator::new(|yielder, ()| {
            for tens in 1..=2 {
                let inner = Generator::new(move |yielder, ()| {
                    for ones in 0..2 {
                        sleep(SECOND);
                        yielder.suspend(tens * 10 + ones);
                    }
                });
                inner.for_each(|value| yielder.suspend(value));
            }
        });
        assert_eq!(outer.collect::<Vec<_>>(), [10, 11, 20, 21]);
    });
}

#[test]
fn a_yielder_used_from_another_stack_panics() {
    simulated(|| {
        let mut generator = Generator::new(|yielder: &Yielder<'_, (), u8>, ()| {
            let misuse = scope(|scope| scope.spawn(|| yielder.suspend(1)).join());
            yielder.suspend(u8::from(misuse.is_err()));
        });
        assert_eq!(generator.collect::<Vec<_>>(), [1]);
        generator = Generator::new(|_, ()| {});
        assert_eq!(generator.next(), None);
    });
}

#[test]
fn scoped_children_end_before_the_body_that_is_dropped() {
    simulated(|| {
        let drops = Drops::default();
        let guard = drops.guard();
        let mut generator = Generator::new(move |yielder, ()| {
            let local = Cell::new(1);
            scope(|scope| {
                scope.spawn(|| {
                    let _guard = guard;
                    sleep(SECOND * 60);
                    local.set(2);
                });
                yield_now();
                yielder.suspend(local.get());
            });
        });
        assert_eq!(generator.next(), Some(1));
        drop(generator);
        assert_eq!(drops.count(), 1);
    });
}

#[test]
fn it_is_dropped_while_its_owner_unwinds() {
    let drops = Drops::default();
    let guard = drops.guard();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut generator = Generator::new(move |yielder: &Yielder<'_, (), ()>, ()| {
            let _guard = guard;
            yielder.suspend(());
        });
        generator.next();
        panic!("of the owner");
    }));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"of the owner"));
    assert!(drops.count() == 1 && !std::thread::panicking());
}

#[test]
fn a_body_that_catches_its_end_is_unwound_again() {
    let caught = Rc::new(Cell::new(0));
    let count = caught.clone();
    let mut generator = Generator::new(move |yielder: &Yielder<'_, (), ()>, ()| {
        for _ in 0..5 {
            if catch_unwind(AssertUnwindSafe(|| yielder.suspend(()))).is_err() {
                count.set(count.get() + 1);
            }
        }
    });
    generator.next();
    drop(generator);
    assert_eq!(caught.get(), 5);
}

#[test]
fn a_destructor_may_not_suspend_while_unwinding() {
    let refused = Rc::new(RefCell::new(None));
    let seen = refused.clone();
    let mut generator = Generator::new(move |yielder: &Yielder<'_, (), ()>, ()| {
        struct Suspends<'a, 'b>(&'a Yielder<'b, (), ()>, Rc<RefCell<Option<bool>>>);
        impl Drop for Suspends<'_, '_> {
            fn drop(&mut self) {
                let suspended = catch_unwind(AssertUnwindSafe(|| self.0.suspend(())));
                *self.1.borrow_mut() = Some(suspended.is_err());
            }
        }
        let _suspends = Suspends(yielder, seen);
        yielder.suspend(());
    });
    generator.next();
    drop(generator);
    assert_eq!(refused.take(), Some(true));
}

#[test]
fn one_made_inside_a_runtime_may_outlive_it() {
    let mut generator = run(|| {
        let mut generator = Generator::new(|yielder, ()| (1..=3).for_each(|n| yielder.suspend(n)));
        assert_eq!(generator.next(), Some(1));
        generator
    })
    .unwrap();
    assert_eq!(generator.next(), Some(2));
    drop(generator);
}
