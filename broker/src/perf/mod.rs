//! `leveret perf`: puts load on any AMQP 0-9-1 broker, measures, and says whether a message was lost.
//!
//! ```text
//!   topology ── declares ──► broker ◄── publish ── producer ×n     each body: run, producer, sequence, time
//!                              │
//!                              └── deliver ──► consumer ×n ──► ledger: lost, duplicated      meter: rates, latencies
//!                                                                └────────── report ───────────┘
//! ```
//!
//! Every producer and consumer is a coroutine with a connection of its own. Figures of a load generator that shares the machine with
//! the broker are figures of both.

mod consumer;
mod ledger;
mod meter;
mod options;
mod pace;
mod producer;
mod report;
mod stamp;
mod topology;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fmt;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use leveret_client::{Connection, Error};
use leveret_runtime as runtime;
use runtime::signal::{Signal, Signals};
use runtime::sync::Event;

use consumer::Consumer;
use ledger::{Ledger, Source};
use meter::Meter;
pub use options::Perf;
use producer::Producer;
use report::Verdict;
use topology::Topology;

/// Messages were lost or duplicated.
const EXIT_BAD_VERDICT: u8 = 1;

/// There was no run, or it broke off.
const EXIT_BROKEN_OFF: u8 = 2;

/// How often it is looked whether everything has arrived.
const LOOK: Duration = Duration::from_millis(10);

/// Why there is no verdict.
#[derive(Debug)]
enum Failure {
    Options(String),
    Client { doing: String, error: Error },
    Io(std::io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Options(text) => f.write_str(text),
            Failure::Client { doing, error } => write!(f, "{doing}: {error}"),
            Failure::Io(error) => error.fmt(f),
        }
    }
}

fn while_doing(doing: impl fmt::Display) -> impl FnOnce(Error) -> Failure {
    move |error| Failure::Client { doing: doing.to_string(), error }
}

/// What producers and consumers of a run share.
struct Run {
    options: Perf,
    topology: Topology,
    /// In every body, so that messages of other runs are told apart.
    id: u64,
    meter: RefCell<Meter>,
    ledger: RefCell<Ledger>,
    /// Set when producers shall end.
    stopping: Event,
    /// The first failure of anybody.
    failure: RefCell<Option<Failure>>,
    /// The consumers are being disconnected, which is no failure.
    is_over: Cell<bool>,
}

impl Run {
    fn fail(&self, failure: Failure) {
        self.failure.borrow_mut().get_or_insert(failure);
        self.stopping.set();
    }
}

/// Runs the load and prints what came of it. 0 when all is well, 1 when messages were lost or duplicated, 2 when the run could not
/// be made.
pub fn main(options: Perf) -> ExitCode {
    let outcome = match runtime::run(move || run(options)) {
        Ok(outcome) => outcome,
        Err(deadlock) => Err(Failure::Options(deadlock.to_string())),
    };
    match outcome {
        Ok(verdict) if verdict.is_good() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(EXIT_BAD_VERDICT),
        Err(failure) => {
            eprintln!("leveret perf: {failure}");
            ExitCode::from(EXIT_BROKEN_OFF)
        }
    }
}

fn run(options: Perf) -> Result<Verdict, Failure> {
    options.check().map_err(Failure::Options)?;
    let signals = Signals::new([Signal::Interrupt, Signal::Terminate]).map_err(Failure::Io)?;
    let topology = Topology::new(&options);
    let control = Connection::open(&options.connection("perf control")).map_err(while_doing("connecting"))?;
    topology.declare(&control, &options).map_err(while_doing("declaring"))?;
    let queue_count = topology.queues.len();
    let run = Rc::new(Run {
        options,
        topology,
        id: runtime::random::u64(),
        meter: RefCell::new(Meter::new(runtime::time::now())),
        ledger: RefCell::new(Ledger::new(queue_count)),
        stopping: Event::new(),
        failure: RefCell::default(),
        is_over: Cell::new(false),
    });
    let verdict = load(&run, signals);
    let deleted = run.topology.delete(&control, &run.options).and_then(|()| control.close());
    let verdict = verdict?;
    deleted.map_err(while_doing("deleting the queues"))?;
    Ok(verdict)
}

