//! The edges: destructors that panic or begin something new, hooks that panic, ends with mail under way, endless durations.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use leveret_runtime::net::UnixStream;
use leveret_runtime::signal::{Signal, Signals};
use leveret_runtime::sync::channel::{Sender, bounded};
use leveret_runtime::sync::{Event, Mutex, Select, Semaphore};
use leveret_runtime::{
    Builder, Generator, Handle, JoinError, RemoteJoinHandle, Runtime, mailbox, offload, on_turn_end, post, run, scope,
    shards, sleep, spawn, spawn_on, stats, time, timeout, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

/// On virtual time, which makes an hour as short as nothing.
fn simulated<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
    Runtime::builder().simulated(1).build().unwrap().run(main).unwrap()
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a destructor, on purpose");
        }
    }
}

/// Counts itself when dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

// ---- destructors that panic

#[test]
fn the_panic_of_a_detached_values_destructor_ends_nobody_else() {
    simulated(|| {
        let _ = spawn(|| Bomb);
        let _ = spawn(|| std::panic::panic_any(17));
        yield_now();
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
    });
}

#[test]
fn a_coroutine_killed_before_its_start_drops_its_captures_and_joins_with_their_panic() {
    simulated(|| {
        let bomb = Bomb;
        let victim = spawn(move || drop(bomb));
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Panicked(_))));
        let harmless = spawn(|| ());
        harmless.kill();
        assert!(matches!(harmless.join(), Err(JoinError::Killed)));
        assert_eq!(stats().coroutines, 1);
    });
}

#[test]
fn a_destructor_joins_what_has_ended_elsewhere() {
    struct JoinsInDrop(Option<RemoteJoinHandle<u8>>, Rc<Cell<u8>>);
    impl Drop for JoinsInDrop {
        fn drop(&mut self) {
            let joined = self.0.take().map(RemoteJoinHandle::join);
            self.1.set(joined.and_then(Result::ok).unwrap_or(0));
        }
    }
    simulated(|| {
        let call = spawn_on(shards().next().unwrap(), || 7);
        sleep(SECOND);
        let value = Rc::new(Cell::new(0));
        let joins = JoinsInDrop(Some(call), value.clone());
        let panics = spawn(move || {
            let _joins = joins;
            panic!("on purpose");
        });
        assert!(panics.join().is_err());
        assert_eq!(value.get(), 7);
    });
}

// ---- runtimes in runtimes

/// A coroutine of the outer runtime that was woken in the inner one ran on the inner shard, and referred to it when that
/// was gone.
#[test]
fn a_runtime_inside_of_another_is_refused_and_on_another_thread_it_works() {
    run(|| {
        assert!(panics(|| drop(run(|| ()))));
        assert!(panics(|| drop(Runtime::builder().simulated(1).build().unwrap().run(|| ()))));
        assert_eq!(offload(|| run(|| spawn(|| 5).join().unwrap()).unwrap()), 5);
        assert_eq!(std::thread::spawn(|| run(|| 6).unwrap()).join().unwrap(), 6);
    })
    .unwrap();
}

/// Simulated shards share their thread's locals. A coroutine woken from another shard ran there from then on.
#[test]
fn what_waits_in_a_thread_local_is_woken_on_its_own_simulated_shard() {
    thread_local! {
        static EVENT: Rc<Event> = Rc::new(Event::new());
    }
    Runtime::builder()
        .simulated(1)
        .shards(2)
        .build()
        .unwrap()
        .run(|| {
            let shard = shards().nth(1).unwrap();
            let waits = spawn(|| {
                let here = leveret_runtime::shard_id();
                EVENT.with(Rc::clone).wait();
                sleep(SECOND);
                assert_eq!(leveret_runtime::shard_id(), here);
            });
            yield_now();
            spawn_on(shard, || EVENT.with(Rc::clone).set()).join().unwrap();
            waits.join().unwrap();
        })
        .unwrap();
}

