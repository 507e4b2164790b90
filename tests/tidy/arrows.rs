//! Which crate may know which, read from the manifests.
//!
//! Coroutines carry no mark such as `async`, so the list of dependencies is what tells a reader that a crate cannot park: `leveret-amqp`
//! and `leveret-core` depend on nothing of ours. Arrows point one way: front-end to core, shell to pure, everything to the runtime.

use crate::source::{Source, workspace};

/// What each package may depend on among ours, in tests and build scripts too.
const ARROWS: [(&str, &[&str]); 11] = [
    ("leveret-runtime", &[]),
    ("leveret-amqp", &[]),
    ("leveret-amqp-fuzz", &["leveret-amqp"]),
    ("leveret-core", &[]),
    ("leveret-store", &["leveret-runtime"]),
    ("leveret-client", &["leveret-runtime", "leveret-amqp"]),
    ("leveret-management", &["leveret-core", "leveret-runtime"]),
    (
        "leveret",
        &["leveret-amqp", "leveret-client", "leveret-core", "leveret-management", "leveret-runtime", "leveret-store"],
    ),
    ("echo-server", &["leveret-runtime"]),
    ("examples", &["leveret-client", "leveret-runtime"]),
    ("tests", &["leveret", "leveret-amqp", "leveret-client", "leveret-core", "leveret-runtime", "leveret-store"]),
];

/// Has lints of its own, because it alone may contain `unsafe`: denied there, allowed module by module, instead of forbidden.
const OWN_LINTS: &str = "leveret-runtime";

/// What a package of its own workspace (a fuzzer) says instead of being a member of ours.
const OWN_WORKSPACE: &str = "[workspace]";

/// A line of a manifest with the section it stands in.
struct Entry<'a> {
    section: &'a str,
    line: &'a str,
}

fn entries(manifest: &str) -> impl Iterator<Item = Entry<'_>> {
    let lines = manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let sections = lines.scan("", |section, line| {
        *section = if line.starts_with('[') { line } else { section };
        Some(Entry { section, line })
    });
    sections.filter(|entry| !entry.line.is_empty())
}

fn package_name(manifest: &str) -> Option<&str> {
    let is_name = |entry: &Entry<'_>| entry.section == "[package]" && entry.line.replace(' ', "").starts_with("name=");
    entries(manifest).find(is_name)?.line.split('"').nth(1)
}

/// Every dependency of ours that a manifest names: `x = ...`, `x.workspace = true`, `[dependencies.x]`, or a renamed `package = "x"`.
fn own_dependencies(manifest: &str) -> Vec<&str> {
    let in_dependencies =
        |entry: &Entry<'_>| entry.section.contains("dependencies") && !entry.section.starts_with("[workspace");
    let words = |line| str::split(line, |char: char| !(char.is_ascii_alphanumeric() || char == '-' || char == '_'));
    let ours = |word: &&str| ARROWS.iter().any(|(name, _)| name == word);
    let mut found: Vec<&str> =
        entries(manifest).filter(in_dependencies).flat_map(|entry| words(entry.line)).filter(ours).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn arrow_violations(manifest: &Source) -> Vec<String> {
    let Some(name) = package_name(&manifest.text) else { return Vec::new() };
    let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
        return vec![format!("{}: the package {name} is not among the arrows", manifest.path)];
    };
    let wrong = own_dependencies(&manifest.text).into_iter().filter(|dependency| !allowed.contains(dependency));
    wrong.map(|dependency| format!("{}: {name} must not depend on {dependency}", manifest.path)).collect()
}

fn lint_violation(manifest: &Source) -> Option<String> {
    let name = package_name(&manifest.text)?;
    let says = |section: &str, line: &str| {
        entries(&manifest.text).any(|entry| entry.section == section && entry.line.replace(' ', "") == line)
    };
    let fine = says("[lints]", "workspace=true")
        || (name == OWN_LINTS && says("[lints.rust]", "unsafe_code=\"deny\""))
        || manifest.text.contains(OWN_WORKSPACE);
    (!fine).then(|| format!("{}: does not inherit the workspace's lints", manifest.path))
}

/// The strings of an array of the root manifest, such as `members`.
fn listed<'a>(root: &'a str, key: &str) -> Vec<&'a str> {
    let Some((_, rest)) = root.split_once(&format!("\n{key} = [")) else { return Vec::new() };
    let array = rest.split(']').next().unwrap_or_default();
    array.split('"').skip(1).step_by(2).collect()
}

