//! The server: one coroutine a connection, one for signals, one for figures.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use leveret_runtime::net::{ServerHandle, StreamServer, TcpStream};
use leveret_runtime::signal::{Signal, Signals};
use leveret_runtime::{Builder, JoinError, Runtime, call, dump, offload, raise_descriptor_limit, shards, sleep, spawn};

use crate::options::ServeOptions;

/// Serves until SIGINT or SIGTERM.
pub(crate) fn run(options: ServeOptions) -> io::Result<ExitCode> {
    raise_descriptor_limit()?;
    let runtime = Runtime::builder().shards(options.shards.into()).build()?;
    runtime.run(move || serve(options)).map_err(io::Error::other)??;
    Ok(ExitCode::SUCCESS)
}

fn serve(options: ServeOptions) -> io::Result<()> {
    let connections_max = options.max_connections.map_or(usize::MAX, |connections| connections as usize);
    let server = StreamServer::builder().shards(options.shards.into()).max_connections(connections_max);
    let server = server.bind(options.listen.as_str())?;
    let handle = server.handle();
    let signals = Signals::new([Signal::Interrupt, Signal::Terminate, Signal::Quit])?;
    if !options.quiet {
        print(format!("listening on {}\n", server.local_addr()));
    }
    let _signals = Builder::new().name("signals").spawn({
        let handle = handle.clone();
        move || attend(&signals, &handle, options.drain)
    })?;
    if let Some(interval) = options.stats {
        let handle = handle.clone();
        let _figures = Builder::new().name("figures").spawn(move || report(&handle, interval))?;
    }
    let (echo, idle) = (if options.upper { echo_upper } else { echo }, options.idle);
    server.serve(move |stream, _| {
        // A peer that resets its connection, or vanishes, is nobody's concern but its own.
        let _ = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(idle)).and_then(|()| echo(&stream));
    })?;
    if !options.quiet {
        let stats = handle.stats();
        print(format!("stopped after {} connections\n", stats.accepted));
    }
    Ok(())
}

/// The whole protocol: what comes goes back, until the peer has sent its last. The buffer is the shard's and lent for each
/// request, so an idle connection owns none; a peer that does not read keeps one of 64 KiB until it does.
fn echo(stream: &TcpStream) -> io::Result<()> {
    while stream.read_with(|bytes| answer(stream, bytes))?? {}
    Ok(())
}

fn echo_upper(stream: &TcpStream) -> io::Result<()> {
    while stream.read_with(|bytes| answer(stream, &bytes.to_ascii_uppercase()))?? {}
    Ok(())
}

/// Says whether there was something to answer.
#[inline(always)]
fn answer(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<bool> {
    stream.write_all(bytes)?;
    count(bytes.len());
    Ok(!bytes.is_empty())
}

thread_local! {
    /// What this shard has answered: times and bytes.
    static ANSWERED: Cell<Answered> = const { Cell::new(Answered { times: 0, bytes: 0 }) };
}

/// Answers, counted as reads: a peer that pipelines gets several requests answered in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Answered {
    times: u64,
    bytes: u64,
}

#[inline]
fn count(bytes: usize) {
    let before = ANSWERED.get();
    ANSWERED.set(Answered { times: before.times + 1, bytes: before.bytes + bytes as u64 });
}

fn answered_by_all() -> Result<Answered, JoinError> {
    shards().try_fold(Answered::default(), |sum, shard| {
        let own = call(shard, || ANSWERED.get())?;
        Ok(Answered { times: sum.times + own.times, bytes: sum.bytes + own.bytes })
    })
}

/// Deals with signals for as long as the program runs.
fn attend(signals: &Signals, handle: &ServerHandle, drain: Duration) -> io::Result<()> {
    let mut limit = drain;
    loop {
        match signals.recv()? {
            Signal::Quit => {
                let dump = dump();
                offload(move || eprint!("{dump}")); // whoever reads it may be slow
            }
            _ => {
                let (handle, now) = (handle.clone(), limit);
                let _stop = spawn(move || handle.stop(now));
                limit = Duration::ZERO;
            }
        }
    }
}

/// Prints figures at every interval.
fn report(handle: &ServerHandle, interval: Duration) -> Result<(), JoinError> {
    let mut before = answered_by_all()?;
    loop {
        sleep(interval);
        let now = answered_by_all()?;
        print(figures(handle, before, now, interval));
        before = now;
    }
}

fn figures(handle: &ServerHandle, before: Answered, now: Answered, interval: Duration) -> String {
    let stats = handle.stats();
    let rate = |count: u64| count as f64 / interval.as_secs_f64();
    format!(
        "connections {} of {} accepted, {} refused, {} pauses; {:.0} answers/s, {:.2} MB/s\n",
        stats.active,
        stats.accepted,
        stats.refused,
        stats.paused,
        rate(now.times - before.times),
        rate(now.bytes - before.bytes) / 1e6
    )
}

/// One write a line, and no panic when nobody reads any more.
fn print(line: String) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_runtime::net::TcpListener;
    use std::io::Read;
    use std::net::Shutdown;

    fn check(echo: fn(&TcpStream) -> io::Result<()>, sent: &[u8], expected: &[u8]) {
        let (sent, expected) = (sent.to_vec(), expected.to_vec());
        leveret_runtime::run(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = spawn(move || echo(&listener.accept().unwrap().0));
            let before = ANSWERED.get().bytes;
            client.write_all(&sent).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut back = Vec::new();
            client.read_to_end(&mut back).unwrap();
            assert_eq!(back, expected);
            server.join().unwrap().unwrap();
            assert_eq!(ANSWERED.get().bytes - before, sent.len() as u64);
        })
        .unwrap();
    }

    #[test]
    fn what_comes_goes_back() {
        check(echo, b"", b"");
        check(echo, b"Hello\0\xff", b"Hello\0\xff");
        check(echo, &[b'x'; 200_000], &[b'x'; 200_000]);
    }

    #[test]
    fn in_upper_case_if_asked() {
        check(echo_upper, "hello, Wörld 7".as_bytes(), "HELLO, WöRLD 7".as_bytes());
    }
}
