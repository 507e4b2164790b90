//! `amqp://user:password@host:port/vhost`, as RabbitMQ's clients read it.
//!
//! The rules of the RabbitMQ URI specification: everything but the scheme may be missing; user, password, host and vhost are
//! percent-decoded; no path means the default vhost `/`, and `amqp://host/` means the vhost with the empty name. Known query
//! parameters are `heartbeat`, `channel_max`, `frame_max`, `connection_timeout` (milliseconds) and `name`; others are errors,
//! because a misspelt one would be forgotten in silence.

use std::fmt;
use std::time::Duration;

use crate::options::{Options, PORT_DEFAULT};

/// What is wrong with a URI. The password is in none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UriError {
    /// It does not begin with `amqp://`.
    Scheme,
    /// `amqps://`, which this client does not speak.
    Tls,
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    Encoding,
    /// A port that is no number from 1 to 65535.
    Port(String),
    /// An IPv6 address without its closing bracket.
    Host(String),
    /// More than one path segment; a `/` in a vhost is written `%2F`.
    Path(String),
    /// A query parameter that is unknown or has a value that it cannot have.
    Parameter(String),
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UriError::Scheme => {
                f.write_str("an AMQP URI begins with amqp://, such as amqp://guest:guest@localhost:5672/")
            }
            UriError::Tls => f.write_str("amqps:// is not supported; use amqp://"),
            UriError::Encoding => f.write_str("a % in a URI is followed by two hexadecimal digits, and all is UTF-8"),
            UriError::Port(port) => write!(f, "'{port}' is no port: a number from 1 to 65535"),
            UriError::Host(host) => write!(f, "'{host}' is no host: an IPv6 address stands in brackets"),
            UriError::Path(path) => write!(f, "'{path}' is no vhost: write %2F for a slash"),
            UriError::Parameter(pair) => write!(
                f,
                "'{pair}' is no parameter; there are heartbeat, channel_max, frame_max, connection_timeout (ms) and name"
            ),
        }
    }
}

impl std::error::Error for UriError {}

/// Reads a URI; what it does not say stays as in `Options::default()`.
pub(crate) fn parse(uri: &str) -> Result<Options, UriError> {
    let rest = match uri.split_once("://") {
        Some(("amqp", rest)) => rest,
        Some(("amqps", _)) => return Err(UriError::Tls),
        _ => return Err(UriError::Scheme),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let mut options = Options::default();
    let address = match authority.rsplit_once('@') {
        Some((login, address)) => {
            set_login(&mut options, login)?;
            address
        }
        None => authority,
    };
    set_address(&mut options, address)?;
    if let Some(path) = path {
        options.virtual_host = vhost(path)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        set_parameter(&mut options, pair)?;
    }
    Ok(options)
}

fn set_login(options: &mut Options, login: &str) -> Result<(), UriError> {
    let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
    options.user = decode(user)?;
    if let Some(password) = password {
        options.password = decode(password)?;
    }
    Ok(())
}

fn set_address(options: &mut Options, address: &str) -> Result<(), UriError> {
    let (host, port) = split_address(address)?;
    if !host.is_empty() {
        options.host = decode(host)?;
    }
    options.port = match port {
        None | Some("") => PORT_DEFAULT,
        Some(port) => port.parse().ok().filter(|&port| port != 0).ok_or_else(|| UriError::Port(port.to_owned()))?,
    };
    Ok(())
}

/// Host, without the brackets of an IPv6 address, and port.
fn split_address(address: &str) -> Result<(&str, Option<&str>), UriError> {
    let malformed = || UriError::Host(address.to_owned());
    if let Some(bracketed) = address.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or_else(malformed)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(malformed()),
        };
    }
    match address.split_once(':') {
        None => Ok((address, None)),
        Some((_, port)) if port.contains(':') => Err(malformed()),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

fn vhost(path: &str) -> Result<String, UriError> {
    if path.contains('/') { Err(UriError::Path(path.to_owned())) } else { decode(path) }
}

fn set_parameter(options: &mut Options, pair: &str) -> Result<(), UriError> {
    let wrong = || UriError::Parameter(pair.to_owned());
    let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
    match name {
        "heartbeat" => options.heartbeat = Some(value.parse().map_err(|_| wrong())?),
        "channel_max" => options.channel_max = value.parse().map_err(|_| wrong())?,
        "frame_max" => options.frame_max = value.parse().map_err(|_| wrong())?,
        "connection_timeout" => {
            options.connect_timeout = Duration::from_millis(value.parse::<u32>().map_err(|_| wrong())?.into());
        }
        "name" => options.name = Some(decode(value)?),
        _ => return Err(wrong()),
    }
    Ok(())
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, UriError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).map_err(|_| UriError::Encoding)
}

