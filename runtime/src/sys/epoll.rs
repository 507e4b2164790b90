//! epoll: looking at mio's instance without its translation of every event, and a level-triggered instance for the one user
//! that wants events told again until they are dealt with (mio's are edge-triggered).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::readiness::Ready;

/// Events taken with one call. What does not fit comes with the next one, fairly: the kernel goes round.
const EVENTS_MAX: usize = 256;

/// What the kernel tells of one descriptor, as it tells it.
pub(crate) type Event = libc::epoll_event;

/// Room for events.
pub(crate) fn room(events: usize) -> Box<[Event]> {
    vec![Event { events: 0, u64: 0 }; events].into_boxed_slice()
}

/// Waits for events at most `limit` (for ever if `None`), which is rounded up to milliseconds, so that a timer neither spins
/// nor fires early. A signal that interrupts it counts as no event.
pub(crate) fn wait(epoll: RawFd, room: &mut [Event], limit: Option<Duration>) -> io::Result<&[Event]> {
    let millis = limit.map_or(-1, |limit| limit.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as libc::c_int);
    // SAFETY: the pointer is to as many valid entries as the length says, and they outlive the call.
    let count = unsafe { libc::epoll_wait(epoll, room.as_mut_ptr(), room.len() as libc::c_int, millis) };
    match check(count) {
        Ok(count) => Ok(&room[..count as usize]),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(&[]),
        Err(error) => Err(error),
    }
}

/// What an event says. RDHUP is not HUP: a peer that has only closed its sending side can still be written to.
#[inline(always)]
pub(crate) fn told(events: u32) -> Ready {
    const CLOSED: libc::c_int = libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR;
    const READABLE: libc::c_int = libc::EPOLLIN | libc::EPOLLPRI | CLOSED;
    const WRITABLE: libc::c_int = libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR;
    let flag = |bits: libc::c_int, flag| if events & bits as u32 == 0 { Ready::NONE } else { flag };
    flag(READABLE, Ready::READABLE) | flag(WRITABLE, Ready::WRITABLE) | flag(CLOSED, Ready::READ_CLOSED)
}

/// An epoll instance; itself a descriptor that is readable while one of its own is ready.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: the call touches no memory of ours.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has made the descriptor for us just now; nobody else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn add(&self, fd: RawFd, interest: Ready) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest)
    }

    pub(crate) fn modify(&self, fd: RawFd, interest: Ready) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, interest)
    }

    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, Ready::NONE)
    }

    /// What is ready now, by descriptor. An error or a hang-up counts as ready both ways.
    pub(crate) fn look(&self) -> io::Result<Vec<(RawFd, Ready)>> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        // SAFETY: the pointer is to `EVENTS_MAX` valid entries, which outlive the call.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), EVENTS_MAX as libc::c_int, 0) };
        let told = match check(count) {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(events.iter().take(told).map(|event| (event.u64 as RawFd, ready(event.events))).collect())
    }

    fn control(&self, operation: libc::c_int, fd: RawFd, interest: Ready) -> io::Result<()> {
        let read = if interest.has(Ready::READABLE) { libc::EPOLLIN } else { 0 };
        let write = if interest.has(Ready::WRITABLE) { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: (read | write) as u32, u64: fd as u64 };
        // SAFETY: the pointer is to a valid event; the kernel copies it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &mut event) })?;
        Ok(())
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

fn ready(events: u32) -> Ready {
    let mut ready = Ready::NONE;
    if events & !(libc::EPOLLOUT as u32) != 0 {
        ready |= Ready::READABLE;
    }
    if events & !(libc::EPOLLIN as u32) != 0 {
        ready |= Ready::WRITABLE;
    }
    ready
}

fn check(answer: libc::c_int) -> io::Result<libc::c_int> {
    match answer {
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn an_event_says_what_calls_would_find() {
        let check = |events: libc::c_int, expected| assert_eq!(told(events as u32), expected, "{events:#x}");
        let both = Ready::READABLE | Ready::WRITABLE;
        check(0, Ready::NONE);
        check(libc::EPOLLIN, Ready::READABLE);
        check(libc::EPOLLPRI, Ready::READABLE);
        check(libc::EPOLLOUT, Ready::WRITABLE);
        check(libc::EPOLLIN | libc::EPOLLOUT, both);
        check(libc::EPOLLIN | libc::EPOLLRDHUP, Ready::READABLE | Ready::READ_CLOSED);
        check(libc::EPOLLHUP, both | Ready::READ_CLOSED);
        check(libc::EPOLLERR, both | Ready::READ_CLOSED);
    }

    #[test]
    fn it_tells_again_until_nothing_is_left() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let epoll = Epoll::new().unwrap();
        let fd = ours.as_raw_fd();
        let check = |expected: &[(RawFd, Ready)]| assert_eq!(epoll.look().unwrap(), expected);
        epoll.add(fd, Ready::READABLE).unwrap();
        check(&[]);
        theirs.write_all(b"x").unwrap();
        check(&[(fd, Ready::READABLE)]);
        check(&[(fd, Ready::READABLE)]);
        epoll.modify(fd, Ready::WRITABLE).unwrap();
        check(&[(fd, Ready::WRITABLE)]);
        epoll.remove(fd).unwrap();
        check(&[]);
    }
}
