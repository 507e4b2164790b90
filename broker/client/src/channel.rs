//! A channel in the hands of its coroutine: opening, asking, closing.
//!
//! The other operations are in `declare`, `publish`, `consume` and `transaction`; all stand on [`Line::call`].

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use leveret_amqp::error::DecodeError;
use leveret_amqp::frame::write_method;
use leveret_amqp::method::{WireMethod, channel};
use leveret_amqp::table::{RawTable, Table};
use leveret_amqp::wire::SHORT_STRING_SIZE_MAX;

use crate::connection::Owner;
use crate::error::Error;
use crate::link::Link;
use crate::port::{Port, Reply};

/// An open channel. It belongs to one coroutine; a second one opens its own. Dropping it (and its consumers) closes it, and
/// what was delivered and not settled goes back to its queue.
///
/// Every call answers with the error that ended the channel, from then on.
pub struct Channel {
    pub(crate) line: Rc<Line>,
    /// Counts the consumers, to name them.
    pub(crate) consumers: Cell<u32>,
    /// Counts what was published, or since confirm_select.
    pub(crate) published: Cell<u64>,
}

/// A channel's way to the server, shared with its consumers.
pub(crate) struct Line {
    pub(crate) port: Rc<Port>,
    pub(crate) link: Rc<Link>,
    _owner: Rc<Owner>,
}

impl Channel {
    pub(crate) fn open(owner: Rc<Owner>) -> Result<Channel, Error> {
        let link = owner.link.clone();
        let port = link.add_port()?;
        let line = Rc::new(Line { port, link, _owner: owner });
        line.call(&channel::Open {})?;
        Ok(Channel { line, consumers: Cell::new(0), published: Cell::new(0) })
    }

    /// Closes the channel and waits until the server agrees. Its consumers end.
    ///
    /// # Errors
    /// Why it had ended otherwise before.
    pub fn close(self) -> Result<(), Error> {
        match self.line.call(&close_request()) {
            Ok(_) | Err(Error::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Its number on the connection, from 1.
    pub fn number(&self) -> u16 {
        self.line.port.number
    }

    /// Why it is over; `None` while it is open.
    pub fn failure(&self) -> Option<Error> {
        self.line.port.failure.borrow().clone()
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("number", &self.number()).field("failure", &self.failure()).finish()
    }
}

impl Line {
    /// Sends a request and waits for its answer.
    pub(crate) fn call(&self, request: &impl WireMethod) -> Result<Reply, Error> {
        if std::thread::panicking() {
            return Err(Error::Unwinding);
        }
        let number = self.ask(request)?;
        let reply = self.await_reply(number)?;
        if reply.name.strip_suffix("-ok") == Some(request.name()) || reply.name == "basic.get-empty" {
            Ok(reply)
        } else {
            Err(Error::UnexpectedReply { request: request.name(), reply: reply.name })
        }
    }

    /// Sends a request whose answer nobody waits for.
    pub(crate) fn ask(&self, request: &impl WireMethod) -> Result<u64, Error> {
        self.port.check()?;
        let number = self.port.ask();
        self.write(request);
        Ok(number)
    }

    /// Sends a method that has no answer.
    pub(crate) fn tell(&self, method: &impl WireMethod) -> Result<(), Error> {
        self.port.check()?;
        self.write(method);
        Ok(())
    }

    fn write(&self, method: &impl WireMethod) {
        self.link.output.write(|out| write_method(out, self.port.number, method));
    }

    fn await_reply(&self, number: u64) -> Result<Reply, Error> {
        let _waiting = self.link.wait_for_answer();
        loop {
            if let Some(reply) = self.port.answer(number) {
                return Ok(reply);
            }
            self.port.check()?;
            self.port.changed.clear();
            self.port.changed.wait();
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.ask(&close_request()).is_ok() {
            self.port.fail(&Error::Closed);
        }
    }
}

fn close_request() -> channel::Close<'static> {
    channel::Close { reply_code: 200, reply_text: "Goodbye", class_id: 0, method_id: 0 }
}

/// Checks that names fit short strings; the codec would cut them.
pub(crate) fn check_names(names: &[&str]) -> Result<(), Error> {
    let long = names.iter().find(|name| name.len() > SHORT_STRING_SIZE_MAX);
    long.map_or(Ok(()), |name| Err(Error::NameTooLong { size: name.len() }))
}

/// Arguments in the form in which they are sent.
pub(crate) struct Arguments(Vec<u8>);

impl Arguments {
    pub(crate) fn new(table: &Table) -> Arguments {
        Arguments(table.to_bytes())
    }

    pub(crate) fn raw(&self) -> Result<RawTable<'_>, Error> {
        RawTable::parse(&self.0).map_err(|error: DecodeError| Error::Arguments(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_amqp::table::TABLE_DEPTH_MAX;

    #[test]
    fn names_of_255_bytes_fit() {
        assert_eq!(check_names(&["q", &"x".repeat(255)]), Ok(()));
        assert_eq!(check_names(&["q", &"x".repeat(256)]), Err(Error::NameTooLong { size: 256 }));
    }

    #[test]
    fn arguments_nested_too_deeply_are_refused() {
        let nested = |depth| (1..depth).fold(Table::new(), |inner, _| Table::new().with("t", inner));
        assert!(Arguments::new(&nested(TABLE_DEPTH_MAX)).raw().is_ok());
        let deeper = Arguments::new(&nested(TABLE_DEPTH_MAX + 1));
        assert_eq!(deeper.raw(), Err(Error::Arguments(DecodeError::TooDeep)));
    }
}
