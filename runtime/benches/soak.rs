//! A million connections whose coroutines are killed, and memory as flat as before.
//!
//! ```text
//!   cargo bench -p leveret-runtime --bench soak [-- --cycles 1000000]
//! ```
//!
//! In each cycle a client connects, sends a byte and waits for more than will come; the server has answered that byte and waits
//! too; then the client is killed, its stack unwinds, its socket closes by a reset (so that no port stays in use), and the
//! server's coroutine ends by that. Cycles run a hundred at a time. At the end there must be as many coroutines, descriptors
//! and stacks as before, and no more memory.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use leveret_runtime::net::{ServerHandle, StreamServer, TcpStream};
use leveret_runtime::{Group, Stats, run, sleep, spawn, stats, sync::WaitGroup, time};

const CYCLES: u64 = 1_000_000;

/// At once.
const CLIENTS: u64 = 100;

/// Before memory is looked at for the first time: pools and allocators have grown to their size by then.
const WARM_UP: u64 = 20_000;

/// Connections from one line about memory to the next.
const BETWEEN_LOOKS: u64 = 100_000;

/// Growth that counts as none.
const SLACK_KIB: u64 = 1024;

fn main() {
    let cycles = argument("--cycles").unwrap_or(CYCLES).max(WARM_UP * 2);
    run(move || soak(cycles)).expect("whoever waits is killed");
}

fn argument(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1)?.parse().ok()
}

fn soak(cycles: u64) {
    let server = StreamServer::bind("127.0.0.1:0").expect("a port");
    let handle = server.handle();
    let addr = handle.local_addr();
    let serving = spawn(move || server.serve_local(|stream, _peer| serve(stream)));
    repeat(WARM_UP, addr);
    let (rss_before, before, start) = (rss_kib(), settled(&handle), time::now());
    let mut left = cycles - WARM_UP;
    while left > 0 {
        let next = left.min(BETWEEN_LOOKS);
        repeat(next, addr);
        left -= next;
        println!("soak: {} connections killed, RSS {} KiB", cycles - left, rss_kib());
    }
    let seconds = (time::now() - start).as_secs_f64();
    let (rss_after, after) = (rss_kib(), settled(&handle));
    println!(
        "soak: {cycles} connections killed, {:.0} a second; RSS {rss_before} KiB before, {rss_after} KiB after; \
         {} coroutines, {} descriptors, {} stacks at most",
        (cycles - WARM_UP) as f64 / seconds,
        after.coroutines,
        after.descriptors,
        after.stacks_most
    );
    assert_eq!((before.coroutines, before.descriptors), (after.coroutines, after.descriptors), "something was left");
    assert!(rss_after <= rss_before + SLACK_KIB, "memory has grown");
    handle.stop(Duration::from_secs(10));
    serving.join().expect("it does not panic").expect("it serves to its end");
}

/// Answers one byte, then waits for more until the client is gone.
fn serve(mut stream: TcpStream) {
    let mut byte = [0];
    while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
}

fn repeat(cycles: u64, addr: SocketAddr) {
    for _ in 0..cycles / CLIENTS {
        let (clients, answered) = (Group::new(), WaitGroup::new());
        for _ in 0..CLIENTS {
            let answered = answered.clone();
            let _ = clients.spawn(move || client(addr, answered));
        }
        answered.wait();
        clients.kill_all();
        clients.join();
    }
}

fn client(addr: SocketAddr, answered: WaitGroup) {
    let mut stream = TcpStream::connect_addr(addr).expect("the server listens");
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    stream.write_all(b"?").expect("the server reads");
    stream.read_exact(&mut [0]).expect("the server answers");
    drop(answered);
    let _ = stream.read(&mut [0]);
    unreachable!("killed in its wait");
}

/// The counters once the server has noticed that its clients are gone.
fn settled(server: &ServerHandle) -> Stats {
    while server.stats().active > 0 {
        sleep(Duration::from_millis(1));
    }
    stats()
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has this line");
    line.split_ascii_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}
