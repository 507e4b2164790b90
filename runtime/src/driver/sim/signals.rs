//! Signals of simulated hosts: raised by a test, heard by those who listen on the same host. A signal that nobody listens for
//! does nothing: there is no process that it could end.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::World;
use super::hosts::HostId;
use super::net::Fd;

/// Who listens.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    list: RefCell<Vec<Listener>>,
    last_id: Cell<u64>,
}

#[derive(Debug)]
struct Listener {
    id: u64,
    host: HostId,
    signal: i32,
    /// Set before the byte is written, as a real handler does.
    came: Arc<AtomicBool>,
    /// Gets a byte for each signal.
    wake: Fd,
}

impl World {
    /// From now on the signal of this number sets `came` and writes a byte to `wake`, if it is raised on the running host.
    pub(crate) fn hear(&self, signal: i32, came: Arc<AtomicBool>, wake: Fd) -> u64 {
        let id = self.signals.last_id.get() + 1;
        self.signals.last_id.set(id);
        self.signals.list.borrow_mut().push(Listener { id, host: self.hosts.current(), signal, came, wake });
        id
    }

    pub(crate) fn hear_no_more(&self, id: u64) {
        self.signals.list.borrow_mut().retain(|listener| listener.id != id);
    }

    /// Raises a signal on the running host.
    pub(crate) fn raise(&self, signal: i32) {
        let host = self.hosts.current();
        self.note("signal", host.0.into(), signal as u64);
        for listener in self.signals.list.borrow().iter().filter(|it| it.host == host && it.signal == signal) {
            listener.came.store(true, Ordering::Release);
            // A full socket has told already; one that is gone listens no more.
            let _ = self.net(|net, world| net.write(world, listener.wake, &[1]));
        }
    }
}
