//! What a connection has to send: frames piled up during a turn, written at its end in one system call.
//!
//! ```text
//!   write ─► buffer ─ end of turn ─► socket
//!                         └ full ─► a coroutine waits for room and goes on; publishers wait while too much is piled up
//! ```
//!
//! One hook a thread serves all connections, because hooks are for ever and connections are not.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::Shutdown;
use std::rc::{Rc, Weak};

use leveret_runtime as runtime;
use runtime::net::TcpStream;
use runtime::sync::Event;

/// Bytes waiting for the socket above which publishers wait. One message may exceed it.
const BACKLOG_MAX: usize = 128 * 1024;

/// Capacity of a buffer that is worth keeping.
const CAPACITY_KEPT_MAX: usize = 1024 * 1024;

thread_local! {
    static AT_TURN_END: AtTurnEnd = const { AtTurnEnd { outputs: RefCell::new(Vec::new()), hooked: Cell::new(false) } };
}

/// Outputs of this thread with something to send, and whether its runtime has our hook.
struct AtTurnEnd {
    outputs: RefCell<Vec<Rc<Output>>>,
    hooked: Cell<bool>,
}

/// Belongs to the hook, and goes with it when the runtime ends: the thread may start another one.
struct Hooked;

impl Hooked {
    fn new() -> Hooked {
        AT_TURN_END.with(|list| list.hooked.set(true));
        Hooked
    }

    fn flush(&self) {
        let outputs = AT_TURN_END.with(|list| std::mem::take(&mut *list.outputs.borrow_mut()));
        for output in outputs {
            output.listed.set(false);
            output.flush();
        }
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        let _ = AT_TURN_END.try_with(|list| {
            list.hooked.set(false);
            drop(std::mem::take(&mut *list.outputs.borrow_mut()));
        });
    }
}

fn flush_at_turn_end(output: Rc<Output>) {
    if !AT_TURN_END.with(|list| list.hooked.get()) {
        let hooked = Hooked::new();
        runtime::on_turn_end(move || hooked.flush());
    }
    AT_TURN_END.with(|list| list.outputs.borrow_mut().push(output));
}

/// The sending half of a connection.
pub(crate) struct Output {
    stream: Rc<TcpStream>,
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
    /// Set while publishers need not wait.
    has_room: Event,
    itself: Weak<Output>,
}

impl Output {
    pub(crate) fn new(stream: Rc<TcpStream>) -> Rc<Output> {
        Rc::new_cyclic(|itself| Output {
            stream,
            buffer: RefCell::default(),
            written: Cell::new(0),
            listed: Cell::new(false),
            draining: Cell::new(false),
            broken: Cell::new(false),
            sent: Cell::new(false),
            has_room: Event::new(),
            itself: itself.clone(),
        })
    }

    /// Appends frames, to go out at the end of the turn.
    pub(crate) fn write<T>(&self, frames: impl FnOnce(&mut Vec<u8>) -> T) -> T {
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

    fn list(&self) {
        if let Some(itself) = self.itself.upgrade() {
            self.listed.set(true);
            flush_at_turn_end(itself);
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
            match self.stream.try_write(buffer.get(self.written.get()..).unwrap_or_default()) {
                Ok(count) => {
                    self.written.set(self.written.get() + count);
                    self.sent.set(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.compact(&mut buffer);
                    return false;
                }
                Err(_) => self.give_up(),
            }
        }
        self.written.set(0);
        buffer.clear();
        buffer.shrink_to(CAPACITY_KEPT_MAX);
        drop(buffer);
        self.has_room.set();
        true
    }

    /// Forgets what the socket has taken: a server that is never quite up to date must not make the buffer grow for ever.
    fn compact(&self, buffer: &mut Vec<u8>) {
        if self.written.get() >= buffer.len() / 2 {
            buffer.drain(..self.written.replace(0));
        }
        if buffer.len() - self.written.get() <= BACKLOG_MAX / 2 {
            self.has_room.set();
        }
    }

    /// Nothing more will come: what the socket takes now is sent, and the rest is forgotten.
    pub(crate) fn finish(&self) {
        self.write_some();
        self.give_up();
    }

    /// The socket failed; the reader finds out by itself, and tells everybody why.
    fn give_up(&self) {
        self.broken.set(true);
        self.has_room.set();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Has a coroutine go on when the socket has room.
    fn drain(&self) {
        let Some(output) = self.itself.upgrade() else { return };
        self.draining.set(true);
        let spawned = runtime::Builder::new().name("amqp output").spawn(move || {
            loop {
                if output.stream.wait_writable().is_err() {
                    output.give_up();
                }
                if output.write_some() {
                    return output.draining.set(false);
                }
            }
        });
        if let Err(error) = spawned {
            log::warn!("a connection is cut off, since nothing can wait for its socket: {error}");
            self.give_up();
            self.write_some();
            self.draining.set(false);
        }
    }

    fn is_behind(&self) -> bool {
        self.buffer.borrow().len() - self.written.get() > BACKLOG_MAX && !self.broken.get()
    }

    /// Waits while more than [`BACKLOG_MAX`] is piled up. Lets others run even if the socket takes all of it, so that a
    /// publisher in a loop does not keep the answers from being read.
    pub(crate) fn wait_for_room(&self) {
        if !self.is_behind() {
            return;
        }
        self.flush();
        if !self.is_behind() {
            return runtime::yield_now();
        }
        while self.is_behind() {
            self.has_room.clear();
            self.has_room.wait();
        }
    }

    /// Whether something was sent since the last question.
    pub(crate) fn take_sent(&self) -> bool {
        self.sent.replace(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use runtime::net::TcpListener;

    /// What a server receives of what `write` sends.
    fn received(write: impl FnOnce(&Output) + 'static) -> Vec<u8> {
        let run = move || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let stream = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
            let (mut server, _) = listener.accept().expect("a client");
            let stream = Rc::new(stream);
            let writer = runtime::spawn(move || {
                let output = Output::new(stream.clone());
                write(&output);
                while output.listed.get() || output.draining.get() {
                    runtime::yield_now();
                }
                output.give_up();
            });
            let mut all = Vec::new();
            server.read_to_end(&mut all).expect("the client ends the stream");
            writer.join().expect("it does not panic");
            all
        };
        runtime::run(run).expect("no deadlock")
    }

    #[test]
    fn what_is_written_goes_out_at_the_turns_end() {
        assert_eq!(received(|output| output.write(|out| out.extend_from_slice(b"hello"))), b"hello");
    }

    #[test]
    fn a_thread_may_run_one_runtime_after_the_other() {
        for _ in 0..3 {
            assert_eq!(received(|output| output.write(|out| out.push(7))), [7]);
        }
    }

    #[test]
    fn a_full_socket_keeps_the_order() {
        let sent = 40 * 1024 * 1024;
        let all = received(move |output| {
            for number in 0..sent / 4 {
                let number = u32::try_from(number).expect("it is small");
                output.write(|out| out.extend_from_slice(&number.to_be_bytes()));
                output.wait_for_room();
            }
        });
        assert_eq!(all.len(), sent);
        let numbers = all.chunks_exact(4).map(|chunk| u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
        assert!(numbers.zip(0..).all(|(number, expected)| number == expected));
    }
}
