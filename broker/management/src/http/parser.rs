//! Bytes to requests, without waiting and without trust.
//!
//! ```text
//!   Head --complete--> Body(length | chunked) --complete--> request, and Head again
//! ```
//!
//! Two programs that read the same bytes differently are how requests are smuggled past a proxy. So whatever could be
//! read in two ways is refused and the connection ends: both a length and a transfer coding, two lengths, a length that is
//! not digits only, a folded header, a line that ends without CR, a chunk that is not what it says.

use std::net::SocketAddr;

use super::request::{Method, Request};
use super::response::Status;

/// Bytes of a request line with all headers.
pub const HEAD_MAX: usize = 32 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 100;
/// Bytes of a request's target.
pub const TARGET_MAX: usize = 16 * 1024;
/// Bytes of the line before a chunk, which has its size.
pub const CHUNK_LINE_MAX: usize = 1024;
/// Bytes of the headers after the last chunk, which are thrown away.
pub const TRAILERS_MAX: usize = 8 * 1024;

/// Why a request is not served; the connection ends with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with.
    pub status: Status,
    /// What is wrong with it.
    pub reason: &'static str,
}

fn refuse<T>(status: Status, reason: &'static str) -> Result<T, Refusal> {
    Err(Refusal { status, reason })
}

fn bad<T>(reason: &'static str) -> Result<T, Refusal> {
    refuse(Status::BadRequest, reason)
}

/// How the end of the content is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
}

#[derive(Debug)]
enum State {
    Head,
    Body { request: Box<Request>, framing: Framing, expects_continue: bool },
}

/// See the module's description.
#[derive(Debug)]
pub struct Parser {
    buffer: Vec<u8>,
    state: State,
    peer: SocketAddr,
    body_max: usize,
}

impl Parser {
    /// For a fresh connection. `body_max` is in bytes.
    pub fn new(peer: SocketAddr, body_max: usize) -> Parser {
        Parser { buffer: Vec::new(), state: State::Head, peer, body_max }
    }

    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether nothing of a next request has come.
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Head) && self.buffer.is_empty()
    }

    /// Bytes of the content of the request that is coming, once its head has come.
    pub fn content_received(&self) -> Option<usize> {
        match &self.state {
            State::Head => None,
            State::Body { request, .. } => Some(request.body.len() + self.buffer.len()),
        }
    }

    /// Whether the client waits for `100 Continue` before it sends the content; says so once.
    pub fn take_expectation(&mut self) -> bool {
        match &mut self.state {
            State::Body { expects_continue, .. } => std::mem::take(expects_continue),
            State::Head => false,
        }
    }

    /// The next request, if it is complete.
    ///
    /// # Errors
    /// Whatever is not a request that can be understood in one way only, or is too large.
    pub fn next_request(&mut self) -> Result<Option<Request>, Refusal> {
        if matches!(self.state, State::Head) {
            self.skip_blank_lines();
            let Some((request, framing, expects_continue)) = self.head()? else { return Ok(None) };
            self.state = State::Body { request: Box::new(request), framing, expects_continue };
        }
        let State::Body { request, framing, .. } = &mut self.state else { return Ok(None) };
        let done = match *framing {
            Framing::Length(length) => take_length(&mut self.buffer, &mut request.body, length),
            Framing::Chunked => take_chunks(&mut self.buffer, &mut request.body, self.body_max)?,
        };
        if !done {
            return Ok(None);
        }
        if self.buffer.is_empty() {
            self.buffer = Vec::new(); // an idle connection owns no buffer
        }
        match std::mem::replace(&mut self.state, State::Head) {
            State::Body { request, .. } => Ok(Some(*request)),
            State::Head => Ok(None),
        }
    }

    /// "a server SHOULD ignore at least one empty line (CRLF) received prior to the request-line" (RFC 9112).
    fn skip_blank_lines(&mut self) {
        while self.buffer.starts_with(b"\r\n") {
            self.buffer.drain(..2);
        }
    }

    fn head(&mut self) -> Result<Option<(Request, Framing, bool)>, Refusal> {
        let window = &self.buffer[..self.buffer.len().min(HEAD_MAX)];
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut headers);
        let length = match parsed.parse(window) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.buffer.len() > HEAD_MAX => {
                return refuse(Status::HeaderFieldsTooLarge, "the request's head is too large");
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return refuse(Status::HeaderFieldsTooLarge, "the request has too many headers");
            }
            Err(httparse::Error::Version) => {
                return refuse(Status::VersionNotSupported, "only HTTP/1.0 and 1.1 are spoken");
            }
            Err(_) => return bad("the request's head is malformed"),
        };
        check_line_ends(&window[..length])?;
        let head = read_head(&parsed, self.peer, self.body_max)?;
        self.buffer.drain(..length);
        Ok(Some(head))
    }
}

