//! Consumers, deliveries, and settling them.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use leveret_amqp::frame::write_method;
use leveret_amqp::method::{WireMethod, basic};
use leveret_amqp::table::Table;
use leveret_runtime::sync::channel::{Receiver, RecvTimeoutError, TryRecvError, unbounded};

use crate::channel::{Arguments, Channel, Line, check_names};
use crate::error::Error;
use crate::link::{Held, Link};
use crate::message::{Got, Message};
use crate::port::{Port, Subscription, Value};

/// How to consume. The default: the client chooses the tag, deliveries are to be acknowledged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumeOptions {
    /// The consumer's tag on its channel; empty for one of the client's making.
    pub tag: String,
    /// Deliveries count as settled when they are sent; what is lost on the way is lost.
    pub no_ack: bool,
    /// Nobody else may consume from the queue.
    pub exclusive: bool,
    /// Such as `x-priority`.
    pub arguments: Table,
}

/// The deliveries of a queue, as they come; an iterator that waits.
///
/// It ends after [`Consumer::cancel`]; when the server ends it or the channel, the last item is the error. Dropped, it is cancelled,
/// and what it has not given out goes back to the queue.
pub struct Consumer {
    line: Rc<Line>,
    tag: Rc<str>,
    receiver: Receiver<Delivery>,
    no_ack: bool,
    /// By the server.
    cancelled: Rc<Cell<bool>>,
    /// By this side, or the end was told.
    over: Cell<bool>,
}

/// A message for a consumer. Unless it came with `no_ack` it has to be settled: [`ack`](Delivery::ack),
/// [`nack`](Delivery::nack) or [`reject`](Delivery::reject). Dropping it settles nothing; the server gives it to somebody else when the
/// channel ends.
pub struct Delivery {
    message: Message,
    tag: u64,
    redelivered: bool,
    consumer_tag: Rc<str>,
    port: Rc<Port>,
    link: Rc<Link>,
    /// Until its consumer takes it.
    held: Option<Held>,
}

impl Channel {
    /// Starts a consumer.
    ///
    /// # Errors
    /// 404 when there is no such queue, 403 when somebody consumes exclusively, 405 when it is another connection's own.
    pub fn consume(&self, queue: &str, options: &ConsumeOptions) -> Result<Consumer, Error> {
        check_names(&[queue, &options.tag])?;
        let arguments = Arguments::new(&options.arguments);
        let tag: Rc<str> = if options.tag.is_empty() { self.next_tag().into() } else { options.tag.as_str().into() };
        let request = basic::Consume {
            queue,
            consumer_tag: &tag,
            no_local: false,
            no_ack: options.no_ack,
            exclusive: options.exclusive,
            nowait: false,
            arguments: arguments.raw()?,
        };
        let (sender, receiver) = unbounded();
        let cancelled = Rc::new(Cell::new(false));
        let subscription = Subscription {
            tag: tag.clone(),
            no_ack: options.no_ack,
            sender: Some(sender),
            cancelled: cancelled.clone(),
        };
        // Before the request: deliveries may follow the answer in the same segment. A tag in use is the server's to refuse.
        self.line.port.consumers.borrow_mut().entry(tag.to_string()).or_insert(subscription);
        let line = self.line.clone();
        let consumer =
            Consumer { line, tag: tag.clone(), receiver, no_ack: options.no_ack, cancelled, over: Cell::new(false) };
        self.line.call(&request)?;
        Ok(consumer)
    }

    fn next_tag(&self) -> String {
        self.consumers.set(self.consumers.get() + 1);
        format!("leveret-{}", self.consumers.get())
    }

    /// Limits how many deliveries may be unsettled: of each consumer that is started from now on, or of the whole channel if
    /// `global`. 0 is no limit.
    ///
    /// # Errors
    /// Why the channel is over.
    pub fn qos(&self, prefetch_count: u16, global: bool) -> Result<(), Error> {
        self.line.call(&basic::Qos { prefetch_size: 0, prefetch_count, global }).map(drop)
    }

    /// Takes one message, if there is one. It is settled by its tag: [`Channel::ack`].
    ///
    /// # Errors
    /// 404 when there is no such queue.
    pub fn get(&self, queue: &str, no_ack: bool) -> Result<Option<Got>, Error> {
        check_names(&[queue])?;
        let reply = self.line.call(&basic::Get { queue, no_ack })?;
        match reply.value {
            Value::Got(got) => Ok(Some(*got)),
            _ => Ok(None),
        }
    }

    /// Acknowledges a delivery tag, or with `multiple` all up to it.
    ///
    /// # Errors
    /// Why the channel is over. An unknown tag closes it later, with 406.
    pub fn ack(&self, delivery_tag: u64, multiple: bool) -> Result<(), Error> {
        self.line.tell(&basic::Ack { delivery_tag, multiple })
    }

    /// Gives a delivery back (`requeue`) or drops it, or with `multiple` all up to it. RabbitMQ's addition.
    ///
    /// # Errors
    /// As [`Channel::ack`].
    pub fn nack(&self, delivery_tag: u64, multiple: bool, requeue: bool) -> Result<(), Error> {
        self.line.tell(&basic::Nack { delivery_tag, multiple, requeue })
    }

    /// Gives one delivery back (`requeue`) or drops it.
    ///
    /// # Errors
    /// As [`Channel::ack`].
    pub fn reject(&self, delivery_tag: u64, requeue: bool) -> Result<(), Error> {
        self.line.tell(&basic::Reject { delivery_tag, requeue })
    }

