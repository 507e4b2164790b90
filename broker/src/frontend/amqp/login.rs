//! Logging in over AMQP: the mechanisms, and what is asked of the broker's users.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use leveret_amqp::auth::{Credentials, parse_amqplain, parse_plain, unknown_mechanism};
use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::connection::StartOk;
use leveret_core::Name;

use crate::config::{Config, Mechanism};
use crate::shard::Shard;
use crate::transport::subject;

/// Why somebody is not let in.
pub(super) enum Refusal {
    /// The response makes no sense, or the mechanism is unknown.
    Protocol(ProtocolError),
    /// Wrong user, password or place. The text is for the log; the client learns nothing of it.
    Login(String),
}

/// The mechanisms offered to a client, in connection.start's form.
pub(super) fn offered(mechanisms: &BTreeSet<Mechanism>, has_certificate: bool) -> String {
    let offered = mechanisms.iter().filter(|it| **it != Mechanism::External || has_certificate);
    offered.map(|it| it.as_str()).collect::<Vec<_>>().join(" ")
}

/// The user who logs in, if user and password or the verified certificate are right and `peer` is near enough. May wait.
pub(super) fn check(
    shard: &Shard,
    start: &StartOk<'_>,
    peer: SocketAddr,
    certificate: Option<&[u8]>,
) -> Result<Name, Refusal> {
    let claim = claim(start, &shard.config, certificate).map_err(Refusal::Protocol)?;
    let found = match &claim {
        Claim::Password(Credentials { user, password }) => shard.authenticate(user, password, peer.ip()),
        Claim::Certificate(Some(user)) => shard.admit(user, peer.ip()),
        Claim::Certificate(None) => return Err(Refusal::Login("the certificate names nobody".into())),
    };
    found.map_err(|refused| Refusal::Login(refused.to_string()))
}

/// Who somebody claims to be, and by what.
#[derive(Debug, PartialEq)]
enum Claim {
    Password(Credentials),
    /// The user that the verified certificate names, if any.
    Certificate(Option<String>),
}

/// Whom a login by password claims to be; empty if it does not say.
pub(super) fn claimed_user(start: &StartOk<'_>) -> String {
    let credentials = match start.mechanism {
        "AMQPLAIN" => parse_amqplain(start.response),
        _ => parse_plain(start.response),
    };
    credentials.map(|it| it.user).unwrap_or_default()
}

fn claim(start: &StartOk<'_>, config: &Config, certificate: Option<&[u8]>) -> Result<Claim, ProtocolError> {
    let offered = config.mechanisms.iter().find(|it| it.as_str() == start.mechanism);
    match (offered, certificate) {
        (Some(Mechanism::Plain), _) => parse_plain(start.response).map(Claim::Password),
        (Some(Mechanism::AmqPlain), _) => parse_amqplain(start.response).map(Claim::Password),
        (Some(Mechanism::External), Some(certificate)) => {
            Ok(Claim::Certificate(subject::user_of(certificate, &config.tls)))
        }
        _ => Err(unknown_mechanism(start.mechanism)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_amqp::table::RawTable;

    #[test]
    fn an_unknown_mechanism_is_named() {
        let client_properties = RawTable::EMPTY;
        let check = |mechanism: &str, config: &Config| {
            let start = StartOk { client_properties, mechanism, response: b"", locale: "en_US" };
            let error = claim(&start, config, None).expect_err("there is no such mechanism");
            assert_eq!(error.text, format!("COMMAND_INVALID - unknown authentication mechanism '{mechanism}'"));
        };
        check("CRAM-MD5", &Config::default());
        check("EXTERNAL", &Config::default()); // without a certificate
        check("PLAIN", &Config { mechanisms: [Mechanism::External].into(), ..Config::default() });
    }

    #[test]
    fn certificates_are_a_way_in_only_for_who_has_one() {
        let mut mechanisms = Config::default().mechanisms;
        assert_eq!(offered(&mechanisms, true), "PLAIN AMQPLAIN EXTERNAL");
        assert_eq!(offered(&mechanisms, false), "PLAIN AMQPLAIN");
        mechanisms.remove(&Mechanism::Plain);
        assert_eq!(offered(&mechanisms, false), "AMQPLAIN");
        let client_properties = RawTable::EMPTY;
        let start = StartOk { client_properties, mechanism: "EXTERNAL", response: b"root", locale: "en_US" };
        assert_eq!(claim(&start, &Config::default(), Some(b"nonsense")), Ok(Claim::Certificate(None)));
    }
}
