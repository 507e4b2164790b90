//! Calls on sockets that are known by number alone.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

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
