//! Headers matching: patterns on the message's headers table.
//!
//! Every pattern is tried; RabbitMQ does the same, and no index helps against `any`. The binding key plays no part.

use crate::error::Error;
use crate::ids::Name;
use crate::value::{Arguments, Value};

use super::targets::Target;

/// How the fields of a pattern combine, and which of them take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mode {
    all: bool,
    /// Whether fields that begin with `x-` take part; `x-match` itself never does.
    with_x: bool,
}

#[derive(Debug)]
struct Pattern {
    target: Target,
    key: Name,
    arguments: Arguments,
    mode: Mode,
}

#[derive(Debug, Default)]
pub(crate) struct HeadersTable {
    patterns: Vec<Pattern>,
}

/// Checks a binding's x-match argument.
pub fn check_pattern(arguments: &Arguments) -> Result<(), Error> {
    match arguments.get("x-match") {
        Some(value @ Value::Str(_)) if mode(arguments).is_none() => {
            Err(Error::InvalidMatchValue(value.to_string().into()))
        }
        None | Some(Value::Str(_)) => Ok(()),
        Some(other) => Err(Error::InvalidMatchType { type_name: other.type_name(), value: other.to_string().into() }),
    }
}

fn mode(arguments: &Arguments) -> Option<Mode> {
    match arguments.get("x-match").map(Value::as_bytes) {
        None | Some(Some(b"all")) => Some(Mode { all: true, with_x: false }),
        Some(Some(b"any")) => Some(Mode { all: false, with_x: false }),
        Some(Some(b"all-with-x")) => Some(Mode { all: true, with_x: true }),
        Some(Some(b"any-with-x")) => Some(Mode { all: false, with_x: true }),
        Some(_) => None,
    }
}

impl HeadersTable {
    /// Adds a binding that is not in the table. One whose x-match is invalid (which [`check_pattern`] refuses) counts
    /// as `all`.
    pub(crate) fn insert(&mut self, target: Target, key: &Name, arguments: &Arguments) {
        let mode = mode(arguments).unwrap_or(Mode { all: true, with_x: false });
        self.patterns.push(Pattern { target, key: key.clone(), arguments: arguments.clone(), mode });
    }

    pub(crate) fn remove(&mut self, target: Target, key: &str, arguments: &Arguments) {
        let is_it = |it: &Pattern| it.target == target && &*it.key == key && it.arguments == *arguments;
        if let Some(place) = self.patterns.iter().position(is_it) {
            self.patterns.remove(place);
        }
    }

    /// Appends the targets of every matching pattern. No headers are an empty table.
    pub(crate) fn matches(&self, headers: Option<&Arguments>, out: &mut Vec<Target>) {
        const EMPTY: &Arguments = &Arguments::new();
        let headers = Headers::new(headers.unwrap_or(EMPTY));
        out.extend(self.patterns.iter().filter(|pattern| pattern.matches(&headers)).map(|pattern| pattern.target));
    }
}

/// Up to this many headers are searched one by one.
const SCAN_MAX: usize = 16;

/// A message's headers, to be searched many times. Sorted if there are many, because a client chooses how many there
/// are, on both sides.
enum Headers<'a> {
    Few(&'a Arguments),
    Many(Vec<(&'a str, &'a Value)>),
}

impl<'a> Headers<'a> {
    fn new(headers: &'a Arguments) -> Self {
        if headers.len() <= SCAN_MAX {
            return Self::Few(headers);
        }
        let mut entries: Vec<_> = headers.iter().collect();
        entries.sort_by_key(|(name, _)| *name);
        entries.dedup_by_key(|(name, _)| *name);
        Self::Many(entries)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        match self {
            Self::Few(headers) => headers.get(name),
            Self::Many(entries) => {
                let place = entries.binary_search_by_key(&name, |(name, _)| name).ok()?;
                entries.get(place).map(|(_, value)| *value)
            }
        }
    }
}

