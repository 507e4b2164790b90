//! Dead-lettering: where a dead message goes, and what is written down about its deaths.
//!
//! The history is kept beside the message as values of its own. Headers are for the reader's eyes: they are written
//! anew with each death, and what a client publishes as `x-death` is an ordinary header that is never continued. Only
//! for messages that the broker itself has stored may the history be read back from headers
//! ([`DeathHistory::from_headers`]).

use std::sync::Arc;

use crate::ids::{Name, Time};
use crate::message::Message;
use crate::queue::settings::DeadLetterTarget;
use crate::value::{Arguments, Value};

/// Why a message left a queue other than by being consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeathReason {
    /// basic.reject or basic.nack without requeue.
    Rejected,
    /// Its time to live ran out.
    Expired,
    /// The queue's length limit.
    MaxLength,
    /// Requeued more often than the queue's delivery limit allows.
    DeliveryLimit,
}

impl DeathReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rejected, Self::Expired, Self::MaxLength, Self::DeliveryLimit];

    /// The word in the `x-death` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// The deaths of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathHistory {
    /// Most recent first; one for each (queue, reason). Never empty.
    entries: Vec<Death>,
    first: Place,
    last: Place,
}

/// All deaths in one queue for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// The queue it died in.
    pub queue: Name,
    /// Why.
    pub reason: DeathReason,
    /// How often.
    pub count: u64,
    /// When it first died there.
    pub first_time: Time,
    /// The exchange it had been published to before it first died there.
    pub exchange: Name,
    /// The routing keys it had then, CC keys included, BCC keys not.
    pub routing_keys: Vec<Box<str>>,
    /// Its expiration property then.
    pub original_expiration_ms: Option<u64>,
}

/// What the `x-first-death-*` and `x-last-death-*` headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    reason: DeathReason,
    queue: Name,
    exchange: Name,
}

/// How to publish a dead message again: body and properties stay, but the expiration property goes, and the headers are
/// rewritten with [`DeathHistory::write_headers`].
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The dead-letter exchange. If it does not exist, the message is dropped.
    pub exchange: Name,
    /// The first routing key.
    pub routing_key: Name,
    /// Further routing keys.
    pub more_keys: Vec<Box<str>>,
    /// A dead-letter routing key replaces all keys: the CC header must go too.
    pub drop_cc: bool,
    /// To be attached to the new message. Ask it for each target queue: [`DeathHistory::is_cycle`].
    pub deaths: DeathHistory,
}

/// Decides how a message that died in `queue` is published again.
pub fn redirect(
    message: &Arc<Message>,
    queue: &Name,
    target: &DeadLetterTarget,
    reason: DeathReason,
    now: Time,
) -> Redirect {
    let own_keys = || message.cc_keys().iter().chain(message.bcc_keys()).cloned().collect();
    let (routing_key, more_keys) = match &target.routing_key {
        Some(key) => (key.clone(), Vec::new()),
        None => (message.routing_key_text().into(), own_keys()),
    };
    Redirect {
        exchange: target.exchange.clone(),
        routing_key,
        more_keys,
        drop_cc: target.routing_key.is_some(),
        deaths: DeathHistory::after(message, queue, reason, now),
    }
}

impl DeathHistory {
    /// The history of a message that dies now: its own so far, and this death.
    pub fn after(message: &Message, queue: &Name, reason: DeathReason, now: Time) -> Self {
        let exchange: Name = message.exchange_name().into();
        let last = Place { reason, queue: queue.clone(), exchange: exchange.clone() };
        let mut history = match message.deaths() {
            Some(history) => history.clone(),
            None => Self { entries: Vec::new(), first: last.clone(), last: last.clone() },
        };
        history.last = last;
        let same = history.entries.iter().position(|death| death.queue == *queue && death.reason == reason);
        let death = match same {
            Some(place) => {
                let death = history.entries.remove(place);
                Death { count: death.count + 1, ..death }
            }
            None => Death {
                queue: queue.clone(),
                reason,
                count: 1,
                first_time: now,
                exchange,
                routing_keys: routing_keys(message),
                original_expiration_ms: message.expiration_ms(),
            },
        };
        history.entries.insert(0, death);
        history
    }

    /// The entries, most recent first.
    pub fn entries(&self) -> &[Death] {
        &self.entries
    }

    /// Whether sending the message on to this queue would close a cycle that nobody's decision takes part in: it died
    /// there before, and neither then nor since by rejection. Such a message is dropped instead. (RabbitMQ)
    pub fn is_cycle(&self, target_queue: &str) -> bool {
        let place = self.entries.iter().position(|death| &*death.queue == target_queue);
        let since = place.map_or(&[][..], |place| &self.entries[..=place]);
        !since.is_empty() && since.iter().all(|death| death.reason != DeathReason::Rejected)
    }

