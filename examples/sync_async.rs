//! The same task one after the other and all at once: 4.5 seconds against 0.5.
//!
//! ```python
//! def synchronous():                 def asynchronous():
//!     for i in range(1, 10):             threads = [gevent.spawn(task, i) for i in range(10)]
//!         task(i)                        gevent.joinall(threads)
//! ```

use std::time::Duration;

use examples::{Arguments, Output};
use leveret_runtime::{join_all, sleep, spawn, time};

const USAGE: &str = "sync_async: nine tasks one after the other, then ten at once

  --task-ms N   how long a task takes (500)";

fn task(out: &Output, pid: u32, length: Duration) {
    sleep(length);
    out.line(format_args!("Task {pid} done"));
}

fn synchronous(out: &Output, length: Duration) {
    (1..10).for_each(|pid| task(out, pid, length));
}

fn asynchronous(out: &Output, length: Duration) {
    let coroutines = (0..10).map(|pid| {
        let out = out.clone();
        spawn(move || task(&out, pid, length))
    });
    join_all(coroutines.collect::<Vec<_>>());
}

pub(crate) fn main_with(out: &Output, length: Duration) {
    for (title, run) in [("Synchronous", synchronous as fn(&Output, Duration)), ("Asynchronous", asynchronous)] {
        out.line(format_args!("{title}:"));
        let start = time::now();
        run(out, length);
        out.line(format_args!("{title}: {:.1} s", (time::now() - start).as_secs_f64()));
    }
}

fn main() {
    let arguments = Arguments::of_process(USAGE, &["--task-ms="]);
    let length = Duration::from_millis(arguments.value("--task-ms", 500));
    leveret_runtime::run(move || main_with(&Output::stdout(), length)).expect("somebody can always run");
}
