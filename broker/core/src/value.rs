//! Field values and tables, as the model sees them.
//!
//! AMQP declares carry tables of typed values. The model compares them (redeclaring with `100` as an octet or as a long
//! is the same), reads them (limits, times to live) and prints them in errors, together with the name of the type they
//! came in. So the width of an integer is kept, but takes no part in equality.
//!
//! The shapes are those of the wire, one variant for one type octet, so that the shell's conversion is one small match.
//! How they are encoded is not known here.

use std::fmt;
use std::hash::{Hash, Hasher};

/// The width an integer had on the wire; only for error texts and for sending it back unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntKind {
    /// Signed 8 bit, `b`.
    Byte,
    /// Unsigned 8 bit, `B`.
    UnsignedByte,
    /// Signed 16 bit, `s`.
    Short,
    /// Unsigned 16 bit, `u`.
    UnsignedShort,
    /// Signed 32 bit, `I`.
    SignedInt,
    /// Unsigned 32 bit, `i`.
    UnsignedInt,
    /// Signed 64 bit, `l` or `L`.
    Long,
}

/// One field value. Equality is by meaning: integer widths and float widths do not matter, type families do (a string
/// never equals a number).
#[derive(Clone, Debug)]
pub enum Value {
    /// `t`
    Bool(bool),
    /// All integer types.
    Int {
        /// The number itself; every wire width fits.
        value: i64,
        /// The width it came in.
        kind: IntKind,
    },
    /// `f`
    Float(f32),
    /// `d`
    Double(f64),
    /// `D`: `value` divided by ten to the power of `scale`.
    Decimal {
        /// Digits after the point.
        scale: u8,
        /// The digits.
        value: u32,
    },
    /// `S`: bytes, usually but not necessarily UTF-8.
    Str(Box<[u8]>),
    /// `A`
    Array(Vec<Value>),
    /// `T`: seconds since the Unix epoch.
    Timestamp(u64),
    /// `F`
    Table(Arguments),
    /// `x`
    Bytes(Box<[u8]>),
    /// `V`
    Void,
}

impl Value {
    /// A long string.
    pub fn str(text: &str) -> Self {
        Self::Str(text.as_bytes().into())
    }

    /// A signed 64-bit integer.
    pub fn long(value: i64) -> Self {
        Self::Int { value, kind: IntKind::Long }
    }

    /// The type's name as RabbitMQ prints it in error texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int { kind, .. } => kind.type_name(),
            Self::Float(_) => "float",
            Self::Double(_) => "double",
            Self::Decimal { .. } => "decimal",
            Self::Str(_) => "longstr",
            Self::Array(_) => "array",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Bytes(_) => "binary",
            Self::Void => "void",
        }
    }

    /// The number, if this is an integer of any width.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int { value, .. } => Some(*value),
            _ => None,
        }
    }

    /// The bytes, if this is a long string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Str(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, if this is a long string and UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| str::from_utf8(bytes).ok())
    }

    /// The truth value, if this is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl IntKind {
    /// The type's name as RabbitMQ prints it in error texts.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Byte => "byte",
            Self::UnsignedByte => "unsignedbyte",
            Self::Short => "short",
            Self::UnsignedShort => "unsignedshort",
            Self::SignedInt => "signedint",
            Self::UnsignedInt => "unsignedint",
            Self::Long => "long",
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        use Value::*;
        match (self, other) {
            (Bool(a), Bool(b)) => a == b,
            (Int { value: a, .. }, Int { value: b, .. }) => a == b,
            (Float(_) | Double(_), Float(_) | Double(_)) => self.float_bits() == other.float_bits(),
            (Decimal { scale: a, value: x }, Decimal { scale: b, value: y }) => (a, x) == (b, y),
            (Str(a), Str(b)) | (Bytes(a), Bytes(b)) => a == b,
            (Array(a), Array(b)) => a == b,
            (Timestamp(a), Timestamp(b)) => a == b,
            (Table(a), Table(b)) => a == b,
            (Void, Void) => true,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// Floats compare by bits after widening, so that equality is total (a NaN equals itself) and agrees with the hash;
    /// the two zeros are one.
    fn float_bits(&self) -> u64 {
        let widened = match self {
            Self::Float(value) => f64::from(*value),
            Self::Double(value) => *value,
            _ => 0.0,
        };
        if widened == 0.0 { 0 } else { widened.to_bits() }
    }

    /// One number for each family of types that may be equal to each other.
    fn family(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Int { .. } => 1,
            Self::Float(_) | Self::Double(_) => 2,
            Self::Decimal { .. } => 3,
            Self::Str(_) => 4,
            Self::Array(_) => 5,
            Self::Timestamp(_) => 6,
            Self::Table(_) => 7,
            Self::Bytes(_) => 8,
            Self::Void => 9,
        }
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.family().hash(state);
        match self {
            Self::Bool(value) => value.hash(state),
            Self::Int { value, .. } => value.hash(state),
            Self::Float(_) | Self::Double(_) => self.float_bits().hash(state),
            Self::Decimal { scale, value } => (scale, value).hash(state),
            Self::Str(bytes) | Self::Bytes(bytes) => bytes.hash(state),
            Self::Array(values) => values.hash(state),
            Self::Timestamp(seconds) => seconds.hash(state),
            Self::Table(table) => table.hash(state),
            Self::Void => {}
        }
    }
}

