//! Tests of groups and pools, on virtual time.

use std::cell::Cell;

use super::*;
use crate::{Runtime, sleep, spawn, timeout, yield_now};

const SECOND: Duration = Duration::from_secs(1);

fn simulated<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
    Runtime::builder().simulated(1).build().expect("a valid configuration").run(main).expect("no deadlock")
}

/// Counts how many run at once.
#[derive(Clone, Default)]
struct Gauge(Rc<(Cell<usize>, Cell<usize>)>);

impl Gauge {
    fn run(&self, seconds: u32) {
        let (now, most) = &*self.0;
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        sleep(SECOND * seconds);
        now.set(now.get() - 1);
    }

    fn most(&self) -> usize {
        self.0.1.get()
    }
}

#[test]
fn a_pool_runs_no_more_at_once_than_its_size() {
    let check = |size: usize, jobs: u32, seconds: u64| {
        simulated(move || {
            let (pool, gauge, start) = (Pool::new(size), Gauge::default(), time::now());
            for _ in 0..jobs {
                let gauge = gauge.clone();
                let _ = pool.spawn(move || gauge.run(1));
            }
            pool.join();
            assert_eq!(gauge.most(), size.min(jobs as usize));
            assert_eq!(time::now() - start, Duration::from_secs(seconds));
            assert_eq!((pool.len(), pool.free()), (0, size));
        });
    };
    check(1, 3, 3);
    check(2, 3, 2);
    check(3, 3, 1);
    check(9, 3, 1);
}

#[test]
fn map_keeps_order_and_borrows() {
    simulated(|| {
        let (pool, gauge) = (Pool::new(2), Gauge::default());
        let delays = [3, 1, 2, 1];
        let lend = &gauge;
        let results = pool.map(delays.iter().enumerate(), |(index, &seconds)| {
            lend.run(seconds);
            index
        });
        assert_eq!(results.unwrap(), [0, 1, 2, 3]);
        assert_eq!(gauge.most(), 2);
        assert_eq!(pool.map([0; 0], |n| n).unwrap(), []);
    });
}

#[test]
fn map_gives_the_first_failure_and_kills_the_others() {
    simulated(|| {
        let (group, start) = (Group::new(), time::now());
        let failed = group.map([5, 1, 9], |seconds| {
            sleep(SECOND * seconds);
            assert_ne!(seconds, 1, "one is wrong");
        });
        let message = failed.unwrap_err().message().unwrap().to_owned();
        assert!(message.contains("one is wrong"), "{message}");
        assert_eq!(time::now() - start, SECOND * 5, "failures are told in order, and nobody waits for the rest");
        assert!(group.is_empty());
    });
}

#[test]
fn a_timed_out_map_ends_its_members() {
    simulated(|| {
        let pool = Pool::new(2);
        assert!(timeout(SECOND, || pool.map(0..5, |_| sleep(SECOND * 60))).is_err());
        assert_eq!((pool.len(), pool.free()), (0, 2));
    });
}

#[test]
fn imap_gives_results_in_one_order_or_the_other() {
    simulated(|| {
        let delays = [9u32, 2, 4, 1];
        let work = |seconds| {
            sleep(SECOND * seconds);
            seconds
        };
        for size in [1, 2, 9] {
            let pool = Pool::new(size);
            let ordered: Vec<u32> = pool.imap(delays, work).map(Result::unwrap).collect();
            assert_eq!(ordered, delays);
            let unordered: Vec<u32> = pool.imap_unordered(delays, work).map(Result::unwrap).collect();
            let expected = match size {
                1 => [9, 2, 4, 1],
                2 => [2, 4, 1, 9], // one place is taken by the first, the others follow each other in the second
                _ => [1, 2, 4, 9],
            };
            assert_eq!(unordered, expected, "{size}");
        }
    });
}

#[test]
fn imap_runs_ahead_by_no_more_than_the_pool_and_stops_when_dropped() {
    simulated(|| {
        let (pool, begun) = (Pool::new(3), Rc::new(Cell::new(0)));
        let counter = begun.clone();
        let mut results = pool.imap(0.., move |n| {
            counter.set(counter.get() + 1);
            n
        });
        assert_eq!(results.next().unwrap().unwrap(), 0);
        sleep(SECOND);
        assert_eq!(begun.get(), 3);
        assert_eq!(results.next().unwrap().unwrap(), 1);
        sleep(SECOND);
        assert_eq!(begun.get(), 4);
        drop(results);
        pool.join();
        assert_eq!(begun.get(), 4);
    });
}

#[test]
fn a_timeout_in_imap_loses_no_result() {
    simulated(|| {
        let pool = Pool::new(2);
        let work = |n| {
            sleep(SECOND * 2);
            n
        };
        let mut results = pool.imap(0..4, work);
        let mut taken = Vec::new();
        loop {
            match timeout(SECOND, || results.next()) {
                Ok(Some(result)) => taken.push(result.unwrap()),
                Ok(None) => break,
                Err(_) => {}
            }
        }
        assert_eq!(taken, [0, 1, 2, 3]);
    });
}

#[test]
fn members_leave_however_they_end() {
    simulated(|| {
        let group = Group::new();
        let panics = group.spawn(|| panic!("a member may"));
        let killed = group.spawn(|| sleep(SECOND * 60));
        yield_now();
        killed.kill();
        let unborn = group.spawn(|| unreachable!("killed before it began"));
        unborn.kill();
        let _ = group.spawn(|| sleep(SECOND));
        assert_eq!(group.len(), 3);
        assert!(!group.join_timeout(SECOND / 2));
        assert_eq!(group.len(), 1);
        group.join();
        assert!(panics.join().is_err() && killed.join().is_err() && unborn.join().is_err());
    });
}

#[test]
fn a_dropped_group_kills_and_a_detached_one_does_not() {
    simulated(|| {
        let ends = |detach: bool| {
            let group = Group::new();
            let member = group.spawn(|| sleep(SECOND));
            yield_now();
            match detach {
                true => group.detach(),
                false => drop(group),
            }
            member.join()
        };
        assert!(ends(false).is_err());
        assert!(ends(true).is_ok());
    });
}

#[test]
fn a_spawner_that_is_killed_while_it_waits_for_room_takes_none() {
    simulated(|| {
        let pool = Rc::new(Pool::new(1));
        let _ = pool.spawn(|| sleep(SECOND));
        let theirs = pool.clone();
        let spawner = spawn(move || drop(theirs.spawn(|| unreachable!("it never begins"))));
        yield_now();
        assert!(pool.try_spawn(|| ()).is_err());
        spawner.kill();
        pool.join();
        assert!(spawner.join().is_err());
        assert!(pool.try_spawn(|| ()).is_ok());
    });
}
