//! What the reader leaves for a channel: answers, deliveries, confirms, returned messages, and the end.
//!
//! ```text
//!   Open ── close sent ──► Closing ── close-ok ──► gone
//!     └──── channel.close from the server, or the connection's end ──► gone, with the error for all calls
//! ```
//!
//! Answers on one channel come in the order of the requests, so counting both tells whose answer it is. A request whose
//! caller was cut short is counted all the same; its answer is dropped.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use leveret_amqp::client::Content;
use leveret_amqp::frame::write_method;
use leveret_amqp::method::{Method, WireMethod, basic, channel};
use leveret_runtime::sync::Event;
use leveret_runtime::sync::channel::Sender;

use crate::confirms::{Confirms, Outcome};
use crate::consume::Delivery;
use crate::error::{Close, Error};
use crate::link::Link;
use crate::message::{Got, Message, Returned};

/// Returned messages that are kept until the caller asks; the oldest go first.
const RETURNED_MAX: usize = 1024;

/// An answer of the server, as far as anybody asks what it says.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its name, such as `queue.declare-ok`.
    pub(crate) name: &'static str,
    pub(crate) value: Value,
}

/// What an answer says.
#[derive(Debug)]
pub(crate) enum Value {
    Nothing,
    Declared { queue: String, message_count: u32, consumer_count: u32 },
    Count(u32),
    Got(Box<Got>),
}

/// Where the deliveries of a consumer go.
pub(crate) struct Subscription {
    pub(crate) tag: Rc<str>,
    pub(crate) no_ack: bool,
    /// `None` once its owner is gone: what still comes is given back.
    pub(crate) sender: Option<Sender<Delivery>>,
    /// Set before the sender is dropped if the server ended it.
    pub(crate) cancelled: Rc<Cell<bool>>,
}

type ConfirmObserver = Box<dyn FnMut(u64, Outcome)>;

/// A channel as its owner and the reader share it.
pub(crate) struct Port {
    pub(crate) number: u16,
    asked: Cell<u64>,
    answered: Cell<u64>,
    /// The answer to the latest request.
    reply: RefCell<Option<Reply>>,
    /// Set whenever anything here changes.
    pub(crate) changed: Event,
    pub(crate) failure: RefCell<Option<Error>>,
    pub(crate) consumers: RefCell<BTreeMap<String, Subscription>>,
    pub(crate) confirms: RefCell<Option<Confirms>>,
    observer: RefCell<Option<ConfirmObserver>>,
    pub(crate) returned: RefCell<VecDeque<Returned>>,
    /// Returned messages since the channel was opened.
    pub(crate) returned_count: Cell<u64>,
}

impl Port {
    pub(crate) fn new(number: u16) -> Rc<Port> {
        Rc::new(Port {
            number,
            asked: Cell::new(0),
            answered: Cell::new(0),
            reply: RefCell::default(),
            changed: Event::new(),
            failure: RefCell::default(),
            consumers: RefCell::default(),
            confirms: RefCell::default(),
            observer: RefCell::default(),
            returned: RefCell::default(),
            returned_count: Cell::new(0),
        })
    }

    /// Why it cannot be used any more.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }

    // ---- the owner's side

    /// Counts a request that is being sent, and forgets an answer that nobody fetched.
    pub(crate) fn ask(&self) -> u64 {
        self.reply.take();
        self.asked.set(self.asked.get() + 1);
        self.asked.get()
    }

    /// The answer to the request with this number, if it has come.
    pub(crate) fn answer(&self, request: u64) -> Option<Reply> {
        if self.answered.get() >= request { self.reply.take() } else { None }
    }

    pub(crate) fn observe_confirms(&self, observer: ConfirmObserver) {
        self.observer.replace(Some(observer));
    }

    // ---- the reader's side

