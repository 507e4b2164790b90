//! The files of the workspace, and their code without comments and strings.
//!
//! Files are read from the work tree, without what `.gitignore` names at the top: a rule is broken when it is written, not when it is
//! committed. Blanking keeps every character's line, so a violation can name it.

use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// For Rust: comments and the insides of strings and chars replaced by spaces. Otherwise empty.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { code_of(text) } else { String::new() };
        Source { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it lies in one of these places: a folder when it ends with `/`, else one file.
    pub(crate) fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| if place.ends_with('/') { self.path.starts_with(place) } else { self.path == *place })
    }

    /// `path:line: what`, for the offset of a byte in the text or the code.
    pub(crate) fn at(&self, offset: usize, what: &str) -> String {
        let line = 1 + self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count();
        format!("{}:{line}: {what}", self.path)
    }

    /// Where `word` stands in the code as a word of its own, not as part of an identifier.
    pub(crate) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let part_of_word = |byte: Option<&u8>| byte.is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'_');
        self.code.match_indices(word).map(|(offset, _)| offset).filter(move |&offset| {
            let bytes = self.code.as_bytes();
            let before = offset.checked_sub(1).and_then(|index| bytes.get(index));
            !part_of_word(before) && !part_of_word(bytes.get(offset + word.len()))
        })
    }
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package tests lies in the workspace")
}

/// Every text file of the workspace.
pub(crate) fn workspace() -> Vec<Source> {
    let mut files = Vec::new();
    entries(root()).into_iter().for_each(|entry| collect(&entry, &mut files));
    assert!(files.len() > 20, "only {} files below {}", files.len(), root().display());
    files
}

/// The names at the top of the workspace, without those that git does not know.
pub(crate) fn top_level() -> Vec<String> {
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    entries(root()).into_iter().filter_map(name).collect()
}

fn collect(path: &Path, files: &mut Vec<Source>) {
    if path.is_dir() {
        entries(path).iter().for_each(|entry| collect(entry, files));
        return;
    }
    let relative = path.strip_prefix(root()).expect("collected below the root").to_string_lossy().replace('\\', "/");
    // What is not text (a picture, a fuzz input) has no rules here.
    if let Ok(text) = fs::read_to_string(path) {
        files.push(Source::new(&relative, &text));
    }
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).chain([".git"]).collect();
    let known = |path: &PathBuf| path.file_name().is_some_and(|name| !ignored.iter().any(|&ignored| name == ignored));
    let listing = fs::read_dir(dir).unwrap_or_else(|error| panic!("cannot list {}: {error}", dir.display()));
    let mut entries: Vec<PathBuf> =
        listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(known).collect();
    entries.sort();
    entries
}

/// What a piece of Rust text is, judged by its first characters.
enum Piece {
    Code,
    LineComment,
    BlockComment,
    /// The length of the opening: quote, prefix and hashes.
    Text {
        opening: usize,
        hashes: usize,
        raw: bool,
    },
    Char,
}

/// Blanks comments and the insides of strings and chars; newlines stay.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let (mut rest, mut previous) = (text, ' ');
    while let Some(first) = rest.chars().next() {
        let (kept, length) = match piece(rest, previous) {
            Piece::Code => (true, first.len_utf8()),
            Piece::LineComment => (false, rest.find('\n').unwrap_or(rest.len())),
            Piece::BlockComment => (false, block_comment(rest)),
            Piece::Text { opening, hashes, raw } => (false, opening + string(&rest[opening..], hashes, raw)),
            Piece::Char => (false, char_literal(rest)),
        };
        let (now, later) = rest.split_at(length);
        if kept {
            code.push_str(now)
        } else {
            code.extend(now.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }))
        }
        previous = first;
        rest = later;
    }
    code
}

fn piece(rest: &str, previous: char) -> Piece {
    let in_word = previous.is_alphanumeric() || previous == '_';
    let unprefixed = rest.trim_start_matches(['b', 'c']);
    let raw = unprefixed.strip_prefix('r').map(|after| after.trim_start_matches('#'));
    match rest.as_bytes() {
        [b'/', b'/', ..] => Piece::LineComment,
        [b'/', b'*', ..] => Piece::BlockComment,
        [b'"', ..] => Piece::Text { opening: 1, hashes: 0, raw: false },
        _ if !in_word && rest.len() - unprefixed.len() <= 1 && raw.is_some_and(|after| after.starts_with('"')) => {
            let opening = rest.find('"').map_or(0, |quote| quote + 1);
            Piece::Text { opening, hashes: rest[..opening].matches('#').count(), raw: true }
        }
        [b'\'', ..] if char_literal(rest) > 0 => Piece::Char,
        _ => Piece::Code,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Length of a string from behind its opening to behind its closing.
fn string(rest: &str, hashes: usize, raw: bool) -> usize {
    if raw {
        let closing = format!("\"{}", "#".repeat(hashes));
        return rest.find(&closing).map_or(rest.len(), |at| at + closing.len());
    }
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a char literal, 0 when the quote begins a lifetime or label.
fn char_literal(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        // An escape is closed by the next quote that is not itself the escaped character.
        Some((_, '\\')) => rest.get(3..).and_then(|after| after.find('\'')).map_or(0, |at| at + 4),
        Some(_) => chars.next().filter(|&(_, char)| char == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_from_comments_and_strings() {
        let check = |text: &str, expected: &str| {
            assert_eq!(code_of(text).split_whitespace().collect::<Vec<_>>().join(" "), expected, "{text}");
            assert_eq!(code_of(text).matches('\n').count(), text.matches('\n').count(), "{text}");
        };
        check("a // b\nc", "a c");
        check("a /* b /* c */ d */ e", "a e");
        check("let a = \"b \\\" c\"; d", "let a = ; d");
        check("r\"a\" b", "b");
        check("br#\"a \" b\"# c", "c");
        check("for\"a\" b", "for b");
        check("'a' b '\\'' c '\\u{1F}' d '/' e", "b c d e");
        check("&'a str, 'b: loop", "&'a str, 'b: loop");
        check("\"a\nb\" c", "c");
        check("'\u{e4}' x // \u{e4}\ny", "x y");
        check("\"open", "");
    }

    #[test]
    fn words_are_whole_and_lines_are_named() {
        let source = Source::new("x.rs", "unsafe_op\n// unsafe\nunsafe {");
        let found: Vec<String> = source.words("unsafe").map(|offset| source.at(offset, "here")).collect();
        assert_eq!(found, ["x.rs:3: here"]);
    }

    #[test]
    fn the_workspace_is_found() {
        let files = workspace();
        for path in ["Cargo.toml", "runtime/src/lib.rs", "tests/tidy/source.rs", ".gitignore"] {
            assert!(files.iter().any(|file| file.path == path), "{path}");
        }
        assert!(!files.iter().any(|file| file.path.starts_with("target/") || file.path.starts_with(".git/")));
    }
}