    /// Puts everything unsettled of this channel back into its queues, to be delivered again.
    ///
    /// # Errors
    /// Why the channel is over.
    pub fn recover(&self) -> Result<(), Error> {
        self.line.call(&basic::Recover { requeue: true }).map(drop)
    }
}

impl Consumer {
    /// Its tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Waits at most `limit` for the next delivery; `None` if none came or the consumer has ended.
    ///
    /// # Errors
    /// As the iterator.
    pub fn next_timeout(&mut self, limit: Duration) -> Result<Option<Delivery>, Error> {
        match self.receiver.recv_timeout(limit) {
            Ok(delivery) => Ok(Some(delivery.given_out())),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => self.end().map_or(Ok(None), Err),
            Err(RecvTimeoutError::Unwinding) => Err(Error::Unwinding),
        }
    }

    /// The next delivery if it is there already.
    ///
    /// # Errors
    /// As the iterator.
    pub fn try_next(&mut self) -> Result<Option<Delivery>, Error> {
        match self.receiver.try_recv() {
            Ok(delivery) => Ok(Some(delivery.given_out())),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => self.end().map_or(Ok(None), Err),
        }
    }

    /// Where its deliveries arrive, to wait for them and other things at once.
    pub(crate) fn receiver(&self) -> &Receiver<Delivery> {
        &self.receiver
    }

    /// Ends the consumer at the server. Deliveries that have arrived are still given out, then the iteration ends.
    ///
    /// # Errors
    /// Why the channel is over.
    pub fn cancel(&self) -> Result<(), Error> {
        if self.over.replace(true) {
            return Ok(());
        }
        self.line.call(&basic::Cancel { consumer_tag: &self.tag, nowait: false }).map(drop)
    }

    /// Why no more deliveries come, told once; `None` if this side ended it.
    fn end(&self) -> Option<Error> {
        if self.over.replace(true) {
            return None;
        }
        let failure = self.line.port.failure.borrow().clone();
        failure.or_else(|| self.cancelled.get().then_some(Error::Cancelled)).filter(|error| *error != Error::Closed)
    }

    /// What was not given out goes back to the queue, in its old place.
    fn give_back(&self) {
        while let Ok(delivery) = self.receiver.try_recv() {
            if !self.no_ack {
                let _ = delivery.reject(true);
            }
        }
    }
}

impl Iterator for Consumer {
    type Item = Result<Delivery, Error>;

    /// Waits for the next delivery.
    fn next(&mut self) -> Option<Result<Delivery, Error>> {
        match self.receiver.recv() {
            Ok(delivery) => Some(Ok(delivery.given_out())),
            Err(_) => self.end().map(Err),
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(subscription) = self.line.port.consumers.borrow_mut().get_mut(&*self.tag)
            && Rc::ptr_eq(&subscription.tag, &self.tag)
        {
            subscription.sender = None;
        } else {
            return self.give_back(); // it has ended
        }
        if !self.over.get() {
            let _ = self.line.ask(&basic::Cancel { consumer_tag: &self.tag, nowait: false });
        }
        self.give_back();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("tag", &self.tag)
            .field("waiting", &self.receiver.len())
            .finish_non_exhaustive()
    }
}

impl Delivery {
    pub(crate) fn new(
        message: Message,
        deliver: &basic::Deliver<'_>,
        subscription: &Subscription,
        port: &Rc<Port>,
        link: &Rc<Link>,
    ) -> Delivery {
        let held = link.hold(message.size());
        Delivery {
            message,
            tag: deliver.delivery_tag,
            redelivered: deliver.redelivered,
            consumer_tag: subscription.tag.clone(),
            port: port.clone(),
            link: link.clone(),
            held: Some(held),
        }
    }

    fn given_out(mut self) -> Delivery {
        self.held = None;
        self
    }

    /// The message; a delivery can be used as one.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Its delivery tag, from 1 per channel.
    pub fn delivery_tag(&self) -> u64 {
        self.tag
    }

    /// Whether it was delivered before, perhaps to somebody else.
    pub fn redelivered(&self) -> bool {
        self.redelivered
    }

    /// The consumer that it came for.
    pub fn consumer_tag(&self) -> &str {
        &self.consumer_tag
    }

    /// It is done: the server forgets it.
    ///
    /// # Errors
    /// Why the channel is over; the message will be delivered again then.
    pub fn ack(self) -> Result<(), Error> {
        self.settle(&basic::Ack { delivery_tag: self.tag, multiple: false })
    }

    /// This one and all before it on the channel are done.
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    pub fn ack_multiple(self) -> Result<(), Error> {
        self.settle(&basic::Ack { delivery_tag: self.tag, multiple: true })
    }

    /// Gives it back (`requeue`), or has it dropped or dead-lettered. RabbitMQ's addition.
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    pub fn nack(self, requeue: bool) -> Result<(), Error> {
        self.settle(&basic::Nack { delivery_tag: self.tag, multiple: false, requeue })
    }

    /// As [`Delivery::nack`], in the words of AMQP 0-9-1.
    ///
    /// # Errors
    /// As [`Delivery::ack`].
    pub fn reject(self, requeue: bool) -> Result<(), Error> {
        self.settle(&basic::Reject { delivery_tag: self.tag, requeue })
    }

    fn settle(&self, method: &impl WireMethod) -> Result<(), Error> {
        self.port.check()?;
        self.link.output.write(|out| write_method(out, self.port.number, method));
        Ok(())
    }
}

impl Deref for Delivery {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("delivery_tag", &self.tag)
            .field("redelivered", &self.redelivered)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}
