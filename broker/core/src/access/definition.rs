//! What may stand in a policy's definition: one table of keys with the values that each takes.

use super::erlang::{Pairs, Term};
use super::policy::Scope;
use crate::value::{Arguments, Value};

/// What a key's value must be.
#[derive(Clone, Copy)]
enum Takes {
    /// An integer of at least so much.
    AtLeast(i64),
    /// A string.
    Text,
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A number and a unit such as `7D`.
    Age,
    /// Settings of what does not exist here any more, or of a plugin: kept and without effect.
    Anything,
}

use Takes::{Age, Anything, AtLeast, OneOf, Text};

/// Key, value, what RabbitMQ calls a wrong value ("`<value>` is not a valid ..."), and whether operators may use it too.
const KEYS: [(&str, Takes, &str, bool); 35] = [
    ("alternate-exchange", Text, "alternate exchange name", false),
    ("consumer-disconnected-timeout", AtLeast(0), "consumer timeout", false),
    ("consumer-timeout", AtLeast(0), "consumer timeout", false),
    ("dead-letter-exchange", Text, "dead letter exchange name", false),
    ("dead-letter-routing-key", Text, "dead letter routing key", false),
    ("dead-letter-strategy", OneOf(&["at-most-once", "at-least-once"]), "dead letter strategy", false),
    ("delayed-retry-max", AtLeast(0), "delayed retry maximum", false),
    ("delayed-retry-min", AtLeast(0), "delayed retry minimum", false),
    ("delayed-retry-type", OneOf(&["disabled", "all", "failed", "returned"]), "delayed retry type", false),
    ("delivery-limit", AtLeast(-1), "delivery limit", true),
    ("expires", AtLeast(1), "queue expiry", true),
    ("federation-upstream", Text, "federation upstream", false),
    ("federation-upstream-pattern", Text, "federation upstream pattern", false),
    ("federation-upstream-set", Text, "federation upstream set", false),
    ("ha-mode", Anything, "", true),
    ("ha-params", Anything, "", true),
    ("ha-promote-on-failure", Anything, "", false),
    ("ha-promote-on-shutdown", Anything, "", false),
    ("ha-sync-batch-size", Anything, "", false),
    ("ha-sync-mode", Anything, "", true),
    ("initial-cluster-size", AtLeast(0), "cluster size", false),
    ("max-age", Age, "max age", false),
    ("max-in-memory-bytes", AtLeast(0), "maximum memory in bytes", true),
    ("max-in-memory-length", AtLeast(0), "maximum memory in bytes", true),
    ("max-length", AtLeast(0), "maximum length", true),
    ("max-length-bytes", AtLeast(0), "maximum length in bytes", true),
    ("max-segment-size", AtLeast(0), "segment size", false),
    ("message-ttl", AtLeast(0), "message TTL", true),
    ("overflow", OneOf(&["drop-head", "reject-publish", "reject-publish-dlx"]), "overflow value", true),
    (
        "queue-leader-locator",
        OneOf(&["client-local", "balanced", "random", "least-leaders"]),
        "queue leader locator value",
        false,
    ),
    ("queue-master-locator", Anything, "", false),
    ("queue-mode", OneOf(&["default", "lazy"]), "queue-mode value", false),
    ("queue-version", Anything, "", false),
    ("stream-filter-size-bytes", AtLeast(16), "stream filter size", false),
    ("stream-max-segment-size-bytes", AtLeast(0), "segment size", false),
];

/// Keys that are taken from old definitions and do nothing.
const WITHOUT_EFFECT_PREFIXES: [&str; 5] =
    ["ha-", "queue-mode", "queue-version", "queue-master-locator", "max-in-memory-"];

