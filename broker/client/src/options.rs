//! Where to connect, as whom, and with which limits.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use leveret_amqp::client;

use crate::reconnect::Backoff;
use crate::uri::{self, UriError};

/// The port of AMQP without TLS.
pub(crate) const PORT_DEFAULT: u16 = 5672;

/// How to open a connection. All fields have a default: user guest on the vhost `/` of this machine.
///
/// ```
/// use leveret_client::Options;
///
/// let options: Options = "amqp://ann:secret@broker.example/orders?heartbeat=10".parse().unwrap();
/// assert_eq!((&*options.user, &*options.virtual_host), ("ann", "orders"));
/// let options = Options { name: Some("billing".into()), ..options };
/// # let _ = options;
/// ```
#[derive(Clone, PartialEq)]
pub struct Options {
    /// Name or address of the server, an IPv6 address without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Name of the user.
    pub user: String,
    /// Password or token.
    pub password: String,
    /// The vhost to open.
    pub virtual_host: String,
    /// What the server's lists call this connection.
    pub name: Option<String>,
    /// Heartbeat interval in seconds; `None` for the server's proposal, 0 for none.
    pub heartbeat: Option<u16>,
    /// Most bytes of a frame; the lower of this and the server's counts. 0 for the server's.
    pub frame_max: u32,
    /// Most channels; the lower of this and the server's counts. 0 for the server's.
    pub channel_max: u16,
    /// How long connecting may take, the handshake included: 10 s.
    pub connect_timeout: Duration,
    /// Whether, and with which pauses, [`Connection::open`](crate::Connection::open) and
    /// [`reopen`](crate::Connection::reopen) try again. `None`: they try once.
    pub reconnect: Option<Backoff>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            host: "localhost".to_owned(),
            port: PORT_DEFAULT,
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            virtual_host: "/".to_owned(),
            name: None,
            heartbeat: None,
            frame_max: 0,
            channel_max: 0,
            connect_timeout: Duration::from_secs(10),
            reconnect: None,
        }
    }
}

impl FromStr for Options {
    type Err = UriError;

    /// Reads `amqp://user:password@host:port/vhost?heartbeat=10`.
    fn from_str(uri: &str) -> Result<Self, UriError> {
        uri::parse(uri)
    }
}

impl Options {
    /// What the protocol machine is told.
    pub(crate) fn protocol(&self) -> client::Options {
        let defaults = client::Options::default();
        let mut client_properties = defaults.client_properties.with("version", env!("CARGO_PKG_VERSION"));
        if let Some(name) = &self.name {
            client_properties.push("connection_name", name.as_str());
        }
        client::Options {
            user: self.user.clone(),
            password: self.password.clone(),
            virtual_host: self.virtual_host.clone(),
            client_properties,
            frame_max: self.frame_max,
            channel_max: self.channel_max,
            heartbeat: self.heartbeat,
        }
    }
}

/// Leaves the password out, so that no log ever shows it.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("virtual_host", &self.virtual_host)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_log_shows_the_password() {
        let options = Options { password: "sesame".into(), ..Options::default() };
        assert!(!format!("{options:?} {:?}", options.protocol()).contains("sesame"));
    }

    #[test]
    fn the_name_goes_to_the_server() {
        let options = Options { name: Some("billing".into()), ..Options::default() };
        let name = options.protocol().client_properties.get("connection_name").cloned();
        assert_eq!(name, Some("billing".into()));
    }
}
