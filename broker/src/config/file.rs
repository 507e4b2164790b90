//! The format of `rabbitmq.conf`: one `key = value` a line, `#` for comments. Text in, settings out.
//!
//! A value ends at the line's end or at a `#`; in single quotes it may contain one, as in `default_pass = 'a#b'`.

use std::fmt;

/// Bytes of one file; configuration is written by people.
pub const FILE_SIZE_MAX: usize = 1 << 20;

/// One line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// Dotted words, such as `listeners.tcp.default`.
    pub key: &'a str,
    /// What stands on the right, without quotes.
    pub value: &'a str,
    /// From 1.
    pub line: usize,
}

/// A line that is not of the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub kind: SyntaxErrorKind,
}

/// See [`SyntaxError`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Display says it")]
pub enum SyntaxErrorKind {
    NoEquals,
    BadKey,
    NoValue,
    OpenQuote,
    AfterQuote,
    Erlang,
}

impl fmt::Display for SyntaxErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEquals => "expected 'key = value', found no '='",
            Self::BadKey => "a key has letters, digits, '_', '-' and dots",
            Self::NoValue => "expected a value after '='",
            Self::OpenQuote => "the quote is not closed on this line",
            Self::AfterQuote => "nothing may follow a quoted value but a comment",
            Self::Erlang => {
                "this looks like Erlang terms (the classic format, advanced.config), which are not read; \
                 write it as 'key = value'"
            }
        })
    }
}

/// All settings of a file in their order, and what could not be understood.
pub fn parse(text: &str) -> (Vec<Setting<'_>>, Vec<SyntaxError>) {
    let mut settings = Vec::new();
    let mut errors = Vec::new();
    for (line, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        match parse_line(text) {
            Ok(None) => {}
            Ok(Some((key, value))) => settings.push(Setting { key, value, line }),
            Err(kind) => errors.push(SyntaxError { line, kind }),
        }
    }
    (settings, errors)
}

fn parse_line(line: &str) -> Result<Option<(&str, &str)>, SyntaxErrorKind> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    if line.starts_with(['[', '{', '%', ']', '}']) {
        return Err(SyntaxErrorKind::Erlang);
    }
    let (key, value) = line.split_once('=').ok_or(SyntaxErrorKind::NoEquals)?;
    let key = key.trim_end();
    if !is_key(key) {
        return Err(SyntaxErrorKind::BadKey);
    }
    Ok(Some((key, unquote(value.trim_start())?)))
}

/// Words of any script: keys may contain names of virtual hosts and users.
fn is_key(key: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_-/".contains(c));
    key.split('.').all(is_word)
}

fn unquote(value: &str) -> Result<&str, SyntaxErrorKind> {
    let Some(quoted) = value.strip_prefix('\'') else {
        let value = value.split('#').next().unwrap_or_default().trim_end();
        return if value.is_empty() { Err(SyntaxErrorKind::NoValue) } else { Ok(value) };
    };
    let (inside, rest) = quoted.split_once('\'').ok_or(SyntaxErrorKind::OpenQuote)?;
    match rest.trim_start() {
        "" => Ok(inside),
        rest if rest.starts_with('#') => Ok(inside),
        _ => Err(SyntaxErrorKind::AfterQuote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |line, expected| assert_eq!(parse_line(line), expected, "{line:?}");
        check("", Ok(None));
        check("  # listeners.tcp.default = 5672", Ok(None));
        check("listeners.tcp.default = 5672", Ok(Some(("listeners.tcp.default", "5672"))));
        check("  heartbeat=30  ", Ok(Some(("heartbeat", "30"))));
        check("heartbeat = 30 # seconds", Ok(Some(("heartbeat", "30"))));
        check("default_pass = a=b c", Ok(Some(("default_pass", "a=b c"))));
        check("default_pass = 'a#b '# why", Ok(Some(("default_pass", "a#b "))));
        check("default_pass = ''", Ok(Some(("default_pass", ""))));
        check("default_limits.vhosts.größe-1.max = 1", Ok(Some(("default_limits.vhosts.größe-1.max", "1"))));
        check("heartbeat", Err(SyntaxErrorKind::NoEquals));
        check("heartbeat =", Err(SyntaxErrorKind::NoValue));
        check("heartbeat = # none", Err(SyntaxErrorKind::NoValue));
        check("= 5", Err(SyntaxErrorKind::BadKey));
        check("a..b = 5", Err(SyntaxErrorKind::BadKey));
        check("a b = 5", Err(SyntaxErrorKind::BadKey));
        check("a = 'b", Err(SyntaxErrorKind::OpenQuote));
        check("a = 'b' c", Err(SyntaxErrorKind::AfterQuote));
        check("[{rabbit, [{tcp_listeners, [5672]}]}].", Err(SyntaxErrorKind::Erlang));
        check("%% a comment", Err(SyntaxErrorKind::Erlang));
    }

    #[test]
    fn a_file_gives_all_that_can_be_understood_with_line_numbers() {
        let (settings, errors) = parse("\u{feff}a = 1\r\n\r\noops\r\nb.c = 2");
        let lines: Vec<_> = settings.iter().map(|setting| (setting.key, setting.value, setting.line)).collect();
        assert_eq!(lines, [("a", "1", 1), ("b.c", "2", 4)]);
        assert_eq!(errors, [SyntaxError { line: 3, kind: SyntaxErrorKind::NoEquals }]);
    }

    #[test]
    fn any_text_is_survived() {
        let mut state = 7u32;
        let alphabet: Vec<char> = "a=.'# \n\t[%é\u{0}".chars().collect();
        for _ in 0..20_000 {
            let text: String = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    alphabet[(state >> 16) as usize % alphabet.len()]
                })
                .collect();
            let (settings, errors) = parse(&text);
            assert!(settings.len() + errors.len() <= text.lines().count());
        }
    }
}
