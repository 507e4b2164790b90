//! Nothing can ever run again: the run ends, and says who waits for what.

use std::cell::RefCell;
use std::rc::Rc;

use leveret_runtime::{Builder, Pool, Runtime, run};

#[test]
fn deadlock_is_an_error_that_lists_who_waits() {
    for builder in [Runtime::builder(), Runtime::builder().simulated(7), Runtime::builder().simulated(7).shards(3)] {
        let ended = builder.build().unwrap().run(|| {
            let handle_of_ring = Rc::new(RefCell::new(None::<leveret_runtime::JoinHandle<()>>));
            let theirs = handle_of_ring.clone();
            let waits = Builder::new().name("waits").spawn(move || {
                let ring = theirs.take().expect("stored before the first turn");
                let _ = ring.join();
            });
            let ring = Builder::new().name("ring").spawn(move || drop(waits.unwrap().join()));
            *handle_of_ring.borrow_mut() = Some(ring.unwrap());
            let never = leveret_runtime::sync::Event::new();
            never.wait();
        });
        let deadlock = ended.unwrap_err();
        let names: Vec<_> = deadlock.waiting.iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["main", "waits", "ring"], "{deadlock}");
    }
}

/// A member that spawns into its own pool while it is full waits for a place that is its own. It used to wait for "a
/// semaphore", of which the program had none.
#[test]
fn a_pool_that_waits_for_itself_is_named() {
    let ended = run(|| {
        let pool = Rc::new(Pool::new(1));
        let theirs = pool.clone();
        let member = pool.spawn(move || drop(theirs.spawn(|| ())));
        let _ = member.join();
    });
    let text = ended.unwrap_err().to_string();
    assert!(text.contains("waits for room in its pool"), "{text}");
}