    /// Takes a method that came on this channel.
    pub(crate) fn take_method(&self, method: &Method<'_>, link: &Link) {
        match method {
            Method::BasicAck(ack) => self.settle(ack.delivery_tag, ack.multiple, Outcome::Acked),
            Method::BasicNack(nack) => self.settle(nack.delivery_tag, nack.multiple, Outcome::Nacked),
            Method::BasicCancel(cancel) => self.cancel(cancel, link),
            Method::ChannelFlow(flow) => {
                // RabbitMQ has not sent it since version 2; the answer is a formality, publishers wait for the socket anyway.
                link.output.write(|out| write_method(out, self.number, &channel::FlowOk { active: flow.active }));
            }
            Method::BasicCancelOk(done) => {
                self.consumers.borrow_mut().remove(done.consumer_tag);
                self.reply(Reply { name: method.name(), value: Value::Nothing });
            }
            Method::QueueDeclareOk(ok) => {
                let queue = ok.queue.to_owned();
                let value =
                    Value::Declared { queue, message_count: ok.message_count, consumer_count: ok.consumer_count };
                self.reply(Reply { name: method.name(), value });
            }
            Method::QueuePurgeOk(ok) => {
                self.reply(Reply { name: method.name(), value: Value::Count(ok.message_count) })
            }
            Method::QueueDeleteOk(ok) => {
                self.reply(Reply { name: method.name(), value: Value::Count(ok.message_count) });
            }
            _ => self.reply(Reply { name: method.name(), value: Value::Nothing }),
        }
    }

    /// Takes a message.
    pub(crate) fn take_content(self: &Rc<Self>, content: &Content<'_>, link: &Rc<Link>) {
        match content.method() {
            Ok(Method::BasicDeliver(deliver)) => self.deliver(&deliver, content, link),
            Ok(Method::BasicGetOk(got)) => {
                let got = Got::new(&got, &content.properties, &content.body);
                self.reply(Reply { name: "basic.get-ok", value: Value::Got(Box::new(got)) });
            }
            Ok(Method::BasicReturn(returned)) => {
                self.take_returned(Returned::new(&returned, &content.properties, &content.body));
            }
            _ => log::warn!("channel {}: a content that belongs to no method of the server's", self.number),
        }
    }

    /// Ends it: every call answers with `error` from now on.
    pub(crate) fn fail(&self, error: &Error) {
        self.failure.borrow_mut().get_or_insert_with(|| error.clone());
        let consumers = std::mem::take(&mut *self.consumers.borrow_mut());
        drop(consumers); // their iterators end, and find the failure
        self.changed.set();
    }

    fn reply(&self, reply: Reply) {
        if self.answered.get() == self.asked.get() {
            return log::warn!("channel {}: {} answers nothing that was asked", self.number, reply.name);
        }
        self.answered.set(self.answered.get() + 1);
        if self.answered.get() == self.asked.get() {
            self.reply.replace(Some(reply));
            self.changed.set();
        }
    }

    fn settle(&self, tag: u64, multiple: bool, outcome: Outcome) {
        let mut observer = self.observer.borrow_mut();
        if let Some(confirms) = &mut *self.confirms.borrow_mut() {
            confirms.settle(tag, multiple, outcome, |number| {
                if let Some(observer) = &mut *observer {
                    observer(number, outcome);
                }
            });
        }
        self.changed.set();
    }

    /// The server ended a consumer.
    fn cancel(&self, cancel: &basic::Cancel<'_>, link: &Link) {
        let subscription = self.consumers.borrow_mut().remove(cancel.consumer_tag);
        if let Some(subscription) = subscription {
            subscription.cancelled.set(true);
        }
        if !cancel.nowait {
            let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag };
            link.output.write(|out| write_method(out, self.number, &ok));
        }
    }

    fn deliver(self: &Rc<Self>, deliver: &basic::Deliver<'_>, content: &Content<'_>, link: &Rc<Link>) {
        let consumers = self.consumers.borrow();
        let Some(subscription) = consumers.get(deliver.consumer_tag) else {
            return log::warn!("channel {}: a delivery for nobody", self.number);
        };
        let message = Message::new(deliver.exchange, deliver.routing_key, &content.properties, &content.body);
        let delivery = Delivery::new(message, deliver, subscription, self, link);
        let left = match &subscription.sender {
            Some(sender) => sender.try_send(delivery).is_err(),
            None => true,
        };
        if left && !subscription.no_ack {
            let reject = basic::Reject { delivery_tag: deliver.delivery_tag, requeue: true };
            link.output.write(|out| write_method(out, self.number, &reject));
        }
    }

    fn take_returned(&self, returned: Returned) {
        let mut kept = self.returned.borrow_mut();
        if kept.len() == RETURNED_MAX {
            kept.pop_front();
        }
        kept.push_back(returned);
        self.returned_count.set(self.returned_count.get() + 1);
        drop(kept);
        self.changed.set();
    }
}

/// What channel.close means for the calls on the channel.
pub(crate) fn closed_by_server(close: &channel::Close<'_>) -> Error {
    Error::ChannelClosed(Close::from(close))
}
