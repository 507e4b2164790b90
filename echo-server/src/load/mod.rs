//! The load generator: connections that send, check what comes back, and measure how long it took.

mod connection;
mod pattern;
mod tally;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use leveret_runtime::net::TcpStream;
use leveret_runtime::{Builder, Runtime, join_all, raise_descriptor_limit, sleep, time};

use crate::options::LoadOptions;
use connection::{Connection, Load};
use pattern::Pattern;
use tally::Tally;

/// How often the progress line changes.
const PROGRESS: Duration = Duration::from_millis(250);

/// Puts load on a server and reports. The exit code says whether all answers were right.
pub(crate) fn run(options: LoadOptions) -> io::Result<ExitCode> {
    raise_descriptor_limit()?;
    Runtime::builder().build()?.run(move || load(&options)).map_err(io::Error::other)?
}

fn load(options: &LoadOptions) -> io::Result<ExitCode> {
    let streams = connect(options)?;
    let tally = Rc::new(Tally::new());
    let start = time::now();
    let load = Rc::new(Load {
        pattern: Pattern::new(),
        size: u64::from(options.size),
        depth: options.depth as usize,
        until: start + options.seconds,
        tally: tally.clone(),
    });
    let workers = streams.into_iter().enumerate().map(|(number, stream)| {
        let load = load.clone();
        let work = move || {
            let ended = Connection::new(stream, number, &load).work();
            ended.unwrap_or_else(|failure| load.tally.note_failure(number, failure));
        };
        Builder::new().name(format!("connection {number}")).spawn(work)
    });
    let workers = workers.collect::<io::Result<Vec<_>>>()?;
    let progress = (!options.quiet && io::stderr().is_terminal()).then(|| {
        let (tally, total) = (tally.clone(), options.seconds);
        leveret_runtime::spawn(move || show_progress(&tally, total))
    });
    let ended = join_all(workers);
    if let Some(progress) = progress {
        progress.kill();
        eprint!("\r\x1b[K");
    }
    ended.into_iter().for_each(|worker| worker.unwrap_or_else(|error| error.resume()));
    let report = tally.report(options, time::now().saturating_duration_since(start));
    io::stdout().write_all(report.as_bytes())?;
    tally.failures().for_each(|failure| eprintln!("echo-server: {failure}"));
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One after the other, so that no server's queue overflows, and all before the clock starts.
fn connect(options: &LoadOptions) -> io::Result<Vec<TcpStream>> {
    let connect = |_| {
        let stream = TcpStream::connect(options.addr.as_str())?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    (0..options.connections).map(connect).collect()
}

/// Writes over one line of the terminal until it is killed.
fn show_progress(tally: &Tally, total: Duration) {
    let start = time::now();
    let mut before = 0;
    loop {
        sleep(PROGRESS);
        let (now, elapsed) = (tally.requests(), time::now().saturating_duration_since(start));
        let rate = (now - before) as f64 / PROGRESS.as_secs_f64();
        eprint!("\r\x1b[K{:.1} of {:.1} s, {now} requests, {rate:.0}/s", elapsed.as_secs_f64(), total.as_secs_f64());
        before = now;
    }
}
