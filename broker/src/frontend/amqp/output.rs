//! What a connection has to send: frames piled up during a turn, written at its end in one system call.
//!
//! A full socket costs nobody else anything: a coroutine of its own waits for room, the connection stops reading requests
//! while too much is piled up, and its consumers get no credit back, so their queues stop sending.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::{Rc, Weak};

use leveret_runtime as runtime;
use runtime::net::TcpStream;
use runtime::sync::Event;

use super::channel::Consumer;
use crate::shard::{AtTurnEnd, Shard};

/// Bytes waiting for the socket above which the connection reads no more requests.
const BACKLOG_MAX: usize = 1024 * 1024;

/// Capacity that an empty buffer may keep.
const IDLE_CAPACITY_MAX: usize = 64 * 1024;

/// The sending half of a connection.
pub(super) struct Output {
    stream: Rc<TcpStream>,
    shard: Rc<Shard>,
    buffer: RefCell<Vec<u8>>,
    /// Bytes of the buffer that the socket has taken.
    written: Cell<usize>,
    /// On the list of the turn's end.
    listed: Cell<bool>,
    /// A coroutine waits for room in the socket.
    draining: Cell<bool>,
    broken: Cell<bool>,
    /// Something was sent since the heartbeat last looked.
    sent: Cell<bool>,
    /// Set while the backlog is small enough to read on.
    has_room: Event,
    /// Clear while `draining`.
    drained: Event,
    /// Consumers with deliveries in the buffer.
    consumers: RefCell<Vec<Rc<Consumer>>>,
    itself: Weak<Output>,
}

impl Output {
    pub(super) fn new(shard: Rc<Shard>, stream: Rc<TcpStream>) -> Rc<Output> {
        Rc::new_cyclic(|itself| {
            let has_room = Event::new();
            has_room.set();
            Output {
                stream,
                shard,
                buffer: RefCell::default(),
                written: Cell::new(0),
                listed: Cell::new(false),
                draining: Cell::new(false),
                broken: Cell::new(false),
                sent: Cell::new(false),
                has_room,
                drained: Event::new(),
                consumers: RefCell::default(),
                itself: itself.clone(),
            }
        })
    }

    /// Appends frames, to go out at the end of the turn.
    #[inline]
    pub(super) fn write<T>(&self, frames: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut buffer = self.buffer.borrow_mut();
        let before = buffer.len();
        let result = frames(&mut buffer);
        let has_grown = buffer.len() > before;
        drop(buffer);
        if has_grown && !self.listed.get() {
            self.list();
        }
        result
    }

    /// Remembers a consumer whose delivery is in the buffer.
    pub(super) fn note(&self, consumer: &Rc<Consumer>) {
        self.consumers.borrow_mut().push(consumer.clone());
    }

    fn list(&self) {
        if let Some(itself) = self.itself.upgrade() {
            self.listed.set(true);
            self.shard.at_turn_end(itself);
        }
    }

    fn flush(&self) {
        if !self.draining.get() && !self.write_some() {
            self.drain();
        }
    }

    /// Writes what the socket takes without waiting. False if something is left.
    fn write_some(&self) -> bool {
        let mut buffer = self.buffer.borrow_mut();
        while self.written.get() < buffer.len() && !self.broken.get() {
            match self.stream.try_write(&buffer[self.written.get()..]) {
                Ok(count) => {
                    self.written.set(self.written.get() + count);
                    self.sent.set(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if buffer.len() - self.written.get() > BACKLOG_MAX {
                        self.has_room.clear();
                    }
                    return false;
                }
                Err(_) => self.give_up(),
            }
        }
        buffer.clear();
        buffer.shrink_to(IDLE_CAPACITY_MAX);
        self.written.set(0);
        drop(buffer);
        self.has_room.set();
        self.return_credit();
        true
    }

    /// The socket failed; the reader finds out by itself, and says why in the log.
    fn give_up(&self) {
        self.broken.set(true);
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// All is with the kernel: the consumers' windows open again.
    fn return_credit(&self) {
        for consumer in self.consumers.borrow_mut().drain(..) {
            consumer.delivered(&self.shard);
        }
    }

    /// Has a coroutine go on when the socket has room.
    fn drain(&self) {
        self.draining.set(true);
        self.drained.clear();
        let Some(output) = self.itself.upgrade() else { return };
        let _ = runtime::spawn(move || {
            loop {
                if output.stream.wait_writable().is_err() {
                    output.give_up();
                }
                if output.write_some() {
                    output.draining.set(false);
                    output.drained.set();
                    return;
                }
            }
        });
    }

    /// Waits until little enough is piled up to read on.
    pub(super) fn wait_for_room(&self) {
        if !self.has_room.is_set() {
            self.has_room.wait();
        }
    }

    /// Waits until everything is written, or cannot be.
    pub(super) fn wait_until_written(&self) {
        self.flush();
        while self.draining.get() {
            self.drained.wait();
        }
    }

    /// Whether something was sent since the last question.
    pub(super) fn take_sent(&self) -> bool {
        self.sent.replace(false)
    }
}

impl AtTurnEnd for Output {
    fn at_turn_end(self: Rc<Self>) {
        self.listed.set(false);
        self.flush();
    }
}
