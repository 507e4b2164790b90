//! The runtime's core through its public surface: spawning, joining, waiting, ending, shards.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::net::{TcpListener, TcpStream};
use leveret_runtime::{
    JoinError, Runtime, call, join_all, run, scope, shard_id, shards, sleep, spawn, spawn_on, time, timeout, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

/// On virtual time, which makes an hour as short as nothing.
fn simulated<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
    Runtime::builder().simulated(1).build().unwrap().run(main).unwrap()
}

#[test]
fn a_value_comes_back_through_join() {
    assert_eq!(run(|| spawn(|| 6 * 7).join().unwrap()).unwrap(), 42);
}

#[test]
fn a_panic_comes_back_through_join_and_harms_nobody_else() {
    run(|| {
        let bad = spawn(|| panic!("on purpose"));
        let good = spawn(|| 1);
        assert_eq!(bad.join().unwrap_err().message(), Some("on purpose"));
        assert_eq!(good.join().unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn coroutines_run_in_the_order_of_spawning_and_yielding() {
    let order = run(|| {
        let order = Rc::new(RefCell::new(Vec::new()));
        let handles: Vec<_> = (0..3)
            .map(|id| {
                let order = order.clone();
                spawn(move || {
                    for round in 0..2 {
                        order.borrow_mut().push((round, id));
                        yield_now();
                    }
                })
            })
            .collect();
        join_all(handles);
        order.take()
    })
    .unwrap();
    assert_eq!(order, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
}

#[test]
fn locals_survive_a_million_switches_in_nested_calls() {
    fn deep(level: u32, rounds: u32) -> u64 {
        let marks = [u64::from(level); 8];
        let below = if level == 0 { 0 } else { deep(level - 1, rounds) };
        for _ in 0..rounds {
            yield_now();
        }
        assert_eq!(marks, [u64::from(level); 8]);
        below + marks[3]
    }
    run(|| {
        let handles: Vec<_> = (0..10).map(|_| spawn(|| deep(9, 10_000))).collect();
        for handle in handles {
            assert_eq!(handle.join().unwrap(), 45);
        }
    })
    .unwrap();
}

#[test]
fn sleepers_take_the_longest_and_not_the_sum() {
    let elapsed = simulated(|| {
        let start = time::now();
        join_all((1..=10).map(|seconds| spawn(move || sleep(SECOND * seconds))));
        time::now() - start
    });
    assert_eq!(elapsed, SECOND * 10);
}

#[test]
fn sleep_never_ends_early_on_the_real_clock() {
    run(|| {
        let start = time::now();
        sleep(Duration::from_micros(1_500));
        assert!(time::now() - start >= Duration::from_micros(1_500));
    })
    .unwrap();
}

#[test]
fn a_timeout_unwinds_whatever_waits_and_runs_destructors() {
    struct Flag(Rc<Cell<bool>>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    simulated(|| {
        let dropped = Rc::new(Cell::new(false));
        let flag = Flag(dropped.clone());
        let start = time::now();
        let result = timeout(SECOND, move || {
            let _flag = flag;
            sleep(SECOND * 60);
        });
        assert!(result.is_err() && dropped.get());
        assert_eq!(time::now() - start, SECOND);
        sleep(SECOND * 120); // no deadline is left behind
    });
}

#[test]
fn nested_timeouts_end_at_the_earlier_one() {
    simulated(|| {
        let outer_first = timeout(SECOND, || timeout(SECOND * 2, || sleep(SECOND * 3)));
        assert!(outer_first.is_err());
        let inner_first = timeout(SECOND * 2, || timeout(SECOND, || sleep(SECOND * 3)));
        assert_eq!(inner_first.map(|inner| inner.is_err()), Ok(true));
        assert_eq!(timeout(SECOND, || timeout(SECOND, || 5)), Ok(Ok(5)));
    });
}

#[test]
fn a_caught_timeout_strikes_again_at_the_next_wait() {
    simulated(|| {
        let result = timeout(SECOND, || {
            let _ = std::panic::catch_unwind(|| sleep(SECOND * 60));
            sleep(SECOND * 60);
        });
        assert!(result.is_err());
    });
}

#[test]
fn kill_unwinds_at_the_wait_and_join_says_so() {
    simulated(|| {
        let victim = spawn(|| sleep(SECOND * 3600));
        yield_now();
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        let never_started = spawn(|| unreachable!("killed before its first turn"));
        never_started.kill();
        assert!(matches!(never_started.join(), Err::<(), _>(JoinError::Killed)));
    });
}

#[test]
fn a_blocking_call_while_unwinding_fails_at_once() {
    struct SleepsInDrop(Rc<Cell<bool>>);
    impl Drop for SleepsInDrop {
        fn drop(&mut self) {
            let refused = std::panic::catch_unwind(|| sleep(SECOND)).is_err();
            self.0.set(refused);
        }
    }
    simulated(|| {
        let refused = Rc::new(Cell::new(false));
        let inner = refused.clone();
        let victim = spawn(move || {
            let _guard = SleepsInDrop(inner);
            sleep(SECOND * 60);
        });
        yield_now();
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        assert!(refused.get());
    });
}

#[test]
fn the_end_of_main_unwinds_every_other_coroutine() {
    struct Count(Rc<Cell<u32>>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let dropped = Rc::new(Cell::new(0));
    let seen = dropped.clone();
    run(move || {
        for _ in 0..100 {
            let guard = Count(seen.clone());
            let _ = spawn(move || {
                let _guard = guard;
                sleep(SECOND * 3600);
            });
        }
        yield_now();
    })
    .unwrap();
    assert_eq!(dropped.get(), 100);
}

#[test]
fn scoped_children_borrow_and_end_before_the_scope() {
    simulated(|| {
        let total = Cell::new(0);
        scope(|scope| {
            for n in 1..=10 {
                let total = &total;
                scope.spawn(move || {
                    sleep(SECOND * n);
                    total.set(total.get() + n);
                });
            }
        });
        assert_eq!(total.get(), 55);
    });
}

#[test]
fn a_timed_out_scope_kills_its_children_first() {
    simulated(|| {
        let alive = Cell::new(0);
        struct Alive<'a>(&'a Cell<i32>);
        impl Drop for Alive<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() - 1);
            }
        }
        let result = timeout(SECOND, || {
            scope(|scope| {
                for _ in 0..3 {
                    let alive = &alive;
                    scope.spawn(move || {
                        alive.set(alive.get() + 1);
                        let _alive = Alive(alive);
                        sleep(SECOND * 60);
                    });
                }
                sleep(SECOND * 30);
            });
        });
        assert!(result.is_err());
        assert_eq!(alive.get(), 0);
    });
}

#[test]
fn a_panicking_child_fails_its_scope_unless_joined() {
    simulated(|| {
        let unjoined = std::panic::catch_unwind(|| {
            scope(|scope| {
                scope.spawn(|| panic!("child"));
            });
        });
        assert!(unjoined.is_err());
        scope(|scope| {
            let child = scope.spawn(|| panic!("child"));
            assert!(child.join().is_err());
        });
    });
}

#[test]
fn other_shards_run_spawn_and_call() {
    for builder in [Runtime::builder(), Runtime::builder().simulated(3)] {
        builder
            .shards(3)
            .build()
            .unwrap()
            .run(|| {
                for shard in shards() {
                    assert_eq!(call(shard, shard_id).unwrap(), shard);
                    let panic = spawn_on(shard, || panic!("there")).join();
                    assert_eq!(panic.unwrap_err().message(), Some("there"));
                    let sleeper = spawn_on(shard, || sleep(SECOND * 3600));
                    sleeper.kill();
                    assert!(matches!(sleeper.join(), Err(JoinError::Killed)));
                }
            })
            .unwrap();
    }
}

#[test]
fn mail_crosses_shards_in_order() {
    Runtime::builder()
        .shards(2)
        .build()
        .unwrap()
        .run(|| {
            let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
            let other = shards().nth(1).unwrap();
            let done = spawn_on(other, move || {
                for n in 0..10_000u32 {
                    sender.send(n).unwrap();
                    if n % 100 == 0 {
                        yield_now();
                    }
                }
            });
            let (mut all, mut batch) = (Vec::new(), Vec::new());
            while receiver.receive_batch(&mut batch).unwrap() {
                all.append(&mut batch);
            }
            assert_eq!(all, (0..10_000).collect::<Vec<_>>());
            done.join().unwrap();
        })
        .unwrap();
}

#[test]
fn tcp_echoes_through_std_read_and_write() {
    run(|| {
        let listener = TcpListener::bind_addr("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let server = spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let mut client = TcpStream::connect_addr(addr).unwrap();
        let sent: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        client.write_all(&sent).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut back = Vec::new();
        client.read_to_end(&mut back).unwrap();
        assert_eq!(back, sent);
        server.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_read_times_out_and_the_stream_goes_on() {
    run(|| {
        let listener = TcpListener::bind_addr("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut client = TcpStream::connect_addr(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let error = client.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
        server.write_all(b"late").unwrap();
        let mut late = [0; 4];
        client.set_read_timeout(None).unwrap();
        client.read_exact(&mut late).unwrap();
        assert_eq!(&late, b"late");
    })
    .unwrap();
}

#[test]
fn a_second_reader_of_one_socket_gets_an_error() {
    run(|| {
        let listener = TcpListener::bind_addr("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = Rc::new(TcpStream::connect_addr(listener.local_addr().unwrap()).unwrap());
        let first = spawn({
            let client = client.clone();
            move || (&*client).read(&mut [0; 1]).map_err(|error| error.kind())
        });
        yield_now();
        yield_now();
        let second = (&*client).read(&mut [0; 1]).unwrap_err();
        assert_eq!(second.kind(), std::io::ErrorKind::ResourceBusy);
        first.kill();
        let _ = first.join();
    })
    .unwrap();
}

#[test]
fn offloaded_work_leaves_the_shard_free() {
    run(|| {
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let blocked = spawn(move || leveret_runtime::offload(move || gate.recv().is_ok()));
        for _ in 0..10 {
            yield_now();
        }
        release.send(()).unwrap();
        assert!(blocked.join().unwrap());
    })
    .unwrap();
}

#[test]
fn shards_work_at_the_same_time_on_threads_of_their_own() {
    const SHARDS: usize = 4;
    let runtime = Runtime::builder().shards(SHARDS).build().unwrap();
    let threads = runtime.run(|| {
        // Nobody passes before all have come: only threads that run side by side can.
        let meeting = std::sync::Arc::new(std::sync::Barrier::new(SHARDS));
        let come = |shard| {
            let meeting = meeting.clone();
            spawn_on(shard, move || {
                meeting.wait();
                std::thread::current().id()
            })
        };
        let handles: Vec<_> = shards().map(come).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect::<std::collections::HashSet<_>>()
    });
    assert_eq!(threads.unwrap().len(), SHARDS);
}

#[test]
fn a_hundred_thousand_coroutines_that_come_and_are_killed_leave_nothing() {
    simulated(|| {
        for _ in 0..100 {
            let victims: Vec<_> = (0..1000).map(|_| spawn(|| sleep(SECOND * 3600))).collect();
            yield_now();
            victims.iter().for_each(|victim| victim.kill());
            assert!(join_all(victims).iter().all(|ended| matches!(ended, Err(JoinError::Killed))));
        }
        let stats = leveret_runtime::stats();
        assert_eq!((stats.coroutines, stats.stacks), (1, 1), "only main is left");
        assert_eq!(stats.spawned, 100_001);
    });
}
