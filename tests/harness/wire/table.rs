//! Field tables as text and as bytes.
//!
//! The text names the type octet of each value, because tests are about the exact ones: `{x-max-length=I:10 x-match=S:any}`,
//! `{CC=A:[S:one S:two]}`, `{nested=F:{void=V:}}`. A value with blanks or brackets is quoted: `S:"a b"`.

use super::codec::{Bytes, Malformed};
use super::script::{quoted, tokens};

/// Encodes the text of a table, with its length in front.
pub(crate) fn encode(text: &str, out: &mut Vec<u8>) {
    let inside = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inside = inside.unwrap_or_else(|| panic!("{text}: a table stands in braces"));
    let mut entries = Vec::new();
    for entry in tokens(inside) {
        let (key, value) = entry.split_once('=').unwrap_or_else(|| panic!("{entry}: an entry is KEY=TYPE:VALUE"));
        entries.push(u8::try_from(key.len()).expect("a key has at most 255 bytes"));
        entries.extend_from_slice(key.as_bytes());
        encode_value(value, &mut entries);
    }
    put_sized(&entries, out);
}

fn encode_value(text: &str, out: &mut Vec<u8>) {
    let (kind, value) = text.split_once(':').unwrap_or_else(|| panic!("{text}: a value is TYPE:VALUE"));
    out.extend_from_slice(kind.as_bytes());
    let number = || value.parse::<i128>().unwrap_or_else(|_| panic!("{text}: not a number"));
    let float = || value.parse::<f64>().unwrap_or_else(|_| panic!("{text}: not a number"));
    match kind {
        "t" => out.push(u8::from(value == "true")),
        "b" | "B" => out.extend_from_slice(&number().to_be_bytes()[15..]),
        "s" | "u" => out.extend_from_slice(&number().to_be_bytes()[14..]),
        "I" | "i" => out.extend_from_slice(&number().to_be_bytes()[12..]),
        "l" | "L" | "T" => out.extend_from_slice(&number().to_be_bytes()[8..]),
        "f" => out.extend_from_slice(&(float() as f32).to_be_bytes()),
        "d" => out.extend_from_slice(&float().to_be_bytes()),
        "D" => {
            let (scale, digits) = value.split_once('/').unwrap_or_else(|| panic!("{text}: a decimal is SCALE/DIGITS"));
            out.push(scale.parse().unwrap_or_else(|_| panic!("{text}: not a scale")));
            out.extend_from_slice(
                &digits.parse::<u32>().unwrap_or_else(|_| panic!("{text}: not digits")).to_be_bytes(),
            );
        }
        "S" | "x" => put_sized(quoted(value).as_bytes(), out),
        "A" => {
            let inside = value.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
            let mut items = Vec::new();
            for item in tokens(inside.unwrap_or_else(|| panic!("{text}: an array stands in brackets"))) {
                encode_value(item, &mut items);
            }
            put_sized(&items, out);
        }
        "F" => encode(value, out),
        "V" => {}
        // Any other octet, to see what the broker makes of it; the value is what follows, in clear.
        _ => out.extend_from_slice(value.as_bytes()),
    }
}

fn put_sized(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(bytes.len()).expect("tests have small tables").to_be_bytes());
    out.extend_from_slice(bytes);
}

/// The text of a table from its bytes (without the length).
pub(crate) fn decode(bytes: &[u8]) -> Result<String, Malformed> {
    let mut bytes = Bytes(bytes);
    let mut entries = Vec::new();
    while !bytes.0.is_empty() {
        let key = bytes.short_string()?;
        entries.push(format!("{key}={}", decode_value(&mut bytes)?));
    }
    Ok(format!("{{{}}}", entries.join(" ")))
}

fn decode_value(bytes: &mut Bytes<'_>) -> Result<String, Malformed> {
    let kind = char::from(bytes.unsigned(1)? as u8);
    let value = match kind {
        't' => (bytes.unsigned(1)? != 0).to_string(),
        'b' => bytes.signed(1)?.to_string(),
        'B' => bytes.unsigned(1)?.to_string(),
        's' => bytes.signed(2)?.to_string(),
        'u' => bytes.unsigned(2)?.to_string(),
        'I' => bytes.signed(4)?.to_string(),
        'i' => bytes.unsigned(4)?.to_string(),
        'l' | 'L' => bytes.signed(8)?.to_string(),
        'T' => bytes.unsigned(8)?.to_string(),
        'f' => f32::from_bits(bytes.unsigned(4)? as u32).to_string(),
        'd' => f64::from_bits(bytes.unsigned(8)?).to_string(),
        'D' => format!("{}/{}", bytes.unsigned(1)?, bytes.unsigned(4)?),
        'S' | 'x' => requoted(&String::from_utf8_lossy(bytes.sized()?)),
        'A' => {
            let mut array = Bytes(bytes.sized()?);
            let mut items = Vec::new();
            while !array.0.is_empty() {
                items.push(decode_value(&mut array)?);
            }
            format!("[{}]", items.join(" "))
        }
        'F' => decode(bytes.sized()?)?,
        'V' => String::new(),
        _ => return Err(Malformed(format!("the type {kind:?} in a table"))),
    };
    Ok(format!("{kind}:{value}"))
}

fn requoted(text: &str) -> String {
    let plain = !text.is_empty() && !text.contains(|char: char| char.is_whitespace() || "{}[]\"=".contains(char));
    if plain {
        text.to_owned()
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\0', "\\0"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_survive_the_round_trip() {
        for text in [
            "{}",
            "{a=t:true b=b:-1 c=B:255 d=s:-2 e=u:65535 f=I:-3 g=i:4294967295 h=l:-9 i=T:1}",
            "{f=f:1.5 d=d:-0.25 x=D:2/314}",
            "{s=S:text q=S:\"a b\" e=S:\"\" q2=S:\"a \\\"b\\\" \\0\" y=x:bytes}",
            "{CC=A:[S:one S:\"two three\" I:4] n=F:{v=V: t=F:{}}}",
        ] {
            let mut bytes = Vec::new();
            encode(text, &mut bytes);
            assert_eq!(decode(&bytes[4..]).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_table_has_the_published_bytes() {
        let mut bytes = Vec::new();
        encode("{a=I:1 b=S:x}", &mut bytes);
        assert_eq!(bytes, b"\0\0\0\x0f\x01aI\0\0\0\x01\x01bS\0\0\0\x01x");
    }

    #[test]
    fn cut_tables_are_malformed() {
        for bytes in [&b"\x05a"[..], b"\x01aI\0", b"\x01aS\0\0\0\x09x", b"\x01a?"] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
