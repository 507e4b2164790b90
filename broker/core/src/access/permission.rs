//! Who may do what.
//!
//! For each user and virtual host there are three regular expressions: names that the user may *configure* (create and
//! delete), *write* to and *read* from. One table, [`Operation::requirements`], says which operation needs which right
//! on what; it is the same for AMQP and for HTTP. No record means no access to the virtual host at all.
//!
//! Topic exchanges may have a further record, on routing and binding keys. Where there is none, every key is allowed.
//!
//! Passwords and how users log in are not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::pattern::{InvalidPattern, Pattern};
use crate::error::{Error, Resource, ResourceKind};
use crate::ids::Name;

/// What the default exchange is called where permissions are concerned, since patterns cannot sensibly match an empty
/// name.
pub const DEFAULT_EXCHANGE_ALIAS: &str = "amq.default";

/// One of the three rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Create and delete.
    Configure,
    /// Put messages or bindings in.
    Write,
    /// Take messages or bindings out.
    Read,
}

impl Right {
    /// The word in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// What a client wants to do, with the names that matter. The empty exchange name is the default exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the operations' own")]
pub enum Operation<'a> {
    /// exchange.declare, not passive.
    DeclareExchange { exchange: &'a str, alternate: Option<&'a str> },
    /// exchange.delete
    DeleteExchange { exchange: &'a str },
    /// exchange.bind, exchange.unbind
    BindExchange { source: &'a str, destination: &'a str },
    /// queue.declare, not passive.
    DeclareQueue { queue: &'a str, dead_letter_exchange: Option<&'a str> },
    /// queue.delete
    DeleteQueue { queue: &'a str },
    /// queue.bind, queue.unbind
    BindQueue { queue: &'a str, exchange: &'a str },
    /// queue.purge, basic.get, basic.consume
    TakeFromQueue { queue: &'a str },
    /// basic.publish
    Publish { exchange: &'a str },
}

/// A right that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requirement<'a> {
    /// Which one.
    pub right: Right,
    /// On what.
    pub kind: ResourceKind,
    /// Its name.
    pub name: &'a str,
}

impl<'a> Operation<'a> {
    /// The rights needed, in the order in which RabbitMQ asks for them.
    pub fn requirements(self) -> impl Iterator<Item = Requirement<'a>> {
        use Right::{Configure, Read, Write};
        let exchange = |right, name| Some(Requirement { right, kind: ResourceKind::Exchange, name });
        let queue = |right, name| Some(Requirement { right, kind: ResourceKind::Queue, name });
        let table = match self {
            Self::DeclareExchange { exchange: name, alternate: None } => [exchange(Configure, name), None, None],
            Self::DeclareExchange { exchange: name, alternate: Some(alternate) } => {
                [exchange(Configure, name), exchange(Read, name), exchange(Write, alternate)]
            }
            Self::DeleteExchange { exchange: name } => [exchange(Configure, name), None, None],
            Self::BindExchange { source, destination } => [exchange(Write, destination), exchange(Read, source), None],
            Self::DeclareQueue { queue: name, dead_letter_exchange: None } => [queue(Configure, name), None, None],
            Self::DeclareQueue { queue: name, dead_letter_exchange: Some(target) } => {
                [queue(Configure, name), queue(Read, name), exchange(Write, target)]
            }
            Self::DeleteQueue { queue: name } => [queue(Configure, name), None, None],
            Self::BindQueue { queue: name, exchange: source } => [queue(Write, name), exchange(Read, source), None],
            Self::TakeFromQueue { queue: name } => [queue(Read, name), None, None],
            Self::Publish { exchange: name } => [exchange(Write, name), None, None],
        };
        table.into_iter().flatten()
    }
}

/// What one user may do in one virtual host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Names to create and delete.
    pub configure: Pattern,
    /// Names to write to.
    pub write: Pattern,
    /// Names to read from.
    pub read: Pattern,
}

/// Restrictions by topic exchange, for one user in one virtual host.
pub type TopicPermissions = BTreeMap<Name, TopicPermission>;

/// What keys one user may use with one topic exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermission {
    /// Routing keys to publish with.
    pub write: Pattern,
    /// Binding keys to bind with.
    pub read: Pattern,
}

/// Whose access is checked, for the error texts.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// The user's name.
    pub user: &'a Name,
    /// The virtual host's name.
    pub vhost: &'a Name,
}

