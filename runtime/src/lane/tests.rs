//! Lanes on both drivers.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc;

use super::*;
use crate::{JoinError, Runtime, on_turn_end, spawn, yield_now};

fn on_both(body: fn()) {
    crate::run(body).unwrap();
    Runtime::builder().simulated(1).build().unwrap().run(body).unwrap();
}

#[test]
fn jobs_come_in_order_and_in_batches() {
    on_both(|| {
        let done = Progress::new(0);
        let (seen, all) = mpsc::channel();
        let lane = Lane::start("lane", {
            let done = done.clone();
            move |jobs: &mut VecDeque<u64>| {
                let count = jobs.len().min(3); // what is left comes again
                let batch: Vec<_> = jobs.drain(..count).collect();
                let last = batch.last().copied();
                seen.send(batch).unwrap();
                done.advance(last.expect("work is called with at least one job"));
            }
        })
        .unwrap();
        (1..=100).for_each(|n| lane.send(n).unwrap());
        done.wait(100).unwrap();
        assert_eq!(all.try_iter().flatten().collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
        assert!(lane.is_empty());
    });
}

#[test]
fn a_work_function_may_wait_for_more() {
    on_both(|| {
        let done = Progress::new(0);
        let lane = Lane::start("pairs", {
            let done = done.clone();
            move |jobs: &mut VecDeque<u64>| {
                while jobs.len() >= 2 {
                    let pair = jobs.drain(..2).max().expect("there are two");
                    done.advance(pair);
                }
            }
        })
        .unwrap();
        lane.send(1).unwrap();
        (0..100).for_each(|_| yield_now());
        assert_eq!(done.value(), 0);
        lane.send(2).unwrap();
        done.wait(2).unwrap();
    });
}

#[test]
fn the_last_handle_lets_the_lane_finish_and_end() {
    struct Gone(Progress);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.advance(u64::MAX);
        }
    }
    on_both(|| {
        let (done, gone) = (Progress::new(0), Progress::new(0));
        let lane = Lane::start("lane", {
            let (done, gone) = (done.clone(), Gone(gone.clone()));
            move |jobs: &mut VecDeque<u64>| {
                let _ = &gone;
                jobs.drain(..).for_each(|n| done.advance(n));
            }
        })
        .unwrap();
        let clone = lane.clone();
        drop(lane);
        clone.send(1).unwrap();
        drop(clone);
        gone.wait(u64::MAX).unwrap();
        assert_eq!(done.value(), 1);
    });
}

#[test]
fn a_panic_ends_the_lane_and_drops_what_is_queued() {
    on_both(|| {
        let lane = Lane::start("lane", |_: &mut VecDeque<Reply<()>>| panic!("on purpose")).unwrap();
        let (one, answer) = reply();
        lane.send(one).unwrap();
        assert_eq!(answer.wait(), Err(NoReply));
        while lane.send(reply().0).is_ok() {
            yield_now();
        }
    });
}

#[test]
fn the_runtime_ends_its_lanes() {
    let (sender, done) = mpsc::channel();
    let kept = crate::run(move || {
        let lane = Lane::start("lane", move |jobs: &mut VecDeque<u64>| {
            jobs.drain(..).for_each(|n| sender.send(n).unwrap());
        })
        .unwrap();
        lane.send(1).unwrap();
        lane
    })
    .unwrap();
    assert_eq!(done.try_iter().collect::<Vec<_>>(), [1]);
    assert_eq!(kept.send(2), Err(2));
}

#[test]
fn progress_wakes_those_it_has_reached() {
    on_both(|| {
        let progress = Progress::new(5);
        progress.wait(5).unwrap();
        let waiters: Vec<_> = [6, 7, 9]
            .map(|target| {
                let progress = progress.clone();
                spawn(move || progress.wait(target))
            })
            .into();
        yield_now();
        progress.advance(3); // never back
        assert_eq!(progress.value(), 5);
        progress.advance(7);
        let mut waiters = waiters.into_iter();
        assert_eq!(waiters.by_ref().take(2).map(|waiter| waiter.join().unwrap()).collect::<Vec<_>>(), [Ok(()), Ok(())]);
        progress.end();
        assert_eq!(waiters.next().unwrap().join().unwrap(), Err(Ended));
        assert_eq!((progress.wait(8), progress.wait(7), progress.is_ended()), (Err(Ended), Ok(()), true));
        assert!(progress.watchers().waiting.is_empty());
    });
}

#[test]
fn a_killed_waiter_leaves_the_list() {
    on_both(|| {
        let progress = Progress::new(0);
        let waiter = spawn({
            let progress = progress.clone();
            move || progress.wait(1)
        });
        yield_now();
        waiter.kill();
        assert!(matches!(waiter.join(), Err(JoinError::Killed)));
        assert!(progress.watchers().waiting.is_empty());
    });
}

#[test]
fn a_bell_has_a_sleeping_shard_run_its_hooks() {
    on_both(|| {
        let (durable, confirmed) = (Progress::new(0), Progress::new(0));
        durable.add_bell(Bell::of_this_shard());
        on_turn_end({
            let (durable, confirmed) = (durable.clone(), confirmed.clone());
            move || confirmed.advance(durable.value())
        });
        let lane = Lane::start("lane", {
            let durable = durable.clone();
            move |jobs: &mut VecDeque<u64>| jobs.drain(..).for_each(|n| durable.advance(n))
        })
        .unwrap();
        for n in 1..10 {
            lane.send(n).unwrap();
            confirmed.wait(n).unwrap();
        }
    });
}

#[test]
fn a_worker_keeps_its_value_and_passes_on_panics_and_errors() {
    on_both(|| {
        let worker = Worker::start("worker", || Ok(Rc::new(std::cell::Cell::new(1)))).unwrap();
        assert_eq!(worker.call(|value| value.replace(2)).unwrap(), 1);
        assert!(matches!(worker.call(|_| panic!("on purpose")), Err(JoinError::Panicked(_))));
        assert_eq!(worker.clone().call(|value| value.get()).unwrap(), 2);
        let refused = Worker::<()>::start("worker", || Err(io::ErrorKind::NotFound.into()));
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}
