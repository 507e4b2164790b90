//! The same bodies on the real driver and on the simulated one, with the same assertions: what a simulation shows is worth
//! something only if a program cannot tell it from the real thing.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::net::{StreamServer, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use leveret_runtime::sync::{Event, Mutex, Semaphore, channel};
use leveret_runtime::{
    JoinError, Runtime, call, fs, join_all, offload, scope, select, shards, sim, sleep, spawn, spawn_on, time, timeout,
    yield_now,
};

const SHORT: Duration = Duration::from_millis(2);
const LONG: Duration = Duration::from_secs(20);

/// Which network the simulation has.
#[derive(Clone, Copy)]
enum Net {
    Good,
    /// Delays, pieces and short writes as well: for bodies that count on none of it.
    Rough,
}

fn both(net: Net, body: fn()) {
    both_on(1, net, body);
}

fn both_on(count: usize, net: Net, body: fn()) {
    Runtime::builder().shards(count).build().unwrap().run(body).unwrap();
    sim::check(0..25, |seed| {
        let runtime = Runtime::builder().shards(count).simulated(seed).build().unwrap();
        let ended = runtime.run(move || {
            if matches!(net, Net::Rough) && seed % 2 == 1 {
                sim::set_network_faults(sim::NetworkFaults { datagram_loss: 0.0, ..sim::NetworkFaults::rough() });
            }
            body();
        });
        ended.unwrap_or_else(|deadlock| panic!("{deadlock}"));
    });
}

