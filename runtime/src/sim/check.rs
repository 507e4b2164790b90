//! Running a test body over many seeds, and making the most of a failure.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::coroutine::join::panic_message;
use crate::driver::sim::fault::{Faults, Firing};
use crate::driver::sim::{Session, with_session};

/// Runs this one seed only, and shows the last events if it fails.
const SEED: &str = "LEVERET_SIM_SEED";

/// Of the faults that the seed wants, only those of these numbers fire (`3,17`; empty for none).
const FAULTS: &str = "LEVERET_SIM_FAULTS";

/// Runs every seed twice and compares the traces. `CI` does so too.
const TWICE: &str = "LEVERET_SIM_TWICE";

/// The most runs that looking for the faults that matter may take.
const MINIMISING_RUNS_MAX: usize = 200;

/// What [`check`] has done.
///
/// ```
/// use leveret_runtime::{Runtime, sim, sleep};
/// let checked = sim::check(0..3, |seed| {
///     let runtime = Runtime::builder().simulated(seed).build().unwrap();
///     runtime.run(|| sleep(std::time::Duration::from_secs(60))).unwrap();
/// });
/// assert!(checked.simulated.as_secs() >= 180);
/// println!("{checked}");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Seeds that were run.
    pub seeds: u64,
    /// Virtual time of all runs together.
    pub simulated: Duration,
    /// Faults that fired.
    pub faults: u64,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated.as_secs_f64() / 3600.0;
        write!(f, "{} seeds, {hours:.2} simulated hours, {} faults, 0 violations", self.seeds, self.faults)
    }
}

