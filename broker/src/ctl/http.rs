//! HTTP/1.1 as a client: one connection, one request at a time, over the broker's Unix socket or over TCP.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leveret_runtime::net::{TcpStream, UnixStream};
use serde_json::Value;

use super::api::{Answer, Api, Request};

/// Bytes of an answer's head.
const HEAD_MAX: usize = 64 * 1024;
/// Headers of an answer.
const HEADERS_MAX: usize = 64;
/// Bytes of an answer: a large broker's definitions fit.
const BODY_MAX: usize = 1 << 30;

/// A connection to the API.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    /// For the header `host`.
    host: String,
    /// The value of the header `authorization`; nothing over the Unix socket, whose owner may do everything.
    authorization: Option<String>,
    /// What came after the last answer.
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Client {
    /// Connects to the socket in a data directory.
    ///
    /// # Errors
    /// The kernel's.
    pub fn local(socket: &Path, timeout: Option<Duration>) -> io::Result<Client> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(timeout)?;
        Ok(Client { stream: Stream::Unix(stream), host: "localhost".into(), authorization: None, buffer: Vec::new() })
    }

    /// Connects to an address such as `broker.example:15672`.
    ///
    /// # Errors
    /// The resolver's and the kernel's.
    pub fn remote(address: &str, user: &str, password: &str, timeout: Option<Duration>) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(timeout)?;
        stream.set_nodelay(true)?;
        let authorization = Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
        Ok(Client { stream: Stream::Tcp(stream), host: address.into(), authorization, buffer: Vec::new() })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let had = self.buffer.len();
        self.buffer.resize(had + 16 * 1024, 0);
        let read = match &mut self.stream {
            Stream::Unix(stream) => stream.read(&mut self.buffer[had..]),
            Stream::Tcp(stream) => stream.read(&mut self.buffer[had..]),
        };
        self.buffer.truncate(had + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the broker ended the connection")),
            _ => Ok(()),
        }
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let Request { method, path, .. } = request;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\n", self.host);
        if let Some(authorization) = &self.authorization {
            text.push_str(&format!("authorization: {authorization}\r\n"));
        }
        if let Some(reason) = &request.reason {
            let reason = reason.replace(|c: char| c.is_control(), " ");
            text.push_str(&format!("x-reason: {reason}\r\n"));
        }
        if !body.is_empty() || *method != "GET" {
            text.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(&body);
        match &mut self.stream {
            Stream::Unix(stream) => stream.write_all(text.as_bytes()),
            Stream::Tcp(stream) => stream.write_all(text.as_bytes()),
        }
    }

    fn receive(&mut self) -> io::Result<Answer> {
        let head = loop {
            if let Some(head) = parse_head(&self.buffer)? {
                break head;
            }
            self.read_more()?;
        };
        self.buffer.drain(..head.size);
        let body = match head.framing {
            Framing::Length(size) => self.receive_exactly(size)?,
            Framing::Chunked => self.receive_chunks()?,
        };
        Ok(Answer { status: head.status, body: parse_body(&body) })
    }

    fn receive_exactly(&mut self, size: usize) -> io::Result<Vec<u8>> {
        if size > BODY_MAX {
            return Err(invalid("an answer that is too large"));
        }
        while self.buffer.len() < size {
            self.read_more()?;
        }
        Ok(self.buffer.drain(..size).collect())
    }

    fn receive_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.buffer).map_err(|_| invalid("a chunk of no size"))? {
                    httparse::Status::Complete((line, size)) => break (line, size),
                    httparse::Status::Partial => self.read_more()?,
                }
            };
            self.buffer.drain(..line);
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            if size > BODY_MAX - body.len().min(BODY_MAX) {
                return Err(invalid("an answer that is too large"));
            }
            body.extend(self.receive_exactly(size)?);
            self.receive_exactly(2)?; // CR LF
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

impl Api for Client {
    fn call(&mut self, request: &Request) -> io::Result<Answer> {
        self.send(request)?;
        self.receive()
    }

    fn wait_closed(&mut self) {
        while self.read_more().is_ok() {
            self.buffer.clear();
        }
    }
}

enum Framing {
    Length(usize),
    Chunked,
}

struct Head {
    /// Bytes with the empty line.
    size: usize,
    status: u16,
    framing: Framing,
}

/// The head of an answer, once all of it is there.
fn parse_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let size = match response.parse(bytes).map_err(|error| invalid(&error.to_string()))? {
        httparse::Status::Complete(size) => size,
        httparse::Status::Partial if bytes.len() > HEAD_MAX => return Err(invalid("a head without end")),
        httparse::Status::Partial => return Ok(None),
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let is_chunked = header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length = match header("content-length") {
        Some(length) => length.parse().map_err(|_| invalid("a content-length that is no number"))?,
        None => 0,
    };
    let framing = if is_chunked { Framing::Chunked } else { Framing::Length(length) };
    Ok(Some(Head { size, status: response.code.unwrap_or(0), framing }))
}

/// JSON if it is, else the text as it came.
fn parse_body(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the broker's answer is not HTTP as expected: {what}"))
}

#[cfg(test)]
mod tests {
    use leveret_runtime as runtime;
    use runtime::net::TcpListener;
    use serde_json::json;

    use super::*;

    /// What the client makes of an answer that arrives byte by byte, and what it sent.
    fn exchange(request: Request, answer: &'static [u8]) -> (io::Result<Answer>, String) {
        runtime::run(move || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("bound").to_string();
            let serving = runtime::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut received = vec![0; 4096];
                let count = stream.read(&mut received).expect("a request");
                for byte in answer {
                    stream.write_all(&[*byte]).expect("connected");
                }
                String::from_utf8_lossy(&received[..count]).into_owned()
            });
            let mut client = Client::remote(&address, "guest", "guest", None).expect("it listens");
            let answer = client.call(&request);
            (answer, serving.join().expect("the server's side passes"))
        })
        .expect("no deadlock")
    }

    fn get(path: &str) -> Request {
        Request { method: "GET", path: path.into(), body: None, reason: None }
    }

    #[test]
    fn answers_with_a_length_in_chunks_and_with_nothing() {
        let check = |text, status, body| {
            let (answer, _) = exchange(get("/x"), text);
            assert_eq!(answer.expect("an answer"), Answer { status, body });
        };
        check(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}", 200, json!({"a": 1}));
        check(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n", 200, json!([1]));
        check(b"HTTP/1.1 204 No Content\r\n\r\n", 204, Value::Null);
        check(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnope", 404, json!("nope"));
    }

    #[test]
    fn what_is_not_http_is_an_error() {
        for text in [&b"oops\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", b""] {
            assert!(exchange(get("/x"), text).0.is_err());
        }
    }

    #[test]
    fn requests_say_who_asks_and_how_long_they_are() {
        let request =
            Request { method: "PUT", path: "/api/users/a".into(), body: Some(json!({"tags": ""})), reason: None };
        let (_, sent) = exchange(request, b"HTTP/1.1 201 Created\r\n\r\n");
        assert!(sent.starts_with("PUT /api/users/a HTTP/1.1\r\n"), "{sent}");
        assert!(sent.contains("\r\nauthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n"), "{sent}");
        assert!(sent.ends_with("content-length: 11\r\n\r\n{\"tags\":\"\"}"), "{sent}");
    }
}
