//! A connection that is not read from learns that its peer is gone.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use leveret_runtime::net::{TcpListener, TcpStream, UnixStream};
use leveret_runtime::sync::Event;
use leveret_runtime::{Runtime, run, select, spawn, timeout, yield_now};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(5);

/// The same body on the real machine and on a simulated one.
fn run_on_both(body: fn()) {
    run(body).unwrap();
    for seed in 0..10 {
        Runtime::builder().simulated(seed).build().unwrap().run(body).unwrap();
    }
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn a_close_is_noticed_while_unread_bytes_wait() {
    run_on_both(|| {
        let (mut client, mut server) = pair();
        client.write_all(b"last words").unwrap();
        assert!(!server.peer_closed());
        let closes = spawn(move || drop(client));
        timeout(LONG, || server.wait_peer_closed()).unwrap().unwrap();
        assert!(server.peer_closed());
        closes.join().unwrap();
        let mut words = String::new();
        server.read_to_string(&mut words).unwrap();
        assert_eq!(words, "last words");
    });
}

#[test]
fn a_half_close_counts_and_writing_goes_on() {
    run_on_both(|| {
        let (client, mut server) = pair();
        client.shutdown(Shutdown::Write).unwrap();
        timeout(LONG, || server.wait_peer_closed()).unwrap().unwrap();
        server.write_all(b"still there?").unwrap();
        let mut question = [0; 12];
        (&client).read_exact(&mut question).unwrap();
        assert_eq!(&question, b"still there?");
        assert!(!client.peer_closed());
    });
}

#[test]
fn a_reset_counts() {
    run(|| {
        let (mut client, server) = pair();
        (&server).write_all(b"never read").unwrap();
        client.peek(&mut [0; 1]).unwrap(); // it has arrived: closing now resets
        client.write_all(b"x").unwrap();
        drop(client);
        timeout(LONG, || server.wait_peer_closed()).unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn a_peer_that_closed_before_the_socket_was_taken_over_is_noticed() {
    run(|| {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(theirs);
        let ours = UnixStream::from_std(ours).unwrap();
        timeout(LONG, || ours.wait_peer_closed()).unwrap().unwrap();
    })
    .unwrap();
}

#[test]
fn it_goes_beside_a_reader_but_not_beside_another_such_wait() {
    run_on_both(|| {
        let (mut client, server) = pair();
        let server = std::rc::Rc::new(server);
        let theirs = server.clone();
        let reader = spawn(move || (&*theirs).read(&mut [0; 1]).unwrap());
        let theirs = server.clone();
        let watcher = spawn(move || theirs.wait_peer_closed());
        yield_now();
        assert_eq!(server.wait_peer_closed().unwrap_err().kind(), ErrorKind::ResourceBusy);
        client.write_all(b"x").unwrap();
        assert_eq!(reader.join().unwrap(), 1);
        assert!(!watcher.is_finished());
        drop(client);
        watcher.join().unwrap().unwrap();
    });
}

#[test]
fn a_kill_and_a_timeout_leave_it_usable() {
    run_on_both(|| {
        let (client, server) = pair();
        assert!(timeout(SHORT, || server.wait_peer_closed()).is_err());
        let server = std::rc::Rc::new(server);
        let theirs = server.clone();
        let victim = spawn(move || theirs.wait_peer_closed());
        yield_now();
        victim.kill();
        assert!(victim.join().is_err());
        drop(client);
        server.wait_peer_closed().unwrap();
    });
}

#[test]
fn a_select_waits_for_it_among_others() {
    run(|| {
        let (client, server) = pair();
        let never = Event::new();
        let closed = || {
            select! {
                event(never) => "the event",
                peer_closed(server) => "the peer",
                after(SHORT) => "time",
            }
        };
        assert_eq!(closed(), "time");
        let closes = spawn(move || drop(client));
        let gone = select! {
            event(never) => false,
            peer_closed(server) => true,
        };
        assert!(gone);
        assert_eq!(closed(), "the peer");
        closes.join().unwrap();
    })
    .unwrap();
}
