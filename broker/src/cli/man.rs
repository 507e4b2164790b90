//! `leveret man` and `leveret completion`: what packagers install beside the program, made from the same definition as `--help`, so
//! that neither can be out of date.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man as Page;
use leveret_runtime as runtime;

use super::Cli;

/// Options of `man`.
#[derive(Args, Clone, Debug)]
pub struct Man {
    /// Write the page of every sub-command into this directory, instead of the program's own to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Options of `completion`.
#[derive(Args, Clone, Debug)]
pub struct Completion {
    /// For which shell
    shell: Shell,
}

/// Runs `leveret man`.
pub fn main(options: &Man) -> ExitCode {
    let written = match &options.dir {
        None => render(command()).and_then(|page| io::stdout().write_all(&page)),
        Some(dir) => write_all(dir.clone()),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leveret man: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `leveret completion`.
pub fn complete(options: &Completion) -> ExitCode {
    clap_complete::generate(options.shell, &mut command(), "leveret", &mut io::stdout());
    ExitCode::SUCCESS
}

/// The definition, with the full names of sub-commands.
fn command() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

fn render(command: clap::Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Page::new(command).manual("Leveret").render(&mut page)?;
    Ok(page)
}

/// `leveret`, `leveret-serve`, ... : the program and its sub-commands, but not the hundred commands of `ctl`, which
/// `leveret-ctl` lists.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let whole = command();
    let subs = whole.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help").cloned();
    let named = subs.map(|sub| {
        let name = format!("leveret-{}", sub.get_name());
        (name.clone(), sub.display_name(name))
    });
    let all = std::iter::once(("leveret".to_owned(), whole.clone())).chain(named);
    all.map(|(name, command)| Ok((format!("{name}.1"), render(command)?))).collect()
}

fn write_all(dir: PathBuf) -> io::Result<()> {
    let pages = pages()?;
    let write = move || {
        runtime::fs::create_dir_all(&dir)?;
        pages.into_iter().try_for_each(|(name, page)| runtime::fs::write(Path::new(&dir).join(name), page))
    };
    runtime::run(write).map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sub_command_has_a_page() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| &**name).collect();
        for name in ["leveret.1", "leveret-serve.1", "leveret-ctl.1", "leveret-perf.1", "leveret-store.1"] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        for (name, page) in &pages {
            let text = String::from_utf8_lossy(page);
            assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{name}");
        }
    }

    #[test]
    fn completions_name_the_sub_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "leveret", &mut script);
            assert!(String::from_utf8_lossy(&script).contains("self-test"), "{shell}");
        }
    }
}