/// The keys of a definition that have no effect, for a warning.
pub fn without_effect(definition: &Arguments) -> impl Iterator<Item = &str> {
    let names = definition.iter().map(|(name, _)| name);
    names.filter(|name| WITHOUT_EFFECT_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// Checks a definition; the error is RabbitMQ's text.
pub(super) fn check(scope: Scope, definition: &Value) -> Result<Arguments, Box<str>> {
    let Value::Table(definition) = definition else {
        return Err(format!("definition must be a dictionary: {}", Term(definition)).into());
    };
    if definition.is_empty() {
        return Err("no policy provided".into());
    }
    let known = |name: &str| KEYS.iter().find(|key| key.0 == name && (scope == Scope::User || key.3));
    let unknown = definition.iter().filter(|(name, _)| known(name).is_none());
    let unknown: Arguments = unknown.map(|(name, value)| (name, value.clone())).collect();
    if !unknown.is_empty() {
        return Err(format!("{} are not recognised policy settings", Pairs(&unknown)).into());
    }
    for (name, value) in definition.iter() {
        if let Some((_, takes, what, _)) = known(name)
            && !takes.accepts(value)
        {
            return Err(format!("{} is not a valid {what}", Term(value)).into());
        }
    }
    let mut sorted = definition.clone();
    sorted.sort();
    Ok(sorted)
}

impl Takes {
    fn accepts(self, value: &Value) -> bool {
        match self {
            AtLeast(least) => value.as_int().is_some_and(|value| value >= least),
            Text => value.as_str().is_some(),
            OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Age => value.as_str().is_some_and(is_age),
            Anything => true,
        }
    }
}

/// Digits and one of Y, M, D, h, m, s.
fn is_age(text: &str) -> bool {
    let digits = text.strip_suffix(['Y', 'M', 'D', 'h', 'm', 's']);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(scope: Scope, name: &str, value: Value, expected: Result<(), &str>) {
        let definition = Value::Table([(name, value)].into_iter().collect());
        let outcome = check(scope, &definition);
        assert_eq!(outcome.as_ref().map(|_| ()).map_err(|text| &**text), expected, "{name}");
    }

    #[test]
    fn keys_take_their_values() {
        let user = |name: &str, value: Value, expected| check_one(Scope::User, name, value, expected);
        user("max-length", Value::long(0), Ok(()));
        user("max-length", Value::long(-1), Err("-1 is not a valid maximum length"));
        user("max-length", Value::str("10"), Err("<<\"10\">> is not a valid maximum length"));
        user("message-ttl", Value::Double(1.5), Err("1.5 is not a valid message TTL"));
        user("expires", Value::long(0), Err("0 is not a valid queue expiry"));
        user("overflow", Value::str("reject-publish"), Ok(()));
        user("overflow", Value::str("drop-tail"), Err("<<\"drop-tail\">> is not a valid overflow value"));
        user("dead-letter-exchange", Value::str(""), Ok(()));
        user("dead-letter-exchange", Value::long(1), Err("1 is not a valid dead letter exchange name"));
        user("max-age", Value::str("7D"), Ok(()));
        user("max-age", Value::str("D"), Err("<<\"D\">> is not a valid max age"));
        user("ha-mode", Value::str("all"), Ok(()));
        user("foo", Value::str("bar"), Err("[{<<\"foo\">>,<<\"bar\">>}] are not recognised policy settings"));
        let operator = |name: &str, value: Value, expected| check_one(Scope::Operator, name, value, expected);
        operator("max-length", Value::long(5), Ok(()));
        let text = "[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings";
        operator("dead-letter-exchange", Value::str("x"), Err(text));
    }

    #[test]
    fn a_definition_is_a_dictionary_with_something_in_it() {
        let empty = check(Scope::User, &Value::Table(Arguments::new()));
        assert_eq!(empty.unwrap_err(), "no policy provided".into());
        let list = check(Scope::User, &Value::Array(vec![Value::long(1)]));
        assert_eq!(list.unwrap_err(), "definition must be a dictionary: [1]".into());
    }

    #[test]
    fn keys_are_sorted_and_each_is_there_once() {
        assert!(KEYS.is_sorted_by(|a, b| a.0 < b.0));
        let old: Arguments = [("ha-mode", Value::Void), ("max-length", Value::long(1))].into_iter().collect();
        assert_eq!(without_effect(&old).collect::<Vec<_>>(), ["ha-mode"]);
    }
}
