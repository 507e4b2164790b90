//! The simulated network at its worst: what programs are told of resets, cuts, crashed hosts and full queues, and that
//! nothing but what was set goes wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::net::{StreamServer, TcpListener, TcpStream, UdpSocket};
use leveret_runtime::sim::{self, Host, NetworkFaults};
use leveret_runtime::{
    Deadlock, JoinHandle, Runtime, random, shards, sleep, spawn, spawn_on, time, timeout, yield_now,
};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn run<T: 'static>(seed: u64, body: impl FnOnce() -> T + 'static) -> T {
    let ended = Runtime::builder().simulated(seed).build().unwrap().run(body);
    ended.unwrap_or_else(|deadlock| panic!("{deadlock}"))
}

/// A server on a host of its own that echoes what it reads.
fn echo_server(host: Host) -> JoinHandle<()> {
    host.spawn(|| {
        let listener = TcpListener::bind("0.0.0.0:7").unwrap();
        loop {
            let Ok((stream, _)) = listener.accept() else { return };
            let _ = spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    })
}

/// Two hosts and a connection between them.
fn connected() -> (Host, TcpStream, Host, TcpStream) {
    let (server, client) = (sim::host("server"), sim::host("client"));
    let listener = server.run(|| TcpListener::bind("0.0.0.0:7").unwrap()).unwrap();
    let near = client.run(|| TcpStream::connect("server:7").unwrap()).unwrap();
    let far = server.run(move || listener.accept().unwrap().0).unwrap();
    (client, near, server, far)
}

#[test]
fn without_faults_nothing_goes_wrong_and_no_time_passes() {
    sim::check(0..50, |seed| {
        run(seed, || {
            let start = time::now();
            let (_, mut near, _, mut far) = connected();
            for size in [1, 100, 10_000] {
                near.write_all(&vec![7; size]).unwrap();
                let mut got = vec![0; size];
                assert_eq!(far.read(&mut got).unwrap(), size, "in one piece");
                assert_eq!(got, vec![7; size]);
            }
            assert_eq!(time::now(), start);
            assert!(sim::faults_fired().is_empty());
        });
    });
}

#[test]
fn hosts_have_names_and_addresses_of_their_own() {
    run(1, || {
        let (server, client) = (sim::host("server"), sim::host("client"));
        let _serving = echo_server(server);
        yield_now();
        let peers = client.run(|| {
            let stream = TcpStream::connect("server:7").unwrap();
            (stream.peer_addr().unwrap(), stream.local_addr().unwrap())
        });
        let (peer, local) = peers.unwrap();
        assert_eq!((peer.ip(), local.ip()), (server.ip(), client.ip()));
        assert_eq!((server.name(), sim::host("server")), ("server".into(), server));
        let own = client.run(|| TcpStream::connect("127.0.0.1:7").unwrap_err().kind());
        assert_eq!(own.unwrap(), ErrorKind::ConnectionRefused, "loopback is the client's own");
        let nobody = client.run(|| TcpStream::connect("10.9.9.9:7").unwrap_err().kind());
        assert_eq!(nobody.unwrap(), ErrorKind::HostUnreachable);
        let two = [server, client].map(|host| host.run(|| TcpListener::bind("0.0.0.0:80").map(drop)).unwrap());
        assert!(two.iter().all(Result::is_ok), "each has its own ports");
    });
}

#[test]
fn what_a_coroutine_spawns_lives_on_its_host_on_every_shard() {
    let runtime = Runtime::builder().shards(3).simulated(1).build().unwrap();
    let ended = runtime.run(|| {
        let server = sim::host("server");
        let ip = server.ip();
        let addrs = server.run(|| {
            let bind = || UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
            let other = shards().nth(2).unwrap();
            (spawn(bind).join().unwrap(), spawn_on(other, move || spawn(bind).join().unwrap()).join().unwrap())
        });
        let (near, far) = addrs.unwrap();
        assert_ne!(near, far, "ports of one host");
        // Whoever binds to the address of another host is refused: so each knows where it is.
        let here = move || TcpListener::bind((ip, 0)).is_ok();
        let other = shards().nth(1).unwrap();
        assert!(server.spawn_on(other, here).join().unwrap());
        assert!(!spawn_on(other, here).join().unwrap());
    });
    ended.unwrap();
}

#[test]
fn packets_take_as_long_as_they_are_told_to() {
    run(1, || {
        sim::set_network_faults(NetworkFaults { delay: (10 * MS, 10 * MS), ..NetworkFaults::default() });
        let start = time::now();
        let (_, mut near, _, mut far) = connected();
        assert_eq!(time::now() - start, 20 * MS, "there and back");
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
        assert_eq!(time::now() - start, 30 * MS);
    });
}

#[test]
fn a_link_carries_so_many_bytes_a_second() {
    run(1, || {
        let (_, mut near, _, mut far) = connected();
        sim::set_network_faults(NetworkFaults { bandwidth: Some(10_000), ..NetworkFaults::default() });
        let start = time::now();
        near.write_all(&[0; 20_000]).unwrap();
        far.read_exact(&mut [0; 20_000]).unwrap();
        let took = time::now() - start;
        assert!((2 * SECOND..3 * SECOND).contains(&took), "{took:?}");
    });
}

#[test]
fn a_writer_waits_for_its_reader() {
    run(1, || {
        sim::set_network_faults(NetworkFaults { buffer: 1000, ..NetworkFaults::default() });
        let (_, mut near, _, mut far) = connected();
        assert_eq!(near.write(&[0; 5000]).unwrap(), 1000);
        assert_eq!(near.try_write(&[0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let writer = spawn(move || near.write_all(&[1; 5000]).map(|()| time::now()));
        sleep(SECOND);
        far.read_exact(&mut [0; 6000]).unwrap();
        assert!(writer.join().unwrap().is_ok());
    });
}

/// Pieces, short writes, small buffers and delays in any mixture: bytes arrive in order and whole.
#[test]
fn a_rough_network_loses_nothing() {
    let checked = sim::check(0..300, |seed| {
        run(seed, move || {
            sim::set_network_faults(NetworkFaults {
                buffer: 1 + (random::u64() % 5000) as usize,
                split: (random::u64() % 100) as f64 / 100.0,
                short_write: (random::u64() % 100) as f64 / 100.0,
                ..NetworkFaults::rough()
            });
            let (_, mut near, _, mut far) = connected();
            let sent: Vec<u8> = (0..3000u32).map(|n| (n * 7) as u8).collect();
            let expected = sent.clone();
            let writer = spawn(move || {
                sent.chunks(777).for_each(|chunk| near.write_all(chunk).unwrap());
                near.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                near.read_to_end(&mut answer).unwrap();
                answer
            });
            let mut got = Vec::new();
            far.read_to_end(&mut got).unwrap();
            far.write_all(&got).unwrap();
            drop(far);
            assert!(got == expected);
            assert!(writer.join().unwrap() == expected);
        });
    });
    assert_eq!((checked.seeds, checked.faults), (300, 0));
}

#[test]
fn resets_and_refusals_come_as_errors_and_are_counted() {
    let met = RefCell::new(BTreeSet::new());
    let checked = sim::check(0..100, |seed| {
        let kinds = run(seed, || {
            sim::set_network_faults(NetworkFaults { reset: 0.05, refuse: 0.2, ..NetworkFaults::rough() });
            let server = sim::host("server");
            let _serving = echo_server(server);
            yield_now();
            let talk = || -> std::io::Result<()> {
                let mut stream = TcpStream::connect("server:7")?;
                for n in 0..20u8 {
                    stream.write_all(&[n; 50])?;
                    let mut back = [0; 50];
                    stream.read_exact(&mut back)?;
                    assert_eq!(back, [n; 50], "wrong bytes are never an answer");
                }
                Ok(())
            };
            let results = (0..5).map(|_| talk().map_err(|error| error.kind()));
            results.filter_map(Result::err).collect::<Vec<_>>()
        });
        met.borrow_mut().extend(kinds.iter().map(|kind| format!("{kind:?}")));
    });
    assert!(checked.faults > 100, "{checked:?}");
    let met = met.into_inner();
    let expected = ["ConnectionRefused", "ConnectionReset"];
    assert!(expected.iter().all(|kind| met.contains(*kind)), "{met:?}");
    let known = ["ConnectionRefused", "ConnectionReset", "BrokenPipe", "UnexpectedEof"];
    assert!(met.iter().all(|kind| known.contains(&kind.as_str())), "{met:?}");
}

#[test]
fn a_partition_holds_what_streams_send_and_heals() {
    run(1, || {
        let (client, mut near, server, mut far) = connected();
        sim::partition(client, server);
        near.write_all(b"held").unwrap();
        far.set_read_timeout(Some(60 * SECOND)).unwrap();
        assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        let connecting = client.spawn(|| TcpStream::connect("server:7").map(drop).map_err(|error| error.kind()));
        sleep(SECOND);
        sim::heal(client, server);
        let mut held = [0; 4];
        far.read_exact(&mut held).unwrap();
        assert_eq!(&held, b"held");
        assert_eq!(connecting.join().unwrap(), Err(ErrorKind::ConnectionRefused), "the listener is gone by now");
    });
}

#[test]
fn a_one_way_cut_lets_the_other_way_through() {
    run(1, || {
        let (client, mut near, server, mut far) = connected();
        sim::partition_one_way(client, server);
        far.write_all(b"there").unwrap();
        let mut there = [0; 5];
        near.read_exact(&mut there).unwrap();
        near.write_all(b"back").unwrap();
        far.set_read_timeout(Some(SECOND)).unwrap();
        assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
        sim::heal_all();
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 4);
    });
}

#[test]
fn whoever_is_never_answered_gives_up_like_linux() {
    run(1, || {
        let (client, mut near, server, _far) = connected();
        sim::partition(client, server);
        let start = time::now();
        let connecting = client.run(|| TcpStream::connect("server:7").unwrap_err().kind()).unwrap();
        assert_eq!((connecting, (time::now() - start).as_secs()), (ErrorKind::TimedOut, 127));
        near.write_all(b"into the void").unwrap();
        let start = time::now();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!((time::now() - start).as_secs(), 924);
        assert_eq!(near.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

/// The peer's power has failed: silence, until the host is back and answers old connections with a reset.
#[test]
fn a_crashed_host_leaves_its_peers_half_open() {
    run(1, || {
        let (server, dropped) = (sim::host("server"), Rc::new(Cell::new(false)));
        struct Flag(Rc<Cell<bool>>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let flag = Flag(dropped.clone());
        let serving = server.spawn(move || {
            let _flag = flag;
            let listener = TcpListener::bind("0.0.0.0:7").unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"hello").unwrap();
            sleep(1000 * SECOND);
            drop(stream); // by unwinding, too
        });
        yield_now();
        let mut near = TcpStream::connect("server:7").unwrap();
        near.read_exact(&mut [0; 5]).unwrap();
        server.crash();
        assert!(dropped.get() && !server.is_up(), "destructors have run");
        assert!(serving.join().is_err());
        assert!(server.run(|| ()).is_err(), "nothing begins on a host that is down");
        near.set_read_timeout(Some(100 * SECOND)).unwrap();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut, "no end, no reset: silence");
        near.write_all(b"are you there?").unwrap();
        server.restart();
        assert_eq!(near.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let _serving = echo_server(server);
        yield_now();
        let mut again = TcpStream::connect("server:7").unwrap();
        again.write_all(b"x").unwrap();
        again.read_exact(&mut [0]).unwrap();
    });
}

#[test]
fn a_crash_ends_what_the_host_runs_on_every_shard() {
    for seed in 0..50 {
        let runtime = Runtime::builder().shards(3).simulated(seed).build().unwrap();
        let ended = runtime.run(|| {
            let server = sim::host("server");
            let alive = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
            for shard in shards() {
                let alive = alive.clone();
                let _ = server.spawn_on(shard, move || {
                    loop {
                        sleep(MS);
                        alive.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        let other = shards().nth((random::u64() % 3) as usize).unwrap();
                        let alive = alive.clone();
                        let late = move || alive.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        let _ = spawn_on(other, late);
                    }
                });
            }
            sleep(20 * MS);
            server.crash();
            let seen = alive.load(std::sync::atomic::Ordering::SeqCst);
            assert!(seen >= 19 * 3);
            server.restart();
            sleep(SECOND);
            assert_eq!(alive.load(std::sync::atomic::Ordering::SeqCst), seen, "nothing of before runs any more");
        });
        ended.unwrap();
    }
}

#[test]
fn a_full_queue_makes_clients_knock_again() {
    run(1, || {
        sim::set_network_faults(NetworkFaults { backlog: 2, ..NetworkFaults::default() });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let start = time::now();
        let clients: Vec<_> = (0..3).map(|_| spawn(move || TcpStream::connect(addr).map(|_| time::now()))).collect();
        sleep(10 * MS);
        (0..2).for_each(|_| drop(listener.accept().unwrap()));
        let came: Vec<u64> =
            clients.into_iter().map(|client| (client.join().unwrap().unwrap() - start).as_secs()).collect();
        assert_eq!(came.iter().filter(|&&second| second == 0).count(), 2);
        assert_eq!(came.iter().max(), Some(&1), "the third one after a second");
    });
}

#[test]
fn at_the_descriptor_limit_a_server_pauses_and_goes_on() {
    run(3, || {
        let server = sim::host("server");
        sim::set_network_faults(NetworkFaults { descriptors_max: 5, ..NetworkFaults::default() });
        let handle = server
            .run(|| {
                let server = StreamServer::bind("0.0.0.0:7").unwrap();
                let handle = server.handle();
                let _ = spawn(|| {
                    server.serve(|mut stream, _| {
                        let _ = std::io::copy(&mut stream, &mut std::io::sink());
                    })
                });
                handle
            })
            .unwrap();
        let hosts: Vec<Host> = (0..6).map(|n| sim::host(&format!("client {n}"))).collect();
        let clients: Vec<_> =
            hosts.iter().map(|host| host.run(|| TcpStream::connect("server:7").unwrap()).unwrap()).collect();
        sleep(SECOND);
        assert_eq!((handle.stats().accepted, handle.stats().paused), (4, 1));
        let mut clients = clients.into_iter();
        drop(clients.next());
        sleep(SECOND);
        assert_eq!(handle.stats().accepted, 5);
        drop(clients);
        sleep(2 * SECOND);
        assert_eq!((handle.stats().accepted, handle.stats().active), (6, 0));
        let refused = hosts[0].run(|| {
            let held: Vec<_> = (0..5).map(|_| UdpSocket::bind("0.0.0.0:0").unwrap()).collect();
            (UdpSocket::bind("0.0.0.0:0").unwrap_err().to_string(), held.len())
        });
        let (text, held) = refused.unwrap();
        assert!(text.contains("Too many open files") && held == 5, "{text}, {held}");
    });
}

#[test]
fn datagrams_are_lost_doubled_and_overtaken() {
    let (lost, doubled, overtaken, sent) = (Cell::new(0), Cell::new(0), Cell::new(0), Cell::new(0));
    sim::check(0..50, |seed| {
        let got = run(seed, || {
            sim::set_network_faults(NetworkFaults {
                datagram_loss: 0.1,
                datagram_duplicate: 0.1,
                datagram_reorder: 0.1,
                ..NetworkFaults::default()
            });
            let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
            let addr = other.local_addr().unwrap();
            for n in 0..50u8 {
                one.send_to(&[n], addr).unwrap();
                sleep(MS);
            }
            sleep(SECOND);
            let mut got = Vec::new();
            let mut byte = [0];
            while other.try_recv_from(&mut byte).is_ok() {
                got.push(byte[0]);
            }
            got
        });
        let distinct: BTreeSet<u8> = got.iter().copied().collect();
        sent.set(sent.get() + 50); // a seed may run twice
        lost.set(lost.get() + 50 - distinct.len());
        doubled.set(doubled.get() + got.len() - distinct.len());
        overtaken.set(overtaken.get() + got.windows(2).filter(|pair| pair[0] > pair[1]).count());
    });
    for (what, count) in [("lost", lost.get()), ("doubled", doubled.get()), ("overtaken", overtaken.get())] {
        assert!((sent.get() / 50..sent.get() / 5).contains(&count), "{what}: {count} of {}", sent.get());
    }
}

#[test]
fn a_deadlock_says_which_sockets_are_waited_for() {
    let check = |seed| {
        let ended: Result<(), Deadlock> = Runtime::builder().simulated(seed).build().unwrap().run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let _far = listener.accept().unwrap();
            let _reader = leveret_runtime::Builder::new().name("reader").spawn(move || near.read(&mut [0]).map(drop));
            listener.accept().map(drop).unwrap();
        });
        let text = ended.unwrap_err().to_string();
        assert!(
            text.contains("'main' waits for descriptor") && text.contains("'reader' waits for descriptor"),
            "{text}"
        );
    };
    (0..5).for_each(check);
}

#[test]
fn clocks_of_hosts_differ() {
    run(1, || {
        let (ahead, behind) = (sim::host("ahead"), sim::host("behind"));
        ahead.set_clock_ahead(5 * SECOND);
        behind.set_clock_behind(3 * SECOND);
        let now = time::system_now();
        assert_eq!(ahead.run(time::system_now).unwrap(), now + 5 * SECOND);
        assert_eq!(behind.run(time::system_now).unwrap(), now - 3 * SECOND);
        assert_eq!(ahead.run(time::now).unwrap(), time::now(), "the monotonic clock is the world's");
    });
}

#[test]
fn a_busy_waiter_does_not_stop_time() {
    run(1, || {
        sim::set_network_faults(NetworkFaults { delay: (SECOND, SECOND), ..NetworkFaults::default() });
        let (_, mut near, _, far) = connected();
        near.write_all(b"x").unwrap();
        while far.try_read(&mut [0]).is_err() {
            yield_now();
        }
    });
}

#[test]
fn simulation_calls_elsewhere_say_what_to_do() {
    leveret_runtime::run(|| {
        for call in [
            || assert_eq!(sim::host("x"), sim::host("x")),
            || sim::heal_all(),
            || sim::set_network_faults(NetworkFaults::rough()),
        ] {
            let payload = std::panic::catch_unwind(call).unwrap_err();
            let text = payload.downcast::<String>().unwrap();
            assert!(text.contains("exists in a simulation only"), "{text}");
        }
    })
    .unwrap();
    let main = run(1, || std::panic::catch_unwind(|| sim::host("main").crash()).is_err());
    assert!(main, "the host of the test itself stays");
}

/// Ten clients on a hostile network with hosts that crash, for many seeds: nobody hangs, and nobody is told wrong bytes.
#[test]
fn a_service_survives_everything_at_once() {
    let checked = sim::check(0..60, |seed| {
        run(seed, || {
            let server = sim::host("server");
            let _first = echo_server(server);
            yield_now();
            sim::set_network_faults(NetworkFaults::hostile());
            let clients: Vec<_> = (0..10u8)
                .map(|n| {
                    sim::host(&format!("client {n}")).spawn(move || {
                        let mut done = 0;
                        while done < 5 {
                            let exchange = || -> std::io::Result<()> {
                                let mut stream = TcpStream::connect_timeout("server:7", 5 * SECOND)?;
                                stream.set_read_timeout(Some(5 * SECOND))?;
                                stream.write_all(&[n; 500])?;
                                let mut back = [0; 500];
                                stream.read_exact(&mut back)?;
                                assert_eq!(back, [n; 500]);
                                Ok(())
                            };
                            match exchange() {
                                Ok(()) => done += 1,
                                Err(_) => sleep(100 * MS),
                            }
                        }
                    })
                })
                .collect();
            let trouble = spawn(move || {
                for _ in 0..3 {
                    sleep(Duration::from_millis(random::u64() % 200));
                    let cut = sim::host(&format!("client {}", random::u64() % 10));
                    sim::partition(server, cut);
                    server.crash();
                    sleep(Duration::from_millis(random::u64() % 200));
                    server.restart();
                    drop(echo_server(server));
                    sim::heal_all();
                }
            });
            trouble.join().unwrap();
            let all = timeout(600 * SECOND, || clients.into_iter().all(|client| client.join().is_ok()));
            assert_eq!(all, Ok(true));
        });
    });
    assert!(checked.faults > 0);
}
