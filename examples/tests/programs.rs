//! What the programs print, in virtual time where they sleep.

use std::time::Duration;

use examples::Output;
use leveret_runtime::{Runtime, time};

#[path = "../baozi.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod baozi;
#[path = "../crawler.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod crawler;
#[path = "../forgetful_kv.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod forgetful_kv;
#[path = "../gevent_sleepers.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod gevent_sleepers;
#[path = "../greenlet.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod greenlet;
#[path = "../select_chat.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod select_chat;
#[path = "../selectors_server.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod selectors_server;
#[path = "../socket_server.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod socket_server;
#[path = "../sync_async.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod sync_async;
#[path = "../three_servers.rs"]
#[allow(dead_code, reason = "its `main` is for the program")]
mod three_servers;

/// The lines that a program prints, and how long it takes in virtual time.
fn simulated(program: impl FnOnce(&Output) + 'static) -> (Vec<String>, Duration) {
    let runtime = Runtime::builder().simulated(1).build().unwrap();
    runtime
        .run(|| {
            let ((out, printed), start) = (Output::memory(), time::now());
            program(&out);
            (printed.lines(), time::now() - start)
        })
        .unwrap()
}

#[test]
fn baozi_are_eaten_in_turn() {
    let pause = Duration::from_secs(1);
    let (lines, elapsed) = simulated(move |out| baozi::main_with(out, baozi::Options { count: 5000, pause }));
    assert_eq!(elapsed, pause * 10_000);
    assert_eq!(lines[..2], ["--->starting eating baozi..."; 2]);
    let expected = (1..=5000).flat_map(|n| {
        [
            format!("[c1] is eating baozi {n}"),
            format!("[c2] is eating baozi {n}"),
            format!("\x1b[32;1m[producer]\x1b[0m is making baozi {n}"),
        ]
    });
    assert_eq!(lines[2..], expected.collect::<Vec<_>>());
}

#[test]
fn greenlets_switch() {
    for pause in [Duration::ZERO, Duration::from_secs(1)] {
        let (lines, elapsed) = simulated(move |out| greenlet::main_with(out, pause));
        assert_eq!(lines, ["12", "56", "34", "78"]);
        assert_eq!(elapsed, pause);
    }
}

#[test]
fn sleepers_take_two_seconds_in_all() {
    let (lines, elapsed) = simulated(gevent_sleepers::main_with);
    let plain = |line: &String| line.replace("\x1b[0m", "").replace("\x1b[31;1m", "").replace("\x1b[32;1m", "");
    let lines: Vec<_> = lines.iter().map(plain).collect();
    let place = |line: &str| lines.iter().position(|it| it == line).unwrap_or_else(|| panic!("no {line} in {lines:?}"));
    // Who of several runs first is the simulation's to choose; what each says is in its order.
    assert!(place("李闯在跟海涛搞") < place("李闯又回去跟继续跟海涛搞..."));
    assert!(place("李闯切换到了跟海龙搞...") < place("李闯搞完了海涛,回来继续跟海龙搞..."));
    assert!(place("3333") < place("44444"));
    assert_eq!(lines.len(), 6);
    assert_eq!(elapsed, Duration::from_secs(2));
}

#[test]
fn tasks_take_the_sum_or_the_longest() {
    let (lines, elapsed) = simulated(|out| sync_async::main_with(out, Duration::from_millis(500)));
    let done = |pids: std::ops::Range<u32>| pids.map(|pid| format!("Task {pid} done"));
    let expected = ["Synchronous:".to_owned()]
        .into_iter()
        .chain(done(1..10))
        .chain(["Synchronous: 4.5 s".to_owned(), "Asynchronous:".to_owned()])
        .chain(done(0..10))
        .chain(["Asynchronous: 0.5 s".to_owned()]);
    let mut lines = lines;
    lines[12..22].sort(); // who of ten runs first is the simulation's to choose
    assert_eq!(lines, expected.collect::<Vec<_>>());
    assert_eq!(elapsed, Duration::from_secs(5));
}

