//! The whole broker on the simulated machine, with clients that do everything that touches the disk, and a machine that loses
//! its power at any moment: of work, of recovery, of emptying log files, of stopping. What was promised must be there, and
//! nothing else.
//!
//! ```text
//!   world (a seed) = stints, each with its number of shards, on one disk
//!   stint          = lives: start, work, an end by power cut or in order (faults.rs)
//!   last of all    = a life without faults, in which everything is taken out and held against the ledger (ledger.rs)
//! ```
//!
//! What is checked, one property each: no promise is lost; nothing is there that was never published, was rolled back or is
//! gone for good, and every byte is as it was; streams keep everything in its place; the order of a publisher's messages; "redelivered"; fan-outs and transactions
//! are all or none (where the queues share a shard); counts agree; queues, exchanges and bindings are there or not as was
//! said; when faults stop, everything drains.
//!
//! Files are tiny, so that log files are used again all the time. `LEVERET_SIM_SEEDS` sets how many seeds are run (default
//! [`SEEDS`]), `LEVERET_SIM_FIRST` the first one; a failure prints the command that replays it.

mod calls;
mod clients;
mod damage;
mod faults;
mod layout;
mod ledger;
mod stories;
mod streams;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use leveret_core::access::password::{Algorithm, Work};
use leveret_runtime as runtime;
use runtime::signal::Signal;
use runtime::sim::{self, Host, Image};
use runtime::{JoinHandle, Runtime, fs};

use crate::boot;
use crate::config::{Config, Limits, LogFiles, QueueWindows};
use faults::{End, Plan};
use ledger::{Ledger, Shared};

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 12;

/// Numbers of shards that a world may change between.
const SHARD_COUNTS: [usize; 4] = [1, 2, 3, 5];

/// Stints of a world, and lives of each.
const STINTS: u64 = 2;
const LIVES: u64 = 6;

/// How long a broker may take to stop when nothing hinders it.
const STOP_MAX: Duration = Duration::from_secs(60);

/// How long the end of a world may take, in which nothing goes wrong any more.
const END_MAX: Duration = Duration::from_secs(120);

const DEFINITIONS: &str = "/definitions.json";

/// What all worlds have come to.
#[derive(Clone, Copy, Default)]
struct Tally {
    cuts: u64,
    stops: u64,
    checked: u64,
    duplicates: u64,
    recovery: Duration,
}

thread_local! {
    static TALLY: Cell<Tally> = const { Cell::new(Tally { cuts: 0, stops: 0, checked: 0, duplicates: 0, recovery: Duration::ZERO }) };
}

