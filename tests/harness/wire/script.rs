//! The language of transcripts.
//!
//! One line is one frame or one act; `--` begins a comment. A line names a connection (letters), a channel (digits, none is 0), what happens
//! (one or two signs), and the rest:
//!
//! | line | meaning |
//! | --- | --- |
//! | `a1> METHOD FIELD...` | a says it on channel 1; connection and channel are opened first where needed |
//! | `a1>> METHOD FIELD...` | the same without opening the channel |
//! | `a1< METHOD FIELD...` | this is the next that a hears on channel 1 |
//! | `a1! CODE METHOD TEXT` | the broker closes the channel for this method (`-` for none); a answers, the channel can be opened anew |
//! | `a! CODE METHOD TEXT` | the broker closes the connection; a answers and hears the end |
//! | `a1~ METHOD FIELD... => METHOD FIELD...` | a asks until it hears this; `=> ! CODE` until it is refused so |
//! | `a1: method METHOD FIELD...` | a says a method without the content that it should carry |
//! | `a1: header class=N weight=N size=N PROPERTY...` | a says a content header |
//! | `a1: body TEXT` | a says a content body |
//! | `a: frame type=N channel=N payload=HEX end=N` | a says any frame |
//! | `a: bytes HEX`, `a: hears HEX` | bytes that are no frames |
//! | `a: slowly` | from now on each byte of a goes by itself |
//! | `a: raw` | a connects and says nothing, not even the protocol header |
//! | `a: open NAME=VALUE...` | a connects with user, password, vhost, capabilities, channel-max, frame-max, heartbeat of its own |
//! | `a: heartbeat` | a hears a heartbeat |
//! | `a1: confirmed N` | a hears confirms until the publishes 1 to N are confirmed, each once |
//! | `a: end` | a hears the end of the connection |
//! | `a: close` | a closes the connection and must hear nothing but that this is fine |
//! | `a: drop` | a goes without a word |
//!
//! Fields are `NAME=VALUE`; a bit is its bare name. What is not said is zero, empty or false; what is not expected is not compared,
//! except bits, which always are but for those marked `?NAME`. `!NAME` expects that a property is absent, `NAME~TEXT` that a value contains a text. Content is the
//! properties, `body=TEXT` (or `body=@COUNT`, so many bytes of a pattern) and, when heard, `frames=COUNT`. Values with blanks are
//! quoted, with `\0`, `\r`, `\n`, `\xHH`, `\"` and `\\` inside.
//!
//! `$name` is a name that no other test uses when first said, and whatever is heard when first heard. Lines that begin with `[3]` are for
//! RabbitMQ 3 only, with `[4]` for everything newer, which is what we follow. Says are sent together when something is to be heard,
//! so every transcript is pipelined as far as it can be. At the end all connections are closed and nothing unheard may be left.

/// A line of a transcript, taken apart but with its variables still in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) number: usize,
    pub(crate) text: &'a str,
    pub(crate) generation: Option<Generation>,
    pub(crate) connection: &'a str,
    pub(crate) channel: u16,
    pub(crate) sign: &'a str,
    pub(crate) rest: &'a str,
}

/// Which brokers a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// RabbitMQ 3.
    Three,
    /// RabbitMQ 4 and Leveret.
    Four,
}

/// The lines that say something.
///
/// # Panics
/// When one is not of the language.
pub(crate) fn lines(script: &str) -> Vec<Line<'_>> {
    let numbered = script
        .lines()
        .enumerate()
        .map(|(index, text)| (index + 1, text.split("-- ").next().unwrap_or_default().trim()));
    let filled = numbered.filter(|(_, text)| !text.is_empty() && *text != "--");
    filled
        .map(|(number, text)| line(number, text).unwrap_or_else(|| panic!("line {number}: not understood: {text}")))
        .collect()
}

fn line(number: usize, text: &str) -> Option<Line<'_>> {
    let (generation, text) = match text.split_at_checked(3) {
        Some(("[3]", rest)) => (Some(Generation::Three), rest.trim_start()),
        Some(("[4]", rest)) => (Some(Generation::Four), rest.trim_start()),
        _ => (None, text),
    };
    let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
    let (connection, head) = head.split_at(head.find(|char: char| !char.is_ascii_alphabetic())?);
    let (channel, sign) = head.split_at(head.find(|char: char| !char.is_ascii_digit())?);
    let channel = if channel.is_empty() { 0 } else { channel.parse().ok()? };
    let known = !connection.is_empty() && matches!(sign, ">" | ">>" | "<" | "!" | "~" | ":");
    known.then_some(Line { number, text, generation, connection, channel, sign, rest: rest.trim() })
}

