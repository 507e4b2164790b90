//! What may stand on the right of an equals sign: sizes, shares, times, levels, addresses. Pure functions from text.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::everywhere;

/// A value that makes no sense for its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// What was expected, such as "a size in bytes, such as 512MiB".
    pub expected: &'static str,
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for InvalidValue {}

/// A number of bytes, or a share of what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Bytes.
    Absolute(u64),
    /// A factor: 0.6 is six tenths.
    Relative(f64),
}

impl Amount {
    /// Bytes, when there are `total`.
    pub fn of(self, total: u64) -> u64 {
        match self {
            Amount::Absolute(bytes) => bytes,
            // Precise to 2^53 bytes; a product beyond u64 saturates.
            Amount::Relative(share) => (total as f64 * share) as u64,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Amount::Absolute(bytes) => write!(f, "{bytes}"),
            Amount::Relative(share) => write!(f, "{share}"),
        }
    }
}

/// A level of the log, in RabbitMQ's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are the field's own")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Off,
}

impl Level {
    /// Our word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Off => "off",
        }
    }
}

/// `true`, `on`, `false`, `off` and the like.
///
/// # Errors
/// Anything else.
pub fn boolean(text: &str) -> Result<bool, InvalidValue> {
    match text {
        "true" | "on" | "yes" => Ok(true),
        "false" | "off" | "no" => Ok(false),
        _ => Err(InvalidValue { expected: "true or false" }),
    }
}

/// A whole number that its type can hold.
///
/// # Errors
/// Not a number, or too large.
pub fn number<N: std::str::FromStr>(text: &str) -> Result<N, InvalidValue> {
    text.parse().map_err(|_| InvalidValue { expected: "a whole number within its key's range" })
}

/// A limit: a number, or `infinity`, `unlimited` or `-1` for none.
///
/// # Errors
/// As [`number`].
pub fn limit(text: &str) -> Result<Option<u64>, InvalidValue> {
    match text {
        "infinity" | "unlimited" | "-1" => Ok(None),
        _ => number(text).map(Some),
    }
}

/// Milliseconds.
///
/// # Errors
/// As [`number`].
pub fn milliseconds(text: &str) -> Result<Duration, InvalidValue> {
    number(text).map(Duration::from_millis)
}

/// Milliseconds, or `false`, `infinity` or `undefined` for no limit.
///
/// # Errors
/// As [`number`].
pub fn timeout(text: &str) -> Result<Option<Duration>, InvalidValue> {
    match text {
        "false" | "infinity" | "undefined" => Ok(None),
        _ => milliseconds(text).map(Some),
    }
}

/// Minutes.
///
/// # Errors
/// As [`number`].
pub fn minutes(text: &str) -> Result<Duration, InvalidValue> {
    const MINUTES_MAX: u64 = 60 * 24 * 366;
    match number(text)? {
        minutes @ 0..=MINUTES_MAX => Ok(Duration::from_secs(minutes * 60)),
        _ => Err(InvalidValue { expected: "a number of minutes, at most a year" }),
    }
}

/// A number of bytes with an optional unit: `512MiB`, `1GB` (a thousand to the third), `2 G` (1,024 to the third, as
/// RabbitMQ reads single letters), `1048576`.
///
/// # Errors
/// Not that, or above 2^64.
pub fn size(text: &str) -> Result<u64, InvalidValue> {
    let invalid = InvalidValue { expected: "a size in bytes, such as 1048576, 512MiB or 1GB" };
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let factor = factor(unit.trim_start()).ok_or(invalid.clone())?;
    count.parse().ok().and_then(|count: u64| count.checked_mul(factor)).ok_or(invalid)
}

fn factor(unit: &str) -> Option<u64> {
    let lower = unit.to_ascii_lowercase();
    let (letter, base) = match lower.as_str() {
        "" | "b" => return Some(1),
        "k" | "m" | "g" | "t" | "p" => (lower.as_str(), 1024),
        _ if lower.ends_with("ib") => (lower.strip_suffix("ib")?, 1024),
        _ => (lower.strip_suffix('b')?, 1000),
    };
    let power = match letter {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return None,
    };
    Some(u64::pow(base, power))
}

