//! Greenlets: the tutorial's program, parents, panics, waits, and switches that cannot be.

use std::cell::{OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::*;
use crate::{JoinError, Runtime, sleep, spawn, time, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn simulated<R: 'static>(main: impl FnOnce() -> R + 'static) -> R {
    Runtime::builder().simulated(1).build().unwrap().run(main).unwrap()
}

/// A place for a greenlet that others know before it is made.
type Place<T = ()> = Rc<OnceCell<Greenlet<T>>>;
type Log<T> = Rc<RefCell<Vec<T>>>;

#[test]
fn the_tutorial_prints_12_56_34_78() {
    let (log, gr2) = (Log::default(), Place::default());
    let gr1 = Greenlet::new({
        let (log, gr2) = (log.clone(), gr2.clone());
        move |()| {
            log.borrow_mut().push(12);
            gr2.get().unwrap().switch();
            log.borrow_mut().push(34);
            gr2.get().unwrap().switch();
            log.borrow_mut().push(0); // never
        }
    });
    let made = Greenlet::new({
        let (log, gr1) = (log.clone(), gr1.clone());
        move |()| {
            log.borrow_mut().push(56);
            gr1.switch();
            log.borrow_mut().push(78);
        }
    });
    let gr2 = gr2.get_or_init(|| made);
    gr1.switch();
    assert_eq!(*log.borrow(), [12, 56, 34, 78]);
    assert!(gr2.is_finished() && !gr1.is_finished());
    gr2.switch(); // has ended: its parent, who is here, goes on
    assert_eq!(log.take(), [12, 56, 34, 78]);
}

#[test]
fn values_go_with_switches_and_the_last_one_to_the_parent() {
    let adder = Greenlet::new(|first: u32| {
        let second = Greenlet::outside().switch_with(first * 10);
        first + second
    });
    assert_eq!((adder.switch_with(3), adder.switch_with(4), adder.switch_with(5)), (30, 7, 5));
}

#[test]
fn the_end_goes_to_the_parent_that_made_it() {
    let log = Log::default();
    let inner = log.clone();
    let parent = Greenlet::new(move |start: u32| {
        let note = inner.clone();
        let child = Greenlet::new(move |value| {
            note.borrow_mut().push(("child", value));
            value + 1
        });
        let from_child = child.switch_with(start + 1);
        inner.borrow_mut().push(("parent", from_child));
        child.switch_with(100) // ended: comes back to its parent at once
    });
    assert_eq!(parent.switch_with(1), 100);
    assert_eq!(log.take(), [("child", 2), ("parent", 3)]);
}

#[test]
fn a_switch_to_oneself_and_from_outside_to_outside_returns_at_once() {
    let own = Place::<u32>::default();
    let inner = own.clone();
    let made = Greenlet::new(move |value| inner.get().unwrap().switch_with(value + 1) + 1);
    assert_eq!(own.get_or_init(|| made).switch_with(5), 7);
    assert_eq!(Greenlet::outside().switch_with(9), 9);
}

#[test]
fn a_panic_goes_to_the_parents_switch() {
    let parent = Greenlet::new(|_| {
        let child = Greenlet::new(|_: u32| panic!("of the child"));
        let caught = catch_unwind(AssertUnwindSafe(|| child.switch_with(0)));
        u32::from(caught.is_err() && child.is_finished())
    });
    assert_eq!(parent.switch_with(0), 1);
    let alone = Greenlet::new(|()| panic!("alone"));
    let panic = catch_unwind(AssertUnwindSafe(|| alone.switch())).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"alone"));
}

#[test]
fn the_last_handle_unwinds_the_body() {
    struct Note(Log<u8>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.0.borrow_mut().push(1);
        }
    }
    let log = Log::default();
    let note = Note(log.clone());
    let greenlet = Greenlet::new(move |()| {
        let _note = note;
        Greenlet::outside().switch();
        unreachable!("nobody switches back");
    });
    greenlet.switch();
    assert_eq!(*log.borrow(), [0u8; 0]);
    drop(greenlet.clone());
    assert_eq!(*log.borrow(), [0u8; 0]);
    drop(greenlet);
    assert_eq!(log.take(), [1]);
}

#[test]
fn a_body_that_catches_its_end_and_switches_is_unwound_again() {
    let log = Log::default();
    let inner = log.clone();
    let greenlet = Greenlet::new(move |()| {
        for n in 0..3 {
            if catch_unwind(AssertUnwindSafe(|| Greenlet::outside().switch())).is_err() {
                inner.borrow_mut().push(n);
            }
        }
    });
    greenlet.switch();
    drop(greenlet);
    assert_eq!(log.take(), [0, 1, 2]);
}

#[test]
fn a_wait_parks_the_coroutine_with_all_its_greenlets() {
    simulated(|| {
        let start = time::now();
        let sleepers: Vec<_> = (0..3)
            .map(|_| {
                spawn(|| {
                    let one = Greenlet::new(|()| sleep(SECOND));
                    let two = Greenlet::new(move |()| {
                        sleep(SECOND);
                        one.switch();
                    });
                    two.switch();
                    two.switch();
                })
            })
            .collect();
        crate::join_all(sleepers).into_iter().for_each(|ended| ended.unwrap());
        assert_eq!(time::now() - start, SECOND * 2);
    });
}

#[test]
fn kill_and_timeout_pass_by_the_parents() {
    simulated(|| {
        let parent = || {
            Greenlet::new(|()| {
                let child = Greenlet::new(|()| sleep(SECOND * 60));
                let caught = catch_unwind(AssertUnwindSafe(|| child.switch()));
                assert!(caught.is_err(), "unwound because the greenlet is dropped");
                caught.unwrap_or_else(|payload| resume_unwind(payload));
            })
        };
        let victim = spawn(move || parent().switch());
        sleep(SECOND);
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        let greenlet = parent();
        assert!(timeout(SECOND, || greenlet.switch()).is_err());
        assert!(!greenlet.is_finished());
        sleep(SECOND * 5);
    });
}

#[test]
fn one_that_runs_elsewhere_cannot_be_switched_to() {
    simulated(|| {
        let sleeper = Greenlet::new(|()| sleep(SECOND));
        let other = spawn({
            let sleeper = sleeper.clone();
            move || sleeper.switch()
        });
        crate::yield_now();
        assert!(catch_unwind(AssertUnwindSafe(|| sleeper.switch())).is_err());
        other.join().unwrap();
        assert!(sleeper.is_finished());
    });
}

#[test]
fn one_may_be_continued_by_another_coroutine() {
    simulated(|| {
        let greenlet = Greenlet::new(|n: u32| {
            let n = Greenlet::outside().switch_with(n + 1);
            sleep(SECOND);
            n + 1
        });
        assert_eq!(greenlet.switch_with(1), 2);
        assert_eq!(spawn(move || greenlet.switch_with(10)).join().unwrap(), 11);
    });
}
