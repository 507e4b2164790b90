//! What a connection has to send: frames piled up during a turn, written at its end in one system call.
//!
//! A full socket costs nobody else anything: a coroutine of its own waits for room, the connection stops reading requests
//! while too much is piled up, and its consumers get no credit back, so their queues stop sending. A connection that has
//! nothing to send owns no buffer: those lie in a pool of the thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use leveret_runtime as runtime;
use runtime::sync::Event;

use super::channel::Consumer;
use crate::shard::{AtTurnEnd, Shard};
use crate::transport::Transport;

/// Bytes waiting for the socket above which the connection handles no more requests. One answer may exceed it.
const BACKLOG_MAX: usize = 1024 * 1024;

/// Bytes waiting for the socket above which it gets no more direct replies, which nobody gives credit for. They are sent
/// "at most once".
const BACKLOG_MAX_FOR_REPLIES: usize = 16 * 1024 * 1024;

/// How long a client may take nothing at all while more than [`BACKLOG_MAX`] waits for it.
const STUCK_MAX: Duration = Duration::from_secs(300);

/// Empty buffers that a thread keeps for the next connections with something to send.
const SPARES_MAX: usize = 32;

/// Bytes that these have together. A buffer that has grown to a consumer's whole window should be among them: growing the
/// next one costs a copy of every byte, and the kernel's zeroing of fresh pages.
const SPARES_CAPACITY_MAX: usize = 4 * 1024 * 1024;

thread_local! {
    static SPARES: RefCell<Spares> = const { RefCell::new(Spares { buffers: Vec::new(), capacity: 0 }) };
}

/// Empty buffers.
struct Spares {
    buffers: Vec<Vec<u8>>,
    /// Of all together.
    capacity: usize,
}

impl Spares {
    fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.capacity -= buffer.capacity();
        Some(buffer)
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        let capacity = self.capacity + buffer.capacity();
        if buffer.capacity() > 0 && self.buffers.len() < SPARES_MAX && capacity <= SPARES_CAPACITY_MAX {
            buffer.clear();
            self.capacity = capacity;
            self.buffers.push(buffer);
        }
    }
}

/// The sending half of a connection.
pub(super) struct Output {
    stream: Rc<Transport>,
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
    /// Bytes that the socket has taken, and in how many writes.
    total: Cell<(u64, u64)>,
    /// Set while the backlog is small enough to read on.
    has_room: Event,
    /// Clear while `draining`.
    drained: Event,
    /// Consumers with deliveries in the buffer.
    consumers: RefCell<Vec<Rc<Consumer>>>,
    /// While `draining`: when the socket last took something.
    last_progress: Cell<Instant>,
    itself: Weak<Output>,
}

