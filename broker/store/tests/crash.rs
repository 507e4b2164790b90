//! Crashes: the machine's power fails at any file call, of work, of recovery, of emptying and copying files; what was not
//! synced is kept, lost or torn, sector by sector; and the store is opened on what is left.
//!
//! A batch is atomic and a writer's batches are in order. So after a crash each writer's queues must be exactly what they
//! were after one of its batches: none before the last one that was said to be durable, none after the last one handed over.
//! That one comparison holds everything: nothing durable lost, nothing settled back, no wrong bytes, all or none of a
//! fan-out, delivery counts.
//!
//! `LEVERET_CRASH_FACTOR=1000` runs so many times as many seeds, `LEVERET_CRASH_FIRST=5000` begins with another one.

mod model;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::lane::Progress;
use leveret_runtime::sim::{self, Effect, Fault, Host};
use leveret_runtime::{Runtime, random, sleep, spawn, time, yield_now};
use leveret_store::{Confirm, Error, Options, QueueKey, ReadLimits, Store, Writer};
use model::{Model, Random, read_all};

const TICK: Duration = Duration::from_millis(50);
/// Steps of a life, if nothing ends it before.
const STEPS: u64 = 2500;
/// Queues of the second writer have numbers from here on.
const SECOND: u64 = 1_000_000;

fn tiny() -> Options {
    Options {
        log_file_size: 24 * 1024,
        log_files: 3,
        segment_size: 6 * 1024,
        group_size: 8 * 1024,
        ..Options::default()
    }
}

thread_local! {
    static TALLY: Cell<Tally> = const { Cell::new(Tally { crashes: 0, checked: 0, recovery: Duration::ZERO }) };
}

/// What the runs of a test have come to.
#[derive(Clone, Copy)]
struct Tally {
    crashes: u64,
    /// Messages that were read and compared after a crash.
    checked: u64,
    /// The longest that opening took, in virtual time.
    recovery: Duration,
}

fn note(change: impl FnOnce(&mut Tally)) {
    let mut tally = TALLY.get();
    change(&mut tally);
    TALLY.set(tally);
}

/// Runs the lives of many seeds and prints what came of it.
fn report(name: &str, seeds: std::ops::Range<u64>, body: impl Fn(u64)) {
    let first = seeds.start;
    let run = sim::check(seeds, body);
    let (Tally { crashes, checked, recovery }, faults) = (TALLY.get(), run.faults);
    println!(
        "{name}: {faults} faults in {crashes} crashes, {checked} checked, 0 lost, 0 duplicates, worst recovery {:.2} s \
         (seeds {first} to {})",
        recovery.as_secs_f64(),
        first + run.seeds - 1
    );
}

/// One writer's queues: as they were after each of its batches.
#[derive(Clone)]
struct History {
    /// Those that a crash may leave, the oldest first; with the positions of this life.
    states: Vec<(u64, Model)>,
    durable: Progress,
}

impl History {
    fn new(first_queue: u64) -> History {
        let model = Model { next_queue: first_queue, ..Model::default() };
        History { states: vec![(0, model)], durable: Progress::new(0) }
    }

    fn latest(&self) -> Model {
        self.states.last().expect("there is always one").1.clone()
    }

    /// Forgets what a crash cannot leave any more.
    fn prune(&mut self) {
        let durable = self.durable.value();
        while self.states.get(1).is_some_and(|(position, _)| *position <= durable) {
            self.states.remove(0);
        }
    }

    /// Finds the state that is there, and goes on from it.
    fn recover(&mut self, store: &Store, writer: &Writer) -> Result<(), Error> {
        self.prune();
        let highest = self.states.iter().map(|(_, model)| model.next_queue).max().expect("there is one");
        let lowest = if highest >= SECOND { SECOND } else { 0 };
        let read = |queue| Ok((QueueKey(queue), read_all(store, QueueKey(queue), ReadLimits::default())?));
        let found = (lowest + 1..=highest).map(read).collect::<Result<Vec<_>, Error>>()?;
        let is_there = |model: &Model| {
            found.iter().all(|(queue, messages)| match model.queues.get(queue) {
                Some(expected) => expected == messages,
                None => messages.is_empty(),
            })
        };
        let Some((_, state)) = self.states.iter().rev().find(|(_, model)| is_there(model)) else {
            let counts = |model: &Model| model.queues.values().map(|queue| queue.len()).sum::<usize>();
            let candidates: Vec<_> = self.states.iter().map(|(position, model)| (*position, counts(model))).collect();
            panic!(
                "what is there ({} messages) is none of the states {candidates:?} since position {}",
                found.iter().map(|(_, messages)| messages.len()).sum::<usize>(),
                self.durable.value()
            );
        };
        note(|tally| tally.checked += found.iter().map(|(_, messages)| messages.len() as u64).sum::<u64>());
        let state = Model { next_queue: highest, ..state.clone() };
        *self = History { states: vec![(0, state)], durable: writer.progress().clone() };
        Ok(())
    }
}

