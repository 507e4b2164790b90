//! An echo server in a process of its own, and what it costs: memory of ten thousand connections, processor time of a request
//! on one shard and on two, and what it does when it has no descriptors left.
//!
//! ```text
//!   cargo bench -p leveret-runtime --bench echo [-- --gevent python3]
//! ```
//!
//! Two servers that are compared are both up, and loaded in turn for short slices; the ratio is the median of those within a
//! round, so that a busy machine slows both. What counts is the server's processor time, as the kernel accounts it, and not
//! requests a second: the load shares the cores. With `--gevent` and an interpreter that has gevent, the peer is the same
//! server on gevent (`on_gevent.py`).

mod figure;

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use leveret_runtime::net::{StreamServer, TcpStream};
use leveret_runtime::{Group, Runtime, offload, raise_descriptor_limit, run, sleep, spawn, time};

const CONNECTIONS: usize = 100;
const REQUEST: [u8; 64] = [7; 64];
const ROUNDS: usize = 15;
const SLICE: Duration = Duration::from_millis(200);

/// For memory.
const MANY: usize = 10_000;

/// Descriptors of the server that is to run out of them, and clients that come.
const LIMIT: usize = 64;
const CROWD: usize = 100;

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--serve");
    if let Some(shards) = arguments.nth(1) {
        return serve(shards.parse().expect("a number of shards"));
    }
    raise_descriptor_limit().expect("the hard limit allows it");
    run(many_connections).expect("no deadlock");
    run(two_shards).expect("no deadlock");
    run(no_descriptors).expect("no deadlock");
    if let Some(python) = std::env::args().skip_while(|argument| argument != "--gevent").nth(1) {
        run(move || gevent(&python)).expect("no deadlock");
    }
}

/// The server: tells its port, and serves until its input ends.
fn serve(shards: usize) {
    if std::env::args().any(|argument| argument == "--many") {
        raise_descriptor_limit().expect("the hard limit allows it");
    }
    let serve = move || {
        let server = StreamServer::builder().shards(shards).bind("127.0.0.1:0").expect("a port");
        println!("{}", server.local_addr().port());
        let handle = server.handle();
        let _end = spawn(move || {
            offload(|| std::io::stdin().read_to_end(&mut Vec::new()).expect("a pipe"));
            handle.stop(Duration::ZERO)
        });
        server.serve(|stream, _peer| _ = echo(&stream)).expect("it serves to its end");
    };
    Runtime::builder().shards(shards).build().expect("a runtime").run(serve).expect("no deadlock");
}

fn echo(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    while stream.read_with(|bytes| stream.write_all(bytes).map(|()| !bytes.is_empty()))?? {}
    Ok(())
}

/// A server's process; it ends when this is dropped.
struct Server {
    process: Child,
    _input: ChildStdin,
    addr: SocketAddr,
}

impl Server {
    fn start(command: &mut Command) -> Server {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.expect("the program is there");
        let (input, output) = (process.stdin.take().expect("piped"), process.stdout.take().expect("piped"));
        let mut port = String::new();
        BufReader::new(output).read_line(&mut port).expect("a pipe");
        let port: u16 = port.trim().parse().expect("the server tells its port first");
        Server { process, _input: input, addr: ([127, 0, 0, 1], port).into() }
    }

    fn ours(shards: usize) -> Server {
        Server::start(own_program().args(["--serve", &shards.to_string(), "--many"]))
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_addr(self.addr).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        stream
    }

