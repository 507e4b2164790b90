//! A seed decides everything, and decides differently from other seeds: the same trace again for the same seed, and every
//! order that the runtime allows for some seed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use leveret_runtime::sim::{self, NetworkFaults};
use leveret_runtime::sync::{Mutex, channel};
use leveret_runtime::{Runtime, fs, join_all, mailbox, random, shards, sleep, spawn, spawn_on, timeout, yield_now};

const MS: Duration = Duration::from_millis(1);

/// Something of everything, on three shards and two hosts.
fn everything() -> u64 {
    sim::set_network_faults(NetworkFaults::hostile());
    let server = sim::host("server");
    let _serving = server.spawn(|| {
        let listener = TcpListener::bind("0.0.0.0:7").unwrap();
        while let Ok((stream, _)) = listener.accept_detached() {
            let target = shards().nth((random::u64() % 3) as usize).unwrap();
            let _ = spawn_on(target, move || {
                let stream = stream.attach().unwrap();
                let _ = std::io::copy(&mut &stream, &mut &stream);
            });
        }
    });
    yield_now();
    let clients = (0..5u8).map(|n| {
        spawn(move || {
            let mut stream = TcpStream::connect("server:7").ok()?;
            stream.set_read_timeout(Some(500 * MS)).ok()?;
            stream.write_all(&[n; 2000]).ok()?;
            stream.read_exact(&mut [0; 2000]).ok()?;
            fs::write(format!("/{n}"), vec![n; 100]).ok()
        })
    });
    let clients: Vec<_> = clients.collect();
    let udp = spawn(|| {
        let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        (0..20u8).for_each(|n| drop(one.send_to(&[n], other.local_addr().unwrap())));
        let mut count = 0;
        while timeout(10 * MS, || other.recv_from(&mut [0])).is_ok() {
            count += 1;
        }
        count
    });
    sleep(Duration::from_millis(random::u64() % 50));
    server.crash();
    let ended = join_all(clients).into_iter().filter(|client| matches!(client, Ok(Some(())))).count() as u64;
    let (mut one, mut other) = UnixStream::pair().unwrap();
    one.write_all(b"abc").unwrap();
    other.read_exact(&mut [0; 3]).unwrap();
    ended * 100 + udp.join().unwrap()
}

/// One runtime and its trace.
fn traced<T: 'static>(seed: u64, shards: usize, body: impl FnOnce() -> T + 'static) -> (T, u64) {
    let value = Runtime::builder().shards(shards).simulated(seed).build().unwrap().run(body);
    (value.unwrap_or_else(|deadlock| panic!("{deadlock}")), sim::trace_hash())
}

#[test]
fn a_seed_gives_the_same_trace_again_and_no_other_seed_does() {
    let mut hashes = BTreeSet::new();
    for seed in 0..100 {
        let (first, second) = (traced(seed, 3, everything), traced(seed, 3, everything));
        assert_eq!(first, second, "seed {seed}");
        hashes.insert(first.1);
    }
    assert_eq!(hashes.len(), 100);
}

/// What `body` gives for 500 seeds.
fn outcomes<T: Ord + 'static>(shards: usize, body: fn() -> T) -> BTreeSet<T> {
    (0..500).map(|seed| traced(seed, shards, body).0).collect()
}

#[test]
fn coroutines_that_are_ready_run_in_every_order() {
    let orders = outcomes(1, || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let all: Vec<_> = (0..4)
            .map(|n| {
                let order = order.clone();
                spawn(move || order.borrow_mut().push(n))
            })
            .collect();
        join_all(all);
        order.take()
    });
    assert_eq!(orders.len(), 4 * 3 * 2);
}

#[test]
fn whoever_yields_runs_after_all_that_were_ready() {
    let seen = outcomes(1, || {
        let done = Rc::new(RefCell::new(0));
        for _ in 0..10 {
            let done = done.clone();
            let _ = spawn(move || *done.borrow_mut() += 1);
        }
        yield_now();
        done.take()
    });
    assert_eq!(seen, [10].into());
}

#[test]
fn those_that_wake_at_one_moment_run_in_every_order_and_locks_stay_fair() {
    let orders = outcomes(1, || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let all: Vec<_> = (0..3)
            .map(|n| {
                let order = order.clone();
                spawn(move || {
                    sleep(MS);
                    order.borrow_mut().push(n);
                })
            })
            .collect();
        join_all(all);
        order.take()
    });
    assert_eq!(orders.len(), 6);
    let fair = outcomes(1, || {
        let (mutex, order) = (Rc::new(Mutex::new(())), Rc::new(RefCell::new(Vec::new())));
        let guard = mutex.lock();
        let mut all = Vec::new();
        for n in 0..4 {
            let (mutex, order) = (mutex.clone(), order.clone());
            all.push(spawn(move || {
                let _guard = mutex.lock();
                order.borrow_mut().push(n);
            }));
            yield_now(); // it stands in line
        }
        drop(guard);
        join_all(all);
        order.take()
    });
    assert_eq!(fair, [vec![0, 1, 2, 3]].into());
}

#[test]
fn mail_of_one_sender_stays_in_order_and_that_of_several_mixes() {
    let orders = outcomes(3, || {
        let (sender, receiver) = channel::unbounded();
        let (mailbox, arrivals) = mailbox::channel::channel();
        let collector = spawn(move || {
            let mut batch = Vec::new();
            while arrivals.receive_batch(&mut batch).unwrap() {
                batch.drain(..).for_each(|item| sender.send(item).unwrap());
            }
        });
        let first = shards().next().unwrap();
        let senders: Vec<_> = shards()
            .skip(1)
            .map(|shard| {
                let mailbox = mailbox.clone();
                spawn_on(shard, move || {
                    for n in 0..3 {
                        let mailbox = mailbox.clone();
                        leveret_runtime::post(first, move || mailbox.send((shard.index(), n)).unwrap());
                    }
                })
            })
            .collect();
        drop(mailbox);
        senders.into_iter().for_each(|sender| sender.join().unwrap());
        collector.join().unwrap();
        receiver.iter().collect::<Vec<_>>()
    });
    for order in &orders {
        for shard in [1, 2] {
            let numbers: Vec<i32> = order.iter().filter(|(from, _)| *from == shard).map(|(_, n)| *n).collect();
            assert_eq!(numbers, [0, 1, 2], "{order:?}");
        }
    }
    assert!(orders.len() >= 15, "of 20 ways to mix two times three letters, {}", orders.len());
}

#[test]
fn the_wall_clock_and_addresses_are_the_same_in_every_run() {
    let world = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let now = leveret_runtime::time::system_now();
        (listener.local_addr().unwrap(), now, random::u64(), format!("{listener:?}"))
    };
    assert_eq!(traced(9, 1, world), traced(9, 1, world));
}

/// What the seed does not decide shows in the trace.
#[test]
fn a_hash_map_of_std_is_noticed() {
    let leak = |seed| {
        Runtime::builder().simulated(seed).build().unwrap().run(|| {
            let map: std::collections::HashMap<u64, u64> = (0..64).map(|n| (n, n)).collect();
            let order: Vec<u64> = map.into_keys().collect();
            join_all(order.into_iter().map(|n| spawn(move || sleep(MS * n as u32))));
        })
    };
    let noticed = (0..3).any(|seed| {
        leak(seed).unwrap();
        let first = sim::trace_hash();
        leak(seed).unwrap();
        first != sim::trace_hash()
    });
    assert!(noticed, "64 keys have never the same order twice");
}
