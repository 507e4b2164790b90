//! One client's connection: reads requests, has them answered in order, and gives up on who is too slow.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use leveret_runtime as runtime;
use runtime::net::{TcpStream, UnixStream};

use super::parser::{Parser, Refusal};
use super::request::{Method, Request};
use super::response::{Response, Status};

/// How long a connection may stay without a request.
const IDLE_MAX: Duration = Duration::from_secs(75);

/// How long a request may take from its first byte to its last, whoever sends it byte by byte.
const REQUEST_MAX: Duration = Duration::from_secs(30);

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
    loop {
        let request = match read_request(stream, &mut parser)? {
            Read::Request(request) => request,
            Read::End => return Ok(()),
            Read::Refused(refusal) => return turn_away(stream, refusal),
        };
        let response = answer(&request);
        send(stream, &response, request.method, request.keep_alive)?;
        if !request.keep_alive {
            return stream.end_output();
        }
    }
}

enum Read {
    Request(Request),
    Refused(Refusal),
    End,
}

fn read_request(stream: &impl Stream, parser: &mut Parser) -> io::Result<Read> {
    if parser.is_idle() {
        match runtime::timeout(IDLE_MAX, || read_some(stream, parser)) {
            Ok(Ok(1..)) => {}
            _ => return Ok(Read::End),
        }
    }
    let late = Refusal { status: Status::RequestTimeout, reason: "the request took too long" };
    runtime::timeout(REQUEST_MAX, || finish_request(stream, parser)).unwrap_or(Ok(Read::Refused(late)))
}

/// Reads on until the request that has begun is complete.
fn finish_request(stream: &impl Stream, parser: &mut Parser) -> io::Result<Read> {
    loop {
        match parser.next_request() {
            Ok(Some(request)) => return Ok(Read::Request(request)),
            Ok(None) => {}
            Err(refusal) => return Ok(Read::Refused(refusal)),
        }
        if parser.take_expectation() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if read_some(stream, parser)? == 0 {
            return Ok(Read::End);
        }
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
