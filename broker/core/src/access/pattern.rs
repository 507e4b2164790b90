//! Regular expressions on names, as permissions and policies have them.
//!
//! RabbitMQ's are Perl's, and its own documentation uses look-ahead (`^(?!amq\\.).*`), so an engine that has it is needed.
//! Most patterns need none of that and run in time linear in the name; the others backtrack, with a limit: whoever may
//! write a pattern must not be able to hold up a shard with it. A match that exceeds the limit is no match.

use fancy_regex::{Regex, RegexBuilder};

/// How far a pattern with look-around or back-references may backtrack: well under a millisecond.
const BACKTRACK_LIMIT: usize = 10_000;
/// The most memory that a compiled pattern may take.
const COMPILED_SIZE_MAX: usize = 1024 * 1024;

/// A regular expression on names, unanchored. The empty one matches nothing but the empty name.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    matcher: Matcher,
}

#[derive(Clone)]
enum Matcher {
    /// Most permissions are this one, and need no engine.
    Everything,
    /// Only the empty name: "the empty string is a synonym for `^$`" (RabbitMQ).
    Empty,
    Regex(Box<Regex>),
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPattern {
    /// The pattern as given.
    pub pattern: Box<str>,
    /// What the regular expression engine says about it.
    pub reason: Box<str>,
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        Ok(Self { text: text.into(), matcher: Matcher::new(text)? })
    }

    /// Compiles a topic pattern, in which `{username}` and `{vhost}` stand for the client's own.
    pub fn for_topic(text: &str, user: &str, vhost: &str) -> Result<Self, InvalidPattern> {
        let [user, vhost] = [user, vhost].map(fancy_regex::escape);
        let expanded = text.replace("{username}", &user).replace("{vhost}", &vhost);
        Ok(Self { text: text.into(), matcher: Matcher::new(&expanded)? })
    }

    /// The pattern as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is one of the usual ways to write that every name matches.
    pub fn is_everything(&self) -> bool {
        matches!(self.matcher, Matcher::Everything)
    }

    /// Whether some part of the name matches.
    pub fn matches(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Everything => true,
            Matcher::Empty => name.is_empty(),
            Matcher::Regex(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

impl Matcher {
    fn new(text: &str) -> Result<Self, InvalidPattern> {
        match text {
            "" | "^$" => return Ok(Self::Empty),
            ".*" | "^.*" | ".*$" | "^" => return Ok(Self::Everything),
            _ => {}
        }
        let mut builder = RegexBuilder::new(text);
        builder.backtrack_limit(BACKTRACK_LIMIT).delegate_size_limit(COMPILED_SIZE_MAX);
        let refused =
            |error: fancy_regex::Error| InvalidPattern { pattern: text.into(), reason: error.to_string().into() };
        builder.build().map(Box::new).map(Self::Regex).map_err(refused)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_unanchored_and_the_empty_one_matches_nothing() {
        let check = |pattern: &str, name: &str, expected: bool| {
            assert_eq!(Pattern::new(pattern).expect("valid").matches(name), expected, "{pattern:?} {name:?}");
        };
        check("a", "bab", true);
        check("^a", "ba", false);
        check("^amq\\.", "amq.topic", true);
        check("", "anything", false);
        check("", "", true);
        check("^$", "anything", false);
        check("^(a|b)$", "b", true);
        check(".*", "", true);
        check("^.*$", "two\nlines", false);
        check("^(?!amq\\.).*", "orders", true);
        check("^(?!amq\\.).*", "amq.topic", false);
        check("(?i)^ORD", "orders", true);
        check("^\\d+$", "12", true);
    }

    #[test]
    fn what_does_not_compile_is_refused_with_a_reason() {
        for text in ["(", "*", "[a", "a{4294967295}"] {
            let error = Pattern::new(text).expect_err(text);
            assert!(&*error.pattern == text && !error.reason.is_empty());
        }
    }

    #[test]
    fn backtracking_ends() {
        let pattern = Pattern::new("^(a+)+(?=b)\\1$").expect("valid");
        assert!(!pattern.matches(&"a".repeat(255)), "no match rather than no end");
    }

    #[test]
    fn names_in_topic_patterns_are_taken_literally() {
        let pattern = Pattern::for_topic("^{username}@{vhost}$", "a.*", "/x+").expect("valid");
        assert!(pattern.matches("a.*@/x+") && !pattern.matches("abc@/xx"));
        assert_eq!(pattern.as_str(), "^{username}@{vhost}$");
    }
}
