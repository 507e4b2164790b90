//! Child processes: pipes, ends, kills, no zombies, and nobody else waits meanwhile.

use std::cell::Cell;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::process::{Child, Command, Stdio};
use leveret_runtime::signal::Signal;
use leveret_runtime::sync::Event;
use leveret_runtime::{Group, Runtime, offload, run, scope, select, spawn, timeout, yield_now};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(10);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(script);
    command
}

/// Ends when its standard input does.
fn cat() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

/// Whether the process exists, be it as a zombie.
fn exists(id: u32) -> bool {
    offload(move || std::path::Path::new(&format!("/proc/{id}")).exists())
}

#[test]
fn output_and_status_tell_how_it_went() {
    let check = |script: &str, code: Option<i32>, stdout: &str, stderr: &str| {
        let output = shell(script).output().unwrap();
        assert_eq!(output.status.code(), code, "{script}");
        assert_eq!(
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
            (stdout.into(), stderr.into())
        );
    };
    run(move || {
        check("true", Some(0), "", "");
        check("echo out; echo err >&2; exit 3", Some(3), "out\n", "err\n");
        check("kill -9 $$", None, "", "");
        check("cat", Some(0), "", ""); // there is nothing to read
        assert!(!shell("exit 1").status().unwrap().success());
        let mut with = shell("echo $GREETING; pwd");
        with.env("GREETING", "hello").current_dir("/");
        assert_eq!(with.output().unwrap().stdout, b"hello\n/\n");
        assert_eq!(with.output().unwrap().stdout, b"hello\n/\n"); // a command starts many
    })
    .unwrap();
}

#[test]
fn more_than_a_pipe_holds_goes_both_ways_at_once() {
    run(|| {
        let bytes: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let mut child = cat();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let back = scope(|scope| {
            let source = &bytes;
            let _writer = scope.spawn(move || stdin.write_all(source).unwrap());
            let mut back = Vec::new();
            stdout.read_to_end(&mut back).unwrap();
            back
        });
        assert_eq!(back, bytes);
        assert!(child.wait().unwrap().success());
        // Both outputs at once, each more than its pipe holds.
        let output = shell("head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2").output().unwrap();
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 300_000));
    })
    .unwrap();
}

#[test]
fn others_run_while_a_child_is_waited_for() {
    run(|| {
        let mut child = cat();
        let stdin = child.stdin.take();
        let turns = Rc::new(Cell::new(0));
        let counter = turns.clone();
        let other = spawn(move || {
            for _ in 0..10 {
                yield_now();
                counter.set(counter.get() + 1);
            }
            drop(stdin); // only now may the child end
        });
        assert!(child.wait().unwrap().success());
        assert_eq!(turns.get(), 10);
        other.join().unwrap();
        assert!(child.wait().unwrap().success(), "asking again is answered again");
    })
    .unwrap();
}

#[test]
fn many_children_at_once() {
    run(|| {
        let group = Group::new();
        let sums = group.map(1..=30, |n| shell(&format!("echo $(({n} * {n}))")).output().unwrap().stdout);
        let sums: Vec<u32> =
            sums.unwrap().iter().map(|sum| String::from_utf8_lossy(sum).trim().parse().unwrap()).collect();
        assert_eq!(sums, (1..=30).map(|n| n * n).collect::<Vec<_>>());
    })
    .unwrap();
}

#[test]
fn waits_end_by_time_and_by_kill_and_the_child_goes_on() {
    run(|| {
        let mut child = cat();
        let stdin = child.stdin.take();
        assert_eq!(child.wait_timeout(SHORT).unwrap(), None);
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(timeout(SHORT, || child.wait()).is_err());
        drop(stdin);
        assert!(child.wait_timeout(LONG).unwrap().unwrap().success());
        assert_eq!(child.try_wait().unwrap(), child.wait_timeout(SHORT).unwrap());
    })
    .unwrap();
}

#[test]
fn signals_and_kills_reach_it() {
    run(|| {
        let mut child = cat();
        let stdin = child.stdin.take();
        child.signal(Signal::Terminate).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(15));
        assert_eq!(child.signal(Signal::Terminate).unwrap_err().kind(), ErrorKind::NotFound);
        child.kill().unwrap();
        drop(stdin);
        let mut child = cat();
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
    })
    .unwrap();
}

#[test]
fn a_select_waits_for_a_child_and_its_pipes() {
    run(|| {
        let mut child = cat();
        let (mut stdin, stdout, never) = (child.stdin.take().unwrap(), child.stdout.take().unwrap(), Event::new());
        let first = select! {
            readable(child) => "the end",
            readable(stdout) => "bytes",
            event(never) => "the event",
            after(SHORT) => "time",
        };
        assert_eq!(first, "time");
        stdin.write_all(b"a line\n").unwrap();
        let next = select! {
            readable(child) => "the end",
            readable(stdout) => "bytes",
        };
        assert_eq!(next, "bytes");
        let mut line = String::new();
        BufReader::new(&stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "a line\n");
        drop(stdin);
        let last = select! {
            readable(child) => true,
            event(never) => false,
        };
        assert!(last && child.try_wait().unwrap().unwrap().success());
    })
    .unwrap();
}

#[test]
fn a_dropped_child_goes_on_or_is_killed_and_leaves_no_zombie() {
    run(|| {
        let until_gone = |id: u32| {
            timeout(LONG, || {
                while exists(id) {
                    leveret_runtime::sleep(Duration::from_millis(1));
                }
            })
            .expect("it is reaped")
        };
        let mut child = cat();
        let (id, stdin) = (child.id(), child.stdin.take());
        drop(child);
        yield_now();
        assert!(exists(id));
        drop(stdin);
        until_gone(id);
        let child = Command::new("cat").stdin(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let id = child.id();
        drop(child);
        until_gone(id);
    })
    .unwrap();
}

#[test]
fn errors_say_what_is_wrong() {
    run(|| {
        assert_eq!(Command::new("/no/such/program").spawn().unwrap_err().kind(), ErrorKind::NotFound);
        let mut child = cat();
        child.kill().unwrap();
        child.wait().unwrap();
        drop(child.stdout.take());
        let mut child = shell("exec 0<&-; echo closed; cat <&1");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 7];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        let error = child.stdin.as_mut().unwrap().write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        child.kill().unwrap();
        child.wait().unwrap();
    })
    .unwrap();
    let simulated = Runtime::builder().simulated(1).build().unwrap();
    let refused = simulated.run(|| Command::new("true").spawn().map(drop).unwrap_err().kind()).unwrap();
    assert_eq!(refused, ErrorKind::Unsupported);
}