    /// Writes all death headers, replacing older ones, and sorts the table, as RabbitMQ does.
    pub fn write_headers(&self, headers: &mut Arguments) {
        let deaths = self.entries.iter().map(|death| Value::Table(death.to_table())).collect();
        headers.set("x-death", Value::Array(deaths));
        for (prefix, place) in [("x-first-death", &self.first), ("x-last-death", &self.last)] {
            headers.set(&format!("{prefix}-reason"), Value::str(place.reason.as_str()));
            headers.set(&format!("{prefix}-queue"), Value::str(&place.queue));
            headers.set(&format!("{prefix}-exchange"), Value::str(&place.exchange));
        }
        headers.sort();
    }

    /// Reads back what [`DeathHistory::write_headers`] wrote. Only for headers known to be the broker's own; anything
    /// else may yield `None`.
    pub fn from_headers(headers: &Arguments) -> Option<Self> {
        let Some(Value::Array(tables)) = headers.get("x-death") else { return None };
        let entries = tables.iter().map(Death::from_value).collect::<Option<Vec<_>>>()?;
        let place = |prefix: &str| {
            let text = |field: &str| headers.get(&format!("{prefix}-{field}"))?.as_str();
            Some(Place {
                reason: DeathReason::parse(text("reason")?)?,
                queue: text("queue")?.into(),
                exchange: text("exchange")?.into(),
            })
        };
        (!entries.is_empty()).then_some(())?;
        Some(Self { entries, first: place("x-first-death")?, last: place("x-last-death")? })
    }
}

impl Death {
    /// The fields in RabbitMQ's order.
    fn to_table(&self) -> Arguments {
        let mut table = Arguments::new();
        if let Some(ms) = self.original_expiration_ms {
            table.push("original-expiration", Value::str(&ms.to_string()));
        }
        table.push("count", Value::long(i64::try_from(self.count).unwrap_or(i64::MAX)));
        table.push("reason", Value::str(self.reason.as_str()));
        table.push("queue", Value::str(&self.queue));
        table.push("time", Value::Timestamp(self.first_time.as_secs()));
        table.push("exchange", Value::str(&self.exchange));
        table.push("routing-keys", Value::Array(self.routing_keys.iter().map(|key| Value::str(key)).collect()));
        table
    }

    fn from_value(value: &Value) -> Option<Self> {
        let Value::Table(table) = value else { return None };
        let text = |name: &str| table.get(name)?.as_str();
        let (Some(Value::Array(keys)), Some(Value::Timestamp(seconds))) =
            (table.get("routing-keys"), table.get("time"))
        else {
            return None;
        };
        Some(Self {
            queue: text("queue")?.into(),
            reason: DeathReason::parse(text("reason")?)?,
            count: u64::try_from(table.get("count")?.as_int()?).ok()?,
            first_time: Time(seconds.saturating_mul(1000)),
            exchange: text("exchange")?.into(),
            routing_keys: keys.iter().map(|key| key.as_str().map(Box::from)).collect::<Option<_>>()?,
            original_expiration_ms: text("original-expiration").and_then(|ms| ms.parse().ok()),
        })
    }
}

