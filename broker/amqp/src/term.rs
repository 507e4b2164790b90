//! Bytes printed as Erlang prints them, because RabbitMQ's error texts contain them and clients and people compare texts.
//!
//! `~w` prints integers (`<<65,66>>`), `~p` prints a quoted string if all is printable (`<<"AB">>`). Texts are cut to 255
//! bytes later, so only a beginning is ever printed. It knows nothing else of Erlang.

use std::fmt;

/// No more octets are printed than this: a reply text has room for 255 characters and an octet takes at least one.
const OCTETS_PRINTED_MAX: usize = 256;

/// Displays a byte string as Erlang does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Octets<'a> {
    bytes: &'a [u8],
    quote: bool,
}

impl<'a> Octets<'a> {
    /// As `~w`: always integers.
    pub(crate) fn plain(bytes: &'a [u8]) -> Self {
        Self { bytes, quote: false }
    }

    /// As `~p`: quoted when printable.
    pub(crate) fn pretty(bytes: &'a [u8]) -> Self {
        Self { bytes, quote: !bytes.is_empty() && bytes.iter().all(|&octet| is_printable(octet)) }
    }
}

fn is_printable(octet: u8) -> bool {
    matches!(octet, 0x20..=0x7e | 0x08..=0x0d | 0x1b)
}

impl fmt::Display for Octets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.bytes.get(..OCTETS_PRINTED_MAX).unwrap_or(self.bytes);
        f.write_str("<<")?;
        if self.quote {
            write_quoted(f, shown)?
        } else {
            write_integers(f, shown)?
        }
        f.write_str(">>")
    }
}

fn write_integers(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for (index, octet) in bytes.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma}{octet}")?;
    }
    Ok(())
}

fn write_quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for &octet in bytes {
        match octet {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            0x08 => f.write_str("\\b")?,
            b'\t' => f.write_str("\\t")?,
            b'\n' => f.write_str("\\n")?,
            0x0b => f.write_str("\\v")?,
            0x0c => f.write_str("\\f")?,
            b'\r' => f.write_str("\\r")?,
            0x1b => f.write_str("\\e")?,
            _ => fmt::Write::write_char(f, char::from(octet))?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_like_erlang() {
        let check = |bytes: &[u8], plain: &str, pretty: &str| {
            assert_eq!(Octets::plain(bytes).to_string(), plain);
            assert_eq!(Octets::pretty(bytes).to_string(), pretty);
        };
        check(b"", "<<>>", "<<>>");
        check(b"AB", "<<65,66>>", "<<\"AB\">>");
        check(b"a\"\\\n", "<<97,34,92,10>>", "<<\"a\\\"\\\\\\n\">>");
        check(&[0, 255], "<<0,255>>", "<<0,255>>");
        check(b"\0guest", "<<0,103,117,101,115,116>>", "<<0,103,117,101,115,116>>");
    }

    #[test]
    fn prints_no_more_than_fits_a_text() {
        let text = Octets::plain(&[1; 1_000_000]).to_string();
        assert_eq!(text.len(), "<<>>".len() + 2 * OCTETS_PRINTED_MAX - 1);
    }
}
