//! Deliveries that are not acknowledged in time: consumers that hang would keep messages from all others for ever.
//!
//! No delivery carries the time at which it was made. Instead the channel looks at its tags now and then and leaves *marks*: up to
//! this tag everything had been delivered by then. So a message costs nothing, and a timeout is noticed late by at most the
//! distance of two marks, a minute (as in RabbitMQ, which looks once a minute), less where timeouts are short.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use leveret_amqp::error::ProtocolError;
use leveret_core::Time;
use leveret_core::value::{Arguments, Value};

use super::channel::Channel;
use super::publish::precondition;

/// The longest distance of two marks.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// The shortest one: that of the shard's ticks.
const LOOK_MIN: Duration = Duration::from_millis(250);

/// How often to look for deliveries that may stay unacknowledged for so long.
pub(super) fn interval(timeout: Duration) -> Duration {
    (timeout / 4).clamp(LOOK_MIN, LOOK_MAX)
}

/// How long a consumer may take: as its own argument says, else its queue's, else the configuration.
pub(super) fn timeout(consumer: &Arguments, queue: &Arguments, configured: Option<Duration>) -> Option<Duration> {
    let given = |arguments: &Arguments| arguments.get("x-consumer-timeout").and_then(Value::as_int);
    match given(consumer).or_else(|| given(queue)) {
        Some(ms) => u64::try_from(ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis),
        None => configured,
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Marks(VecDeque<(Time, u64)>);

impl Marks {
    /// Everything up to `last` was delivered by `now`; what is older than `first` is settled.
    fn leave(&mut self, now: Time, first: u64, last: u64) {
        while self.0.front().is_some_and(|(_, tag)| *tag < first) {
            self.0.pop_front();
        }
        if self.0.back().is_none_or(|(_, tag)| *tag < last) {
            self.0.push_back((now, last));
        }
    }

    /// How long ago a tag was delivered, at least.
    fn age(&self, tag: u64, now: Time) -> Duration {
        let at = self.0.partition_point(|(_, last)| *last < tag);
        self.0.get(at).map_or(Duration::ZERO, |(time, _)| Duration::from_millis(now.0.saturating_sub(time.0)))
    }
}

impl Channel {
    /// Whether a delivery has waited for too long; the timeout that is exceeded.
    pub(super) fn overdue(&self, now: Time) -> Option<Duration> {
        let ledger = self.ledger.borrow();
        let mut marks = self.marks.borrow_mut();
        let Some((first, _)) = ledger.iter().next() else {
            *marks = Marks::default();
            return None;
        };
        marks.leave(now, first, ledger.last_tag());
        let consumers = self.consumers.borrow();
        let configured = self.link.shard.config.limits.consumer_timeout;
        for (tag, delivery) in ledger.iter() {
            let age = marks.age(tag, now);
            if age.is_zero() {
                return None;
            }
            let consumer = delivery.consumer.and_then(|id| consumers.get(&id));
            let timeout = consumer.map_or(configured, |consumer| consumer.timeout);
            if let Some(timeout) = timeout.filter(|timeout| age >= *timeout) {
                return Some(timeout);
            }
        }
        None
    }

    /// What the client reads when that happens.
    pub(super) fn overdue_error(self: &Rc<Self>, timeout: Duration) -> ProtocolError {
        let (number, ms) = (self.number, timeout.as_millis());
        precondition(format_args!(
            "delivery acknowledgement on channel {number} timed out. Timeout value used: {ms} ms. This timeout value can \
             be configured, see consumers doc guide to learn more"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_at_least_as_old_as_the_first_mark_behind_it() {
        let at = |seconds: u64| Time(1_000_000 + 1000 * seconds);
        let mut marks = Marks::default();
        let check = |marks: &Marks, tag, now, seconds| {
            assert_eq!(marks.age(tag, at(now)), Duration::from_secs(seconds), "{tag} at {now}");
        };
        marks.leave(at(0), 1, 3);
        marks.leave(at(10), 1, 3);
        marks.leave(at(20), 2, 7);
        check(&marks, 1, 30, 30);
        check(&marks, 3, 30, 30);
        check(&marks, 4, 30, 10);
        check(&marks, 7, 30, 10);
        check(&marks, 8, 30, 0);
        marks.leave(at(30), 5, 9);
        check(&marks, 5, 31, 11);
        check(&marks, 9, 31, 1);
        assert_eq!(marks.0.len(), 2, "marks of settled deliveries go");
    }

    #[test]
    fn the_nearest_word_counts() {
        let arguments = |ms: i64| [("x-consumer-timeout", Value::long(ms))].into_iter().collect::<Arguments>();
        let (none, configured) = (Arguments::new(), Some(Duration::from_secs(1)));
        let check = |consumer: &Arguments, queue: &Arguments, expected: Option<u64>| {
            assert_eq!(timeout(consumer, queue, configured), expected.map(Duration::from_millis));
        };
        check(&none, &none, Some(1000));
        check(&none, &arguments(50), Some(50));
        check(&arguments(20), &arguments(50), Some(20));
        check(&arguments(0), &arguments(50), None);
    }
}
