//! Everything that is not deterministic lives in the runtime: clock, threads, sockets, files, randomness. That is what makes a seed
//! replay exactly. And no lock that blocks: it would stop a whole shard.
//!
//! clippy bans most of these too (`.clippy.toml`), but only what was compiled, and an `allow` silences it; here an exception stands in
//! a list with its reason.

use crate::source::{Source, workspace};

/// What no code outside the runtime names: a path of the standard library and all below it.
const BANNED_PATHS: [&str; 16] = [
    "std::collections::hash_map::DefaultHasher",
    "std::collections::hash_map::RandomState",
    "std::fs",
    "std::hash::RandomState",
    "std::hash::DefaultHasher",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os::unix::net",
    "std::process::Child",
    "std::process::Command",
    "std::sync::Condvar",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "std::thread",
];

/// Below those, what does no harm.
const HARMLESS_PATHS: [&str; 3] =
    ["std::thread::LocalKey", "std::thread::available_parallelism", "std::thread::panicking"];

/// What no code outside the runtime calls, wherever it was imported from.
const BANNED_CALLS: [&str; 5] = ["Instant::now", "SystemTime::now", "elapsed()", "getrandom", "thread_rng"];

/// The runtime implements these things, and the tests of whole programs use real ones.
const FREE_PLACES: [&str; 2] = ["runtime/", "tests/"];

/// Files that may name a banned path all the same: file, path, reason.
const EXCEPTIONS: [(&str, &str, &str); 11] = [
    ("broker/build.rs", "std::process::Command", "asks git for the commit while the program is built"),
    ("broker/src/cli/detach.rs", "std::fs", "starts the broker as another process, before any runtime"),
    ("broker/src/cli/detach.rs", "std::process::Command", "starts the broker as another process, before any runtime"),
    ("broker/src/frontend/http/control.rs", "std::fs::Permissions", "a mode, for the runtime's own call"),
    ("echo-server/tests/echo.rs", "std::process::Child", "runs the program as its users do"),
    ("echo-server/tests/echo.rs", "std::process::Command", "runs the program as its users do"),
    ("broker/amqp/tests/corpus.rs", "std::fs", "replays the fuzz corpus, which lies in files"),
    ("broker/amqp/tests/mutations.rs", "std::fs", "begins with the fuzz corpus, which lies in files"),
    ("examples/three_servers.rs", "std::net::TcpListener", "compares the runtime with the system's own sockets"),
    ("examples/three_servers.rs", "std::process::Command", "compares the runtime with a process for each client"),
    ("examples/three_servers.rs", "std::thread", "compares the runtime with a thread for each client"),
];

/// Inside the runtime: who may read the clock. The watchdog measures how long a real thread has been held up, which no simulation has.
const CLOCK_PLACES: [&str; 3] = ["runtime/src/driver/", "runtime/src/sys/", "runtime/src/watchdog.rs"];

/// Inside the runtime: who may start threads. `runtime.rs` starts one a shard, `offload.rs` those for blocking work, `lane/` one
/// for each kind of work that wants its own.
const THREAD_PLACES: [&str; 4] =
    ["runtime/src/driver/", "runtime/src/lane/", "runtime/src/offload.rs", "runtime/src/runtime.rs"];

const THREAD_STARTS: [&str; 3] = ["thread::Builder", "thread::scope", "thread::spawn"];

fn violations(file: &Source) -> Vec<String> {
    if !file.is_rust() || file.is_in(&FREE_PLACES) {
        return Vec::new();
    }
    let excepted =
        |path: &str| EXCEPTIONS.iter().any(|(place, allowed, _)| file.is_in(&[place]) && is_at_or_below(path, allowed));
    let banned = |path: &str| {
        let named = |list: &[&str]| list.iter().any(|entry| is_at_or_below(path, entry));
        named(&BANNED_PATHS) && !named(&HARMLESS_PATHS) && !excepted(path)
    };
    let paths = std_paths(&file.code).into_iter().filter(|(_, path)| banned(path));
    let paths = paths.map(|(offset, path)| file.at(offset, &format!("{path} outside the runtime")));
    let calls = BANNED_CALLS.into_iter().flat_map(|call| file.words(call).map(move |offset| (offset, call)));
    paths.chain(calls.map(|(offset, call)| file.at(offset, &format!("{call} outside the runtime")))).collect()
}

fn runtime_violations(file: &Source) -> Vec<String> {
    if !file.is_in(&["runtime/src/"]) {
        return Vec::new();
    }
    let tests_begin = file.code.find("#[cfg(test)]\nmod tests").unwrap_or(file.code.len());
    let find = |words: &'static [&'static str], places: &[&str], what: &'static str| {
        let words = if file.is_in(places) { &[] } else { words };
        let found = words.iter().flat_map(|word| file.words(word)).filter(|&offset| offset < tests_begin);
        found.map(|offset| file.at(offset, what)).collect::<Vec<_>>()
    };
    let clock = find(&["Instant::now", "SystemTime::now"], &CLOCK_PLACES, "reads the clock outside the driver");
    [clock, find(&THREAD_STARTS, &THREAD_PLACES, "starts a thread in a file that is not named for it")].concat()
}

