//! Which row of the table of keys a written key belongs to, and which it was perhaps meant to be.

use super::keys::{Effect, KEYS, Key};

/// What is known of a key, and the words at its pattern's stars.
pub fn find(key: &str) -> Option<(&'static Key, Vec<&str>)> {
    KEYS.iter().find_map(|known| Some((known, matches(known.pattern, key)?)))
}

/// The words at the pattern's stars, if the key fits.
fn matches<'k>(pattern: &str, key: &'k str) -> Option<Vec<&'k str>> {
    if let Some(start) = pattern.strip_suffix("**") {
        return (key.len() > start.len() && key.starts_with(start)).then(Vec::new);
    }
    let mut stars = Vec::new();
    let mut words = key.split('.');
    for expected in pattern.split('.') {
        match (expected, words.next()?) {
            ("*", word) => stars.push(word),
            (expected, word) if expected == word => {}
            _ => return None,
        }
    }
    words.next().is_none().then_some(stars)
}

/// The acting key that is most like `key`, if any is near.
pub fn suggest(key: &str) -> Option<&'static str> {
    /// Typing errors that are still recognised.
    const DISTANCE_MAX: usize = 3;
    let acting = KEYS.iter().filter(|known| matches!(known.effect, Effect::Set { .. }));
    let near = acting.map(|known| (distance(known.pattern, key), known.pattern));
    near.filter(|(distance, _)| *distance <= DISTANCE_MAX).min().map(|(_, pattern)| pattern)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern, key, expected: Option<&[&str]>| {
            assert_eq!(matches(pattern, key).as_deref(), expected, "{pattern} {key}");
        };
        check("heartbeat", "heartbeat", Some(&[]));
        check("heartbeat", "heartbeat.x", None);
        check("listeners.tcp.*", "listeners.tcp.default", Some(&["default"]));
        check("listeners.tcp.*", "listeners.tcp", None);
        check("listeners.tcp.*", "listeners.tcp.a.b", None);
        check("log.**", "log.a.b", Some(&[]));
        check("log.**", "log", None);
        check("log.**", "log.", None);
        check("msg_store_**", "msg_store_file_size_limit", Some(&[]));
    }

    #[test]
    fn the_more_special_pattern_comes_first() {
        for (index, known) in KEYS.iter().enumerate() {
            let (found, _) = find(known.pattern).unwrap_or_else(|| panic!("{} finds itself", known.pattern));
            assert_eq!(found.pattern, known.pattern, "row {index} is hidden");
        }
    }

    #[test]
    fn suggestions_are_near() {
        assert_eq!(suggest("heartbeats"), Some("heartbeat"));
        assert_eq!(suggest("vm_memory_high_watermark.relativ"), Some("vm_memory_high_watermark.relative"));
        assert_eq!(suggest("something_else"), None);
    }
}