/// Every line ends with CR LF, and CR stands nowhere else.
fn check_line_ends(head: &[u8]) -> Result<(), Refusal> {
    let before = |at: usize| at.checked_sub(1).and_then(|at| head.get(at));
    let is_wrong = |(at, byte): (usize, &u8)| match byte {
        b'\n' => before(at) != Some(&b'\r'),
        b'\r' => head.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    if head.iter().enumerate().any(is_wrong) { bad("a line does not end with CR LF") } else { Ok(()) }
}

/// Makes a request of what httparse has split; also whether the client waits to be told to go on.
fn read_head(
    parsed: &httparse::Request<'_, '_>,
    peer: SocketAddr,
    body_max: usize,
) -> Result<(Request, Framing, bool), Refusal> {
    let target = parsed.path.unwrap_or_default();
    if target.len() > TARGET_MAX {
        return refuse(Status::UriTooLong, "the request's target is too long");
    }
    let is_11 = parsed.version == Some(1);
    let headers: Vec<(Box<str>, Box<str>)> = parsed.headers.iter().map(header).collect();
    let mut request = Request::new(Method::parse(parsed.method.unwrap_or_default()), path_of(target)?);
    request.peer = peer;
    request.headers = headers;
    check_host(&request, is_11)?;
    request.keep_alive = keep_alive(&request, is_11);
    let framing = framing(&request, is_11, body_max)?;
    let expects_continue = match request.header("expect") {
        None => false,
        Some(it) if it.eq_ignore_ascii_case("100-continue") => is_11 && framing != Framing::Length(0),
        Some(_) => return refuse(Status::ExpectationFailed, "only 100-continue can be expected"),
    };
    Ok((request, framing, expects_continue))
}

fn header(header: &httparse::Header<'_>) -> (Box<str>, Box<str>) {
    let value = String::from_utf8_lossy(header.value);
    (header.name.to_ascii_lowercase().into(), value.trim_matches([' ', '\t']).into())
}

/// The origin form, or what is left of the absolute form.
fn path_of(target: &str) -> Result<&str, Refusal> {
    if target.starts_with('/') || target == "*" {
        return Ok(target);
    }
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    match rest.and_then(|rest| rest.find('/').map(|at| &rest[at..])) {
        Some(path) => Ok(path),
        None => bad("the request's target is not a path"),
    }
}

fn check_host(request: &Request, is_11: bool) -> Result<(), Refusal> {
    match request.headers.iter().filter(|(name, _)| &**name == "host").count() {
        1 => Ok(()),
        0 if !is_11 => Ok(()),
        _ => bad("a request has one Host header"),
    }
}

fn keep_alive(request: &Request, is_11: bool) -> bool {
    let says = |word: &str| {
        let values = request.headers.iter().filter(|(name, _)| &**name == "connection");
        values.flat_map(|(_, value)| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case(word))
    };
    if is_11 { !says("close") } else { says("keep-alive") }
}

fn framing(request: &Request, is_11: bool, body_max: usize) -> Result<Framing, Refusal> {
    let all = |wanted: &'static str| request.headers.iter().filter(move |(name, _)| &**name == wanted);
    let (mut lengths, mut codings) = (all("content-length"), all("transfer-encoding"));
    match (lengths.next(), codings.next()) {
        (Some(_), Some(_)) => bad("a request has a Content-Length or a Transfer-Encoding, not both"),
        (None, None) => Ok(Framing::Length(0)),
        (Some((_, length)), None) => {
            if lengths.next().is_some() || length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
                return bad("Content-Length is one number");
            }
            match length.parse() {
                Ok(length) if length <= body_max => Ok(Framing::Length(length)),
                _ => refuse(Status::ContentTooLarge, "the request's content is too large"),
            }
        }
        (None, Some((_, coding))) => match (is_11, codings.next()) {
            (true, None) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            (false, _) => bad("HTTP/1.0 has no Transfer-Encoding"),
            _ => refuse(Status::NotImplemented, "the only Transfer-Encoding is chunked"),
        },
    }
}

// ---- content

fn take_length(buffer: &mut Vec<u8>, body: &mut Vec<u8>, length: usize) -> bool {
    let missing = length - body.len();
    let there = missing.min(buffer.len());
    body.extend(buffer.drain(..there));
    body.len() == length
}

