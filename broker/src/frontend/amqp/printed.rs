//! Field values in the texts of refusals, as RabbitMQ prints them: strings as they are, all else as Erlang terms.

use std::fmt;

use leveret_core::value::Value;

/// A value on its own.
pub(super) struct Printed<'a>(pub(super) &'a Value);

impl fmt::Display for Printed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Str(bytes) | Value::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            other => Term(other).fmt(f),
        }
    }
}

/// A value inside another.
struct Term<'a>(&'a Value);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Bool(value) => value.fmt(f),
            Value::Int { value, .. } => value.fmt(f),
            Value::Float(value) => write!(f, "{:?}", f64::from(*value)),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            Value::Str(bytes) | Value::Bytes(bytes) => write!(f, "<<\"{}\">>", String::from_utf8_lossy(bytes)),
            Value::Timestamp(seconds) => seconds.fmt(f),
            Value::Void => f.write_str("undefined"),
            Value::Array(values) => {
                list(f, values.iter(), |f, value| write!(f, "{{{},{}}}", value.type_name(), Term(value)))
            }
            Value::Table(table) => list(f, table.iter(), |f, (name, value)| {
                write!(f, "{{<<\"{name}\">>,{},{}}}", value.type_name(), Term(value))
            }),
        }
    }
}

fn list<'f, T>(
    f: &mut fmt::Formatter<'f>,
    items: impl Iterator<Item = T>,
    item: impl Fn(&mut fmt::Formatter<'f>, T) -> fmt::Result,
) -> fmt::Result {
    f.write_str("[")?;
    for (index, it) in items.enumerate() {
        f.write_str(if index > 0 { "," } else { "" })?;
        item(f, it)?;
    }
    f.write_str("]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_core::value::Arguments;

    #[test]
    fn values_are_printed_as_by_erlang() {
        let check = |value: Value, expected: &str| assert_eq!(Printed(&value).to_string(), expected, "{value:?}");
        check(Value::str("text"), "text");
        check(Value::Bool(true), "true");
        check(Value::long(-5), "-5");
        check(Value::Float(1.5), "1.5");
        check(Value::Double(2.0), "2.0");
        check(Value::Decimal { scale: 2, value: 314 }, "{2,314}");
        check(Value::Timestamp(7), "7");
        check(Value::Void, "undefined");
        check(Value::Table(Arguments::default()), "[]");
        check(Value::Array(vec![Value::str("x"), Value::long(1)]), "[{longstr,<<\"x\">>},{long,1}]");
    }
}
