//! The program itself: started, loaded, hurt and stopped, as its users will.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use leveret_runtime::net::TcpStream;
use leveret_runtime::{offload, raise_descriptor_limit, run, sleep, time};

const BINARY: &str = env!("CARGO_BIN_EXE_echo-server");

/// How long anything may take on a busy machine before it counts as never.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many connections the big test makes, if the limit of descriptors allows.
const MANY: u64 = 10_000;

/// Descriptors that a process needs besides its connections.
const SPARE: u64 = 100;

/// A running server, ended with the test.
struct Server {
    child: Child,
    addr: SocketAddr,
    stdout: BufReader<std::process::ChildStdout>,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Server {
    fn start(options: &[&str]) -> Server {
        Server::of(Command::new(BINARY).args(["--listen", "127.0.0.1:0"]).args(options))
    }

    /// With a limit of descriptors of its own.
    fn start_limited(descriptors: u32) -> Server {
        let script = format!("ulimit -n {descriptors}; exec {BINARY} --listen 127.0.0.1:0");
        Server::of(Command::new("sh").args(["-c", &script]))
    }

    fn of(command: &mut Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").expect("it says where it listens").parse().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Server { child, addr, stdout, stderr }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// What it writes on SIGQUIT: a line with a count, and as many lines.
    fn dump(&mut self) -> String {
        let mut dump = String::new();
        self.stderr.read_line(&mut dump).unwrap();
        let count = dump.split(' ').next().unwrap().parse().unwrap();
        for _ in 0..count {
            self.stderr.read_line(&mut dump).unwrap();
        }
        dump
    }

    /// Waits for the end; gives the exit code and what it wrote after its first line.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.stderr.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }

    /// Seconds of processor time so far.
    fn cpu(&self) -> f64 {
        let stat = leveret_runtime::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id())).unwrap();
        stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_echoed(stream: &mut TcpStream, sent: &[u8], expected: &[u8]) -> bool {
    let mut back = vec![0; expected.len()];
    stream.write_all(sent).is_ok() && stream.read_exact(&mut back).is_ok() && back == expected
}

fn load(server: &Server, options: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["load", "--addr", &server.addr.to_string()]).args(options);
    offload(move || command.output().unwrap())
}

#[test]
fn it_echoes_and_ends_well_on_sigterm() {
    run(|| {
        let server = Server::start(&[]);
        let mut idle = server.connect();
        assert!(is_echoed(&mut idle, b"hello", b"hello"));
        let mut busy = server.connect();
        assert!(is_echoed(&mut busy, b"hello", b"hello"));
        busy.write_all(b"last words").unwrap();
        server.signal("TERM");
        let mut rest = String::new();
        busy.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "last words", "what was read is written back before the end");
        assert_eq!(idle.read(&mut [0]).unwrap(), 0);
        let (code, out, err) = server.end();
        assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "stopped after 2 connections\n", ""));
    })
    .unwrap();
}

#[test]
fn a_second_signal_does_not_wait_for_those_that_do_not_finish() {
    run(|| {
        let server = Server::start(&["--drain", "3600"]);
        let mut stuck = server.connect();
        stuck.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        assert!(stuck.write_all(&vec![b'x'; 64 << 20]).is_err(), "it never reads, so the server cannot write back");
        server.signal("INT");
        let patience = time::now() + PATIENCE;
        while TcpStream::connect(server.addr).is_ok() {
            assert!(time::now() < patience, "it never stops accepting");
            sleep(Duration::from_millis(1));
        }
        server.signal("INT");
        assert_eq!(server.end().0, Some(0));
    })
    .unwrap();
}

#[test]
fn in_upper_case_on_several_shards() {
    run(|| {
        let server = Server::start(&["--upper", "--shards", "2"]);
        let mut streams: Vec<_> = (0..8).map(|_| server.connect()).collect();
        assert!(streams.iter_mut().all(|stream| is_echoed(stream, b"Hello, 7", b"HELLO, 7")));
    })
    .unwrap();
}

#[test]
fn sigquit_prints_every_coroutine_and_goes_on() {
    run(|| {
        let mut server = Server::start(&["--shards", "2"]);
        let mut streams = [server.connect(), server.connect()];
        assert!(streams.iter_mut().all(|stream| is_echoed(stream, b"x", b"x")));
        server.signal("QUIT");
        let dump = server.dump();
        assert!(streams.iter_mut().all(|stream| is_echoed(stream, b"y", b"y")));
        let names = streams.each_ref().map(|stream| format!("connection {}", stream.local_addr().unwrap()));
        server.signal("TERM");
        assert_eq!(server.end().0, Some(0));
        for text in
            [names[0].as_str(), &names[1], "'main'", "'signals'", "accept 127.0.0.1", "to be readable, since 0."]
        {
            assert!(dump.contains(text), "{text:?} is not in\n{dump}");
        }
    })
    .unwrap();
}

