//! The `leveret` program.

use std::env;
use std::process::ExitCode;

use clap::Parser;
use leveret::cli::serve::Serve;
use leveret::cli::{self, Cli, Command};
use leveret::config::Config;
use leveret::{boot, perf};

fn main() -> ExitCode {
    match Cli::parse().into_command() {
        Command::Serve(options) => serve(&options),
        Command::Perf(options) => {
            log_to_stderr("warn");
            perf::main(*options)
        }
        Command::Config(options) => cli::config::main(options),
    }
}

fn serve(options: &Serve) -> ExitCode {
    let served = configure(options).and_then(|config| boot::serve(config).map_err(|error| error.to_string()));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leveret: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The configuration, after its author was told of what is odd in it.
fn configure(options: &Serve) -> Result<Config, String> {
    let loaded = options.load(|name| env::var(name).ok()).map_err(|error| error.to_string())?;
    log_to_stderr(&loaded.config.log.filter);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        loaded.complaints.iter().partition(|complaint| complaint.is_error(options.is_strict()));
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    errors.iter().for_each(|error| log::error!("{error}"));
    match errors.len() {
        0 => Ok(loaded.config),
        count => Err(format!("the configuration has {count} errors; see above, and 'leveret config check'")),
    }
}

fn log_to_stderr(filter: &str) {
    env_logger::Builder::new().parse_filters(filter).format_timestamp_millis().init();
}
