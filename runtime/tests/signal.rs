//! Signals sent to ourselves. Each test has signals of its own: they are the whole process's.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::signal::{Signal, Signals};
use leveret_runtime::{Runtime, call, run, shards, sim, spawn, timeout, yield_now};

#[test]
fn a_parked_receiver_gets_what_was_raised() {
    run(|| {
        let signals = Rc::new(Signals::new([Signal::Hangup, Signal::Quit]).unwrap());
        for signal in [Signal::Quit, Signal::Hangup, Signal::Quit] {
            let receiver = spawn({
                let signals = signals.clone();
                move || signals.recv().unwrap()
            });
            yield_now();
            assert!(leveret_runtime::dump().contains("waits for a signal"));
            signal.raise().unwrap();
            assert_eq!(receiver.join().unwrap(), signal);
        }
    })
    .unwrap();
}

#[test]
fn raised_before_it_is_received_it_counts_once_and_in_the_order_of_listening() {
    run(|| {
        let signals = Signals::new([Signal::WindowChange, Signal::Child]).unwrap();
        for _ in 0..3 {
            Signal::Child.raise().unwrap();
            Signal::WindowChange.raise().unwrap();
        }
        assert_eq!(signals.recv().unwrap(), Signal::WindowChange);
        assert_eq!(signals.recv().unwrap(), Signal::Child);
        assert_eq!(signals.try_recv(), None);
        let late = signals.recv_timeout(Duration::from_millis(2)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(timeout(Duration::from_millis(2), || signals.recv()).is_err());
        Signal::Child.raise().unwrap();
        assert_eq!(signals.recv().unwrap(), Signal::Child);
    })
    .unwrap();
}

#[test]
fn every_receiver_on_every_shard_gets_it_until_it_is_gone() {
    Runtime::builder()
        .shards(2)
        .build()
        .unwrap()
        .run(|| {
            let mine = Signals::new([Signal::User2]).unwrap();
            let gone = Signals::new([Signal::User2]).unwrap();
            drop(gone);
            let (sender, listening) = std::sync::mpsc::channel();
            let theirs = leveret_runtime::spawn_on(shards().nth(1).unwrap(), move || {
                let theirs = Signals::new([Signal::User2]).unwrap();
                sender.send(()).unwrap();
                theirs.recv().unwrap()
            });
            call(shards().nth(1).unwrap(), || ()).unwrap();
            listening.recv().unwrap();
            Signal::User2.raise().unwrap();
            assert_eq!(mine.recv().unwrap(), Signal::User2);
            assert_eq!(theirs.join().unwrap(), Signal::User2);
        })
        .unwrap();
}

#[test]
fn a_simulated_host_hears_its_own_signals_only() {
    for seed in 0..20 {
        let ended = Runtime::builder().simulated(seed).build().unwrap().run(|| {
            let (one, other) = (sim::host("one"), sim::host("other"));
            let listen = || {
                let signals = Signals::new([Signal::Terminate, Signal::Hangup]).unwrap();
                spawn(move || {
                    (
                        signals.recv().unwrap(),
                        signals.recv_timeout(Duration::from_millis(2)).map_err(|error| error.kind()),
                    )
                })
            };
            let (theirs, others) = (one.run(listen).unwrap(), other.run(listen).unwrap());
            one.run(|| Signal::Hangup.raise().unwrap()).unwrap();
            assert_eq!(theirs.join().unwrap(), (Signal::Hangup, Err(ErrorKind::TimedOut)));
            assert!(!others.is_finished());
            other.run(|| [Signal::User1, Signal::Hangup, Signal::Terminate].map(|it| it.raise().unwrap())).unwrap();
            assert_eq!(others.join().unwrap(), (Signal::Terminate, Ok(Signal::Hangup)));
        });
        ended.unwrap();
    }
}