    /// Nanoseconds on a processor since it started, of all threads.
    fn processor_nanos(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it runs");
        let nanos = |thread: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<f64>().ok()
        };
        threads.flatten().filter_map(nanos).sum()
    }

    fn resident_kib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the kernel tells it");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }

    /// Processor nanoseconds for each request of a slice of load.
    fn request_nanos(&self, clients: &[Rc<TcpStream>]) -> f64 {
        let (before, until) = (self.processor_nanos(), time::now() + SLICE);
        let answered = Rc::new(Cell::new(0u64));
        let group = Group::new();
        for client in clients {
            let (client, answered) = (client.clone(), answered.clone());
            let _ = group.spawn(move || {
                while time::now() < until {
                    exchange(&client).expect("the server answers");
                    answered.set(answered.get() + 1);
                }
            });
        }
        group.join();
        (self.processor_nanos() - before) / answered.get() as f64
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn own_program() -> Command {
    Command::new(std::env::current_exe().expect("this program has a path"))
}

fn exchange(mut client: &TcpStream) -> std::io::Result<()> {
    client.write_all(&REQUEST)?;
    client.read_exact(&mut [0; REQUEST.len()])
}

fn many_connections() {
    let server = Server::ours(1);
    let before = server.resident_kib();
    let clients: Vec<_> = (0..MANY).map(|_| server.connect()).collect();
    for client in &clients {
        exchange(client).expect("the server answers");
    }
    let kib = (server.resident_kib() - before) / MANY as f64;
    figure::print("10,000 echo connections: resident", kib, "KiB each");
}

/// Prints both figures and the ratio of the second to the first.
fn compare(what: [&str; 2], servers: &[Server; 2]) {
    let clients =
        servers.each_ref().map(|server| (0..CONNECTIONS).map(|_| Rc::new(server.connect())).collect::<Vec<_>>());
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|round| {
            let mut nanos = [0.0; 2];
            for turn in [round % 2, (round + 1) % 2] {
                nanos[turn] = servers[turn].request_nanos(&clients[turn]);
            }
            nanos
        })
        .collect();
    let middle = |figure: fn(&[f64; 2]) -> f64| figure::middle(rounds.iter().map(figure).collect());
    figure::print(&format!("{}: CPU of a request", what[0]), middle(|nanos| nanos[0]), "ns");
    figure::print(&format!("{}: CPU of a request", what[1]), middle(|nanos| nanos[1]), "ns");
    let ratio = middle(|nanos| nanos[1] / nanos[0]);
    println!("{:<58} {ratio:>10.2}", format!("{} / {}", what[1], what[0]));
}

fn two_shards() {
    compare(["one shard", "two shards"], &[Server::ours(1), Server::ours(2)]);
}

/// More clients come than the server has descriptors for; then some go.
fn no_descriptors() {
    let limit = format!("ulimit -n {LIMIT} && exec \"$0\" --serve 1");
    let program = std::env::current_exe().expect("this program has a path");
    let server = Server::start(Command::new("sh").arg("-c").arg(limit).arg(program));
    let answered = Rc::new(Cell::new(0));
    let clients: Vec<_> = (0..CROWD).map(|_| Rc::new(server.connect())).collect();
    for client in &clients {
        let (client, answered) = (client.clone(), answered.clone());
        let _ = spawn(move || {
            exchange(&client).expect("the server answers in the end");
            answered.set(answered.get() + 1);
        });
    }
    sleep(Duration::from_millis(500));
    let served = answered.get();
    assert!(served < LIMIT, "it has run out of descriptors");
    let watch = (server.processor_nanos(), time::now());
    sleep(Duration::from_secs(2));
    let idle = (server.processor_nanos() - watch.0) / (time::now() - watch.1).as_nanos() as f64;
    figure::print(&format!("no descriptors left, {served} of {CROWD} served: cores / 1000"), idle * 1e3, "");
    let start = Instant::now();
    for client in clients.iter().take(CROWD - served) {
        client.shutdown(std::net::Shutdown::Both).expect("it is connected"); // those that came first are served
    }
    while answered.get() < CROWD {
        sleep(Duration::from_millis(1));
    }
    figure::print("as many as wait have gone: until all are served", start.elapsed().as_secs_f64() * 1e3, "ms");
}

fn gevent(python: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/on_gevent.py");
    compare(["gevent", "ours"], &[Server::start(Command::new(python).args([script, "serve"])), Server::ours(1)]);
    let status = Command::new(python).arg(script).status().expect("the interpreter is there");
    assert!(status.success(), "gevent's switches, spawns and round trips are measured by the script");
}