fn is_at_or_below(path: &str, entry: &str) -> bool {
    path.strip_prefix(entry).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that begins with `std::`, in imports (with their braces unfolded) and elsewhere, and where it begins.
fn std_paths(code: &str) -> Vec<(usize, String)> {
    let starts = code.match_indices("std::").map(|(offset, _)| offset);
    let whole = starts.filter(|&offset| !code[..offset].ends_with(|char: char| char.is_alphanumeric() || char == '_'));
    whole.flat_map(|offset| unfold(&code[offset..]).into_iter().map(move |path| (offset, path))).collect()
}

/// The paths of a use tree: `std::{fs, net::{A, B as C}}` is `std::fs`, `std::net::A`, `std::net::B`. A plain path is itself.
fn unfold(tree: &str) -> Vec<String> {
    let word_ends = |char: char| !(char.is_alphanumeric() || char == '_' || char == ':');
    let end = tree.find(word_ends).unwrap_or(tree.len());
    let (stem, rest) = tree.split_at(end);
    let Some(inside) = rest.strip_prefix('{').filter(|_| stem.is_empty() || stem.ends_with("::")) else {
        return vec![stem.trim_end_matches("::").to_owned()];
    };
    let join =
        |path: String| if path == "self" { stem.trim_end_matches("::").to_owned() } else { format!("{stem}{path}") };
    branches(inside).into_iter().flat_map(|branch| unfold(branch.trim_start())).map(join).collect()
}

/// The parts between the commas of one level, up to the brace that closes it.
fn branches(inside: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0usize, 0, Vec::new());
    for (at, byte) in inside.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' => {
                found.push(&inside[start..at]);
                break;
            }
            b',' if depth == 0 => {
                found.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|branch| !branch.trim().is_empty());
    found
}

#[test]
fn only_the_runtime_meets_the_world() {
    assert_eq!(workspace().iter().flat_map(violations).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_runtime_reads_clocks_and_starts_threads_in_few_places() {
    assert_eq!(workspace().iter().flat_map(runtime_violations).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn named_exceptions_are_still_needed() {
    let files = workspace();
    for (path, allowed, reason) in EXCEPTIONS {
        let uses = |file: &Source| {
            file.path == path && std_paths(&file.code).iter().any(|(_, used)| is_at_or_below(used, allowed))
        };
        assert!(files.iter().any(uses), "{path} does not use {allowed} ({reason}): take it off the list");
    }
}

#[test]
fn meeting_the_world_elsewhere_is_caught() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(violations(&Source::new(path, text)).len(), expected, "{path}: {text}");
    };
    let core = "broker/core/src/a.rs";
    check(core, "use std::fs;", 1);
    check(core, "use std::{fs::{self, File}, io};", 2);
    check(core, "let text = std::fs::read(path);", 1);
    check(core, "use std::net::{IpAddr, SocketAddr};", 0);
    check(core, "use std::net::{SocketAddr, TcpStream as Stream};", 1);
    check(core, "use std::sync::{Arc, Mutex, atomic::{AtomicU64, Ordering}, RwLock};", 2);
    check(core, "use std::thread;\nthread::sleep(d);", 1);
    check(core, "if std::thread::panicking() {}", 0);
    check(core, "use std::time::Duration;", 0);
    check(core, "use std::time::Instant;\nfn f(now: Instant) {}", 0);
    check(core, "use std::time::Instant;\nInstant::now();", 1);
    check(core, "since.elapsed() > limit && self.elapsed_ms() > 5", 1);
    check(core, "use leveret_runtime::time::Instant;\nInstant::now();", 1);
    check(core, "use leveret_runtime::net::TcpListener;\nTcpListener::bind(a);", 0);
    check(core, "use std::process::Command;", 1);
    check(core, "std::process::exit(1)", 0);
    check(core, "use std::os::unix::net::UnixStream;", 1);
    check(core, "std::hash::RandomState::new()", 1);
    check(core, "getrandom::fill(&mut bytes)", 1);
    check(core, "// std::fs\nlet a = \"std::fs\"; mystd::fs();", 0);
    check("tests/harness/a.rs", "use std::fs;", 0);
    check("runtime/src/fs/mod.rs", "use std::fs;", 0);
}

#[test]
fn clocks_and_threads_all_over_the_runtime_are_caught() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(runtime_violations(&Source::new(path, text)).len(), expected, "{path}: {text}");
    };
    check("runtime/src/time.rs", "Instant::now()", 1);
    check("runtime/src/driver/os.rs", "Instant::now()", 0);
    check("runtime/src/net/tcp.rs", "std::thread::spawn(f); thread::Builder::new()", 2);
    check("runtime/src/offload.rs", "thread::Builder::new()", 0);
    check("runtime/src/time.rs", "#[cfg(test)]\nmod tests { fn f() { thread::spawn(f); } }", 0);
}

#[test]
fn trees_of_imports_are_unfolded() {
    let check = |tree: &str, expected: &[&str]| assert_eq!(unfold(tree), expected, "{tree}");
    check("std::fs;", &["std::fs"]);
    check("std::{self, io::{self, Read as _}, fs};", &["std", "std::io", "std::io::Read", "std::fs"]);
    check("std::{\n    a,\n    b::{c, d},\n};", &["std::a", "std::b::c", "std::b::d"]);
    check("std::io::*;", &["std::io"]);
    check("std::mem::size_of::<u8>()", &["std::mem::size_of"]);
    check("std::{a", &[]);
}
