//! basic.publish: checks in RabbitMQ's order, one immutable message, routed on this shard's replica.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use leveret_amqp::error::ProtocolError;
use leveret_amqp::frame::write_content;
use leveret_amqp::method::basic;
use leveret_amqp::properties::{BasicProperties, Properties};
use leveret_amqp::reply::ReplyCode;
use leveret_amqp::server::Publish;
use leveret_amqp::table::RawTable;
use leveret_amqp::value::FieldValue;
use leveret_core::exchange::Destination;
use leveret_core::message::Message;
use leveret_core::queue::settings::TIME_LIMIT_MS;
use leveret_core::topology::{Aside, Publish as Route, PublishPoint};

use super::channel::{Channel, Mode, Outcome, not_implemented};
use super::editor;
use super::errors::explain;
use super::reply_to;
use super::transaction::{held_bytes, hold};
use crate::shard::address::QueueAddress;
use crate::shard::flow::MAIL_COST;
use crate::shard::queues::{Command, Taken};
use crate::shard::stored::Who;

/// What a channel keeps from one publish to the next.
#[derive(Default)]
pub(super) struct Scratch {
    destinations: Vec<Destination>,
    aside: Aside,
    route: LastRoute,
}

/// What led to the destinations of the publish before; mostly the next one is like it.
#[derive(Default)]
struct LastRoute {
    /// The topology's, if they hold for the next publish at all.
    epoch: Option<u64>,
    exchange: String,
    key: String,
}

impl LastRoute {
    #[inline]
    fn is_that_of(&self, publish: &Publish<'_>, epoch: u64) -> bool {
        self.epoch == Some(epoch) && *self.key == *publish.routing_key && *self.exchange == *publish.exchange
    }

    fn remember(&mut self, publish: &Publish<'_>, epoch: u64) {
        self.epoch = Some(epoch);
        self.key.clear();
        self.key.push_str(&publish.routing_key);
        if *self.exchange != *publish.exchange {
            self.exchange.clear();
            self.exchange.push_str(&publish.exchange);
        }
    }
}

/// What the broker reads in the properties of most messages.
static NOTHING_READ: Reading =
    Reading { expiration_ms: None, cc: Vec::new(), bcc: Vec::new(), filter_value: None, rewritten: None };

/// What the broker reads in a message's properties.
#[derive(Default)]
struct Reading {
    expiration_ms: Option<u64>,
    cc: Vec<Box<str>>,
    bcc: Vec<Box<str>>,
    /// The header x-stream-filter-value.
    filter_value: Option<Box<[u8]>>,
    /// Bytes to store instead of the client's, if something had to change.
    rewritten: Option<Vec<u8>>,
}

impl Channel {
    pub(super) fn publish(self: &Rc<Self>, publish: &Publish<'_>) -> Outcome {
        self.publish_checked(publish).map_err(|error| error.blame_ids(60, 40))
    }

    fn publish_checked(self: &Rc<Self>, publish: &Publish<'_>) -> Outcome {
        if publish.immediate {
            return Err(not_implemented("immediate=true"));
        }
        self.may_publish(&publish.exchange)?;
        let topology = self.link.shard.topology.borrow();
        let mut scratch = self.scratch.borrow_mut();
        if publish.properties.are_plain() && scratch.route.is_that_of(publish, topology.epoch()) {
            drop(topology); // what follows may reach any queue, and through its effects the topology
            self.may_use_keys(publish, std::iter::empty())?;
            if !self.hold_for_commit(publish)? {
                self.hand_out(publish, &NOTHING_READ, &mut scratch);
            }
            return Ok(());
        }
        let point = topology.publish_point_for_client(self.link.vhost, &publish.exchange);
        let point = point.map_err(|error| explain(&error))?;
        let reading = self.read_properties(&publish.properties)?;
        self.may_use_keys(publish, reading.cc.iter().chain(&reading.bcc).map(|key| &**key))?;
        if self.hold_for_commit(publish)? {
            return Ok(());
        }
        self.route(point, publish, &reading, &mut scratch);
        match point.is_steady() && reading.cc.is_empty() && reading.bcc.is_empty() {
            true => scratch.route.remember(publish, topology.epoch()),
            false => scratch.route.epoch = None,
        }
        drop(topology); // as above
        self.hand_out(publish, &reading, &mut scratch);
        Ok(())
    }

