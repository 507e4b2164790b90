//! Wrong programs, each with one mistake that its author would not see on a quiet machine, and each caught by the simulator
//! within 10,000 seeds; beside each the right one, which it lets pass. What is not caught here is not caught anywhere.
//!
//! A program is a function of `wrong`; it panics, or waits for ever, when it has failed.

use std::cell::{Cell, RefCell};
use std::io::{BufWriter, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use leveret_runtime::net::{TcpListener, TcpStream, UdpSocket};
use leveret_runtime::sim::{self, NetworkFaults};
use leveret_runtime::sync::{Condvar, Event, Mutex, Semaphore, channel};
use leveret_runtime::{Runtime, fs, join_all, post, random, shards, sleep, spawn, spawn_on, time, timeout, yield_now};

const SEEDS_MAX: u64 = 10_000;
const SEEDS_RIGHT: u64 = 200;
const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn passes(seed: u64, wrong: bool, program: fn(bool)) -> bool {
    let run = || {
        let ended = Runtime::builder().shards(3).simulated(seed).build().unwrap().run(move || program(wrong));
        ended.unwrap_or_else(|deadlock| panic!("{deadlock}"));
    };
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

fn check(program: fn(bool)) {
    let caught = (0..SEEDS_MAX).find(|&seed| !passes(seed, true, program));
    assert!(caught.is_some(), "no seed below {SEEDS_MAX} shows the mistake");
    println!("caught by seed {}", caught.unwrap());
    for seed in 0..SEEDS_RIGHT {
        assert!(passes(seed, false, program), "the right version fails with seed {seed}");
    }
}

macro_rules! wrong_programs {
    ($($name:ident)*) => { mod found { $(
        #[test]
        fn $name() {
            super::check(super::$name);
        }
    )* } };
}

wrong_programs! {
    a_wake_up_between_look_and_wait_is_lost
    a_condition_is_looked_at_once
    a_timer_rounds_down
    a_buffer_is_not_flushed
    one_read_is_taken_for_one_message
    the_count_of_a_write_is_ignored
    a_dead_peer_is_waited_for_without_limit
    a_request_is_sent_again_and_done_twice
    a_service_that_is_not_up_yet_is_given_up
    an_accept_loop_ends_with_the_first_error
    datagrams_are_taken_to_come_in_order
    datagrams_are_taken_to_come_once
    datagrams_are_taken_to_come
    a_balance_is_written_back_after_a_wait
    two_locks_are_taken_in_two_orders
    a_permit_is_lost_on_the_way_of_an_error
    an_index_is_kept_across_a_wait
    a_kill_strikes_a_half_done_change
    mail_is_taken_to_have_arrived
    two_senders_are_taken_to_be_in_order
    coroutines_are_taken_to_run_in_the_order_of_spawning
    an_answer_leaves_before_the_sync
    a_rename_is_not_made_durable
    a_file_is_replaced_in_place
    a_duration_is_measured_by_the_wall_clock
}

fn rough() {
    sim::set_network_faults(NetworkFaults { buffer: 200, ..NetworkFaults::rough() });
}

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

// ---- waiting

fn a_wake_up_between_look_and_wait_is_lost(wrong: bool) {
    let (event, ready) = (Rc::new(Event::new()), Rc::new(Cell::new(false)));
    let waiter = spawn({
        let (event, ready) = (event.clone(), ready.clone());
        move || {
            if !ready.get() {
                yield_now(); // logs something, say
                if wrong {
                    event.clear(); // "nobody has woken me yet"
                }
                event.wait();
            }
        }
    });
    let waker = spawn(move || {
        ready.set(true);
        event.set();
    });
    waker.join().unwrap();
    waiter.join().unwrap();
}

fn a_condition_is_looked_at_once(wrong: bool) {
    let (items, more) = (Rc::new(Mutex::new(Vec::new())), Rc::new(Condvar::new()));
    let takers = (0..2).map(|_| {
        let (items, more) = (items.clone(), more.clone());
        spawn(move || {
            let mut items = items.lock();
            if wrong {
                if items.is_empty() {
                    items = more.wait(items);
                }
            } else {
                while items.is_empty() {
                    items = more.wait(items);
                }
            }
            items.pop().expect("an item")
        })
    });
    let takers: Vec<_> = takers.collect();
    yield_now();
    for n in 0..2 {
        items.lock().push(n);
        more.notify_all();
        yield_now();
    }
    assert!(takers.into_iter().all(|taker| taker.join().is_ok()));
}

fn a_timer_rounds_down(wrong: bool) {
    let wanted = Duration::from_micros(1 + random::u64() % 5000);
    let start = time::now();
    sleep(if wrong { Duration::from_millis(wanted.as_millis() as u64) } else { wanted });
    assert!(time::now() - start >= wanted);
}

// ---- streams

fn a_buffer_is_not_flushed(wrong: bool) {
    let (near, mut far) = tcp_pair();
    let asking = spawn(move || {
        let mut writer = BufWriter::new(&near);
        writer.write_all(b"question").unwrap();
        if !wrong {
            writer.flush().unwrap();
        }
        (&near).read_exact(&mut [0; 6]).unwrap();
    });
    let mut question = [0; 8];
    far.read_exact(&mut question).unwrap();
    far.write_all(b"answer").unwrap();
    asking.join().unwrap();
}

fn one_read_is_taken_for_one_message(wrong: bool) {
    rough();
    let (mut near, mut far) = tcp_pair();
    let sender = spawn(move || near.write_all(b"a message of 23 bytes..").unwrap());
    let mut message = [0; 23];
    match wrong {
        true => drop(far.read(&mut message).unwrap()),
        false => far.read_exact(&mut message).unwrap(),
    }
    assert_eq!(&message, b"a message of 23 bytes..");
    sender.join().unwrap();
}

fn the_count_of_a_write_is_ignored(wrong: bool) {
    rough();
    let (mut near, mut far) = tcp_pair();
    let sender = spawn(move || match wrong {
        true => drop(near.write(&[7; 100]).unwrap()),
        false => near.write_all(&[7; 100]).unwrap(),
    });
    let mut got = Vec::new();
    far.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), 100);
    sender.join().unwrap();
}

