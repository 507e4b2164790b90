//! One client's connection: reads requests, has them answered in order, and gives up on who is too slow.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use leveret_runtime as runtime;
use runtime::net::{TcpStream, UnixStream};

use super::parser::{Parser, Refusal};
use super::request::{Method, Request};
use super::response::{Response, Status};

/// How long a connection may stay without its first request.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(10);

/// How long it may stay without a further one.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// How long a request's head may take from its first byte to its last, whoever sends it byte by byte.
const HEAD_MAX: Duration = Duration::from_secs(10);

/// How long its content may take; a second more for every [`CONTENT_PER_SECOND`] that have come, so that a large file may come slowly and
/// a few bytes may not.
const CONTENT_MAX: Duration = Duration::from_secs(20);

/// Bytes.
const CONTENT_PER_SECOND: usize = 16 * 1024;

/// How long a client may take nothing of an answer.
const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// How long a refused client may read why before the socket is closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a listener allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's content.
    pub body_max: usize,
}

/// What carries a client's bytes.
pub trait Stream {
    /// Lends what has come to `f`; an empty slice at the end. Parks until there is something.
    ///
    /// # Errors
    /// The connection failed.
    fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T>;
    /// Parks until all of it is taken.
    ///
    /// # Errors
    /// The connection failed, or the client takes nothing for too long.
    fn write_all(&self, bytes: &[u8]) -> io::Result<()>;
    /// Ends the sending direction.
    ///
    /// # Errors
    /// The kernel's.
    fn end_output(&self) -> io::Result<()>;
    /// Prepares the socket: no delay, and the longest wait of a write.
    ///
    /// # Errors
    /// The kernel's.
    fn prepare(&self, write_stall_max: Duration) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        TcpStream::read_with(self, f)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(&mut &*self, bytes)
    }

    fn end_output(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn prepare(&self, write_stall_max: Duration) -> io::Result<()> {
        self.set_nodelay(true)?;
        self.set_write_timeout(Some(write_stall_max))
    }
}

impl Stream for UnixStream {
    fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
        UnixStream::read_with(self, f)
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(&mut &*self, bytes)
    }

    fn end_output(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn prepare(&self, write_stall_max: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(write_stall_max))
    }
}

/// Serves one client until it goes, is refused, or is too slow.
pub fn serve(stream: &impl Stream, peer: SocketAddr, limits: Limits, answer: impl Fn(&Request) -> Response) {
    let done = stream.prepare(WRITE_STALL_MAX);
    if let Err(error) = done.and_then(|()| serve_requests(stream, peer, limits, &answer)) {
        log::debug!("http {peer}: {error}");
    }
}

fn serve_requests(
    stream: &impl Stream,
    peer: SocketAddr,
    limits: Limits,
    answer: &impl Fn(&Request) -> Response,
) -> io::Result<()> {
    let mut parser = Parser::new(peer, limits.body_max);
    let mut idle_max = FIRST_REQUEST_MAX;
    loop {
        let request = match read_request(stream, &mut parser, idle_max)? {
            Read::Request(request) => request,
            Read::End => return Ok(()),
            Read::Refused(refusal) => return turn_away(stream, refusal),
        };
        let response = answer(&request);
        send(stream, &response, request.method, request.keep_alive)?;
        if !request.keep_alive {
            return stream.end_output();
        }
        idle_max = IDLE_MAX;
    }
}

enum Read {
    Request(Request),
    Refused(Refusal),
    End,
}

fn read_request(stream: &impl Stream, parser: &mut Parser, idle_max: Duration) -> io::Result<Read> {
    if parser.is_idle() {
        match runtime::timeout(idle_max, || read_some(stream, parser)) {
            Ok(Ok(1..)) => {}
            _ => return Ok(Read::End),
        }
    }
    let began = runtime::time::now();
    loop {
        match parser.next_request() {
            Ok(Some(request)) => return Ok(Read::Request(request)),
            Ok(None) => {}
            Err(refusal) => return Ok(Read::Refused(refusal)),
        }
        if parser.take_expectation() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let patience = patience(parser.content_received());
        let left = patience.saturating_sub(runtime::time::now().saturating_duration_since(began));
        match runtime::timeout(left, || read_some(stream, parser)) {
            Ok(Ok(0)) => return Ok(Read::End),
            Ok(read) => _ = read?,
            Err(_) => return Ok(Read::Refused(LATE)),
        }
    }
}

const LATE: Refusal = Refusal { status: Status::RequestTimeout, reason: "the request took too long" };

/// How long a request may take so far, of which so much content has come; `None` while its head is not complete.
fn patience(content: Option<usize>) -> Duration {
    match content {
        None => HEAD_MAX,
        Some(bytes) => HEAD_MAX + CONTENT_MAX + Duration::from_secs((bytes / CONTENT_PER_SECOND) as u64),
    }
}

fn read_some(stream: &impl Stream, parser: &mut Parser) -> io::Result<usize> {
    stream.read_with(|bytes| {
        parser.feed(bytes);
        bytes.len()
    })
}

