//! The queues and exchanges of a simulated world: what is bound where, and where a message goes that is published to a place.
//!
//! They are few and fixed, so that what must happen to a message can be said without a second broker: each stands for one way
//! in which a message may come or go. Only [`LOOSE`] queues are deleted, and made again under the same name.

use leveret_client::{FieldValue, Table};

/// A durable queue that is there for good once it was declared.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// Where its dead go, by the default exchange.
    pub(super) dead_to: Option<&'static str>,
    /// `x-message-ttl`.
    pub(super) ttl_ms: Option<i32>,
    /// `x-max-length`; what is over goes from the head.
    pub(super) max_length: Option<i32>,
    /// `x-max-priority`.
    pub(super) max_priority: Option<u8>,
}

const fn spec(name: &'static str) -> Spec {
    Spec { name, dead_to: None, ttl_ms: None, max_length: None, max_priority: None }
}

/// Collects the dead of [`BRIEF`] and [`SHORT`].
pub(super) const DEAD: &str = "dead";
/// Messages with a time to live of their own go here, others too.
pub(super) const BRIEF: &str = "brief";
const SHORT: &str = "short";
/// Its dead go round in a circle with [`PONG`]'s.
const PING: &str = "ping";
const PONG: &str = "pong";

/// All queues that stay.
pub(super) static QUEUES: [Spec; 8] = [
    spec("plain"),
    spec("other"),
    Spec { max_priority: Some(3), ..spec("ranked") },
    Spec { dead_to: Some(DEAD), ..spec(BRIEF) },
    Spec { dead_to: Some(DEAD), max_length: Some(6), ..spec(SHORT) },
    Spec { dead_to: Some(PONG), ttl_ms: Some(400), ..spec(PING) },
    Spec { dead_to: Some(PING), ttl_ms: Some(300), ..spec(PONG) },
    spec(DEAD),
];

/// Queues that come and go, with a binding each.
pub(super) const LOOSE: [&str; 2] = ["loose.0", "loose.1"];
/// The direct exchange that they are bound to, by their names.
pub(super) const LOOSE_EXCHANGE: &str = "loose";

/// Exchanges with their types.
pub(super) const EXCHANGES: [(&str, &str); 3] = [("fan", "fanout"), ("keyed", "topic"), (LOOSE_EXCHANGE, "direct")];

/// Bindings that stay: queue, exchange, key.
pub(super) const BINDINGS: [(&str, &str, &str); 6] = [
    ("plain", "fan", ""),
    ("other", "fan", ""),
    ("ranked", "fan", ""),
    (BRIEF, "fan", ""),
    ("plain", "keyed", "a.*"),
    ("other", "keyed", "#"),
];

/// A place to publish to: exchange, key, and the queues that take what comes there.
pub(super) struct Route {
    pub(super) exchange: &'static str,
    pub(super) key: &'static str,
    pub(super) queues: &'static [&'static str],
}

/// All of them, those of the loose queues last.
pub(super) const ROUTES: [Route; 11] = [
    Route { exchange: "", key: "plain", queues: &["plain"] },
    Route { exchange: "", key: "other", queues: &["other"] },
    Route { exchange: "", key: "ranked", queues: &["ranked"] },
    Route { exchange: "", key: BRIEF, queues: &[BRIEF] },
    Route { exchange: "", key: SHORT, queues: &[SHORT] },
    Route { exchange: "", key: PING, queues: &[PING] },
    Route { exchange: "fan", key: "", queues: &["plain", "other", "ranked", BRIEF] },
    Route { exchange: "keyed", key: "a.x", queues: &["plain", "other"] },
    Route { exchange: "keyed", key: "b", queues: &["other"] },
    Route { exchange: LOOSE_EXCHANGE, key: "loose.0", queues: &["loose.0"] },
    Route { exchange: LOOSE_EXCHANGE, key: "loose.1", queues: &["loose.1"] },
];

/// The names of all queues.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    QUEUES.iter().map(|spec| spec.name).chain(LOOSE)
}

/// The queue of that name, if it is one that stays.
pub(super) fn queue(name: &str) -> Option<&'static Spec> {
    QUEUES.iter().find(|spec| spec.name == name)
}

impl Spec {
    /// What it is declared with.
    pub(super) fn arguments(&self) -> Table {
        let mut table = Table::new();
        if let Some(target) = self.dead_to {
            table.push("x-dead-letter-exchange", FieldValue::from(""));
            table.push("x-dead-letter-routing-key", FieldValue::from(target));
        }
        let numbers = [
            ("x-message-ttl", self.ttl_ms),
            ("x-max-length", self.max_length),
            ("x-max-priority", self.max_priority.map(i32::from)),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                table.push(name, FieldValue::from(value));
            }
        }
        table
    }

    /// Whether messages go round between this queue and another one by themselves, until the broker ends it.
    pub(super) fn is_circle(&self) -> bool {
        [PING, PONG].contains(&self.name)
    }
}
