//! Why an administrative command is refused, in the words of RabbitMQ's HTTP API (the `reason` of its answer).

use std::fmt;

use super::password::Algorithm;
use super::pattern::InvalidPattern;
use crate::ids::Name;

/// See the module's description. Texts are by `Display`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such user: 404.
    NoSuchUser(Name),
    /// There is no such virtual host: 404.
    NoSuchVhost(Name),
    /// Permissions for a user or in a virtual host that is not there: 400.
    VhostOrUserNotFound,
    /// A name that is empty or longer than 255 bytes: 400.
    InvalidName(&'static str),
    /// A permission that is no regular expression: 400.
    InvalidPattern(InvalidPattern),
    /// A parameter, policy or limit that makes no sense: 400. The text is that between `Validation failed` and the end.
    Validation(Box<str>),
    /// `hashing_algorithm` is unknown: 400.
    UnknownAlgorithm(Box<str>),
    /// `password_hash` is no digest of that algorithm: 400.
    InvalidHash(Algorithm),
    /// The virtual host is protected from deletion: 412.
    ProtectedVhost(Name),
    /// The user has the tag `protected`: 412.
    ProtectedUser(Name),
    /// There may be no more virtual hosts: 400.
    VhostLimit {
        /// The one to be made.
        name: Name,
        /// How many there may be.
        limit: u64,
    },
    /// `default_queue_type` is unknown: 400.
    UnknownQueueType(Box<str>),
}

impl Refused {
    /// Whether the object of the command is not there: 404 rather than 400.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoSuchUser(_) | Self::NoSuchVhost(_))
    }

    /// Whether a protection stands against it: 412 rather than 400.
    pub fn is_protection(&self) -> bool {
        matches!(self, Self::ProtectedVhost(_) | Self::ProtectedUser(_))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchUser(user) => write!(f, "user '{user}' does not exist"),
            Self::NoSuchVhost(vhost) => write!(f, "virtual host '{vhost}' does not exist"),
            Self::VhostOrUserNotFound => f.write_str("vhost_or_user_not_found"),
            Self::InvalidName(what) => write!(f, "the name of a {what} must have 1 to 255 bytes"),
            Self::InvalidPattern(InvalidPattern { pattern, reason }) => {
                write!(f, "invalid regular expression '{pattern}': {reason}")
            }
            Self::Validation(text) => write!(f, "Validation failed\n\n{text}\n"),
            Self::UnknownAlgorithm(name) => write!(f, "unknown hashing algorithm '{name}'"),
            Self::InvalidHash(algorithm) => write!(f, "password_hash is not a digest of {}", algorithm.as_str()),
            Self::ProtectedVhost(vhost) => {
                write!(f, "Refusing to delete virtual host '{vhost}' because it is protected from deletion")
            }
            Self::ProtectedUser(user) => write!(f, "Refusing to delete user '{user}' because it is protected"),
            Self::VhostLimit { name, limit } => {
                write!(f, "cannot create vhost '{name}': vhost limit of {limit} is reached")
            }
            Self::UnknownQueueType(name) => write!(f, "Unsupported default queue type '{name}'"),
        }
    }
}

impl std::error::Error for Refused {}

impl From<InvalidPattern> for Refused {
    fn from(invalid: InvalidPattern) -> Self {
        Self::InvalidPattern(invalid)
    }
}
