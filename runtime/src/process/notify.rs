//! Telling the service manager how one is: systemd's `sd_notify` protocol, a datagram of `KEY=value` lines to a Unix socket
//! that the environment names. No library is needed for that, and nothing happens where nobody asked.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::sim::is_simulated;
use crate::sleep;

/// The variable with the socket's path; with `@` at its front the name is one of Linux's abstract ones.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// How often is tried, a [`PAUSE`] apart, when the manager's socket is full.
const TRIES_MAX: usize = 50;

const PAUSE: Duration = Duration::from_millis(20);

/// Sends lines such as `READY=1`, `STOPPING=1` or `STATUS=...` to the service manager that started this process. Answers
/// whether there is one.
///
/// ```
/// # leveret_runtime::run(|| {
/// leveret_runtime::process::notify("READY=1\nSTATUS=serving").unwrap();
/// # }).unwrap();
/// ```
///
/// # Errors
/// The manager's socket is named but cannot be written to.
pub fn notify(lines: &str) -> io::Result<bool> {
    match env::var_os(VARIABLE) {
        Some(name) if !is_simulated() && !name.is_empty() => send(name.as_bytes(), lines).map(|()| true),
        _ => Ok(false),
    }
}

fn send(name: &[u8], lines: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let address = address(name)?;
    for _ in 1..TRIES_MAX {
        match socket.send_to_addr(lines.as_bytes(), &address) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(PAUSE),
            sent => return sent.map(drop),
        }
    }
    socket.send_to_addr(lines.as_bytes(), &address).map(drop)
}

fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_reach_a_socket_by_path_and_by_abstract_name() {
        let unique = format!("leveret-notify-{}", std::process::id());
        let path = env::temp_dir().join(&unique);
        let check = |socket: UnixDatagram, name: Vec<u8>| {
            crate::run(move || send(&name, "READY=1\nSTATUS=here").unwrap()).unwrap();
            let mut buffer = [0; 64];
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"READY=1\nSTATUS=here");
        };
        check(UnixDatagram::bind(&path).unwrap(), path.as_os_str().as_bytes().to_vec());
        std::fs::remove_file(&path).unwrap();
        let name = SocketAddr::from_abstract_name(&unique).unwrap();
        check(UnixDatagram::bind_addr(&name).unwrap(), format!("@{unique}").into_bytes());
    }

    #[test]
    fn a_full_socket_is_waited_for() {
        let reader = env::temp_dir().join(format!("leveret-notify-full-{}", std::process::id()));
        let socket = UnixDatagram::bind(&reader).unwrap();
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"x", &reader).is_ok() {}
        let name = reader.as_os_str().as_bytes().to_vec();
        let emptied = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            let mut last = Vec::new();
            while last != b"READY=1" {
                let count = socket.recv(&mut buffer).unwrap();
                last = buffer[..count].to_vec();
            }
        });
        crate::run(move || send(&name, "READY=1").unwrap()).unwrap();
        emptied.join().unwrap();
        std::fs::remove_file(&reader).unwrap();
    }

    #[test]
    fn a_name_that_leads_nowhere_is_an_error() {
        assert!(crate::run(|| send(b"/no/such/socket", "READY=1")).unwrap().is_err());
    }
}
