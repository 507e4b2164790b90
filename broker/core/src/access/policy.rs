//! Policies: settings for every queue and exchange whose name matches.
//!
//! Of the policies of a virtual host one applies to an object: of those that match the one of highest priority. The same
//! holds for operator policies, by which whoever runs the broker bounds what its users may ask for. Where both speak of a
//! limit the smaller counts; where they speak of something else the operator's word does.
//!
//! Arguments given at declaration stand beside policies: limits again by minimum, everything else by the argument.

use std::sync::Arc;

use super::pattern::Pattern;
use crate::ids::Name;
use crate::queue::settings::{DeadLetterTarget, Overflow, QUORUM_DELIVERY_LIMIT, QueueKind, QueueSettings};
use crate::value::{Arguments, Value};

/// Whose policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// The users': component `policy`.
    User,
    /// The operator's: component `operator_policy`.
    Operator,
}

/// To what a policy applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "RabbitMQ's own words")]
pub enum ApplyTo {
    #[default]
    All,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
    Exchanges,
}

impl ApplyTo {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::All, Self::Queues, Self::ClassicQueues, Self::QuorumQueues, Self::Streams, Self::Exchanges];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queues => "queues",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
            Self::Exchanges => "exchanges",
        }
    }

    /// The value of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == word)
    }

    fn covers(self, subject: Subject<'_>) -> bool {
        match (self, subject) {
            (Self::All, _) | (Self::Queues, Subject::Queue { .. }) | (Self::Exchanges, Subject::Exchange { .. }) => {
                true
            }
            (Self::ClassicQueues, Subject::Queue { kind, .. }) => kind == "classic",
            (Self::QuorumQueues, Subject::Queue { kind, .. }) => kind == "quorum",
            (Self::Streams, Subject::Queue { kind, .. }) => kind == "stream",
            _ => false,
        }
    }
}

/// What a policy may apply to.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields say it")]
pub enum Subject<'a> {
    Exchange {
        name: &'a str,
    },
    Queue {
        name: &'a str,
        /// `classic`, `quorum` or `stream`.
        kind: &'a str,
    },
}

impl Subject<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Exchange { name } | Self::Queue { name, .. } => name,
        }
    }
}

/// One policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Unique among those of its scope in its virtual host.
    pub name: Name,
    /// Names that it applies to.
    pub pattern: Pattern,
    /// Kinds of objects that it applies to.
    pub apply_to: ApplyTo,
    /// The highest one that matches counts.
    pub priority: i64,
    /// The settings, checked.
    pub definition: Arguments,
}

impl Policy {
    fn matches(&self, subject: Subject<'_>) -> bool {
        self.apply_to.covers(subject) && self.pattern.matches(subject.name())
    }
}

/// The one that applies. Of those with equal priority the first by name, so that every replica chooses alike. (RabbitMQ
/// leaves it open.)
pub(super) fn best<'a>(
    policies: impl Iterator<Item = &'a Arc<Policy>>,
    subject: Subject<'_>,
) -> Option<&'a Arc<Policy>> {
    let matching = policies.filter(|policy| policy.matches(subject));
    matching.min_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)))
}

/// The policies in force for one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// The users' policy.
    pub policy: Option<Arc<Policy>>,
    /// The operator's policy.
    pub operator_policy: Option<Arc<Policy>>,
}

impl Effective {
    /// Whether no policy applies.
    pub fn is_empty(&self) -> bool {
        self.policy.is_none() && self.operator_policy.is_none()
    }

    /// The settings of both, merged, in the order of names.
    pub fn definition(&self) -> Arguments {
        let mut merged = Arguments::new();
        for (name, value) in self.policy.iter().flat_map(|policy| policy.definition.iter()) {
            merged.set(name, value.clone());
        }
        for (name, theirs) in self.operator_policy.iter().flat_map(|policy| policy.definition.iter()) {
            let value = match merged.get(name) {
                Some(ours) => smaller_limit(ours, theirs),
                None => theirs,
            };
            let value = value.clone();
            merged.set(name, value);
        }
        merged.sort();
        merged
    }

