//! Tests of the queues.

use std::cmp::Reverse;
use std::rc::Rc;

use super::*;
use crate::sync::channel;
use crate::sync::testing::{SECOND, simulated};
use crate::{JoinHandle, select, sleep, spawn, timeout, yield_now};

#[test]
fn values_come_in_the_order_of_the_queue() {
    let check = |put: &[(u8, u8)], expected: &[(u8, u8)]| {
        // Only the first part counts, so that equals can be told apart.
        #[derive(PartialEq, Eq, Debug)]
        struct Job(u8, u8);
        impl Ord for Job {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.cmp(&other.0)
            }
        }
        impl PartialOrd for Job {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        let queue = PriorityQueue::unbounded();
        put.iter().for_each(|&(rank, name)| queue.push(Job(rank, name)));
        let taken: Vec<_> = std::iter::from_fn(|| queue.try_pop()).map(|job| (job.0, job.1)).collect();
        assert_eq!(taken, expected);
        let queue = LifoQueue::unbounded();
        put.iter().for_each(|job| queue.push(job));
        let taken: Vec<_> = std::iter::from_fn(|| queue.try_pop()).collect();
        assert_eq!(taken, put.iter().rev().collect::<Vec<_>>());
    };
    check(&[], &[]);
    check(&[(1, 1)], &[(1, 1)]);
    check(&[(1, 1), (2, 2), (0, 3)], &[(2, 2), (1, 1), (0, 3)]);
    check(&[(1, 1), (1, 2), (2, 3), (1, 4), (2, 5)], &[(2, 3), (2, 5), (1, 1), (1, 2), (1, 4)]);
}

#[test]
fn the_smallest_first_by_reverse() {
    let queue = PriorityQueue::bounded(3);
    [5, 1, 3].into_iter().for_each(|n| queue.push(Reverse(n)));
    assert_eq!(queue.try_push(Reverse(0)), Err(Reverse(0)));
    assert_eq!(queue.try_pop(), Some(Reverse(1)));
    assert_eq!((queue.len(), queue.is_empty(), queue.capacity()), (2, false, Some(3)));
}

/// A coroutine that takes one value.
fn taker(queue: &Rc<PriorityQueue<u32>>) -> JoinHandle<u32> {
    let queue = queue.clone();
    let taker = spawn(move || queue.pop());
    yield_now();
    taker
}

#[test]
fn who_waits_is_served_in_order_and_nobody_overtakes() {
    simulated(|| {
        let queue = Rc::new(PriorityQueue::unbounded());
        let takers = [taker(&queue), taker(&queue)];
        queue.push(1);
        queue.push(2);
        assert_eq!((queue.len(), queue.try_pop()), (0, None), "both are promised");
        queue.push(9);
        let taken: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        assert_eq!(taken.len(), 2);
        let mut all = [taken, vec![queue.pop()]].concat();
        all.sort();
        assert_eq!(all, [1, 2, 9]);
    });
}

#[test]
fn who_finds_no_room_waits_and_is_admitted_in_order() {
    simulated(|| {
        let queue = Rc::new(LifoQueue::bounded(1));
        queue.push(0);
        let pusher = |n| {
            let queue = queue.clone();
            let pusher = spawn(move || queue.push(n));
            yield_now();
            pusher
        };
        let pushers = [pusher(1), pusher(2)];
        assert_eq!(queue.push_timeout(7, SECOND), Err(7));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (0, 1, 2));
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert_eq!(queue.pop_timeout(SECOND), None);
        assert_eq!(queue.push_timeout(7, SECOND), Ok(()));
        assert_eq!(queue.pop_timeout(SECOND), Some(7));
    });
}

#[test]
fn a_kill_takes_nothing_with_it() {
    simulated(|| {
        let queue = Rc::new(PriorityQueue::bounded(1));
        let (killed, waits) = (taker(&queue), taker(&queue));
        killed.kill();
        queue.push(1);
        assert_eq!(waits.join().unwrap(), 1);
        assert!(killed.join().is_err());
        // Woken with a value and killed before it runs: it has the value.
        let late = taker(&queue);
        queue.push(2);
        late.kill();
        assert_eq!(late.join().unwrap(), 2);
        // So for a pusher.
        queue.push(3);
        assert!(timeout(SECOND, || queue.push(4)).is_err());
        let theirs = queue.clone();
        let pusher = spawn(move || theirs.push(5));
        yield_now();
        assert_eq!(queue.pop(), 3);
        pusher.kill();
        pusher.join().unwrap();
        assert_eq!((queue.pop(), queue.len()), (5, 0));
    });
}

#[test]
fn a_select_takes_from_queues_and_passes_on_what_it_does_not_take() {
    simulated(|| {
        let (jobs, stack) = (Rc::new(PriorityQueue::unbounded()), LifoQueue::<u32>::unbounded());
        let (_sender, never) = channel::unbounded::<u32>();
        let theirs = jobs.clone();
        let pushes = spawn(move || {
            sleep(SECOND);
            theirs.push(7);
        });
        let taken = select! {
            pop(*jobs) -> job => job,
            pop(stack) -> _other => 0,
            recv(never) -> _value => 1,
        };
        assert_eq!(taken, 7);
        pushes.join().unwrap();
        let mut select = crate::sync::Select::new();
        let first = select.pop(&*jobs);
        jobs.push(8);
        assert_eq!(select.wait(), first);
        let other = taker(&jobs);
        drop(select); // without taking it
        assert_eq!(other.join().unwrap(), 8);
    });
}

/// Values neither vanish nor double, whatever the schedule.
#[test]
fn many_pushers_and_takers_under_many_seeds() {
    for seed in 0..50 {
        let runtime = crate::Runtime::builder().simulated(seed).build().unwrap();
        let ended = runtime.run(move || {
            let queue = Rc::new(PriorityQueue::bounded(2));
            let pushers: Vec<_> = (0..5)
                .map(|pusher| {
                    let queue = queue.clone();
                    spawn(move || (0..20).for_each(|n| queue.push(pusher * 100 + n)))
                })
                .collect();
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    let queue = queue.clone();
                    spawn(move || (0..25).map(|_| queue.pop()).collect::<Vec<u32>>())
                })
                .collect();
            let mut taken: Vec<u32> = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();
            taken.sort();
            pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
            assert_eq!(taken, (0..5).flat_map(|pusher| (0..20).map(move |n| pusher * 100 + n)).collect::<Vec<_>>());
            assert!(queue.is_empty());
        });
        ended.unwrap_or_else(|deadlock| panic!("seed {seed}: {deadlock}"));
    }
}
