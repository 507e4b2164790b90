//! Who may log in: for now the built-in user `guest`, from this machine only, as RabbitMQ ships it.

use std::net::{IpAddr, SocketAddr};

use leveret_amqp::auth::{Credentials, parse_amqplain, parse_plain, unknown_mechanism};
use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::connection::StartOk;
use leveret_core::Name;

/// The mechanisms offered, in connection.start's form.
pub(super) const MECHANISMS: &str = "PLAIN AMQPLAIN";

const DEFAULT_USER: &str = "guest";
const DEFAULT_PASSWORD: &[u8] = b"guest";

/// Why somebody is not let in.
pub(super) enum Refusal {
    /// The response makes no sense, or the mechanism is unknown.
    Protocol(ProtocolError),
    /// Wrong user, password or place. The text is for the log; the client learns nothing of it.
    Login(String),
}

/// The user who logs in, if user and password are right and `peer` is near enough.
pub(super) fn check(start: &StartOk<'_>, peer: SocketAddr) -> Result<Name, Refusal> {
    let credentials = credentials(start).map_err(Refusal::Protocol)?;
    let Credentials { user, password } = &credentials;
    // Both are compared whatever the first says: time tells nothing about which was wrong.
    let is_user = equal(user.as_bytes(), DEFAULT_USER.as_bytes());
    let is_password = equal(password, DEFAULT_PASSWORD);
    if !(is_user & is_password) {
        return Err(Refusal::Login(format!("user '{user}' - invalid credentials")));
    }
    if !is_loopback(peer.ip()) {
        return Err(Refusal::Login(format!("user '{user}' can only connect via localhost")));
    }
    Ok(user.as_str().into())
}

fn credentials(start: &StartOk<'_>) -> Result<Credentials, ProtocolError> {
    match start.mechanism {
        "PLAIN" => parse_plain(start.response),
        "AMQPLAIN" => parse_amqplain(start.response),
        other => Err(unknown_mechanism(other)),
    }
}

/// Compares in a time that depends on the lengths only.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// 127.0.0.0/8, ::1, and IPv4 loopback written as IPv6.
fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_amqp::table::RawTable;

    fn outcome(mechanism: &str, response: &[u8], peer: &str) -> Result<String, String> {
        let client_properties = RawTable::EMPTY;
        let start = StartOk { client_properties, mechanism, response, locale: "en_US" };
        check(&start, SocketAddr::new(peer.parse().expect("an address"), 1)).map(|user| user.to_string()).map_err(
            |refusal| match refusal {
                Refusal::Protocol(error) => error.text,
                Refusal::Login(text) => text,
            },
        )
    }

    #[test]
    fn guest_logs_in_from_loopback_only() {
        for near in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(outcome("PLAIN", b"\0guest\0guest", near).as_deref(), Ok("guest"));
        }
        for far in ["10.0.0.1", "192.0.2.7", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0"] {
            let refused = outcome("PLAIN", b"\0guest\0guest", far);
            assert_eq!(refused.unwrap_err(), "user 'guest' can only connect via localhost");
        }
    }

    #[test]
    fn wrong_or_blank_passwords_and_unknown_users_are_refused_alike() {
        for response in [&b"\0guest\0wrong"[..], b"\0guest\0", b"\0\0", b"\0somebody\0guest"] {
            assert!(outcome("PLAIN", response, "127.0.0.1").unwrap_err().ends_with("invalid credentials"));
        }
    }

    #[test]
    fn an_unknown_mechanism_is_named() {
        let text = outcome("CRAM-MD5", b"", "127.0.0.1").unwrap_err();
        assert_eq!(text, "COMMAND_INVALID - unknown authentication mechanism 'CRAM-MD5'");
    }
}