#[test]
fn a_hundred_clients_get_their_lines_back() {
    leveret_runtime::run(|| {
        let ((server_out, server), (clients_out, clients)) = (Output::memory(), Output::memory());
        let demo = socket_server::Demo { clients: 100, lines: 1000 };
        socket_server::demo(&server_out, &clients_out, demo).unwrap();
        let mut lines = clients.lines();
        lines.sort();
        let expected = |id| (0..1000).map(move |count| format!("[{id}]recv from server: hello {count}"));
        let mut expected: Vec<_> = (0..100).flat_map(expected).collect();
        expected.sort();
        assert_eq!(lines, expected);
        assert_eq!(server.lines().iter().filter(|line| *line == "recv: \"\"").count(), 100);
        assert_eq!(server.lines().iter().filter(|line| *line == "recv: \"hello 7\"").count(), 100);
    })
    .unwrap();
}

#[test]
fn the_chat_answers_in_upper_case_and_survives_a_reset() {
    leveret_runtime::run(|| {
        let ((server_out, server), (clients_out, clients)) = (Output::memory(), Output::memory());
        select_chat::demo(&server_out, &clients_out).unwrap();
        let expected = ["HELLO", "HOW ARE YOU?", "AND ME?", "STILL THERE?"].map(|text| format!("Received {text:?}"));
        assert_eq!(clients.lines(), expected);
        let count = |part: &str| server.lines().iter().filter(|line| line.contains(part)).count();
        assert_eq!((count("got new conn"), count(":[hello]"), count(":[never read]")), (4, 1, 1));
        assert_eq!((count("end of input"), count("reset by peer")), (3, 1), "{server:?}");
    })
    .unwrap();
}

#[test]
fn the_crawler_is_faster_all_at_once() {
    leveret_runtime::run(|| {
        let (out, printed) = Output::memory();
        let (sequential, concurrent) = crawler::main_with(&out, Duration::from_millis(50)).unwrap();
        assert!(sequential >= Duration::from_millis(150) && concurrent < sequential, "{sequential:?} {concurrent:?}");
        let lines = printed.lines();
        let starting = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
        assert_eq!((starting("GET url http://127.0.0.1:"), starting("time cost")), (6, 2), "{lines:?}");
        for size in ["12000", "48000", "512"] {
            assert_eq!(starting(&format!("{size} bytes received from http://127.0.0.1:")), 2, "{lines:?}");
        }
    })
    .unwrap();
}

#[test]
fn all_three_models_serve_everybody() {
    let program = env!("CARGO_BIN_EXE_three_servers").into();
    leveret_runtime::run(move || {
        let (out, printed) = Output::memory();
        three_servers::main_with(&out, &three_servers::Options { clients: 5, requests: 20, program }).unwrap();
        let lines = printed.lines();
        let titles = ["a process for each", "a thread for each", "one event loop"];
        assert!(lines.iter().zip(titles).all(|(line, title)| line.starts_with(title)), "{lines:?}");
        assert!(lines.len() == 3 && lines.iter().all(|line| line.contains("5 clients x 20 requests: ")), "{lines:?}");
    })
    .unwrap();
}

#[test]
fn callbacks_echo_and_unregister_what_has_ended() {
    leveret_runtime::run(|| {
        let (out, printed) = Output::memory();
        selectors_server::demo(&out).unwrap();
        let lines = printed.lines();
        let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
        assert_eq!((count("accepted 127.0.0.1:"), count("closing 127.0.0.1:")), (3, 3), "{lines:?}");
        for text in ["one", "two", "three"] {
            assert_eq!((count(&format!("echoing \"{text}\" to")), count(&format!("{text} got back {text}"))), (1, 1));
        }
    })
    .unwrap();
}

#[test]
fn the_simulator_finds_what_the_server_forgets() {
    let (out, printed) = Output::memory();
    assert!(forgetful_kv::main_with(&out, 50), "{:?}", printed.lines());
    let lines = printed.lines();
    assert_eq!((lines[0].as_str(), lines[3].as_str()), ("the forgetful server:", "the mended server:"));
    assert_eq!(lines[4], "  50 seeds, 150 crashes, nothing lost");
    let seed = lines[1].strip_prefix("  seed ").and_then(|rest| rest.split(':').next()).unwrap().parse().unwrap();
    assert!(lines[2].ends_with(&format!("--seed {seed}")), "{lines:?}");
    let story = || {
        let (out, printed) = Output::memory();
        forgetful_kv::replay(&out, seed);
        printed.lines()
    };
    assert_eq!(story().last().unwrap(), "lost");
    assert_eq!(story(), story());
}