/// A share such as `0.6`.
///
/// # Errors
/// Not a number, or not from 0 to 1,000.
pub fn share(text: &str) -> Result<Amount, InvalidValue> {
    match text.parse() {
        Ok(share) if (0.0..=1000.0).contains(&share) => Ok(Amount::Relative(share)),
        _ => Err(InvalidValue { expected: "a factor such as 0.6" }),
    }
}

/// RabbitMQ's words for the levels of the log; `critical` and above are errors here.
///
/// # Errors
/// Another word.
pub fn level(text: &str) -> Result<Level, InvalidValue> {
    match text {
        "trace" => Ok(Level::Trace),
        "debug" => Ok(Level::Debug),
        "info" | "notice" => Ok(Level::Info),
        "warning" | "warn" => Ok(Level::Warn),
        "error" | "critical" | "alert" | "emergency" => Ok(Level::Error),
        "none" | "off" | "false" => Ok(Level::Off),
        _ => Err(InvalidValue { expected: "debug, info, warning, error or none" }),
    }
}

/// `5672`, `127.0.0.1:5672`, `[::1]:5672` or `::1:5672`, which RabbitMQ takes too. A port alone means every address.
///
/// # Errors
/// Not that; host names are not looked up.
pub fn address(text: &str) -> Result<SocketAddr, InvalidValue> {
    let invalid =
        || InvalidValue { expected: "a port, or an IP address and a port such as 127.0.0.1:5672 or [::1]:5672" };
    if let Ok(port) = text.parse() {
        return Ok(everywhere(port));
    }
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (ip, port) = text.rsplit_once(':').ok_or_else(invalid)?;
    match (ip.parse::<IpAddr>(), port.parse()) {
        (Ok(ip), Ok(port)) => Ok(SocketAddr::new(ip, port)),
        _ => Err(invalid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text, expected: Option<u64>| assert_eq!(size(text).ok(), expected, "{text}");
        check("0", Some(0));
        check("1048576", Some(1 << 20));
        check("1k", Some(1024));
        check("1kB", Some(1000));
        check("1KiB", Some(1024));
        check("512MiB", Some(512 << 20));
        check("2 G", Some(2 << 30));
        check("50MB", Some(50_000_000));
        check("1PB", Some(1_000_000_000_000_000));
        check("16777216TiB", None);
        for text in ["", "MB", "-1", "1.5GB", "1XB", "1 i", "1ib", "99999999999999999999"] {
            check(text, None);
        }
    }

    #[test]
    fn addresses() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(address(text).ok(), expected.map(|expected| expected.parse().unwrap()), "{text}");
        };
        check("5672", Some("[::]:5672"));
        check("127.0.0.1:5672", Some("127.0.0.1:5672"));
        check("[::1]:5672", Some("[::1]:5672"));
        check("::1:5672", Some("[::1]:5672"));
        check("0.0.0.0:0", Some("0.0.0.0:0"));
        for text in ["", "localhost:5672", "65536", "127.0.0.1", "127.0.0.1:", ":5672"] {
            check(text, None);
        }
    }

    #[test]
    fn limits_shares_and_times() {
        assert_eq!(limit("infinity"), Ok(None));
        assert_eq!(limit("-1"), Ok(None));
        assert_eq!(limit("0"), Ok(Some(0)));
        assert!(limit("-2").is_err());
        assert_eq!(share("0.4"), Ok(Amount::Relative(0.4)));
        assert!(share("NaN").is_err());
        assert!(share("-1").is_err());
        assert_eq!(Amount::Relative(0.5).of(1000), 500);
        assert_eq!(timeout("false"), Ok(None));
        assert_eq!(timeout("1500"), Ok(Some(Duration::from_millis(1500))));
        assert_eq!(minutes("60"), Ok(Duration::from_secs(3600)));
        assert!(minutes("99999999999").is_err());
        assert!(number::<u16>("65536").is_err());
    }
}
