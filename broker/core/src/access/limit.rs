//! Limits of users and of virtual hosts.
//!
//! A limit that is absent is no limit, and so is a negative one: "-1 = no limit, 0 = refuse all". Negative ones are kept
//! as they were set, since exports and listings show them.

use crate::ids::Name;

/// What can be limited for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UserLimit {
    /// Connections at a time, over all virtual hosts.
    MaxConnections,
    /// Open channels, over all connections.
    MaxChannels,
}

/// What can be limited for a virtual host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VhostLimit {
    /// Connections at a time.
    MaxConnections,
    /// Queues.
    MaxQueues,
}

macro_rules! names {
    ($kind:ident, $($variant:ident = $name:literal),*) => {
        impl $kind {
            /// All of them.
            pub const ALL: [Self; [$(Self::$variant),*].len()] = [$(Self::$variant),*];

            /// The name in listings and definitions.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The limit of that name.
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|limit| limit.as_str() == name)
            }
        }
    };
}

names!(UserLimit, MaxConnections = "max-connections", MaxChannels = "max-channels");
names!(VhostLimit, MaxConnections = "max-connections", MaxQueues = "max-queues");

/// Limits as set: one value, in no unit, for each kind that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits<K>(Vec<(K, i64)>);

impl<K> Default for Limits<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy + Ord> Limits<K> {
    /// Sets a limit, or with `None` forgets it.
    pub fn set(&mut self, kind: K, value: Option<i64>) {
        self.0.retain(|(other, _)| *other != kind);
        self.0.extend(value.map(|value| (kind, value)));
        self.0.sort_unstable();
    }

    /// As set, negative values included.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (K, i64)> + '_ {
        self.0.iter().copied()
    }

    /// The limit in force; `None` is no limit.
    pub fn of(&self, kind: K) -> Option<u64> {
        let (_, value) = self.0.iter().find(|(other, _)| *other == kind)?;
        u64::try_from(*value).ok()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<K: Copy + Ord> FromIterator<(K, i64)> for Limits<K> {
    fn from_iter<I: IntoIterator<Item = (K, i64)>>(entries: I) -> Self {
        let mut limits = Self::default();
        entries.into_iter().for_each(|(kind, value)| limits.set(kind, Some(value)));
        limits
    }
}

/// Why a connection or a channel is refused: a limit is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitReached {
    /// `connection refused: node connection limit (<limit>) is reached`
    NodeConnections {
        /// The limit.
        limit: u64,
    },
    /// `number of channels opened on node '<node>' has reached the maximum allowed limit of (<limit>)`
    NodeChannels {
        /// The node's name.
        node: Name,
        /// The limit.
        limit: u64,
    },
    /// `access to vhost '<vhost>' refused for user '<user>': connection limit (<limit>) is reached`
    VhostConnections {
        /// The virtual host.
        vhost: Name,
        /// Who asked.
        user: Name,
        /// The limit.
        limit: u64,
    },
    /// `connection refused for user '<user>': user connection limit (<limit>) is reached`
    UserConnections {
        /// Who asked.
        user: Name,
        /// The limit.
        limit: u64,
    },
    /// `number of channels opened for user '<user>' has reached the maximum allowed user limit of (<limit>)`
    UserChannels {
        /// Who asked.
        user: Name,
        /// The limit.
        limit: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_and_absent_are_no_limit() {
        let mut limits: Limits<VhostLimit> =
            [(VhostLimit::MaxQueues, 0), (VhostLimit::MaxConnections, -1)].into_iter().collect();
        assert_eq!(limits.of(VhostLimit::MaxQueues), Some(0));
        assert_eq!(limits.of(VhostLimit::MaxConnections), None);
        assert_eq!(limits.iter().collect::<Vec<_>>(), [(VhostLimit::MaxConnections, -1), (VhostLimit::MaxQueues, 0)]);
        limits.set(VhostLimit::MaxQueues, Some(7));
        assert_eq!(limits.of(VhostLimit::MaxQueues), Some(7));
        limits.set(VhostLimit::MaxQueues, None);
        limits.set(VhostLimit::MaxConnections, None);
        assert!(limits.is_empty());
    }

    #[test]
    fn limits_have_rabbitmqs_names() {
        assert!(UserLimit::ALL.into_iter().all(|limit| UserLimit::parse(limit.as_str()) == Some(limit)));
        assert!(VhostLimit::ALL.into_iter().all(|limit| VhostLimit::parse(limit.as_str()) == Some(limit)));
        assert_eq!((UserLimit::parse("max-queues"), VhostLimit::parse("max-channels")), (None, None));
    }
}