impl Output {
    pub(super) fn new(shard: Rc<Shard>, stream: Rc<Transport>) -> Rc<Output> {
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
                total: Cell::new((0, 0)),
                has_room,
                drained: Event::new(),
                consumers: RefCell::default(),
                last_progress: Cell::new(runtime::time::now()),
                itself: itself.clone(),
            }
        })
    }

    /// Appends frames, to go out at the end of the turn.
    #[inline]
    pub(super) fn write<T>(&self, frames: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.capacity() == 0 {
            *buffer = SPARES.with_borrow_mut(Spares::take).unwrap_or_default();
        }
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
        let before = self.written.get();
        while !self.broken.get() {
            let rest = &buffer[self.written.get()..];
            let sent = if rest.is_empty() { self.stream.try_flush().map(|()| 0) } else { self.stream.try_write(rest) };
            match sent {
                Ok(0) if rest.is_empty() => break,
                Ok(count) => {
                    self.written.set(self.written.get() + count);
                    self.sent.set(true);
                    let (bytes, writes) = self.total.get();
                    self.total.set((bytes + count as u64, writes + 1));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.note_progress(self.written.get() > before);
                    self.compact(&mut buffer);
                    return false;
                }
                Err(_) => self.give_up(),
            }
        }
        self.written.set(0);
        SPARES.with_borrow_mut(|spares| spares.keep(std::mem::take(&mut *buffer)));
        drop(buffer);
        self.has_room.set();
        self.return_credit();
        true
    }

    fn note_progress(&self, has_progress: bool) {
        if has_progress {
            self.last_progress.set(runtime::time::now());
        }
    }

    /// Forgets what the socket has taken: a client that is never quite up to date must not make the buffer grow for ever.
    /// Less than half is not worth moving the rest for.
    fn compact(&self, buffer: &mut Vec<u8>) {
        if self.written.get() >= buffer.len() / 2 {
            buffer.drain(..self.written.replace(0));
        }
        if buffer.len() - self.written.get() <= BACKLOG_MAX / 2 {
            self.has_room.set();
        }
    }

    /// The socket failed; the reader finds out by itself, and says why in the log.
    fn give_up(&self) {
        self.broken.set(true);
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// All is with the kernel: the consumers' windows open again. Not those of a broken connection, which is about to end.
    fn return_credit(&self) {
        let consumers = std::mem::take(&mut *self.consumers.borrow_mut());
        if !self.broken.get() {
            consumers.iter().for_each(|consumer| consumer.delivered(&self.shard));
        }
    }

    /// Has a coroutine go on when the socket has room.
    fn drain(&self) {
        let Some(output) = self.itself.upgrade() else { return };
        self.draining.set(true);
        self.drained.clear();
        self.note_progress(true); // until now it took everything
        let spawned = runtime::Builder::new().name("output").spawn(move || {
            loop {
                if output.stream.wait_writable().is_err() {
                    output.give_up();
                }
                if output.write_some() {
                    return output.end_drain();
                }
            }
        });
        if let Err(error) = spawned {
            log::warn!("a connection is cut off, since nothing can wait for its socket: {error}");
            self.give_up();
            self.write_some();
            self.end_drain();
        }
    }

    fn end_drain(&self) {
        self.draining.set(false);
        self.drained.set();
    }

    /// Bytes that the socket has taken since the start, and in how many writes.
    pub(super) fn total(&self) -> (u64, u64) {
        self.total.get()
    }

    /// Bytes that the socket has not taken.
    pub(super) fn backlog(&self) -> usize {
        self.buffer.borrow().len() - self.written.get()
    }

    /// Whether so much is piled up that no more requests should be handled.
    #[inline]
    pub(super) fn is_behind(&self) -> bool {
        self.backlog() > BACKLOG_MAX
    }

    /// Whether a direct reply may still be added.
    pub(super) fn has_room_for_replies(&self) -> bool {
        self.backlog() <= BACKLOG_MAX_FOR_REPLIES
    }

    /// Whether the client has not taken a byte for longer than anybody should wait.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        self.draining.get() && self.is_behind() && now.saturating_duration_since(self.last_progress.get()) > STUCK_MAX
    }

    /// Waits until little enough is piled up to go on.
    pub(super) fn wait_for_room(&self) {
        while self.is_behind() {
            self.flush();
            if !self.is_behind() {
                return;
            }
            self.has_room.clear();
            self.has_room.wait();
        }
    }

    /// Nothing more will be sent, whether the client has taken everything or not.
    pub(super) fn abandon(&self) {
        if self.draining.get() {
            self.give_up(); // which ends the waiting for room
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_buffers_are_few_and_bounded() {
        let check = |size: usize, count: usize, expected: usize| {
            let mut spares = Spares { buffers: Vec::new(), capacity: 0 };
            (0..count).for_each(|_| spares.keep(Vec::with_capacity(size)));
            assert_eq!(spares.buffers.len(), expected);
            assert_eq!(spares.capacity, spares.buffers.iter().map(Vec::capacity).sum::<usize>());
            assert_eq!(std::iter::from_fn(|| spares.take()).count(), expected);
            assert_eq!(spares.capacity, 0);
        };
        check(0, 3, 0);
        check(100, SPARES_MAX, SPARES_MAX);
        check(100, SPARES_MAX + 1, SPARES_MAX);
        check(SPARES_CAPACITY_MAX, 2, 1);
        check(SPARES_CAPACITY_MAX + 1, 1, 0);
        check(SPARES_CAPACITY_MAX / 4, 9, 4);
    }
}
