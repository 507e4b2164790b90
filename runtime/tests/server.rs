//! The TCP server: spreading, limits, stopping, and the descriptor limit in a process of its own.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leveret_runtime::net::{ServerHandle, StreamServer, StreamServerBuilder, TcpStream};
use leveret_runtime::{JoinHandle, Runtime, run, shard_id, sleep, spawn, time, timeout, yield_now};

const SHORT: Duration = Duration::from_millis(5);
const LONG: Duration = Duration::from_secs(20);

fn echo(mut stream: TcpStream, _: SocketAddr) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

/// Starts a server on this shard; the test ends it.
fn serve(
    builder: StreamServerBuilder,
    handler: impl Fn(TcpStream, SocketAddr) + Send + Sync + 'static,
) -> (ServerHandle, JoinHandle<std::io::Result<()>>) {
    let server = builder.bind("127.0.0.1:0").unwrap();
    (server.handle(), spawn(|| server.serve(handler)))
}

fn connect(handle: &ServerHandle) -> TcpStream {
    TcpStream::connect(handle.local_addr()).unwrap()
}

fn is_served(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4];
    stream.write_all(b"ping").unwrap();
    timeout(LONG, || stream.read_exact(&mut answer).is_ok()) == Ok(true) && &answer == b"ping"
}

