//! What is counted, by column, and how it is shown: `message_stats`, lengths, bytes.

use serde_json::{Map, Value, json};

use super::ring::Ring;
use super::{Range, details};
use crate::port::{ChannelCounts, ConnectionState, ExchangeCounts, QueueState, Totals};

/// Columns of a sample.
pub(crate) const WIDTH: usize = 20;

/// One object's counts, by column. Which columns mean something depends on the kind of the object.
pub(crate) type Counts = [u64; WIDTH];

/// The columns of `message_stats`, in their order.
const MESSAGES: [&str; 13] = [
    "publish",
    "publish_in",
    "publish_out",
    "confirm",
    "return_unroutable",
    "drop_unroutable",
    "deliver",
    "deliver_no_ack",
    "get",
    "get_no_ack",
    "get_empty",
    "redeliver",
    "ack",
];
const PUBLISH: usize = 0;
const PUBLISH_IN: usize = 1;
const PUBLISH_OUT: usize = 2;
const CONFIRM: usize = 3;
const RETURN: usize = 4;
const DROP: usize = 5;
const DELIVER: usize = 6;
const DELIVER_NO_ACK: usize = 7;
const GET: usize = 8;
const GET_NO_ACK: usize = 9;
const GET_EMPTY: usize = 10;
const REDELIVER: usize = 11;
const ACK: usize = 12;
/// All that goes to consumers and getters.
pub(crate) const DELIVER_GET: usize = 13;
pub(crate) const READY: usize = 14;
pub(crate) const UNSETTLED: usize = 15;
pub(crate) const LENGTH: usize = 16;
pub(crate) const RECEIVED_BYTES: usize = 17;
pub(crate) const SENT_BYTES: usize = 18;
const _: () = assert!(SENT_BYTES < WIDTH && MESSAGES.len() == DELIVER_GET);

/// Columns of the churn samples.
pub(crate) const CHURN: [&str; 7] = [
    "connection_created",
    "connection_closed",
    "channel_created",
    "channel_closed",
    "queue_declared",
    "queue_created",
    "queue_deleted",
];

fn with_sum(mut counts: Counts) -> Counts {
    counts[DELIVER_GET] = counts[DELIVER] + counts[DELIVER_NO_ACK] + counts[GET] + counts[GET_NO_ACK];
    counts
}

/// A queue's columns.
pub(crate) fn of_queue(state: &QueueState) -> Counts {
    let it = &state.counters;
    let mut counts = [0; WIDTH];
    counts[PUBLISH] = it.published;
    counts[DELIVER] = it.delivered - it.delivered_no_ack.min(it.delivered);
    counts[DELIVER_NO_ACK] = it.delivered_no_ack;
    counts[GET] = it.got - it.got_no_ack.min(it.got);
    counts[GET_NO_ACK] = it.got_no_ack;
    counts[GET_EMPTY] = it.got_empty;
    counts[REDELIVER] = it.redelivered;
    counts[ACK] = it.acked;
    counts[READY] = state.ready;
    counts[UNSETTLED] = state.unsettled;
    counts[LENGTH] = state.ready + state.unsettled;
    with_sum(counts)
}

/// An exchange's columns.
pub(crate) fn of_exchange(it: &ExchangeCounts) -> Counts {
    let mut counts = [0; WIDTH];
    counts[PUBLISH_IN] = it.published_in;
    counts[PUBLISH_OUT] = it.published_out;
    counts
}

/// A channel's columns.
pub(crate) fn of_channel(it: &ChannelCounts) -> Counts {
    let mut counts = [0; WIDTH];
    counts[PUBLISH] = it.published;
    counts[CONFIRM] = it.confirmed;
    counts[RETURN] = it.returned;
    counts[DROP] = it.dropped;
    counts[DELIVER] = it.delivered;
    counts[DELIVER_NO_ACK] = it.delivered_no_ack;
    counts[GET] = it.got;
    counts[GET_NO_ACK] = it.got_no_ack;
    counts[GET_EMPTY] = it.got_empty;
    counts[REDELIVER] = it.redelivered;
    counts[ACK] = it.acked;
    with_sum(counts)
}

/// A connection's columns.
pub(crate) fn of_connection(it: &ConnectionState) -> Counts {
    let mut counts = [0; WIDTH];
    counts[RECEIVED_BYTES] = it.received_bytes;
    counts[SENT_BYTES] = it.sent_bytes;
    counts
}

