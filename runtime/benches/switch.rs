//! Switching: `yield_now` among many coroutines, spawn and join, a round trip through two channels.
//!
//! `cargo bench -p leveret-runtime --bench switch -- --peer` measures the same on tokio's `current_thread` runtime.

mod figure;

use std::hint::black_box;

use leveret_runtime::sync::bounded;
use leveret_runtime::{join_all, run, spawn, yield_now};

/// Yields of one run, of all coroutines together.
const YIELDS: usize = 4_000_000;
const SPAWNS: usize = 1_000_000;
const ROUND_TRIPS: usize = 1_000_000;

fn main() {
    let counts = [1, 2, 1_000, 10_000];
    for count in counts {
        let figure = figure::median(|| run(move || yields(count)).expect("no deadlock"));
        figure::print(&format!("yield among {count}"), figure, "ns");
    }
    figure::print("spawn + join with handle", figure::median(|| run(spawns).expect("no deadlock")), "ns");
    figure::print("channel round trip", figure::median(|| run(round_trips).expect("no deadlock")), "ns");
    if figure::with_peer() {
        for count in counts {
            figure::print(
                &format!("tokio: yield among {count}"),
                figure::median(|| peer::run(peer::yields(count))),
                "ns",
            );
        }
        figure::print("tokio: spawn + join with handle", figure::median(|| peer::run(peer::spawns())), "ns");
        figure::print("tokio: channel round trip", figure::median(|| peer::run(peer::round_trips())), "ns");
    }
}

fn yields(count: usize) -> f64 {
    let each = YIELDS / count;
    let handles: Vec<_> = (0..count).map(|_| spawn(move || (0..each).for_each(|_| yield_now()))).collect();
    let watch = figure::Watch::start();
    join_all(handles);
    watch.each(each * count)
}

fn spawns() -> f64 {
    let watch = figure::Watch::start();
    for n in 0..SPAWNS {
        spawn(move || black_box(n)).join().expect("it does not panic");
    }
    watch.each(SPAWNS)
}

fn round_trips() -> f64 {
    let (ask, asked) = bounded(1);
    let (answer, answered) = bounded(1);
    let echo = spawn(move || asked.iter().for_each(|n: usize| answer.send(n).expect("the asker waits")));
    let watch = figure::Watch::start();
    for n in 0..ROUND_TRIPS {
        ask.send(n).expect("the echo waits");
        black_box(answered.recv().expect("the echo answers"));
    }
    let figure = watch.each(ROUND_TRIPS);
    drop(ask);
    echo.join().expect("it does not panic");
    figure
}

mod peer {
    use super::*;
    use tokio::sync::mpsc;

    pub(super) fn run<T>(main: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(main)
    }

    pub(super) async fn yields(count: usize) -> f64 {
        let each = YIELDS / count;
        let task = move || async move {
            for _ in 0..each {
                tokio::task::yield_now().await;
            }
        };
        let handles: Vec<_> = (0..count).map(|_| tokio::spawn(task())).collect();
        let watch = figure::Watch::start();
        for handle in handles {
            handle.await.expect("it does not panic");
        }
        watch.each(each * count)
    }

    /// In a task of its own, as ours is: `block_on` itself is a slower place.
    pub(super) async fn spawns() -> f64 {
        let main = tokio::spawn(async {
            let watch = figure::Watch::start();
            for n in 0..SPAWNS {
                tokio::spawn(async move { black_box(n) }).await.expect("it does not panic");
            }
            watch.each(SPAWNS)
        });
        main.await.expect("it does not panic")
    }

    pub(super) async fn round_trips() -> f64 {
        let (ask, mut asked) = mpsc::channel(1);
        let (answer, mut answered) = mpsc::channel(1);
        let echo = tokio::spawn(async move {
            while let Some(n) = asked.recv().await {
                answer.send(n).await.expect("the asker waits");
            }
        });
        let main = tokio::spawn(async move {
            let watch = figure::Watch::start();
            for n in 0..ROUND_TRIPS {
                ask.send(n).await.expect("the echo waits");
                black_box(answered.recv().await.expect("the echo answers"));
            }
            watch.each(ROUND_TRIPS)
        });
        let figure = main.await.expect("it does not panic");
        echo.await.expect("it does not panic");
        figure
    }
}