fn note(change: impl FnOnce(&mut Tally)) {
    let mut tally = TALLY.get();
    change(&mut tally);
    TALLY.set(tally);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[test]
fn no_promise_is_broken_by_power_cuts() {
    let (first, count) = (variable("LEVERET_SIM_FIRST").unwrap_or(0), variable("LEVERET_SIM_SEEDS").unwrap_or(SEEDS));
    let _ = env_logger::builder().is_test(true).try_init(); // RUST_LOG=info shows what the broker says
    let run = sim::check(first..first + count, world);
    let Tally { cuts, stops, checked, duplicates, recovery } = TALLY.get();
    println!(
        "TEST: {} faults, {cuts} power cuts, {stops} stops, {checked} checked, 0 lost, {duplicates} duplicates, worst recovery \
         {:.2} s (seeds {first} to {}; {run})",
        run.faults,
        recovery.as_secs_f64(),
        first + count - 1,
    );
}

/// One world from its beginning to its judgement.
fn world(seed: u64) {
    let ledger = Shared::default();
    let is_one_shard = seed.is_multiple_of(3);
    ledger.borrow_mut().is_one_shard = is_one_shard;
    let (mut image, mut elapsed) = (None, Duration::ZERO);
    for stint in 0..STINTS {
        let shards = if is_one_shard { 1 } else { SHARD_COUNTS[((seed / 3 + stint * 5) % 4) as usize] };
        let machine =
            Runtime::builder().shards(shards).simulated(seed * STINTS + stint).build().expect("a simulated machine");
        let (ledger, before) = (ledger.clone(), image.take());
        let stint = Stint { ledger, shards, elapsed, is_last: stint == STINTS - 1 };
        let (after, took) = machine.run(move || stint.run(before)).expect("somebody can always run");
        image = Some(after);
        elapsed += took;
    }
}

/// Some lives of a machine.
struct Stint {
    ledger: Shared,
    shards: usize,
    /// How long the stints before took: the clock goes on.
    elapsed: Duration,
    is_last: bool,
}

/// The machines of a world.
#[derive(Clone, Copy)]
struct Hosts {
    server: Host,
    clients: Host,
    /// Consumers who may die before the others.
    eaters: Host,
}

impl Stint {
    fn run(self, image: Option<Image>) -> (Image, Duration) {
        let hosts = Hosts { server: sim::host("server"), clients: sim::host("clients"), eaters: sim::host("eaters") };
        let began = runtime::time::now();
        for host in [hosts.server, hosts.clients, hosts.eaters] {
            host.set_clock_ahead(self.elapsed);
        }
        match image {
            Some(image) => hosts.server.disk().restore(&image),
            None => prepare(hosts.server),
        }
        for _ in 0..LIVES {
            let plan = hosts.clients.run(Plan::draw).expect("it only draws numbers");
            self.live(hosts, plan);
        }
        if self.is_last {
            self.end(hosts);
        }
        (hosts.server.disk().image(), runtime::time::now() - began)
    }

    /// Starts the broker, has clients work, and ends it.
    fn live(&self, hosts: Hosts, plan: Plan) {
        let cuts_before = hosts.server.disk().crashes().value();
        let program = self.start(hosts, &plan);
        let working = {
            let (ledger, shards, eaters) = (self.ledger.clone(), self.shards, hosts.eaters);
            let (is_quick, began) = (plan.is_quick(), runtime::time::now());
            hosts.clients.spawn(move || {
                drop(clients::connect());
                if is_quick {
                    let took = runtime::time::now() - began;
                    note(|tally| tally.recovery = tally.recovery.max(took));
                }
                drop(clients::work(&ledger, eaters, shards));
            })
        };
        let trouble = self.make_trouble(hosts, &plan);
        let ended = program.join_timeout(plan.after);
        trouble.kill();
        let ended = match ended {
            Err(program) if plan.end != End::PowerCut => stop(hosts.server, program, &plan),
            Err(_) | Ok(Err(_)) => Ended::Cut,
            Ok(Ok(_)) if !hosts.server.is_up() => Ended::Cut, // its files failed before it was killed
            Ok(Ok(outcome)) => Ended::ByItself(outcome),
        };
        sim::clear_faults();
        self.check_end(&ended, &plan);
        if working.is_finished()
            && let Err(error) = working.join()
        {
            self.ledger.borrow_mut().violate(format!("a client ended: {error}"));
        }
        self.power_off(hosts, &ended, &plan, cuts_before);
        let violations = self.take_violations();
        assert!(violations.is_empty(), "after {plan:?}:\n{}", violations.join("\n"));
    }

    fn start(&self, hosts: Hosts, plan: &Plan) -> JoinHandle<Result<(), String>> {
        start(hosts.server, self.shards, plan.faults.clone())
    }

    /// What happens to the machines while they work.
    fn make_trouble(&self, hosts: Hosts, plan: &Plan) -> JoinHandle<()> {
        let (ledger, eaters_die, full) = (self.ledger.clone(), plan.eaters_die, plan.full);
        runtime::spawn(move || {
            if let Some((from, duration)) = full {
                runtime::sleep(from);
                drop(hosts.server.run(|| Plan::fullness().for_each(sim::inject)));
                runtime::sleep(duration);
                sim::clear_faults();
            }
            if let Some(after) = eaters_die {
                runtime::sleep(after);
                layout::names().for_each(|name| ledger.borrow_mut().stir(name));
                hosts.eaters.crash();
                hosts.eaters.restart();
            }
        })
    }

    /// The broker ends by itself only if it may, and never says that its files are damaged.
    fn check_end(&self, ended: &Ended, plan: &Plan) {
        let mut ledger = self.ledger.borrow_mut();
        match ended {
            Ended::Cut | Ended::Stopped => {}
            Ended::Hung if plan.has_failures => {}
            Ended::Hung => ledger.violate("the broker did not stop when it was asked to".into()),
            Ended::ByItself(Ok(())) => ledger.violate("the broker stopped, and nobody had asked it to".into()),
            Ended::ByItself(Err(text)) if !plan.has_failures || text.contains("damaged") => {
                ledger.violate(format!("the broker did not start: {text}"));
            }
            Ended::ByItself(Err(_)) => {}
        }
    }

    /// Everything is switched off; what is on the disk then, by how it ended.
    fn power_off(&self, hosts: Hosts, ended: &Ended, plan: &Plan, cuts_before: u64) {
        let synced = hosts.server.is_up().then(|| hosts.server.disk().image());
        if hosts.server.is_up() {
            hosts.server.crash();
        }
        for host in [hosts.clients, hosts.eaters] {
            host.crash();
            host.restart();
        }
        hosts.server.disk().crashes().wait(cuts_before + 1).expect("it never ends");
        hosts.server.restart();
        let mut ledger = self.ledger.borrow_mut();
        match (ended, plan.end, synced) {
            // Where a call has failed the broker may have lost its store, and a real one would have ended then.
            (Ended::Stopped, End::Stop { stays_up }, Some(image)) if !plan.has_failures => {
                if stays_up {
                    hosts.server.disk().restore(&image);
                }
                layout::names().for_each(|name| ledger.stir(name));
                note(|tally| tally.stops += 1);
            }
            _ => {
                ledger.power_cut();
                note(|tally| tally.cuts += 1);
            }
        }
    }

    /// Nothing goes wrong any more: everything is taken out, and judged.
    fn end(&self, hosts: Hosts) {
        let plan = Plan::calm(End::PowerCut);
        let program = self.start(hosts, &plan);
        let drained = {
            let ledger = self.ledger.clone();
            hosts.clients.run(move || {
                let found = runtime::timeout(END_MAX, || clients::drain(&ledger));
                let Ok(found) = found else { panic!("the queues do not drain:\n{}", runtime::dump()) };
                let found = found.expect("nothing goes wrong any more");
                let unique: BTreeSet<_> = found.iter().copied().collect();
                let mut ledger = ledger.borrow_mut();
                ledger.duplicates += (found.len() - unique.len()) as u64;
                if unique.len() < found.len() && ledger.is_one_shard {
                    ledger.violate(format!("something is there twice: {found:?}"));
                }
                ledger.judge(&unique);
            })
        };
        drained.expect("the clients are well");
        drop(program);
        let violations = self.take_violations();
        let ledger = self.ledger.borrow();
        let Ledger { checked, duplicates, .. } = &*ledger;
        note(|tally| (tally.checked, tally.duplicates) = (tally.checked + checked, tally.duplicates + duplicates));
        assert!(violations.is_empty(), "in the end:\n{}", violations.join("\n"));
    }
}

impl Stint {
    /// What was wrong since this was asked last.
    fn take_violations(&self) -> Vec<String> {
        let mut violations = std::mem::take(&mut self.ledger.borrow_mut().violations);
        let (of_streams, checked) = streams::take_violations(&self.ledger);
        violations.extend(of_streams);
        self.ledger.borrow_mut().checked += checked;
        violations
    }
}

/// Starts the broker; its end is the answer's, unless its machine ends before.
fn start(server: Host, shards: usize, faults: Vec<sim::Fault>) -> JoinHandle<Result<(), String>> {
    let config = Arc::new(config(shards));
    server.spawn(move || {
        faults.into_iter().for_each(sim::inject);
        boot::run(&config).map_err(|error| error.to_string())
    })
}

/// Puts on a new machine's disk what a broker needs to find.
fn prepare(server: Host) {
    server.run(write_definitions).expect("the disk is sound");
}

/// How a life has ended.
#[derive(Debug)]
enum Ended {
    /// The machine lost its power.
    Cut,
    /// As it was asked to.
    Stopped,
    /// It was asked to stop, and did not.
    Hung,
    /// The program has ended.
    ByItself(Result<(), String>),
}

/// Asks the broker to stop, and waits for it.
fn stop(server: Host, program: JoinHandle<Result<(), String>>, plan: &Plan) -> Ended {
    if plan.full.is_some() {
        sim::clear_faults(); // the disk has room again
    }
    drop(server.run(|| Signal::Terminate.raise()));
    match program.join_timeout(STOP_MAX) {
        Ok(Ok(Ok(()))) => Ended::Stopped,
        Ok(Ok(outcome)) if server.is_up() => Ended::ByItself(outcome),
        Ok(_) => Ended::Cut, // the plan's crash came first
        Err(_) => Ended::Hung,
    }
}

/// Bytes of each end of a queue that stay in memory: a handful of messages, so that most of them go to disk and come back.
const WINDOW: u64 = 1024;

/// A hundred thousand logins with the usual work would be an hour, and take and give back 2 TB of memory.
const LOGIN_WORK: Work = Work { memory: 8, passes: 1 };

fn config(shards: usize) -> Config {
    Config {
        shards,
        data_dir: "/data".into(),
        amqp: vec!["0.0.0.0:5672".parse().expect("an address")],
        loopback_users: BTreeSet::new(),
        load_definitions: vec![DEFINITIONS.into()],
        limits: Limits { max_message_size: 4096, ..Limits::default() },
        windows: QueueWindows { max: WINDOW, min: WINDOW },
        login_work: LOGIN_WORK,
        log_files: LogFiles { log_file_size: 48 * 1024, count: 3, segment_size: 8 * 1024, record_margin: 16 * 1024 },
        ..Config::default()
    }
}

/// A user whose password takes [`LOGIN_WORK`] to check.
fn write_definitions() {
    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$VHgSLTq+kTyW9u0YIRYRKg$UDruaZKUlQoo2rWp2j1UgnnerE71YYvEaD2Ryz9T/as";
    let document = format!(
        r#"{{"users": [{{"name": "guest", "password_hash": "{HASH}", "hashing_algorithm": "{}", "tags": ["administrator"]}}],
            "vhosts": [{{"name": "/"}}],
            "permissions": [{{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}}]}}"#,
        Algorithm::Argon2id.as_str()
    );
    let sync = |path: &str| fs::File::open(path).and_then(|file| file.sync_all());
    fs::write(DEFINITIONS, document)
        .and_then(|()| sync(DEFINITIONS))
        .and_then(|()| fs::sync_dir("/"))
        .expect("a sound disk");
}
