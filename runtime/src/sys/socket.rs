//! Calls on sockets: the two that every request makes, with nothing around them; and what std has no call for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Receives what is there, at most what `buffer` takes.
#[inline(always)] // of every read
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `buffer`, which the kernel fills from its start.
    let count = unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    transferred(count)
}

/// Sends as much of `bytes` as the socket takes. `MSG_NOSIGNAL`: a host that has not switched SIGPIPE off must not die of a
/// peer that went away.
#[inline(always)] // of every write
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length are those of `bytes`, which the kernel only reads.
    let count = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    transferred(count)
}

#[inline(always)]
fn transferred(count: libc::ssize_t) -> io::Result<usize> {
    match usize::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Ends the receiving direction of a socket: what has arrived can still be read, then comes the end.
///
/// The caller has made sure that `fd` is still the socket that it means; a number that is no socket is an error.
pub(crate) fn shutdown_read(fd: RawFd) -> io::Result<()> {
    // SAFETY: the call touches no memory of ours, whatever the number.
    match unsafe { libc::shutdown(fd, libc::SHUT_RD) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets the permissions of an open file. On a Unix socket that is not bound yet: those that its file will have.
pub(crate) fn set_mode(fd: BorrowedFd<'_>, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: the call touches no memory of ours.
    match unsafe { libc::fchmod(fd.as_raw_fd(), mode) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