/// The whole broker's columns.
pub(crate) fn of_broker(totals: &Totals, ready: u64, unsettled: u64) -> Counts {
    let mut counts = of_channel(&totals.channels);
    (counts[READY], counts[UNSETTLED], counts[LENGTH]) = (ready, unsettled, ready + unsettled);
    counts
}

/// The churn columns, in the order of [`CHURN`].
pub(crate) fn churn_of(it: &Totals) -> Counts {
    let mut counts = [0; WIDTH];
    let churn = [
        it.connections_opened,
        it.connections_closed,
        it.channels_opened,
        it.channels_closed,
        it.queues_declared,
        it.queues_created,
        it.queues_deleted,
    ];
    counts[..churn.len()].copy_from_slice(&churn);
    counts
}

/// Whose `message_stats` are shown: RabbitMQ shows counts by groups, all of a group once one of them is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A queue's: what went in, and what became of it.
    Queue,
    /// An exchange's: in and out.
    Exchange,
    /// A channel's, or the whole broker's.
    Client,
}

impl Whose {
    fn groups(self) -> &'static [&'static [usize]] {
        const PUBLISHING: &[usize] = &[PUBLISH, CONFIRM, RETURN, DROP];
        const CONSUMING: &[usize] = &[DELIVER, DELIVER_NO_ACK, GET, GET_NO_ACK, GET_EMPTY, REDELIVER, ACK, DELIVER_GET];
        match self {
            Whose::Queue => &[CONSUMING],
            Whose::Exchange => &[&[PUBLISH_IN, PUBLISH_OUT]],
            Whose::Client => &[PUBLISHING, CONSUMING],
        }
    }
}

/// `message_stats`: what has happened at all, with rates; `None` if nothing has.
pub(crate) fn message_stats(whose: Whose, counts: &Counts, ring: Option<&Ring>, range: Option<Range>) -> Option<Value> {
    let mut stats = Map::new();
    let is_used = |group: &&&[usize]| group.iter().any(|column| counts[*column] > 0);
    let groups: Vec<&[usize]> = whose.groups().iter().filter(is_used).copied().collect();
    let names = MESSAGES.iter().copied().chain(["deliver_get"]);
    for (column, name) in names.enumerate() {
        if counts[column] > 0 || groups.iter().any(|group| group.contains(&column)) {
            stats.insert(name.to_owned(), json!(counts[column]));
            stats.insert(format!("{name}_details"), details(ring, column, range));
        }
    }
    (!stats.is_empty()).then_some(Value::Object(stats))
}

/// What was published is what clients did, whether or not it reached a queue; what became of it is what queues did.
pub(crate) fn publish_by_clients(counts: &mut Counts, clients: &Counts) {
    for column in [PUBLISH, CONFIRM, RETURN, DROP] {
        counts[column] = clients[column];
    }
}

/// Adds `b` to `a`.
pub(crate) fn sum(a: &mut Counts, b: &Counts) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_core::queue::Counters;

    #[test]
    fn only_what_has_happened_is_shown() {
        let counters = Counters { published: 3, delivered: 5, delivered_no_ack: 2, got: 1, ..Counters::default() };
        let state = QueueState { ready: 1, unsettled: 2, counters, ..QueueState::default() };
        let stats = message_stats(Whose::Queue, &of_queue(&state), None, None).unwrap();
        let zero = json!({"rate": 0.0});
        assert_eq!(
            stats,
            json!({
                "publish": 3, "publish_details": zero, "deliver": 3, "deliver_details": zero, "deliver_no_ack": 2,
                "deliver_no_ack_details": zero, "get": 1, "get_details": zero, "deliver_get": 6, "deliver_get_details": zero,
                "get_no_ack": 0, "get_no_ack_details": zero, "get_empty": 0, "get_empty_details": zero,
                "redeliver": 0, "redeliver_details": zero, "ack": 0, "ack_details": zero,
            })
        );
        assert_eq!(message_stats(Whose::Queue, &of_queue(&QueueState::default()), None, None), None);
        let published = of_channel(&ChannelCounts { published: 1, ..ChannelCounts::default() });
        let stats = message_stats(Whose::Client, &published, None, None).unwrap();
        let names: Vec<&String> =
            stats.as_object().unwrap().keys().filter(|name| !name.ends_with("_details")).collect();
        assert_eq!(names, ["confirm", "drop_unroutable", "publish", "return_unroutable"]);
    }
}
