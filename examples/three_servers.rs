//! The three models of a server side by side: a process for each client, a thread for each, and one event-driven loop.
//!
//! All run the same `echo` function. It is written for std's `Read` and `Write`, so it serves a process's standard
//! streams, a thread's socket and a coroutine's socket alike. The first two use std's processes, threads and sockets on
//! purpose: they are what is compared with.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use examples::{Arguments, Output};
use leveret_runtime::net::{TcpListener, TcpStream};
use leveret_runtime::{join_all, offload, spawn, time};

const USAGE: &str = "three_servers: one process, one thread or one coroutine for each client

  --clients N    clients at a time (50)
  --requests N   requests of each (100)";

/// Turns the program into the server of one client, on its standard streams.
const SERVE_ONE: &str = "--serve-one";

/// Bytes that one read takes.
const READ_SIZE: usize = 1024;

/// The load, and the program that serves one client on its standard streams.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) clients: u32,
    pub(crate) requests: u32,
    pub(crate) program: PathBuf,
}

#[derive(Clone, Copy, Debug)]
enum Model {
    Process,
    Thread,
    Event,
}

impl Model {
    fn title(self) -> &'static str {
        match self {
            Model::Process => "a process for each",
            Model::Thread => "a thread for each",
            Model::Event => "one event loop",
        }
    }

    fn serve(self, listener: std::net::TcpListener, options: &Options) -> io::Result<()> {
        match self {
            Model::Process => serve_by_processes(&listener, options),
            Model::Thread => serve_by_threads(&listener, options.clients),
            Model::Event => serve_by_events(listener, options.clients),
        }
    }
}

/// What all three models do for a client.
fn echo(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut buffer = [0; READ_SIZE];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        output.write_all(&buffer[..count])?;
        output.flush()?;
    }
}

/// As inetd does it: the connection is the child's standard input and output.
#[allow(clippy::disallowed_methods, reason = "this model is about processes of the system")]
fn serve_by_processes(listener: &std::net::TcpListener, options: &Options) -> io::Result<()> {
    let mut children = Vec::new();
    for _ in 0..options.clients {
        let (stream, _) = listener.accept()?;
        let input = Stdio::from(OwnedFd::from(stream.try_clone()?));
        let output = Stdio::from(OwnedFd::from(stream));
        let mut command = std::process::Command::new(&options.program);
        children.push(command.arg(SERVE_ONE).stdin(input).stdout(output).spawn()?);
    }
    children.iter_mut().try_for_each(|child| child.wait().map(drop))
}

#[allow(clippy::disallowed_methods, reason = "this model is about threads of the system")]
fn serve_by_threads(listener: &std::net::TcpListener, clients: u32) -> io::Result<()> {
    let mut threads = Vec::new();
    for _ in 0..clients {
        let (stream, _) = listener.accept()?;
        threads.push(std::thread::spawn(move || echo(&stream, &stream)));
    }
    threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
}

fn serve_by_events(listener: std::net::TcpListener, clients: u32) -> io::Result<()> {
    let ended = leveret_runtime::run(move || {
        let listener = TcpListener::from_std(listener)?;
        let mut coroutines = Vec::new();
        for _ in 0..clients {
            let (stream, _) = listener.accept()?;
            coroutines.push(spawn(move || echo(&stream, &stream)));
        }
        join_all(coroutines).into_iter().try_for_each(|ended| ended.unwrap_or_else(|error| error.resume()))
    });
    ended.expect("a server waits for its sockets")
}

fn client(addr: SocketAddr, requests: u32) -> io::Result<()> {
    let mut stream = TcpStream::connect(addr)?;
    for request in 0..requests {
        let sent = format!("request {request}");
        stream.write_all(sent.as_bytes())?;
        let mut answer = vec![0; sent.len()];
        stream.read_exact(&mut answer)?;
        assert_eq!(answer, sent.as_bytes(), "an echo is what was sent");
    }
    Ok(())
}

/// Serves all clients by one model, in a thread of its own; answers how long that took.
#[allow(
    clippy::disallowed_methods,
    reason = "the models compared are those of the system, sockets and threads included"
)]
fn measure(model: Model, options: &Options) -> io::Result<Duration> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let (own, start) = (options.clone(), time::now());
    let server = std::thread::spawn(move || model.serve(listener, &own));
    let requests = options.requests;
    let clients: Vec<_> = (0..options.clients).map(|_| spawn(move || client(addr, requests))).collect();
    for ended in join_all(clients) {
        ended.unwrap_or_else(|error| error.resume())?;
    }
    offload(move || server.join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    Ok(time::now() - start)
}

pub(crate) fn main_with(out: &Output, options: &Options) -> io::Result<()> {
    for model in [Model::Process, Model::Thread, Model::Event] {
        let elapsed = measure(model, options)?;
        let requests = f64::from(options.clients) * f64::from(options.requests);
        out.line(format_args!(
            "{:<19} {} clients x {} requests: {:.3} s, {:.0} requests/s",
            model.title(),
            options.clients,
            options.requests,
            elapsed.as_secs_f64(),
            requests / elapsed.as_secs_f64(),
        ));
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let arguments = Arguments::of_process(USAGE, &["--clients=", "--requests=", SERVE_ONE]);
    if arguments.has(SERVE_ONE) {
        return echo(io::stdin().lock(), io::stdout().lock());
    }
    let program = std::env::current_exe()?;
    let options =
        Options { clients: arguments.value("--clients", 50), requests: arguments.value("--requests", 100), program };
    let ended = leveret_runtime::run(move || main_with(&Output::stdout(), &options));
    ended.expect("the clients wait for their sockets")
}