fn routing_keys(message: &Message) -> Vec<Box<str>> {
    std::iter::once(message.routing_key_text().into()).chain(message.cc_keys().iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeathReason::*;

    fn message(exchange: &str, key: &str) -> Arc<Message> {
        Message::builder(exchange, key, b"", 0).build()
    }

    fn dead(message: &Arc<Message>, queue: &str, reason: DeathReason, now: u64) -> Arc<Message> {
        let mut next = Message::builder("dlx", "dead", b"", 0);
        next.deaths(DeathHistory::after(message, &queue.into(), reason, Time(now)));
        next.build()
    }

    /// A message that died in these queues, in order of time.
    fn history(deaths: &[(&str, DeathReason)]) -> DeathHistory {
        let mut current = message("first", "key");
        for (index, (queue, reason)) in deaths.iter().enumerate() {
            current = dead(&current, queue, *reason, 1000 * index as u64);
        }
        current.deaths().expect("it died").clone()
    }

    #[test]
    fn one_entry_for_queue_and_reason_with_the_newest_first() {
        let check = |deaths: &[(&str, DeathReason)], expected: &[(&str, DeathReason, u64, u64)]| {
            let history = history(deaths);
            let found = history.entries().iter();
            let found: Vec<_> = found.map(|it| (&*it.queue, it.reason, it.count, it.first_time.as_secs())).collect();
            assert_eq!(found, expected, "{deaths:?}");
        };
        check(&[("a", Rejected)], &[("a", Rejected, 1, 0)]);
        check(&[("a", Rejected), ("b", Expired)], &[("b", Expired, 1, 1), ("a", Rejected, 1, 0)]);
        check(&[("a", Rejected), ("a", Rejected)], &[("a", Rejected, 2, 0)]);
        check(&[("a", Rejected), ("a", Expired)], &[("a", Expired, 1, 1), ("a", Rejected, 1, 0)]);
        check(
            &[("a", Rejected), ("b", Expired), ("a", Rejected), ("b", Expired), ("a", Rejected)],
            &[("a", Rejected, 3, 0), ("b", Expired, 2, 1)],
        );
    }

    #[test]
    fn a_cycle_is_one_that_no_rejection_takes_part_in() {
        let check = |deaths: &[(&str, DeathReason)], target: &str, expected: bool| {
            assert_eq!(history(deaths).is_cycle(target), expected, "{deaths:?} to {target}");
        };
        check(&[("a", Expired)], "b", false);
        check(&[("a", Expired)], "a", true);
        check(&[("a", Rejected)], "a", false);
        check(&[("a", Expired), ("b", Expired)], "a", true);
        check(&[("a", Expired), ("b", Rejected)], "a", false);
        check(&[("a", Rejected), ("b", Expired)], "a", false);
        check(&[("a", Rejected), ("b", Expired)], "b", true);
        check(&[("a", MaxLength), ("b", DeliveryLimit)], "a", true);
        check(&[("x", Rejected), ("a", Expired), ("b", Expired)], "a", true);
    }

    #[test]
    fn headers_have_every_field_in_order() {
        let mut first = Message::builder("orders", "new", b"", 0);
        first.expiration_ms(Some(60_000)).cc_keys(vec!["copy".into()]).bcc_keys(vec!["secret".into()]);
        let first = first.build();
        let second = dead(&first, "work", Expired, 1_700_000_000_123);
        let third = dead(&second, "retry", Rejected, 1_700_000_001_000);
        let mut headers: Arguments =
            [("zz", Value::Void), ("x-death", Value::str("mine")), ("aa", Value::Void)].into_iter().collect();
        third.deaths().expect("it died").write_headers(&mut headers);
        let names: Vec<_> = headers.iter().map(|(name, _)| name).collect();
        let first_death = ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"];
        let last_death = ["x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"];
        assert_eq!(names, [&["aa", "x-death"][..], &first_death, &last_death, &["zz"]].concat());
        let texts: Vec<_> = headers.iter().skip(2).map(|(_, value)| value.to_string()).collect();
        assert_eq!(texts, ["orders", "work", "expired", "dlx", "retry", "rejected", "undefined"]);
        let Some(Value::Array(deaths)) = headers.get("x-death") else { panic!("x-death is an array") };
        let [Value::Table(newest), Value::Table(oldest)] = &deaths[..] else { panic!("of two tables") };
        let field_names = |table: &Arguments| table.iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        let fields = ["count", "reason", "queue", "time", "exchange", "routing-keys"];
        assert_eq!(field_names(newest), fields);
        assert_eq!(field_names(oldest), [&["original-expiration"][..], &fields].concat());
        assert_eq!(
            oldest.to_string().as_str(),
            concat!(
                "[{original-expiration,60000},{count,1},{reason,expired},{queue,work},",
                "{time,1700000000},{exchange,orders},{routing-keys,[new,copy]}]"
            )
        );
    }

    #[test]
    fn headers_read_back_are_the_history() {
        let check = |deaths: &[(&str, DeathReason)]| {
            let history = history(deaths);
            let mut headers = Arguments::new();
            history.write_headers(&mut headers);
            assert_eq!(DeathHistory::from_headers(&headers), Some(history));
        };
        check(&[("a", Rejected)]);
        check(&[("a", Expired), ("b", MaxLength), ("a", Expired), ("c", DeliveryLimit)]);
        let forged = |value: Value| [("x-death", value)].into_iter().collect::<Arguments>();
        assert_eq!(DeathHistory::from_headers(&Arguments::new()), None);
        assert_eq!(DeathHistory::from_headers(&forged(Value::str("x"))), None);
        assert_eq!(DeathHistory::from_headers(&forged(Value::Array(vec![]))), None);
        assert_eq!(DeathHistory::from_headers(&forged(Value::Array(vec![Value::Void]))), None);
    }

    #[test]
    fn redirect_keeps_the_keys_unless_one_is_configured() {
        let mut message = Message::builder("x", "key", b"", 0);
        message.cc_keys(vec!["cc".into()]).bcc_keys(vec!["bcc".into()]);
        let message = message.build();
        let check = |key: Option<&str>, expected: (&str, &[&str], bool)| {
            let target = DeadLetterTarget { exchange: "dlx".into(), routing_key: key.map(Name::from) };
            let redirect = redirect(&message, &"q".into(), &target, Rejected, Time(0));
            let more: Vec<_> = redirect.more_keys.iter().map(|key| &**key).collect();
            assert_eq!((&*redirect.routing_key, &more[..], redirect.drop_cc), expected);
            assert_eq!(&*redirect.exchange, "dlx");
        };
        check(None, ("key", &["cc", "bcc"], false));
        check(Some("parked"), ("parked", &[], true));
    }
}
