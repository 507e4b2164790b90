//! What a command asks of the broker: one request, one answer, both JSON. Tests put something else in its place.

use std::fmt;
use std::io;

use serde_json::Value;

/// Whoever answers requests to the management API.
pub trait Api {
    /// Sends a request, and waits for the answer.
    ///
    /// # Errors
    /// Nobody answers, or not in HTTP.
    fn call(&mut self, request: &Request) -> io::Result<Answer>;
    /// Waits until the other side has ended the connection.
    fn wait_closed(&mut self);
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// `GET`, `PUT`, `POST` or `DELETE`.
    pub method: &'static str,
    /// Path and query, such as `/api/queues/%2F`.
    pub path: String,
    /// What goes with it.
    pub body: Option<Value>,
    /// Why; the peer of a connection that is closed reads it.
    pub reason: Option<String>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP's number.
    pub status: u16,
    /// `Null` if there is nothing.
    pub body: Value,
}

/// Exit codes, as rabbitmqctl has them (those of `sysexits.h`).
pub mod exit {
    /// The command line makes no sense.
    pub const USAGE: u8 = 64;
    /// A thing that was named is not there, or data is wrong.
    pub const DATA: u8 = 65;
    /// No such user.
    pub const NO_USER: u8 = 67;
    /// The broker cannot be reached, or refuses.
    pub const UNAVAILABLE: u8 = 69;
    /// It could not be done.
    pub const SOFTWARE: u8 = 70;
    /// It took too long.
    pub const TIMEOUT: u8 = 75;
}

/// Why a command ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// See [`exit`].
    pub code: u8,
    /// For standard error.
    pub text: String,
}

impl Failure {
    /// A failure with that code and text.
    pub fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: text.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::TimedOut => Failure::new(exit::TIMEOUT, format!("Error: operation timed out: {error}")),
            _ => Failure::new(exit::UNAVAILABLE, format!("Error: {error}")),
        }
    }
}

/// One segment of a path: everything but unreserved characters is escaped.
pub fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_escaped() {
        assert_eq!(segment("/"), "%2F");
        assert_eq!(segment("a b~c_d-e.f"), "a%20b~c_d-e.f");
        assert_eq!(segment("größe?#%"), "gr%C3%B6%C3%9Fe%3F%23%25");
    }
}