/// Consumers first, then producers, so that no message waits for a consumer that is still connecting.
fn load(run: &Rc<Run>, signals: Signals) -> Result<Verdict, Failure> {
    let consumers =
        (0..run.options.consumers).map(|index| Consumer::start(run, index)).collect::<Result<Vec<_>, _>>()?;
    let producers =
        (0..run.options.producers).map(|index| Producer::start(run, index)).collect::<Result<Vec<_>, _>>()?;
    run.meter.replace(Meter::new(runtime::time::now()));
    report::begin(&run.options);
    let stopper = run.clone();
    drop(runtime::spawn(move || stop_on(&stopper, &signals)));
    let shower = run.clone();
    let progress = runtime::spawn(move || report::show_progress(&shower));
    let producing: Vec<_> = producers.into_iter().map(|producer| runtime::spawn(move || producer.run())).collect();
    let connections: Vec<_> = consumers.iter().map(|consumer| consumer.connection().clone()).collect();
    let consuming: Vec<_> = consumers.into_iter().map(|consumer| runtime::spawn(move || consumer.run())).collect();
    if run.options.producers == 0 {
        run.stopping.wait();
    }
    let published: Vec<_> = runtime::join_all(producing).into_iter().flatten().collect();
    run.meter.borrow_mut().stop_publishing(runtime::time::now());
    if run.options.producers > 0 && run.options.consumers > 0 {
        await_arrival(run, &published);
    }
    run.meter.borrow_mut().stop(runtime::time::now());
    run.is_over.set(true);
    progress.kill();
    let _ = progress.join();
    for connection in connections {
        let _ = connection.close();
    }
    let _ = runtime::join_all(consuming);
    if let Some(failure) = run.failure.take() {
        return Err(failure);
    }
    let verdict = judge(run, &published);
    report::finish(run, &verdict);
    Ok(verdict)
}

/// The end of a run comes by its duration, or by Ctrl-C.
fn stop_on(run: &Run, signals: &Signals) {
    let _ = match run.options.duration {
        Some(limit) => signals.recv_timeout(limit),
        None => signals.recv(),
    };
    run.stopping.set();
}

/// What a producer did.
struct Published {
    /// Sequences from 0 to below this.
    count: u64,
    /// Those of which the broker said that it does not have them: nacked and returned ones.
    refused: BTreeSet<u64>,
}

/// Waits until everything published has arrived, or until nothing has arrived for a while.
fn await_arrival(run: &Run, published: &[Published]) {
    let (mut received, mut last) = (run.meter.borrow().received(), runtime::time::now());
    while run.failure.borrow().is_none() && lost(run, published) > 0 {
        runtime::sleep(LOOK);
        let (now, count) = (runtime::time::now(), run.meter.borrow().received());
        if count != received {
            (received, last) = (count, now);
        } else if now.saturating_duration_since(last) > run.options.drain {
            return;
        }
    }
}

/// Messages that should have arrived and have not, each counted once for each queue that it was routed to.
fn lost(run: &Run, published: &[Published]) -> u64 {
    let ledger = run.ledger.borrow();
    let of_one = |(producer, published): (u32, &Published)| -> u64 {
        let source = Source { run: run.id, producer };
        let queues = run.topology.queues_of(producer);
        queues.map(|queue| ledger.missing(queue, source, published.count, &published.refused)).sum()
    };
    (0..).zip(published).map(of_one).sum()
}

fn judge(run: &Run, published: &[Published]) -> Verdict {
    let is_checked = run.options.producers > 0 && run.options.consumers > 0;
    let lost = if is_checked { lost(run, published) } else { 0 };
    let tally = run.ledger.borrow().tally;
    Verdict { is_checked, lost, tally }
}
