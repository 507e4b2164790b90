//! The `leveret` program.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use leveret::cli::serve::Serve;
use leveret::cli::{self, Cli, Command, program};
use leveret::config::{self, Config, LogFormat};
use leveret::{boot, ctl, logging, perf};

fn main() -> ExitCode {
    let mut words = env::args();
    let path = words.next().unwrap_or_default();
    let program = program::name(&path);
    let arguments: Vec<String> = words.collect();
    if let Some(code) = ctl::main_as(program, &arguments) {
        return code;
    }
    let arguments = program::translate(program, arguments);
    match Cli::parse_from(std::iter::once(path).chain(arguments.iter().cloned())).into_command() {
        Command::Serve(options) if options.is_detached() => detach(&options, &arguments),
        Command::Serve(options) => serve(&options),
        Command::Ctl(options) => ctl::main(*options),
        Command::Perf(options) => {
            log_to_stderr(&config::Log { filter: "warn".into(), format: LogFormat::Text });
            perf::main(*options)
        }
        Command::Config(options) => cli::config::main(options),
        Command::Store(options) => cli::store::main(options),
        Command::Shovel(options) => cli::shovel::main(*options),
        Command::SelfTest(options) => cli::self_test::main(&options),
        Command::Man(options) => cli::man::main(&options),
        Command::Completion(options) => cli::man::complete(&options),
    }
}

fn serve(options: &Serve) -> ExitCode {
    let served = configure(options).and_then(|config| {
        let pid_path = pid_path(&config);
        let served = boot::serve(config).map_err(|error| error.to_string());
        cli::detach::forget_pid(&pid_path);
        served
    });
    end(served)
}

fn pid_path(config: &Config) -> PathBuf {
    cli::detach::pid_path(&config.data_dir, |name| env::var(name).ok())
}

fn detach(options: &Serve, arguments: &[String]) -> ExitCode {
    let started = configure(options).and_then(|config| {
        let program = env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
        cli::detach::start(&program, arguments, &config.data_dir, &pid_path(&config)).map_err(|error| error.to_string())
    });
    end(started)
}

fn end(done: Result<(), String>) -> ExitCode {
    match done {
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
    log_to_stderr(&loaded.config.log);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        loaded.complaints.iter().partition(|complaint| complaint.is_error(options.is_strict()));
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    errors.iter().for_each(|error| log::error!("{error}"));
    match errors.len() {
        0 => Ok(loaded.config),
        count => Err(format!("the configuration has {count} errors; see above, and 'leveret config check'")),
    }
}

/// What logs before has nowhere to go: there is one logger for the life of the process.
fn log_to_stderr(options: &config::Log) {
    if let Err(error) = logging::start(options) {
        eprintln!("leveret: nothing is logged: {error}");
    }
}
