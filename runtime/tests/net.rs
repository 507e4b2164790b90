//! Sockets of every kind against the real kernel.

use std::cell::Cell;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::net::{
    Readiness, TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream, wait_readable, wait_writable,
};
use leveret_runtime::{Runtime, on_turn_end, run, spawn, timeout, yield_now};

const SHORT: Duration = Duration::from_millis(2);

fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

/// What every byte stream does, whatever its family.
macro_rules! stream_tests {
    ($family:ident, $pair:expr) => {
        mod $family {
            use super::*;

            #[test]
            fn bytes_go_through_in_order_and_end() {
                run(|| {
                    let (mut one, mut other) = $pair;
                    let sent: Vec<u8> = (0..1_000_000u32).map(|n| (n >> 3) as u8).collect();
                    let expected = sent.clone();
                    let writer = spawn(move || {
                        one.write_all(&sent).unwrap();
                        one.shutdown(Shutdown::Write).unwrap();
                        let mut rest = Vec::new();
                        one.read_to_end(&mut rest).unwrap();
                        rest
                    });
                    let mut got = Vec::new();
                    other.read_to_end(&mut got).unwrap();
                    assert!(got == expected);
                    other.write_all(b"half-closed is not closed").unwrap();
                    drop(other);
                    assert_eq!(writer.join().unwrap(), b"half-closed is not closed");
                })
                .unwrap();
            }

            #[test]
            fn lent_buffers_and_slices() {
                run(|| {
                    let (mut one, other) = $pair;
                    let slices = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
                    assert_eq!(one.write_vectored(&slices).unwrap(), 5);
                    assert_eq!(other.read_with(<[u8]>::to_vec).unwrap(), b"abcde");
                    assert_eq!(one.try_write_vectored(&slices).unwrap(), 5);
                    assert_eq!(other.read_with(<[u8]>::len).unwrap(), 5);
                    drop(one);
                    assert_eq!(other.read_with(<[u8]>::len).unwrap(), 0);
                    assert_eq!(other.read_with(<[u8]>::len).unwrap(), 0, "the end stays the end");
                })
                .unwrap();
            }

            #[test]
            fn trying_never_waits() {
                run(|| {
                    let (one, other) = $pair;
                    fn would_block(result: std::io::Result<usize>) -> bool {
                        matches!(result, Err(error) if error.kind() == ErrorKind::WouldBlock)
                    }
                    assert!(would_block(other.try_read(&mut [0; 8])));
                    assert_eq!(one.try_write(b"xyz").unwrap(), 3);
                    other.wait_readable().unwrap();
                    assert_eq!(other.try_read(&mut [0; 2]).unwrap(), 2);
                    assert_eq!(other.try_read(&mut [0; 2]).unwrap(), 1);
                    while !would_block(one.try_write(&[0; 65_536])) {}
                    other.read_with(|_| ()).unwrap();
                })
                .unwrap();
            }

            #[test]
            fn timeouts_strike_and_the_stream_goes_on() {
                run(|| {
                    let (mut one, mut other) = $pair;
                    one.set_read_timeout(Some(SHORT)).unwrap();
                    assert_eq!(one.read_timeout(), Some(SHORT));
                    assert_eq!(one.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
                    assert_eq!(one.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
                    one.set_write_timeout(Some(SHORT)).unwrap();
                    let stuck = one.write_all(&vec![7; 32 << 20]).unwrap_err();
                    assert_eq!(stuck.kind(), ErrorKind::TimedOut);
                    other.read_exact(&mut [0; 1000]).unwrap();
                    other.write_all(b"y").unwrap();
                    one.set_read_timeout(None).unwrap();
                    one.read_exact(&mut [0]).unwrap();
                    assert!(timeout(SHORT, || one.read(&mut [0])).is_err());
                    other.write_all(b"z").unwrap();
                    one.read_exact(&mut [0]).unwrap();
                })
                .unwrap();
            }

            #[test]
            fn a_peer_that_goes_away_is_an_error_and_no_signal() {
                run(|| {
                    let (mut one, other) = $pair;
                    drop(other);
                    let error = loop {
                        if let Err(error) = one.write(&[0; 4096]) {
                            break error;
                        }
                    };
                    assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
                })
                .unwrap();
            }
        }
    };
}

stream_tests!(tcp, tcp_pair());
stream_tests!(unix, UnixStream::pair().unwrap());

/// A publisher that always had more to say had 256 budgets in one turn; what its messages led to was written after them all.
#[test]
fn whoever_has_used_up_a_budget_ends_the_turn() {
    let runtime = Runtime::builder().budget(1, usize::MAX).build().unwrap();
    runtime
        .run(|| {
            let (ours, _theirs) = UnixStream::pair().unwrap();
            let turns = Rc::new(Cell::new(0));
            let count = turns.clone();
            on_turn_end(move || count.set(count.get() + 1));
            let before = turns.get();
            (0..40).for_each(|_| (&ours).write_all(b"x").unwrap());
            assert!((18..=22).contains(&(turns.get() - before)), "{} turns", turns.get() - before);
        })
        .unwrap();
}

#[test]
fn what_was_kept_comes_before_what_is_read() {
    run(|| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"cde").unwrap();
        assert_eq!(ours.read_behind(b"ab", <[u8]>::to_vec).unwrap(), b"abcde");
        let half = [7; 32 * 1024];
        theirs.write_all(&[8; 40_000]).unwrap();
        let all = ours.read_behind(&half, <[u8]>::to_vec).unwrap();
        assert_eq!((all.len(), all[32 * 1024 - 1], all[32 * 1024]), (64 * 1024, 7, 8));
        assert_eq!(ours.read_behind(b"", <[u8]>::len).unwrap(), 40_000 - 32 * 1024);
        drop(theirs);
        assert_eq!(ours.read_behind(b"ab", <[u8]>::to_vec).unwrap(), b"ab");
    })
    .unwrap();
}

