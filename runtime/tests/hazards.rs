//! What is dangerous about stackful coroutines, each shown to be harmless or to fail as the documentation says
//! (`leveret_runtime::hazards`).
//!
//! Those that end the process run in a child: this test binary again, with the name of the hazard in its environment.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::net::{TcpListener, TcpStream, UnixStream};
use leveret_runtime::{
    Builder, Generator, JoinError, Runtime, STACK_SIZE_DEFAULT, join_all, run, scope, shards, sleep, spawn, spawn_on,
    stats, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

/// Names the hazard that a child process acts out.
const HAZARD: &str = "LEVERET_RUNTIME_HAZARD";

fn simulated<T: 'static>(main: impl FnOnce() -> T + 'static) -> T {
    Runtime::builder().simulated(1).build().unwrap().run(main).unwrap()
}

/// Runs `act` in a child process, through the test of this name; gives what became of it. In the child itself, runs it.
fn in_a_child(test: &str, act: impl FnOnce()) -> Option<Output> {
    if std::env::var(HAZARD).is_ok_and(|hazard| hazard == test) {
        act();
        return None;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(HAZARD, test).env("RUST_BACKTRACE", "1");
    Some(child.output().unwrap())
}

fn error_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Counts its drops.
struct Counted(Rc<Cell<u32>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

// ---- 1 and 12: threads

#[test]
fn a_coroutine_stays_on_its_thread() {
    let runtime = Runtime::builder().shards(2).build().unwrap();
    runtime
        .run(|| {
            let stays = || {
                let thread = std::thread::current().id();
                (0..100).all(|_| {
                    yield_now();
                    std::thread::current().id() == thread
                })
            };
            let handles: Vec<_> = shards().flat_map(|shard| (0..10).map(move |_| spawn_on(shard, stays))).collect();
            assert!(handles.into_iter().all(|handle| handle.join().unwrap()));
        })
        .unwrap();
}

// ---- 2: state of the thread

#[test]
fn a_thread_local_borrowed_across_a_wait_is_borrowed_for_all() {
    thread_local! {
        static SHARED: RefCell<u32> = const { RefCell::new(0) };
    }
    simulated(|| {
        let holder = spawn(|| SHARED.with_borrow_mut(|_| sleep(SECOND)));
        yield_now();
        assert!(SHARED.with(|shared| shared.try_borrow().is_err()));
        let other = spawn(|| SHARED.with_borrow(|value| *value));
        assert!(other.join().unwrap_err().message().is_some_and(|text| text.contains("already mutably borrowed")));
        holder.join().unwrap();
        assert_eq!(SHARED.take(), 0);
    });
}

// ---- 3: the end of a thread

#[test]
fn every_coroutine_has_unwound_before_its_thread_ends() {
    struct Local(RefCell<Vec<&'static str>>);
    impl Drop for Local {
        fn drop(&mut self) {
            let seen = self.0.take();
            assert_eq!(seen, ["coroutine unwound"], "the thread's locals go after its coroutines");
        }
    }
    struct Note;
    impl Drop for Note {
        fn drop(&mut self) {
            LOCAL.with(|local| local.0.borrow_mut().push("coroutine unwound"));
        }
    }
    thread_local! {
        static LOCAL: Local = const { Local(RefCell::new(Vec::new())) };
    }
    let runtime = Runtime::builder().shards(2).build().unwrap();
    runtime
        .run(|| {
            let other = shards().nth(1).unwrap();
            let _detached = spawn_on(other, || {
                let _note = Note;
                LOCAL.with(|_borrowed| sleep(SECOND * 3600));
            });
            leveret_runtime::call(other, || ()).unwrap(); // by now it sleeps there
        })
        .unwrap();
}

// ---- 4 and 5: borrowing, and the memory of stacks

#[test]
fn a_forgotten_scoped_handle_does_not_let_the_scope_go() {
    simulated(|| {
        let value = Cell::new(0);
        scope(|scope| {
            #[allow(clippy::mem_forget, reason = "what it does is the question")]
            std::mem::forget(scope.spawn(|| {
                sleep(SECOND);
                value.set(1);
            }));
        });
        assert_eq!(value.get(), 1);
    });
}

#[test]
fn a_scope_that_cannot_wait_for_its_children_aborts() {
    let child = in_a_child("a_scope_that_cannot_wait_for_its_children_aborts", || {
        run(|| {
            let mut generator = Generator::new(|yielder, ()| {
                let local = Cell::new(1);
                scope(|scope| {
                    scope.spawn(|| {
                        sleep(SECOND * 3600);
                        local.set(2);
                    });
                    yielder.suspend(());
                });
            });
            generator.next();
            let mut dropped_by_hook = Some(generator);
            leveret_runtime::on_turn_end(move || drop(dropped_by_hook.take()));
            sleep(SECOND);
        })
        .unwrap();
    });
    if let Some(output) = child {
        assert!(!output.status.success());
        assert!(error_text(&output).contains("a scope with live coroutines ends where nothing can wait"), "{output:?}");
    }
}

#[test]
fn the_stack_of_a_forgotten_generator_is_never_used_again() {
    simulated(|| {
        let before = stats().stacks;
        let mut generator = Generator::new(|yielder, ()| {
            let local = [7u8; 64];
            yielder.suspend(local.as_ptr() as usize);
        });
        let address = generator.next().unwrap();
        #[allow(clippy::mem_forget, reason = "what it does is the question")]
        std::mem::forget(generator);
        assert_eq!(stats().stacks, before + 1);
        let others: Vec<_> = (0..64).map(|_| spawn(|| std::ptr::from_ref(&Cell::new(0)) as usize)).collect();
        let near = |other: usize| other.abs_diff(address) < 1024;
        assert!(!join_all(others).into_iter().any(|other| near(other.unwrap())));
    });
}

// ---- 7: destructors

#[test]
fn nobody_else_runs_while_a_stack_unwinds() {
    struct Waits(Rc<Cell<bool>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            yield_now();
            assert!(catch_unwind(AssertUnwindSafe(|| sleep(SECOND))).is_err());
            assert!(!self.0.get(), "another coroutine ran");
        }
    }
    simulated(|| {
        let ran = Rc::new(Cell::new(false));
        let waits = Waits(ran.clone());
        let panics = spawn(move || {
            let _waits = waits;
            panic!("on purpose");
        });
        let other = spawn(move || {
            assert!(!std::thread::panicking());
            ran.set(true);
        });
        assert_eq!(panics.join().unwrap_err().message(), Some("on purpose"));
        other.join().unwrap();
    });
}

// ---- 8: kills

#[test]
fn a_kill_that_is_caught_is_thrown_again() {
    simulated(|| {
        let caught = Rc::new(Cell::new(0));
        let count = caught.clone();
        let stubborn = spawn(move || {
            for _ in 0..50 {
                if catch_unwind(|| sleep(SECOND * 3600)).is_err() {
                    count.set(count.get() + 1);
                }
            }
        });
        yield_now();
        stubborn.kill();
        assert!(stubborn.join().is_ok(), "it ended by itself in the end");
        assert_eq!(caught.get(), 50);
    });
}

#[test]
fn a_kill_that_is_caught_for_ever_aborts_with_the_coroutines_name() {
    let child = in_a_child("a_kill_that_is_caught_for_ever_aborts_with_the_coroutines_name", || {
        simulated(|| {
            let stubborn = Builder::new().name("stubborn").spawn(|| {
                loop {
                    let _ = catch_unwind(|| sleep(SECOND * 3600));
                }
            });
            yield_now();
            stubborn.unwrap().kill();
            yield_now();
        });
    });
    if let Some(output) = child {
        assert!(!output.status.success());
        assert!(error_text(&output).contains("coroutine 'stubborn' caught its kill 100 times"), "{output:?}");
    }
}

#[test]
fn the_end_of_a_timeout_that_is_caught_for_ever_aborts_too() {
    let child = in_a_child("the_end_of_a_timeout_that_is_caught_for_ever_aborts_too", || {
        simulated(|| {
            let _ = leveret_runtime::timeout(SECOND, || {
                loop {
                    let _ = catch_unwind(|| sleep(SECOND * 3600));
                }
            });
        });
    });
    if let Some(output) = child {
        assert!(!output.status.success());
        assert!(error_text(&output).contains("coroutine 'main' caught the end of its timeout 100 times"), "{output:?}");
    }
}

#[test]
fn a_generator_that_catches_its_end_for_ever_aborts() {
    let child = in_a_child("a_generator_that_catches_its_end_for_ever_aborts", || {
        let mut generator = Generator::new(|yielder, ()| {
            loop {
                let _ = catch_unwind(AssertUnwindSafe(|| yielder.suspend(())));
            }
        });
        generator.next();
        drop(generator);
    });
    if let Some(output) = child {
        assert!(!output.status.success());
        assert!(error_text(&output).contains("a dropped generator caught its end 100 times"), "{output:?}");
    }
}

// ---- 10 and 11: the size of stacks

/// Uses about `frames` times 200 bytes of stack.
fn recurse(frames: u32) -> u64 {
    let frame = std::hint::black_box([u64::from(frames); 16]);
    match frames {
        0 => frame[0],
        _ => recurse(frames - 1) + frame[3],
    }
}

#[test]
fn an_overflow_names_the_coroutine_and_aborts() {
    let child = in_a_child("an_overflow_names_the_coroutine_and_aborts", || {
        run(|| {
            let deep = Builder::new().name("deep").stack_size(64 * 1024).spawn(|| recurse(u32::MAX));
            deep.unwrap().join().unwrap()
        })
        .unwrap();
    });
    if let Some(output) = child {
        assert!(!output.status.success());
        let text = error_text(&output);
        assert!(text.contains("coroutine 'deep' has overflowed its stack of 64 KiB"), "{text}");
    }
}

#[test]
fn an_overflow_in_a_generator_names_the_coroutine_around_it() {
    let child = in_a_child("an_overflow_in_a_generator_names_the_coroutine_around_it", || {
        run(|| {
            let around = Builder::new().name("around").spawn(|| {
                let mut generator = Generator::new(|yielder, ()| yielder.suspend(recurse(u32::MAX)));
                generator.next()
            });
            around.unwrap().join().unwrap()
        })
        .unwrap();
    });
    if let Some(output) = child {
        assert!(!output.status.success());
        assert!(error_text(&output).contains("coroutine 'around' has overflowed its stack"), "{output:?}");
    }
}

#[test]
fn deep_recursion_fits_a_stack_of_its_size() {
    simulated(|| {
        let frames = 20_000;
        let deep = Builder::new().stack_size(32 << 20).spawn(move || recurse(frames)).unwrap();
        assert_eq!(deep.join().unwrap(), (1..=u64::from(frames)).sum());
    });
}

#[test]
fn a_panic_with_its_backtrace_fits_the_default_stack() {
    let child = in_a_child("a_panic_with_its_backtrace_fits_the_default_stack", || {
        run(|| {
            let panics = Builder::new().name("panics").spawn(|| {
                let used = recurse(u32::try_from(STACK_SIZE_DEFAULT / 4096).unwrap()); // some of it is taken already
                panic!("on purpose, after {used}");
            });
            assert!(panics.unwrap().join().is_err());
        })
        .unwrap();
    });
    if let Some(output) = child {
        let text = error_text(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("on purpose") && text.contains("stack backtrace:"), "{text}");
    }
}

// ---- many stacks

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_thousand_parked_coroutines_fit_a_default_kernel() {
    const PARKED: u32 = 100_000;
    // A kernel without lightweight guards needs two entries for each stack, and is refused before it runs out.
    const ENTRIES_MAX: usize = 1000;
    let child = in_a_child("a_hundred_thousand_parked_coroutines_fit_a_default_kernel", || {
        run(|| {
            let woken = Rc::new(Cell::new(0));
            let event = Rc::new(leveret_runtime::sync::Event::new());
            let spawn_one = |_| {
                let (event, woken) = (event.clone(), Counted(woken.clone()));
                Builder::new().spawn(move || {
                    let _woken = woken;
                    event.wait();
                })
            };
            let handles: Result<Vec<_>, _> = (0..PARKED).map(spawn_one).collect();
            let Ok(handles) = handles else {
                println!("refused");
                return;
            };
            yield_now();
            let entries = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
            assert!(entries < ENTRIES_MAX, "{entries} map entries");
            event.set();
            assert!(join_all(handles).into_iter().all(|ended| ended.is_ok()));
            assert_eq!(woken.get(), PARKED);
        })
        .unwrap();
    });
    if let Some(output) = child {
        assert!(output.status.success(), "{}", error_text(&output));
        let refused = String::from_utf8_lossy(&output.stdout).contains("refused");
        assert!(!refused || !has_light_guards(), "stacks ran out on a kernel with lightweight guards");
    }
}

/// Whether the kernel is 6.13 or later.
#[cfg(target_os = "linux")]
fn has_light_guards() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.trim().parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(13))
}

