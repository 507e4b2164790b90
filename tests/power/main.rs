//! What a killed process does not show: power cuts of a real file system (`cuts.rs`), and disks that fail under a real process
//! (`failures.rs`).
//!
//! They need what not every machine grants: root and loop mounts, or a tracer. Where that is missing, a test says so in one
//! line that begins with `SKIPPED`; with `LEVERET_POWER=required` it fails.

#[path = "../crash/book.rs"]
mod book;
mod cuts;
mod failures;
mod ground;
#[path = "../crash/load.rs"]
mod load;

use std::process::Command;

/// Says that a test cannot run here, and why.
fn skip(what: &str, reason: &str) {
    let is_required = std::env::var("LEVERET_POWER").is_ok_and(|value| value == "required");
    assert!(!is_required, "{what}: {reason}");
    println!("SKIPPED: {what}: {reason}");
}

/// Runs a program.
///
/// # Errors
/// Its words, if it is not there or fails.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
