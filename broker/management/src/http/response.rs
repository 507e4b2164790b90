//! One response, and its bytes.

use super::request::Method;

/// The status codes that are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the RFC")]
pub enum Status {
    Ok,
    Created,
    NoContent,
    SeeOther,
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    PreconditionFailed,
    ContentTooLarge,
    UriTooLong,
    ExpectationFailed,
    HeaderFieldsTooLarge,
    InternalServerError,
    NotImplemented,
    ServiceUnavailable,
    VersionNotSupported,
}

impl Status {
    /// Its number.
    pub fn code(self) -> u16 {
        self.line().0
    }

    fn line(self) -> (u16, &'static str) {
        match self {
            Status::Ok => (200, "OK"),
            Status::Created => (201, "Created"),
            Status::NoContent => (204, "No Content"),
            Status::SeeOther => (303, "See Other"),
            Status::BadRequest => (400, "Bad Request"),
            Status::Unauthorized => (401, "Unauthorized"),
            Status::Forbidden => (403, "Forbidden"),
            Status::NotFound => (404, "Not Found"),
            Status::MethodNotAllowed => (405, "Method Not Allowed"),
            Status::RequestTimeout => (408, "Request Timeout"),
            Status::PreconditionFailed => (412, "Precondition Failed"),
            Status::ContentTooLarge => (413, "Content Too Large"),
            Status::UriTooLong => (414, "URI Too Long"),
            Status::ExpectationFailed => (417, "Expectation Failed"),
            Status::HeaderFieldsTooLarge => (431, "Request Header Fields Too Large"),
            Status::InternalServerError => (500, "Internal Server Error"),
            Status::NotImplemented => (501, "Not Implemented"),
            Status::ServiceUnavailable => (503, "Service Unavailable"),
            Status::VersionNotSupported => (505, "HTTP Version Not Supported"),
        }
    }
}

/// The content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Made for this answer.
    Owned(Vec<u8>),
    /// Part of the program.
    Static(&'static [u8]),
}

impl Body {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Body::Owned(bytes) => bytes,
            Body::Static(bytes) => bytes,
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// Names in lower case. Length, connection and the security headers are added when it is written.
    pub headers: Vec<(&'static str, String)>,
    /// The content.
    pub body: Body,
}

/// What every answer carries. Pages may load nothing but what this server serves, run no inline script, and be framed by nobody.
const ALWAYS: &str = "cache-control: no-cache\r\n\
    content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
    referrer-policy: no-referrer\r\n\
    x-content-type-options: nosniff\r\n\
    x-frame-options: DENY\r\n\
    vary: accept, accept-encoding, origin\r\n";

impl Response {
    /// Without content.
    pub fn empty(status: Status) -> Response {
        Response { status, headers: Vec::new(), body: Body::Static(b"") }
    }

    /// With content of that media type.
    pub fn with(status: Status, media_type: &str, body: Body) -> Response {
        Response { status, headers: vec![("content-type", media_type.to_owned())], body }
    }

    /// With JSON that is written already.
    pub fn json_bytes(status: Status, body: Vec<u8>) -> Response {
        Response::with(status, "application/json", Body::Owned(body))
    }

    /// With a JSON value.
    pub fn json(status: Status, value: &serde_json::Value) -> Response {
        Response::json_bytes(status, value.to_string().into_bytes())
    }

    /// With a header more. Control characters in its value, which could begin another header, are left out.
    pub fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Response {
        let value = value.as_ref().chars().filter(|it| !it.is_control()).collect();
        self.headers.push((name, value));
        self
    }

    /// The header of that name.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Status line and headers.
    pub fn head(&self, keep_alive: bool) -> Vec<u8> {
        let (code, reason) = self.status.line();
        let mut head = format!("HTTP/1.1 {code} {reason}\r\nserver: Leveret\r\n{ALWAYS}");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // "A server MUST NOT send a Content-Length header field in any response with a status code of 204" (RFC 9110).
        if self.status != Status::NoContent {
            head.push_str(&format!("content-length: {}\r\n", self.body.as_bytes().len()));
        }
        head.push_str(if keep_alive { "connection: keep-alive\r\n\r\n" } else { "connection: close\r\n\r\n" });
        head.into_bytes()
    }

    /// What goes out after the head: nothing for HEAD.
    pub fn content(&self, method: Method) -> &[u8] {
        match method {
            Method::Head => b"",
            _ => self.body.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_lengths_and_no_foreign_lines() {
        let response =
            Response::json(Status::Ok, &serde_json::json!({"a": 1})).header("x-reason", "a\r\nset-cookie: b");
        let head = String::from_utf8(response.head(true)).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(head.contains("\r\ncontent-length: 7\r\n") && head.ends_with("connection: keep-alive\r\n\r\n"));
        assert!(head.contains("\r\nx-reason: aset-cookie: b\r\n"));
        assert_eq!((response.content(Method::Get), response.content(Method::Head)), (&b"{\"a\":1}"[..], &b""[..]));
        let head = String::from_utf8(Response::empty(Status::NoContent).head(false)).unwrap();
        assert!(!head.contains("content-length") && head.contains("connection: close"));
    }
}
