//! Field values of the wire as values of the core, and back. The shapes are parallel, so this is one match each way.

use leveret_amqp::table::{RawTable, Table};
use leveret_amqp::value::FieldValue;
use leveret_core::value::{Arguments, IntKind, Value};

/// A table as the core's arguments.
pub(super) fn arguments(table: &RawTable<'_>) -> Arguments {
    match table.is_empty() {
        true => Arguments::new(),
        false => from_table(table.decode()),
    }
}

/// An owned table as the core's arguments.
pub(super) fn from_table(table: Table) -> Arguments {
    let mut arguments = Arguments::new();
    for (name, value) in table.iter() {
        arguments.push(name, to_core(value.clone()));
    }
    arguments
}

fn to_core(value: FieldValue) -> Value {
    let int = |value: i64, kind| Value::Int { value, kind };
    match value {
        FieldValue::Bool(value) => Value::Bool(value),
        FieldValue::I8(value) => int(value.into(), IntKind::Byte),
        FieldValue::U8(value) => int(value.into(), IntKind::UnsignedByte),
        FieldValue::I16(value) => int(value.into(), IntKind::Short),
        FieldValue::U16(value) => int(value.into(), IntKind::UnsignedShort),
        FieldValue::I32(value) => int(value.into(), IntKind::SignedInt),
        FieldValue::U32(value) => int(value.into(), IntKind::UnsignedInt),
        FieldValue::I64(value) => int(value, IntKind::Long),
        FieldValue::F32(value) => Value::Float(value),
        FieldValue::F64(value) => Value::Double(value),
        FieldValue::Decimal { scale, value } => Value::Decimal { scale, value },
        FieldValue::LongString(bytes) => Value::Str(bytes.into()),
        FieldValue::Array(values) => Value::Array(values.into_iter().map(to_core).collect()),
        FieldValue::Timestamp(seconds) => Value::Timestamp(seconds),
        FieldValue::Table(table) => Value::Table(from_table(table)),
        FieldValue::Bytes(bytes) => Value::Bytes(bytes.into()),
        FieldValue::Void => Value::Void,
    }
}

/// The core's arguments as a table.
pub(super) fn table(arguments: &Arguments) -> Table {
    let mut table = Table::new();
    for (name, value) in arguments.iter() {
        table.push(name, to_wire(value));
    }
    table
}

/// A value of the core as one of the wire, in the width that it came in.
pub(super) fn to_wire(value: &Value) -> FieldValue {
    match value {
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::Int { value, kind } => integer(*value, *kind),
        Value::Float(value) => FieldValue::F32(*value),
        Value::Double(value) => FieldValue::F64(*value),
        Value::Decimal { scale, value } => FieldValue::Decimal { scale: *scale, value: *value },
        Value::Str(bytes) => FieldValue::LongString(bytes.to_vec()),
        Value::Array(values) => FieldValue::Array(values.iter().map(to_wire).collect()),
        Value::Timestamp(seconds) => FieldValue::Timestamp(*seconds),
        Value::Table(arguments) => FieldValue::Table(table(arguments)),
        Value::Bytes(bytes) => FieldValue::Bytes(bytes.to_vec()),
        Value::Void => FieldValue::Void,
    }
}

/// Falls back to 64 bits for a number that does not fit the width it claims (which only the core itself could have made).
fn integer(value: i64, kind: IntKind) -> FieldValue {
    let exact = match kind {
        IntKind::Byte => value.try_into().map(FieldValue::I8).ok(),
        IntKind::UnsignedByte => value.try_into().map(FieldValue::U8).ok(),
        IntKind::Short => value.try_into().map(FieldValue::I16).ok(),
        IntKind::UnsignedShort => value.try_into().map(FieldValue::U16).ok(),
        IntKind::SignedInt => value.try_into().map(FieldValue::I32).ok(),
        IntKind::UnsignedInt => value.try_into().map(FieldValue::U32).ok(),
        IntKind::Long => None,
    };
    exact.unwrap_or(FieldValue::I64(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_survives_the_round_trip() {
        let inner = Table::new().with("deep", FieldValue::Void);
        let values = [
            FieldValue::Bool(true),
            FieldValue::I8(-1),
            FieldValue::U8(255),
            FieldValue::I16(-300),
            FieldValue::U16(65_535),
            FieldValue::I32(-70_000),
            FieldValue::U32(u32::MAX),
            FieldValue::I64(i64::MIN),
            FieldValue::F32(1.5),
            FieldValue::F64(-2.5),
            FieldValue::Decimal { scale: 2, value: 314 },
            FieldValue::LongString(vec![0, 255]),
            FieldValue::Array(vec![FieldValue::U8(1), FieldValue::Void]),
            FieldValue::Timestamp(7),
            FieldValue::Table(inner),
            FieldValue::Bytes(vec![1]),
            FieldValue::Void,
        ];
        for value in values {
            assert_eq!(to_wire(&to_core(value.clone())), value);
        }
    }
}