/// Waits for something that others bring about; no event tells of it.
fn until(what: &str, condition: impl Fn() -> bool) {
    let patience = time::now() + LONG;
    while !condition() {
        assert!(time::now() < patience, "never {what}");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn connections_are_served_and_counted() {
    run(|| {
        let (handle, serving) = serve(StreamServer::builder(), echo);
        let mut clients: Vec<_> = (0..5).map(|_| connect(&handle)).collect();
        assert!(clients.iter_mut().all(is_served));
        assert_eq!((handle.stats().accepted, handle.stats().active), (5, 5));
        clients.truncate(2);
        until("two are left", || handle.stats().active == 2);
        assert_eq!(handle.stop(LONG), 0);
        let stats = handle.stats();
        assert_eq!((stats.accepted, stats.active, stats.refused, stats.paused), (5, 0, 0, 0));
        serving.join().unwrap().unwrap();
        assert!(handle.is_stopping());
        assert!(TcpStream::connect(handle.local_addr()).is_err(), "nobody listens any more");
    })
    .unwrap();
}

#[test]
fn stopping_lets_handlers_finish_what_was_read() {
    run(|| {
        let (handle, serving) = serve(StreamServer::builder(), |mut stream, _| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            sleep(SHORT);
            stream.write_all(&all).unwrap();
        });
        let mut client = connect(&handle);
        client.write_all(b"everything").unwrap();
        until("accepted", || handle.stats().active == 1);
        sleep(SHORT);
        assert_eq!(handle.stop(LONG), 0);
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "everything");
        serving.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn those_that_do_not_finish_are_killed_at_the_deadline() {
    for shards in [1, 2] {
        let runtime = Runtime::builder().shards(shards).build().unwrap();
        runtime
            .run(move || {
                let (handle, serving) = serve(StreamServer::builder().shards(shards), |_stream, _| sleep(LONG * 60));
                let clients: Vec<_> = (0..3).map(|_| connect(&handle)).collect();
                until("accepted", || handle.stats().active == 3);
                assert_eq!(handle.stop(SHORT), 3);
                assert_eq!(handle.stats().active, 0);
                serving.join().unwrap().unwrap();
                drop(clients);
            })
            .unwrap();
    }
}

#[test]
fn a_second_stop_shortens_the_first() {
    run(|| {
        let (handle, serving) = serve(StreamServer::builder(), |_stream, _| sleep(LONG * 60));
        let _client = connect(&handle);
        until("accepted", || handle.stats().active == 1);
        let patient = spawn({
            let handle = handle.clone();
            move || handle.stop(LONG * 60)
        });
        handle.wait_stopping();
        assert_eq!(handle.stop(Duration::ZERO), 1);
        assert_eq!(patient.join().unwrap(), 1);
        serving.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn handlers_may_be_told_instead_of_cut_off() {
    run(|| {
        let server = StreamServer::builder().end_input_on_stop(false).bind("127.0.0.1:0").unwrap();
        let (handle, told) = (server.handle(), server.handle());
        let serving = spawn(move || {
            server.serve(move |mut stream, _| {
                told.wait_stopping();
                stream.write_all(b"bye").unwrap();
                stream.read_exact(&mut [0; 3]).unwrap();
            })
        });
        let mut client = connect(&handle);
        until("accepted", || handle.stats().active == 1);
        assert!(!handle.is_stopping());
        let stopper = spawn({
            let handle = handle.clone();
            move || handle.stop(LONG)
        });
        let mut bye = [0; 3];
        client.read_exact(&mut bye).unwrap();
        client.write_all(&bye).unwrap();
        assert_eq!(stopper.join().unwrap(), 0);
        serving.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn at_most_so_many_at_a_time() {
    run(|| {
        let (handle, serving) = serve(StreamServer::builder().max_connections(2), echo);
        let mut served: Vec<_> = (0..2).map(|_| connect(&handle)).collect();
        assert!(served.iter_mut().all(is_served));
        let mut third = connect(&handle);
        third.write_all(b"ping").unwrap();
        assert!(timeout(SHORT, || third.read(&mut [0; 4])).is_err(), "there is no room yet");
        assert_eq!((handle.stats().accepted, handle.stats().active), (2, 2));
        served.pop();
        third.read_exact(&mut [0; 4]).unwrap();
        handle.stop(LONG);
        serving.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn several_shards_share_the_connections_evenly() {
    static BY_SHARD: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
    let runtime = Runtime::builder().shards(3).build().unwrap();
    runtime
        .run(|| {
            let (handle, serving) = serve(StreamServer::builder().shards(3), |stream, addr| {
                BY_SHARD[shard_id().index()].fetch_add(1, Ordering::Relaxed);
                echo(stream, addr);
            });
            let mut clients: Vec<_> = (0..9).map(|_| connect(&handle)).collect();
            assert!(clients.iter_mut().all(is_served));
            assert!(BY_SHARD.iter().all(|count| count.load(Ordering::Relaxed) == 3), "{BY_SHARD:?}");
            assert_eq!(handle.stop(LONG), 0);
            serving.join().unwrap().unwrap();
        })
        .unwrap();
}

#[test]
fn a_panic_ends_one_connection_alone() {
    run(|| {
        let (handle, serving) = serve(StreamServer::builder(), |mut stream, addr| {
            let mut first = [0; 1];
            stream.read_exact(&mut first).unwrap();
            assert_ne!(&first, b"!", "asked to");
            stream.write_all(&first).unwrap();
            echo(stream, addr);
        });
        let (mut bad, mut good) = (connect(&handle), connect(&handle));
        bad.write_all(b"!").unwrap();
        assert_eq!(bad.read(&mut [0; 1]).unwrap(), 0);
        assert!(is_served(&mut good));
        handle.stop(LONG);
        serving.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn a_local_handler_may_keep_what_does_not_cross_threads() {
    run(|| {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let server = StreamServer::bind("127.0.0.1:0").unwrap();
        let handle = server.handle();
        let serving = spawn({
            let seen = seen.clone();
            move || server.serve_local(move |_, addr| seen.borrow_mut().push(addr))
        });
        let client = connect(&handle);
        until("seen", || !seen.borrow().is_empty());
        assert_eq!(*seen.borrow(), [client.local_addr().unwrap()]);
        handle.stop(LONG);
        serving.join().unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn killing_the_server_kills_its_connections() {
    struct Gone(Rc<Cell<u32>>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    run(|| {
        let gone = Rc::new(Cell::new(0));
        let server = StreamServer::bind("127.0.0.1:0").unwrap();
        let handle = server.handle();
        let serving = spawn({
            let gone = gone.clone();
            move || {
                server.serve_local(move |_stream, _| {
                    let _gone = Gone(gone.clone());
                    sleep(LONG * 60);
                })
            }
        });
        let _clients = [connect(&handle), connect(&handle)];
        until("accepted", || handle.stats().active == 2);
        yield_now();
        serving.kill();
        assert!(serving.join().is_err());
        until("both are gone", || gone.get() == 2);
        assert_eq!(handle.stop(LONG), 0, "it has ended already");
    })
    .unwrap();
}

#[test]
fn a_server_that_never_serves_can_be_stopped() {
    run(|| {
        let server = StreamServer::bind("127.0.0.1:0").unwrap();
        let handle = server.handle();
        drop(server);
        assert_eq!(handle.stop(LONG), 0);
        let server = StreamServer::bind("127.0.0.1:0").unwrap();
        let handle = server.handle();
        let stopper = spawn(move || handle.stop(LONG));
        yield_now();
        server.serve(echo).unwrap();
        assert_eq!(stopper.join().unwrap(), 0);
        // The time is over, though nobody has begun to serve and so nobody says that the server has ended.
        let server = StreamServer::bind("127.0.0.1:0").unwrap();
        assert_eq!(timeout(LONG, || server.handle().stop(Duration::from_millis(5))), Ok(0));
        assert!(server.handle().is_stopping());
        server.serve(echo).unwrap();
    })
    .unwrap();
}

#[test]
fn impossible_settings_are_refused() {
    run(|| {
        let check = |builder: StreamServerBuilder, expected: &str| {
            let error = builder.bind("127.0.0.1:0").unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(StreamServer::builder().max_connections(0), "no room");
        check(StreamServer::builder().shards(0), "1 to 1 shards");
        check(StreamServer::builder().shards(2), "1 to 1 shards");
    })
    .unwrap();
}

/// What the children below are told by.
const CHILD: &str = "LEVERET_TEST_DESCRIPTORS";

/// The limit of descriptors of a child, and how many connections come.
const LIMIT: u64 = 40;
const COMING: usize = 60;

/// Runs a test of this file again, in a process with few descriptors: the limit is the whole process's.
fn with_few_descriptors(test: &str) {
    let own = std::env::current_exe().unwrap();
    let script = format!("ulimit -n {LIMIT}; exec \"$0\" --exact {test} --nocapture --test-threads 1");
    let output = Command::new("sh").args(["-c", &script]).arg(own).env(CHILD, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn at_the_descriptor_limit_it_idles_and_recovers() {
    match std::env::var_os(CHILD) {
        None => with_few_descriptors("at_the_descriptor_limit_it_idles_and_recovers"),
        Some(_) => [1, 2].into_iter().for_each(recover_from_the_descriptor_limit),
    }
}

/// The clients are in the same process and use descriptors too, so they connect first: the kernel completes handshakes
/// without the server's `accept`.
fn recover_from_the_descriptor_limit(shards: usize) {
    let runtime = Runtime::builder().shards(shards).build().unwrap();
    runtime
        .run(move || {
            let server = StreamServer::builder().shards(shards).bind("127.0.0.1:0").unwrap();
            let handle = server.handle();
            let mut clients = Vec::new();
            while clients.len() < COMING
                && let Ok(client) = TcpStream::connect(handle.local_addr())
            {
                clients.push(client);
            }
            assert!(clients.len() > 10 && clients.len() < COMING, "the limit binds: {}", clients.len());
            clients.pop(); // one descriptor for one connection to be served
            let serving = spawn(|| server.serve(echo));
            until("paused", || handle.stats().paused == 1);
            assert!(handle.stats().active < 4);

            let polls = leveret_runtime::stats().polls;
            let start = time::now();
            sleep(Duration::from_millis(200));
            let polled = leveret_runtime::stats().polls - polls;
            assert!(polled < 50, "it idles: {polled} polls in 200 ms");

            // The pause has grown beyond a tenth of a second by now; closing descriptors must end it at once.
            let waiting = clients.len() - handle.stats().active;
            let half = clients.len() / 2;
            let closed = clients.drain(..half).count();
            until("all are served", || handle.stats().accepted as usize >= closed + waiting.min(clients.len()));
            assert!(clients.iter_mut().all(is_served));
            assert!(time::now() - start < Duration::from_secs(5));
            assert_eq!(handle.stats().paused, 1, "one episode");
            drop(clients);
            handle.stop(LONG);
            serving.join().unwrap().unwrap();
        })
        .unwrap();
}
