//! Channels, alone and under a storm of senders, receivers, kills and timeouts.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::sync::Select;
use crate::sync::testing::{Log, SECOND, simulated};
use crate::{JoinError, JoinHandle, join_all, random, sleep, spawn, timeout, yield_now};

/// A coroutine that sends `values` one after the other and logs each when it was accepted.
fn sender(sender: &Sender<u32>, log: &Log<u32>, values: &[u32]) -> JoinHandle<()> {
    let (sender, log, values) = (sender.clone(), log.clone(), values.to_vec());
    let handle = spawn(move || {
        for value in values {
            sender.send(value).unwrap();
            log.add(value);
        }
    });
    yield_now();
    handle
}

/// A coroutine that receives once and logs its own number and the value.
fn receiver(receiver: &Receiver<u32>, log: &Log<(u32, u32)>, id: u32) -> JoinHandle<()> {
    let (receiver, log) = (receiver.clone(), log.clone());
    let handle = spawn(move || log.add((id, receiver.recv().unwrap())));
    yield_now();
    handle
}

#[test]
fn values_arrive_in_order_and_senders_wait_at_the_capacity() {
    let check = |capacity: Option<usize>, accepted: &'static [u32]| {
        simulated(move || {
            let (tx, rx) = capacity.map_or_else(unbounded, bounded);
            let log = Log::new();
            let sending = sender(&tx, &log, &[1, 2, 3, 4]);
            assert_eq!(log.take(), accepted, "{capacity:?}");
            assert_eq!(
                (rx.len(), rx.capacity(), tx.is_full()),
                (accepted.len(), capacity, capacity.is_some_and(|n| n <= 4))
            );
            assert_eq!((0..4).map(|_| rx.recv().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4], "{capacity:?}");
            sending.join().unwrap();
            assert!(rx.is_empty());
        });
    };
    check(Some(0), &[]);
    check(Some(1), &[1]);
    check(Some(3), &[1, 2, 3]);
    check(Some(4), &[1, 2, 3, 4]);
    check(None, &[1, 2, 3, 4]);
}

#[test]
fn trying_tells_full_empty_and_disconnected() {
    let (tx, rx) = bounded(1); // outside of any runtime
    assert_eq!(rx.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(tx.try_send(1), Ok(()));
    assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)));
    assert_eq!((tx.len(), rx.is_full(), tx.is_disconnected()), (1, true, false));
    drop(tx);
    assert_eq!(rx.try_recv(), Ok(1));
    assert_eq!(rx.try_recv(), Err(TryRecvError::Disconnected));
    let (tx, rx) = bounded(0);
    assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)), "nobody waits at the rendezvous");
    drop(rx);
    assert!(tx.is_disconnected());
    assert_eq!(tx.try_send(1), Err(TrySendError::Disconnected(1)));
}

#[test]
fn a_rendezvous_gives_only_to_who_waits() {
    simulated(|| {
        let (tx, rx) = bounded(0);
        let log = Log::new();
        let waiting = receiver(&rx, &log, 7);
        assert_eq!(tx.try_send(1), Ok(()));
        assert_eq!(tx.try_send(2), Err(TrySendError::Full(2)), "the value is the receiver's already");
        waiting.join().unwrap();
        assert_eq!(log.take(), [(7, 1)]);
        let accepted = Log::new();
        let sending = sender(&tx, &accepted, &[3]);
        assert_eq!(accepted.take(), []);
        assert_eq!(rx.try_recv(), Ok(3));
        sending.join().unwrap();
    });
}

#[test]
fn receivers_are_served_in_the_order_of_waiting_and_not_overtaken() {
    simulated(|| {
        let (tx, rx) = unbounded();
        let log = Log::new();
        let waiting: Vec<_> = (0..3).map(|id| receiver(&rx, &log, id)).collect();
        tx.send(10).unwrap();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "promised to the first who waits");
        (11..=13).for_each(|value| tx.send(value).unwrap());
        assert_eq!(rx.try_recv(), Ok(13), "the first that is nobody's");
        join_all(waiting);
        assert_eq!(log.take(), [(0, 10), (1, 11), (2, 12)]);
    });
}

#[test]
fn senders_are_served_in_the_order_of_waiting_and_not_overtaken() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        let log = Log::new();
        let sending: Vec<_> = (0..3).map(|value| sender(&tx, &log, &[value])).collect();
        assert_eq!(rx.recv(), Ok(0));
        assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "the room is the next sender's");
        assert_eq!(rx.iter().take(2).collect::<Vec<_>>(), [1, 2]);
        join_all(sending);
        assert_eq!(log.take(), [0, 1, 2]);
    });
}