/// Runs `body` with each of the seeds, each of which it gives to a [simulated](crate::RuntimeBuilder::simulated) runtime (or
/// to several, one after the other); it panics to say that it has failed.
///
/// On the first failure this looks for the few faults that matter (it runs the seed again with fewer and fewer of them), and
/// panics with a report: the seed, the failure, those faults, and the command that replays it.
///
/// Environment: `LEVERET_SIM_SEED=7` runs only that seed; `LEVERET_SIM_FAULTS=3,17` lets only these faults of it fire;
/// `LEVERET_SIM_TWICE=1` (or `CI`) runs every seed twice and compares the [traces](super::trace_hash).
///
/// ```
/// use leveret_runtime::{Runtime, random, sim};
/// let checked = sim::check(0..10, |seed| {
///     let run = Runtime::builder().simulated(seed).build().unwrap().run(|| random::u64() % 7);
///     assert!(run.unwrap() < 7);
/// });
/// assert_eq!(checked.seeds, 10);
/// ```
///
/// # Panics
/// When the body fails for a seed, or two runs of a seed differ.
pub fn check(seeds: impl IntoIterator<Item = u64>, body: impl Fn(u64)) -> Checked {
    let only = variable(SEED).map(|seed| seed.parse().unwrap_or_else(|_| panic!("{SEED} is no number: {seed}")));
    let twice = only.is_some() || variable(TWICE).is_some() || variable("CI").is_some();
    let seeds: Box<dyn Iterator<Item = u64>> = match only {
        Some(seed) => Box::new(std::iter::once(seed)),
        None => Box::new(seeds.into_iter()),
    };
    let mut checked = Checked::default();
    for seed in seeds {
        let run = run(seed, &body, chosen_faults());
        checked.seeds += 1;
        checked.simulated += run.session.simulated();
        checked.faults += run.session.faults().fired().len() as u64;
        if run.failure.is_some() {
            panic!("{}", report(seed, &body, &run, only.is_some()));
        }
        if twice {
            compare(seed, &run, &self::run(seed, &body, chosen_faults()));
        }
    }
    checked
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn chosen_faults() -> Faults {
    match variable(FAULTS) {
        None => Faults::default(),
        Some(list) => Faults::only(list.split(',').filter_map(|number| number.trim().parse().ok()).collect()),
    }
}

struct Run {
    failure: Option<String>,
    session: Rc<Session>,
}

impl Run {
    fn fired(&self) -> Vec<Firing> {
        self.session.faults().fired()
    }
}

fn run(seed: u64, body: &impl Fn(u64), faults: Faults) -> Run {
    let session = Rc::new(Session::new(faults));
    let ended = with_session(session.clone(), || catch_unwind(AssertUnwindSafe(|| body(seed))));
    Run { failure: ended.err().map(text), session }
}

fn text(payload: Box<dyn Any + Send>) -> String {
    panic_message(payload.as_ref()).unwrap_or("(a panic without a message)").to_owned()
}

fn compare(seed: u64, one: &Run, other: &Run) {
    let (first, second) = (one.session.hash(), other.session.hash());
    assert!(
        first == second && other.failure.is_none(),
        "two runs of seed {seed} differ (trace hashes {first:#018x} and {second:#018x}): something that the seed does not \
         decide has a say, such as a HashMap with std's hasher, an address, or the real clock.\nThe end of the first:\n{}\n\
         The end of the second:\n{}",
        one.session.recent(),
        other.session.recent()
    );
}

fn report(seed: u64, body: &impl Fn(u64), failed: &Run, replayed: bool) -> String {
    let all = failed.fired();
    let fails = |only: &BTreeSet<usize>| run(seed, body, Faults::only(only.clone())).failure.is_some();
    let needed = match replayed {
        true => None, // whoever replays wants this run and no other
        false => Some(minimise((0..all.len()).collect(), fails)),
    };
    let mut text = format!("seed {seed} fails: {}\n", failed.failure.as_deref().unwrap_or_default());
    match &needed {
        None => {}
        Some(needed) if needed.is_empty() && all.is_empty() => text += "no fault fired\n",
        Some(needed) if needed.is_empty() => text += "it fails without any fault, too\n",
        Some(needed) => {
            let _ = writeln!(text, "{} of the {} faults that fired are needed:", needed.len(), all.len());
            for (number, firing) in needed.iter().filter_map(|&number| Some((number, all.get(number)?))) {
                let _ = writeln!(text, "  {number:>4}  {:>12.6} s  {}", firing.at.as_secs_f64(), firing.what);
            }
        }
    }
    if replayed {
        let _ = writeln!(text, "the last events:\n{}", failed.session.recent());
    }
    text + "replay: " + &command(seed, needed.as_ref(), all.len())
}

/// The line that runs this test with this seed again.
fn command(seed: u64, faults: Option<&BTreeSet<usize>>, fired: usize) -> String {
    let mut line = format!("{SEED}={seed} ");
    if let Some(faults) = faults.filter(|faults| faults.len() < fired) {
        let list: Vec<String> = faults.iter().map(usize::to_string).collect();
        let _ = write!(line, "{FAULTS}={} ", list.join(","));
    }
    line += "cargo test";
    if let Some(package) = variable("CARGO_PKG_NAME") {
        let _ = write!(line, " -p {package}");
    }
    if let Some(thread) = std::thread::current().name().filter(|name| *name != "main") {
        let _ = write!(line, " {thread} -- --exact --nocapture");
    }
    line
}

/// A subset with which `fails` still holds, and of which no part can be left out: delta debugging.
fn minimise(all: BTreeSet<usize>, fails: impl Fn(&BTreeSet<usize>) -> bool) -> BTreeSet<usize> {
    let (mut needed, mut parts, mut runs): (Vec<usize>, usize, usize) = (all.into_iter().collect(), 1, 0);
    while !needed.is_empty() && runs < MINIMISING_RUNS_MAX {
        let size = needed.len().div_ceil(parts);
        let without = |at: usize| needed.iter().copied().enumerate().filter(move |(index, _)| index / size != at);
        let smaller = (0..needed.len().div_ceil(size)).find_map(|at| {
            runs += 1;
            let rest: BTreeSet<usize> = without(at).map(|(_, number)| number).collect();
            (runs <= MINIMISING_RUNS_MAX && fails(&rest)).then_some(rest)
        });
        match smaller {
            Some(rest) => {
                needed = rest.into_iter().collect();
                parts = parts.saturating_sub(1).max(1);
            }
            None if size == 1 => break,
            None => parts = (parts * 2).min(needed.len()),
        }
    }
    needed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Runtime;
    use crate::driver::sim::World;
    use crate::driver::sim::random::Stream;

    #[test]
    fn faults_that_do_not_matter_are_left_out() {
        let check = |count: usize, culprits: &[usize]| {
            let culprits: BTreeSet<usize> = culprits.iter().copied().collect();
            let fails = |only: &BTreeSet<usize>| culprits.is_subset(only);
            assert_eq!(minimise((0..count).collect(), fails), culprits);
        };
        check(0, &[]);
        check(1, &[]);
        check(1, &[0]);
        check(100, &[]);
        check(100, &[63]);
        check(100, &[3, 97]);
        check(20, &[0, 7, 8, 19]);
    }

    /// Ten faults may fire; the body fails if both the third and the sixth do.
    fn body(seed: u64) {
        let world = World::new(seed, 1);
        let fired: Vec<bool> = (0..10).map(|n| world.fault_fires(format!("fault {n}"))).collect();
        assert!(!(fired[2] && fired[5]), "both fired");
    }

    #[test]
    fn a_failure_names_its_seed_its_faults_and_how_to_replay_it() {
        let failure = catch_unwind(|| check(3..100, body)).unwrap_err();
        let text = text(failure);
        for expected in [
            "seed 3 fails: both fired",
            "2 of the 10 faults",
            "  2      0.000000 s  fault 2\n",
            "  5      0.000000 s  fault 5\n",
            "replay: LEVERET_SIM_SEED=3 LEVERET_SIM_FAULTS=2,5 cargo test -p leveret-runtime sim::check::tests::a_failure",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
        }
    }

    #[test]
    fn two_runs_that_differ_are_noticed() {
        let simulate = |draws| {
            let world = World::new(1, 1);
            (0..draws).for_each(|_| assert_ne!(world.draw(Stream::Program), 0));
        };
        let runs = [1, 1, 2].map(|draws| run(1, &|_| simulate(draws), Faults::default()));
        compare(1, &runs[0], &runs[1]);
        assert!(catch_unwind(AssertUnwindSafe(|| compare(1, &runs[0], &runs[2]))).is_err());
    }

    #[test]
    fn what_was_done_is_counted() {
        let checked = check(0..5, |seed| {
            Runtime::builder().simulated(seed).build().unwrap().run(|| crate::sleep(Duration::from_secs(2))).unwrap();
        });
        assert_eq!((checked.seeds, checked.simulated, checked.faults), (5, Duration::from_secs(10), 0));
        assert_eq!(checked.to_string(), "5 seeds, 0.00 simulated hours, 0 faults, 0 violations");
    }
}
