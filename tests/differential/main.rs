//! The same scripts against us and against a real RabbitMQ; what both say is compared word for word.
//!
//! Scripts come from seeds (`script`), and each is played on both brokers in step, so that the first difference ends it. It is then made
//! as short as it can be and printed. `words` lists what may differ and why. Where no RabbitMQ is installed there is nothing to compare
//! with; the tests say so and end.
//!
//! Definitions go there and back as well (`definitions`).
//!
//! | variable | meaning |
//! | --- | --- |
//! | `LEVERET_DIFFERENTIAL_SCRIPTS` | scripts a test, 12 without it |
//! | `LEVERET_DIFFERENTIAL_SEED` | the first seed, 1 without it |

#[path = "../http/client.rs"]
#[expect(dead_code, reason = "the tests of the HTTP API need more of it")]
mod client;
mod definitions;
mod fields;
mod script;
mod side;
mod words;

use std::env;
use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock, PoisonError};

use harness::{Broker, Rabbit};

use crate::script::{Flavour, Step, script};
use crate::side::Side;

const SCRIPTS_DEFAULT: u64 = 12;
const STEPS: usize = 60;

/// Attempts to shorten a script that shows a difference.
const SHORTENINGS: usize = 100;

struct Difference {
    /// How many steps it took.
    steps: usize,
    ours: Vec<String>,
    theirs: Vec<String>,
}

fn number(name: &str, default: u64) -> u64 {
    let parse = |text: String| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number"));
    env::var(name).map_or(default, parse)
}

fn rabbit() -> Option<&'static Rabbit> {
    static RABBIT: OnceLock<Option<Rabbit>> = OnceLock::new();
    RABBIT.get_or_init(Rabbit::find).as_ref()
}

/// Plays it on both, up to the first difference.
fn difference(ours: SocketAddr, theirs: SocketAddr, steps: &[Step], ages: bool) -> Option<Difference> {
    let (mut left, mut right) = (Side::new(ours, ages), Side::new(theirs, ages));
    let found = steps.iter().enumerate().find_map(|(index, step)| {
        let (ours, theirs) = (left.play(step), right.play(step));
        let plain = |log: &[String]| log.iter().map(|words| words::plain(words)).collect::<Vec<_>>();
        let (ours, theirs) = (plain(&ours), plain(&theirs));
        (ours != theirs).then_some(Difference { steps: index + 1, ours, theirs })
    });
    left.clean_up();
    right.clean_up();
    found
}

/// Leaves out what the difference does not need, half of it first and single steps last.
fn shortest(mut steps: Vec<Step>, mut differs: impl FnMut(&[Step]) -> Option<usize>) -> Vec<Step> {
    let mut size = steps.len().div_ceil(2);
    let mut attempts = 0;
    while size > 0 {
        let mut at = 0;
        while at < steps.len() && attempts < SHORTENINGS {
            attempts += 1;
            let fewer = [&steps[..at], &steps[(at + size).min(steps.len())..]].concat();
            match differs(&fewer) {
                Some(count) => steps = fewer[..count].to_vec(),
                None => at += size,
            }
        }
        size /= 2;
    }
    steps
}

fn report(ours: SocketAddr, theirs: SocketAddr, steps: &[Step], found: Difference, ages: bool) -> String {
    let short = shortest(steps[..found.steps].to_vec(), |steps| Some(difference(ours, theirs, steps, ages)?.steps));
    let (title, steps, found) = match difference(ours, theirs, &short, ages) {
        Some(last) => ("", &short[..], last),
        None => ("(seen once only)\n", &steps[..found.steps], found),
    };
    let lines: Vec<String> = steps.iter().map(|step| format!("  {step}")).collect();
    let (left, right) = (found.ours.join("\n  "), found.theirs.join("\n  "));
    format!("{title}{}\n we say\n  {left}\n RabbitMQ says\n  {right}", lines.join("\n"))
}

fn compare(shards: usize, flavour: Flavour) {
    let Some(rabbit) = rabbit() else {
        println!("no RabbitMQ is installed here: nothing to compare with");
        return;
    };
    static TURN: Mutex<()> = Mutex::new(());
    // One at a time: scripts bind to `amq.topic` and its like, which all have in common.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let broker = Broker::shared(shards);
    let (ours, theirs, ages) =
        (broker.address(), rabbit.address(), matches!(flavour, Flavour::Timed | Flavour::Mortal));
    let first = number("LEVERET_DIFFERENTIAL_SEED", 1);
    let count = number("LEVERET_DIFFERENTIAL_SCRIPTS", SCRIPTS_DEFAULT);
    for seed in first..first + count {
        let steps = script(seed, flavour, STEPS);
        if let Some(found) = difference(ours, theirs, &steps, ages) {
            panic!("seed {seed}, {flavour:?}:\n{}", report(ours, theirs, &steps, found, ages));
        }
    }
    println!("{count} scripts of {STEPS} steps, {flavour:?}, {shards} shards: no difference");
}

macro_rules! comparisons {
    ($($module:ident: $shards:literal),*) => {
        $(mod $module {
            #[test]
            fn ageless() {
                crate::compare($shards, crate::Flavour::Ageless);
            }

            #[test]
            fn timed() {
                crate::compare($shards, crate::Flavour::Timed);
            }

            #[test]
            fn mortal() {
                crate::compare($shards, crate::Flavour::Mortal);
            }

            #[test]
            fn careless() {
                crate::compare($shards, crate::Flavour::Careless);
            }
        })*
    };
}

comparisons! { shards_1: 1, shards_2: 2, shards_5: 5 }

#[test]
fn a_difference_is_shortened_to_what_it_needs() {
    let steps = script(3, Flavour::Ageless, 40);
    let (first, second) = (steps[7].clone(), steps[31].clone());
    let differs = |steps: &[Step]| {
        let at = steps.iter().position(|step| *step == second)?;
        steps[..at].contains(&first).then_some(at + 1)
    };
    let short = shortest(steps.clone(), differs);
    assert!(short.len() <= 2 && short.contains(&second), "{} steps", short.len());
}
