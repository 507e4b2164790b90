//! Frames and methods as bytes and as text.
//!
//! A frame's fields are kept as text, which is what a transcript compares: numbers in decimal, bits as `1` or `0`, tables as `table` writes
//! them. Bytes that are not UTF-8 are shown with replacement characters.

use std::fmt;

use super::spec::{Method, PROPERTIES};
use super::table;

/// Frame types.
pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;
/// The octet at the end of each frame.
pub(crate) const FRAME_END: u8 = 0xCE;

/// Bytes from the broker that mean nothing, said in words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

/// A name and its value as text.
pub(crate) type Field = (&'static str, String);

/// What a method frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) method: &'static str,
    pub(crate) fields: Vec<Field>,
}

impl fmt::Display for Said {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.method)?;
        self.fields.iter().try_for_each(|(name, value)| write!(out, " {name}={value:?}"))
    }
}

/// A frame with the given payload.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("tests send frames below 4 GiB");
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[FRAME_END]].concat()
}

/// The payload of a method frame. Fields that are not given are zero, empty or false.
///
/// # Panics
/// When a given field is not one of the method's.
pub(crate) fn encode_method(method: &Method, given: &[(&str, String)]) -> Vec<u8> {
    for (name, _) in given {
        assert!(method.fields().any(|(field, _)| field == *name), "{} has no field {name}", method.name);
    }
    let mut out = [method.class.to_be_bytes(), method.id.to_be_bytes()].concat();
    let mut bits = 0;
    for (name, kind) in method.fields() {
        let value = given.iter().find(|(field, _)| *field == name).map_or("", |(_, value)| value);
        if kind == "bit" {
            if bits % 8 == 0 {
                out.push(0);
            }
            *out.last_mut().expect("pushed for the first bit") |= u8::from(value == "1") << (bits % 8);
            bits += 1;
        } else {
            bits = 0;
            encode_field(kind, value, &mut out);
        }
    }
    out
}

fn encode_field(kind: &str, value: &str, out: &mut Vec<u8>) {
    let number =
        || if value.is_empty() { 0 } else { value.parse::<u64>().unwrap_or_else(|_| panic!("{value}: not a number")) };
    let mut number_of = |size: usize| out.extend_from_slice(&number().to_be_bytes()[8 - size..]);
    match kind {
        "octet" => number_of(1),
        "short" => number_of(2),
        "long" => number_of(4),
        "longlong" => number_of(8),
        "shortstr" => {
            out.push(u8::try_from(value.len()).expect("a short string has at most 255 bytes"));
            out.extend_from_slice(value.as_bytes());
        }
        "longstr" => {
            out.extend_from_slice(&u32::try_from(value.len()).expect("tests have small strings").to_be_bytes());
            out.extend_from_slice(value.as_bytes());
        }
        "table" => table::encode(if value.is_empty() { "{}" } else { value }, out),
        _ => unreachable!("the types of the specification are tested: {kind}"),
    }
}

/// What the payload of a method frame says.
pub(crate) fn decode_method(payload: &[u8]) -> Result<Said, Malformed> {
    let mut bytes = Bytes(payload);
    let (class, id) = (bytes.unsigned(2)? as u16, bytes.unsigned(2)? as u16);
    let method = Method::with_ids(class, id).ok_or_else(|| Malformed(format!("the method {class}.{id}")))?;
    let (mut fields, mut bits, mut octet) = (Vec::new(), 0, 0);
    for (name, kind) in method.fields() {
        if kind == "bit" {
            octet = if bits % 8 == 0 { bytes.unsigned(1)? } else { octet >> 1 };
            bits += 1;
            fields.push((name, (octet & 1).to_string()));
        } else {
            bits = 0;
            fields.push((name, decode_field(kind, &mut bytes)?));
        }
    }
    if bytes.0.is_empty() {
        Ok(Said { method: method.name, fields })
    } else {
        Err(Malformed(format!("{} bytes too many in {}", bytes.0.len(), method.name)))
    }
}

fn decode_field(kind: &str, bytes: &mut Bytes<'_>) -> Result<String, Malformed> {
    Ok(match kind {
        "octet" => bytes.unsigned(1)?.to_string(),
        "short" => bytes.unsigned(2)?.to_string(),
        "long" => bytes.unsigned(4)?.to_string(),
        "longlong" => bytes.unsigned(8)?.to_string(),
        "shortstr" => bytes.short_string()?,
        "longstr" => String::from_utf8_lossy(bytes.sized()?).into_owned(),
        "table" => table::decode(bytes.sized()?)?,
        _ => unreachable!("the types of the specification are tested: {kind}"),
    })
}

