//! What the runtime tells of itself: who waits for what and where, how deep stacks are used, how long turns last.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use leveret_runtime::sync::Event;
use leveret_runtime::{
    Builder, Generator, JoinHandle, Runtime, call, dump, dump_with_backtraces, run, shards, sleep, spawn, spawn_on,
    stack_use, stats, timeout, yield_now,
};

/// The lines of one coroutine in a dump: the first and its frames.
fn of<'a>(dump: &'a str, name: &str) -> Vec<&'a str> {
    let quoted = format!("'{name}'");
    let mut lines = dump.lines().skip_while(|line| !line.contains(&quoted));
    let first = lines.next().unwrap_or_else(|| panic!("no {quoted} in: {dump}"));
    std::iter::once(first).chain(lines.take_while(|line| line.starts_with("      "))).collect()
}

fn named<T: 'static>(name: &str, f: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    Builder::new().name(name).spawn(f).unwrap()
}

#[inline(never)]
fn innermost(event: &Event) {
    event.wait();
    std::hint::black_box(());
}

#[inline(never)]
fn outermost(event: &Event) {
    innermost(event);
    std::hint::black_box(());
}

#[test]
fn a_dump_with_backtraces_shows_where_each_coroutine_stands() {
    run(|| {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let waiting = named("waiting", move || outermost(&theirs));
        yield_now();
        for _ in 0..3 {
            let dump = dump_with_backtraces();
            let lines = of(&dump, "waiting");
            assert!(lines[0].contains("waits for an event") && lines[0].contains("stack "), "{dump}");
            let at = |function: &str| lines.iter().position(|line| line.contains(function));
            let (inner, outer) = (at("diagnostics::innermost"), at("diagnostics::outermost"));
            assert!(inner.is_some() && inner < outer, "{dump}");
            let machinery = ["corosensei", "park", "catch_unwind", "inspect", "trampoline"];
            assert!(!lines[1..].iter().any(|line| machinery.iter().any(|word| line.contains(word))), "{dump}");
            assert!(lines.iter().any(|line| line.contains("tests/diagnostics.rs:")), "{dump}");
        }
        assert!(!waiting.is_finished(), "being looked at ends no wait");
        event.set();
        waiting.join().unwrap();
    })
    .unwrap();
}

#[test]
fn being_looked_at_changes_nothing_in_any_state() {
    run(|| {
        let steps = Rc::new(Cell::new(0));
        let counter = steps.clone();
        let yields = named("yields", move || {
            for _ in 0..3 {
                yield_now();
                counter.set(counter.get() + 1);
            }
        });
        yield_now();
        let _unborn = named("unborn", || ());
        let sleeps = named("sleeps", || timeout(Duration::from_millis(20), || sleep(Duration::from_secs(60))));
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let generates = named("generates", move || {
            let mut generator = Generator::new(move |yielder: &leveret_runtime::Yielder<(), u32>, ()| {
                outermost(&theirs); // parks with the nested stack on it
                yielder.suspend(1);
            });
            generator.resume(())
        });
        yield_now();
        for _ in 0..5 {
            let dump = dump_with_backtraces();
            assert!(of(&dump, "generates").iter().any(|line| line.contains("outermost")), "{dump}");
        }
        event.set();
        yields.join().unwrap();
        assert_eq!(steps.get(), 3);
        assert!(sleeps.join().unwrap().is_err());
        assert!(format!("{:?}", generates.join().unwrap()).contains('1'));
    })
    .unwrap();
}

#[test]
fn a_coroutine_with_hardly_any_stack_left_is_shown_too() {
    /// Goes down until `depth` bytes below `top` are used.
    fn dive(top: usize, depth: usize, event: &Event) {
        let bytes = std::hint::black_box([0u8; 200]);
        match top - bytes.as_ptr().addr() < depth {
            true => dive(top, depth, event),
            false => event.wait(),
        }
        std::hint::black_box(bytes);
    }
    run(|| {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let small = Builder::new().name("small").stack_size(32 * 1024);
        let small = small.spawn(move || dive((&raw const theirs).addr(), 24 * 1024, &theirs)).unwrap();
        yield_now();
        let dump = dump_with_backtraces();
        assert!(of(&dump, "small").iter().filter(|line| line.contains("dive")).count() > 10, "{dump}");
        event.set();
        small.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_dump_is_of_all_shards_and_names_who_holds_one() {
    let runtime = Runtime::builder().shards(2).build().unwrap();
    runtime
        .run(|| {
            let other = shards().nth(1).unwrap();
            let parked = spawn_on(other, || {
                let _parked = named("elsewhere", || Event::new().wait());
                yield_now();
            });
            parked.join().unwrap();
            assert!(of(&dump(), "elsewhere")[0].contains(" 1/"));
            let (release, gate) = mpsc::channel::<()>();
            let (began, begins) = mpsc::channel();
            let held = spawn_on(other, move || {
                let hog = named("hog", move || {
                    began.send(()).unwrap();
                    gate.recv() // blocks the thread, as no coroutine should
                });
                let _ = hog.join();
            });
            leveret_runtime::offload(move || begins.recv()).unwrap();
            let dump = dump();
            assert!(dump.contains("shard 1 does not answer: coroutine 'hog' holds it"), "{dump}");
            assert!(dump.contains("'main'"), "{dump}");
            drop(release);
            held.join().unwrap();
        })
        .unwrap();
}

#[test]
fn a_simulated_run_can_be_dumped_too() {
    let runtime = Runtime::builder().simulated(1).shards(2).build().unwrap();
    let text = runtime.run(|| {
        let _sleeper = named("sleeper", || sleep(Duration::from_secs(9)));
        yield_now();
        dump_with_backtraces()
    });
    assert!(of(&text.unwrap(), "sleeper")[0].contains("time to pass"));
}

#[test]
fn counters_count() {
    let runtime = Runtime::builder().shards(2).build().unwrap();
    runtime
        .run(|| {
            let other = shards().nth(1).unwrap();
            call(other, || ()).unwrap();
            let handles: Vec<_> = (0..10).map(|_| spawn(|| sleep(Duration::from_secs(60)))).collect();
            let ready = spawn(|| ());
            let before = stats();
            assert_eq!((before.coroutines, before.ready, before.parked), (12, 11, 0));
            yield_now();
            std::thread::sleep(Duration::from_millis(3)); // blocks the shard on purpose
            yield_now();
            sleep(Duration::from_millis(1));
            let now = stats();
            assert_eq!((now.parked, now.timers, now.stacks, now.stacks_most), (10, 10, 11, 12));
            assert!(now.longest_turn >= Duration::from_millis(3), "{now}");
            assert!(now.mail == 0, "{now}");
            assert!(now.switches > before.switches && now.turns > before.turns);
            assert!(now.to_string().lines().count() >= 15 && now.to_string().contains("\nparked 10\n"), "{now}");
            leveret_runtime::kill_all(&handles);
            ready.join().unwrap();
        })
        .unwrap();
}

#[test]
fn stacks_tell_how_deep_they_were_used() {
    run(|| {
        let deep = Builder::new().stack_size(512 * 1024);
        let deep = deep.spawn(|| {
            std::hint::black_box([1u8; 100_000]);
        });
        deep.unwrap().join().unwrap();
        let used = stack_use();
        assert_eq!(used.len(), 2);
        assert_eq!((used[1].size, used[1].in_use, used[1].most), (512 * 1024, 0, 1));
        assert!((100_000..512 * 1024).contains(&used[1].deepest), "{}", used[1]);
        assert!(used[0].deepest < 100_000, "{}", used[0]);
    })
    .unwrap();
}
