//! Which commit a program was built from, for `--version`. Release builds only: a debug build would be made again after every
//! commit. Where there is no git (a source archive), `LEVERET_COMMIT` may say it, and otherwise nothing is said.

use std::env;
use std::process::Command;

/// The answer of git, if there is one.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn commit() -> Option<String> {
    if let Ok(given) = env::var("LEVERET_COMMIT") {
        return Some(given);
    }
    if env::var("PROFILE").is_ok_and(|profile| profile != "release") {
        return None;
    }
    // The log of HEAD changes with every commit and every change of branch.
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--path-format=absolute", "--git-path", name]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["show", "--no-patch", "--date=short", "--format=%h %cd", "HEAD"])
}

fn main() {
    println!("cargo:rerun-if-env-changed=LEVERET_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let full = commit().map_or_else(|| version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo:rustc-env=LEVERET_VERSION={full}");
}
