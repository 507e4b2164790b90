//! One connection as all its channels share it: the protocol machine, the reader coroutine, the ports, and the end.
//!
//! The reader takes whatever comes and hands it to ports without ever waiting for one of them. It stops reading only while
//! deliveries of more than [`HELD_SIZE_MAX`] bytes wait for their consumers *and* nobody waits for an answer: a consumer that
//! asks something while handling a message must get its answer past the other deliveries.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use leveret_amqp::client::{self, Connection as Machine, Event as Received};
use leveret_amqp::frame::{write_heartbeat, write_method};
use leveret_amqp::method::{Method, channel};
use leveret_amqp::server::Negotiated;
use leveret_runtime as runtime;
use runtime::net::TcpStream;
use runtime::sync::{Event, OnceResult};

use crate::error::{Close, Error};
use crate::heartbeat::{Due, Heartbeat, LOOKS_PER_INTERVAL};
use crate::numbers::Numbers;
use crate::output::Output;
use crate::port::{Port, closed_by_server};

/// Bytes of deliveries that wait for their consumers above which the reader pauses.
const HELD_SIZE_MAX: usize = 64 * 1024 * 1024;

/// Room for a read that completes a frame.
const READ_MIN: usize = 16 * 1024;

/// See the module.
pub(crate) struct Link {
    pub(crate) output: Rc<Output>,
    stream: Rc<TcpStream>,
    machine: RefCell<Machine>,
    ports: RefCell<BTreeMap<u16, Rc<Port>>>,
    numbers: RefCell<Numbers>,
    /// How the handshake went.
    pub(crate) ready: OnceResult<Result<Negotiated, Error>>,
    failure: RefCell<Option<Error>>,
    /// Set when there is a failure.
    pub(crate) ended: Event,
    /// The server's reason to take no publishes at the moment.
    pub(crate) blocked: RefCell<Option<String>>,
    /// Something was received since the heartbeat last looked.
    received: Cell<bool>,
    held_size: Cell<usize>,
    waiting_count: Cell<usize>,
    /// The reader waits for this while it pauses.
    may_read: Event,
    is_paused: Cell<bool>,
}

impl Link {
    /// Starts the handshake and the reader on a connected socket.
    pub(crate) fn start(stream: TcpStream, options: client::Options) -> io::Result<Rc<Link>> {
        let stream = Rc::new(stream);
        let output = Output::new(stream.clone());
        let machine = output.write(|out| Machine::open(options, out));
        let link = Rc::new(Link {
            output,
            stream,
            machine: RefCell::new(machine),
            ports: RefCell::default(),
            numbers: RefCell::default(),
            ready: OnceResult::new(),
            failure: RefCell::default(),
            ended: Event::new(),
            blocked: RefCell::default(),
            received: Cell::new(false),
            held_size: Cell::new(0),
            waiting_count: Cell::new(0),
            may_read: Event::new(),
            is_paused: Cell::new(false),
        });
        let reader = Reader(link.clone());
        drop(runtime::Builder::new().name("amqp reader").spawn(move || reader.run())?);
        Ok(link)
    }

    /// Starts the heartbeat; `interval` in seconds, 0 for none.
    pub(crate) fn keep_alive(self: &Rc<Self>, interval: u16) -> io::Result<()> {
        if interval == 0 {
            return Ok(());
        }
        let (link, interval) = (self.clone(), Duration::from_secs(interval.into()));
        runtime::Builder::new().name("amqp heartbeat").spawn(move || link.beat(interval)).map(drop)
    }

    /// What was agreed.
    pub(crate) fn negotiated(&self) -> Negotiated {
        self.machine.borrow().negotiated()
    }

