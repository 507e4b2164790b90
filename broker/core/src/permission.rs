//! Who may do what.
//!
//! For each user and virtual host there are three regular expressions: names that the user may *configure* (create and
//! delete), *write* to and *read* from. One table, [`Operation::requirements`], says which operation needs which right
//! on what; it is the same for AMQP and for HTTP. No record means no access to the virtual host at all.
//!
//! Topic exchanges may have a further record, on routing and binding keys. Where there is none, every key is allowed.
//!
//! Passwords and how users log in are not known here.

use regex::Regex;

use crate::error::{Error, Resource, ResourceKind};
use crate::hash::FastMap;
use crate::ids::Name;

/// What the default exchange is called where permissions are concerned, since patterns cannot sensibly match an empty
/// name.
pub const DEFAULT_EXCHANGE_ALIAS: &str = "amq.default";
/// The user that exists from the start, an administrator with all rights on the virtual host `/`.
pub const DEFAULT_USER: &str = "guest";
/// The virtual host that exists from the start.
pub const DEFAULT_VHOST: &str = "/";

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

/// A regular expression on names, unanchored. The empty one matches nothing.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPattern {
    /// The pattern as given.
    pub pattern: Box<str>,
    /// What the regular expression engine says about it.
    pub reason: Box<str>,
}

impl Pattern {
    /// Compiles a pattern. Look-around and back-references, which RabbitMQ's engine has, are refused.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        let source = if text.is_empty() { "^$" } else { text };
        let regex = Regex::new(source)
            .map_err(|error| InvalidPattern { pattern: text.into(), reason: error.to_string().into() })?;
        Ok(Self { text: text.into(), regex })
    }

    /// Compiles a topic pattern, in which `{username}` and `{vhost}` stand for the client's own.
    pub fn for_topic(text: &str, user: &str, vhost: &str) -> Result<Self, InvalidPattern> {
        let expanded = text.replace("{username}", &regex::escape(user)).replace("{vhost}", &regex::escape(vhost));
        Ok(Self { text: text.into(), ..Self::new(&expanded)? })
    }

    /// The pattern as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What one user may do in one virtual host.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Names to create and delete.
    pub configure: Pattern,
    /// Names to write to.
    pub write: Pattern,
    /// Names to read from.
    pub read: Pattern,
    /// Restrictions by topic exchange.
    pub topics: FastMap<Name, TopicAccess>,
}

/// What keys one user may use with one topic exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicAccess {
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

impl Access {
    /// Three patterns, without topic restrictions.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, InvalidPattern> {
        Ok(Self {
            configure: Pattern::new(configure)?,
            write: Pattern::new(write)?,
            read: Pattern::new(read)?,
            topics: FastMap::default(),
        })
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

    /// Checks a routing key (`Write`) or binding key (`Read`) on a topic exchange.
    pub fn check_topic(&self, who: Who<'_>, right: Right, exchange: &str, key: &str) -> Result<(), Error> {
        let allowed = self.topics.get(exchange).is_none_or(|topic| match right {
            Right::Write => topic.write.matches(key),
            Right::Read => topic.read.matches(key),
            Right::Configure => true,
        });
        let refused = || Error::TopicAccessRefused {
            right,
            key: key.into(),
            exchange: Resource { kind: ResourceKind::Exchange, vhost: who.vhost.clone(), name: exchange.into() },
            user: who.user.clone(),
        };
        if allowed { Ok(()) } else { Err(refused()) }
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

fn alias(kind: ResourceKind, name: &str) -> &str {
    if kind == ResourceKind::Exchange && name.is_empty() { DEFAULT_EXCHANGE_ALIAS } else { name }
}

/// What a user may do besides messaging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "RabbitMQ's own words")]
pub enum Tag {
    Administrator,
    Monitoring,
    Policymaker,
    Management,
    Impersonator,
    Protected,
}

impl Tag {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Administrator,
        Self::Monitoring,
        Self::Policymaker,
        Self::Management,
        Self::Impersonator,
        Self::Protected,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Monitoring => "monitoring",
            Self::Policymaker => "policymaker",
            Self::Management => "management",
            Self::Impersonator => "impersonator",
            Self::Protected => "protected",
        }
    }