/// Takes chunks that are complete; whether the last one was among them.
fn take_chunks(buffer: &mut Vec<u8>, body: &mut Vec<u8>, body_max: usize) -> Result<bool, Refusal> {
    loop {
        let Some((size, line)) = chunk_size(buffer)? else { return Ok(false) };
        if size == 0 {
            return take_trailers(buffer, line);
        }
        if size > body_max - body.len().min(body_max) {
            return refuse(Status::ContentTooLarge, "the request's content is too large");
        }
        let Some(end) = buffer.get(line + size..line + size + 2) else { return Ok(false) };
        if end != b"\r\n" {
            return bad("a chunk is longer than it says");
        }
        body.extend_from_slice(&buffer[line..line + size]);
        buffer.drain(..line + size + 2);
    }
}

/// The size that the line at the buffer's start says, and the line's own length.
fn chunk_size(buffer: &[u8]) -> Result<Option<(usize, usize)>, Refusal> {
    let window = &buffer[..buffer.len().min(CHUNK_LINE_MAX)];
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if buffer.len() >= CHUNK_LINE_MAX { bad("a chunk's line is too long") } else { Ok(None) };
    };
    let Some(line) = window[..end].strip_suffix(b"\r") else { return bad("a line does not end with CR LF") };
    // Extensions, which nobody uses, are refused: programs in front of this one have read them differently.
    let is_size = !line.is_empty() && line.len() <= 8 && line.iter().all(u8::is_ascii_hexdigit);
    let size = str::from_utf8(line).ok().filter(|_| is_size).and_then(|it| usize::from_str_radix(it, 16).ok());
    match size {
        Some(size) => Ok(Some((size, end + 1))),
        None => bad("a chunk's size is malformed"),
    }
}

