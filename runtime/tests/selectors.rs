//! Selectors: callbacks in a loop of the user's own, as in Python's documentation.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::selectors::{Events, Key, Selector};
use leveret_runtime::{Runtime, net, run, spawn, timeout, yield_now};

/// What is registered: a function that deals with the socket when it is ready.
struct Callback(Box<Dealing>);

type Dealing = dyn Fn(&Selector<Callback>);

fn accept(listener: Rc<TcpListener>) -> Callback {
    Callback(Box::new(move |selector| {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let stream = Rc::new(stream);
        selector.register(&stream, Events::READ, echo(stream.clone())).unwrap();
    }))
}

fn echo(stream: Rc<TcpStream>) -> Callback {
    Callback(Box::new(move |selector| {
        let mut bytes = [0; 1000];
        match (&*stream).read(&mut bytes).unwrap() {
            0 => drop(selector.unregister(&stream).unwrap()),
            count => (&*stream).write_all(&bytes[..count]).unwrap(),
        }
    }))
}

#[test]
fn a_server_of_callbacks() {
    run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let clients: Vec<_> = (0..20u8)
            .map(|n| {
                spawn(move || {
                    let mut stream = net::TcpStream::connect(addr).unwrap();
                    for _ in 0..10 {
                        stream.write_all(&[n; 100]).unwrap();
                        let mut back = [0; 100];
                        stream.read_exact(&mut back).unwrap();
                        assert_eq!(back, [n; 100]);
                        yield_now();
                    }
                })
            })
            .collect();

        let selector = Selector::new().unwrap();
        selector.register(&listener, Events::READ, accept(listener.clone())).unwrap();
        while !clients.iter().all(|client| client.is_finished()) || selector.len() > 1 {
            for (key, _) in selector.select(Some(Duration::from_secs(10))).unwrap() {
                (key.data.0)(&selector);
            }
        }
        for client in clients {
            client.join().unwrap();
        }
    })
    .unwrap();
}

#[test]
fn what_is_ready_is_told_until_it_is_dealt_with() {
    run(|| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let selector = Selector::new().unwrap();
        selector.register(&ours, Events::READ, 'r').unwrap();
        let check = |expected: &[(char, Events)]| {
            let ready = selector.select(Some(Duration::ZERO)).unwrap();
            let ready: Vec<_> = ready.iter().map(|(key, events)| (*key.data, *events)).collect();
            assert_eq!(ready, expected);
        };
        check(&[]);
        theirs.write_all(b"xy").unwrap();
        check(&[('r', Events::READ)]);
        (&ours).read_exact(&mut [0]).unwrap();
        check(&[('r', Events::READ)]);
        selector.modify(&ours, Events::READ | Events::WRITE, 'b').unwrap();
        check(&[('b', Events::READ | Events::WRITE)]);
        selector.modify_events(&ours, Events::WRITE).unwrap();
        check(&[('b', Events::WRITE)]);
        drop(theirs);
        check(&[('b', Events::WRITE)]);
        let key = selector.unregister(&ours).unwrap();
        assert_eq!((*key.data, key.events), ('b', Events::WRITE));
        check(&[]);
        assert!(selector.is_empty());
    })
    .unwrap();
}

#[test]
fn only_the_coroutine_that_selects_is_parked() {
    run(|| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let wrote = Rc::new(Cell::new(false));
        let writer = spawn({
            let wrote = wrote.clone();
            move || {
                for _ in 0..10 {
                    yield_now();
                }
                wrote.set(true);
                theirs.write_all(b"x").unwrap();
                theirs
            }
        });
        let selector = Selector::new().unwrap();
        selector.register(&ours, Events::READ, ()).unwrap();
        assert_eq!(selector.select(None).unwrap().len(), 1);
        assert!(wrote.get());
        (&ours).read_exact(&mut [0]).unwrap();
        let limit = Duration::from_millis(2);
        assert!(selector.select(Some(limit)).unwrap().is_empty());
        assert!(timeout(limit, || selector.select(None)).is_err());
        drop(writer.join().unwrap());
        assert_eq!(selector.select(None).unwrap().len(), 1, "the end is an event");
    })
    .unwrap();
}

#[test]
fn mistakes_are_errors() {
    run(|| {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let selector = Selector::new().unwrap();
        let kind = |result: std::io::Result<Key<u8>>| result.unwrap_err().kind();
        assert_eq!(kind(selector.modify(&ours, Events::READ, 1)), ErrorKind::NotFound);
        assert_eq!(kind(selector.unregister(&ours)), ErrorKind::NotFound);
        selector.register(&ours, Events::READ, 1).unwrap();
        assert_eq!(kind(selector.register(&ours, Events::WRITE, 2)), ErrorKind::AlreadyExists);
        assert_eq!(*selector.key(&ours).unwrap().data, 1);
        let file = std::fs::File::open("Cargo.toml").unwrap();
        assert_eq!(kind(selector.register(&file, Events::READ, 3)), ErrorKind::PermissionDenied);
    })
    .unwrap();
    let simulated = Runtime::builder().simulated(1).build().unwrap();
    simulated.run(|| assert_eq!(Selector::<()>::new().unwrap_err().kind(), ErrorKind::Unsupported)).unwrap();
}
