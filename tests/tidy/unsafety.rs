//! `unsafe` lives in few named places, and each use says why it is sound.
//!
//! rustc forbids it everywhere else (`unsafe_code = "forbid"`, see `arrows` for the lints being in effect) and clippy wants a note on
//! blocks; what only a look at the folders can say is checked here, and that `unsafe` functions and traits state their conditions.

use crate::source::{Source, workspace};

/// Where the compiler's guarantees end and ours begin.
const UNSAFE_PLACES: [&str; 3] = ["runtime/src/coroutine/", "runtime/src/mailbox/ring.rs", "runtime/src/sys/"];

/// Only here may the lint be switched off, module by module.
const ALLOWING_PLACE: &str = "runtime/src/";

fn misplaced(file: &Source) -> Vec<String> {
    if file.is_in(&UNSAFE_PLACES) {
        return Vec::new();
    }
    file.words("unsafe").map(|offset| file.at(offset, "unsafe outside its places")).collect()
}

fn misallowed(file: &Source) -> Vec<String> {
    if file.is_in(&[ALLOWING_PLACE]) {
        return Vec::new();
    }
    file.words("unsafe_code").map(|offset| file.at(offset, "the lint unsafe_code is not to be changed here")).collect()
}

fn unexplained(file: &Source) -> Vec<String> {
    let explained = |&offset: &usize| is_function_pointer(&file.code[offset..]) || is_explained(file, offset);
    let missing = |offset| file.at(offset, "unsafe without a `SAFETY:` note (`# Safety` for functions and traits)");
    file.words("unsafe").filter(|offset| !explained(offset)).map(missing).collect()
}

/// `unsafe fn(...)` and `unsafe extern "C" fn(...)` are types: whoever calls through them explains.
fn is_function_pointer(code: &str) -> bool {
    let code = code.trim_start_matches("unsafe").trim_start();
    let code = code.strip_prefix("extern").map_or(code, str::trim_start);
    code.strip_prefix("fn").is_some_and(|rest| rest.trim_start().starts_with('('))
}

/// Looks for the note on the line itself, and upwards over comments, attributes and the earlier lines of the same statement.
fn is_explained(file: &Source, offset: usize) -> bool {
    let text_lines: Vec<&str> = file.text.lines().collect();
    let code_lines: Vec<&str> = file.code.lines().collect();
    let line = file.code[..offset].matches('\n').count();
    let above = (0..line).rev().take_while(|&line| continues(code_lines[line], text_lines[line]));
    std::iter::once(line).chain(above).any(|line| has_note(text_lines[line]))
}

/// Whether a line belongs to what follows it: a comment, an attribute, or code that does not end there.
fn continues(code: &str, text: &str) -> bool {
    let code = code.trim();
    if code.is_empty() {
        return text.trim_start().starts_with("//");
    }
    code.starts_with("#[") || !code.ends_with([';', '{', '}', ','])
}

fn has_note(text: &str) -> bool {
    text.split_once("//").is_some_and(|(_, comment)| comment.contains("SAFETY:") || comment.contains("# Safety"))
}

#[test]
fn unsafe_is_in_its_places() {
    assert_eq!(workspace().iter().flat_map(misplaced).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn the_lint_is_switched_off_in_the_runtime_only() {
    assert_eq!(workspace().iter().flat_map(misallowed).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn unsafe_is_explained() {
    assert_eq!(workspace().iter().flat_map(unexplained).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn misplaced_unsafe_is_caught() {
    let check = |path: &str, text: &str, expected: usize| {
        assert_eq!(misplaced(&Source::new(path, text)).len(), expected, "{path}: {text}");
    };
    check("broker/src/main.rs", "unsafe { f() }", 1);
    check("runtime/src/mailbox/ring.rs", "unsafe { f() }", 0);
    check("runtime/src/mailbox/ring2.rs", "unsafe { f() }", 1);
    check("runtime/src/sys/poll.rs", "unsafe { f() }", 0);
    check("broker/src/main.rs", "// unsafe\n\"unsafe\"; unsafe_op();", 0);
}

#[test]
fn switching_the_lint_off_is_caught() {
    let check = |path: &str, expected: usize| {
        assert_eq!(misallowed(&Source::new(path, "#[allow(unsafe_code)]\nmod a;")).len(), expected, "{path}");
    };
    check("runtime/src/lib.rs", 0);
    check("broker/core/src/lib.rs", 1);
    check("runtime/tests/a.rs", 1);
}

#[test]
fn unexplained_unsafe_is_caught() {
    let check = |text: &str, expected: usize| {
        assert_eq!(unexplained(&Source::new("runtime/src/sys/a.rs", text)).len(), expected, "{text}");
    };
    check("let a = unsafe { f() };", 1);
    check("// SAFETY: f keeps still.\nlet a = unsafe { f() };", 0);
    check("// SAFETY: f keeps still.\nlet a =\n    unsafe { f() };", 0);
    check("// SAFETY: f keeps still.\nf();\nlet a = unsafe { f() };", 1);
    check("// SAFETY: f keeps still.\n\nlet a = unsafe { f() };", 1);
    check("let a = unsafe { f() }; // SAFETY: still.", 0);
    check("/// Flies.\n///\n/// # Safety\n/// - Has wings.\n#[inline]\npub unsafe fn fly() {}", 0);
    check("/// Flies.\npub unsafe fn fly() {}", 1);
    check("struct S { call: unsafe fn(*mut u8), c: unsafe extern \"C\" fn(i32) }", 0);
    check("// SAFETY: no data.\nunsafe impl Send for A {}\nunsafe impl Sync for A {}", 1);
    check("let note = \"SAFETY:\"; unsafe { f() };", 1);
}