/// A socket that the value of one runtime carries into the next on the same thread: its waits never ended there, and its
/// drop took another socket's place in the reactor away.
#[test]
fn a_socket_of_an_ended_runtime_is_refused_and_harms_no_other() {
    let (old, _peer) = run(|| UnixStream::pair().unwrap()).unwrap();
    run(move || {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let waited = (&old).read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(waited, Err(ErrorKind::InvalidInput));
        drop(old);
        assert_eq!(stats().descriptors, 2);
        let reader = spawn(move || one.read(&mut [0]).unwrap());
        yield_now();
        other.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
    })
    .unwrap();
}

// ---- hooks and posted calls that panic

#[test]
fn a_panicking_hook_ends_the_runtime_and_every_coroutine_unwinds_first() {
    for builder in [Runtime::builder(), Runtime::builder().simulated(1), Runtime::builder().shards(2)] {
        let ended = Arc::new(AtomicUsize::new(0));
        let counted = Counted(ended.clone());
        let runtime = builder.build().unwrap();
        assert!(panics(|| drop(runtime.run(move || {
            let _ = spawn(move || {
                let _counted = counted;
                sleep(SECOND * 3600);
            });
            let never = Event::new();
            on_turn_end(|| panic!("a hook, on purpose"));
            never.wait();
        }))));
        assert_eq!(ended.load(Ordering::Relaxed), 1);
        assert!(panics(|| _ = time::now()), "the thread runs no shard any more");
    }
}

#[test]
fn a_panic_in_a_posted_call_on_any_shard_ends_the_runtime() {
    for target in 0..2 {
        let runtime = Runtime::builder().shards(2).build().unwrap();
        assert!(panics(|| drop(runtime.run(move || {
            post(shards().nth(target).unwrap(), || panic!("a posted call, on purpose"));
            sleep(SECOND * 3600);
        }))));
    }
}

// ---- the end, with things under way

#[test]
fn mail_that_nobody_reads_any_more_is_dropped() {
    for round in 0..50 {
        let dropped = Arc::new(AtomicUsize::new(0));
        let runtime = Runtime::builder().shards(3).build().unwrap();
        let counter = dropped.clone();
        let handle = runtime
            .run(move || {
                for (index, shard) in (0..30).map(|index| (index, shards().nth(index % 3).unwrap())) {
                    let counted = Counted(counter.clone());
                    match index % 2 {
                        0 => post(shard, move || drop(counted)),
                        _ => drop(spawn_on(shard, move || drop(counted))),
                    }
                }
                if round % 2 == 0 {
                    yield_now();
                }
                Handle::current()
            })
            .unwrap();
        let late = handle.spawn_on(run(|| shards().next().unwrap()).unwrap(), || ());
        assert!(late.is_finished(), "spawned on a runtime that has ended");
        assert_eq!(dropped.load(Ordering::Relaxed), 30);
    }
}

