//! Values as Erlang prints them, because RabbitMQ's validation texts contain them so and clients show those texts.

use std::fmt;

use crate::value::{Arguments, Value};

/// A value in a validation text.
pub(super) struct Term<'a>(pub(super) &'a Value);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Str(bytes) | Value::Bytes(bytes) => binary(f, &String::from_utf8_lossy(bytes)),
            Value::Array(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    Term(value).fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Table(table) => {
                f.write_str("#{")?;
                for (index, (name, value)) in table.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    binary(f, name)?;
                    write!(f, " => {}", Term(value))?;
                }
                f.write_str("}")
            }
            Value::Void => f.write_str("null"),
            other => other.fmt(f),
        }
    }
}

/// `[{<<"name">>,value}]`
pub(super) struct Pairs<'a>(pub(super) &'a Arguments);

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, (name, value)) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { ",\n {" } else { "{" })?;
            binary(f, name)?;
            write!(f, ",{}}}", Term(value))?;
        }
        f.write_str("]")
    }
}

fn binary(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write!(f, "<<\"{}\">>", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_print_as_erlang_terms() {
        let check = |value: Value, expected: &str| assert_eq!(Term(&value).to_string(), expected);
        check(Value::long(-1), "-1");
        check(Value::str("a\"b"), "<<\"a\\\"b\">>");
        check(Value::Bool(true), "true");
        check(Value::Void, "null");
        check(Value::Array(vec![Value::long(1), Value::str("x")]), "[1,<<\"x\">>]");
        let table: Arguments = [("foo", Value::str("bar"))].into_iter().collect();
        check(Value::Table(table.clone()), "#{<<\"foo\">> => <<\"bar\">>}");
        assert_eq!(Pairs(&table).to_string(), "[{<<\"foo\">>,<<\"bar\">>}]");
    }
}