    /// One merged setting.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let user = self.policy.as_ref().and_then(|policy| policy.definition.get(name));
        let operator = self.operator_policy.as_ref().and_then(|policy| policy.definition.get(name));
        match (user, operator) {
            (Some(ours), Some(theirs)) => Some(smaller_limit(ours, theirs)),
            (one, other) => one.or(other),
        }
    }

    /// The alternate exchange, for an exchange that has none by argument.
    pub fn alternate_exchange(&self) -> Option<Name> {
        self.get("alternate-exchange")?.as_str().map(Name::from)
    }

    /// What governs a queue: its arguments (and `settings`, which is what they mean) with the policies.
    pub fn queue_settings(&self, arguments: &Arguments, settings: &QueueSettings) -> QueueSettings {
        if self.is_empty() {
            return settings.clone();
        }
        let limit = |name: &str| self.get(name).and_then(Value::as_int).and_then(|value| u64::try_from(value).ok());
        let least = |own: Option<u64>, name: &str| own.into_iter().chain(limit(name)).min();
        let mut changed = settings.clone();
        changed.message_ttl_ms = least(settings.message_ttl_ms, "message-ttl");
        changed.expires_ms = least(settings.expires_ms, "expires");
        changed.max_length = least(settings.max_length, "max-length");
        changed.max_length_bytes = least(settings.max_length_bytes, "max-length-bytes");
        if arguments.get("x-overflow").is_none()
            && let Some(overflow) = self.get("overflow").and_then(Value::as_str).and_then(overflow)
        {
            changed.overflow = overflow;
        }
        changed.dead_letter = self.dead_letter(settings);
        changed.delivery_limit = self.delivery_limit(arguments, settings, changed.dead_letter.is_some());
        changed
    }

    /// Exchange and key each by argument, else by policy.
    fn dead_letter(&self, settings: &QueueSettings) -> Option<DeadLetterTarget> {
        let name = |key: &str| self.get(key).and_then(Value::as_str).map(Name::from);
        let own = settings.dead_letter.as_ref();
        let exchange = own.map(|target| target.exchange.clone()).or_else(|| name("dead-letter-exchange"))?;
        let routing_key = own.and_then(|target| target.routing_key.clone());
        Some(DeadLetterTarget { exchange, routing_key: routing_key.or_else(|| name("dead-letter-routing-key")) })
    }

    fn delivery_limit(&self, arguments: &Arguments, settings: &QueueSettings, has_target: bool) -> Option<u32> {
        let policy = self.get("delivery-limit").and_then(Value::as_int);
        let Some(policy) = policy else {
            let has_default = settings.kind == QueueKind::Quorum && has_target;
            let by_argument = arguments.get("x-delivery-limit").is_some();
            let default = (has_default && !by_argument).then_some(QUORUM_DELIVERY_LIMIT);
            return settings.delivery_limit.or(default);
        };
        let policy = u32::try_from(policy).ok();
        match arguments.get("x-delivery-limit") {
            Some(_) => settings.delivery_limit.into_iter().chain(policy).min(),
            None => policy,
        }
    }
}

/// "Operator policies merge numerically by minimum"; of anything else the operator's value counts.
fn smaller_limit<'a>(ours: &'a Value, theirs: &'a Value) -> &'a Value {
    match (ours.as_int(), theirs.as_int()) {
        (Some(our_limit), Some(their_limit)) if our_limit <= their_limit => ours,
        _ => theirs,
    }
}

fn overflow(word: &str) -> Option<Overflow> {
    match word {
        "drop-head" => Some(Overflow::DropHead),
        "reject-publish" => Some(Overflow::RejectPublish),
        "reject-publish-dlx" => Some(Overflow::RejectPublishDlx),
        _ => None,
    }
}