#[test]
fn destructors_that_spawn_and_hooks_whose_destructors_spawn_are_waited_for() {
    struct SpawnsInDrop(u32, Arc<AtomicUsize>);
    impl Drop for SpawnsInDrop {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
            if self.0 > 0 {
                let next = SpawnsInDrop(self.0 - 1, self.1.clone());
                let _ = spawn(move || drop(next));
            }
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let (in_coroutine, in_hook) = (SpawnsInDrop(10, drops.clone()), SpawnsInDrop(10, drops.clone()));
    simulated(move || {
        let _ = spawn(move || {
            let _kept = in_coroutine;
            sleep(SECOND);
        });
        on_turn_end(move || {
            let _kept = &in_hook;
        });
        yield_now();
    });
    assert_eq!(drops.load(Ordering::Relaxed), 22);
}

#[test]
fn an_end_with_very_many_coroutines_takes_one_pass() {
    let ended = run(|| {
        for _ in 0..20_000 {
            let _ = Builder::new().stack_size(16 * 1024).spawn(|| sleep(SECOND * 3600)).unwrap();
        }
        yield_now();
        Instant::now()
    });
    assert!(ended.unwrap().elapsed() < SECOND * 5);
}

/// The bell of the end was lost now and then by a shard that was about to fall asleep.
#[test]
fn short_runtimes_with_many_shards_always_end() {
    for _ in 0..300 {
        Runtime::builder().shards(4).build().unwrap().run(|| ()).unwrap();
    }
}

/// Waits in every way there is, and says when it has unwound.
fn wait_in_every_way(ended: &Arc<AtomicUsize>) -> usize {
    fn spawn_counted(ended: &Arc<AtomicUsize>, f: impl FnOnce() + 'static) {
        let counted = Counted(ended.clone());
        let _ = spawn(move || {
            let _counted = counted;
            f();
        });
    }
    let never = Rc::new(Event::new());
    let lock = Rc::new(Mutex::new(()));
    let (sender, receiver) = bounded::<u8>(0);
    let shard = shards().last().unwrap();
    let ways: Vec<Box<dyn FnOnce()>> = vec![
        Box::new(|| sleep(SECOND * 3600)),
        Box::new(|| drop(spawn(|| Event::new().wait()).join())),
        Box::new(|| scope(|scope| drop(scope.spawn(|| scope.spawn(|| Event::new().wait()).join())))),
        Box::new({
            let (never, lock) = (never.clone(), lock.clone());
            move || {
                let _held = lock.lock();
                never.wait();
            }
        }),
        Box::new(move || drop(lock.lock())),
        Box::new(move || {
            let mut select = Select::new();
            select.event(&never);
            select.wait();
        }),
        Box::new(move || _ = timeout(SECOND * 3600, || receiver.recv())),
        Box::new(|| {
            Generator::new(|yielder, ()| {
                sleep(SECOND * 3600);
                yielder.suspend(1);
            })
            .for_each(drop)
        }),
        Box::new(|| {
            let held = Generator::new(|yielder, ()| yielder.suspend(Counted(Arc::default()))).next();
            Event::new().wait();
            drop(held);
        }),
        Box::new(move || drop(spawn_on(shard, || Event::new().wait()).join())),
        Box::new(|| {
            let (_sender, receiver) = mailbox::channel::channel::<u8>();
            let _ = receiver.receive_batch(&mut Vec::new());
        }),
        Box::new(|| offload(|| std::thread::sleep(Duration::from_millis(1)))),
        Box::new(|| {
            let (one, _other) = UnixStream::pair().unwrap();
            drop((&one).read(&mut [0]));
        }),
        Box::new(|| drop(Signals::new([Signal::User2]).unwrap().recv())),
        Box::new(|| {
            loop {
                yield_now();
            }
        }),
        // Destructors of the unwinding that use what others wait for.
        Box::new(move || {
            struct Uses(Sender<u8>);
            impl Drop for Uses {
                fn drop(&mut self) {
                    let _ = self.0.send(1);
                    let _ = spawn(|| sleep(SECOND * 3600)).join();
                    let _ = self.0.try_send(2);
                    yield_now();
                }
            }
            let _uses = Uses(sender);
            Event::new().wait();
        }),
    ];
    let count = ways.len();
    ways.into_iter().for_each(|way| spawn_counted(ended, way));
    count
}

#[test]
fn an_end_unwinds_coroutines_out_of_every_kind_of_wait() {
    for count in [1, 3] {
        for turns in [0, 1, 5] {
            let ended = Arc::new(AtomicUsize::new(0));
            let counter = ended.clone();
            let runtime = Runtime::builder().shards(count).build().unwrap();
            let begun: usize = runtime
                .run(move || {
                    let begin = |shard| {
                        let counter = counter.clone();
                        spawn_on(shard, move || wait_in_every_way(&counter))
                    };
                    let calls: Vec<_> = shards().map(begin).collect();
                    let begun = calls.into_iter().map(|call| call.join().unwrap()).sum();
                    (0..turns).for_each(|_| yield_now());
                    begun
                })
                .unwrap();
            assert_eq!(ended.load(Ordering::Relaxed), begun, "{count} shards, {turns} turns");
        }
    }
}

// ---- scopes that are interrupted while they wait

#[test]
fn a_scope_that_waits_for_its_children_can_be_timed_out_and_killed() {
    simulated(|| {
        let ended = Cell::new(0);
        struct Count<'a>(&'a Cell<u32>);
        impl Drop for Count<'_> {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let start = time::now();
        let late = timeout(SECOND, || {
            scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        let _count = Count(&ended);
                        sleep(SECOND * 60);
                    });
                }
            });
        });
        assert!(late.is_err());
        assert_eq!((ended.get(), time::now() - start), (3, SECOND));

        let parent = spawn(|| scope(|scope| drop(scope.spawn(|| Event::new().wait()))));
        yield_now();
        parent.kill();
        assert!(matches!(parent.join(), Err(JoinError::Killed)));
    });
}