impl fmt::Display for Value {
    /// The way RabbitMQ prints values between quotes in `inequivalent arg` texts: numbers, text and truth values
    /// plainly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int { value, .. } => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Double(value) => value.fmt(f),
            Self::Decimal { scale, value } => write!(f, "{value}e-{scale}"),
            Self::Str(bytes) | Self::Bytes(bytes) => String::from_utf8_lossy(bytes).fmt(f),
            Self::Array(values) => display_list(f, values.iter()),
            Self::Timestamp(seconds) => seconds.fmt(f),
            Self::Table(table) => table.fmt(f),
            Self::Void => f.write_str("undefined"),
        }
    }
}

fn display_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = T>) -> fmt::Result {
    f.write_str("[")?;
    for (index, item) in items.enumerate() {
        if index > 0 {
            f.write_str(",")?;
        }
        item.fmt(f)?;
    }
    f.write_str("]")
}

/// A table: named values in the order they came in. Equality ignores the order; of duplicate names the first counts.
#[derive(Clone, Debug, Default)]
pub struct Arguments(Vec<(Box<str>, Value)>);

impl Arguments {
    /// A table without entries; allocates nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends an entry, keeping what is there.
    pub fn push(&mut self, name: impl Into<Box<str>>, value: Value) {
        self.0.push((name.into(), value));
    }

    /// Replaces the entry of that name (and drops its duplicates), or appends one.
    pub fn set(&mut self, name: &str, value: Value) {
        let Some(first) = self.0.iter().position(|(key, _)| &**key == name) else {
            return self.push(name, value);
        };
        let mut index = 0;
        self.0.retain(|(key, _)| {
            index += 1;
            index - 1 == first || &**key != name
        });
        self.0[first].1 = value;
    }

    /// Takes the entries of that name out; the first one's value is returned.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let first = self.0.iter().position(|(key, _)| &**key == name)?;
        let (_, value) = self.0.remove(first);
        self.0.retain(|(key, _)| &**key != name);
        Some(value)
    }

    /// Sorts the entries by name, as RabbitMQ does when it rewrites a table. Stable, so duplicates keep their order.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| a.0.cmp(&b.0));
    }

    /// The value of that name; of duplicates the first.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| &**key == name).map(|(_, value)| value)
    }

    /// The entries in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// The number of entries, duplicates counted.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Arguments {
    /// Entries by name, each name once; what equality and hash are about.
    fn canonical(&self) -> Vec<(&str, &Value)> {
        let mut entries: Vec<_> = self.iter().collect();
        entries.sort_by_key(|(name, _)| *name);
        entries.dedup_by_key(|(name, _)| *name);
        entries
    }
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || self.canonical() == other.canonical()
    }
}

impl Eq for Arguments {}

impl Hash for Arguments {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        display_list(f, self.iter().map(|(name, value)| format!("{{{name},{value}}}")))
    }
}

