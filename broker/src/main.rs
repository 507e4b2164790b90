//! The `leveret` program.

use std::process::ExitCode;

use clap::Parser;
use leveret::cli::{Cli, Command, Serve};
use leveret::{boot, perf};

fn main() -> ExitCode {
    match Cli::parse().into_command() {
        Command::Serve(options) => serve(&options),
        Command::Perf(options) => {
            log_to_stderr("warn");
            perf::main(*options)
        }
    }
}

fn serve(options: &Serve) -> ExitCode {
    log_to_stderr(options.log_filter());
    match boot::serve(options.config()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leveret: {error}");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(filter: &str) {
    env_logger::Builder::new().parse_filters(filter).format_timestamp_millis().init();
}