    /// Keeps the publish for the transaction, if the channel is in one.
    #[inline]
    fn hold_for_commit(&self, publish: &Publish<'_>) -> Result<bool, ProtocolError> {
        let Mode::Transactional(transaction) = &mut *self.mode.borrow_mut() else { return Ok(false) };
        let bytes = held_bytes(publish);
        transaction.publish(hold(publish), bytes).map_err(|error| explain(&error))?;
        self.link.shard.watch.transaction_grew(bytes);
        Ok(true)
    }

    /// Carries out a publish that was checked before.
    pub(super) fn route_and_hand_out(self: &Rc<Self>, publish: &Publish<'_>) -> Outcome {
        let reading = self.read_properties(&publish.properties)?;
        let topology = self.link.shard.topology.borrow();
        let point = topology.publish_point(self.link.vhost, &publish.exchange).map_err(|error| explain(&error))?;
        let mut scratch = self.scratch.borrow_mut();
        self.route(point, publish, &reading, &mut scratch);
        scratch.route.epoch = None;
        drop(topology);
        self.hand_out(publish, &reading, &mut scratch);
        Ok(())
    }

    fn route(&self, point: PublishPoint<'_>, publish: &Publish<'_>, reading: &Reading, scratch: &mut Scratch) {
        let details = point.needs_headers().then(|| editor::of(&publish.properties));
        let more_keys: Vec<Box<str>> = reading.cc.iter().chain(&reading.bcc).cloned().collect();
        let route = Route {
            exchange: &publish.exchange,
            routing_key: &publish.routing_key,
            more_keys: &more_keys,
            headers: details.as_ref().map(|details| &details.headers),
            identity: details.as_ref().map(|details| details.identity()).unwrap_or_default(),
            has_waited: false,
        };
        let mut router = self.link.shard.router.borrow_mut();
        scratch.destinations.clear();
        scratch.destinations.extend_from_slice(router.route_from(point, &route));
        if !router.aside().is_empty() {
            scratch.aside = router.aside().clone();
        }
    }

    fn hand_out(self: &Rc<Self>, publish: &Publish<'_>, reading: &Reading, scratch: &mut Scratch) {
        if publish.exchange.is_empty()
            && let Some(to) = reply_to::address(&publish.routing_key)
        {
            self.link.shard.deliver_reply(to, &build(publish, reading));
            self.number_publish(0);
            return;
        }
        let destinations = &scratch.destinations;
        self.count_publish(publish, destinations.len() as u64, !scratch.aside.delayed.is_empty());
        if destinations.is_empty() && publish.mandatory && scratch.aside.delayed.is_empty() {
            self.send_back(publish, reading); // "Return is sent before the confirm of the same message"
        }
        if self.is_traced() {
            self.origin().trace_publish(&build(publish, reading), destinations);
        }
        let shard = &self.link.shard;
        let stored = match scratch.aside.is_empty() {
            true => 0,
            false => shard.count_stored_delays(self.link.vhost, &scratch.aside, publish.properties.is_persistent()),
        };
        let number = self.number_publish(destinations.len() + stored);
        if destinations.is_empty() && scratch.aside.is_empty() {
            return;
        }
        let message = build(publish, reading);
        if !scratch.aside.is_empty() {
            shard.set_aside(self.link.vhost, &std::mem::take(&mut scratch.aside), &message);
            (0..stored).for_each(|_| self.await_disk(number));
        }
        let Some((last, others)) = scratch.destinations.split_last() else { return };
        let share = (message.size() / scratch.destinations.len()) as u64;
        for destination in others {
            self.give(*destination, Cow::Borrowed(&message), share, number);
        }
        self.give(*last, Cow::Owned(message), share, number);
    }

    #[inline]
    fn count_publish(&self, publish: &Publish<'_>, queues: u64, is_delayed: bool) {
        self.tally.published.add(1);
        let tally = &self.link.shard.tally;
        tally.note_size(publish.body.len() as u64);
        if queues == 0 && !is_delayed {
            let unroutable = if publish.mandatory { &self.tally.returned } else { &self.tally.dropped };
            unroutable.add(1);
        }
        match &*self.exchange_tally.borrow() {
            Some((name, exchange)) if **name == *publish.exchange && !exchange.is_gone() => {
                return exchange.add(queues);
            }
            _ => {}
        }
        let exchange = tally.exchange(self.link.vhost, &publish.exchange);
        exchange.add(queues);
        *self.exchange_tally.borrow_mut() = Some((Box::from(&*publish.exchange), exchange));
    }