#[test]
fn the_end_of_all_senders_comes_after_the_last_value() {
    simulated(|| {
        let (tx, rx) = bounded(2);
        let other = tx.clone();
        let producer = spawn(move || {
            (0..10).for_each(|value| tx.send(value).unwrap());
            sleep(SECOND);
            drop(other);
        });
        assert_eq!(rx.iter().sum::<i32>(), 45);
        assert_eq!(
            (rx.recv(), rx.recv_timeout(SECOND)),
            (Err(RecvError::Disconnected), Err(RecvTimeoutError::Disconnected))
        );
        assert_eq!((rx.try_iter().count(), rx.into_iter().count()), (0, 0));
        producer.join().unwrap();
    });
}

#[test]
fn the_end_of_all_receivers_gives_waiting_senders_their_values_back() {
    struct Counted(Rc<Cell<u32>>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    simulated(|| {
        let dropped = Rc::new(Cell::new(0));
        let (tx, rx) = bounded(1);
        tx.send(Counted(dropped.clone())).unwrap();
        let value = Counted(dropped.clone());
        let sending = spawn(move || tx.send(value).is_err_and(|error| matches!(error, SendError::Disconnected(_))));
        yield_now();
        drop(rx);
        assert_eq!(dropped.get(), 1, "what was in the buffer is gone at once");
        assert!(sending.join().unwrap());
        assert_eq!(dropped.get(), 2);
    });
}

#[test]
fn waiting_ends_at_the_limit_and_leaves_no_trace() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        let start = time::now();
        assert_eq!(rx.recv_timeout(SECOND), Err(RecvTimeoutError::Timeout));
        assert!(timeout(SECOND, || rx.recv()).is_err());
        tx.send(1).unwrap();
        assert_eq!(tx.send_timeout(2, SECOND), Err(SendTimeoutError::Timeout(2)));
        assert!(timeout(SECOND, || tx.send(3)).is_err());
        assert_eq!(time::now() - start, SECOND * 4);
        rx.core.check_invariants();
        assert_eq!(rx.try_iter().collect::<Vec<_>>(), [1]);
        assert_eq!((tx.send_timeout(4, SECOND), rx.recv_timeout(SECOND)), (Ok(()), Ok(4)));
    });
}

#[test]
fn a_killed_waiter_loses_nothing_and_a_granted_one_succeeds() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        let log = Log::new();
        let victim = receiver(&rx, &log, 0);
        let next = receiver(&rx, &log, 1);
        victim.kill();
        tx.send(5).unwrap();
        next.kill(); // too late: the value is its own
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        next.join().unwrap();
        assert_eq!(log.take(), [(1, 5)]);

        let accepted = Log::new();
        let sending: Vec<_> = (0..4).map(|value| sender(&tx, &accepted, &[value])).collect();
        sending[1].kill();
        yield_now();
        assert_eq!(rx.recv(), Ok(0));
        sending[2].kill(); // too late as well: accepted
        sending[3].kill();
        yield_now();
        assert_eq!(rx.recv_timeout(SECOND), Ok(2));
        assert_eq!(rx.recv_timeout(SECOND), Err(RecvTimeoutError::Timeout));
        assert_eq!(accepted.take(), [0, 2]);
    });
}

#[test]
fn a_call_that_would_wait_while_unwinding_says_so() {
    struct InDrop(Sender<u8>, Receiver<u8>, Log<String>);
    impl Drop for InDrop {
        fn drop(&mut self) {
            self.2.add(format!("{:?} {:?}", self.1.recv(), self.1.recv_timeout(SECOND)));
            self.0.send(1).unwrap();
            self.2.add(format!("{:?} {:?}", self.0.send(2), self.0.send_timeout(3, SECOND)));
            self.2.add(format!("{:?}", self.1.recv()));
        }
    }
    simulated(|| {
        let (log, (tx, rx)) = (Log::new(), bounded(1));
        let in_drop = InDrop(tx, rx, log.clone());
        let panics = spawn(move || {
            let _in_drop = in_drop;
            panic!("on purpose");
        });
        assert!(panics.join().is_err());
        assert_eq!(log.take(), ["Err(Unwinding) Err(Unwinding)", "Err(Unwinding(..)) Err(Unwinding(..))", "Ok(1)"]);
    });
}

#[test]
fn errors_give_the_value_back_and_say_what_happened() {
    assert_eq!(SendError::Disconnected(1).into_inner() + TrySendError::Full(2).into_inner(), 3);
    assert_eq!(SendTimeoutError::Timeout(4).into_inner(), 4);
    let texts = [
        (SendError::Disconnected(()).to_string(), "sending into a channel without receivers"),
        (TrySendError::Full(()).to_string(), "sending into a full channel"),
        (RecvError::Disconnected.to_string(), "receiving from an empty channel without senders"),
        (TryRecvError::Empty.to_string(), "receiving from an empty channel"),
    ];
    texts.iter().for_each(|(text, expected)| assert_eq!(text, expected));
}