impl<K: Into<Box<str>>> FromIterator<(K, Value)> for Arguments {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

impl<'a> IntoIterator for &'a Arguments {
    type Item = &'a (Box<str>, Value);
    type IntoIter = std::slice::Iter<'a, (Box<str>, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl IntoIterator for Arguments {
    type Item = (Box<str>, Value);
    type IntoIter = std::vec::IntoIter<(Box<str>, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault};

    fn hash<T: Hash>(value: &T) -> u64 {
        BuildHasherDefault::<crate::hash::FoldHasher>::default().hash_one(value)
    }

    fn int(value: i64, kind: IntKind) -> Value {
        Value::Int { value, kind }
    }

    #[test]
    fn equality_is_by_meaning() {
        let check = |a: Value, b: Value, equal: bool| {
            assert_eq!(a == b, equal, "{a:?} {b:?}");
            assert_eq!(b == a, equal);
            assert!(!equal || hash(&a) == hash(&b), "equal values hash alike: {a:?} {b:?}");
        };
        check(int(5, IntKind::Byte), Value::long(5), true);
        check(int(5, IntKind::Byte), Value::long(6), false);
        check(Value::long(5), Value::Double(5.0), false);
        check(Value::Float(0.5), Value::Double(0.5), true);
        check(Value::Double(0.0), Value::Double(-0.0), true);
        check(Value::Double(f64::NAN), Value::Double(f64::NAN), true);
        check(Value::str("5"), Value::long(5), false);
        check(Value::str("a"), Value::Bytes((*b"a").into()), false);
        check(Value::Timestamp(5), Value::long(5), false);
        check(Value::Void, Value::Void, true);
        check(Value::Void, Value::Bool(false), false);
        check(Value::Array(vec![int(1, IntKind::Short)]), Value::Array(vec![Value::long(1)]), true);
        check(Value::Array(vec![]), Value::Array(vec![Value::Void]), false);
        check(Value::Decimal { scale: 1, value: 10 }, Value::Decimal { scale: 1, value: 10 }, true);
    }

    #[test]
    fn tables_compare_without_order() {
        let check = |a: &[(&str, i64)], b: &[(&str, i64)], equal: bool| {
            let table =
                |of: &[(&str, i64)]| of.iter().map(|(name, value)| (*name, Value::long(*value))).collect::<Arguments>();
            assert_eq!(table(a) == table(b), equal, "{a:?} {b:?}");
            assert!(!equal || hash(&table(a)) == hash(&table(b)), "{a:?} {b:?}");
        };
        check(&[], &[], true);
        check(&[("a", 1), ("b", 2)], &[("b", 2), ("a", 1)], true);
        check(&[("a", 1), ("b", 2)], &[("a", 2), ("b", 1)], false);
        check(&[("a", 1)], &[("a", 1), ("b", 2)], false);
        check(&[("a", 1), ("a", 2)], &[("a", 1)], true);
        check(&[("a", 1), ("a", 2)], &[("a", 2)], false);
    }

    #[test]
    fn set_and_remove_treat_duplicates_as_one() {
        let table = || [("a", Value::long(1)), ("b", Value::long(2)), ("a", Value::long(3))].into_iter().collect();
        let mut set: Arguments = table();
        set.set("a", Value::Void);
        assert_eq!(set.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(set.get("a"), Some(&Value::Void));
        let mut removed: Arguments = table();
        assert_eq!(removed.remove("a"), Some(Value::long(1)));
        assert_eq!((removed.len(), removed.remove("a")), (1, None));
    }

    #[test]
    fn type_names_and_texts() {
        let check = |value: Value, type_name: &str, text: &str| {
            assert_eq!((value.type_name(), value.to_string().as_str()), (type_name, text));
        };
        check(Value::Bool(true), "bool", "true");
        check(int(-3, IntKind::SignedInt), "signedint", "-3");
        check(int(3, IntKind::UnsignedByte), "unsignedbyte", "3");
        check(Value::long(100), "long", "100");
        check(Value::str("drop-head"), "longstr", "drop-head");
        check(Value::Array(vec![Value::long(1), Value::str("x")]), "array", "[1,x]");
        check(Value::Table([("k", Value::long(1))].into_iter().collect()), "table", "[{k,1}]");
        check(Value::Void, "void", "undefined");
    }
}