/// Throws away what follows the last chunk, once it is there; `at` is where it begins.
fn take_trailers(buffer: &mut Vec<u8>, at: usize) -> Result<bool, Refusal> {
    let rest = &buffer[at..];
    let end = match rest.starts_with(b"\r\n") {
        true => Some(2),
        false => rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4),
    };
    match end {
        Some(end) if end <= TRAILERS_MAX => {
            buffer.drain(..at + end);
            Ok(true)
        }
        None if rest.len() <= TRAILERS_MAX => Ok(false),
        _ => refuse(Status::HeaderFieldsTooLarge, "the trailers are too large"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY_MAX: usize = 100;

    fn parser() -> Parser {
        Parser::new("127.0.0.1:1".parse().unwrap(), BODY_MAX)
    }

    /// What comes of the bytes: method, path and content of each request, and the refusal at the end.
    fn outcome(bytes: &[u8], piece: usize) -> (Vec<String>, Option<Status>) {
        let (mut parser, mut requests) = (parser(), Vec::new());
        for piece in bytes.chunks(piece) {
            parser.feed(piece);
            loop {
                match parser.next_request() {
                    Ok(Some(it)) => {
                        let body = String::from_utf8_lossy(&it.body).into_owned();
                        requests.push(format!("{} {} {body}", it.method.as_str(), it.path));
                    }
                    Ok(None) => break,
                    Err(refusal) => return (requests, Some(refusal.status)),
                }
            }
        }
        (requests, None)
    }

    /// The same whether the bytes come at once or one by one.
    fn check(bytes: &str, requests: &[&str], refusal: Option<Status>) {
        for piece in [usize::MAX, 1, 7] {
            assert_eq!(
                outcome(bytes.as_bytes(), piece),
                (requests.iter().map(|it| (*it).to_owned()).collect(), refusal),
                "{bytes:?}"
            );
        }
    }

    fn refused(bytes: &str, status: Status) {
        check(bytes, &[], Some(status));
    }

    #[test]
    fn requests_come_one_after_the_other() {
        check("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", &["GET /a "], None);
        check("GET /a HTTP/1.0\r\n\r\n", &["GET /a "], None);
        check("GET http://x/a?b=c HTTP/1.1\r\nHost: x\r\n\r\n", &["GET /a "], None);
        check(
            "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcDELETE /b HTTP/1.1\r\nhost:x\r\n\r\n",
            &["PUT /a abc", "DELETE /b "],
            None,
        );
        check("\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n", &["GET /a "], None);
        check("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab", &[], None);
    }

    #[test]
    fn chunks_are_put_together() {
        let post = |chunks: &str| format!("POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        check(&post("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), &["POST /a abcde"], None);
        check(&post("0\r\nTrailer: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n"), &["POST /a ", "GET /b "], None);
        check(&post("3\r\nab"), &[], None);
        refused(&post("3\r\nabcd\r\n"), Status::BadRequest);
        refused(&post("g\r\n"), Status::BadRequest);
        refused(&post("2;x=y\r\nde\r\n"), Status::BadRequest);
        refused(&post("-1\r\n"), Status::BadRequest);
        refused(&post("+1\r\n"), Status::BadRequest);
        refused(&post(" 1\r\n"), Status::BadRequest);
        refused(&post("0x1\r\n"), Status::BadRequest);
        refused(&post("\r\n"), Status::BadRequest);
        refused(&post("1\n"), Status::BadRequest);
        refused(&post("fffffffff\r\n"), Status::BadRequest);
        refused(&post("65\r\n"), Status::ContentTooLarge);
        refused(&post("64\r\n").replace("64", "ffffffff"), Status::ContentTooLarge);
        refused(&post(&format!("1;{}", "x".repeat(CHUNK_LINE_MAX))), Status::BadRequest);
        refused(&post(&format!("0\r\nx: {}", "x".repeat(TRAILERS_MAX))), Status::HeaderFieldsTooLarge);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let get = |headers: &str| format!("POST /a HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        refused(&get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"), Status::BadRequest);
        refused(&get("Content-Length: 3\r\nContent-Length: 3\r\n"), Status::BadRequest);
        refused(&get("Content-Length: 3, 3\r\n"), Status::BadRequest);
        refused(&get("Content-Length: +3\r\n"), Status::BadRequest);
        refused(&get("Content-Length: 0x3\r\n"), Status::BadRequest);
        refused(&get("Content-Length:\r\n"), Status::BadRequest);
        refused(&get("Content-Length : 3\r\n"), Status::BadRequest);
        refused(&get("Transfer-Encoding: gzip, chunked\r\n"), Status::NotImplemented);
        refused(&get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Status::NotImplemented);
        refused(&get("Transfer-Encoding: xchunked\r\n"), Status::NotImplemented);
        refused("POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Status::BadRequest);
        refused(&get("X: a\r\n b\r\n"), Status::BadRequest);
        refused(&get("X: a\nY: b\r\n"), Status::BadRequest);
        refused("GET /a HTTP/1.1\r\nHost: x\r\n\n", Status::BadRequest);
        refused(&get("X: a\0b\r\n"), Status::BadRequest);
        refused("GET /a HTTP/1.1\r\n\r\n", Status::BadRequest);
        refused("GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", Status::BadRequest);
        refused("GET example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n", Status::BadRequest);
        refused("GET /a HTTP/2.0\r\nHost: x\r\n\r\n", Status::VersionNotSupported);
        refused(&get("Expect: tea\r\n"), Status::ExpectationFailed);
    }

    #[test]
    fn limits_hold_at_their_value_and_not_beyond() {
        let body = |length: usize| format!("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        check(&(body(BODY_MAX) + &"x".repeat(BODY_MAX)), &[&format!("POST /a {}", "x".repeat(BODY_MAX))], None);
        refused(&body(BODY_MAX + 1), Status::ContentTooLarge);
        refused(&body(0).replace(": 0", ": 99999999999999999999999"), Status::ContentTooLarge);
        let headers = |count: usize| format!("GET /a HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        check(&headers(HEADERS_MAX), &["GET /a "], None);
        refused(&headers(HEADERS_MAX + 1), Status::HeaderFieldsTooLarge);
        let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(length - 1));
        assert_eq!(outcome(target(TARGET_MAX).as_bytes(), usize::MAX).1, None);
        assert_eq!(outcome(target(TARGET_MAX + 1).as_bytes(), usize::MAX).1, Some(Status::UriTooLong));
        let endless = format!("GET /a HTTP/1.1\r\nX: {}", "x".repeat(HEAD_MAX));
        assert_eq!(outcome(endless.as_bytes(), 1000).1, Some(Status::HeaderFieldsTooLarge));
    }

    #[test]
    fn a_client_that_waits_is_told_to_go_on_once() {
        let mut parser = parser();
        parser.feed(b"PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n");
        assert!(parser.next_request().unwrap().is_none());
        assert!(parser.take_expectation() && !parser.take_expectation());
        parser.feed(b"x");
        assert_eq!(parser.next_request().unwrap().unwrap().body, b"x");
        assert!(parser.is_idle());
    }

    #[test]
    fn connections_go_on_unless_somebody_says_otherwise() {
        let check = |request: &str, expected: bool| {
            let mut parser = parser();
            parser.feed(request.as_bytes());
            assert_eq!(parser.next_request().unwrap().unwrap().keep_alive, expected, "{request:?}");
        };
        check("GET / HTTP/1.1\r\nHost: x\r\n\r\n", true);
        check("GET / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n", false);
        check("GET / HTTP/1.0\r\n\r\n", false);
        check("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true);
    }
}