/// A path that exists on neither driver.
fn fresh_path(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("leveret-parity-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    dir.join(name)
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// What every byte stream does, whatever its family.
macro_rules! streams {
    ($family:ident, $pair:expr) => {
        mod $family {
            use super::*;

            #[test]
            fn bytes_go_through_in_order_and_end() {
                both(Net::Rough, || {
                    let (mut one, mut other) = $pair;
                    let sent: Vec<u8> = (0..300_000u32).map(|n| (n >> 3) as u8).collect();
                    let expected = sent.clone();
                    let writer = spawn(move || {
                        one.write_all(&sent).unwrap();
                        one.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(one.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
                        let mut rest = Vec::new();
                        one.read_to_end(&mut rest).unwrap();
                        rest
                    });
                    let mut got = Vec::new();
                    other.read_to_end(&mut got).unwrap();
                    assert!(got == expected);
                    assert_eq!(other.read(&mut [0; 4]).unwrap(), 0, "the end stays the end");
                    other.write_all(b"half-closed is not closed").unwrap();
                    drop(other);
                    assert_eq!(writer.join().unwrap(), b"half-closed is not closed");
                });
            }

            #[test]
            fn lent_buffers_and_slices() {
                both(Net::Good, || {
                    let (mut one, other) = $pair;
                    let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
                    assert_eq!(one.write_vectored(&slices).unwrap(), 5);
                    assert_eq!(other.read_with(<[u8]>::to_vec).unwrap(), b"abcde");
                    assert_eq!(one.try_write_vectored(&slices).unwrap(), 5);
                    assert_eq!(other.read_with(<[u8]>::len).unwrap(), 5);
                    drop(one);
                    assert_eq!(other.read_with(<[u8]>::len).unwrap(), 0);
                });
            }

            #[test]
            fn trying_never_waits() {
                both(Net::Good, || {
                    let (one, other) = $pair;
                    let would_block = |result: std::io::Result<usize>| {
                        matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
                    };
                    assert!(would_block(other.try_read(&mut [0; 8])));
                    assert_eq!(one.try_write(b"xyz").unwrap(), 3);
                    other.wait_readable().unwrap();
                    assert_eq!(other.try_read(&mut [0; 2]).unwrap(), 2);
                    assert_eq!(other.try_read(&mut [0; 2]).unwrap(), 1);
                    while !would_block(one.try_write(&[0; 65_536])) {}
                    other.read_with(|_| ()).unwrap();
                });
            }

            #[test]
            fn nothing_is_read_and_written_at_once() {
                both(Net::Good, || {
                    let (mut one, _other) = $pair;
                    for _ in 0..2 {
                        assert_eq!((one.read(&mut []).unwrap(), one.write(&[]).unwrap()), (0, 0));
                        assert_eq!(one.read_vectored(&mut []).unwrap(), 0);
                        while one.try_read(&mut [0]).is_ok() {} // now it is known that nothing is there
                    }
                });
            }

            /// A fresh stream counts as worth a try, and so does one that gave all it was asked for: `wait_readable` said of
            /// both that a read would not block.
            #[test]
            fn waiting_until_it_is_readable_does_not_end_before_it_is() {
                both(Net::Good, || {
                    let (mut one, mut other) = $pair;
                    one.set_read_timeout(Some(SHORT)).unwrap();
                    assert_eq!(one.wait_readable().unwrap_err().kind(), ErrorKind::TimedOut);
                    other.write_all(b"xy").unwrap();
                    one.wait_readable().unwrap();
                    one.read_exact(&mut [0; 2]).unwrap();
                    assert_eq!(one.wait_readable().unwrap_err().kind(), ErrorKind::TimedOut);
                    one.set_read_timeout(None).unwrap();
                    let writes = spawn(move || other.write_all(b"z").map(|()| other));
                    one.wait_readable().unwrap();
                    assert_eq!(one.try_read(&mut [0; 2]).unwrap(), 1);
                    drop(writes.join().unwrap().unwrap());
                    one.wait_readable().unwrap(); // the end can be read
                    assert_eq!(one.try_read(&mut [0; 2]).unwrap(), 0);
                    one.wait_readable().unwrap();
                });
            }

            #[test]
            fn timeouts_strike_and_the_stream_goes_on() {
                both(Net::Rough, || {
                    let (mut one, mut other) = $pair;
                    one.set_read_timeout(Some(SHORT)).unwrap();
                    assert_eq!(one.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
                    one.set_write_timeout(Some(SHORT)).unwrap();
                    assert_eq!(one.write_all(&vec![7; 32 << 20]).unwrap_err().kind(), ErrorKind::TimedOut);
                    other.read_exact(&mut [0; 1000]).unwrap();
                    other.write_all(b"y").unwrap();
                    one.set_read_timeout(None).unwrap();
                    one.read_exact(&mut [0]).unwrap();
                    assert!(timeout(SHORT, || one.read(&mut [0])).is_err());
                    other.write_all(b"z").unwrap();
                    one.read_exact(&mut [0]).unwrap();
                });
            }

            #[test]
            fn a_peer_that_goes_away_is_an_error_and_no_signal() {
                both(Net::Rough, || {
                    let (mut one, other) = $pair;
                    drop(other);
                    let error = loop {
                        if let Err(error) = one.write(&[0; 4096]) {
                            break error;
                        }
                        sleep(Duration::from_micros(100));
                    };
                    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
                });
            }

            #[test]
            fn a_close_with_bytes_unread_resets() {
                both(Net::Good, || {
                    let (mut one, mut other) = $pair;
                    one.write_all(b"never read").unwrap();
                    other.write_all(b"read").unwrap();
                    other.wait_readable().unwrap();
                    drop(other);
                    let mut read = [0; 16];
                    assert_eq!(one.read(&mut read).unwrap(), 4, "what had come before");
                    assert_eq!(one.read(&mut read).unwrap_err().kind(), ErrorKind::ConnectionReset);
                    assert_eq!(one.read(&mut read).unwrap(), 0);
                    assert_eq!(one.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
                });
            }

            #[test]
            fn the_end_of_the_peer_is_told_to_who_does_not_read() {
                both(Net::Rough, || {
                    let (one, mut other) = $pair;
                    assert!(!one.peer_closed());
                    let watcher = spawn(move || one.wait_peer_closed().map(|()| one.peer_closed()));
                    yield_now();
                    other.write_all(b"unread").unwrap();
                    drop(other);
                    assert!(watcher.join().unwrap().unwrap());
                });
            }

            #[test]
            fn a_kill_strikes_at_the_wait_and_leaves_the_stream() {
                both(Net::Rough, || {
                    let (one, mut other) = $pair;
                    let one = Rc::new(one);
                    let reader = spawn({
                        let one = one.clone();
                        move || (&*one).read(&mut [0; 8]).map(|_| ())
                    });
                    yield_now();
                    reader.kill();
                    assert!(matches!(reader.join(), Err(JoinError::Killed)));
                    other.write_all(b"later").unwrap();
                    let mut later = [0; 5];
                    (&*one).read_exact(&mut later).unwrap();
                    assert_eq!(&later, b"later");
                });
            }

            #[test]
            fn two_readers_of_one_stream_are_an_error() {
                both(Net::Good, || {
                    let (one, mut other) = $pair;
                    let one = Rc::new(one);
                    let reader = spawn({
                        let one = one.clone();
                        move || (&*one).read(&mut [0; 8]).unwrap()
                    });
                    yield_now();
                    yield_now();
                    assert_eq!((&*one).read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ResourceBusy);
                    other.write_all(b"abc").unwrap();
                    assert_eq!(reader.join().unwrap(), 3);
                });
            }

            #[test]
            fn a_select_takes_what_comes_first() {
                both(Net::Rough, || {
                    let (one, mut other) = $pair;
                    let (sender, receiver) = channel::unbounded::<u32>();
                    let came = || {
                        select! {
                            readable(one) => "bytes",
                            recv(receiver) -> value => value.map_or("closed", |_| "value"),
                            after(SHORT) => "time",
                        }
                    };
                    assert_eq!(came(), "time");
                    sender.send(1).unwrap();
                    assert_eq!(came(), "value");
                    other.write_all(b"x").unwrap();
                    one.wait_readable().unwrap();
                    assert_eq!(came(), "bytes");
                });
            }
        }
    };
}

streams!(tcp, tcp_pair());
streams!(unix, UnixStream::pair().unwrap());

#[test]
fn addresses_and_the_errors_that_name_them() {
    both(Net::Rough, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = TcpStream::connect(("localhost", addr.port())).unwrap();
        let (server, peer) = listener.accept().unwrap();
        assert_eq!(client.peer_addr().unwrap(), addr);
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!((server.local_addr().unwrap(), server.peer_addr().unwrap()), (addr, peer));
        client.set_nodelay(true).unwrap();
        assert!(client.nodelay().unwrap() && client.take_error().unwrap().is_none());
        let in_use = TcpListener::bind(addr).unwrap_err();
        assert_eq!(in_use.kind(), ErrorKind::AddrInUse);
        assert!(in_use.to_string().contains(&addr.to_string()), "{in_use}");
        drop(listener);
        let refused = TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().contains(&addr.to_string()), "{refused}");
        let unheard = TcpStream::connect("no-such-host.invalid:5672").unwrap_err();
        assert!(unheard.to_string().contains("no-such-host.invalid:5672"), "{unheard}");
        let foreign = TcpListener::bind("192.0.2.1:0").unwrap_err();
        assert_eq!(foreign.kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_linger_of_zero_resets() {
    both(Net::Rough, || {
        let (mut one, other) = tcp_pair();
        other.set_linger(Some(Duration::ZERO)).unwrap();
        assert_eq!(other.set_linger(Some(SHORT)).unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(other);
        assert_eq!(one.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_peek_leaves_what_it_saw() {
    both(Net::Good, || {
        let (mut one, other) = tcp_pair();
        one.write_all(b"abc").unwrap();
        let mut seen = [0; 8];
        assert_eq!(other.peek(&mut seen).unwrap(), 3);
        assert_eq!((&other).read(&mut seen).unwrap(), 3);
    });
}

#[test]
fn whoever_waits_in_the_queue_of_a_closed_listener_is_reset() {
    both(Net::Rough, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        drop(listener);
        assert_eq!(waiting.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn unix_listeners_have_a_path() {
    both(Net::Rough, || {
        let path = fresh_path("listener.sock");
        let missing = UnixStream::connect(&path).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains("listener.sock"), "{missing}");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(listener.local_addr().unwrap().as_pathname(), Some(&*path));
        let client = spawn({
            let path = path.clone();
            move || {
                let mut stream = UnixStream::connect(&path).unwrap();
                assert_eq!(stream.peer_addr().unwrap().as_pathname(), Some(&*path));
                stream.write_all(b"hello").unwrap();
            }
        });
        let (mut server, peer) = listener.accept().unwrap();
        assert!(peer.is_unnamed());
        let mut all = String::new();
        server.read_to_string(&mut all).unwrap();
        assert_eq!(all, "hello");
        client.join().unwrap();
        drop(listener);
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        fs::remove_file(&path).unwrap();
        assert_eq!(UnixStream::connect(&path).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn datagrams() {
    both(Net::Good, || {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other_addr = other.local_addr().unwrap();
        let mut buffer = [0; 16];
        assert_eq!(one.try_recv_from(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
        one.set_read_timeout(Some(SHORT)).unwrap();
        assert_eq!(one.recv_from(&mut buffer).unwrap_err().kind(), ErrorKind::TimedOut);
        let echo = spawn(move || {
            let mut buffer = [0; 16];
            let (count, from) = other.recv_from(&mut buffer).unwrap();
            other.send_to(&buffer[..count], from).unwrap();
            other.connect(from).unwrap();
            assert_eq!(other.peer_addr().unwrap(), from);
            other.send(b"connected").unwrap();
        });
        one.set_read_timeout(None).unwrap();
        one.send_to(b"ping", other_addr).unwrap();
        assert_eq!(one.peek_from(&mut buffer).unwrap(), (4, other_addr));
        assert_eq!(one.recv_from(&mut buffer).unwrap(), (4, other_addr));
        one.connect(other_addr).unwrap();
        assert_eq!(one.peek(&mut buffer).unwrap(), 9);
        assert_eq!(one.recv(&mut buffer[..4]).unwrap(), 4, "what does not fit is lost");
        assert_eq!(&buffer[..4], b"conn");
        echo.join().unwrap();
        one.send(b"to nobody").unwrap();
        assert_eq!(one.recv(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        assert!(one.send_to(&[0; 65_508], other_addr).is_err(), "longer than a datagram can be");
        one.set_broadcast(true).unwrap();
        assert!(one.broadcast().unwrap());
    });
}

#[test]
fn a_server_serves_on_every_shard_and_stops() {
    both_on(3, Net::Rough, || {
        let server = StreamServer::builder().shards(3).bind("127.0.0.1:0").unwrap();
        let handle = server.handle();
        let serving = spawn(move || {
            server.serve(|stream, _| {
                std::io::copy(&mut &stream, &mut &stream).unwrap();
            })
        });
        let addr = handle.local_addr();
        let clients: Vec<_> = (0..6u8)
            .map(|n| {
                spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    stream.write_all(&[n; 1000]).unwrap();
                    let mut back = [0; 1000];
                    stream.read_exact(&mut back).unwrap();
                    assert_eq!(back, [n; 1000]);
                    stream.read_to_end(&mut Vec::new()).unwrap()
                })
            })
            .collect();
        while handle.stats().accepted < 6 {
            sleep(SHORT);
        }
        sleep(SHORT * 50); // the echoes of a slow network
        assert_eq!(handle.stop(LONG), 0, "handlers end with their input");
        serving.join().unwrap().unwrap();
        for client in clients {
            assert_eq!(client.join().unwrap(), 0);
        }
        assert_eq!(handle.stats().active, 0);
    });
}

#[test]
fn connections_go_from_shard_to_shard() {
    both_on(2, Net::Rough, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (detached, _) = listener.accept_detached().unwrap();
        let other = shards().nth(1).unwrap();
        let answered = spawn_on(other, move || {
            let mut stream = detached.attach().unwrap();
            let mut ping = [0; 4];
            stream.read_exact(&mut ping).unwrap();
            stream.write_all(b"pong").unwrap();
            ping
        });
        client.write_all(b"ping").unwrap();
        let mut pong = [0; 4];
        client.read_exact(&mut pong).unwrap();
        assert_eq!((&pong, &answered.join().unwrap()), (b"pong", b"ping"));
        let (detached, _gone) = (client.detach(), ());
        let closed = call(other, move || drop(detached.attach().unwrap()));
        closed.unwrap();
    });
}

#[test]
fn files() {
    both(Net::Good, || {
        let (path, other) = (fresh_path("file"), fresh_path("renamed"));
        fs::write(&path, "hello").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "hello");
        fs::rename(&path, &other).unwrap();
        assert_eq!(fs::read(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(fs::metadata(&other).unwrap().len(), 5);
        fs::remove_file(&other).unwrap();
        assert_eq!(fs::remove_file(&other).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn sleeping_and_timeouts() {
    both(Net::Good, || {
        let start = time::now();
        join_all((1..=5).map(|n| spawn(move || sleep(SHORT * n))));
        assert!(time::now() - start >= SHORT * 5);
        assert!(timeout(SHORT, || sleep(LONG)).is_err());
        assert_eq!(timeout(LONG, || 7), Ok(7));
        assert!(timeout(SHORT, || timeout(LONG, || sleep(LONG))).is_err());
        let early = time::now();
        sleep(Duration::ZERO);
        assert!(time::now() - early < LONG);
    });
}

#[test]
fn locks_events_and_channels() {
    both(Net::Good, || {
        let (mutex, inside) = (Rc::new(Mutex::new(0)), Rc::new(Cell::new(0)));
        let workers = (0..10).map(|_| {
            let (mutex, inside) = (mutex.clone(), inside.clone());
            spawn(move || {
                for _ in 0..10 {
                    let mut count = mutex.lock();
                    assert_eq!(inside.replace(1), 0, "one at a time");
                    yield_now();
                    inside.set(0);
                    *count += 1;
                }
            })
        });
        assert!(join_all(workers).into_iter().all(|ended| ended.is_ok()));
        assert_eq!(*mutex.lock(), 100);

        let semaphore = Rc::new(Semaphore::new(3));
        let most = Rc::new(Cell::new((0, 0)));
        let workers = (0..10).map(|_| {
            let (semaphore, most) = (semaphore.clone(), most.clone());
            spawn(move || {
                let _permit = semaphore.acquire();
                most.set((most.get().0 + 1, most.get().1.max(most.get().0 + 1)));
                yield_now();
                most.set((most.get().0 - 1, most.get().1));
            })
        });
        join_all(workers);
        assert_eq!(most.get(), (0, 3));

        let event = Rc::new(Event::new());
        let waiter = spawn({
            let event = event.clone();
            move || event.wait_timeout(LONG)
        });
        yield_now();
        event.set();
        assert!(waiter.join().unwrap());

        let (sender, receiver) = channel::bounded(2);
        let producer = spawn(move || (0..100).for_each(|n| sender.send(n).unwrap()));
        assert_eq!(receiver.iter().collect::<Vec<i32>>(), (0..100).collect::<Vec<_>>());
        producer.join().unwrap();
    });
}

#[test]
fn kills_scopes_and_the_pool() {
    both(Net::Good, || {
        let victim = spawn(|| sleep(LONG));
        yield_now();
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        let total = RefCell::new(Vec::new());
        scope(|scope| {
            for n in 0..5 {
                let total = &total;
                scope.spawn(move || {
                    sleep(SHORT);
                    total.borrow_mut().push(n);
                });
            }
        });
        total.borrow_mut().sort();
        assert_eq!(*total.borrow(), [0, 1, 2, 3, 4]);
        assert_eq!(offload(|| 6 * 7), 42);
    });
}

#[test]
fn shards_speak_in_order() {
    both_on(3, Net::Good, || {
        let (sender, receiver) = leveret_runtime::mailbox::channel::channel();
        let workers: Vec<_> = shards()
            .map(|shard| {
                let sender = sender.clone();
                spawn_on(shard, move || {
                    for n in 0..200 {
                        sender.send((shard, n)).unwrap();
                        if n % 10 == 0 {
                            yield_now();
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        while receiver.receive_batch(&mut batch).unwrap() {
            all.append(&mut batch);
        }
        for shard in shards() {
            let of_shard: Vec<i32> = all.iter().filter(|(from, _)| *from == shard).map(|(_, n)| *n).collect();
            assert_eq!(of_shard, (0..200).collect::<Vec<_>>());
        }
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}