#[test]
fn connecting_by_name_and_the_errors_that_name_it() {
    run(|| {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("localhost", port)).unwrap();
        listener.accept().unwrap();
        drop(listener);
        let refused = TcpStream::connect(format!("localhost:{port}")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().contains(&format!("localhost:{port}")), "{refused}");
        let unheard = TcpStream::connect("no-such-host.invalid:5672").unwrap_err();
        assert!(unheard.to_string().contains("no-such-host.invalid:5672"), "{unheard}");
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = taken.local_addr().unwrap();
        let in_use = TcpListener::bind(addr).unwrap_err();
        assert_eq!(in_use.kind(), ErrorKind::AddrInUse);
        assert!(in_use.to_string().contains(&addr.to_string()), "{in_use}");
    })
    .unwrap();
}

#[test]
fn a_connect_that_nobody_answers_is_cut_short() {
    run(|| {
        // A listener whose queue is full drops further handshakes; TEST-NET would need a route.
        let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        raw.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        raw.listen(0).unwrap();
        let addr = raw.local_addr().unwrap().as_socket().unwrap();
        let mut held = Vec::new();
        let error = loop {
            match TcpStream::connect_timeout(addr, Duration::from_millis(20)) {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 16, "the queue is of length zero");
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(&addr.to_string()), "{error}");
    })
    .unwrap();
}

#[test]
fn unix_listeners_accept_and_name_their_path() {
    run(|| {
        let path = std::env::temp_dir().join(format!("leveret-net-{}.sock", std::process::id()));
        let missing = UnixStream::connect(&path).unwrap_err();
        assert!(missing.to_string().contains("leveret-net-"), "{missing}");
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(UnixListener::bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        let client = spawn({
            let path = path.clone();
            move || {
                let mut stream = UnixStream::connect(&path).unwrap();
                stream.write_all(b"hello").unwrap();
            }
        });
        let (mut server, _) = listener.accept().unwrap();
        let mut all = String::new();
        server.read_to_string(&mut all).unwrap();
        assert_eq!(all, "hello");
        client.join().unwrap();
        std::fs::remove_file(path).unwrap();
    })
    .unwrap();
}

#[test]
fn a_full_unix_listener_is_waited_for() {
    run(|| {
        let path = std::env::temp_dir().join(format!("leveret-full-{}.sock", std::process::id()));
        let raw = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        raw.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        raw.listen(0).unwrap();
        let listener = UnixListener::from_std(std::os::fd::OwnedFd::from(raw).into()).unwrap();
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let path = path.clone();
                spawn(move || UnixStream::connect(&path).map(drop).map_err(|error| error.kind()))
            })
            .collect();
        yield_now();
        for _ in 0..4 {
            listener.accept().unwrap();
        }
        assert!(leveret_runtime::join_all(clients).into_iter().all(|client| client.unwrap().is_ok()));
        std::fs::remove_file(path).unwrap();
    })
    .unwrap();
}