    /// Why it is over, if it is.
    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.borrow().clone()
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failure().map_or(Ok(()), Err)
    }

    /// Sends connection.close; the reader ends with the answer.
    pub(crate) fn close(&self) {
        if self.ready.is_set() {
            self.output.write(|out| self.machine.borrow_mut().close(out));
            self.may_read.set();
        } else {
            self.end(&Error::Closed);
        }
    }

    /// The end, whoever found it; the first reason counts.
    pub(crate) fn end(&self, error: &Error) {
        if self.failure.borrow().is_some() {
            return;
        }
        self.failure.replace(Some(error.clone()));
        let _ = self.ready.set(Err(error.clone()));
        let ports = std::mem::take(&mut *self.ports.borrow_mut());
        ports.values().for_each(|port| port.fail(error));
        self.may_read.set();
        self.ended.set();
        self.output.finish();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    // ---- channels

    /// Gives a new channel its number and its port.
    pub(crate) fn add_port(&self) -> Result<Rc<Port>, Error> {
        self.check()?;
        let channel_max = self.negotiated().channel_max;
        let number = self.numbers.borrow_mut().take(channel_max).ok_or(Error::NoChannelLeft { channel_max })?;
        let port = Port::new(number);
        self.ports.borrow_mut().insert(number, port.clone());
        Ok(port)
    }

    fn port(&self, number: u16) -> Option<Rc<Port>> {
        self.ports.borrow().get(&number).cloned()
    }

    fn remove_port(&self, number: u16) {
        if self.ports.borrow_mut().remove(&number).is_some() {
            self.numbers.borrow_mut().put(number);
        }
    }

    // ---- whether to read on

    /// For as long as the value lives, somebody waits for an answer.
    pub(crate) fn wait_for_answer(&self) -> Waiting<'_> {
        self.waiting_count.set(self.waiting_count.get() + 1);
        self.may_read.set();
        Waiting(self)
    }

    /// Accounts for a delivery until its consumer takes it.
    pub(crate) fn hold(self: &Rc<Self>, size: usize) -> Held {
        self.held_size.set(self.held_size.get() + size);
        Held { link: self.clone(), size }
    }

    fn must_pause(&self) -> bool {
        self.held_size.get() > HELD_SIZE_MAX && self.waiting_count.get() == 0 && !self.ended.is_set()
    }

    fn pause_if_full(&self) {
        if !self.must_pause() {
            return;
        }
        self.is_paused.set(true);
        while self.must_pause() {
            self.may_read.clear();
            self.may_read.wait();
        }
        self.is_paused.set(false);
    }

    // ---- the heartbeat

    fn beat(&self, interval: Duration) {
        let mut heartbeat = Heartbeat::default();
        while !self.ended.wait_timeout(interval / LOOKS_PER_INTERVAL) {
            let received = self.received.replace(false) || self.is_paused.get();
            match heartbeat.look(self.output.take_sent(), received) {
                Due::Nothing => {}
                Due::Send => self.output.write(write_heartbeat),
                Due::GiveUp => self.end(&Error::HeartbeatMissed { interval }),
            }
        }
    }

    // ---- what comes

    /// Handles all that is complete; answers how many bytes that was, and how many the next frame needs.
    fn handle(self: &Rc<Self>, input: &[u8]) -> Result<(usize, usize), Error> {
        let mut done = 0;
        loop {
            let rest = input.get(done..).unwrap_or_default();
            let step = self.output.write(|out| self.machine.borrow_mut().receive(rest, out));
            done += step.consumed;
            match step.event {
                Received::NeedInput { size } => return Ok((done, size)),
                event => self.take(event)?,
            }
        }
    }

    fn take(self: &Rc<Self>, event: Received<'_>) -> Result<(), Error> {
        match event {
            Received::NeedInput { .. } | Received::Heartbeat => Ok(()),
            Received::Ready(negotiated) => {
                let _ = self.ready.set(Ok(negotiated));
                Ok(())
            }
            Received::Content(content) => {
                if let Some(port) = self.port(content.channel) {
                    port.take_content(&content, self);
                }
                Ok(())
            }
            Received::Method { channel: 0, method } => {
                self.take_connection_method(&method);
                Ok(())
            }
            Received::Method { channel, method } => {
                self.take_method(channel, &method);
                Ok(())
            }
            Received::Refused(header) => Err(Error::OtherProtocol(header)),
            Received::Closed(close) => Err(Error::ConnectionClosed(Close::from(&close))),
            Received::CloseOk => Err(Error::Closed),
            Received::Fault(error) => Err(Error::Protocol(error)),
        }
    }

    fn take_connection_method(&self, method: &Method<'_>) {
        match method {
            Method::ConnectionBlocked(blocked) => {
                log::warn!("the server blocks publishing: {}", blocked.reason);
                self.blocked.replace(Some(blocked.reason.to_owned()));
            }
            Method::ConnectionUnblocked(_) => drop(self.blocked.take()),
            _ => {}
        }
    }

    fn take_method(&self, number: u16, method: &Method<'_>) {
        let Some(port) = self.port(number) else { return };
        match method {
            Method::ChannelClose(close) => self.take_channel_close(&port, close),
            Method::ChannelCloseOk(_) => {
                port.fail(&Error::Closed);
                self.remove_port(number);
            }
            method => port.take_method(method, self),
        }
    }

    /// Answers, and frees the number; but when our own close is under way, its close-ok is still to come.
    fn take_channel_close(&self, port: &Port, close: &channel::Close<'_>) {
        self.output.write(|out| write_method(out, port.number, &channel::CloseOk {}));
        if port.check().is_ok() {
            port.fail(&closed_by_server(close));
            self.remove_port(port.number);
        }
    }
}