/// The payload of a content header frame.
pub(crate) fn encode_header(class: u16, weight: u16, size: u64, given: &[(&str, String)]) -> Vec<u8> {
    let mut out = [&class.to_be_bytes()[..], &weight.to_be_bytes(), &size.to_be_bytes()].concat();
    let (mut flags, mut values) = (0u16, Vec::new());
    for (index, (name, kind)) in PROPERTIES.iter().enumerate() {
        if let Some((_, value)) = given.iter().find(|(field, _)| field == name) {
            flags |= 1 << (15 - index);
            encode_field(kind, value, &mut values);
        }
    }
    out.extend_from_slice(&flags.to_be_bytes());
    out.extend_from_slice(&values);
    out
}

/// Body size and properties of a content header frame.
pub(crate) fn decode_header(payload: &[u8]) -> Result<(u64, Vec<Field>), Malformed> {
    let mut bytes = Bytes(payload);
    let (class, weight, size, flags) = (bytes.unsigned(2)?, bytes.unsigned(2)?, bytes.unsigned(8)?, bytes.unsigned(2)?);
    if (class, weight, flags & 0b11) != (60, 0, 0) {
        return Err(Malformed(format!("a content header with class {class}, weight {weight}, flags {flags:#x}")));
    }
    let mut fields = Vec::new();
    for (index, (name, kind)) in PROPERTIES.iter().enumerate() {
        if flags & (1 << (15 - index)) != 0 {
            fields.push((*name, decode_field(kind, &mut bytes)?));
        }
    }
    if bytes.0.is_empty() {
        Ok((size, fields))
    } else {
        Err(Malformed(format!("{} bytes too many in a header", bytes.0.len())))
    }
}

/// Bytes that have not been read yet.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| Malformed(format!("{count} bytes where {} are left", self.0.len())))?;
        self.0 = rest;
        Ok(taken)
    }

    /// An unsigned number of 1 to 8 bytes.
    pub(crate) fn unsigned(&mut self, size: usize) -> Result<u64, Malformed> {
        Ok(self.take(size)?.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// A signed number of 1 to 8 bytes.
    pub(crate) fn signed(&mut self, size: usize) -> Result<i64, Malformed> {
        let shift = 64 - 8 * size;
        Ok((self.unsigned(size)? << shift) as i64 >> shift)
    }

    /// Bytes with a length of four bytes in front.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.unsigned(4)?;
        self.take(size as usize)
    }

    pub(crate) fn short_string(&mut self) -> Result<String, Malformed> {
        let size = self.unsigned(1)?;
        Ok(String::from_utf8_lossy(self.take(size as usize)?).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn method(name: &str) -> &'static Method {
        Method::named(name).unwrap_or_else(|| panic!("no method {name}"))
    }

    #[test]
    fn methods_have_the_published_bytes() {
        let check = |name: &str, given: &[(&'static str, &str)], expected: &[u8]| {
            let given: Vec<(&'static str, String)> =
                given.iter().map(|&(name, value)| (name, value.to_owned())).collect();
            let bytes = encode_method(method(name), &given);
            assert_eq!(bytes, expected, "{name}");
            let said = decode_method(&bytes).unwrap_or_else(|malformed| panic!("{name}: {malformed:?}"));
            assert!(given.iter().all(|field| said.fields.contains(field)), "{said}");
        };
        check("channel.open", &[], b"\0\x14\0\x0a\0");
        check(
            "queue.declare",
            &[("queue", "q"), ("durable", "1"), ("nowait", "1")],
            b"\0\x32\0\x0a\0\0\x01q\x12\0\0\0\0",
        );
        check("basic.ack", &[("delivery-tag", "258"), ("multiple", "1")], b"\0\x3c\0\x50\0\0\0\0\0\0\x01\x02\x01");
        check("basic.publish", &[("routing-key", "k"), ("mandatory", "1")], b"\0\x3c\0\x28\0\0\0\x01k\x01");
        check(
            "connection.tune-ok",
            &[("channel-max", "2047"), ("frame-max", "131072")],
            b"\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\0",
        );
    }

    #[test]
    fn headers_have_the_published_bytes() {
        let given = [("delivery-mode", "2".to_owned()), ("content-type", "a".to_owned())];
        let bytes = encode_header(60, 0, 5, &given);
        assert_eq!(bytes, b"\0\x3c\0\0\0\0\0\0\0\0\0\x05\x90\0\x01a\x02");
        assert_eq!(decode_header(&bytes), Ok((5, vec![("content-type", "a".into()), ("delivery-mode", "2".into())])));
    }

    #[test]
    fn a_frame_has_the_published_bytes() {
        assert_eq!(frame(METHOD, 258, b"ab"), b"\x01\x01\x02\0\0\0\x02ab\xce");
    }

    #[test]
    fn cut_and_overlong_methods_are_malformed() {
        let whole = encode_method(method("queue.declare-ok"), &[("queue", "q".to_owned())]);
        for end in 0..whole.len() {
            assert!(decode_method(&whole[..end]).is_err(), "{end}");
        }
        assert!(decode_method(&[&whole[..], b"x"].concat()).is_err());
        assert!(decode_method(b"\0\x3c\0\x01").is_err());
    }
}
