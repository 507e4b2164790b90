//! Tags: what a user may do besides messaging.

use crate::ids::Name;

/// A user's tag. Those without a meaning here are kept for whoever else reads them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "RabbitMQ's own words")]
pub enum Tag {
    Administrator,
    Monitoring,
    Policymaker,
    Management,
    Impersonator,
    Protected,
    Other(Name),
}

impl Tag {
    /// Those with a meaning.
    pub const KNOWN: [Self; 6] = [
        Self::Administrator,
        Self::Monitoring,
        Self::Policymaker,
        Self::Management,
        Self::Impersonator,
        Self::Protected,
    ];

    /// The word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Administrator => "administrator",
            Self::Monitoring => "monitoring",
            Self::Policymaker => "policymaker",
            Self::Management => "management",
            Self::Impersonator => "impersonator",
            Self::Protected => "protected",
            Self::Other(word) => word,
        }
    }

    /// The tag of that word.
    pub fn parse(word: &str) -> Self {
        Self::KNOWN.into_iter().find(|tag| tag.as_str() == word).unwrap_or_else(|| Self::Other(word.into()))
    }

    /// The tags of a comma-separated list, as the HTTP API takes it: blanks around words do not count, nor do empty words.
    pub fn parse_list(words: &str) -> Vec<Self> {
        words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(Self::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_words() {
        assert!(Tag::KNOWN.into_iter().all(|tag| Tag::parse(tag.as_str()) == tag));
        let expected = [Tag::Administrator, Tag::Other("billing".into())];
        assert_eq!(Tag::parse_list(" administrator ,, billing"), expected);
        assert_eq!(Tag::parse_list(""), []);
    }
}