    /// Takes the next number of a confirming channel; the publish waits for so many queues.
    fn number_publish(self: &Rc<Self>, queues: usize) -> Option<u64> {
        let mut mode = self.mode.borrow_mut();
        let Mode::Confirming(confirms) = &mut *mode else { return None };
        let number = confirms.next(u32::try_from(queues).unwrap_or(u32::MAX));
        drop(mode);
        if queues == 0 {
            self.list_confirms();
        }
        Some(number)
    }

    /// Gives a message to a queue; `share` of its size counts for that one.
    fn give(self: &Rc<Self>, to: Destination, message: Cow<'_, Arc<Message>>, share: u64, number: Option<u64>) {
        let shard = &self.link.shard;
        let queue = QueueAddress { shard: to.shard, queue: to.queue };
        if to.shard != shard.id {
            let number = number.or_else(|| self.commit.expect_answer());
            let confirm = number.map(|number| (self.address(), number));
            shard.command(queue, Command::Publish { message: message.into_owned(), confirm });
            return shard.note_sent(&self.link.outflow, self.link.connection, queue, share + MAIL_COST);
        }
        let (taken, is_crowded) = shard.publish_here(to.queue, message);
        if is_crowded {
            shard.note_sent(&self.link.outflow, self.link.connection, queue, share + MAIL_COST);
        }
        if taken == Taken::Stored {
            return self.await_disk(number);
        }
        self.commit.heard(taken == Taken::Done);
        let Some(number) = number else { return };
        if let Mode::Confirming(confirms) = &mut *self.mode.borrow_mut() {
            if taken == Taken::Done { confirms.confirmed(number) } else { confirms.rejected(number) }
        }
        self.list_confirms();
    }

    /// A publish is confirmed, or the transaction committed, when what this shard has stored of it is on disk.
    fn await_disk(self: &Rc<Self>, number: Option<u64>) {
        if let Some(number) = number.or_else(|| self.commit.expect_answer()) {
            self.link.shard.stored.wait(Who::Here(self.clone()), number);
        }
    }

    fn send_back(&self, publish: &Publish<'_>, reading: &Reading) {
        let method = basic::Return {
            reply_code: ReplyCode::NoRoute.code(),
            reply_text: ReplyCode::NoRoute.name(),
            exchange: &publish.exchange,
            routing_key: &publish.routing_key,
        };
        let rewritten = reading.rewritten.as_deref().and_then(|raw| Properties::parse(raw).ok());
        let properties = rewritten.as_ref().unwrap_or(&publish.properties);
        let (number, frame_max) = (self.number, self.link.frame_max);
        self.link.output.write(|out| {
            write_content(out, number, frame_max, &method, properties, &publish.body);
        });
    }

    /// Reads and checks what the broker acts on, in RabbitMQ's order.
    fn read_properties(&self, properties: &Properties<'_>) -> Result<Reading, ProtocolError> {
        let mut reading = Reading::default();
        if properties.are_plain() {
            return Ok(reading);
        }
        if properties.reply_to() == Some(reply_to::PSEUDO_QUEUE.as_bytes()) {
            reading.rewritten = Some(self.with_reply_address(properties)?);
        }
        if let Some(expiration) = properties.expiration() {
            reading.expiration_ms = Some(parse_expiration(expiration)?);
        }
        if let Some(headers) = properties.headers() {
            reading.cc = keys_of(&headers, "CC")?;
            reading.bcc = keys_of(&headers, "BCC")?;
            if let Some(FieldValue::LongString(value)) = headers.find("x-stream-filter-value").map(|it| it.decode()) {
                reading.filter_value = Some(value.into());
            }
            if headers.find("BCC").is_some() {
                reading.rewritten = Some(without_bcc(reading.rewritten.take(), properties));
            }
        }
        if let Some(user) = properties.user_id()
            && user != self.link.user.as_bytes()
            && !self.link.is_impersonator()
        {
            let (sent, actual) = (String::from_utf8_lossy(user), &self.link.user);
            return Err(precondition(format_args!(
                "user_id property set to '{sent}' but authenticated user was '{actual}'"
            )));
        }
        Ok(reading)
    }
}