// ---- endless durations, and old clocks

#[test]
fn endless_durations_wait_for_ever() {
    simulated(|| {
        let stops = |f: fn()| {
            let handle = spawn(f);
            sleep(SECOND * 86_400 * 365);
            assert!(!handle.is_finished());
            handle.kill();
            assert!(matches!(handle.join(), Err(JoinError::Killed)));
        };
        stops(|| sleep(Duration::MAX));
        stops(|| _ = timeout(Duration::MAX, || Event::new().wait()));
        stops(|| _ = Event::new().wait_timeout(Duration::MAX));
        stops(|| drop(spawn(|| Event::new().wait()).join_timeout(Duration::MAX)));
        stops(|| {
            let (_sender, receiver) = mailbox::channel::channel::<u8>();
            receiver.receive_batch_timeout(&mut Vec::new(), Duration::MAX);
        });
    });
}

/// A coroutine that had asked for the time and then computed counted its next sleep from the time that it knew.
#[test]
fn a_sleep_after_a_long_computation_is_not_shorter() {
    run(|| {
        sleep(Duration::from_millis(1)); // it knows the time now
        let busy = Instant::now();
        while busy.elapsed() < Duration::from_millis(30) {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        sleep(Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20));
    })
    .unwrap();
}

// ---- fairness

/// One that yields without end, one that spawns without end, and a hook that always makes work.
#[test]
fn endless_work_starves_neither_timers_nor_sockets_nor_other_threads() {
    run(|| {
        let handle = Handle::current();
        let ended = Rc::new(Cell::new(false));
        let (first, second) = (ended.clone(), ended.clone());
        let _ = spawn(move || {
            while !first.get() {
                yield_now();
            }
        });
        fn chain(ended: Rc<Cell<bool>>) {
            if !ended.get() {
                let _ = spawn(move || chain(ended));
            }
        }
        chain(second);
        on_turn_end(|| drop(spawn(|| ())));
        let (mut one, mut other) = UnixStream::pair().unwrap();
        let first = shards().next().unwrap();
        let peer = std::thread::spawn(move || handle.spawn_on(first, || sleep(Duration::from_millis(1))));
        for _ in 0..5 {
            sleep(Duration::from_millis(1));
            one.write_all(b"x").unwrap();
            other.read_exact(&mut [0]).unwrap();
        }
        while !peer.is_finished() {
            yield_now();
        }
        peer.join().unwrap().join().unwrap();
        ended.set(true);
    })
    .unwrap();
}

