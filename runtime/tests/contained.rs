//! What a coroutine leaves behind may panic when it is dropped, with payloads that panic again, and so may the logger that
//! is told of it: none of that reaches the scheduler, the pool's threads, or the next coroutine.
//!
//! A panic that got out of a coroutine's last function unwound its shard, which could then not even end: the process aborted.
//! So each story runs in a child: this test binary again, with the story's name in its environment.

use std::cell::Cell;
use std::panic::panic_any;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use leveret_runtime::{Runtime, coroutine_local, offload, on_turn_end, run, spawn, yield_now};

/// Names the story that a child process acts out.
const STORY: &str = "LEVERET_RUNTIME_CONTAINED";

/// Acts in a child process, through the test of this name, and expects that it ends well.
fn check(test: &str, act: impl FnOnce()) {
    if std::env::var(STORY).is_ok_and(|story| story == test) {
        return act();
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    let output = child.args(["--exact", test, "--nocapture"]).env(STORY, test).output().unwrap();
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

/// Acts on the real machine and on a simulated one, and expects that the shard goes on with other coroutines.
fn check_shard(test: &str, act: fn()) {
    check(test, || {
        let goes_on = move || {
            act();
            (0..3).for_each(|n| assert_eq!(spawn(move || n).join().unwrap(), n));
        };
        run(goes_on).unwrap();
        Runtime::builder().simulated(1).build().unwrap().run(goes_on).unwrap();
    });
}

/// Its destructor panics with another one.
struct Endless;

impl Drop for Endless {
    fn drop(&mut self) {
        panic_any(Endless);
    }
}

/// Its destructor panics with one that is shorter.
struct Chain(u32);

impl Drop for Chain {
    fn drop(&mut self) {
        if let Some(shorter) = self.0.checked_sub(1) {
            panic_any(Chain(shorter));
        }
    }
}

fn detach<T: 'static>(body: impl FnOnce() -> T + 'static) {
    drop(spawn(body));
    yield_now();
}

#[test]
fn a_value_whose_destructor_panics_with_such_a_payload() {
    check_shard("a_value_whose_destructor_panics_with_such_a_payload", || {
        (0..12).for_each(|length| detach(move || Chain(length)));
        detach(|| Endless);
    });
}

#[test]
fn a_panic_with_a_payload_whose_destructor_panics() {
    check_shard("a_panic_with_a_payload_whose_destructor_panics", || {
        (0..12).for_each(|length| detach(move || panic_any(Chain(length))));
        detach(|| panic_any(Endless));
    });
}

#[test]
fn a_killed_body_whose_captures_panic() {
    check_shard("a_killed_body_whose_captures_panic", || {
        let captured = Endless;
        let never_begins = spawn(move || drop(captured));
        never_begins.kill();
        drop(never_begins);
        yield_now();
    });
}

#[test]
fn coroutine_local_values_that_all_panic() {
    coroutine_local! {
        static FIRST: Endless = Endless;
        static SECOND: Endless = Endless;
        static THIRD: Chain = Chain(12);
    }
    check_shard("coroutine_local_values_that_all_panic", || {
        let touches = || {
            FIRST.with(|_| ());
            SECOND.with(|_| ());
            THIRD.with(|_| ());
        };
        spawn(touches).join().unwrap();
        detach(touches);
    });
}

coroutine_local! { static OF_ONE: Cell<u32> = Cell::new(0); }

/// Its destructor leaves a coroutine-local value behind, and may then panic.
struct Late {
    panics: bool,
}

impl Drop for Late {
    fn drop(&mut self) {
        OF_ONE.set(7);
        assert!(!self.panics, "on purpose");
    }
}

/// The entry of a coroutine is used again: what was made in it after its values were dropped was the next coroutine's.
#[test]
fn a_value_that_makes_coroutine_local_ones_when_it_is_dropped() {
    coroutine_local! { static MAKES_ANOTHER: Late = Late { panics: true }; }
    check_shard("a_value_that_makes_coroutine_local_ones_when_it_is_dropped", || {
        let is_new = || assert_eq!(spawn(|| OF_ONE.get()).join().unwrap(), 0);
        detach(|| Late { panics: false });
        is_new();
        detach(|| Late { panics: true });
        is_new();
        spawn(|| MAKES_ANOTHER.with(|_| ())).join().unwrap();
        is_new();
    });
}

/// Values that make each other for ever are given up, and are nobody else's.
#[test]
fn coroutine_local_values_that_make_each_other_for_ever() {
    struct Ping;
    struct Pong;
    impl Drop for Ping {
        fn drop(&mut self) {
            PONG.with(|_| MADE.fetch_add(1, Ordering::Relaxed));
        }
    }
    impl Drop for Pong {
        fn drop(&mut self) {
            PING.with(|_| MADE.fetch_add(1, Ordering::Relaxed));
        }
    }
    static MADE: AtomicU32 = AtomicU32::new(0);
    coroutine_local! {
        static PING: Ping = Ping;
        static PONG: Pong = Pong;
    }
    check_shard("coroutine_local_values_that_make_each_other_for_ever", || {
        spawn(|| PING.with(|_| ())).join().unwrap();
        let made = MADE.load(Ordering::Relaxed);
        assert!(made > 0);
        spawn(|| ()).join().unwrap();
        assert_eq!(MADE.load(Ordering::Relaxed), made, "the next coroutine has none of them to drop");
    });
}

#[test]
fn a_logger_that_panics() {
    struct Panics;
    impl log::Log for Panics {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, _: &log::Record<'_>) {
            panic_any(Endless);
        }
        fn flush(&self) {}
    }
    check_shard("a_logger_that_panics", || {
        let _ = log::set_logger(&Panics); // the second time it is there
        log::set_max_level(log::LevelFilter::Error);
        detach(|| panic!("nobody joins it"));
        detach(|| Chain(3));
        on_turn_end_dropped(); // its end is the shard's
    });
}

/// A hook whose captures panic when the shard drops it.
fn on_turn_end_dropped() {
    let captured = Endless;
    on_turn_end(move || _ = &captured);
}

#[test]
fn a_hook_whose_captures_panic_when_the_shard_ends() {
    check_shard("a_hook_whose_captures_panic_when_the_shard_ends", on_turn_end_dropped);
}

/// The value of a job whose caller was killed is dropped on the pool, whose only thread was lost.
#[test]
fn a_job_of_the_pool() {
    check("a_job_of_the_pool", || {
        let runtime = Runtime::builder().offload_threads(1).build().unwrap();
        let went_on = runtime.run(|| {
            let (release, gate) = mpsc::channel::<()>();
            let victim = spawn(move || {
                offload(move || {
                    let _ = gate.recv();
                    Endless
                })
            });
            yield_now();
            victim.kill();
            assert!(victim.join().is_err());
            drop(release);
            offload(|| 3)
        });
        assert_eq!(went_on.unwrap(), 3);
    });
}