fn a_dead_peer_is_waited_for_without_limit(wrong: bool) {
    let server = sim::host("server");
    let _serving = server.spawn(|| {
        let (_stream, _) = TcpListener::bind("0.0.0.0:7").unwrap().accept().unwrap();
        sleep(1000 * SECOND);
    });
    yield_now();
    let mut stream = TcpStream::connect("server:7").unwrap();
    server.crash();
    if !wrong {
        stream.set_read_timeout(Some(10 * SECOND)).unwrap();
    }
    assert!(stream.read(&mut [0]).is_err());
}

/// The connection is reset after the request was carried out.
fn a_request_is_sent_again_and_done_twice(wrong: bool) {
    let (server, done) = (sim::host("server"), Rc::new(RefCell::new(Vec::new())));
    let theirs = done.clone();
    let _serving = server.spawn(move || {
        let listener = TcpListener::bind("0.0.0.0:7").unwrap();
        while let Ok((mut stream, _)) = listener.accept() {
            let mut id = [0];
            if stream.read_exact(&mut id).is_ok() {
                let is_new = !theirs.borrow().contains(&id[0]);
                if wrong || is_new {
                    theirs.borrow_mut().push(id[0]);
                }
                let _ = stream.write_all(b"k");
            }
        }
    });
    yield_now();
    sim::set_network_faults(NetworkFaults { reset: 0.2, ..NetworkFaults::default() });
    let order = |id: u8| -> std::io::Result<()> {
        let mut stream = TcpStream::connect("server:7")?;
        stream.write_all(&[id])?;
        stream.read_exact(&mut [0])
    };
    for id in 0..5 {
        while order(id).is_err() {}
    }
    assert_eq!(done.borrow().len(), 5);
}

fn a_service_that_is_not_up_yet_is_given_up(wrong: bool) {
    let server = sim::host("server");
    let _serving = server.spawn(|| {
        let listener = TcpListener::bind("0.0.0.0:7").unwrap();
        listener.incoming().for_each(drop);
    });
    let client = sim::host("client").spawn(move || {
        while let Err(error) = TcpStream::connect("server:7") {
            assert!(!wrong, "{error}");
            sleep(MS);
        }
    });
    client.join().unwrap();
}

fn an_accept_loop_ends_with_the_first_error(wrong: bool) {
    let server = sim::host("server");
    sim::set_network_faults(NetworkFaults { descriptors_max: 3, ..NetworkFaults::default() });
    let _serving = server.spawn(move || {
        let listener = TcpListener::bind("0.0.0.0:7").unwrap();
        loop {
            match listener.accept() {
                Ok((mut stream, _)) => drop(spawn(move || {
                    sleep(Duration::from_millis(random::u64() % 20));
                    let _ = stream.write_all(b"k");
                })),
                Err(_) if wrong => return,
                Err(_) => sleep(MS),
            }
        }
    });
    yield_now();
    let clients = (0..4).map(|n| {
        sim::host(&format!("client {n}")).spawn(|| {
            let mut stream = TcpStream::connect("server:7").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        })
    });
    assert!(join_all(clients).into_iter().all(|client| client.is_ok()));
}

// ---- datagrams