/// The reading coroutine. However it ends, the connection ends with it.
struct Reader(Rc<Link>);

impl Reader {
    fn run(self) {
        let mut pending = Vec::new();
        loop {
            let read = if pending.is_empty() { self.read(&mut pending) } else { self.read_more(&mut pending) };
            if let Err(error) = read {
                return self.0.end(&error);
            }
            self.0.pause_if_full();
        }
    }

    /// Reads into a lent buffer; keeps what is not complete.
    fn read(&self, pending: &mut Vec<u8>) -> Result<(), Error> {
        self.0.stream.read_with(|bytes| {
            self.note(bytes.len())?;
            let (done, _) = self.0.handle(bytes)?;
            pending.extend_from_slice(bytes.get(done..).unwrap_or_default());
            Ok(())
        })?
    }

    /// Completes a frame of which a part is there.
    fn read_more(&self, pending: &mut Vec<u8>) -> Result<(), Error> {
        let (done, wanted) = self.0.handle(pending)?;
        if done > 0 {
            pending.drain(..done);
            return Ok(());
        }
        let had = pending.len();
        pending.resize(wanted.max(had + READ_MIN), 0);
        let read = io::Read::read(&mut &*self.0.stream, pending.get_mut(had..).unwrap_or_default());
        pending.truncate(had + *read.as_ref().unwrap_or(&0));
        self.note(read?)?;
        let (done, _) = self.0.handle(pending)?;
        pending.drain(..done);
        Ok(())
    }

    fn note(&self, count: usize) -> Result<(), Error> {
        if count > 0 {
            self.0.received.set(true);
            return Ok(());
        }
        let text = "the server closed the socket without a word";
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.end(&Error::Closed);
    }
}

/// See [`Link::wait_for_answer`].
pub(crate) struct Waiting<'l>(&'l Link);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting_count.set(self.0.waiting_count.get() - 1);
    }
}

/// See [`Link::hold`].
pub(crate) struct Held {
    link: Rc<Link>,
    size: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        let link = &self.link;
        link.held_size.set(link.held_size.get() - self.size);
        if link.is_paused.get() && link.held_size.get() <= HELD_SIZE_MAX / 2 {
            link.may_read.set();
        }
    }
}
