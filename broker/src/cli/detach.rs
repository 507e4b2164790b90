//! `--detached`: the broker goes on in the background, and the command returns when it is ready.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The file in the data directory that takes the log of a broker in the background.
const LOG_NAME: &str = "leveret.log";

/// Starts `program` again with `arguments` but without `--detached`, and waits for its ready line, which is printed.
///
/// # Errors
/// It cannot be started, or ends before it is ready; the text says where its log is.
#[expect(clippy::disallowed_methods, reason = "no runtime runs here: this process only starts another one")]
pub fn start(program: &Path, arguments: &[String], data_dir: &Path) -> io::Result<()> {
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
            Ok(())
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
