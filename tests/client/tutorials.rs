//! The programs of the tutorial, as their users run them.

use std::process::Command;

use harness::{Broker, Process, example, unique};

/// Runs a program with a name of its own for the thing that `option` names, and gives the lines that it printed.
fn run(shards: usize, program: &str, option: &str, arguments: &[&str]) -> Vec<String> {
    let broker = Broker::shared(shards);
    let mut command = Command::new(example(program));
    let uri = format!("amqp://guest:guest@{}", broker.address());
    command.args(["--uri", &uri, option, &unique(program)]).args(arguments);
    let mut process = Process::start(program, command);
    process.succeed();
    process.output().lines()
}

/// The same lines, in any order: several coroutines print them.
fn check_sorted(mut lines: Vec<String>, expected: &[&str]) {
    let mut expected: Vec<&str> = expected.to_vec();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

fn hello(shards: usize) {
    let lines = run(shards, "tutorial_hello", "--queue", &[]);
    let expected = [" [*] Waiting for messages.", " [x] Sent 'Hello World!'", " [x] Received 'Hello World!'"];
    check_sorted(lines, &expected);
}

fn work_queue(shards: usize) {
    let lines = run(shards, "tutorial_work_queue", "--queue", &["--tasks", "12", "--workers", "3", "--dot-ms", "1"]);
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((count("Sent"), count(" did 'task ")), (12, 12), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("12 tasks done"));
}

fn publish_subscribe(shards: usize) {
    let lines = run(shards, "tutorial_publish_subscribe", "--exchange", &["--subscribers", "3", "one", "two"]);
    check_sorted(lines, &[" [1] one", " [1] two", " [2] one", " [2] two", " [3] one", " [3] two"]);
}

fn routing(shards: usize) {
    let lines = run(shards, "tutorial_routing", "--exchange", &[]);
    let expected = [
        " [disk] 'error': 'Hello error'",
        " [screen] 'error': 'Hello error'",
        " [screen] 'info': 'Hello info'",
        " [screen] 'warning': 'Hello warning'",
    ];
    check_sorted(lines, &expected);
}

fn topics(shards: usize) {
    let mut lines = run(shards, "tutorial_topics", "--exchange", &[]);
    lines.retain(|line| !line.starts_with(" [all]"));
    let expected = [
        " [orange] 'quick.orange.rabbit': 'Hello quick.orange.rabbit'",
        " [orange] 'lazy.orange.elephant': 'Hello lazy.orange.elephant'",
        " [rabbits] 'quick.orange.rabbit': 'Hello quick.orange.rabbit'",
        " [rabbits] 'lazy.orange.elephant': 'Hello lazy.orange.elephant'",
        " [rabbits] 'lazy': 'Hello lazy'",
    ];
    check_sorted(lines, &expected);
}

fn rpc(shards: usize) {
    let lines = run(shards, "tutorial_rpc", "--queue", &["--n", "30"]);
    let expected = [
        " [x] Requesting fib(30)",
        " [.] fib(30)",
        " [.] Got 832040",
        " [x] Requesting fib(15)",
        " [.] fib(15)",
        " [.] Got 610",
    ];
    assert_eq!(lines, expected);
}

macro_rules! tutorials {
    ($($module:ident: $shards:literal),*) => {
        $(mod $module {
            #[test]
            fn hello() {
                super::hello($shards);
            }

            #[test]
            fn work_queue() {
                super::work_queue($shards);
            }

            #[test]
            fn publish_subscribe() {
                super::publish_subscribe($shards);
            }

            #[test]
            fn routing() {
                super::routing($shards);
            }

            #[test]
            fn topics() {
                super::topics($shards);
            }

            #[test]
            fn rpc() {
                super::rpc($shards);
            }
        })*
    };
}

tutorials! { shards_1: 1, shards_2: 2, shards_5: 5 }
