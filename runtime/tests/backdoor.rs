//! Questions from outside: the backdoor with a client on a plain thread, and a dump by a signal.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use leveret_runtime::signal::Signal;
use leveret_runtime::sync::Event;
use leveret_runtime::{Builder, Runtime, offload, shards, spawn_on, yield_now};

/// A path of this test's own.
fn path(test: &str) -> PathBuf {
    std::env::temp_dir().join(format!("leveret-backdoor-{test}-{}.sock", std::process::id()))
}

/// Asks as a person would, with a socket of the operating system's.
struct Client(BufReader<UnixStream>);

impl Client {
    fn connect(path: &Path) -> Client {
        Client(BufReader::new(UnixStream::connect(path).unwrap()))
    }

    /// The answer's lines, up to the empty one.
    fn ask(&mut self, command: &str) -> Vec<String> {
        self.0.get_mut().write_all(format!("{command}\n").as_bytes()).unwrap();
        let lines = self.0.by_ref().lines().map(Result::unwrap);
        lines.take_while(|line| !line.is_empty()).collect()
    }
}

#[test]
fn it_lists_dumps_and_counts() {
    let path = path("lists");
    let runtime = Runtime::builder().shards(2).backdoor(&path).build().unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let file = path.clone();
    runtime
        .run(move || {
            let _waits = Builder::new().name("waits").spawn(|| Event::new().wait());
            yield_now();
            let conversation = move || {
                let mut client = Client::connect(&file);
                let list = client.ask("list");
                assert_eq!(list[0], "2 coroutines:");
                assert!(list[1].contains("'main' waits for work on the thread pool"), "{list:?}");
                assert!(list[2].contains("'waits' waits for an event"), "{list:?}");
                let dump = client.ask("dump");
                assert!(
                    dump.iter().any(|line| line.starts_with("      ") && line.contains("wait at src/sync/event.rs")),
                    "{dump:?}"
                );
                let stats = client.ask("stats");
                assert!(stats.contains(&"shard 1".to_owned()) && stats.contains(&"parked 2".to_owned()), "{stats:?}");
                let stacks = client.ask("stacks");
                assert!(stacks[1].starts_with("2 of ") && stacks[1].contains("KiB in use"), "{stacks:?}");
                assert!(client.ask("help").iter().any(|line| line.starts_with("quit ")));
                assert_eq!(client.ask("\x1b[31m")[0], "no such command: \\x1b[31m");
                client.0.get_mut().write_all(b"quit\n").unwrap();
                assert_eq!(client.0.read(&mut [0]).unwrap(), 0);
            };
            offload(conversation);
        })
        .unwrap();
    assert!(!path.exists(), "it is removed at the end");
}

#[test]
fn it_answers_while_a_shard_is_held_and_names_who_holds_it() {
    let path = path("held");
    let runtime = Runtime::builder().shards(2).backdoor(&path).build().unwrap();
    runtime
        .run(move || {
            let (release, gate) = mpsc::channel::<()>();
            let client = std::thread::spawn(move || {
                let mut client = Client::connect(&path);
                let mut list = client.ask("list");
                while !list.iter().any(|line| line.contains("does not answer")) {
                    list = client.ask("list");
                }
                drop(release);
                list
            });
            let other = shards().nth(1).unwrap();
            spawn_on(other, || ()).join().unwrap();
            // Blocks the main shard's thread, as no coroutine should, until the client has heard of it.
            assert!(gate.recv().is_err());
            let list = client.join().unwrap();
            assert!(
                list.iter().any(|line| line.contains("shard 0 does not answer: coroutine 'main' holds it")),
                "{list:?}"
            );
        })
        .unwrap();
}

#[test]
fn many_clients_and_rude_ones_do_no_harm() {
    let path = path("rude");
    let runtime = Runtime::builder().backdoor(&path).build().unwrap();
    let asks = move || {
        for rude in [&b"list"[..], &[b'x'; 100_000], b"\xff\xfe\n", b"dump\ndump\ndump\n"] {
            let mut stream = UnixStream::connect(&path).unwrap();
            let _ = stream.write_all(rude); // it may hang up on us
        }
        let mut clients: Vec<_> = (0..4).map(|_| Client::connect(&path)).collect();
        clients.iter_mut().for_each(|client| assert_eq!(client.ask("list")[0], "1 coroutines:"));
    };
    runtime.run(move || offload(asks)).unwrap();
}

#[test]
fn what_a_dead_process_left_is_replaced_and_nothing_else_is() {
    let path = path("stale");
    let build = || Runtime::builder().backdoor(&path).build();
    drop(UnixListener::bind(&path).unwrap()); // std leaves the file
    assert!(path.exists());
    let runtime = build().unwrap();
    let error = build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    drop(runtime);
    assert!(!path.exists());
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(build().unwrap_err().kind(), ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Runtime::builder().backdoor(&path).simulated(1).build().unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// The deadlock of a runtime that can be observed is found all the same: whoever looks does not end a wait.
#[test]
fn a_deadlock_is_found_all_the_same() {
    let runtime = Runtime::builder().backdoor(path("deadlock")).dump_on(Signal::User2).build().unwrap();
    assert_eq!(runtime.run(|| Event::new().wait()).unwrap_err().waiting.len(), 1);
}

const CHILD: &str = "LEVERET_BACKDOOR_TEST_CHILD";

/// Runs this test again as a process of its own, whose standard error can be read and which a signal may reach.
#[test]
fn a_signal_prints_every_coroutine_even_while_the_shard_is_held() {
    if std::env::var_os(CHILD).is_some() {
        return child();
    }
    let name = "a_signal_prints_every_coroutine_even_while_the_shard_is_held";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let expected =
        ["2 coroutines:", "'main' waits for work on the thread pool", "      ", "'sleeper' waits for time to pass"];
    let mut expect = |expected: &str| assert!(lines.any(|line| line.contains(expected)), "{expected}");
    expected.iter().for_each(|expected| expect(expected));
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    expect("shard 0 does not answer: coroutine 'main' holds it");
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    assert!(child.wait().unwrap().success());
}

fn child() {
    let runtime = Runtime::builder().dump_on(Signal::Quit).build().unwrap();
    runtime
        .run(|| {
            let sleeper = || leveret_runtime::sleep(std::time::Duration::from_secs(600));
            let _sleeper = Builder::new().name("sleeper").spawn(sleeper);
            yield_now();
            offload(|| {
                Signal::Quit.raise().unwrap();
                std::io::stdin().read_exact(&mut [0]).unwrap(); // until the parent has read the dump
            });
            Signal::Quit.raise().unwrap();
            std::io::stdin().read_exact(&mut [0]).unwrap(); // so again, but this time it blocks the shard's thread
        })
        .unwrap();
}
