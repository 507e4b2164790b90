//! `leveret store`: a directory of messages that no broker has open: is it sound, what is in it, what can be rescued.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use leveret_store::tools::{self, Report, Salvaged};

/// Characters of the progress bar.
const BAR_WIDTH: usize = 40;

/// Options of `store`.
#[derive(Args, Clone, Debug)]
pub struct Store {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Verify every checksum; fails if the broker would not start with it
    Check {
        /// The directory that holds MANIFEST
        dir: PathBuf,
    },
    /// Print everything but the bodies, as lines of JSON
    Dump {
        /// The directory that holds MANIFEST
        dir: PathBuf,
    },
    /// Copy what is sound in a damaged directory into a new one
    Salvage {
        /// The directory that holds MANIFEST
        dir: PathBuf,
        /// The directory to make
        to: PathBuf,
    },
}

/// Runs the sub-command.
pub fn main(options: Store) -> ExitCode {
    match leveret_runtime::run(move || act(options.action)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => fail(&error),
        Err(deadlock) => fail(&deadlock.to_string()),
    }
}

fn fail(error: &str) -> ExitCode {
    eprintln!("leveret store: {error}");
    ExitCode::FAILURE
}

fn act(action: Action) -> Result<ExitCode, String> {
    let mut bar = Bar::default();
    let mut on_progress = |done, total| bar.show(done, total);
    match action {
        Action::Check { dir } => {
            let report = tools::check(&dir, &mut on_progress).map_err(|error| error.to_string())?;
            print(|out| write_report(out, &report))?;
            Ok(if report.damages.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Action::Dump { dir } => {
            let mut out = BufWriter::new(io::stdout().lock());
            let mut line = |line: &str| writeln!(out, "{line}");
            tools::dump(&dir, &mut line, &mut |_, _| ()).map_err(|error| error.to_string())?;
            out.flush().map_err(|error| error.to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Salvage { dir, to } => {
            let salvaged = tools::salvage(&dir, &to, &mut on_progress).map_err(|error| error.to_string())?;
            print(|out| write_salvaged(out, &salvaged))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), String> {
    write(&mut io::stdout().lock()).map_err(|error| error.to_string())
}

fn write_report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    writeln!(
        out,
        "{} groups in the log, {} messages in {} segments",
        report.groups, report.segment_messages, report.segments
    )?;
    for damage in &report.damages {
        writeln!(out, "damaged: {}, byte {}: {}", damage.path.display(), damage.offset, damage.what)?;
    }
    match report.messages {
        Some(messages) => writeln!(out, "sound; {messages} messages are live"),
        None => writeln!(out, "not sound: `leveret store salvage` copies what is"),
    }
}

fn write_salvaged(out: &mut dyn Write, salvaged: &Salvaged) -> io::Result<()> {
    for damage in &salvaged.damages {
        writeln!(out, "damaged: {}, byte {}: {}", damage.path.display(), damage.offset, damage.what)?;
    }
    writeln!(out, "{} messages rescued, {} known to be lost", salvaged.messages, salvaged.lost)
}

/// A bar on the terminal; nothing where stderr is none.
#[derive(Default)]
struct Bar {
    shown: Option<u64>,
}

impl Bar {
    fn show(&mut self, done: u64, total: u64) {
        let percent = (done * 100).checked_div(total).unwrap_or(100).min(100);
        if self.shown == Some(percent) || !io::stderr().is_terminal() {
            return;
        }
        self.shown = Some(percent);
        let end = if percent == 100 { "\n" } else { "" };
        eprint!("\r[{:<BAR_WIDTH$}] {percent:>3} %{end}", "#".repeat(percent as usize * BAR_WIDTH / 100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("a vector takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn reports_say_what_to_do() {
        let mut report = Report { groups: 2, segments: 1, segment_messages: 7, messages: Some(5), ..Report::default() };
        let sound = "2 groups in the log, 7 messages in 1 segments\nsound; 5 messages are live\n";
        assert_eq!(text(|out| write_report(out, &report)), sound);
        report.messages = None;
        report.damages =
            vec![leveret_store::Damage { path: "d/MANIFEST".into(), offset: 0, what: leveret_store::Flaw::Manifest }];
        let told = text(|out| write_report(out, &report));
        assert!(told.contains("d/MANIFEST, byte 0: the manifest"), "{told}");
        assert!(told.contains("leveret store salvage"), "{told}");
        let salvaged = Salvaged { messages: 4, lost: 1, damages: report.damages };
        assert!(text(|out| write_salvaged(out, &salvaged)).ends_with("4 messages rescued, 1 known to be lost\n"));
    }
}
