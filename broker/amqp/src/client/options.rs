//! Who a client is and what it asks for.

use std::fmt;

use crate::method::connection::Tune;
use crate::server::Negotiated;
use crate::table::Table;

/// What a client brings along.
#[derive(Clone, PartialEq)]
pub struct Options {
    /// Name of the user.
    pub user: String,
    /// Password or token.
    pub password: String,
    /// The vhost to open.
    pub virtual_host: String,
    /// Product, `connection_name`, capabilities.
    pub client_properties: Table,
    /// Bytes of a frame; the lower of this and the server's offer counts. 0 for the server's.
    pub frame_max: u32,
    /// Channels; the lower of this and the server's offer counts. 0 for the server's.
    pub channel_max: u16,
    /// Interval in seconds; `None` for the server's proposal, 0 for none.
    pub heartbeat: Option<u16>,
}

impl Default for Options {
    /// User guest on the vhost `/`, with all capabilities that this client has.
    fn default() -> Self {
        let capabilities = Table::new()
            .with("authentication_failure_close", true)
            .with("basic.nack", true)
            .with("connection.blocked", true)
            .with("consumer_cancel_notify", true)
            .with("publisher_confirms", true);
        Self {
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            virtual_host: "/".to_owned(),
            client_properties: Table::new().with("product", "Leveret").with("capabilities", capabilities),
            frame_max: 0,
            channel_max: 0,
            heartbeat: None,
        }
    }
}

/// Leaves the password out, so that no log ever shows it.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("user", &self.user)
            .field("virtual_host", &self.virtual_host)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// What holds until tuning: a frame of RabbitMQ's default size is taken, since server-properties may be long.
    pub(super) fn negotiated_at_first(&self) -> Negotiated {
        const FRAME_MAX_AT_FIRST: u32 = 131_072;
        Negotiated {
            frame_max: FRAME_MAX_AT_FIRST,
            channel_max: self.channel_max,
            heartbeat: self.heartbeat.unwrap_or(0),
        }
    }

    /// The lower of each pair of limits, where 0 is no limit.
    pub(super) fn choose(&self, tune: &Tune) -> Negotiated {
        Negotiated {
            frame_max: lower(self.frame_max, tune.frame_max),
            channel_max: lower(self.channel_max, tune.channel_max),
            heartbeat: self.heartbeat.unwrap_or(tune.heartbeat),
        }
    }

    /// NUL, user, NUL, password.
    pub(super) fn plain_response(&self) -> Vec<u8> {
        [b"\0", self.user.as_bytes(), b"\0", self.password.as_bytes()].concat()
    }
}

fn lower<T: Ord + Default>(left: T, right: T) -> T {
    let none = T::default();
    if left == none || (right != none && right < left) { right } else { left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_limit() {
        let check = |left, right, expected| assert_eq!(lower(left, right), expected);
        check(0, 0, 0);
        check(0, 5, 5);
        check(5, 0, 5);
        check(4, 5, 4);
        check(5, 4, 4);
    }
}