type Histories = Rc<RefCell<[History; 2]>>;

/// Opens, checks, and works until the power fails, or something else does.
fn live(histories: &Histories, options: &Options, steps: u64) -> Result<(), Error> {
    let begun = time::now();
    let (store, _) = Store::open(Path::new("/data"), options.clone())?;
    note(|tally| tally.recovery = tally.recovery.max(time::now() - begun));
    let ticker = store.clone();
    let ticker = spawn(move || {
        loop {
            sleep(TICK);
            ticker.tick();
        }
    });
    let mut writers = [store.writer(), store.writer()];
    let mut fresh = histories.borrow().clone();
    for (history, writer) in fresh.iter_mut().zip(&writers) {
        history.recover(&store, writer)?;
    }
    *histories.borrow_mut() = fresh;
    let mut random = Random(random::u64());
    let mut models = histories.borrow().each_ref().map(History::latest);
    for step in 0..steps {
        let who = random.below(2) as usize;
        models[who].step(&mut random, &mut writers[who]);
        if random.below(3) == 0 || writers[who].pending_bytes() > 8_000 {
            let position = writers[who].flush();
            let history = &mut histories.borrow_mut()[who];
            if history.states.last().is_none_or(|(last, _)| *last < position.0) {
                history.states.push((position.0, models[who].clone()));
            }
            history.prune();
        }
        match random.below(30) {
            0..5 => yield_now(),
            5 => store.tick(),
            6..9 => {
                let position = writers[who].flush();
                histories.borrow_mut()[who].states.push((position.0, models[who].clone()));
                writers[who].progress().wait(position.0).map_err(|_| Error::Closed)?;
            }
            _ => {}
        }
        if step % 97 == 96 {
            for queue in models[who].queues.keys().take(3) {
                store.read(
                    *queue,
                    leveret_store::SeqRange { first: leveret_store::Seq(0), last: leveret_store::Seq::MAX },
                    ReadLimits::default(),
                )?;
            }
        }
    }
    for (writer, (history, model)) in writers.iter_mut().zip(histories.borrow_mut().iter_mut().zip(&models)) {
        let position = writer.flush();
        history.states.push((position.0, model.clone()));
    }
    ticker.kill();
    store.close()
}

/// Lives on a host until something ends it; then the power fails, if it has not yet.
fn one_life(server: Host, lives: u64, histories: &Histories, options: &Options, steps: u64, faults: Vec<Fault>) {
    let (theirs, options) = (histories.clone(), options.clone());
    let program = server.spawn(move || {
        faults.into_iter().for_each(sim::inject);
        live(&theirs, &options, steps).map_err(|error| error.to_string())
    });
    if let Ok(outcome) = program.join() {
        if let Err(text) = &outcome {
            assert!(!text.contains("damaged"), "{text}");
        }
        if server.is_up() {
            server.crash();
        }
    }
    server.disk().crashes().wait(lives).expect("it never ends");
    note(|tally| tally.crashes += 1);
    sim::clear_faults();
    server.restart();
}

/// Some lives with the given faults, and two without any.
fn lives(seed: u64, count: u64, confirm: Confirm, faults: impl Fn(&mut Random) -> Vec<Fault> + 'static) {
    let simulation = Runtime::builder().simulated(seed).build().expect("a runtime");
    let body = move || {
        let (server, options) = (sim::host("server"), Options { confirm, ..tiny() });
        let histories: Histories = Rc::new(RefCell::new([History::new(0), History::new(SECOND)]));
        let mut random = Random(seed);
        for life in 1..=count {
            one_life(server, life, &histories, &options, STEPS, faults(&mut random));
        }
        one_life(server, count + 1, &histories, &options, 400, Vec::new());
        one_life(server, count + 2, &histories, &options, 0, Vec::new());
    };
    simulation.run(body).expect("no deadlock");
}

fn seeds(count: u64) -> std::ops::Range<u64> {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = variable("LEVERET_CRASH_FIRST").unwrap_or(0);
    first..first + count * variable("LEVERET_CRASH_FACTOR").unwrap_or(1)
}