/// What the storm knows of each sender: what was accepted from it, and what arrived.
type Books = Log<(u32, u32)>;

/// Sends numbers 0, 1, ... under its own id, each by another call; books what was accepted.
fn stormy_sender(tx: Sender<(u32, u32)>, id: u32, accepted: Books) {
    for number in 0..20 {
        let value = (id, number);
        let sent = match random::u64() % 4 {
            0 => tx.send(value).is_ok(),
            1 => tx.try_send(value).is_ok(),
            2 => tx.send_timeout(value, SECOND / 10).is_ok(),
            _ => select_send(&tx, value),
        };
        if sent {
            accepted.add(value);
        }
        pause();
    }
}

fn select_send(tx: &Sender<(u32, u32)>, value: (u32, u32)) -> bool {
    let mut select = Select::new();
    let (room, _late) = (select.send(tx), select.timeout(SECOND / 10));
    // Now and then it makes no use of what it was woken for.
    select.wait() == room && !random::u64().is_multiple_of(4) && tx.try_send(value).is_ok()
}

fn stormy_receiver(rx: Receiver<(u32, u32)>, arrived: Books) {
    loop {
        let value = match random::u64() % 4 {
            0 => rx.recv().ok(),
            1 => rx.try_recv().ok(),
            2 => rx.recv_timeout(SECOND / 10).ok(),
            _ => select_receive(&rx),
        };
        value.into_iter().for_each(|value| arrived.add(value));
        pause();
    }
}

fn select_receive(rx: &Receiver<(u32, u32)>) -> Option<(u32, u32)> {
    let mut select = Select::new();
    let (value, _late) = (select.recv(rx), select.timeout(SECOND / 10));
    if select.wait() == value && !random::u64().is_multiple_of(4) { rx.try_recv().ok() } else { None }
}

fn pause() {
    match random::u64() % 3 {
        0 => yield_now(),
        1 => sleep(SECOND / 100),
        _ => {}
    }
}

/// Four senders against so many stormy receivers (killed in the end) and one that takes the rest.
fn storm(capacity: Option<usize>, receivers: u32) -> (Books, Books) {
    let (tx, rx) = capacity.map_or_else(unbounded, bounded);
    let (accepted, arrived) = (Books::new(), Books::new());
    let senders: Vec<_> = (0..4)
        .map(|id| (tx.clone(), accepted.clone(), id))
        .map(|(tx, accepted, id)| spawn(move || stormy_sender(tx, id, accepted)))
        .collect();
    let receivers: Vec<_> = (0..receivers)
        .map(|_| (rx.clone(), arrived.clone()))
        .map(|(rx, arrived)| spawn(move || stormy_receiver(rx, arrived)))
        .collect();
    let last = spawn({
        let (rx, arrived) = (rx.clone(), arrived.clone());
        move || {
            sleep(SECOND / 4);
            rx.iter().for_each(|value| arrived.add(value));
        }
    });
    for _ in 0..20 {
        sleep(SECOND / 50);
        rx.core.check_invariants();
    }
    senders.iter().chain(&receivers).step_by(4).for_each(JoinHandle::kill);
    drop(tx);
    join_all(senders);
    last.join().unwrap(); // nobody waits for ever
    receivers.iter().for_each(JoinHandle::kill);
    join_all(receivers);
    (accepted, arrived)
}

#[test]
fn in_a_storm_nothing_accepted_is_lost_doubled_or_reordered() {
    let check = |seed: u64, capacity: Option<usize>, receivers: u32| {
        let runtime = crate::Runtime::builder().simulated(seed).build().unwrap();
        let (accepted, arrived) = runtime.run(move || storm(capacity, receivers)).unwrap();
        let (accepted, mut arrived) = (books(accepted), books(arrived));
        if receivers > 0 {
            // Receivers of the same moment note what they have in any order.
            arrived.values_mut().for_each(|numbers| numbers.sort_unstable());
        }
        assert_eq!(accepted, arrived, "seed {seed}, capacity {capacity:?}, {receivers} receivers");
    };
    for seed in 0..30 {
        for capacity in [Some(0), Some(1), Some(2), Some(5), None] {
            [0, 1, 4].into_iter().for_each(|receivers| check(seed, capacity, receivers));
        }
    }
}

/// The numbers of each sender, in order.
fn books(log: Books) -> BTreeMap<u32, Vec<u32>> {
    let mut books = BTreeMap::<u32, Vec<u32>>::new();
    log.take().into_iter().for_each(|(id, number)| books.entry(id).or_default().push(number));
    books
}
