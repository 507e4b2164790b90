//! `leveret perf` against a broker: its verdict, its exit code, its formats.

use std::process::Command;

use harness::{Broker, Process, leveret, unique};

/// Runs `leveret perf` with a queue of its own, and gives its exit code and what it printed.
fn perf(shards: usize, line: &str) -> (Option<i32>, String) {
    let broker = Broker::shared(shards);
    let mut command = Command::new(leveret());
    let uri = format!("amqp://guest:guest@{}", broker.address());
    command.args(["perf", "--quiet", "--uri", &uri, "--queue", &unique("perf")]).args(line.split_whitespace());
    let mut process = Process::start("leveret perf", command);
    let code = process.finish().code();
    (code, process.output().lines().join("\n"))
}

/// The run is good, and these texts are in what it printed.
fn check(shards: usize, line: &str, expected: &[&str]) {
    let (code, printed) = perf(shards, line);
    assert_eq!(code, Some(0), "{line}: {printed}");
    for text in expected {
        assert!(printed.contains(text), "{line}: no {text:?} in {printed}");
    }
}

fn nothing_is_lost(shards: usize) {
    let good = "good: 0 lost, 0 duplicated, 0 out of order";
    check(shards, "-C 2000", &[good]);
    check(shards, "-C 2000 -x 3 -y 3 --queues 3 -q 100 -A 10 -c 50 --persistent --durable", &[good, "0 nacked"]);
    check(shards, "-C 500 -x 2 -y 3 --queues 3 -t fanout --auto-ack", &[good]);
    check(shards, "-C 500 -y 2 --queues 2 -t topic -k a.b --binding-key a.#", &[good]);
    check(shards, "-C 500 -t direct --rate 5000 --size 5000 --mandatory", &[good]);
}

fn results_are_for_programs_too(shards: usize) {
    let json = ["\"published\":300,", "\"received\":300,", "\"good\":true", "\"lost\":0", "\"p999\":"];
    check(shards, "-C 300 --json", &json);
    check(shards, "-C 300 --csv", &["seconds,published_per_second", "good: "]);
    check(shards, "-z 0.2 -y 0 --json", &["\"losses_checked\":false"]);
}

/// A queue that drops messages loses them, and perf says so.
fn losses_are_found(shards: usize) {
    let (code, printed) = perf(shards, "-C 2000 -q 1 --queue-arg x-max-length=1 --drain 0.5");
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("BAD: "), "{printed}");
}

/// What the broker refused is not lost: nacked, or returned.
fn refusals_are_no_losses(shards: usize) {
    let refusing = "-C 300 -q 1 -c 100 --queue-arg x-max-length=1 --queue-arg x-overflow=reject-publish";
    check(shards, refusing, &["good: 0 lost"]);
    check(shards, "-C 10 -t topic -k a --binding-key b --mandatory -c 5", &["returned             10", "good: 0 lost"]);
}

fn no_run_is_no_verdict(shards: usize) {
    let (code, printed) = perf(shards, "-C 1 --size 5");
    assert_eq!((code, printed.contains("at least 28 bytes")), (Some(2), true), "{printed}");
    let (code, printed) = perf(shards, "-C 1 --queue-arg x-max-length=-1");
    assert_eq!((code, printed.contains("PRECONDITION_FAILED")), (Some(2), true), "{printed}");
}

macro_rules! runs {
    ($($module:ident: $shards:literal),*) => {
        $(mod $module {
            #[test]
            fn nothing_is_lost() {
                super::nothing_is_lost($shards);
            }

            #[test]
            fn results_are_for_programs_too() {
                super::results_are_for_programs_too($shards);
            }

            #[test]
            fn losses_are_found() {
                super::losses_are_found($shards);
            }

            #[test]
            fn refusals_are_no_losses() {
                super::refusals_are_no_losses($shards);
            }

            #[test]
            fn no_run_is_no_verdict() {
                super::no_run_is_no_verdict($shards);
            }
        })*
    };
}

runs! { shards_1: 1, shards_2: 2, shards_5: 5 }