impl Permission {
    /// Three patterns.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, InvalidPattern> {
        Ok(Self { configure: Pattern::new(configure)?, write: Pattern::new(write)?, read: Pattern::new(read)? })
    }

    /// Checks all that an operation requires.
    pub fn check(&self, who: Who<'_>, operation: Operation<'_>) -> Result<(), Error> {
        operation.requirements().try_for_each(|requirement| self.check_one(who, requirement))
    }

    /// Checks a passive declare: "any one of the three" rights will do. Without any, configure is named as missing.
    pub fn check_passive(&self, who: Who<'_>, kind: ResourceKind, name: &str) -> Result<(), Error> {
        let right = [Right::Read, Right::Write].into_iter().find(|right| self.allows(*right, kind, name));
        self.check_one(who, Requirement { right: right.unwrap_or(Right::Configure), kind, name })
    }

    /// Whether there is this right on this name.
    pub fn allows(&self, right: Right, kind: ResourceKind, name: &str) -> bool {
        let pattern = match right {
            Right::Configure => &self.configure,
            Right::Write => &self.write,
            Right::Read => &self.read,
        };
        pattern.matches(alias(kind, name))
    }

    fn check_one(&self, who: Who<'_>, requirement: Requirement<'_>) -> Result<(), Error> {
        let Requirement { right, kind, name } = requirement;
        let refused = || Error::AccessRefused {
            right,
            resource: Resource { kind, vhost: who.vhost.clone(), name: alias(kind, name).into() },
            user: who.user.clone(),
        };
        if self.allows(right, kind, name) { Ok(()) } else { Err(refused()) }
    }
}

impl TopicPermission {
    /// Two patterns, in which `{username}` and `{vhost}` stand for the client's own.
    pub fn new(who: Who<'_>, write: &str, read: &str) -> Result<Self, InvalidPattern> {
        let pattern = |text: &str| Pattern::for_topic(text, who.user, who.vhost);
        Ok(Self { write: pattern(write)?, read: pattern(read)? })
    }

    /// Whether a routing key (`Write`) or binding key (`Read`) is allowed.
    pub fn allows(&self, right: Right, key: &str) -> bool {
        match right {
            Right::Write => self.write.matches(key),
            Right::Read => self.read.matches(key),
            Right::Configure => true,
        }
    }
}

/// Everything that a user may do in a virtual host, as of one moment: what front-ends ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// The user's name.
    pub user: Name,
    /// The virtual host's name.
    pub vhost: Name,
    /// Rights on names.
    pub permission: Arc<Permission>,
    /// Rights on keys, where there are restrictions.
    pub topics: Arc<TopicPermissions>,
}

impl Rights {
    /// Checks all that an operation requires.
    pub fn check(&self, operation: Operation<'_>) -> Result<(), Error> {
        self.permission.check(self.who(), operation)
    }

    /// Checks a passive declare.
    pub fn check_passive(&self, kind: ResourceKind, name: &str) -> Result<(), Error> {
        self.permission.check_passive(self.who(), kind, name)
    }

    /// Checks a routing key (`Write`) or binding key (`Read`) on a topic exchange.
    pub fn check_topic(&self, right: Right, exchange: &str, key: &str) -> Result<(), Error> {
        if self.topics.get(exchange).is_none_or(|topic| topic.allows(right, key)) {
            return Ok(());
        }
        Err(Error::TopicAccessRefused {
            right,
            key: key.into(),
            exchange: Resource { kind: ResourceKind::Exchange, vhost: self.vhost.clone(), name: exchange.into() },
            user: self.user.clone(),
        })
    }

    fn who(&self) -> Who<'_> {
        Who { user: &self.user, vhost: &self.vhost }
    }
}

