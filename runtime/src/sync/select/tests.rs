//! Selects: every kind of branch, and that nothing is lost by choosing.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::rc::Rc;

use super::*;
use crate::net::{Readiness, TcpListener, TcpStream, UnixStream};
use crate::sync::channel::{RecvError, SendError, TryRecvError, TrySendError, bounded, unbounded};
use crate::sync::testing::{Log, SECOND, simulated};
use crate::{JoinError, join_all, run, select, sleep, spawn, yield_now};

#[test]
fn the_branch_that_comes_first_is_chosen() {
    // The seconds at which a value, room, an end, an event and a timeout come; the expected branch.
    let check = |seconds: [u32; 5], expected: usize| {
        simulated(move || {
            let (value_tx, value_rx) = bounded(1);
            let (room_tx, room_rx) = bounded(1);
            room_tx.send(0).unwrap();
            let event = Rc::new(Event::new());
            let setter = event.clone();
            let _others = [
                spawn(move || {
                    sleep(SECOND * seconds[0]);
                    value_tx.send(1).unwrap();
                    sleep(SECOND * 100);
                }),
                spawn(move || {
                    sleep(SECOND * seconds[1]);
                    room_rx.recv().unwrap();
                    sleep(SECOND * 100);
                }),
                spawn(move || {
                    sleep(SECOND * seconds[3]);
                    setter.set();
                }),
            ];
            let ending = spawn(move || sleep(SECOND * seconds[2]));
            let mut select = Select::new();
            select.recv(&value_rx);
            select.send(&room_tx);
            select.join(&ending);
            select.event(&event);
            select.timeout(SECOND * seconds[4]);
            assert_eq!(select.wait(), expected, "{seconds:?}");
        });
    };
    check([1, 2, 3, 4, 5], 0);
    check([2, 1, 3, 4, 5], 1);
    check([2, 3, 1, 4, 5], 2);
    check([2, 3, 4, 1, 5], 3);
    check([2, 3, 4, 5, 1], 4);
}

#[test]
fn without_waiting_it_tells_what_is_ready_now() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        let mut select = Select::new();
        select.recv(&rx);
        assert_eq!(select.try_wait(), None);
        let start = time::now();
        assert_eq!(select.wait_timeout(SECOND), None);
        assert_eq!(time::now() - start, SECOND);
        tx.send(1).unwrap();
        assert_eq!(select.try_wait(), Some(0));
        assert_eq!(select.wait_timeout(SECOND), Some(0));
    });
}

#[test]
fn the_end_of_the_other_side_is_ready() {
    simulated(|| {
        let ((tx, rx), (other_tx, other_rx)) = (unbounded::<u8>(), bounded::<u8>(1));
        other_tx.send(1).unwrap();
        let waits = spawn(move || {
            let received = select! { recv(rx) -> value => value };
            let sent = select! { send(other_tx, 2) -> sent => sent };
            (received, sent)
        });
        yield_now();
        drop(tx);
        yield_now();
        drop(other_rx);
        assert_eq!(waits.join().unwrap(), (Err(RecvError::Disconnected), Err(SendError::Disconnected(2))));
    });
}

#[test]
fn every_ready_branch_gets_its_turn() {
    simulated(|| {
        let channels: Vec<_> = (0..4).map(|_| bounded::<()>(1)).collect();
        channels.iter().for_each(|(tx, _)| tx.send(()).unwrap());
        let mut counts = [0; 4];
        for _ in 0..400 {
            let mut select = Select::new();
            channels.iter().for_each(|(_, rx)| {
                select.recv(rx);
            });
            counts[select.wait()] += 1;
        }
        assert!(counts.iter().all(|&count| count > 50), "{counts:?}");
    });
}

#[test]
fn a_value_that_a_woken_select_leaves_goes_to_the_next_in_line() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        let selecting = spawn({
            let rx = rx.clone();
            move || {
                let mut select = Select::new();
                select.recv(&rx);
                select.wait() // and leaves it
            }
        });
        yield_now();
        let next = spawn({
            let rx = rx.clone();
            move || rx.recv()
        });
        yield_now();
        tx.send(5).unwrap();
        assert_eq!(rx.try_recv(), Err(TryRecvError::Empty), "kept for the select");
        assert_eq!((selecting.join().unwrap(), next.join().unwrap()), (0, Ok(5)));
    });
}

