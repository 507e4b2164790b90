//! The accept loop: who is to blame when accepting fails, and how to wait when the machine is.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::{Core, Place};
use crate::coroutine::park::WaitError;
use crate::descriptors;
use crate::net::{DetachedStream, TcpListener};
use crate::time;

/// The first pause after running out of descriptors or memory; each further one in a row is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// The longest pause: what nobody tells us of (a file closed, memory freed) is noticed that late.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Refusals that lie further apart are of two episodes. Longer than [`PAUSE_MAX`], or a long pause would look like an end.
const EPISODE_GAP: Duration = Duration::from_secs(5);

/// Accepts for ever and gives each connection to `start`; returns the error that cannot be mended.
pub(super) fn accept_loop(
    listener: &TcpListener,
    core: &Arc<Core>,
    start: impl Fn(Place, DetachedStream, SocketAddr),
) -> io::Error {
    let mut scarcity = Scarcity::default();
    loop {
        if let Err(error) = core.wait_for_room() {
            return error.into();
        }
        match listener.accept_detached() {
            Ok((stream, addr)) => {
                scarcity.accepted(core);
                start(core.reserve(), stream, addr);
            }
            Err(error) => match blame(&error) {
                Blame::Peer => core.note_refused(),
                Blame::Machine => {
                    if scarcity.pause(&error, core) == Err(WaitError::Unwinding) {
                        return error;
                    }
                }
                Blame::Listener => return error,
            },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// This connection is lost; the next one is not.
    Peer,
    /// Out of descriptors or memory: it comes again at once, until somebody frees some.
    Machine,
    /// The listener itself is no more.
    Listener,
}

/// accept(2) also passes on network errors of the new connection, and says to treat them as no connection.
fn blame(error: &io::Error) -> Blame {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Blame::Machine,
        Some(
            libc::ECONNABORTED
            | libc::ECONNRESET
            | libc::EPERM
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH
            | libc::ETIMEDOUT,
        ) => Blame::Peer,
        _ => Blame::Listener,
    }
}

/// Being out of something. At the limit each connection that ends lets one in, and then it is reached again: all of that
/// is one episode, logged and counted once. It is over when nothing was refused for [`EPISODE_GAP`].
#[derive(Default)]
struct Scarcity {
    episode: Option<Episode>,
    /// The next pause; zero after a success.
    delay: Duration,
}

struct Episode {
    since: Instant,
    last_refusal: Instant,
}

impl Scarcity {
    /// Waits until a descriptor of this process was closed, or for the delay. The closing may be under way on another
    /// shard, so the delay is short again after it.
    fn pause(&mut self, error: &io::Error, core: &Core) -> Result<(), WaitError> {
        let now = time::now();
        self.note_refusal(now, error, core);
        self.delay = (self.delay * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        match descriptors::wait_freed(now + self.delay) {
            Ok(()) => self.delay = Duration::ZERO,
            Err(WaitError::TimedOut) => {}
            Err(WaitError::Unwinding) => return Err(WaitError::Unwinding),
        }
        Ok(())
    }

    fn note_refusal(&mut self, now: Instant, error: &io::Error, core: &Core) {
        self.end_episode(now, core);
        match &mut self.episode {
            Some(episode) => episode.last_refusal = now,
            None => {
                self.episode = Some(Episode { since: now, last_refusal: now });
                core.note_pause();
                log::warn!(
                    "{}: accepting pauses with {} connections: {error}; raise the limit of open descriptors (ulimit -n) \
                     or lower the number of connections",
                    core.addr(),
                    core.stats().active
                );
            }
        }
    }

    fn accepted(&mut self, core: &Core) {
        if self.episode.is_some() {
            self.delay = Duration::ZERO;
            self.end_episode(time::now(), core);
        }
    }

    fn end_episode(&mut self, now: Instant, core: &Core) {
        let is_over = |episode: &mut Episode| now.saturating_duration_since(episode.last_refusal) >= EPISODE_GAP;
        if let Some(Episode { since, last_refusal }) = self.episode.take_if(is_over) {
            let lasted = last_refusal.saturating_duration_since(since).as_secs_f64();
            log::info!("{}: accepting again; the shortage lasted {lasted:.3} s", core.addr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_blamed_on_who_can_mend_them() {
        let check = |code: i32, expected: Blame| assert_eq!(blame(&io::Error::from_raw_os_error(code)), expected);
        check(libc::EMFILE, Blame::Machine);
        check(libc::ENFILE, Blame::Machine);
        check(libc::ENOBUFS, Blame::Machine);
        check(libc::ENOMEM, Blame::Machine);
        check(libc::ECONNABORTED, Blame::Peer);
        check(libc::EPERM, Blame::Peer);
        check(libc::EBADF, Blame::Listener);
        check(libc::EINVAL, Blame::Listener);
        assert_eq!(blame(&io::ErrorKind::Other.into()), Blame::Listener);
    }
}