/// A coroutine that always finds mail never let anybody else run.
#[test]
fn a_flood_of_mail_does_not_starve_timers() {
    run(|| {
        let (sender, receiver) = mailbox::channel::channel();
        let end = Arc::new(AtomicUsize::new(0));
        let flood = std::thread::spawn({
            let end = end.clone();
            move || {
                while end.load(Ordering::Relaxed) == 0 && sender.send(()).is_ok() {
                    while sender.len() > 1000 && end.load(Ordering::Relaxed) == 0 {
                        std::hint::spin_loop();
                    }
                }
            }
        });
        let ticks = Rc::new(RefCell::new(0));
        let ticker = spawn({
            let (ticks, end) = (ticks.clone(), end.clone());
            move || {
                for _ in 0..5 {
                    sleep(Duration::from_millis(1));
                    *ticks.borrow_mut() += 1;
                }
                end.store(1, Ordering::Relaxed);
            }
        });
        let mut batch = Vec::new();
        while receiver.receive_batch(&mut batch).unwrap() {
            let busy = Instant::now();
            while receiver_is_behind(&batch, busy) {
                std::hint::spin_loop();
            }
            batch.clear();
        }
        ticker.join().unwrap();
        flood.join().unwrap();
        assert_eq!(*ticks.borrow(), 5);
    })
    .unwrap();
}

/// Works on a batch for long enough that more has come meanwhile.
fn receiver_is_behind(_batch: &[()], since: Instant) -> bool {
    since.elapsed() < Duration::from_micros(200)
}

#[test]
fn a_second_receiver_of_one_mailbox_panics_instead_of_losing_the_first() {
    simulated(|| {
        let (sender, receiver) = mailbox::channel::channel();
        let receiver = Rc::new(receiver);
        let first = spawn({
            let receiver = receiver.clone();
            move || {
                let mut batch = Vec::new();
                receiver.receive_batch(&mut batch).unwrap();
                batch
            }
        });
        yield_now();
        let second = spawn(move || receiver.receive_batch(&mut Vec::new()).unwrap());
        assert!(matches!(second.join(), Err(JoinError::Panicked(_))));
        sender.send(1).unwrap();
        assert_eq!(first.join().unwrap(), [1]);
    });
}

// ---- sizes

#[test]
fn writing_nothing_to_a_full_socket_does_not_wait() {
    run(|| {
        let (mut one, _other) = UnixStream::pair().unwrap();
        while one.try_write(&[0; 4096]).is_ok() {}
        assert_eq!(timeout(SECOND * 10, || one.write(b"").unwrap()), Ok(0));
    })
    .unwrap();
}

#[test]
fn stacks_beyond_the_address_space_are_an_error() {
    run(|| {
        for bytes in [usize::MAX, usize::MAX - 4096, 1 << 58, 1 << 62, 1 << 47] {
            assert!(Builder::new().stack_size(bytes).spawn(|| ()).is_err(), "{bytes}");
        }
        assert_eq!(Builder::new().stack_size(0).spawn(|| 1).unwrap().join().unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn a_receiver_of_no_signals_is_an_error() {
    assert_eq!(run(|| Signals::new([]).map(drop).map_err(|error| error.kind())).unwrap(), Err(ErrorKind::InvalidInput));
}

#[test]
fn hooks_run_also_while_somebody_is_always_ready() {
    let ended = run(|| {
        let turns = Rc::new(Cell::new(0));
        let ended = turns.clone();
        on_turn_end(move || ended.set(ended.get() + 1));
        (0..100_000).any(|_| {
            yield_now();
            turns.get() >= 3
        })
    });
    assert!(ended.unwrap(), "a turn that leaves coroutines ready has hooks as any other");
}

/// What another shard was left to wake for a wait that is over must not end the next wait.
#[test]
fn an_answer_that_comes_too_late_ends_no_other_wait() {
    let runtime = Runtime::builder().shards(2).build().unwrap();
    let granted = runtime.run(|| {
        let there = spawn_on(shards().nth(1).unwrap(), || sleep(Duration::from_millis(40)));
        let there = there.join_timeout(Duration::from_millis(5)).unwrap_err();
        let nothing = Semaphore::new(0); // whoever is woken in its line has a permit
        let granted = nothing.acquire_timeout(Duration::from_millis(150)).is_some();
        assert!(there.is_finished());
        granted
    });
    assert!(!granted.unwrap());
}
