//! Descriptors that stand for processes: readable when the process has ended, and a name that no other process gets.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// A descriptor for the process `pid`, which must be a child that nobody has waited for yet: else the number may be
/// another's by now. Closed by `exec`.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: the call touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has made the descriptor for us just now; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Sends a signal to the process.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: libc::c_int) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without a `siginfo` the kernel fills in one of its own; no memory of ours is touched.
    match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::process::Command;

    use super::*;
    use crate::readiness::Ready;
    use crate::sys::poll::poll_now;

    #[test]
    fn it_is_readable_once_the_process_has_ended() {
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pidfd = open(child.id()).unwrap();
        assert_eq!(poll_now(pidfd.as_fd(), Ready::READABLE).unwrap(), Ready::NONE);
        send_signal(pidfd.as_fd(), libc::SIGKILL).unwrap();
        assert!(!child.wait().unwrap().success());
        assert_eq!(poll_now(pidfd.as_fd(), Ready::READABLE).unwrap(), Ready::READABLE);
        assert!(send_signal(pidfd.as_fd(), libc::SIGKILL).is_err());
    }
}
