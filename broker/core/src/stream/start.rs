//! Where a consumer of a stream begins, and which messages it wants: the arguments of basic.consume.

use crate::error::Reason;
use crate::ids::Time;
use crate::message::Message;
use crate::value::{Arguments, Value};

use super::log::Log;

/// x-stream-offset
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The first message that is there.
    First,
    /// The last one.
    Last,
    /// The next one to come.
    #[default]
    Next,
    /// This offset, or the first after it.
    Offset(u64),
    /// The first message that came at this time or later.
    Time(Time),
}

/// What a consumer of a stream asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamSpec {
    /// Where to begin.
    pub start: Start,
    /// Which messages; all of them without.
    pub filter: Option<Filter>,
}

/// x-stream-filter and x-stream-match-unfiltered
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    values: Vec<Box<[u8]>>,
    match_unfiltered: bool,
}

impl StreamSpec {
    /// Reads the arguments of basic.consume.
    ///
    /// # Errors
    /// An x-stream-offset that names no place; intervals look like `1h`.
    pub fn parse(arguments: &Arguments, now: Time) -> Result<Self, Reason> {
        Ok(Self { start: start(arguments.get("x-stream-offset"), now)?, filter: filter(arguments) })
    }
}

impl Start {
    /// The offset to begin with; for a time, one before which nothing is wanted.
    pub(super) fn resolve(self, log: &Log) -> u64 {
        match self {
            Self::First => log.first(),
            Self::Last => log.last(),
            Self::Next => log.next(),
            Self::Offset(offset) => offset.max(log.first()),
            Self::Time(time) => log.at_time(time),
        }
    }
}

impl Filter {
    /// Whether it lets a message through.
    pub(super) fn admits(&self, message: &Message) -> bool {
        match message.filter_value() {
            Some(value) => self.values.iter().any(|wanted| **wanted == *value),
            None => self.match_unfiltered,
        }
    }
}

fn start(argument: Option<&Value>, now: Time) -> Result<Start, Reason> {
    match argument {
        None => Ok(Start::Next),
        Some(Value::Str(bytes)) => match &bytes[..] {
            b"first" => Ok(Start::First),
            b"last" => Ok(Start::Last),
            b"next" => Ok(Start::Next),
            _ => match str::from_utf8(bytes).ok().and_then(parse_age_ms) {
                Some(ms) => Ok(Start::Time(Time(now.0.saturating_sub(ms)))),
                None => Err(Reason::InvalidMaxAge),
            },
        },
        Some(Value::Timestamp(seconds)) => Ok(Start::Time(Time(seconds.saturating_mul(1000)))),
        Some(Value::Int { value, .. }) => Ok(Start::Offset(u64::try_from(*value).unwrap_or(0))),
        Some(other) => Err(Reason::UnacceptableType(other.type_name())),
    }
}

fn filter(arguments: &Arguments) -> Option<Filter> {
    let values = match arguments.get("x-stream-filter")? {
        Value::Str(value) => vec![value.clone()],
        Value::Array(values) => values.iter().filter_map(|value| value.as_bytes().map(Box::from)).collect(),
        _ => return None,
    };
    let match_unfiltered = arguments.get("x-stream-match-unfiltered") == Some(&Value::Bool(true));
    Some(Filter { values, match_unfiltered })
}

/// An age such as `7D`, in milliseconds: years, months, days, hours, minutes, seconds. `None` if it is none.
pub fn parse_age_ms(text: &str) -> Option<u64> {
    let unit = text.chars().next_back()?;
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        'Y' => 365 * 24 * 3600,
        'M' => 30 * 24 * 3600,
        'D' => 24 * 3600,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return None,
    };
    count.checked_mul(seconds * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_a_unit() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(parse_age_ms(text), expected, "{text:?}");
        check("1s", Some(1000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("7D", Some(604_800_000));
        check("1M", Some(2_592_000_000));
        check("1Y", Some(31_536_000_000));
        check("0s", Some(0));
        check("", None);
        check("s", None);
        check("7", None);
        check("-1s", None);
        check("1d", None);
        check("1é", None);
        check("99999999999999999Y", None);
    }

    #[test]
    fn places_are_words_numbers_times_and_ages() {
        let check = |value: Option<Value>, expected: Result<Start, Reason>| {
            assert_eq!(start(value.as_ref(), Time(10_000_000)), expected, "{value:?}");
        };
        check(None, Ok(Start::Next));
        check(Some(Value::str("first")), Ok(Start::First));
        check(Some(Value::str("last")), Ok(Start::Last));
        check(Some(Value::str("next")), Ok(Start::Next));
        check(Some(Value::long(5)), Ok(Start::Offset(5)));
        check(Some(Value::long(-5)), Ok(Start::Offset(0)));
        check(Some(Value::Timestamp(3)), Ok(Start::Time(Time(3000))));
        check(Some(Value::str("1h")), Ok(Start::Time(Time(6_400_000))));
        check(Some(Value::str("1Y")), Ok(Start::Time(Time(0))));
        check(Some(Value::str("soon")), Err(Reason::InvalidMaxAge));
        check(Some(Value::Bool(true)), Err(Reason::UnacceptableType("bool")));
    }
}