fn build(publish: &Publish<'_>, reading: &Reading) -> Arc<Message> {
    let properties = reading.rewritten.as_deref().unwrap_or(publish.properties.raw());
    let mut builder = Message::builder(&publish.exchange, &publish.routing_key, properties, publish.body.len());
    builder
        .body(&publish.body)
        .persistent(publish.properties.is_persistent())
        .priority(publish.properties.priority().unwrap_or(0))
        .expiration_ms(reading.expiration_ms);
    if !reading.cc.is_empty() {
        builder.cc_keys(reading.cc.clone());
    }
    if !reading.bcc.is_empty() {
        builder.bcc_keys(reading.bcc.clone());
    }
    if let Some(value) = &reading.filter_value {
        builder.filter_value(value);
    }
    builder.build()
}

/// "BCC is removed from the message before storing."
fn without_bcc(rewritten: Option<Vec<u8>>, properties: &Properties<'_>) -> Vec<u8> {
    let before = rewritten.as_deref().and_then(|raw| Properties::parse(raw).ok());
    let mut basic = BasicProperties::from(before.as_ref().unwrap_or(properties));
    if let Some(headers) = &mut basic.headers {
        headers.remove("BCC");
    }
    basic.encode().into_raw()
}

/// The strings of CC or BCC; "non-string members are ignored", anything but an array is refused.
pub(super) fn keys_of(headers: &RawTable<'_>, name: &str) -> Result<Vec<Box<str>>, ProtocolError> {
    let Some(value) = headers.find(name) else { return Ok(Vec::new()) };
    match value.decode() {
        FieldValue::Array(keys) => Ok(keys.iter().filter_map(FieldValue::as_str).map(Box::from).collect()),
        other => Err(precondition(format_args!(
            "invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}",
            other.type_name()
        ))),
    }
}

/// Digits, 0 to ten years; the reasons are Erlang's.
pub(super) fn parse_expiration(text: &[u8]) -> Result<u64, ProtocolError> {
    let shown = String::from_utf8_lossy(text);
    let refuse =
        |reason: std::fmt::Arguments<'_>| Err(precondition(format_args!("invalid expiration '{shown}': {reason}")));
    let (negative, digits) = match shown.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, shown.strip_prefix('+').unwrap_or(&shown)),
    };
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    if number.is_empty() {
        return refuse(format_args!("no_integer"));
    }
    if !rest.is_empty() {
        return refuse(format_args!("{{leftover_string,\"{rest}\"}}"));
    }
    let number = number.trim_start_matches('0');
    if negative && !number.is_empty() {
        return refuse(format_args!("{{value_negative,-{number}}}"));
    }
    match number.parse::<u64>() {
        Ok(value) if value <= TIME_LIMIT_MS.unsigned_abs() => Ok(value),
        _ if number.is_empty() => Ok(0),
        _ => refuse(format_args!("{{value_too_large,{number}}}")),
    }
}

pub(super) fn precondition(explanation: std::fmt::Arguments<'_>) -> ProtocolError {
    ProtocolError::new(ReplyCode::PreconditionFailed, explanation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations_are_digits_up_to_ten_years() {
        let check = |text: &str, expected: Result<u64, &str>| {
            let expected =
                expected.map_err(|reason| format!("PRECONDITION_FAILED - invalid expiration '{text}': {reason}"));
            assert_eq!(parse_expiration(text.as_bytes()).map_err(|error| error.text), expected);
        };
        check("0", Ok(0));
        check("000", Ok(0));
        check("60000", Ok(60_000));
        check("315360000000", Ok(315_360_000_000));
        check("315360000001", Err("{value_too_large,315360000001}"));
        check("99999999999999999999999", Err("{value_too_large,99999999999999999999999}"));
        check("-10", Err("{value_negative,-10}"));
        check("", Err("no_integer"));
        check("foobar", Err("no_integer"));
        check("10000foobar", Err("{leftover_string,\"foobar\"}"));
        check("1.5", Err("{leftover_string,\".5\"}"));
    }
}