#[test]
fn room_that_a_woken_select_leaves_goes_to_the_next_in_line() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        tx.send(1).unwrap();
        let selecting = spawn({
            let tx = tx.clone();
            move || {
                let mut select = Select::new();
                select.send(&tx);
                select.wait()
            }
        });
        yield_now();
        let next = spawn({
            let tx = tx.clone();
            move || tx.send(2)
        });
        yield_now();
        assert_eq!(rx.recv(), Ok(1));
        assert_eq!(tx.try_send(9), Err(TrySendError::Full(9)), "kept for the select");
        assert_eq!((selecting.join().unwrap(), next.join().unwrap(), rx.recv()), (0, Ok(()), Ok(2)));
    });
}

#[test]
fn a_wake_up_is_for_one_branch_and_the_other_channel_keeps_its_own() {
    simulated(|| {
        let ((one_tx, one_rx), (two_tx, two_rx)) = (bounded(1), bounded(1));
        let (one, two) = (one_rx.clone(), two_rx.clone());
        let selecting = spawn(move || {
            select! {
                recv(one) -> value => (1, value),
                recv(two) -> value => (2, value),
            }
        });
        yield_now();
        let next = spawn(move || two_rx.recv());
        yield_now();
        one_tx.send(10).unwrap();
        two_tx.send(20).unwrap(); // the select is taken already: this is the next one's
        assert_eq!((selecting.join().unwrap(), next.join().unwrap()), ((1, Ok(10)), Ok(20)));
        assert_eq!(one_rx.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_select_that_is_killed_or_late_leaves_every_line() {
    simulated(|| {
        let (tx, rx) = bounded::<u8>(0);
        let selecting = spawn({
            let (tx, rx) = (tx.clone(), rx.clone());
            move || {
                let mut select = Select::new();
                select.recv(&rx);
                select.send(&tx);
                select.wait()
            }
        });
        yield_now();
        selecting.kill();
        assert!(matches!(selecting.join(), Err(JoinError::Killed)));
        assert_eq!(crate::timeout(SECOND, || select! { recv(rx) -> value => value }), Err(crate::Elapsed));
        assert_eq!(tx.try_send(1), Err(TrySendError::Full(1)), "nobody waits any more");
    });
}

#[test]
fn a_granted_select_comes_before_a_kill() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        let selecting = spawn(move || select! { recv(rx) -> value => value });
        yield_now();
        tx.send(3).unwrap();
        selecting.kill();
        assert_eq!(selecting.join().unwrap(), Ok(3));
    });
}

#[test]
fn selects_meet_at_a_rendezvous() {
    simulated(|| {
        for sender_first in [true, false] {
            let (tx, rx) = bounded(0);
            let send = move || spawn(move || select! { send(tx, 7) -> sent => sent });
            let receive = move || spawn(move || select! { recv(rx) -> value => value });
            let (sending, receiving);
            if sender_first {
                sending = send();
                yield_now();
                receiving = receive();
            } else {
                receiving = receive();
                yield_now();
                sending = send();
            }
            assert_eq!((sending.join().unwrap(), receiving.join().unwrap()), (Ok(()), Ok(7)));
        }
    });
}

#[test]
fn a_select_does_not_meet_itself() {
    simulated(|| {
        let (tx, rx) = bounded::<u8>(0);
        let chosen = select! {
            send(tx, 1) -> _sent => "sent",
            recv(rx) -> _value => "received",
            after(SECOND) => "late",
        };
        assert_eq!(chosen, "late");
    });
}

#[test]
fn many_selects_over_many_channels_deliver_everything_once() {
    simulated(|| {
        const VALUES: u32 = 300;
        let channels: Rc<Vec<_>> = Rc::new((0..3).map(bounded).collect());
        let log = Log::new();
        let receivers: Vec<_> = (0..3)
            .map(|_| (channels.clone(), log.clone()))
            .map(|(channels, log)| {
                spawn(move || {
                    loop {
                        let value = select! {
                            recv(channels[0].1) -> value => value,
                            recv(channels[1].1) -> value => value,
                            recv(channels[2].1) -> value => value,
                        };
                        log.add(value.unwrap());
                    }
                })
            })
            .collect();
        let senders = (0..3).map(|id| (channels.clone(), id)).map(|(channels, id)| {
            spawn(move || {
                for value in (id..VALUES).step_by(3) {
                    select! {
                        send(channels[0].0, value) -> sent => sent.unwrap(),
                        send(channels[1].0, value) -> sent => sent.unwrap(),
                        send(channels[2].0, value) -> sent => sent.unwrap(),
                    }
                }
            })
        });
        join_all(senders);
        sleep(SECOND);
        receivers.iter().for_each(|receiver| receiver.kill());
        let mut values = log.take();
        values.sort_unstable();
        assert_eq!(values, (0..VALUES).collect::<Vec<_>>());
    });
}

#[test]
fn the_macro_takes_every_form_of_arm() {
    simulated(|| {
        let (tx, rx) = bounded(1);
        let event = Event::new();
        let handle = spawn(|| 5);
        let first = select! {
            recv(rx) -> value => value.unwrap(),
            default => { tx.send(1).unwrap(); 0 }
        };
        let second = select! {
            event(event) => 9,
            recv(rx) -> value => value.unwrap_or(0),
            after(SECOND) => { 8 }
        };
        let third = select! {
            join(handle) -> ended => { ended.unwrap() }
            after(SECOND * 2) => 7,
        };
        let _one = loop {
            select! {
                recv(rx) -> value => break value.unwrap(),
                default => tx.send(1).unwrap(),
            }
        };
        assert_eq!((first, second, third), (0, 1, 5));
    });
}

#[test]
#[should_panic(expected = "a select without branches")]
fn a_select_without_branches_is_refused() {
    simulated(|| Select::new().wait());
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect_addr(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn sockets_are_ready_when_the_kernel_says_so() {
    run(|| {
        let (client, mut server) = pair();
        let (_tx, rx) = unbounded::<()>();
        let quiet = select! {
            readable(client) => false, // fresh, and never tried: that is not ready
            recv(rx) -> _value => false,
            after(SECOND / 200) => true,
        };
        assert!(quiet);
        let writer = spawn(move || {
            server.write_all(b"x").unwrap();
            server
        });
        select! {
            readable(client) => assert_eq!((&client).read(&mut [0; 8]).unwrap(), 1),
            recv(rx) -> _value => unreachable!("nobody sends"),
        }
        let server = writer.join().unwrap();
        select! {
            writable(server) => {}
            readable(server) => unreachable!("nothing was sent"),
        }
        drop(client);
        select! { readable(server) => assert_eq!((&server).read(&mut [0; 8]).unwrap(), 0) }
    })
    .unwrap();
}

#[test]
fn listeners_and_foreign_descriptors_can_be_waited_for() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let ours = Readiness::new(ours).unwrap();
        let addr = listener.local_addr().unwrap();
        let other = spawn(move || {
            let client = TcpStream::connect_addr(addr).unwrap();
            sleep(SECOND / 500);
            (&theirs).write_all(b"y").unwrap();
            drop(client);
        });
        let log = RefCell::new(Vec::new());
        for _ in 0..2 {
            select! {
                readable(listener) => log.borrow_mut().push(listener.accept().is_ok()),
                readable(ours) => log.borrow_mut().push(ours.inner().read(&mut [0; 1]).is_err()),
            }
        }
        assert_eq!(log.take(), [true, false]);
        other.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_socket_with_another_reader_is_ready_and_the_read_tells() {
    run(|| {
        let (one, _two) = UnixStream::pair().unwrap();
        let one = Rc::new(one);
        let reader = spawn({
            let one = one.clone();
            move || (&*one).read(&mut [0; 1]).is_ok()
        });
        yield_now();
        let error = select! { readable(*one) => (&*one).read(&mut [0; 1]).unwrap_err() };
        assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
        reader.kill();
        assert!(reader.join().is_err());
    })
    .unwrap();
}

#[test]
fn the_macro_waits_for_results_and_moments() {
    simulated(|| {
        let (start, result) = (time::now(), Rc::new(OnceResult::new()));
        let setter = result.clone();
        let _ = spawn(move || {
            sleep(SECOND * 2);
            setter.set("come").unwrap();
        });
        let wait = |second: u32| {
            select! {
                result(result) -> value => *value,
                at(start + SECOND * second) => "late",
            }
        };
        assert_eq!([wait(1), wait(3), wait(4)], ["late", "come", "come"]);
        assert_eq!(time::now() - start, SECOND * 2);
    });
}
