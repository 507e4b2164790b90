//! One request: what the client said, split where HTTP splits it and decoded once.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What the client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Tell.
    Get,
    /// Tell without the content.
    Head,
    /// What may be asked here.
    Options,
    /// Do.
    Post,
    /// Make or replace.
    Put,
    /// Remove.
    Delete,
    /// A method that nothing here knows.
    Other,
}

impl Method {
    pub(super) fn parse(name: &str) -> Method {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "OPTIONS" => Method::Options,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Other,
        }
    }

    /// Its name on the wire; empty for one that is not known.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Other => "",
        }
    }

    /// Whether it changes nothing by its definition.
    pub fn is_safe(self) -> bool {
        matches!(self, Method::Get | Method::Head | Method::Options)
    }
}

/// A complete request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is wanted.
    pub method: Method,
    /// The path as sent, without the query.
    pub path: String,
    /// What follows the `?`.
    pub query: Query,
    /// Names in lower case, values without surrounding blanks; what is not UTF-8 is replaced.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// The content, without transfer coding.
    pub body: Vec<u8>,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Whether the connection goes on after the answer.
    pub keep_alive: bool,
    /// Whether it came with a good login: set by who answers it.
    pub is_by_user: Cell<bool>,
}

impl Request {
    /// A request of that method for that target, as tests and in-process callers make it.
    pub fn new(method: Method, target: &str) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            method,
            path: path.to_owned(),
            query: Query::parse(query),
            headers: Vec::new(),
            body: Vec::new(),
            peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            keep_alive: true,
            is_by_user: Cell::new(false),
        }
    }

    /// With a header more. The name is in lower case.
    pub fn with_header(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With that content.
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = body.into();
        self
    }

    /// The first header of that name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| &**known == name).map(|(_, value)| &**value)
    }

    /// The parts of the path between slashes, decoded; a last empty one is left out. `None` if one of them is not UTF-8
    /// or not well encoded.
    pub fn segments(&self) -> Option<Vec<String>> {
        let path = self.path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        path.split('/').map(|part| decode(part, false)).collect()
    }
}

/// The parameters after the `?`, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Splits at `&` and `=`. What is not well encoded is left out.
    pub fn parse(text: &str) -> Query {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name, true)?, decode(value, true)?))
        });
        Query(pairs.collect())
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the value of that name is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

/// Undoes percent-encoding; in queries a `+` is a blank.
pub(crate) fn decode(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                bytes
                    .push(u8::from_str_radix(str::from_utf8(digits).ok().filter(|it| !it.starts_with('+'))?, 16).ok()?);
                rest = tail;
            }
            b'+' if plus_is_blank => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes all but letters, digits and `-._~`... of which RabbitMQ encodes `~` too where `tilde` says so.
pub(crate) fn encode(text: &str, tilde: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'~' if tilde => out.push_str("%7E"),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_before_they_are_decoded() {
        let check = |target: &str, expected: Option<&[&str]>| {
            let segments = Request::new(Method::Get, target).segments();
            assert_eq!(
                segments.as_deref(),
                expected.map(|it| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).as_deref()
            );
        };
        check("/", Some(&[""]));
        check("/api/queues/%2F/a%20b", Some(&["api", "queues", "/", "a b"]));
        check("/api/queues/", Some(&["api", "queues"]));
        check("/a//b", Some(&["a", "", "b"]));
        check("/a+b", Some(&["a+b"]));
        check("/..%2f..%2fetc", Some(&["../../etc"]));
        check("/%zz", None);
        check("/%+1", None);
        check("/%2", None);
        check("/%ff", None);
        check("no-slash", None);
    }

    #[test]
    fn queries_are_pairs() {
        let query = Query::parse("page=1&name=a+b%2B&flag&x=%zz&page=2");
        assert_eq!((query.get("page"), query.get("name"), query.get("flag")), (Some("1"), Some("a b+"), Some("")));
        assert_eq!((query.get("x"), query.get("none")), (None, None));
        assert_eq!(query.all("page").collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        for text in ["", "a.#", "a b~/%", "\u{4f60}"] {
            assert_eq!(decode(&encode(text, true), false).as_deref(), Some(text));
        }
        assert_eq!(
            (encode("a.#", true), encode("~", true), encode("~", false)),
            ("a.%23".into(), "%7E".into(), "~".into())
        );
    }
}
