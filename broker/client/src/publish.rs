//! Publishing, confirms and returned messages.

use std::ops::Deref;

use leveret_amqp::frame::write_content;
use leveret_amqp::method::{basic, confirm};
use leveret_amqp::properties::Properties;

use crate::channel::{Channel, check_names};
use crate::confirms::{Confirms, Outcome};
use crate::error::Error;
use crate::message::Returned;

/// Which message of its channel: 1 for the first one after [`Channel::confirm_select`] (or after the opening, without).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishNumber(pub(crate) u64);

impl Deref for PublishNumber {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.0
    }
}

impl Channel {
    /// Publishes a message. It is sent at the end of the turn, with everything else of the connection; only when much is piled
    /// up does this wait for the socket.
    ///
    /// Whether the server has it is what confirms are for: without them `Ok` means "on its way".
    ///
    /// # Errors
    /// Why the channel is over. A wrong exchange or a message that is too large closes the channel *later*.
    pub fn publish(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: &Properties<'_>,
        body: &[u8],
    ) -> Result<PublishNumber, Error> {
        let publish = basic::Publish { exchange, routing_key, mandatory: false, immediate: false };
        self.send(&publish, properties, body)
    }

    /// As [`Channel::publish`]; if no queue takes it, it comes back ([`Channel::take_returned`]), before its confirm.
    ///
    /// # Errors
    /// As [`Channel::publish`].
    pub fn publish_mandatory(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: &Properties<'_>,
        body: &[u8],
    ) -> Result<PublishNumber, Error> {
        let publish = basic::Publish { exchange, routing_key, mandatory: true, immediate: false };
        self.send(&publish, properties, body)
    }

    fn send(
        &self,
        publish: &basic::Publish<'_>,
        properties: &Properties<'_>,
        body: &[u8],
    ) -> Result<PublishNumber, Error> {
        check_names(&[publish.exchange, publish.routing_key])?;
        let (port, link) = (&self.line.port, &self.line.link);
        port.check()?;
        if let Some(confirms) = &mut *port.confirms.borrow_mut() {
            confirms.publish();
        }
        let frame_max = link.negotiated().frame_max;
        link.output.write(|out| write_content(out, port.number, frame_max, publish, properties, body));
        let number = self.published.get() + 1;
        self.published.set(number);
        link.output.wait_for_room();
        Ok(PublishNumber(number))
    }

    // ---- confirms

    /// Has the server confirm what is published from now on. Once is enough; again changes nothing.
    ///
    /// # Errors
    /// 406 on a transactional channel.
    pub fn confirm_select(&self) -> Result<(), Error> {
        self.line.call(&confirm::Select { nowait: false })?;
        let mut confirms = self.line.port.confirms.borrow_mut();
        if confirms.is_none() {
            *confirms = Some(Confirms::new());
            self.published.set(0);
        }
        Ok(())
    }

    /// Has `observer` called with the number and outcome of each message, at the moment its confirm is read. It runs in the
    /// reader: it must not wait, and not use this channel.
    pub fn on_confirm(&self, observer: impl FnMut(u64, Outcome) + 'static) {
        self.line.port.observe_confirms(Box::new(observer));
    }

    /// How many messages are not confirmed yet.
    pub fn unconfirmed(&self) -> usize {
        self.line.port.confirms.borrow().as_ref().map_or(0, Confirms::open_count)
    }

    /// Waits for the confirm of one message.
    ///
    /// # Errors
    /// [`Error::NotInConfirmMode`], or why the channel is over: then nobody knows what became of the message.
    pub fn wait_for_confirm(&self, number: PublishNumber) -> Result<Outcome, Error> {
        self.wait_confirms(|confirms| !confirms.is_open(number.0))?;
        let was_nacked = self.with_confirms(|confirms| confirms.take_nacked_one(number.0))?;
        Ok(if was_nacked { Outcome::Nacked } else { Outcome::Acked })
    }

    /// Waits until everything published is confirmed; answers the numbers that were nacked since the last question.
    ///
    /// # Errors
    /// As [`Channel::wait_for_confirm`].
    pub fn wait_for_confirms(&self) -> Result<Vec<PublishNumber>, Error> {
        self.wait_confirms(|confirms| confirms.open_count() == 0)?;
        let nacked = self.with_confirms(Confirms::take_nacked)?;
        Ok(nacked.into_iter().map(PublishNumber).collect())
    }

    /// Waits until fewer than `limit` messages are unconfirmed: how a publisher keeps a window open.
    ///
    /// # Errors
    /// As [`Channel::wait_for_confirm`].
    pub fn wait_for_confirms_below(&self, limit: usize) -> Result<(), Error> {
        self.wait_confirms(|confirms| confirms.open_count() < limit.max(1))
    }

    fn wait_confirms(&self, done: impl Fn(&Confirms) -> bool) -> Result<(), Error> {
        let port = &self.line.port;
        if self.with_confirms(|confirms| done(confirms))? {
            return Ok(());
        }
        if std::thread::panicking() {
            return Err(Error::Unwinding);
        }
        let _waiting = self.line.link.wait_for_answer();
        while !self.with_confirms(|confirms| done(confirms))? {
            port.check()?;
            port.changed.clear();
            port.changed.wait();
        }
        Ok(())
    }

    fn with_confirms<T>(&self, f: impl FnOnce(&mut Confirms) -> T) -> Result<T, Error> {
        self.line.port.confirms.borrow_mut().as_mut().map(f).ok_or(Error::NotInConfirmMode)
    }

    // ---- returned messages

    /// The oldest mandatory message that came back and was not asked for yet. The newest 1024 are kept.
    pub fn take_returned(&self) -> Option<Returned> {
        self.line.port.returned.borrow_mut().pop_front()
    }

    /// How many came back since the channel was opened.
    pub fn returned_count(&self) -> u64 {
        self.line.port.returned_count.get()
    }
}
