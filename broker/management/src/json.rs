//! JSON and the core's values; objects of which only some columns are wanted.

use base64::Engine as _;
use leveret_core::value::{Arguments, Value as Field};
use serde_json::{Map, Value};

/// A table as an object. Of duplicate names the last counts, as with every JSON reader.
pub(crate) fn from_arguments(arguments: &Arguments) -> Value {
    Value::Object(arguments.iter().map(|(name, value)| (name.to_owned(), from_field(value))).collect())
}

/// A field value. Bytes that are no text are shown in base64, as RabbitMQ does.
pub(crate) fn from_field(value: &Field) -> Value {
    match value {
        Field::Bool(value) => Value::from(*value),
        Field::Int { value, .. } => Value::from(*value),
        Field::Float(value) => Value::from(*value),
        Field::Double(value) => Value::from(*value),
        Field::Decimal { scale, value } => Value::from(f64::from(*value) / 10f64.powi(i32::from(*scale))),
        Field::Str(bytes) | Field::Bytes(bytes) => text_or_base64(bytes),
        Field::Array(values) => Value::Array(values.iter().map(from_field).collect()),
        Field::Timestamp(seconds) => Value::from(*seconds),
        Field::Table(table) => from_arguments(table),
        Field::Void => Value::Null,
    }
}

fn text_or_base64(bytes: &[u8]) -> Value {
    match str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => Value::from(base64::engine::general_purpose::STANDARD.encode(bytes)),
    }
}

/// An object as a table: "JSON numbers become long, nested maps tables" (RabbitMQ).
pub(crate) fn to_arguments(object: &Map<String, Value>) -> Arguments {
    object.iter().map(|(name, value)| (name.as_str(), to_field(value))).collect()
}

/// See [`to_arguments`]. serde_json bounds the depth.
pub(crate) fn to_field(value: &Value) -> Field {
    match value {
        Value::Null => Field::Void,
        Value::Bool(value) => Field::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => Field::long(value),
            None => Field::Double(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => Field::str(text),
        Value::Array(values) => Field::Array(values.iter().map(to_field).collect()),
        Value::Object(object) => Field::Table(to_arguments(object)),
    }
}

/// Which fields of an object are wanted: dotted paths, or all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Columns(Option<Vec<Vec<String>>>);

impl Columns {
    /// Everything.
    pub(crate) const ALL: Columns = Columns(None);

    /// Reads a list such as `name,message_stats.publish_details.rate`; an empty one is everything.
    pub(crate) fn parse(text: Option<&str>) -> Columns {
        let paths = text.unwrap_or_default().split(',').filter(|path| !path.is_empty());
        let paths: Vec<Vec<String>> = paths.map(|path| path.split('.').map(str::to_owned).collect()).collect();
        Columns((!paths.is_empty()).then_some(paths))
    }

    /// Whether a field of that name has to be there.
    pub(crate) fn wants(&self, name: &str) -> bool {
        match &self.0 {
            None => true,
            Some(paths) => paths.iter().any(|path| path.first().is_some_and(|first| first == name)),
        }
    }

    /// Takes out of an object what is not wanted.
    pub(crate) fn select(&self, object: Map<String, Value>) -> Map<String, Value> {
        let Some(paths) = &self.0 else { return object };
        let mut selected = Map::new();
        for path in paths {
            copy_path(&object, path, &mut selected);
        }
        selected
    }
}

fn copy_path(from: &Map<String, Value>, path: &[String], to: &mut Map<String, Value>) {
    let Some((first, rest)) = path.split_first() else { return };
    match (from.get(first), rest.is_empty()) {
        (Some(Value::Object(inner)), false) => {
            if let Value::Object(to) = to.entry(first.as_str()).or_insert_with(|| Value::Object(Map::new())) {
                copy_path(inner, rest, to);
            }
        }
        (Some(value), true) => drop(to.insert(first.clone(), value.clone())),
        _ => {}
    }
}

/// The value at a dotted path.
pub(crate) fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, name| value.get(name))
}

/// An object under construction.
pub(crate) struct Object<'a> {
    columns: &'a Columns,
    map: Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(crate) fn new(columns: &'a Columns) -> Object<'a> {
        Object { columns, map: Map::new() }
    }

    /// Adds a field, if it is wanted.
    pub(crate) fn put(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        if self.columns.wants(name) {
            self.map.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Adds a field that costs something to make, if it is wanted.
    pub(crate) fn put_with(&mut self, name: &str, value: impl FnOnce() -> Value) -> &mut Self {
        if self.columns.wants(name) {
            self.map.insert(name.to_owned(), value());
        }
        self
    }

    /// Adds a field, if it has a value.
    pub(crate) fn put_some<T: Into<Value>>(&mut self, name: &str, value: Option<T>) -> &mut Self {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }

    pub(crate) fn columns(&self) -> &Columns {
        self.columns
    }

    pub(crate) fn finish(self) -> Value {
        Value::Object(self.columns.select(self.map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_survive_the_round_trip() {
        let object =
            json!({"x-max-length": 100, "t": {"a": [1, "b", true, null]}, "f": 1.5, "big": -9_000_000_000_i64});
        assert_eq!(from_arguments(&to_arguments(object.as_object().unwrap())), object);
        let huge = json!({"n": u64::MAX});
        assert_eq!(to_arguments(huge.as_object().unwrap()).get("n"), Some(&Field::Double(u64::MAX as f64)));
        assert_eq!(from_field(&Field::Str([0xff, 0xfe].into())), json!("//4="));
        assert_eq!(from_field(&Field::Decimal { scale: 2, value: 275 }), json!(2.75));
    }

    #[test]
    fn columns_are_paths() {
        let object = json!({"name": "q", "message_stats": {"publish": 3, "ack": 2}, "vhost": "/"});
        let check = |columns: &str, expected: Value| {
            let columns = Columns::parse(Some(columns));
            assert_eq!(Value::Object(columns.select(object.as_object().unwrap().clone())), expected);
        };
        check("", object.clone());
        check("name", json!({"name": "q"}));
        check("name,vhost", json!({"name": "q", "vhost": "/"}));
        check("message_stats.publish,message_stats.none", json!({"message_stats": {"publish": 3}}));
        check("message_stats.publish,message_stats.ack", json!({"message_stats": {"publish": 3, "ack": 2}}));
        check("name.x,none", json!({}));
        assert!(Columns::parse(Some("a.b")).wants("a") && !Columns::parse(Some("a.b")).wants("b"));
    }

    #[test]
    fn objects_have_what_is_wanted() {
        let columns = Columns::parse(Some("a,c"));
        let mut object = Object::new(&columns);
        object.put("a", 1).put("b", 2).put_some("c", None::<u32>).put_with("d", || unreachable!("nobody wants it"));
        assert_eq!(object.finish(), json!({"a": 1}));
    }
}
