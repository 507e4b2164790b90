//! Where to connect to or to listen: addresses as literals, and names that somebody has to look up.
//!
//! A trait of our own, because `std::net::ToSocketAddrs` looks names up where it is called and would stop the whole shard
//! for as long as the name server takes. Literals are parsed in place; a name is looked up on the thread pool.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs as _};

use super::simulated::world;
use crate::driver::sim::World;
use crate::offload::offload_io;

/// Something that names one or more socket addresses.
///
/// `"localhost:5672"`, `("localhost", 5672)`, `"[::1]:5672"`, and std's address types.
///
/// ```
/// use leveret_runtime::net::TcpListener;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
/// let port = listener.local_addr().unwrap().port();
/// for addr in [format!("127.0.0.1:{port}"), format!("localhost:{port}")] {
///     leveret_runtime::net::TcpStream::connect(&addr).unwrap();
/// }
/// assert!(TcpListener::bind("no port").is_err());
/// # }).unwrap();
/// ```
pub trait ToAddrs {
    /// The addresses, at least one. Parks if a name has to be looked up.
    ///
    /// # Errors
    /// The name is not known, or the text is not of the form `host:port`.
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>>;

    /// The name as its user knows it, for errors and logs.
    fn describe(&self) -> String;
}

/// Looks the addresses of a host up, on the thread pool, in the order in which they should be tried.
///
/// ```
/// # leveret_runtime::run(|| {
/// let addrs = leveret_runtime::net::resolve("127.0.0.1", 5672).unwrap();
/// assert_eq!(addrs, ["127.0.0.1:5672".parse().unwrap()]);
/// # }).unwrap();
/// ```
///
/// # Errors
/// The host is not known; the text says which.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(ip) = ip_literal(host) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if let Some(world) = world() {
        return simulated(&world, host, port);
    }
    let name = host.to_owned();
    let found = offload_io(move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter));
    match found {
        Ok(addrs) if addrs.is_empty() => Err(unknown(host, port, "it has no address")),
        Ok(addrs) => Ok(addrs),
        Err(error) => Err(io::Error::new(error.kind(), format!("cannot find the address of {host}:{port}: {error}"))),
    }
}

/// A simulation knows its hosts and nobody else.
fn simulated(world: &World, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match host {
        "localhost" => Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]),
        name => match world.hosts.find(name) {
            Some(host) => Ok(vec![SocketAddr::new(world.hosts.ip(host).into(), port)]),
            None => Err(unknown(name, port, "the simulation has no host of this name")),
        },
    }
}

fn unknown(host: &str, port: u16, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("cannot find the address of {host}:{port}: {why}"))
}

/// Calls `f` with one address after the other until it succeeds.
pub(crate) fn try_each<T>(
    doing: &str,
    name: &(impl ToAddrs + ?Sized),
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut failure = None;
    for addr in name.to_addrs()? {
        match f(addr) {
            Ok(value) => return Ok(value),
            Err(error) => failure = Some(explain(doing, &name.describe(), addr, &error)),
        }
    }
    Err(failure
        .unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no address to {doing} was given"))))
}

fn explain(doing: &str, name: &str, addr: SocketAddr, error: &io::Error) -> io::Error {
    let address = addr.to_string();
    let text = match address == name {
        true => format!("cannot {doing} {name}: {error}"),
        false => format!("cannot {doing} {name} ({address}): {error}"),
    };
    io::Error::new(error.kind(), text)
}

/// The address inside `127.0.0.1`, `::1` or `[::1]`.
fn ip_literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

/// `host:port`, with the host as its user wrote it.
fn split(name: &str) -> io::Result<(&str, u16)> {
    let parts =
        name.rsplit_once(':').filter(|(host, _)| !host.is_empty() && (!host.contains(':') || host.starts_with('[')));
    let (host, port) = parts.ok_or_else(|| malformed(name, "a host, a colon and a port were expected"))?;
    let port = port.parse().map_err(|_| malformed(name, "the port is a number from 0 to 65535"))?;
    Ok((host, port))
}

fn malformed(name: &str, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("'{name}' is no address: {why}"))
}

fn join(host: impl Display, port: u16) -> String {
    format!("{host}:{port}")
}

