//! Request bodies: JSON objects of which some fields are mandatory, with the refusals for what is missing or wrong.

use leveret_core::Name;
use leveret_core::value::{Arguments, Value as Field};
use serde_json::{Map, Value};

use crate::failure::Failure;
use crate::json::{to_arguments, to_field};

/// A JSON object from a client. Fields that nobody asks for are ignored.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    pub(crate) fn parse(body: &[u8]) -> Result<Fields, Failure> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Fields::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(Fields(object)),
            Ok(_) => Err(Failure::BadRequest("the body must be a JSON object".into())),
            Err(error) => Err(Failure::BadRequest(format!("the body is not JSON: {error}"))),
        }
    }

    pub(crate) fn of(object: &Map<String, Value>) -> Fields {
        Fields(object.clone())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A field that has to be there.
    pub(crate) fn require(&self, key: &str) -> Result<&Value, Failure> {
        self.get(key).ok_or_else(|| Failure::BadRequest(format!("key_missing: {key}")))
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(key, "a string", other)),
        }
    }

    pub(crate) fn name(&self, key: &str) -> Result<Option<Name>, Failure> {
        Ok(self.text(key)?.map(Name::from))
    }

    pub(crate) fn require_text(&self, key: &str) -> Result<&str, Failure> {
        self.require(key)?;
        Ok(self.text(key)?.unwrap_or_default())
    }

    /// `true`, `false`, or one of them as a string, as the classic rabbitmqadmin sends it.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::String(text)) if text == "true" => Ok(Some(true)),
            Some(Value::String(text)) if text == "false" => Ok(Some(false)),
            Some(other) => Err(wrong(key, "true or false", other)),
        }
    }

    /// A number, or one as a string.
    pub(crate) fn number(&self, key: &str) -> Result<Option<i64>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => match text.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(wrong(key, "a number", &Value::from(text.as_str()))),
            },
            Some(value) => value.as_i64().map(Some).ok_or_else(|| wrong(key, "a number", value)),
        }
    }

    /// A table of arguments; none is an empty one.
    pub(crate) fn arguments(&self, key: &str) -> Result<Arguments, Failure> {
        match self.get(key) {
            None => Ok(Arguments::new()),
            Some(Value::Object(object)) => Ok(to_arguments(object)),
            // Some tools send an empty list for an empty table.
            Some(Value::Array(list)) if list.is_empty() => Ok(Arguments::new()),
            Some(other) => Err(wrong(key, "an object", other)),
        }
    }

    /// Any value as the core has it.
    pub(crate) fn field(&self, key: &str) -> Result<Field, Failure> {
        self.require(key).map(to_field)
    }

    /// Words: a list of them, or one string with commas.
    pub(crate) fn words(&self, key: &str) -> Result<Option<Vec<Name>>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => {
                Ok(Some(text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Name::from).collect()))
            }
            Some(Value::Array(list)) => {
                let word = |value: &Value| value.as_str().map(Name::from).ok_or_else(|| wrong(key, "strings", value));
                list.iter().map(word).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(wrong(key, "a list", other)),
        }
    }

    pub(crate) fn list(&self, key: &str) -> Result<&[Value], Failure> {
        match self.get(key) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => Err(wrong(key, "a list", other)),
        }
    }

    pub(crate) fn object(&self, key: &str) -> Result<Fields, Failure> {
        match self.get(key) {
            None => Ok(Fields::default()),
            Some(Value::Object(object)) => Ok(Fields(object.clone())),
            Some(Value::Array(list)) if list.is_empty() => Ok(Fields::default()),
            Some(other) => Err(wrong(key, "an object", other)),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }
}

fn wrong(key: &str, expected: &str, actual: &Value) -> Failure {
    Failure::BadRequest(format!("{key} should be {expected}, actually was {actual}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(body: &str) -> Fields {
        Fields::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn bodies_are_objects() {
        let refused = |body: &str| Fields::parse(body.as_bytes()).unwrap_err().reason();
        assert_eq!(fields(""), Fields::default());
        assert_eq!(fields(" {} "), Fields::default());
        assert_eq!(refused("[]"), "the body must be a JSON object");
        assert!(refused("{").starts_with("the body is not JSON"));
        assert!(refused(&"[".repeat(100_000)).contains("recursion limit"));
        assert!(refused(&format!("{}{}", "{\"a\":".repeat(200), "1")).contains("recursion limit"));
    }

    #[test]
    fn values_come_in_the_forms_that_tools_send() {
        let it =
            fields(r#"{"a": true, "b": "false", "n": "5", "m": 6, "t": "x, y,", "l": ["x", "y"], "e": [], "z": null}"#);
        assert_eq!((it.flag("a"), it.flag("b"), it.flag("none")), (Ok(Some(true)), Ok(Some(false)), Ok(None)));
        assert_eq!((it.number("n"), it.number("m")), (Ok(Some(5)), Ok(Some(6))));
        assert_eq!(
            (it.words("t"), it.words("l")),
            (Ok(Some(vec!["x".into(), "y".into()])), Ok(Some(vec!["x".into(), "y".into()])))
        );
        assert!(it.arguments("e").unwrap().is_empty() && it.get("z").is_none());
        assert_eq!(it.require("z").unwrap_err().reason(), "key_missing: z");
        assert_eq!(it.number("a").unwrap_err().reason(), "a should be a number, actually was true");
        assert!(it.flag("n").is_err() && it.text("n").is_ok() && it.text("m").is_err() && it.arguments("t").is_err());
    }
}