#[test]
fn peers_that_reset_or_half_close_harm_nobody() {
    run(|| {
        let server = Server::start(&[]);
        let mut good = server.connect();
        for _ in 0..50 {
            let mut reset = server.connect();
            reset.write_all(&[0; 100_000]).unwrap();
            drop(reset); // unread answers: the kernel sends a reset
        }
        let mut half = server.connect();
        half.write_all(&[b'h'; 300_000]).unwrap();
        half.shutdown(Shutdown::Write).unwrap();
        let mut back = Vec::new();
        half.read_to_end(&mut back).unwrap();
        assert!(back == [b'h'; 300_000], "{} bytes came back", back.len());
        assert!(is_echoed(&mut good, b"still here", b"still here"));
    })
    .unwrap();
}

#[test]
fn at_most_as_many_as_asked_for() {
    run(|| {
        let server = Server::start(&["--max-connections", "1"]);
        let mut first = server.connect();
        assert!(is_echoed(&mut first, b"1", b"1"));
        let mut second = server.connect();
        second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        second.write_all(b"2").unwrap();
        assert_eq!(second.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        drop(first);
        second.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(second.read(&mut [0]).unwrap(), 1);
    })
    .unwrap();
}

#[test]
fn at_the_descriptor_limit_it_idles_and_recovers() {
    run(|| {
        let server = Server::start_limited(24);
        let mut streams: Vec<_> = (0..40).map(|_| server.connect()).collect();
        for stream in &mut streams {
            stream.write_all(b"x").unwrap();
        }
        sleep(Duration::from_millis(300));
        let (mut served, mut waiting) = (Vec::new(), Vec::new());
        for stream in streams {
            match stream.try_read(&mut [0]) {
                Ok(_) => served.push(stream),
                Err(_) => waiting.push(stream),
            }
        }
        assert!(served.len() >= 10 && waiting.len() >= 16, "{} served, {} waiting", served.len(), waiting.len());
        let before = server.cpu();
        sleep(Duration::from_millis(500));
        let cores = (server.cpu() - before) / 0.5;
        assert!(cores < 0.05, "{cores} cores at the limit");

        let start = time::now();
        served.truncate(2);
        let free = 8;
        for stream in &mut waiting[..free] {
            stream.read_exact(&mut [0]).unwrap();
        }
        assert!(time::now() - start < Duration::from_secs(1), "descriptors are used as soon as they are free");
        server.signal("TERM");
        let (code, _, err) = server.end();
        assert_eq!(code, Some(0));
        assert_eq!(err.matches("accepting pauses").count(), 1, "one episode, one line:\n{err}");
    })
    .unwrap();
}

#[test]
fn ten_thousand_connections() {
    run(|| {
        let many = MANY.min(raise_descriptor_limit().unwrap() - SPARE);
        let server = Server::start(&["--drain", "30"]);
        let output = load(&server, &["--connections", &many.to_string(), "--seconds", "1"]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{out}{err}");
        assert!(out.contains(&format!("{many} connections, 64 bytes a request, depth 1")), "{out}");
        server.signal("TERM");
        assert_eq!(server.end().1, format!("stopped after {many} connections\n"));
    })
    .unwrap();
}

#[test]
fn load_reports_what_it_measured_and_no_progress_without_a_terminal() {
    run(|| {
        let server = Server::start(&["--upper", "--stats", "0.1"]);
        let output = load(&server, &["--connections", "3", "--size", "100000", "--depth", "4", "--seconds", "0.3"]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && err.is_empty(), "{out}{err}");
        for text in ["3 connections, 100000 bytes a request, depth 4", "requests/s", "p50", "p99.9", "max"] {
            assert!(out.contains(text), "{text:?} is not in\n{out}");
        }
        server.signal("TERM");
        let figures = server.end().1;
        assert!(figures.contains("connections 3 of 3 accepted, 0 refused, 0 pauses;"), "{figures}");
    })
    .unwrap();
}

#[test]
fn load_fails_when_there_is_no_server_or_a_wrong_one() {
    run(|| {
        let gone = Server::start(&[]);
        gone.signal("TERM");
        let addr = gone.addr;
        gone.end();
        let load = move |addr: SocketAddr| {
            let mut command = Command::new(BINARY);
            command.args(["load", "--connections", "1", "--seconds", "0.1", "--addr", &addr.to_string()]);
            offload(move || command.output().unwrap())
        };
        let output = load(addr);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && err.contains(&addr.to_string()) && err.contains("refused"), "{err}");

        let listener = leveret_runtime::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let _wrong = leveret_runtime::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 64];
            stream.read_exact(&mut bytes).unwrap();
            bytes[63] ^= 1;
            stream.write_all(&bytes).unwrap();
            let _ = stream.read(&mut bytes);
        });
        let output = load(addr);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(err.contains("connection 0: byte 63 did not come back as it was sent"), "{err}");
    })
    .unwrap();
}

#[test]
fn help_teaches_by_examples() {
    let help = |arguments: &[&str]| {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for text in ["127.0.0.1:7000", "--max-connections", "SIGQUIT", "Examples:", "echo-server load"] {
        assert!(help(&["--help"]).contains(text), "{text}");
    }
    for text in ["--depth", "Examples:", "exit code"] {
        assert!(help(&["load", "--help"]).contains(text), "{text}");
    }
}