fn digit(byte: Option<u8>) -> Result<u8, UriError> {
    let value = byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(UriError::Encoding)?;
    Ok(u8::try_from(value).expect("a hexadecimal digit is below 16"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read_as_rabbitmq_specifies() {
        let check = |uri: &str, expected: (&str, &str, &str, u16, &str)| {
            let options = parse(uri).unwrap_or_else(|error| panic!("{uri}: {error}"));
            let Options { user, password, host, port, virtual_host, .. } = &options;
            assert_eq!((&**user, &**password, &**host, *port, &**virtual_host), expected, "{uri}");
        };
        // The table of the specification's appendix.
        check("amqp://user:pass@host:10000/vhost", ("user", "pass", "host", 10000, "vhost"));
        check("amqp://user%61:%61pass@ho%61st:10000/v%2fhost", ("usera", "apass", "hoast", 10000, "v/host"));
        check("amqp://", ("guest", "guest", "localhost", 5672, "/"));
        check("amqp://:@/", ("", "", "localhost", 5672, ""));
        check("amqp://user@", ("user", "guest", "localhost", 5672, "/"));
        check("amqp://user:pass@", ("user", "pass", "localhost", 5672, "/"));
        check("amqp://host", ("guest", "guest", "host", 5672, "/"));
        check("amqp://:10000", ("guest", "guest", "localhost", 10000, "/"));
        check("amqp:///vhost", ("guest", "guest", "localhost", 5672, "vhost"));
        check("amqp://host/", ("guest", "guest", "host", 5672, ""));
        check("amqp://host/%2f", ("guest", "guest", "host", 5672, "/"));
        check("amqp://[::1]", ("guest", "guest", "::1", 5672, "/"));
        check("amqp://[::1]:5673/x", ("guest", "guest", "::1", 5673, "x"));
        check("amqp://u:p@h@host/", ("u", "p@h", "host", 5672, ""));
        check("amqp://host:/x", ("guest", "guest", "host", 5672, "x"));
    }

    #[test]
    fn parameters_are_read() {
        let uri = "amqp://h?heartbeat=5&channel_max=7&frame_max=8192&connection_timeout=250&name=a%20b";
        let options = parse(uri).expect("a good URI");
        assert_eq!((options.heartbeat, options.channel_max, options.frame_max), (Some(5), 7, 8192));
        assert_eq!(options.connect_timeout, Duration::from_millis(250));
        assert_eq!(options.name.as_deref(), Some("a b"));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |uri: &str, expected: UriError| assert_eq!(parse(uri).err(), Some(expected), "{uri}");
        check("localhost", UriError::Scheme);
        check("http://localhost", UriError::Scheme);
        check("amqps://localhost", UriError::Tls);
        check("amqp://ho%6", UriError::Encoding);
        check("amqp://ho%zz", UriError::Encoding);
        check("amqp://ho%ff", UriError::Encoding);
        check("amqp://h:0", UriError::Port("0".into()));
        check("amqp://h:65536", UriError::Port("65536".into()));
        check("amqp://h:x", UriError::Port("x".into()));
        check("amqp://::1", UriError::Host("::1".into()));
        check("amqp://[::1", UriError::Host("[::1".into()));
        check("amqp://[::1]x", UriError::Host("[::1]x".into()));
        check("amqp://h/a/b", UriError::Path("a/b".into()));
        check("amqp://h?heartbeat=-1", UriError::Parameter("heartbeat=-1".into()));
        check("amqp://h?hartbeat=1", UriError::Parameter("hartbeat=1".into()));
        check("amqp://h?heartbeat", UriError::Parameter("heartbeat".into()));
    }
}