#[test]
fn nothing_durable_is_lost_when_the_power_fails() {
    report("POWER", seeds(10), |seed| {
        lives(seed, 6, Confirm::Synced, |random| {
            let bound = [20, 100, 400, 1500][random.below(4) as usize];
            let call = 1 + random.below(bound);
            vec![Fault::at("fs.*").nth(call).then(Effect::Crash)]
        });
    });
}

/// With short writes and slow calls on the way.
#[test]
fn nothing_durable_is_lost_on_a_bad_disk() {
    report("BAD DISK", seeds(6), |seed| {
        lives(seed + (1 << 40), 6, Confirm::Synced, |random| {
            let call = 1 + random.below(600);
            vec![
                Fault::at("fs.*").nth(call).then(Effect::Crash),
                Fault::at("fs.write").chance(0.05).then(Effect::Short),
                Fault::at("fs.read").chance(0.05).then(Effect::Short),
                Fault::at("fs.rename").chance(0.3).then(Effect::Delay(Duration::from_millis(500))),
                Fault::at("fs.sync").chance(0.02).then(Effect::Delay(Duration::from_millis(100))),
            ]
        });
    });
}

/// Every call fails once, for the first calls of a life: whatever fails, nothing that was said to be durable is lost.
#[test]
fn nothing_durable_is_lost_when_a_call_fails() {
    report("FAILED CALLS", seeds(10), |seed| {
        lives(seed + (2 << 40), 5, Confirm::Synced, move |random| {
            let bound = [30, 200, 800][random.below(3) as usize];
            let call = 1 + random.below(bound);
            let effect = [Effect::Fails, Effect::Full][random.below(2) as usize];
            vec![
                Fault::at("fs.*").nth(call).then(effect),
                Fault::at("fs.*").nth(call + 1 + random.below(300)).then(Effect::Crash),
            ]
        });
    });
}

/// A failed sync ends the process, and the next one starts on a machine that has not lost its power: the group in doubt is
/// in the system's cache. When the power fails later, it must not be missing in the middle of the log.
#[test]
fn a_group_whose_sync_failed_is_written_anew_by_the_next_start() {
    report("RESTART AFTER A FAILED SYNC", seeds(20), |seed| {
        let simulation = Runtime::builder().simulated(seed + (3 << 40)).build().expect("a runtime");
        let body = move || {
            let (server, options) = (sim::host("server"), tiny());
            let histories: Histories = Rc::new(RefCell::new([History::new(0), History::new(SECOND)]));
            let mut random = Random(seed);
            for life in 1..=4 {
                let sync = Fault::at("fs.sync").path("*.log").nth(4 + random.below(30)).then(Effect::Fails);
                process(server, &histories, &options, STEPS, vec![sync]);
                // What was not said to be durable may be there: that is decided by what this start finds.
                process(server, &histories, &options, 40, Vec::new());
                let cut = Fault::at("fs.*").nth(1 + random.below(200)).then(Effect::Crash);
                one_life(server, life, &histories, &options, STEPS, vec![cut]);
            }
            one_life(server, 5, &histories, &options, 0, Vec::new());
        };
        simulation.run(body).expect("no deadlock");
    });
}

/// A process that ends by itself, on a machine that goes on.
fn process(server: Host, histories: &Histories, options: &Options, steps: u64, faults: Vec<Fault>) {
    let (theirs, options) = (histories.clone(), options.clone());
    let program = server.spawn(move || {
        faults.into_iter().for_each(sim::inject);
        live(&theirs, &options, steps).map_err(|error| error.to_string())
    });
    let outcome = program.join().expect("nothing crashes");
    assert!(!outcome.is_err_and(|text| text.contains("damaged")), "it starts");
    sim::clear_faults();
}

/// A log file is given back when the manifest is on the disk, and not before: a slow manifest and a power cut in the middle
/// of it find out.
#[test]
fn a_log_file_is_used_again_only_after_the_manifest() {
    report("SLOW MANIFEST", seeds(12), |seed| {
        lives(seed + (4 << 40), 6, Confirm::Synced, |random| {
            let slow = Effect::Delay(Duration::from_secs(2));
            let call = 1 + random.below(8);
            vec![
                Fault::at("fs.rename").path("*MANIFEST*").nth(call).then(Effect::Crash),
                Fault::at("fs.sync").path("*MANIFEST*").then(slow),
            ]
        });
    });
}
