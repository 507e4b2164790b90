//! Where things are and how long they may be.

use crate::source::{Source, top_level, workspace};

/// What lies at the top besides dotfiles. A new entry is a decision about the project's shape, not a by-product.
const TOP_LEVEL: [&str; 10] = [
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "broker",
    "echo-server",
    "examples",
    "runtime",
];

/// And this package.
const TESTS: &str = "tests";

/// Past this a file holds more than one noun.
const FILE_LINES_MAX: usize = 800;

/// Uniform tables that may be longer, each with its reason.
const LONG_TABLES: [(&str, &str); 0] = [];

fn top_level_violations(names: &[String]) -> Vec<String> {
    let allowed = |name: &str| name.starts_with('.') || name == TESTS || TOP_LEVEL.contains(&name);
    let extra =
        names.iter().filter(|name| !allowed(name)).map(|name| format!("{name}: not a top-level entry of the layout"));
    let missing = TOP_LEVEL.iter().filter(|&&name| !names.iter().any(|found| found == name));
    extra.chain(missing.map(|name| format!("{name}: missing at the top"))).collect()
}

fn length_violation(file: &Source) -> Option<String> {
    let lines = file.text.lines().count();
    let long = file.is_rust() && lines > FILE_LINES_MAX && !LONG_TABLES.iter().any(|(path, _)| *path == file.path);
    long.then(|| format!("{}: {lines} lines, more than {FILE_LINES_MAX}: split it", file.path))
}

fn module_doc_violation(file: &Source) -> Option<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//! ").is_some_and(|text| !text.trim().is_empty());
    (file.is_rust() && !says_something)
        .then(|| format!("{}: does not open with a `//!` that says what it is", file.path))
}

#[test]
fn the_top_level_is_as_agreed() {
    assert_eq!(top_level_violations(&top_level()), [""; 0]);
}

#[test]
fn files_are_short_enough() {
    assert_eq!(workspace().iter().filter_map(length_violation).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_module_says_what_it_is() {
    assert_eq!(workspace().iter().filter_map(module_doc_violation).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn named_exceptions_still_exist() {
    let files = workspace();
    for (path, reason) in LONG_TABLES {
        assert!(files.iter().any(|file| file.path == path), "{path} ({reason}) is gone: take it off the list");
    }
}

#[test]
fn extra_and_missing_entries_are_caught() {
    let mut names: Vec<String> = TOP_LEVEL.iter().chain([&TESTS, &".ci"]).map(|&name| name.to_owned()).collect();
    assert_eq!(top_level_violations(&names), [""; 0]);
    names.push("scripts".into());
    names.retain(|name| name != "runtime");
    assert_eq!(
        top_level_violations(&names),
        ["scripts: not a top-level entry of the layout", "runtime: missing at the top"]
    );
}

#[test]
fn a_long_file_is_caught() {
    let check = |path: &str, lines: usize, expected: bool| {
        assert_eq!(length_violation(&Source::new(path, &"x\n".repeat(lines))).is_some(), expected, "{path} {lines}");
    };
    check("core/a.rs", FILE_LINES_MAX, false);
    check("core/a.rs", FILE_LINES_MAX + 1, true);
    check("README.md", FILE_LINES_MAX + 1, false);
}

#[test]
fn a_silent_module_is_caught() {
    let check = |text: &str, expected: bool| {
        assert_eq!(module_doc_violation(&Source::new("core/a.rs", text)).is_some(), expected, "{text:?}");
    };
    check("//! Sums.\n", false);
    check("//!\n", true);
    check("//! \n", true);
    check("// Sums.\n", true);
    check("use std::fmt;\n//! Late.\n", true);
    check("", true);
}