/// Says why, and ends; reads what still comes for a moment, since a reset could take the answer away from the client.
fn turn_away(stream: &impl Stream, refusal: Refusal) -> io::Result<()> {
    let body = serde_json::json!({"error": "bad_request", "reason": refusal.reason});
    send(stream, &Response::json(refusal.status, &body), Method::Get, false)?;
    stream.end_output()?;
    let _ = runtime::timeout(FAREWELL, || while matches!(stream.read_with(<[u8]>::len), Ok(1..)) {});
    Ok(())
}

fn send(stream: &impl Stream, response: &Response, method: Method, keep_alive: bool) -> io::Result<()> {
    let mut head = response.head(keep_alive);
    let content = response.content(method);
    // Small answers in one segment.
    if content.len() <= 64 * 1024 {
        head.extend_from_slice(content);
        return stream.write_all(&head);
    }
    stream.write_all(&head)?;
    stream.write_all(content)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::rc::Rc;

    use runtime::Runtime;
    use runtime::net::TcpListener;
    use runtime::time::now;

    use super::*;

    /// What a client hears that sends the pieces, each after a pause of so many milliseconds, and until when.
    fn hear(pieces: &[(u64, &[u8])]) -> (String, Duration) {
        let pieces: Vec<(u64, Vec<u8>)> = pieces.iter().map(|(pause, piece)| (*pause, piece.to_vec())).collect();
        let main = move || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let addr = listener.local_addr().expect("it is bound");
            let serving = runtime::spawn(move || {
                let (stream, peer) = listener.accept().expect("somebody comes");
                serve(&stream, peer, Limits { body_max: 10_000_000 }, |_| Response::empty(Status::NoContent));
            });
            let (began, client) = (now(), Rc::new(TcpStream::connect(addr).expect("it listens")));
            let hearing = runtime::spawn({
                let client = client.clone();
                move || {
                    let mut heard = Vec::new();
                    let _ = (&*client).read_to_end(&mut heard); // a reset ends it as well
                    (String::from_utf8_lossy(&heard).lines().next().unwrap_or_default().to_owned(), now() - began)
                }
            });
            for (pause, piece) in pieces {
                runtime::sleep(Duration::from_millis(pause));
                if hearing.is_finished() || Stream::write_all(&*client, &piece).is_err() {
                    break;
                }
            }
            let heard = hearing.join().expect("it reads to the end");
            drop(client);
            serving.join().expect("it ends");
            heard
        };
        Runtime::builder().shards(1).simulated(0).build().expect("valid").run(main).expect("no deadlock")
    }

    fn check(pieces: &[(u64, &[u8])], expected: &str, seconds: std::ops::RangeInclusive<u64>) {
        let (heard, until) = hear(pieces);
        assert_eq!(heard.strip_prefix("HTTP/1.1 ").unwrap_or_default(), expected);
        assert!(seconds.contains(&until.as_secs()), "after {until:?}");
    }

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const LAST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[test]
    fn silence_is_borne_for_a_while() {
        check(&[], "", 10..=10);
        check(&[(9_900, LAST)], "204 No Content", 9..=10);
        check(&[(0, GET)], "204 No Content", 75..=76);
        check(&[(0, GET), (74_000, LAST)], "204 No Content", 74..=75);
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_too_late() {
        let slowly = |text: &[u8]| -> Vec<(u64, Vec<u8>)> { text.iter().map(|byte| (900, vec![*byte])).collect() };
        let head = slowly(GET);
        let pieces: Vec<_> = head.iter().map(|(pause, piece)| (*pause, piece.as_slice())).collect();
        check(&pieces, "408 Request Timeout", 10..=12);
        // The first byte's pause does not count, but the second request's head has no more time than the first's.
        let mut second = vec![(0, GET), (0, GET)];
        second.extend(pieces);
        check(&second, "204 No Content", 10..=12);
    }

    #[test]
    fn content_may_come_slowly_if_there_is_much_of_it() {
        let head = |length: usize| {
            format!("PUT / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")
        };
        let few = head(100);
        let mut pieces: Vec<(u64, &[u8])> = vec![(0, few.as_bytes())];
        pieces.extend(std::iter::repeat_n((1000, b"x".as_slice()), 100));
        check(&pieces, "408 Request Timeout", 30..=32);
        let (much, piece) = (head(60 * 20_000), vec![b'x'; 20_000]);
        let mut pieces: Vec<(u64, &[u8])> = vec![(0, much.as_bytes())];
        pieces.extend(std::iter::repeat_n((1000, piece.as_slice()), 60));
        check(&pieces, "204 No Content", 60..=61);
    }

    #[test]
    fn patience_grows_with_what_has_come() {
        let check = |content: Option<usize>, seconds: u64| assert_eq!(patience(content), Duration::from_secs(seconds));
        check(None, 10);
        check(Some(0), 30);
        check(Some(CONTENT_PER_SECOND - 1), 30);
        check(Some(CONTENT_PER_SECOND), 31);
        check(Some(20_000_000), 1250);
    }
}