/// Sends 0 to 4 over a network with these faults, each until it is acknowledged if `again`, and gives what has come.
fn datagrams(faults: NetworkFaults, again: bool) -> Vec<u8> {
    sim::set_network_faults(faults);
    let (one, other) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let addr = other.local_addr().unwrap();
    let receiver = spawn(move || {
        let (mut got, mut byte) = (Vec::new(), [0]);
        while let Ok(Ok((_, from))) = timeout(SECOND, || other.recv_from(&mut byte)) {
            got.push(byte[0]);
            let _ = other.send_to(&byte, from);
        }
        got
    });
    for n in 0..5 {
        one.send_to(&[n], addr).unwrap();
        let mut ack = [0];
        while again && !(matches!(timeout(10 * MS, || one.recv_from(&mut ack)), Ok(Ok(_))) && ack == [n]) {
            one.send_to(&[n], addr).unwrap();
        }
    }
    receiver.join().unwrap()
}

fn datagrams_are_taken_to_come_in_order(wrong: bool) {
    let mut got = datagrams(NetworkFaults { datagram_reorder: 0.1, ..NetworkFaults::default() }, false);
    if !wrong {
        got.sort_unstable(); // by their sequence numbers
    }
    assert_eq!(got, [0, 1, 2, 3, 4]);
}

fn datagrams_are_taken_to_come_once(wrong: bool) {
    let mut got = datagrams(NetworkFaults { datagram_duplicate: 0.1, ..NetworkFaults::default() }, false);
    if !wrong {
        got.dedup();
    }
    assert_eq!(got, [0, 1, 2, 3, 4]);
}

fn datagrams_are_taken_to_come(wrong: bool) {
    let mut got = datagrams(NetworkFaults { datagram_loss: 0.1, ..NetworkFaults::default() }, !wrong);
    got.dedup();
    assert_eq!(got, [0, 1, 2, 3, 4]);
}

// ---- shared state

fn a_balance_is_written_back_after_a_wait(wrong: bool) {
    let balance = Rc::new(Cell::new(0));
    let payments = (0..2).map(|_| {
        let balance = balance.clone();
        spawn(move || {
            if random::u64().is_multiple_of(2) {
                yield_now();
            }
            let seen = balance.get();
            if wrong {
                yield_now();
            }
            balance.set(seen + 1);
        })
    });
    join_all(payments.collect::<Vec<_>>());
    assert_eq!(balance.get(), 2);
}

fn two_locks_are_taken_in_two_orders(wrong: bool) {
    let locks = Rc::new([Mutex::new(()), Mutex::new(())]);
    let transfers = [[0, 1], if wrong { [1, 0] } else { [0, 1] }].map(|[first, second]| {
        let locks = locks.clone();
        spawn(move || {
            for _ in 0..2 {
                let _first = locks[first].lock();
                if random::u64().is_multiple_of(4) {
                    yield_now();
                }
                let _second = locks[second].lock();
            }
        })
    });
    transfers.into_iter().for_each(|transfer| transfer.join().unwrap());
}

fn a_permit_is_lost_on_the_way_of_an_error(wrong: bool) {
    let semaphore = Rc::new(Semaphore::new(2));
    let work = || -> Result<(), ()> {
        let permit = semaphore.acquire();
        if random::u64().is_multiple_of(10) {
            if wrong {
                permit.forget(); // "it is given back at the end"
            }
            return Err(());
        }
        yield_now();
        Ok(())
    };
    for _ in 0..10 {
        let _ = work();
    }
    assert_eq!(semaphore.available_permits(), 2);
}

fn an_index_is_kept_across_a_wait(wrong: bool) {
    let names = Rc::new(RefCell::new(vec!["a", "b", "c"]));
    let remover = spawn({
        let names = names.clone();
        move || names.borrow_mut().retain(|name| *name != "a")
    });
    let reader = spawn({
        let names = names.clone();
        move || {
            let index = names.borrow().iter().position(|name| *name == "b").unwrap();
            yield_now();
            let index = if wrong { Some(index) } else { names.borrow().iter().position(|name| *name == "b") };
            assert_eq!(names.borrow()[index.unwrap()], "b");
        }
    });
    remover.join().unwrap();
    reader.join().unwrap();
}

fn a_kill_strikes_a_half_done_change(wrong: bool) {
    let accounts = Rc::new(Cell::new((10, 0)));
    let transfer = spawn({
        let accounts = accounts.clone();
        move || {
            for _ in 0..5 {
                let (from, to) = accounts.get();
                accounts.set((from - 1, to));
                if wrong {
                    sleep(MS); // asks somebody
                }
                accounts.set((from - 1, to + 1));
                sleep(MS);
            }
        }
    });
    let killer = spawn(move || {
        sleep(Duration::from_micros(500 + random::u64() % 10_000));
        transfer.kill();
        let _ = transfer.join();
    });
    killer.join().unwrap();
    let (from, to) = accounts.get();
    assert_eq!(from + to, 10);
}

