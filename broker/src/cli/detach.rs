//! `--detached`: the broker goes on in the background, and the command returns when it is ready.
//!
//! The number of its process is in a file then: the one that `LEVERET_PID_FILE` or `RABBITMQ_PID_FILE` names, or `leveret.pid` in the
//! data directory. The broker takes it away when it ends by itself; what a crash leaves is overwritten by the next start.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file in the data directory that takes the log of a broker in the background.
const LOG_NAME: &str = "leveret.log";

/// The file in the data directory with the number of the process, if no variable names another.
const PID_NAME: &str = "leveret.pid";

/// Variables that name the file with the number of the process, the strongest first.
const PID_VARIABLES: [&str; 2] = ["LEVERET_PID_FILE", "RABBITMQ_PID_FILE"];

/// Where the number of a broker's process is; `variable` looks the environment up.
pub fn pid_path(data_dir: &Path, variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let named = PID_VARIABLES.into_iter().find_map(variable).filter(|path| !path.is_empty());
    named.map_or_else(|| data_dir.join(PID_NAME), PathBuf::from)
}

/// Removes the file if the number in it is this process's: another broker's stays, and so does what is no such file.
#[expect(clippy::disallowed_methods, reason = "no runtime runs any more")]
pub fn forget_pid(path: &Path) {
    let is_own = fs::read_to_string(path).is_ok_and(|text| text.trim() == std::process::id().to_string());
    if is_own && let Err(error) = fs::remove_file(path) {
        log::warn!("{} stays: {error}", path.display());
    }
}

/// Starts `program` again with `arguments` but without `--detached`, and waits for its ready line, which is printed.
///
/// # Errors
/// It cannot be started, or ends before it is ready; the text says where its log is.
#[expect(clippy::disallowed_methods, reason = "no runtime runs here: this process only starts another one")]
pub fn start(program: &Path, arguments: &[String], data_dir: &Path, pid_path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let log_path: PathBuf = data_dir.join(LOG_NAME);
    let log: File = OpenOptions::new().create(true).append(true).mode(0o600).open(&log_path)?;
    let mut child = Command::new(program)
        .args(arguments.iter().filter(|argument| *argument != "--detached"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0) // Ctrl-C is not for it
        .spawn()?;
    let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the broker has no standard output"))?;
    match BufReader::new(stdout).lines().next().transpose()? {
        Some(ready) => {
            println!("{ready}\nprocess {}, log {}", child.id(), log_path.display());
            let explain = |error| io::Error::other(format!("the broker runs, but {}: {error}", pid_path.display()));
            fs::write(pid_path, format!("{}\n", child.id())).map_err(explain)
        }
        None => {
            let status = child.wait()?;
            Err(io::Error::other(format!(
                "the broker ended ({status}) before it was ready; see {}",
                log_path.display()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_with_the_number() {
        let check = |variables: &[(&str, &str)], expected: &str| {
            let variable =
                |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, it)| it.to_string());
            assert_eq!(pid_path(Path::new("data"), variable), Path::new(expected), "{variables:?}");
        };
        check(&[], "data/leveret.pid");
        check(&[("RABBITMQ_PID_FILE", "/run/rabbit.pid")], "/run/rabbit.pid");
        check(&[("RABBITMQ_PID_FILE", "a"), ("LEVERET_PID_FILE", "b")], "b");
        check(&[("LEVERET_PID_FILE", "")], "data/leveret.pid");
    }
}
