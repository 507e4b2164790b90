//! `leveret config`: what a configuration says, before anything depends on it.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::serve::Serve;
use crate::config::keys::{Effect, KEYS};
use crate::config::load::{Loaded, Source};

/// Options of `config`.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Say what of a configuration acts and what does not; fails if the broker would not start with it
    Check {
        /// Files or directories [default: those that the broker would read]
        files: Vec<PathBuf>,
        /// Fail on keys that are unknown or not supported
        #[arg(long)]
        strict: bool,
    },
    /// Show every setting that is in force, and where it comes from
    Show {
        /// Files or directories [default: those that the broker would read]
        files: Vec<PathBuf>,
    },
}

/// Runs the sub-command.
pub fn main(options: Config) -> ExitCode {
    let done = match options.action {
        Action::Check { files, strict } => {
            load(files).and_then(|loaded| check(&loaded, strict, &mut io::stdout().lock()))
        }
        Action::Show { files } => load(files).and_then(|loaded| show(&loaded, &mut io::stdout().lock())),
    };
    done.unwrap_or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => ExitCode::SUCCESS, // the reader has seen enough
        _ => {
            eprintln!("leveret config: {error}");
            ExitCode::FAILURE
        }
    })
}

fn load(files: Vec<PathBuf>) -> io::Result<Loaded> {
    Serve::with_files(files).load(|name| env::var(name).ok())
}

fn check(loaded: &Loaded, strict: bool, out: &mut impl Write) -> io::Result<ExitCode> {
    let mut errors = 0;
    for complaint in &loaded.complaints {
        let is_error = complaint.is_error(strict);
        errors += usize::from(is_error);
        writeln!(out, "{} {complaint}", if is_error { "error:  " } else { "warning:" })?;
    }
    let settings = loaded.sources.len();
    let warnings = loaded.complaints.len() - errors;
    writeln!(out, "{settings} settings, {warnings} warnings, {errors} errors")?;
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One line for each key that acts, in the form of the configuration file, with its source as a comment.
fn show(loaded: &Loaded, out: &mut impl Write) -> io::Result<ExitCode> {
    let width = KEYS.iter().map(|key| key.pattern.len()).max().unwrap_or(0);
    for key in KEYS {
        let Effect::Set { show, .. } = &key.effect else { continue };
        if KEYS.iter().any(|other| other.pattern.strip_suffix(".*") == Some(key.pattern)) {
            continue; // the list's own row shows it
        }
        let prefix = key.pattern.trim_end_matches('*');
        let is_meant = |said: &&String| **said == key.pattern || (prefix != key.pattern && said.starts_with(prefix));
        let source: Option<&Source> = loaded.sources.keys().find(is_meant).and_then(|said| loaded.sources.get(said));
        let source = source.map_or("default".into(), ToString::to_string);
        writeln!(out, "{:width$} = {}  # {source}", key.pattern, show(&loaded.config))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::config::load::{apply, settings_of_file};

    fn loaded(text: &str) -> Loaded {
        apply(Config::default(), settings_of_file(Path::new("a.conf"), text).0)
    }

    fn output(write: impl FnOnce(&mut Vec<u8>) -> io::Result<ExitCode>) -> (String, bool) {
        let mut out = Vec::new();
        let code = write(&mut out).expect("a vector takes everything");
        (String::from_utf8(out).expect("text"), code == ExitCode::SUCCESS)
    }

    #[test]
    fn check_counts_and_fails_on_errors_only() {
        let loaded = loaded("heartbeat = 5\nnet_ticktime = 1\nnothing.of.ours = 1");
        let (text, is_good) = output(|out| check(&loaded, false, out));
        assert!(is_good, "{text}");
        assert!(text.ends_with("3 settings, 2 warnings, 0 errors\n"), "{text}");
        let (text, is_good) = output(|out| check(&loaded, true, out));
        assert!(!is_good, "{text}");
        assert!(text.contains("error:   a.conf:3: nothing.of.ours is not a key"), "{text}");
    }

    #[test]
    fn show_names_every_source_and_hides_the_password() {
        let (text, _) = output(|out| show(&loaded("heartbeat = 5\ndefault_pass = canary"), out));
        let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned();
        assert!(line("heartbeat").ends_with("= 5  # a.conf:1"), "{text}");
        assert!(line("channel_max").ends_with("= 2047  # default"), "{text}");
        assert!(line("default_pass").ends_with("= (hidden)  # a.conf:2"), "{text}");
        assert!(!text.contains("canary"));
    }
}