// ---- shards and order

fn mail_is_taken_to_have_arrived(wrong: bool) {
    let value = Arc::new(AtomicU32::new(0));
    let (other, theirs) = (shards().nth(1).unwrap(), value.clone());
    let sent = spawn_on(other, move || theirs.store(1, Ordering::SeqCst));
    match wrong {
        true => (0..3).for_each(|_| yield_now()), // "long enough"
        false => sent.join().unwrap(),
    }
    assert_eq!(value.load(Ordering::SeqCst), 1);
}

/// Shard 1 writes, then tells shard 2, which asks shard 0: the write may come later than the question.
fn two_senders_are_taken_to_be_in_order(wrong: bool) {
    thread_local! {
        static WRITTEN: Cell<bool> = const { Cell::new(false) };
    }
    WRITTEN.set(false);
    let all: Vec<_> = shards().collect();
    let (home, second, third) = (all[0], all[1], all[2]);
    let asked = spawn_on(second, move || {
        match wrong {
            true => post(home, || WRITTEN.set(true)),
            false => spawn_on(home, || WRITTEN.set(true)).join().unwrap(),
        }
        let question = move || spawn_on(home, || WRITTEN.get()).join().unwrap();
        spawn_on(third, question).join().unwrap()
    });
    assert!(asked.join().unwrap());
}

fn coroutines_are_taken_to_run_in_the_order_of_spawning(wrong: bool) {
    let (sender, receiver) = channel::unbounded();
    for n in 0..2 {
        let sender = sender.clone();
        let spawned = spawn(move || sender.send(n).unwrap());
        if !wrong {
            spawned.join().unwrap();
        }
    }
    assert_eq!((receiver.recv().unwrap(), receiver.recv().unwrap()), (0, 1));
}

// ---- disks

/// A store of one value on a host of its own: answers when it has it. Then the power fails, and the value is read again.
fn after_a_crash(store: impl FnOnce() + 'static) -> Option<Vec<u8>> {
    let server = sim::host("server");
    server.run(store).unwrap();
    server.crash();
    server.restart();
    server.run(|| fs::read("/value").ok()).unwrap()
}

fn an_answer_leaves_before_the_sync(wrong: bool) {
    let value = after_a_crash(move || {
        let file = fs::File::create("/value").unwrap();
        fs::sync_dir("/").unwrap();
        file.write_all_at(b"new", 0).unwrap();
        if !wrong {
            file.sync_data().unwrap();
        }
    });
    assert_eq!(value.as_deref(), Some(&b"new"[..]));
}

fn a_rename_is_not_made_durable(wrong: bool) {
    let value = after_a_crash(move || {
        let file = fs::File::create("/value.new").unwrap();
        file.write_all_at(b"new", 0).unwrap();
        file.sync_all().unwrap();
        fs::rename("/value.new", "/value").unwrap();
        if !wrong {
            fs::sync_dir("/").unwrap();
        }
    });
    assert_eq!(value.as_deref(), Some(&b"new"[..]));
}

fn a_file_is_replaced_in_place(wrong: bool) {
    const SIZE: usize = 4096;
    let value = after_a_crash(move || {
        let write = |path: &str, byte: u8| {
            let file = fs::File::create(path).unwrap();
            file.write_all_at(&[byte; SIZE], 0).unwrap();
            file
        };
        write("/value", 1).sync_all().unwrap();
        fs::sync_dir("/").unwrap();
        match wrong {
            true => drop(write("/value", 2)), // the old one is gone, the new one not there yet
            false => {
                write("/value.new", 2).sync_all().unwrap();
                fs::rename("/value.new", "/value").unwrap();
            }
        }
    });
    let value = value.unwrap_or_default();
    assert!(value == [1; SIZE] || value == [2; SIZE], "neither the old nor the new");
}

// ---- clocks

fn a_duration_is_measured_by_the_wall_clock(wrong: bool) {
    let server = sim::host("server");
    let measured = server.spawn(move || {
        let (wall, start) = (time::system_now(), time::now());
        sleep(SECOND);
        match wrong {
            true => time::system_now().duration_since(wall).unwrap_or_default(),
            false => time::now() - start,
        }
    });
    yield_now();
    if random::u64().is_multiple_of(4) {
        server.set_clock_behind(2 * SECOND); // somebody has set it right
    }
    assert_eq!(measured.join().unwrap(), SECOND);
}
