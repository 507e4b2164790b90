//! How a descriptor stands at this moment: `poll(2)` that never waits.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::readiness::Ready;

/// Which of `wanted` the descriptor is ready for now. An error or a hang-up counts as ready: the call to come will tell.
pub(crate) fn poll_now(fd: BorrowedFd<'_>, wanted: Ready) -> io::Result<Ready> {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: events(wanted), revents: 0 };
    loop {
        // SAFETY: the pointer is to one valid `pollfd`, which outlives the call.
        if unsafe { libc::poll(&mut asked, 1, 0) } >= 0 {
            return Ok(ready(asked.revents, wanted));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn events(wanted: Ready) -> libc::c_short {
    let read = if wanted.has(Ready::READABLE) { libc::POLLIN | libc::POLLRDHUP } else { 0 };
    let write = if wanted.has(Ready::WRITABLE) { libc::POLLOUT } else { 0 };
    read | write
}

fn ready(told: libc::c_short, wanted: Ready) -> Ready {
    if told & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
        return wanted;
    }
    let mut ready = Ready::NONE;
    if told & (libc::POLLIN | libc::POLLRDHUP) != 0 {
        ready |= Ready::READABLE;
    }
    if told & libc::POLLOUT != 0 {
        ready |= Ready::WRITABLE;
    }
    ready
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn it_tells_what_a_call_would_find() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let both = Ready::READABLE | Ready::WRITABLE;
        let check = |expected: Ready| assert_eq!(poll_now(ours.as_fd(), both).unwrap(), expected);
        check(Ready::WRITABLE);
        theirs.write_all(b"x").unwrap();
        check(both);
        drop(theirs);
        check(both);
    }
}