// ---- 6: panics

#[test]
fn a_panic_ends_its_coroutine_alone_even_while_others_wait() {
    simulated(|| {
        let waits = spawn(|| sleep(SECOND));
        let handles: Vec<_> = (0..3).map(|n| spawn(move || if n == 1 { panic!("on purpose") } else { n })).collect();
        let ended = join_all(handles);
        assert!(matches!(ended[..], [Ok(0), Err(JoinError::Panicked(_)), Ok(2)]));
        waits.join().unwrap();
    });
}

// ---- what epoll tells, and when

#[test]
fn bytes_and_the_end_in_one_event_are_both_read() {
    run(|| {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut buffer = [0; 1024];
            // The first read is short, which usually means that nothing more is there; and no further event comes.
            (ours.read(&mut buffer).unwrap(), ours.read(&mut buffer).unwrap())
        });
        yield_now();
        theirs.write_all(b"last words").unwrap();
        drop(theirs);
        assert_eq!(reader.join().unwrap(), (10, 0));
    })
    .unwrap();
}

#[test]
fn a_shutdown_wakes_whoever_waits_on_the_socket() {
    run(|| {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let ours = Rc::new(ours);
        let waiting = ours.clone();
        let reader = spawn(move || (&*waiting).read(&mut [0; 8]).unwrap());
        yield_now();
        ours.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(reader.join().unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn a_closed_socket_with_a_living_duplicate_tells_nothing_to_its_successor() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap().into_std();
        let (first, second) = (connect(), connect());
        let (mut first_peer, mut second_peer) = (listener.accept().unwrap().0, listener.accept().unwrap().0);
        let duplicate = first.try_clone().unwrap();
        drop(TcpStream::from_std(first).unwrap());
        let mut successor = TcpStream::from_std(second).unwrap();
        successor.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        assert!(successor.read(&mut [0]).is_err());
        first_peer.write_all(b"for the duplicate").unwrap();
        assert_eq!(successor.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        second_peer.write_all(b"x").unwrap();
        successor.read_exact(&mut [0]).unwrap();
        drop(duplicate);
    })
    .unwrap();
}
