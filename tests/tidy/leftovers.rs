//! Nothing unfinished, nothing skipped, nothing that is true on one machine only.

use crate::source::{Source, workspace};

/// Code that says "later". A test that cannot hold yet asserts today's behaviour instead of being ignored.
const UNFINISHED: [&str; 5] = ["todo!", "unimplemented!", "dbg!", "#[ignore]", "#[ignore ="];

/// First folders of absolute paths that mean something on one machine only. Written without slashes: this file is searched too.
const PRIVATE_FOLDERS: [&str; 6] = ["Users", "farm", "home", "root", "tmp", "work"];

fn unfinished(file: &Source) -> Vec<String> {
    let find = |what: &'static str| file.code.match_indices(what).map(move |(offset, _)| file.at(offset, what));
    UNFINISHED.into_iter().flat_map(find).collect()
}

fn private_paths(file: &Source) -> Vec<String> {
    PRIVATE_FOLDERS.into_iter().flat_map(|folder| private_paths_in(file, &format!("/{folder}/"))).collect()
}

/// Places where `path` begins an absolute path and does not continue another one or an address.
fn private_paths_in(file: &Source, path: &str) -> Vec<String> {
    let continues = |offset: usize| {
        let before = file.text[..offset].chars().next_back();
        before.is_some_and(|char| char.is_alphanumeric() || "._-~}*".contains(char))
    };
    let found = file.text.match_indices(path).filter(|&(offset, _)| !continues(offset));
    found.map(|(offset, _)| file.at(offset, &format!("{path} is a path of one machine"))).collect()
}

#[test]
fn nothing_is_left_unfinished() {
    assert_eq!(workspace().iter().flat_map(unfinished).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn no_path_of_one_machine_is_named() {
    assert_eq!(workspace().iter().flat_map(private_paths).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn unfinished_code_is_caught() {
    let check = |text: &str, expected: &[&str]| assert_eq!(unfinished(&Source::new("a.rs", text)), expected, "{text}");
    check("fn f() {\n    todo!()\n}", &["a.rs:2: todo!"]);
    check("unimplemented!(\"x\")", &["a.rs:1: unimplemented!"]);
    check("dbg!(x)", &["a.rs:1: dbg!"]);
    check("#[test]\n#[ignore]\nfn f() {}", &["a.rs:2: #[ignore]"]);
    check("#[ignore = \"slow\"]", &["a.rs:1: #[ignore ="]);
    check("// todo! later\nlet text = \"dbg!\"; ignore();", &[]);
}

#[test]
fn a_path_of_one_machine_is_caught() {
    let check = |text: &str, expected: usize| {
        let text = text.replace('@', "/");
        assert_eq!(private_paths(&Source::new("a.md", &text)).len(), expected, "{text}");
    };
    check("see @home@me@notes", 1);
    check("`@tmp@x` and @root@.cargo", 2);
    check("https:@@example.org@work@a and src@work@b", 0);
    check("@etc@leveret and @var@lib@leveret", 0);
    check("$HOME@work@", 0);
}
