//! The runtime's log lines on standard error, each written at once: a logger that keeps a lock across a wait would stop
//! everybody. Crates for logging do more than a program needs that logs three kinds of lines.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{}: {}\n", record.level().as_str().to_lowercase(), record.args());
        // Nobody is left to tell when standard error is gone.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Makes warnings and what ends them visible.
pub(crate) fn start() {
    // An error means that a logger is there already: then it has the lines.
    let _ = log::set_logger(&Stderr);
    log::set_max_level(LevelFilter::Info);
}