fn alias(kind: ResourceKind, name: &str) -> &str {
    if kind == ResourceKind::Exchange && name.is_empty() { DEFAULT_EXCHANGE_ALIAS } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(right: Right, kind: ResourceKind, name: &str) -> Error {
        let resource = Resource { kind, vhost: "/".into(), name: name.into() };
        Error::AccessRefused { right, resource, user: "u".into() }
    }

    fn check(patterns: [&str; 3], operation: Operation<'_>, expected: Result<(), (Right, ResourceKind, &str)>) {
        let access = Permission::new(patterns[0], patterns[1], patterns[2]).expect("valid patterns");
        let who = Who { user: &"u".into(), vhost: &"/".into() };
        let expected = expected.map_err(|(right, kind, name)| refused(right, kind, name));
        assert_eq!(access.check(who, operation), expected, "{patterns:?} {operation:?}");
    }

    #[test]
    fn each_operation_needs_its_rights() {
        use Operation::*;
        use ResourceKind::{Exchange, Queue};
        use Right::{Configure, Read, Write};
        let (all, none) = (".*", "");
        check([all, none, none], DeclareExchange { exchange: "x", alternate: None }, Ok(()));
        check([none, all, all], DeclareExchange { exchange: "x", alternate: None }, Err((Configure, Exchange, "x")));
        let with_alternate = DeclareExchange { exchange: "x", alternate: Some("y") };
        check([all, all, all], with_alternate, Ok(()));
        check([all, all, none], with_alternate, Err((Read, Exchange, "x")));
        check([all, none, all], with_alternate, Err((Write, Exchange, "y")));
        check([none, all, all], DeleteExchange { exchange: "x" }, Err((Configure, Exchange, "x")));
        let bind_exchange = BindExchange { source: "s", destination: "d" };
        check([none, "d", "s"], bind_exchange, Ok(()));
        check([all, "s", "s"], bind_exchange, Err((Write, Exchange, "d")));
        check([all, "d", "d"], bind_exchange, Err((Read, Exchange, "s")));
        check([all, none, none], DeclareQueue { queue: "q", dead_letter_exchange: None }, Ok(()));
        let with_dlx = DeclareQueue { queue: "q", dead_letter_exchange: Some("") };
        check([all, "amq.default", all], with_dlx, Ok(()));
        check([all, "other", all], with_dlx, Err((Write, Exchange, "amq.default")));
        check([all, all, none], with_dlx, Err((Read, Queue, "q")));
        check([none, all, all], DeleteQueue { queue: "q" }, Err((Configure, Queue, "q")));
        check([none, "q", "x"], BindQueue { queue: "q", exchange: "x" }, Ok(()));
        check([all, all, none], BindQueue { queue: "q", exchange: "x" }, Err((Read, Exchange, "x")));
        check([none, none, all], TakeFromQueue { queue: "q" }, Ok(()));
        check([all, all, none], TakeFromQueue { queue: "q" }, Err((Read, Queue, "q")));
        check([all, none, all], Publish { exchange: "" }, Err((Write, Exchange, "amq.default")));
    }

    #[test]
    fn passive_declares_need_any_right() {
        let check = |patterns: [&str; 3], expected: bool| {
            let access = Permission::new(patterns[0], patterns[1], patterns[2]).expect("valid patterns");
            let result = access.check_passive(Who { user: &"u".into(), vhost: &"/".into() }, ResourceKind::Queue, "q");
            let refused = refused(Right::Configure, ResourceKind::Queue, "q");
            assert_eq!(result, if expected { Ok(()) } else { Err(refused) }, "{patterns:?}");
        };
        check(["q", "", ""], true);
        check(["", "q", ""], true);
        check(["", "", "q"], true);
        check(["", "", ""], false);
    }

    #[test]
    fn topic_patterns_apply_where_there_is_a_record() {
        let (user, vhost) = (Name::from("a.b"), Name::from("/"));
        let who = Who { user: &user, vhost: &vhost };
        let topic = TopicPermission::new(who, "^{username}-{vhost}\\.", "^news").expect("valid patterns");
        assert_eq!(topic.write.as_str(), "^{username}-{vhost}\\.", "shown as given");
        let permission = Arc::new(Permission::new(".*", ".*", ".*").expect("valid patterns"));
        let topics = Arc::new([(Name::from("t"), topic)].into_iter().collect());
        let rights = Rights { user, vhost, permission, topics };
        let check = |right: Right, exchange: &str, key: &str, expected: bool| {
            assert_eq!(rights.check_topic(right, exchange, key).is_ok(), expected, "{right:?} {exchange} {key}");
        };
        check(Right::Write, "t", "a.b-/.x", true);
        check(Right::Write, "t", "aXb-/.x", false);
        check(Right::Read, "t", "news.today", true);
        check(Right::Read, "t", "old", false);
        check(Right::Write, "other", "anything", true);
    }
}
