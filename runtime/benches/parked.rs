//! A million parked coroutines: memory, map entries, and what it costs to wake each so that it runs and parks again.
//!
//! `-- --peer` measures instead a million tokio tasks that wait for a `Notify` each. They have no stack, so their memory is
//! another thing's; their wake-up compares.

mod figure;

use std::rc::Rc;

use leveret_runtime::sync::Event;
use leveret_runtime::{JoinHandle, run, spawn, yield_now};

const COROUTINES: usize = 1_000_000;

/// Times that all of them are woken; the first is told apart, since it touches cold stacks.
const WAKES: usize = 3;

fn main() {
    if figure::with_peer() {
        return peer::measure(); // alone: what the other has freed is not given back to the kernel at once
    }
    run(measure).expect("no deadlock");
}

fn measure() {
    let before = Memory::now();
    let watch = figure::Watch::start();
    let again = Rc::new(Event::new());
    let handles: Vec<_> = (0..COROUTINES).map(|_| park_on(&again)).collect();
    yield_now(); // all others run first
    figure::print("1M parked: made", watch.each(COROUTINES), "ns each");
    before.print_growth("1M parked");
    for turn in 1..=WAKES {
        let watch = figure::Watch::start();
        again.set();
        again.clear();
        yield_now();
        figure::print(&format!("1M parked: wake {turn}"), watch.each(COROUTINES), "ns each");
    }
    handles.iter().for_each(JoinHandle::kill);
}

fn park_on(again: &Rc<Event>) -> JoinHandle<()> {
    let again = again.clone();
    spawn(move || {
        loop {
            again.wait();
        }
    })
}

/// What the process has of the kernel, in KiB.
struct Memory {
    resident: f64,
    tables: f64,
}

impl Memory {
    fn now() -> Memory {
        Memory { resident: figure::status_kib("VmRSS:"), tables: figure::status_kib("VmPTE:") }
    }

    fn print_growth(&self, what: &str) {
        let now = Memory::now();
        let bytes = |grown: f64| grown * 1024.0 / COROUTINES as f64;
        figure::print(&format!("{what}: resident"), bytes(now.resident - self.resident), "bytes each");
        figure::print(&format!("{what}: page tables"), bytes(now.tables - self.tables), "bytes each");
        figure::print(&format!("{what}: map entries"), figure::mappings(), "in all");
    }
}

mod peer {
    use super::*;
    use std::sync::Arc;
    use tokio::sync::Notify;

    /// Tasks that tokio's scheduler runs before a task that yields has its turn again.
    const RUN_BETWEEN_YIELDS: usize = 61;

    pub(super) fn measure() {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(parked());
    }

    async fn parked() {
        let before = Memory::now();
        let bells: Vec<_> = (0..COROUTINES).map(|_| Arc::new(Notify::new())).collect();
        for bell in &bells {
            let bell = bell.clone();
            tokio::spawn(async move {
                loop {
                    bell.notified().await;
                }
            });
        }
        run_all().await;
        before.print_growth("tokio: 1M parked");
        for turn in 1..=WAKES {
            let watch = figure::Watch::start();
            bells.iter().for_each(|bell| bell.notify_one());
            run_all().await;
            figure::print(&format!("tokio: 1M parked: wake {turn}"), watch.each(COROUTINES), "ns each");
        }
    }

    async fn run_all() {
        for _ in 0..COROUTINES / RUN_BETWEEN_YIELDS + 2 {
            tokio::task::yield_now().await;
        }
    }
}
