//! Where the workspace's `leveret` program is, built when it has to be.
//!
//! A running test lies in `<target>/<profile>/deps/`, so the program that belongs to it is `<target>/<profile>/leveret`.
//! Cargo builds it there on the first request of each test process (a moment when nothing changed), in the same profile.
//! An `[[bin]]` of another package is no dependency that cargo would build by itself, hence the call. The example programs are
//! found in the same way.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `leveret` program to test: `LEVERET_BIN`, or the workspace's own, built in the profile of the running test.
///
/// # Panics
/// When it cannot be built.
pub fn leveret() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let own = || build("leveret", &["--bin", "leveret"]).join(file_name("leveret"));
    PROGRAM.get_or_init(|| env::var_os("LEVERET_BIN").map_or_else(own, PathBuf::from))
}

/// One of the example programs, built in the profile of the running test.
///
/// # Panics
/// When they cannot be built.
pub fn example(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| build("examples", &["--bins"])).join(file_name(name))
}

fn file_name(program: &str) -> String {
    format!("{program}{}", env::consts::EXE_SUFFIX)
}

/// The target directory in which the running test was built.
///
/// # Panics
/// When the test was not started from where cargo builds tests.
pub fn target_dir() -> PathBuf {
    profile_dir().parent().expect("cargo's profile directory lies in its target directory").to_owned()
}

/// `<target>/debug` and the like.
fn profile_dir() -> PathBuf {
    let test = env::current_exe().expect("a running test knows its file");
    let deps = test.parent().expect("a file has a folder");
    assert!(deps.ends_with("deps"), "{}: tests lie in cargo's deps folder", test.display());
    deps.parent().expect("cargo's deps folder lies in its profile directory").to_owned()
}

/// Builds programs of a package, and gives the directory in which they are then.
fn build(package: &str, programs: &[&str]) -> PathBuf {
    let profile_dir = profile_dir();
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(["build", "--quiet", "--package", package, "--profile", profile(&profile_dir)]).args(programs);
    command.arg("--target-dir").arg(target_dir()).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{package}'s programs do not build:\n{}", String::from_utf8_lossy(&output.stderr));
    profile_dir
}

/// Cargo's name for the profile that builds into this directory.
fn profile(profile_dir: &Path) -> &str {
    match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => panic!("{}: not a profile directory of cargo", profile_dir.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_named_after_their_directory() {
        for (dir, name) in [("target/debug", "dev"), ("target/release", "release"), ("/t/x86/bench-like", "bench-like")]
        {
            assert_eq!(profile(Path::new(dir)), name, "{dir}");
        }
    }

    #[test]
    fn this_test_lies_below_its_target_dir() {
        let test = env::current_exe().expect("a running test knows its file");
        assert!(test.starts_with(target_dir()));
    }
}
