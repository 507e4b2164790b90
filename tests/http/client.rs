//! A small HTTP client that says exactly what it is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use harness::patience;

/// `guest:guest`
pub(crate) const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends bytes as they are and reads until the server closes.
pub(crate) fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).expect("the broker listens");
    stream.set_read_timeout(Some(patience())).expect("a socket");
    // The server may refuse before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// One request on a connection of its own. `line` is method and path, and after a blank the body.
pub(crate) fn request(to: SocketAddr, login: &str, line: &str) -> Answer {
    let mut words = line.splitn(3, ' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body = words.next().unwrap_or_default();
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    let login = if login.is_empty() { String::new() } else { format!("authorization: {login}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {to}\r\n{login}{kind}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    parse(&raw(to, format!("{head}{body}").as_bytes()))
}

pub(crate) fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}