/// Words between blanks; quotes and brackets keep theirs together.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut depth, mut in_quotes, mut escaped) = (Vec::new(), None, 0usize, false, false);
    for (at, char) in text.char_indices() {
        if char.is_whitespace() && depth == 0 && !in_quotes {
            found.extend(start.take().map(|start| &text[start..at]));
            continue;
        }
        start.get_or_insert(at);
        match char {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            '{' | '[' if !in_quotes => depth += 1,
            '}' | ']' if !in_quotes => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    found.extend(start.map(|start| &text[start..]));
    found
}

/// The meaning of a value: itself, or what stands between its quotes.
pub(crate) fn quoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return text.to_owned() };
    let mut value = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        value.push(match (char, char == '\\') {
            (_, true) => match chars.next() {
                Some('0') => '\0',
                Some('r') => '\r',
                Some('n') => '\n',
                Some('x') => hex_char(chars.by_ref().take(2).collect()),
                Some(other) => other,
                None => '\\',
            },
            (char, false) => char,
        });
    }
    value
}

/// The character of two hexadecimal digits.
fn hex_char(digits: String) -> char {
    let code = u8::from_str_radix(&digits, 16).ok().filter(u8::is_ascii);
    char::from(code.unwrap_or_else(|| panic!("\\x{digits}: not an ASCII character")))
}

/// The meaning of a body: `@COUNT` is that many bytes of a pattern, anything else itself.
pub(crate) fn body(text: &str) -> Vec<u8> {
    match text.strip_prefix('@').and_then(|count| count.parse().ok()) {
        Some(count) => (0..=250u8).cycle().take(count).collect(),
        None => quoted(text).into_bytes(),
    }
}

/// Bytes written as pairs of hexadecimal digits, with blanks where they please; letters and digits in quotes are themselves.
///
/// # Panics
/// When it is anything else.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    tokens(text).into_iter().flat_map(hex_word).collect()
}

fn hex_word(word: &str) -> Vec<u8> {
    if word.starts_with('"') {
        return quoted(word).into_bytes();
    }
    let pair = |at: usize| word.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..word.len()).step_by(2).map(|at| pair(at).unwrap_or_else(|| panic!("{word}: not hexadecimal"))).collect()
}

/// Replaces each `$name` by what `value` says.
pub(crate) fn substitute(text: &str, mut value: impl FnMut(&str) -> String) -> String {
    let mut parts = text.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|char: char| !(char.is_ascii_alphanumeric() || char == '_')).unwrap_or(part.len());
        out.push_str(&value(&part[..end]));
        out.push_str(&part[end..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let check = |text: &str, expected: Option<(&str, u16, &str, &str)>| {
            let found = line(1, text);
            assert_eq!(found.map(|line| (line.connection, line.channel, line.sign, line.rest)), expected, "{text}");
        };
        check("a1> queue.declare queue=$q", Some(("a", 1, ">", "queue.declare queue=$q")));
        check("a12>> basic.ack", Some(("a", 12, ">>", "basic.ack")));
        check("bob! 504 - text", Some(("bob", 0, "!", "504 - text")));
        check("a: drop", Some(("a", 0, ":", "drop")));
        check("[3] a1< x", Some(("a", 1, "<", "x")));
        check("a1 x", None);
        check("1> x", None);
        check("a99999> x", None);
        assert_eq!(line(1, "[4] a1< x").and_then(|line| line.generation), Some(Generation::Four));
        assert_eq!(
            lines("\n  a1> x -- why\n-- only a comment\n--\n a: end")
                .iter()
                .map(|line| line.number)
                .collect::<Vec<_>>(),
            [2, 5]
        );
    }

    #[test]
    fn tokens_keep_quotes_and_brackets_together() {
        let check = |text: &str, expected: &[&str]| assert_eq!(tokens(text), expected, "{text}");
        check("a  b=c", &["a", "b=c"]);
        check("a=\"b c\" d", &["a=\"b c\"", "d"]);
        check("a={b=S:\"c }\" d=A:[S:e S:f]} g", &["a={b=S:\"c }\" d=A:[S:e S:f]}", "g"]);
        check("a=\"b \\\" c\" d", &["a=\"b \\\" c\"", "d"]);
        check(" ", &[]);
    }

    #[test]
    fn values_have_a_meaning() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("\"a b\\0\\r\\n\\x05\\\"\\\\\""), "a b\0\r\n\x05\"\\");
        assert_eq!(body("@3"), [0, 1, 2]);
        assert_eq!(body("@x"), b"@x");
        assert_eq!(body("@252")[250..], [250, 0]);
        assert_eq!(hex("\"AMQP\" 0000 0901"), b"AMQP\0\0\x09\x01");
    }

    #[test]
    fn variables_are_replaced() {
        assert_eq!(substitute("'$q' in $vhost_1-$q", |name| name.to_uppercase()), "'Q' in VHOST_1-Q");
        assert_eq!(substitute("none", |_| String::new()), "none");
    }
}
