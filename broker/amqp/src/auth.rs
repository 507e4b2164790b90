//! Responses of the security mechanisms: bytes to user and password. Nothing is checked here.
//!
//! PLAIN is `NUL user NUL password`; RabbitMQ takes no authorization id in front and no NUL in the password. AMQPLAIN is the
//! inside of a field table, without its length, with LOGIN and PASSWORD.

use std::fmt;

use crate::error::ProtocolError;
use crate::reply::ReplyCode;
use crate::table::RawTable;
use crate::term::Octets;
use crate::value::FieldValue;

/// Who wants to log in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name; bytes that are not UTF-8 are replaced, and no user has such a name.
    pub user: String,
    /// The password or token, any bytes.
    pub password: Vec<u8>,
}

impl Credentials {
    fn new(user: &[u8], password: &[u8]) -> Self {
        Self { user: String::from_utf8_lossy(user).into_owned(), password: password.to_vec() }
    }
}

/// Leaves the password out, so that no log ever shows it.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Parses a response of the mechanism PLAIN.
///
/// # Errors
/// Hard 502 `SYNTAX_ERROR - response <bytes> invalid`, as RabbitMQ says it.
pub fn parse_plain(response: &[u8]) -> Result<Credentials, ProtocolError> {
    let mut parts = response.split(|&octet| octet == 0);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([]), Some(user), Some(password), None) => Ok(Credentials::new(user, password)),
        _ => Err(syntax_error(format_args!("response {} invalid", Octets::pretty(response)))),
    }
}

/// Parses a response of the mechanism AMQPLAIN.
///
/// # Errors
/// Hard 502 if it is no table, or LOGIN or PASSWORD is missing or no string.
pub fn parse_amqplain(response: &[u8]) -> Result<Credentials, ProtocolError> {
    let table = RawTable::parse(response)
        .map_err(|_| syntax_error(format_args!("response {} invalid", Octets::pretty(response))))?;
    let string = |key| table.find(key).map(|value| value.decode()).filter(|value| value.as_bytes().is_some());
    let missing = || syntax_error("AMQPLAIN auth info is missing LOGIN or PASSWORD field");
    let (user, password): (FieldValue, FieldValue) = string("LOGIN").zip(string("PASSWORD")).ok_or_else(missing)?;
    Ok(Credentials::new(user.as_bytes().unwrap_or_default(), password.as_bytes().unwrap_or_default()))
}

/// The error for a mechanism that the server does not offer: hard 503.
pub fn unknown_mechanism(name: &str) -> ProtocolError {
    ProtocolError::new(ReplyCode::CommandInvalid, format_args!("unknown authentication mechanism '{name}'"))
        .blame_ids(10, 11)
}

fn syntax_error(explanation: impl fmt::Display) -> ProtocolError {
    ProtocolError::new(ReplyCode::SyntaxError, explanation).blame_ids(10, 11)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    #[test]
    fn plain() {
        let check = |response: &[u8], expected: Result<(&str, &[u8]), &str>| {
            let found = parse_plain(response);
            match expected {
                Ok((user, password)) => assert_eq!(found, Ok(Credentials::new(user.as_bytes(), password))),
                Err(text) => {
                    assert_eq!(found.map_err(|error| (error.code.code(), error.text)), Err((502, text.into())))
                }
            }
        };
        check(b"\0guest\0guest", Ok(("guest", b"guest")));
        check(b"\0a\0", Ok(("a", b"")));
        check(b"\0\0", Ok(("", b"")));
        check(b"\0a\0\xff\xfe", Ok(("a", b"\xff\xfe")));
        check(b"", Err("SYNTAX_ERROR - response <<>> invalid"));
        check(b"guest", Err("SYNTAX_ERROR - response <<\"guest\">> invalid"));
        check(b"\0a", Err("SYNTAX_ERROR - response <<0,97>> invalid"));
        check(b"z\0a\0b", Err("SYNTAX_ERROR - response <<122,0,97,0,98>> invalid"));
        check(b"\0a\0b\0", Err("SYNTAX_ERROR - response <<0,97,0,98,0>> invalid"));
    }

    #[test]
    fn amqplain() {
        let check = |table: Table, expected: Option<(&str, &str)>| {
            let found = parse_amqplain(&table.to_bytes()).ok();
            assert_eq!(found, expected.map(|(user, pass)| Credentials::new(user.as_bytes(), pass.as_bytes())));
        };
        check(Table::new().with("LOGIN", "guest").with("PASSWORD", "secret"), Some(("guest", "secret")));
        check(Table::new().with("PASSWORD", "p").with("x", 1).with("LOGIN", "l"), Some(("l", "p")));
        check(Table::new().with("LOGIN", FieldValue::Bytes(b"l".into())).with("PASSWORD", "p"), Some(("l", "p")));
        check(Table::new().with("LOGIN", "guest"), None);
        check(Table::new().with("LOGIN", 1).with("PASSWORD", "p"), None);
        let error = parse_amqplain(b"\x05LOG").expect_err("no table");
        assert_eq!(error.text, "SYNTAX_ERROR - response <<5,76,79,71>> invalid");
    }

    #[test]
    fn passwords_are_not_printed() {
        assert!(!format!("{:?}", Credentials::new(b"guest", b"secret")).contains("secret"));
    }
}
