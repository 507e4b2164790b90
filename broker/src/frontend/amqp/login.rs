//! Logging in over AMQP: the mechanisms, and what is asked of the broker's users.

use std::net::SocketAddr;

use leveret_amqp::auth::{Credentials, parse_amqplain, parse_plain, unknown_mechanism};
use leveret_amqp::error::ProtocolError;
use leveret_amqp::method::connection::StartOk;
use leveret_core::Name;

use crate::shard::Shard;

/// The mechanisms offered, in connection.start's form.
pub(super) const MECHANISMS: &str = "PLAIN AMQPLAIN";

/// Why somebody is not let in.
pub(super) enum Refusal {
    /// The response makes no sense, or the mechanism is unknown.
    Protocol(ProtocolError),
    /// Wrong user, password or place. The text is for the log; the client learns nothing of it.
    Login(String),
}

/// The user who logs in, if user and password are right and `peer` is near enough. May wait.
pub(super) fn check(shard: &Shard, start: &StartOk<'_>, peer: SocketAddr) -> Result<Name, Refusal> {
    let Credentials { user, password } = credentials(start).map_err(Refusal::Protocol)?;
    let found = shard.authenticate(&user, &password, peer.ip());
    found.map_err(|refused| Refusal::Login(refused.to_string()))
}

fn credentials(start: &StartOk<'_>) -> Result<Credentials, ProtocolError> {
    match start.mechanism {
        "PLAIN" => parse_plain(start.response),
        "AMQPLAIN" => parse_amqplain(start.response),
        other => Err(unknown_mechanism(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_amqp::table::RawTable;

    #[test]
    fn an_unknown_mechanism_is_named() {
        let client_properties = RawTable::EMPTY;
        let start = StartOk { client_properties, mechanism: "CRAM-MD5", response: b"", locale: "en_US" };
        let error = credentials(&start).expect_err("there is no such mechanism");
        assert_eq!(error.text, "COMMAND_INVALID - unknown authentication mechanism 'CRAM-MD5'");
    }
}