impl Pattern {
    fn matches(&self, headers: &Headers<'_>) -> bool {
        let takes_part = |name: &str| if self.mode.with_x { name != "x-match" } else { !name.starts_with("x-") };
        let holds = |(name, wanted): (&str, &Value)| match headers.get(name) {
            None => false,
            Some(found) => *wanted == Value::Void || found == wanted,
        };
        let mut fields = self.arguments.iter().filter(|(name, _)| takes_part(name));
        if self.mode.all { fields.all(holds) } else { fields.any(holds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ExchangeId;

    fn table(fields: &[(&str, Value)]) -> Arguments {
        fields.iter().map(|(name, value)| (*name, value.clone())).collect()
    }

    fn matches(pattern: &[(&str, Value)], headers: Option<&Arguments>) -> bool {
        let mut patterns = HeadersTable::default();
        patterns.insert(Target::Exchange(ExchangeId(1)), &"ignored".into(), &table(pattern));
        let mut out = Vec::new();
        patterns.matches(headers, &mut out);
        !out.is_empty()
    }

    #[test]
    fn all_and_any_with_and_without_x() {
        let one = || ("a", Value::long(1));
        let x = || ("x-b", Value::str("2"));
        let check = |pattern: &[(&str, Value)], headers: &[(&str, Value)], expected: [bool; 4]| {
            let modes = ["all", "any", "all-with-x", "any-with-x"];
            for (mode, expected) in modes.into_iter().zip(expected) {
                let pattern = [&[("x-match", Value::str(mode))], pattern].concat();
                assert_eq!(matches(&pattern, Some(&table(headers))), expected, "{mode}: {pattern:?} on {headers:?}");
            }
        };
        check(&[], &[], [true, false, true, false]);
        check(&[], &[one()], [true, false, true, false]);
        check(&[one()], &[], [false; 4]);
        check(&[one()], &[one()], [true; 4]);
        check(&[one()], &[("a", Value::long(2))], [false; 4]);
        check(&[one()], &[("a", Value::str("1"))], [false; 4]);
        check(&[one()], &[("a", Value::Int { value: 1, kind: crate::value::IntKind::Byte })], [true; 4]);
        check(&[one()], &[one(), ("c", Value::Void)], [true; 4]);
        check(&[one(), ("c", Value::Bool(true))], &[one()], [false, true, false, true]);
        check(&[x()], &[x()], [true, false, true, true]);
        check(&[x()], &[], [true, false, false, false]);
        check(&[one(), x()], &[one()], [true, true, false, true]);
        check(&[one(), x()], &[x()], [false, false, false, true]);
        check(&[("a", Value::Void)], &[("a", Value::str("anything"))], [true; 4]);
        check(&[("a", Value::Void)], &[("b", Value::Void)], [false; 4]);
        check(&[("x-b", Value::Void)], &[x()], [true, false, true, true]);
    }

    #[test]
    fn no_headers_are_an_empty_table_and_all_is_the_default() {
        assert!(matches(&[], None));
        assert!(!matches(&[("a", Value::Void)], None));
        assert!(!matches(&[("a", Value::long(1)), ("b", Value::long(2))], Some(&table(&[("a", Value::long(1))]))));
    }

    #[test]
    fn many_headers_are_found_as_few_are() {
        for count in [SCAN_MAX, SCAN_MAX + 1, 100] {
            let mut headers: Arguments =
                (0..count - 1).rev().map(|n| (format!("h{n}"), Value::long(n as i64))).collect();
            headers.push("h0", Value::str("a duplicate, which does not count"));
            for (name, value, expected) in [("h0", 0, true), ("h7", 7, true), ("h7", 8, false), ("h", 0, false)] {
                assert_eq!(matches(&[(name, Value::long(value))], Some(&headers)), expected, "{count} {name}");
            }
        }
    }

    #[test]
    fn only_the_four_modes_are_valid() {
        let check = |value: Value, expected: Result<(), Error>| {
            assert_eq!(check_pattern(&table(&[("x-match", value)])), expected);
        };
        for mode in ["all", "any", "all-with-x", "any-with-x"] {
            check(Value::str(mode), Ok(()));
        }
        check(Value::str("some"), Err(Error::InvalidMatchValue("some".into())));
        check(Value::str(""), Err(Error::InvalidMatchValue("".into())));
        check(Value::long(5), Err(Error::InvalidMatchType { type_name: "long", value: "5".into() }));
        assert_eq!(check_pattern(&Arguments::new()), Ok(()));
    }
}