    /// The tag of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| tag.as_str() == word)
    }
}

/// A user's tags and permissions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    /// Sorted, each once.
    pub tags: Vec<Tag>,
    /// By virtual host.
    pub access: FastMap<Name, Access>,
}

/// All users.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Users {
    by_name: FastMap<Name, User>,
}

impl Users {
    /// Only [`DEFAULT_USER`].
    pub fn with_default() -> Self {
        let everything = Access::new(".*", ".*", ".*").expect("these patterns are valid");
        let access = [(Name::from(DEFAULT_VHOST), everything)].into_iter().collect();
        let guest = User { tags: vec![Tag::Administrator], access };
        Self { by_name: [(Name::from(DEFAULT_USER), guest)].into_iter().collect() }
    }

    /// Adds or replaces a user.
    pub fn set(&mut self, name: &str, user: User) {
        self.by_name.insert(name.into(), user);
    }

    /// Removes a user; `false` if there is none of that name.
    pub fn remove(&mut self, name: &str) -> bool {
        self.by_name.remove(name).is_some()
    }

    /// The user of that name.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// The user of that name, to change it.
    pub fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        self.by_name.get_mut(name)
    }

    /// What a user may do in a virtual host; `None` is no access to it.
    pub fn access(&self, user: &str, vhost: &str) -> Option<&Access> {
        self.by_name.get(user)?.access.get(vhost)
    }

    /// All users, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &User)> {
        self.by_name.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(right: Right, kind: ResourceKind, name: &str) -> Error {
        let resource = Resource { kind, vhost: "/".into(), name: name.into() };
        Error::AccessRefused { right, resource, user: "u".into() }
    }

    fn check(patterns: [&str; 3], operation: Operation<'_>, expected: Result<(), (Right, ResourceKind, &str)>) {
        let access = Access::new(patterns[0], patterns[1], patterns[2]).expect("valid patterns");
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
    fn patterns_are_unanchored_and_the_empty_one_matches_nothing() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(Pattern::new(pattern).expect("valid").matches(name), expected, "{pattern:?} {name:?}");
        };
        check("a", "bab", true);
        check("^a", "ba", false);
        check("^amq\\.", "amq.topic", true);
        check("", "anything", false);
        check("^(a|b)$", "b", true);
        let look_around = Pattern::new("^(?!amq)");
        assert!(look_around.is_err_and(|error| &*error.pattern == "^(?!amq)" && !error.reason.is_empty()));
    }

    #[test]
    fn passive_declares_need_any_right() {
        let check = |patterns: [&str; 3], expected: bool| {
            let access = Access::new(patterns[0], patterns[1], patterns[2]).expect("valid patterns");
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
        let user = "a.b";
        let mut access = Access::new(".*", ".*", ".*").expect("valid patterns");
        let write = Pattern::for_topic("^{username}-{vhost}\\.", user, "/").expect("valid");
        assert_eq!(write.as_str(), "^{username}-{vhost}\\.", "shown as given");
        let read = Pattern::new("^news").expect("valid");
        access.topics.insert("t".into(), TopicAccess { write, read });
        let check = |right: Right, exchange: &str, key: &str, expected: bool| {
            let result = access.check_topic(Who { user: &user.into(), vhost: &"/".into() }, right, exchange, key);
            assert_eq!(result.is_ok(), expected, "{right:?} {exchange} {key}");
        };
        check(Right::Write, "t", "a.b-/.x", true);
        check(Right::Write, "t", "aXb-/.x", false);
        check(Right::Read, "t", "news.today", true);
        check(Right::Read, "t", "old", false);
        check(Right::Write, "other", "anything", true);
    }

    #[test]
    fn guest_may_do_everything_in_the_default_virtual_host() {
        let users = Users::with_default();
        assert_eq!(users.user("guest").map(|user| &user.tags[..]), Some(&[Tag::Administrator][..]));
        let access = users.access("guest", "/").expect("a record");
        assert!(access.allows(Right::Configure, ResourceKind::Queue, "any"));
        assert!(users.access("guest", "other").is_none() && users.access("nobody", "/").is_none());
        assert!(Tag::ALL.into_iter().all(|tag| Tag::parse(tag.as_str()) == Some(tag)));
    }
}
