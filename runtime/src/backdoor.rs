//! The backdoor: a Unix socket at which a running program tells what it does.
//!
//! ```text
//!   $ socat - UNIX-CONNECT:/run/program.sock      (or: nc -U /run/program.sock)
//!   list                                          one command a line
//!   2 coroutines:                                 its answer,
//!     0/1 'main' waits for ...
//!                                                 which ends with an empty line
//! ```
//!
//! It only tells, and changes nothing. The socket's file belongs to the process's user and is open to nobody else (0600):
//! names of coroutines and backtraces are nobody's business otherwise. It is removed when the runtime ends; one that a dead
//! process left is replaced.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::coroutine::current;
use crate::diagnostics::{StackUse, dump_of};
use crate::metrics::stats;
use crate::net::{UnixListener, UnixStream};
use crate::observe::{self, Answer};
use crate::runtime::Shared;
use crate::shard::Shard;
use crate::sys::socket::set_mode;
use crate::{Group, Pool};

/// Who may ask at once; more wait to be let in.
const CLIENTS_MAX: usize = 4;

/// Bytes of a command.
const COMMAND_MAX: u64 = 256;

/// How long a client may say nothing.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// Clients that the kernel keeps for us until they are let in.
const BACKLOG: i32 = 8;

/// Owner may read and write, nobody else anything.
const MODE: libc::mode_t = 0o600;

const HELP: &str = "\
help    this text
list    every coroutine: shard, number, name, what it waits for, for how long, its age
dump    as list, with the use of stacks and with backtraces
stats   the counters of each shard
stacks  how many stacks were used on each shard, and how deep
quit    end this connection
";

/// A socket that listens, and its file.
#[derive(Debug)]
pub(crate) struct Backdoor {
    listener: StdUnixListener,
    file: SocketFile,
}

/// Removed when dropped.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // somebody may have removed it before
    }
}

impl Backdoor {
    /// Listens at `path`.
    pub(crate) fn bind(path: &Path) -> io::Result<Backdoor> {
        let bound = listen(path).or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse => replace_stale(path),
            _ => Err(error),
        });
        match bound {
            Ok(listener) => Ok(Backdoor { listener, file: SocketFile(path.to_owned()) }),
            Err(error) => {
                Err(io::Error::new(error.kind(), format!("cannot open the backdoor at {}: {error}", path.display())))
            }
        }
    }

    /// Serves clients on the current runtime, which is the observer's, until the group's members are killed.
    pub(crate) fn open(self, group: &Group, shared: &Arc<Shared>) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener)?;
        let (file, shared) = (self.file, shared.clone());
        let _ = group.spawn(move || {
            let _file = file;
            serve(&listener, &shared);
        });
        Ok(())
    }
}

fn listen(path: &Path) -> io::Result<StdUnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?;
    set_mode(socket.as_fd(), MODE)?; // before there is a file that others could open
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Something is there. If it is a socket that nobody listens at, a dead process has left it.
fn replace_stale(path: &Path) -> io::Result<StdUnixListener> {
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => {
            std::fs::remove_file(path)?;
            listen(path)
        }
        _ => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "a process listens there, or it is another file; choose another path",
        )),
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn serve(listener: &UnixListener, shared: &Arc<Shared>) {
    let clients = Pool::new(CLIENTS_MAX);
    while let Ok((stream, _)) = listener.accept() {
        let shared = shared.clone();
        // A client that goes away half-way is nobody's fault.
        let _ = clients.spawn(move || drop(converse(&stream, &shared)));
    }
}

/// Answers one client's commands until it goes.
fn converse(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_MAX))?;
    stream.set_write_timeout(Some(IDLE_MAX))?;
    let (mut reader, mut writer) = (BufReader::new(stream), stream);
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(COMMAND_MAX).read_until(b'\n', &mut line)?;
        let Some(command) = line.strip_suffix(b"\n") else { return Ok(()) }; // the end, or no command of ours
        match answer(command.trim_ascii(), shared) {
            Some(answer) => writer.write_all(format!("{answer}\n").as_bytes())?,
            None => return Ok(()),
        }
    }
}

/// What is told; `None` to end the conversation.
fn answer(command: &[u8], shared: &Shared) -> Option<String> {
    Some(match command {
        b"help" | b"" => HELP.to_owned(),
        b"list" => dump_of(shared, false),
        b"dump" => dump_of(shared, true),
        b"stats" => by_shard(&observe::ask(shared, stats), ToString::to_string),
        b"stacks" => by_shard(&observe::ask(shared, || current::with(Shard::stack_use)), |stacks| lines(stacks)),
        b"quit" => return None,
        other => format!("no such command: {}\n{HELP}", other.escape_ascii()),
    })
}

fn lines(stacks: &[StackUse]) -> String {
    stacks.iter().map(|stack| format!("{stack}\n")).collect()
}

fn by_shard<T>(answers: &[Answer<T>], print: impl Fn(&T) -> String) -> String {
    let of_one = |(shard, answer): (usize, &Answer<T>)| match answer {
        Answer::Came(told) => format!("shard {shard}\n{}", print(told)),
        silent => format!("shard {shard} {silent}\n"),
    };
    answers.iter().enumerate().map(of_one).collect()
}