fn member_violations(root: &str, packages: &[&str]) -> Vec<String> {
    let (members, excluded) = (listed(root, "members"), listed(root, "exclude"));
    let globs =
        members.iter().filter(|member| member.contains(['*', '?'])).map(|glob| format!("{glob}: a glob, not a name"));
    let known = |folder: &&&str| members.contains(folder) || excluded.contains(folder);
    let missing =
        packages.iter().filter(|folder| !known(folder)).map(|folder| format!("{folder}: not listed as a member"));
    let gone = members.iter().filter(|member| !member.contains(['*', '?']) && !packages.contains(member));
    globs.chain(missing).chain(gone.map(|member| format!("{member}: listed, but no package"))).collect()
}

fn manifests() -> Vec<Source> {
    workspace().into_iter().filter(|file| file.path == "Cargo.toml" || file.path.ends_with("/Cargo.toml")).collect()
}

fn root_manifest() -> Source {
    manifests().into_iter().find(|file| file.path == "Cargo.toml").expect("a workspace has a manifest")
}

#[test]
fn arrows_point_one_way() {
    assert_eq!(manifests().iter().flat_map(arrow_violations).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn unsafe_is_forbidden_by_default_and_all_inherit_that() {
    assert!(
        entries(&root_manifest().text)
            .any(|entry| entry.section == "[workspace.lints.rust]" && entry.line == "unsafe_code = \"forbid\"")
    );
    assert_eq!(manifests().iter().filter_map(lint_violation).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn members_are_listed_by_name() {
    let manifests = manifests();
    let folders: Vec<&str> = manifests.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml")).collect();
    assert_eq!(member_violations(&root_manifest().text, &folders), [""; 0]);
}

#[test]
fn panics_unwind() {
    // A suspended coroutine is dropped by unwinding its stack.
    assert!(!entries(&root_manifest().text).any(|entry| entry.line.replace(' ', "") == "panic=\"abort\""));
}

#[test]
fn a_wrong_arrow_is_caught() {
    let check = |name: &str, rest: &str, expected: usize| {
        let text = format!("[package]\nname = \"{name}\"\n{rest}\n");
        assert_eq!(arrow_violations(&Source::new("x/Cargo.toml", &text)).len(), expected, "{text}");
    };
    check("leveret-core", "[dependencies]\nlog.workspace = true", 0);
    check("leveret-core", "[dependencies]\nleveret-runtime.workspace = true", 1);
    check("leveret-core", "[dependencies]\nleveret-runtime = { path = \"../../runtime\" }", 1);
    check("leveret-core", "[dev-dependencies]\nleveret-amqp.workspace = true", 1);
    check("leveret-core", "[dependencies.leveret-amqp]\nworkspace = true", 1);
    check("leveret-core", "[dependencies]\nrt = { package = \"leveret-runtime\", path = \"../../runtime\" }", 1);
    check("leveret-core", "[target.'cfg(unix)'.dependencies]\nleveret-runtime.workspace = true", 1);
    check("leveret-core", "[dependencies]\n# leveret-runtime.workspace = true", 0);
    check("leveret-client", "[dependencies]\nleveret-runtime.workspace = true\nleveret-amqp.workspace = true", 0);
    check("leveret-client", "[dependencies]\nleveret-core.workspace = true", 1);
    check("leveret-unheard-of", "", 1);
}

#[test]
fn lints_that_are_not_inherited_are_caught() {
    let check = |name: &str, rest: &str, expected: bool| {
        let text = format!("[package]\nname = \"{name}\"\n{rest}\n");
        assert_eq!(lint_violation(&Source::new("x/Cargo.toml", &text)).is_some(), expected, "{text}");
    };
    check("leveret-core", "[lints]\nworkspace = true", false);
    check("leveret-core", "[dependencies]\nworkspace = true", true);
    check("leveret-core", "[lints.rust]\nunsafe_code = \"deny\"", true);
    check("leveret-runtime", "[lints.rust]\nunsafe_code = \"deny\"", false);
    check("leveret-runtime", "[lints.rust]\nunsafe_code = \"warn\"", true);
}

#[test]
fn unlisted_members_are_caught() {
    let check = |members: &str, packages: &[&str], expected: usize| {
        let root = format!("[workspace]\nmembers = [{members}]\nexclude = [\"a/fuzz\"]\n");
        assert_eq!(member_violations(&root, packages).len(), expected, "{root}{packages:?}");
    };
    check("\n    \"a\",\n    \"b\",\n", &["a", "b", "a/fuzz"], 0);
    check("\"a\"", &["a", "b"], 1);
    check("\"a\", \"b\"", &["a"], 1);
    check("\"a\", \"b/*\"", &["a"], 1);
}