#[test]
fn datagrams() {
    run(|| {
        let one = UdpSocket::bind("127.0.0.1:0").unwrap();
        let other = UdpSocket::bind(("localhost", 0)).unwrap();
        let (one_addr, other_addr) = (one.local_addr().unwrap(), other.local_addr().unwrap());
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
        assert_eq!(one.recv(&mut buffer).unwrap(), 9);
        assert_eq!(&buffer[..9], b"connected");
        echo.join().unwrap();
        one.send(b"to nobody").unwrap();
        assert_eq!(one.recv(&mut buffer).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        one.set_broadcast(true).unwrap();
        assert!(one.broadcast().unwrap() && one_addr.ip().is_loopback());
    })
    .unwrap();
}

#[test]
fn foreign_descriptors_are_waited_for() {
    run(|| {
        let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        wait_writable(&ours).unwrap();
        let order = Rc::new(Cell::new(0));
        let waiter = spawn({
            let (order, ours) = (order.clone(), ours.try_clone().unwrap());
            move || {
                wait_readable(&ours).unwrap();
                assert_eq!(order.get(), 1, "not before it was written to");
            }
        });
        yield_now();
        order.set(1);
        theirs.write_all(b"x").unwrap();
        waiter.join().unwrap();
        wait_readable(&ours).unwrap(); // the byte is still there: no second edge is needed
        ours.read_exact(&mut [0]).unwrap();

        ours.set_nonblocking(true).unwrap();
        let readiness = Readiness::new(ours).unwrap();
        let late = readiness.wait_readable_timeout(SHORT).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        let reader = spawn(move || {
            let count = readiness.retry_read(|mut ours| ours.read(&mut [0; 8])).unwrap();
            readiness.retry_write(|mut ours| ours.write(b"back")).unwrap();
            drop(readiness.into_inner());
            count
        });
        yield_now();
        theirs.write_all(b"yz").unwrap();
        assert_eq!(reader.join().unwrap(), 2);
        let mut back = String::new();
        theirs.read_to_string(&mut back).unwrap();
        assert_eq!(back, "back");
    })
    .unwrap();
}

/// Two readers of one socket are a mistake, and one of them is told so. Once the one that was woken late took the other
/// one's place in the list along, and that one was never woken.
#[test]
fn a_reader_that_comes_late_leaves_the_other_one_its_place() {
    run(|| {
        let (mut one, other) = UnixStream::pair().unwrap();
        let other = Rc::new(other);
        let late = spawn({
            let other = other.clone();
            move || (&*other).read(&mut [0]).map_err(|error| error.kind())
        });
        yield_now();
        let quick = spawn(move || {
            while other.try_read(&mut [0; 8]).is_err() {
                yield_now();
            }
            timeout(Duration::from_secs(10), || (&*other).read(&mut [0]).unwrap())
        });
        yield_now();
        one.write_all(b"x").unwrap();
        assert_eq!(late.join().unwrap(), Err(ErrorKind::ResourceBusy));
        one.write_all(b"y").unwrap();
        assert_eq!(quick.join().unwrap(), Ok(1));
    })
    .unwrap();
}

#[test]
fn what_cannot_be_waited_for_says_so() {
    run(|| {
        let file = std::fs::File::open("Cargo.toml").unwrap();
        wait_readable(&file).unwrap();
        assert_eq!(Readiness::new(&file).unwrap_err().kind(), ErrorKind::PermissionDenied);
        let (one, _other) = tcp_pair();
        assert_eq!(Readiness::new(&one).unwrap_err().kind(), ErrorKind::AlreadyExists);
    })
    .unwrap();
    Runtime::builder()
        .simulated(1)
        .build()
        .unwrap()
        .run(|| {
            let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
            assert_eq!(Readiness::new(&one).unwrap_err().kind(), ErrorKind::Unsupported);
            assert_eq!(wait_readable(&one).unwrap_err().kind(), ErrorKind::Unsupported);
            assert_eq!(UnixStream::from_std(one).unwrap_err().kind(), ErrorKind::Unsupported);
            let (simulated, _other) = tcp_pair();
            assert_eq!(Readiness::new(&simulated).unwrap_err().kind(), ErrorKind::Unsupported);
            let descriptor = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| simulated.as_raw_fd()));
            let text = descriptor.unwrap_err().downcast::<&str>().unwrap();
            assert!(text.contains("a simulated socket has no descriptor"), "{text}");
        })
        .unwrap();
}