impl ToAddrs for str {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        if let Ok(addr) = self.parse() {
            return Ok(vec![addr]);
        }
        let (host, port) = split(self)?;
        resolve(host, port)
    }

    fn describe(&self) -> String {
        self.to_owned()
    }
}

impl ToAddrs for String {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.as_str().to_addrs()
    }

    fn describe(&self) -> String {
        self.clone()
    }
}

impl ToAddrs for (&str, u16) {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        resolve(self.0, self.1)
    }

    fn describe(&self) -> String {
        match ip_literal(self.0) {
            Some(ip) => SocketAddr::new(ip, self.1).to_string(),
            None => join(self.0, self.1),
        }
    }
}

impl ToAddrs for (String, u16) {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (self.0.as_str(), self.1).to_addrs()
    }

    fn describe(&self) -> String {
        (self.0.as_str(), self.1).describe()
    }
}

impl ToAddrs for [SocketAddr] {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        Ok(self.to_vec())
    }

    fn describe(&self) -> String {
        self.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl<T: ToAddrs + ?Sized> ToAddrs for &T {
    fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        (**self).to_addrs()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// Types of std that are one address.
macro_rules! one_address {
    ($($Address:ty),*) => { $(
        impl ToAddrs for $Address {
            fn to_addrs(&self) -> io::Result<Vec<SocketAddr>> {
                Ok(vec![SocketAddr::from(*self)])
            }

            fn describe(&self) -> String {
                SocketAddr::from(*self).to_string()
            }
        }
    )* };
}

one_address!(SocketAddr, SocketAddrV4, SocketAddrV6, (IpAddr, u16), (Ipv4Addr, u16), (Ipv6Addr, u16));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_need_no_runtime() {
        let check = |name: &dyn ToAddrs, expected: &str| {
            let expected: SocketAddr = expected.parse().unwrap();
            assert_eq!(name.to_addrs().unwrap(), [expected]);
            assert_eq!(name.describe(), expected.to_string());
        };
        check(&"127.0.0.1:80", "127.0.0.1:80");
        check(&"[::1]:80".to_owned(), "[::1]:80");
        check(&("127.0.0.1", 80), "127.0.0.1:80");
        check(&("::1", 80), "[::1]:80");
        check(&("[::1]", 80), "[::1]:80");
        check(&("::1".to_owned(), 80), "[::1]:80");
        check(&(Ipv4Addr::LOCALHOST, 80), "127.0.0.1:80");
        check(&(IpAddr::from(Ipv6Addr::LOCALHOST), 80), "[::1]:80");
        check(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 80), "127.0.0.1:80");
        check(&SocketAddr::from((Ipv4Addr::LOCALHOST, 80)), "127.0.0.1:80");
    }

    #[test]
    fn text_that_is_no_address_is_refused_by_name() {
        let check = |name: &str, expected: &str| {
            let error = name.to_addrs().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(name) && error.to_string().contains(expected), "{error}");
        };
        check("localhost", "a colon and a port");
        check("", "a colon and a port");
        check(":80", "a colon and a port");
        check("::1:80x", "a colon and a port");
        check("localhost:", "the port");
        check("localhost:65536", "the port");
        check("localhost:-1", "the port");
    }

    #[test]
    fn each_address_is_tried_until_one_answers() {
        let addrs: Vec<SocketAddr> = (1..=3).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        let check = |good: u16, expected: Result<u16, &str>| {
            let answer = |addr: SocketAddr| match addr.port() {
                port if port == good => Ok(port),
                _ => Err(io::ErrorKind::ConnectionRefused.into()),
            };
            let tried = try_each("connect to", addrs.as_slice(), answer);
            assert_eq!(tried.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
        };
        check(1, Ok(1));
        check(3, Ok(3));
        let last = "cannot connect to 127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:3 (127.0.0.1:3): connection refused";
        check(4, Err(last));
        let nothing = try_each("connect to", &[][..], |_| Ok(())).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn names_are_looked_up_on_the_pool_and_failures_name_them() {
        crate::run(|| {
            let found = resolve("localhost", 7).unwrap();
            assert!(found.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 7), "{found:?}");
            let error = "no-such-host.invalid:7".to_addrs().unwrap_err();
            assert!(error.to_string().contains("no-such-host.invalid:7"), "{error}");
        })
        .unwrap();
    }
}
