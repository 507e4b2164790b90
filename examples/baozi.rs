//! Producer and consumers as generators: the consumers wait inside `suspend` until the producer hands them a bun.
//!
//! ```python
//! def consumer(name):                          def producer():
//!     print("--->starting eating baozi...")        con.__next__(); con2.__next__()
//!     while True:                                  while n < 5000:
//!         new_baozi = yield                            n += 1
//!         print(...)                                   con.send(n); con2.send(n)
//! ```
//!
//! No scheduler takes part: the producer decides who runs. A pause while eating (`--pause-ms`) parks everything here, as
//! it does in the original; but other coroutines of the process would run.

use std::time::Duration;

use examples::{Arguments, Output};
use leveret_runtime::{Generator, sleep};

const USAGE: &str = "baozi: one producer and two consumers, as generators

  --count N      buns for each consumer (5000)
  --pause-ms N   how long eating one takes (0)";

/// How much is made and how fast it is eaten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) count: u32,
    pub(crate) pause: Duration,
}

/// Takes a bun with each resume but the first, which only starts it.
type Consumer = Generator<Option<u32>, (), ()>;

fn consumer(name: &'static str, out: Output, pause: Duration) -> Consumer {
    Generator::new(move |yielder, _start| {
        out.line("--->starting eating baozi...");
        while let Some(baozi) = yielder.suspend(()) {
            out.line(format_args!("[{name}] is eating baozi {baozi}"));
            if !pause.is_zero() {
                sleep(pause);
            }
        }
    })
}

fn producer(consumers: &mut [Consumer], out: &Output, count: u32) {
    for consumer in consumers.iter_mut() {
        consumer.resume(None);
    }
    for baozi in 1..=count {
        for consumer in consumers.iter_mut() {
            consumer.resume(Some(baozi));
        }
        out.line(format_args!("\x1b[32;1m[producer]\x1b[0m is making baozi {baozi}"));
    }
}

pub(crate) fn main_with(out: &Output, options: Options) {
    let mut consumers = ["c1", "c2"].map(|name| consumer(name, out.clone(), options.pause));
    producer(&mut consumers, out, options.count);
}

fn main() {
    let arguments = Arguments::of_process(USAGE, &["--count=", "--pause-ms="]);
    let pause = Duration::from_millis(arguments.value("--pause-ms", 0));
    let options = Options { count: arguments.value("--count", 5000), pause };
    leveret_runtime::run(move || main_with(&Output::stdout(), options)).expect("somebody can always run");
}
