//! Short stories about one queue. [`Bench`] runs a queue whose messages are named by their bodies, and prints effects
//! as words:
//!
//! | text | effect |
//! |---|---|
//! | `1<a` | message a is delivered to consumer 1; `1<a!` redelivered |
//! | `-a`, `-a..c` | the store may forget a, a to c |
//! | `a>expired` | a is dead-lettered, and why |
//! | `cancel 1` | consumer 1 is cancelled |
//! | `ended LastConsumer` | the queue has ended |

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::error::{Error, Reason};
use crate::ids::{ConnectionId, ConsumerId, ShardId};
use crate::queue::settings::QueueKind;
use crate::topology::{QueueDeclare, Topology};
use crate::value::{Arguments, Value};

/// A queue of a fresh topology, so that arguments take their usual way.
pub(super) fn declare(durable: bool, auto_delete: bool, arguments: &[(&str, Value)]) -> Result<Queue, Error> {
    let mut topology = Topology::new();
    topology.apply(&topology.add_vhost("/").expect("it is new"));
    let declared = topology.declare_queue(&QueueDeclare {
        vhost: topology.vhost_id("/").expect("just added"),
        name: "q",
        passive: false,
        durable,
        exclusive: false,
        auto_delete,
        arguments: arguments.iter().cloned().collect::<Arguments>(),
        connection: ConnectionId(1),
        shard: ShardId(0),
        random: [0; 16],
    })?;
    Ok(Queue::new(&"/".into(), declared.record(), Time(0)))
}

pub(super) fn int(value: i64) -> Value {
    Value::long(value)
}

pub(super) fn spec(id: u64) -> ConsumerSpec {
    ConsumerSpec {
        id: ConsumerId(id),
        no_ack: false,
        exclusive: false,
        prefetch: 0,
        priority: 0,
        window_bytes: 1 << 20,
        stream: None,
    }
}

struct Bench {
    queue: Queue,
    now: Time,
    effects: Vec<Effect>,
    names: BTreeMap<Seq, String>,
}

impl Bench {
    fn new(arguments: &[(&str, Value)]) -> Self {
        Self::of(declare(true, false, arguments).expect("valid arguments"))
    }

    fn of(queue: Queue) -> Self {
        Self { queue, now: Time(0), effects: Vec::new(), names: BTreeMap::new() }
    }

    fn message(&mut self, name: &str, set: impl FnOnce(&mut crate::message::Builder)) -> String {
        let mut message = Message::builder("x", "k", b"", name.len());
        message.body(name.as_bytes());
        set(&mut message);
        let message = message.build();
        let verdict = match self.publish_either_way(message) {
            Published::Accepted { seq, .. } => {
                self.names.insert(seq, name.to_owned());
                ""
            }
            Published::Rejected => "rejected",
            Published::Ended => "ended",
        };
        [self.said(), verdict.to_owned()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// The short way if the queue offers it, as a shell does; it must look like the long one.
    fn publish_either_way(&mut self, message: Arc<Message>) -> Published {
        let Some((consumer, seq)) = self.queue.publish_straight(&message, self.now) else {
            return self.queue.publish(message, self.now, &mut self.effects);
        };
        let (consumer, redelivered, requeues, offset) = (Some(consumer), false, 0, None);
        self.effects.push(Effect::Deliver(Delivery { consumer, seq, message, redelivered, requeues, offset }));
        Published::Accepted { seq, stored: false }
    }

    fn publish(&mut self, name: &str) -> String {
        self.message(name, |_| {})
    }

    fn publish_all(&mut self, names: &str) -> String {
        names.split(' ').map(|name| self.publish(name)).filter(|said| !said.is_empty()).collect::<Vec<_>>().join(" ")
    }

    fn seq(&self, name: &str) -> Seq {
        *self.names.iter().rev().find(|(_, it)| *it == name).expect("published").0
    }

    fn seqs(&self, names: &str) -> Vec<Seq> {
        names.split_whitespace().map(|name| self.seq(name)).collect()
    }

    /// Runs one call and prints its effects.
    fn call<R>(&mut self, call: impl FnOnce(&mut Queue, Time, &mut Vec<Effect>) -> R) -> (R, String) {
        let result = call(&mut self.queue, self.now, &mut self.effects);
        (result, self.said())
    }

    fn consume(&mut self, spec: ConsumerSpec) -> String {
        let (result, said) = self.call(|queue, now, effects| queue.consume(spec, now, effects));
        result.expect("admitted");
        said
    }

    fn settle(&mut self, name: &str, settlement: Settlement) -> String {
        let seq = self.seq(name);
        let (known, said) = self.call(|queue, now, effects| queue.settle(seq, settlement, now, effects));
        assert!(known, "{name} is unsettled");
        said
    }

    fn ack(&mut self, name: &str) -> String {
        self.settle(name, Settlement::Ack)
    }

    fn requeue(&mut self, names: &str) -> String {
        let seqs = self.seqs(names);
        self.call(|queue, now, effects| queue.requeue(&seqs, now, effects)).1
    }

    fn release(&mut self, consumers: &[u64], names: &str) -> String {
        let consumers: Vec<_> = consumers.iter().copied().map(ConsumerId).collect();
        let seqs = self.seqs(names);
        self.call(|queue, now, effects| queue.release(&consumers, &seqs, now, effects)).1
    }

    fn cancel(&mut self, consumer: u64) -> String {
        self.call(|queue, now, effects| queue.cancel(ConsumerId(consumer), now, effects)).1
    }

    fn get(&mut self, no_ack: bool) -> String {
        let (got, said) = self.call(|queue, now, effects| queue.get(no_ack, now, effects));
        let got = match got.expect("not refused") {
            Get::Message(got) => {
                let mark = if got.delivery.redelivered { "!" } else { "" };
                format!("{}{mark} {} left", body(&got.delivery.message), got.remaining)
            }
            other => format!("{other:?}").to_lowercase(),
        };
        if said.is_empty() { got } else { format!("{got} {said}") }
    }

    fn at(&mut self, ms: u64) -> String {
        self.now = Time(ms);
        self.call(|queue, now, effects| queue.expire(now, effects)).1
    }

    fn ready(&self) -> String {
        self.queue.ready().map(|(_, message)| body(message)).collect::<Vec<_>>().join(" ")
    }

    fn unsettled(&self) -> String {
        self.queue.unsettled().map(|(_, message)| body(message)).collect::<Vec<_>>().join(" ")
    }

    fn said(&mut self) -> String {
        self.queue.check_invariants(self.now);
        let effects: Vec<_> = self.effects.drain(..).collect();
        // That a message came back the deliveries show; the oracle counts it.
        let shown = effects.iter().filter(|effect| !matches!(effect, Effect::Requeued { .. }));
        let words = shown.map(|effect| match effect {
            Effect::Requeued { .. } | Effect::Fetch { .. } | Effect::Spill { .. } => String::new(),
            Effect::Deliver(delivery) => {
                let mark = if delivery.redelivered { "!" } else { "" };
                assert_eq!(delivery.redelivered, delivery.requeues > 0);
                format!("{}<{}{mark}", delivery.consumer.expect("not a get").0, body(&delivery.message))
            }
            Effect::Cancelled { consumer } => format!("cancel {}", consumer.0),
            Effect::Ended(reason) => format!("ended {reason:?}"),
            Effect::DeadLetter { message, reason } => format!("{}>{}", body(message), reason.as_str()),
            Effect::Settled { first, last } => {
                let name = |seq: &Seq| self.names.get(seq).map_or("new", String::as_str);
                if first == last { format!("-{}", name(first)) } else { format!("-{}..{}", name(first), name(last)) }
            }
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

fn body(message: &Arc<Message>) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

fn prefetch(id: u64, prefetch: u32) -> ConsumerSpec {
    ConsumerSpec { prefetch, ..spec(id) }
}

/// Arguments with a dead-letter exchange.
fn with_dlx(arguments: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    [&[("x-dead-letter-exchange", Value::str("dlx"))], arguments].concat()
}

#[test]
fn first_in_first_out() {
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.publish_all("a b c"), "");
    assert_eq!(bench.consume(prefetch(1, 2)), "1<a 1<b");
    assert_eq!((bench.ready(), bench.unsettled()), ("c".into(), "a b".into()));
    assert_eq!(bench.ack("b"), "1<c");
    assert_eq!(bench.ack("a"), "");
    assert_eq!(bench.publish("d"), "1<d");
    assert_eq!((bench.ready(), bench.unsettled()), (String::new(), "c d".into()));
}

#[test]
fn nine_messages_for_three_idle_consumers_are_three_each() {
    let mut bench = Bench::new(&[]);
    (1..=3).for_each(|id| _ = bench.consume(spec(id)));
    let delivered = bench.publish_all("a b c d e f g h i");
    assert_eq!(delivered, "1<a 2<b 3<c 1<d 2<e 3<f 1<g 2<h 3<i");
}

#[test]
fn a_backlog_is_dealt_out_in_turn_too() {
    let mut bench = Bench::new(&[]);
    bench.publish_all("a b c d e");
    assert_eq!(bench.consume(prefetch(1, 1)), "1<a");
    assert_eq!(bench.consume(prefetch(2, 1)), "2<b");
    assert_eq!(bench.ack("b"), "2<c");
    assert_eq!(bench.ack("a"), "1<d");
    assert_eq!(bench.ack("d"), "1<e");
}

#[test]
fn higher_priority_consumers_come_first_while_they_can_take() {
    let mut bench = Bench::new(&[]);
    bench.consume(spec(1));
    bench.consume(ConsumerSpec { priority: 5, prefetch: 2, ..spec(2) });
    bench.consume(ConsumerSpec { priority: -1, ..spec(3) });
    assert_eq!(bench.publish_all("a b c d"), "2<a 2<b 1<c 1<d");
    assert_eq!(bench.ack("a"), "");
    assert_eq!(bench.publish_all("e f"), "2<e 1<f");
    assert_eq!(bench.cancel(1), "");
    assert_eq!(bench.publish("g"), "3<g");
}

#[test]
fn without_acks_messages_are_settled_as_they_go() {
    let mut bench = Bench::new(&[]);
    bench.message("a", |message| _ = message.persistent(true));
    let consumer = ConsumerSpec { no_ack: true, prefetch: 1, ..spec(1) };
    assert_eq!(bench.consume(consumer), "1<a -a");
    assert_eq!(
        bench.publish_all("b c"),
        "1<b 1<c",
        "prefetch does not matter, and what is not stored needs no settling"
    );
    assert_eq!(bench.queue.unsettled_count(), 0);
    assert_eq!(bench.message("d", |message| _ = message.persistent(true)), "1<d -d");
}

#[test]
fn a_window_holds_deliveries_back_until_they_are_written() {
    let mut bench = Bench::new(&[]);
    let cost = DELIVERY_OVERHEAD_BYTES + 1;
    bench.consume(ConsumerSpec { window_bytes: cost + 1, ..spec(1) });
    assert_eq!(bench.publish_all("a b c d e"), "1<a 1<b", "a window may be exceeded by one message");
    let credit =
        |bench: &mut Bench, bytes| bench.call(|queue, now, effects| queue.credit(ConsumerId(1), bytes, now, effects)).1;
    assert_eq!(credit(&mut bench, cost - 1), "");
    assert_eq!(credit(&mut bench, 1), "1<c");
    assert_eq!(credit(&mut bench, 1 << 40), "1<d 1<e", "credit beyond the window is cut");
    assert_eq!(credit(&mut bench, u64::MAX), "");
}

#[test]
fn requeued_messages_go_back_to_their_places() {
    let check = |requeued: &str, expected: &str| {
        let mut bench = Bench::new(&[]);
        bench.publish_all("a b c d e");
        for _ in 0..4 {
            bench.get(false);
        }
        assert_eq!(bench.requeue(requeued), "");
        assert_eq!(bench.ready(), expected, "{requeued}");
        let redelivered = bench.consume(spec(1));
        let all = expected.split(' ').map(|name| format!("1<{name}{}", if name == "e" { "" } else { "!" }));
        assert_eq!(redelivered, all.collect::<Vec<_>>().join(" "));
    };
    check("a", "a e");
    check("d", "d e");
    check("d a", "a d e");
    check("c a b", "a b c e");
    check("a b c d", "a b c d e");
}

#[test]
fn a_declined_message_is_as_if_it_had_never_left() {
    let mut bench = Bench::new(&[]);
    bench.consume(spec(1));
    assert_eq!(bench.publish_all("a b c"), "1<a 1<b 1<c");
    for name in ["b", "c"] {
        let seq = bench.seq(name);
        let said = bench.call(|queue, now, effects| queue.decline(ConsumerId(1), seq, now, effects)).1;
        assert_eq!(said, "", "a paused consumer gets nothing");
    }
    assert_eq!((bench.ready(), bench.unsettled()), ("b c".into(), "a".into()));
    assert_eq!(bench.publish("d"), "");
    assert_eq!(bench.ack("a"), "");
    assert_eq!(bench.consume(prefetch(2, 1)), "2<b", "others may take it, and it is not redelivered");
    let resumed = bench.call(|queue, now, effects| queue.resume(ConsumerId(1), now, effects)).1;
    assert_eq!(resumed, "1<c 1<d");
}

#[test]
fn a_lost_channel_gives_everything_back_before_others_are_served() {
    let mut bench = Bench::new(&[]);
    bench.consume(prefetch(1, 2));
    bench.consume(prefetch(2, 2));
    assert_eq!(bench.publish_all("a b c d e f"), "1<a 2<b 1<c 2<d");
    bench.ack("b");
    assert_eq!(bench.unsettled(), "a c d e");
    assert_eq!(bench.release(&[1], "c a"), "", "the other one is full");
    assert_eq!(bench.ready(), "a c f");
    assert_eq!(bench.ack("d"), "2<a!");
    assert_eq!(bench.queue.consumer_count(), 1);
}

#[test]
fn a_cancelled_consumers_messages_stay_unsettled() {
    let mut bench = Bench::new(&[]);
    bench.consume(spec(1));
    bench.publish_all("a b");
    assert_eq!(bench.cancel(1), "");
    assert_eq!(bench.consume(spec(2)), "");
    assert_eq!(bench.unsettled(), "a b");
    assert_eq!(bench.ack("a"), "");
    assert_eq!(bench.requeue("b"), "2<b!");
    assert_eq!(bench.cancel(7), "", "an unknown consumer is passed over");
}

#[test]
fn exclusive_consumers_are_alone() {
    let check = |arguments: &[(&str, Value)], first: Option<ConsumerSpec>, second: ConsumerSpec, admitted: bool| {
        let mut bench = Bench::new(arguments);
        if let Some(first) = first {
            bench.consume(first);
        }
        let result = bench.queue.consume(second, Time(0), &mut Vec::new());
        let refused = Error::ExclusiveUse(Resource::queue(&"/".into(), "q"));
        assert_eq!(result, if admitted { Ok(()) } else { Err(refused) });
    };
    let exclusive = |id| ConsumerSpec { exclusive: true, ..spec(id) };
    check(&[], None, exclusive(1), true);
    check(&[], Some(spec(1)), exclusive(2), false);
    check(&[], Some(exclusive(1)), spec(2), false);
    check(&[("x-single-active-consumer", Value::Bool(true))], None, exclusive(1), false);
    check(&[("x-single-active-consumer", Value::Bool(true))], Some(spec(1)), spec(2), true);
}

#[test]
fn a_single_active_consumer_is_followed_by_the_most_important_then_the_oldest() {
    let mut bench = Bench::new(&[("x-single-active-consumer", Value::Bool(true))]);
    bench.consume(prefetch(1, 2));
    bench.consume(spec(2));
    bench.consume(ConsumerSpec { priority: 3, ..spec(3) });
    bench.consume(spec(4));
    assert_eq!(bench.publish_all("a b c d"), "1<a 1<b", "a full active consumer hands nothing over");
    let active =
        |bench: &Bench| bench.queue.consumers().filter(|it| it.active).map(|it| it.spec.id.0).collect::<Vec<_>>();
    assert_eq!(active(&bench), [1]);
    assert_eq!(bench.release(&[1], "a b"), "3<a! 3<b! 3<c 3<d", "after a loss its messages come first");
    assert_eq!(active(&bench), [3]);
    assert_eq!(bench.cancel(3), "", "after a cancel they stay where they are");
    assert_eq!(active(&bench), [2]);
    assert_eq!(bench.publish("e"), "2<e");
    assert_eq!(bench.cancel(4), "");
    assert_eq!(bench.cancel(2), "");
    assert_eq!(bench.publish("f"), "");
    assert_eq!(bench.consume(spec(5)), "5<f");
}

#[test]
fn get_takes_the_next_message_and_counts_the_rest() {
    let mut bench = Bench::new(&[]);
    assert_eq!(bench.get(false), "empty");
    bench.message("a", |message| _ = message.persistent(true));
    bench.message("b", |message| _ = message.persistent(true));
    assert_eq!(bench.get(false), "a 1 left");
    assert_eq!(bench.get(true), "b 0 left -b");
    assert_eq!(bench.requeue("a"), "");
    assert_eq!(bench.get(true), "a! 0 left -a");
    let (settled, _) = bench.call(|queue, now, effects| queue.settle(Seq(0), Settlement::Ack, now, effects));
    assert!(!settled, "it is settled already");
}

#[test]
fn auto_delete_waits_for_the_last_consumer_to_go() {
    let mut bench = Bench::of(declare(false, true, &[]).expect("valid"));
    assert_eq!(bench.publish("a"), "");
    bench.consume(prefetch(1, 1));
    bench.consume(prefetch(2, 1));
    assert_eq!(bench.cancel(1), "");
    assert_eq!(bench.cancel(2), "ended LastConsumer");
    assert_eq!(bench.publish("b"), "ended");
    let not_found = Error::NotFound(Resource::queue(&"/".into(), "q"));
    assert_eq!(bench.queue.consume(spec(3), Time(0), &mut Vec::new()), Err(not_found.clone()));
    assert_eq!(bench.queue.get(true, Time(0), &mut Vec::new()).err(), Some(not_found));
    let mut lost = Bench::of(declare(false, true, &[]).expect("valid"));
    lost.consume(spec(1));
    lost.publish("a");
    assert_eq!(lost.release(&[1], "a"), "ended LastConsumer");
}

#[test]
fn delete_checks_and_cancels() {
    let mut bench = Bench::new(&[]);
    bench.consume(prefetch(1, 1));
    bench.consume(prefetch(2, 1));
    bench.publish_all("a b c");
    let resource = Resource::queue(&"/".into(), "q");
    let delete =
        |bench: &mut Bench, unused, empty| bench.call(|queue, _, effects| queue.delete(unused, empty, effects));
    assert_eq!(delete(&mut bench, true, true).0, Err(Error::InUse(resource.clone())));
    assert_eq!(delete(&mut bench, false, true).0, Err(Error::NotEmpty(resource.clone())));
    assert_eq!(delete(&mut bench, false, false), (Ok(1), "cancel 1 cancel 2".into()));
    assert!(bench.queue.is_ended());
    assert!(!bench.queue.settle(bench.seq("a"), Settlement::Ack, Time(0), &mut Vec::new()));
    let quorum = &[("x-queue-type", Value::str("quorum"))];
    let mut quorum = Bench::new(quorum);
    let unsupported = Error::DeleteFlagUnsupported { queue: resource, flag: "if-empty" };
    assert_eq!(delete(&mut quorum, false, true).0, Err(unsupported));
}

#[test]
fn purge_takes_what_is_ready() {
    let mut bench = Bench::new(&with_dlx(&[]));
    bench.publish_all("a b c");
    bench.message("d", |message| _ = message.persistent(true));
    bench.get(false);
    assert_eq!(bench.call(|queue, _, effects| queue.purge(effects)), (3, "-d".into()));
    assert_eq!((bench.ready(), bench.unsettled()), (String::new(), "a".into()));
    bench.publish("e");
    assert_eq!(bench.requeue("a"), "");
    assert_eq!(bench.ready(), "a e");
}

#[test]
fn neighbours_are_settled_as_one_range() {
    let mut bench = Bench::new(&[]);
    for name in ["a", "b", "c", "d", "e"] {
        bench.message(name, |message| _ = message.persistent(name != "b"));
    }
    bench.get(false);
    assert_eq!(bench.call(|queue, _, effects| queue.purge(effects)).1, "-c..e");
    for name in ["f", "g", "h"] {
        bench.message(name, |message| _ = message.persistent(true));
    }
    bench.requeue("a");
    assert_eq!(bench.call(|queue, _, effects| queue.purge(effects)).1, "-a -f..h");
}

#[test]
fn many_messages_expire_in_batches_and_in_full_before_the_next_is_served() {
    let mut bench = Bench::new(&[("x-message-ttl", int(10))]);
    for _ in 0..EXPIRE_BATCH_MAX + 1 {
        bench.queue.publish(Message::builder("", "q", b"", 0).build(), Time(0), &mut bench.effects);
    }
    bench.now = Time(5);
    bench.publish("late");
    bench.now = Time(10);
    assert_eq!(bench.consume(spec(1)), "", "one expired message is before it still");
    assert_eq!((bench.queue.ready_count(), bench.queue.next_expiry()), (2, Some(Time(10))));
    assert_eq!(bench.at(10), "1<late");
}

#[test]
fn rejected_messages_are_dead_lettered_or_dropped() {
    let mut bench = Bench::new(&with_dlx(&[]));
    bench.message("a", |message| _ = message.persistent(true));
    bench.get(false);
    assert_eq!(bench.settle("a", Settlement::Reject), "a>rejected -a");
    let mut plain = Bench::new(&[]);
    plain.message("a", |message| _ = message.persistent(true));
    plain.get(false);
    assert_eq!(plain.settle("a", Settlement::Reject), "-a");
}

#[test]
fn messages_expire_wherever_they_stand() {
    let mut bench = Bench::new(&with_dlx(&[("x-message-ttl", int(100))]));
    bench.publish("a");
    bench.message("b", |message| _ = message.expiration_ms(Some(30)));
    bench.message("c", |message| _ = message.expiration_ms(Some(500)));
    assert_eq!(bench.queue.next_expiry(), Some(Time(30)));
    assert_eq!(bench.at(29), "");
    assert_eq!(bench.at(30), "b>expired");
    assert_eq!(bench.ready(), "a c");
    assert_eq!(bench.get(false), "a 1 left");
    assert_eq!(bench.at(100), "c>expired", "the shorter of the two counts; unsettled messages do not expire");
    assert_eq!(bench.queue.next_expiry(), None);
    assert_eq!(bench.requeue("a"), "a>expired", "coming back does not prolong it");
}

#[test]
fn a_ttl_of_zero_delivers_at_once_or_not_at_all() {
    let mut bench = Bench::new(&with_dlx(&[("x-message-ttl", int(0)), ("x-max-length", int(1))]));
    assert_eq!(bench.publish("a"), "a>expired");
    assert_eq!(bench.consume(prefetch(1, 1)), "");
    assert_eq!(bench.publish("b"), "1<b");
    assert_eq!(bench.publish("c"), "c>expired");
}

#[test]
fn a_consumer_never_gets_an_expired_message() {
    let mut bench = Bench::new(&[("x-message-ttl", int(10))]);
    bench.publish_all("a b");
    bench.now = Time(5);
    bench.publish("c");
    bench.now = Time(10);
    assert_eq!(bench.consume(spec(1)), "1<c");
    assert_eq!(bench.queue.counters().expired, 2);
}

/// "There aren't any message timeouts": a worker may take as long as it wants.
#[test]
fn a_message_may_be_held_for_a_day() {
    let day = 24 * 60 * 60 * 1000;
    let mut bench = Bench::new(&[]);
    bench.consume(spec(1));
    assert_eq!(bench.publish("a"), "1<a");
    assert_eq!(bench.queue.next_expiry(), None, "nothing will ever happen by itself");
    assert_eq!(bench.at(day), "");
    assert_eq!(bench.unsettled(), "a");
    assert_eq!(bench.ack("a"), "");
    assert_eq!(bench.unsettled(), "");
}

#[test]
fn the_expiry_index_forgets_what_was_consumed() {
    let mut bench = Bench::new(&[("x-message-ttl", int(1_000_000))]);
    bench.publish("first");
    for _ in 0..10_000 {
        bench.queue.publish(Message::builder("", "q", b"", 0).build(), Time(1), &mut bench.effects);
        bench.queue.get(true, Time(1), &mut bench.effects).expect("not refused");
    }
    assert!(bench.queue.expiry.seqs().count() < 200);
    bench.queue.check_invariants(Time(1));
}

#[test]
fn length_limits() {
    let check = |arguments: &[(&'static str, Value)], published: &[(&str, &str)], ready: &str| {
        let mut bench = Bench::new(&with_dlx(arguments));
        for (name, expected) in published {
            assert_eq!(bench.publish(name), *expected, "{arguments:?} {name}");
        }
        assert_eq!(bench.ready(), ready, "{arguments:?}");
    };
    let overflow = |mode: &str| ("x-overflow", Value::str(mode));
    let length = |limit| ("x-max-length", int(limit));
    let bytes = |limit| ("x-max-length-bytes", int(limit));
    check(&[length(2)], &[("a", ""), ("b", ""), ("c", "a>maxlen"), ("d", "b>maxlen")], "c d");
    check(&[length(0)], &[("a", "a>maxlen")], "");
    check(&[bytes(5)], &[("aaa", ""), ("bb", ""), ("c", "aaa>maxlen"), ("ddddd", "bb>maxlen c>maxlen")], "ddddd");
    check(&[bytes(5)], &[("aaa", ""), ("bbbbbb", "aaa>maxlen bbbbbb>maxlen")], "");
    check(&[length(3), bytes(2)], &[("a", ""), ("b", ""), ("c", "a>maxlen")], "b c");
    check(&[length(1), overflow("reject-publish")], &[("a", ""), ("b", "rejected")], "a");
    check(&[length(1), overflow("reject-publish-dlx")], &[("a", ""), ("b", "b>maxlen rejected")], "a");
    check(&[bytes(3), overflow("reject-publish")], &[("aa", ""), ("bb", "rejected"), ("c", "")], "aa c");
    check(&[overflow("reject-publish")], &[("a", ""), ("b", "")], "a b");
}

#[test]
fn only_ready_messages_count_for_the_limits() {
    let mut bench = Bench::new(&with_dlx(&[("x-max-length", int(1))]));
    bench.consume(prefetch(1, 2));
    assert_eq!(bench.publish_all("a b c"), "1<a 1<b");
    assert_eq!(bench.requeue("b"), "1<b!", "there is room in the prefetch again");
    assert_eq!(bench.release(&[1], "a b"), "a>maxlen b>maxlen", "after a requeue the limit holds again");
    assert_eq!(bench.ready(), "c");
    let mut zero = Bench::new(&[("x-max-length", int(0))]);
    zero.consume(prefetch(1, 1));
    assert_eq!(zero.publish("a"), "1<a", "a waiting consumer is not a backlog");
}

#[test]
fn priorities_come_strictly_and_then_in_order() {
    let mut bench = Bench::new(&with_dlx(&[("x-max-priority", int(5)), ("x-max-length", int(4))]));
    let publish =
        |bench: &mut Bench, name: &str, priority| bench.message(name, |message| _ = message.priority(priority));
    for (name, priority) in [("low", 0), ("high", 5), ("over", 200), ("mid", 3)] {
        assert_eq!(publish(&mut bench, name, priority), "");
    }
    assert_eq!(bench.ready(), "high over mid low");
    assert_eq!(publish(&mut bench, "last", 0), "high>maxlen", "the head is the next to be delivered");
    assert_eq!(bench.get(false), "over 3 left");
    assert_eq!(bench.consume(prefetch(1, 1)), "1<mid");
    assert_eq!(publish(&mut bench, "top", 4), "");
    assert_eq!(bench.requeue("over mid"), "1<over!");
    assert_eq!(bench.ready(), "top mid low last");
}

#[test]
fn a_message_that_comes_back_too_often_dies() {
    let mut bench = Bench::new(&with_dlx(&[("x-delivery-limit", int(2))]));
    bench.message("a", |message| _ = message.persistent(true));
    assert_eq!(bench.get(false), "a 0 left");
    for _ in 0..2 {
        assert_eq!(bench.requeue("a"), "");
        assert_eq!(bench.get(false), "a! 0 left");
    }
    assert_eq!(bench.requeue("a"), "a>delivery_limit -a");
    assert_eq!(bench.queue.unsettled_count(), 0);
}

#[test]
fn declining_does_not_count_as_coming_back() {
    let mut bench = Bench::new(&with_dlx(&[("x-delivery-limit", int(0))]));
    bench.consume(spec(1));
    bench.publish("a");
    let seq = bench.seq("a");
    for _ in 0..3 {
        bench.call(|queue, now, effects| queue.decline(ConsumerId(1), seq, now, effects));
        assert_eq!(bench.call(|queue, now, effects| queue.resume(ConsumerId(1), now, effects)).1, "1<a");
    }
    assert_eq!(bench.requeue("a"), "a>delivery_limit");
}

#[test]
fn an_unused_queue_ends_when_its_lease_is_over() {
    let mut bench = Bench::new(&[("x-expires", int(100))]);
    assert_eq!(bench.queue.next_expiry(), Some(Time(100)));
    bench.publish("a");
    assert_eq!(bench.at(50), "");
    bench.get(true);
    assert_eq!(bench.queue.next_expiry(), Some(Time(150)), "a get restarts it");
    bench.queue.touch(Time(70));
    assert_eq!(bench.queue.next_expiry(), Some(Time(170)), "a declare restarts it");
    bench.now = Time(80);
    bench.consume(spec(1));
    assert_eq!((bench.queue.next_expiry(), bench.at(1_000)), (None, String::new()), "consumers keep it");
    bench.cancel(1);
    assert_eq!(bench.at(1_099), "");
    assert_eq!(bench.at(1_100), "ended Unused");
    assert_eq!((bench.queue.next_expiry(), bench.publish("b")), (None, "ended".into()));
    assert_eq!(bench.at(9_999), "");
}

#[test]
fn restored_messages_keep_their_places() {
    let mut bench = Bench::new(&[("x-max-priority", int(3)), ("x-message-ttl", int(10))]);
    let message = |name: &str| {
        let mut message = Message::builder("x", "k", b"", 0);
        message.body(name.as_bytes()).persistent(true);
        message.build()
    };
    let high = Seq(3 << PRIORITY_SHIFT);
    assert!(bench.queue.restore(Seq(5), message("a"), None, 0));
    assert!(bench.queue.restore(Seq(9), message("b"), Some(Time(50)), 2));
    assert!(bench.queue.restore(high, message("c"), None, 0));
    assert!(!bench.queue.restore(Seq(9), message("d"), None, 0), "not ascending");
    assert!(!bench.queue.restore(Seq(9 << PRIORITY_SHIFT), message("e"), None, 0), "no such priority");
    bench.queue.resume_numbering(Seq(20));
    bench.queue.check_invariants(Time(1));
    let published = bench.queue.publish(message("f"), Time(0), &mut Vec::new());
    assert_eq!(published, Published::Accepted { seq: Seq(21), stored: true });
    assert_eq!(bench.ready(), "c a b f");
    bench.names.extend([(Seq(9), "b".into()), (Seq(21), "f".into())]);
    assert_eq!(bench.at(10), "-f");
    assert_eq!(bench.at(50), "-b");
}

#[test]
fn policies_change_limits_at_once() {
    let mut bench = Bench::new(&[]);
    bench.publish_all("a b c");
    let settings = QueueSettings { max_length: Some(1), max_priority: 9, ..QueueSettings::default() };
    bench.call(|queue, now, effects| queue.reconfigure(settings, now, effects));
    assert_eq!(bench.ready(), "c");
    assert_eq!(bench.queue.settings().max_priority, 0, "this cannot change");
}

#[test]
fn transient_messages_and_queues_are_not_stored() {
    let check = |durable: bool, persistent: bool, expected: bool| {
        let mut queue = declare(durable, false, &[]).expect("valid");
        let mut message = Message::builder("", "q", b"", 0);
        message.persistent(persistent);
        let published = queue.publish(message.build(), Time(0), &mut Vec::new());
        assert_eq!(published, Published::Accepted { seq: Seq(0), stored: expected });
    };
    check(true, true, true);
    check(true, false, false);
    check(false, true, false);
}

#[test]
fn arguments_are_checked() {
    let check = |argument: &str, value: Value, expected: Option<Reason>| {
        let result = declare(true, false, &[(argument, value.clone())]).map(|_| ());
        let queue = Resource::queue(&"/".into(), "q");
        let refused = |reason| Error::InvalidArgument { argument: argument.into(), queue, reason };
        assert_eq!(result, expected.map_or(Ok(()), |reason| Err(refused(reason))), "{argument} {value:?}");
    };
    check("x-message-ttl", int(0), None);
    check("x-message-ttl", int(settings::TIME_LIMIT_MS), None);
    check("x-message-ttl", int(settings::TIME_LIMIT_MS + 1), Some(Reason::ValueTooLarge(315_360_000_001)));
    check("x-message-ttl", int(-1), Some(Reason::ValueNegative(-1)));
    check("x-message-ttl", Value::str("5"), Some(Reason::ExpectedInteger("longstr")));
    check("x-message-ttl", Value::Int { value: 5, kind: crate::value::IntKind::UnsignedByte }, None);
    check("x-expires", int(0), Some(Reason::ValueZero));
    check("x-expires", int(1), None);
    check("x-max-length", int(0), None);
    check("x-max-length", int(i64::MAX), None);
    check("x-max-length-bytes", int(-5), Some(Reason::ValueNegative(-5)));
    check("x-overflow", Value::str("drop-head"), None);
    check("x-overflow", Value::str("drop-tail"), Some(Reason::InvalidOverflow));
    check("x-overflow", int(1), Some(Reason::UnacceptableType("long")));
    check("x-dead-letter-exchange", Value::str(""), None);
    check("x-dead-letter-exchange", Value::Void, Some(Reason::UnacceptableType("void")));
    check("x-dead-letter-routing-key", Value::str("k"), Some(Reason::RoutingKeyButNoDlx));
    check("x-max-priority", int(255), None);
    check("x-max-priority", int(256), Some(Reason::MaxValueExceeded(256)));
    check("x-max-priority", int(-1), Some(Reason::ValueNegative(-1)));
    check("x-single-active-consumer", Value::Bool(true), None);
    check("x-single-active-consumer", Value::str("true"), Some(Reason::UnacceptableType("longstr")));
    check("x-delivery-limit", int(-1), None);
    check("x-delivery-limit", int(-2), Some(Reason::ValueNegative(-2)));
    check("x-queue-type", Value::str("classic"), None);
    check("x-queue-type", Value::str("quorum"), None);
    check("x-queue-type", Value::str("stream"), None);
    check("x-queue-type", Value::str("odd"), Some(Reason::UnsupportedQueueType("odd".into())));
    check("x-queue-type", int(1), Some(Reason::UnacceptableType("long")));
    check("x-queue-mode", Value::str("lazy"), None);
    check("x-unknown", Value::Void, None);
}

#[test]
fn arguments_of_other_queue_types_are_refused() {
    let check = |kind: &str, argument: &str, value: Value, expected: Option<QueueKind>| {
        let result = declare(true, false, &[("x-queue-type", Value::str(kind)), (argument, value)]).map(|_| ());
        let queue = Resource::queue(&"/".into(), "q");
        let refused = |kind| Error::ArgumentOfOtherType { argument: argument.into(), queue, kind };
        assert_eq!(result, expected.map_or(Ok(()), |kind| Err(refused(kind))), "{kind} {argument}");
    };
    check("classic", "x-max-age", Value::str("7D"), Some(QueueKind::Classic));
    check("quorum", "x-max-age", Value::str("7D"), Some(QueueKind::Quorum));
    check("classic", "x-quorum-initial-group-size", int(3), Some(QueueKind::Classic));
    check("quorum", "x-quorum-initial-group-size", int(3), None);
    check("classic", "x-delivery-limit", int(3), None);
    check("quorum", "x-max-priority", int(3), None);
}

#[test]
fn settings_follow_from_arguments() {
    let check = |arguments: &[(&'static str, Value)], expected: QueueSettings| {
        let queue = declare(true, false, arguments).expect("valid");
        assert_eq!(*queue.settings(), expected, "{arguments:?}");
    };
    let quorum = || ("x-queue-type", Value::str("quorum"));
    let default = QueueSettings::default;
    let kind = QueueKind::Quorum;
    let target =
        |key: Option<&str>| Some(DeadLetterTarget { exchange: "dlx".into(), routing_key: key.map(Name::from) });
    check(&[], default());
    check(&[("x-max-priority", int(0))], QueueSettings { max_priority: 1, ..default() });
    check(&[quorum()], QueueSettings { kind, ..default() });
    check(&with_dlx(&[]), QueueSettings { dead_letter: target(None), ..default() });
    let key = ("x-dead-letter-routing-key", Value::str("k"));
    check(&with_dlx(&[key]), QueueSettings { dead_letter: target(Some("k")), ..default() });
    let limited = QueueSettings { kind, dead_letter: target(None), delivery_limit: Some(20), ..default() };
    check(&with_dlx(&[quorum()]), limited);
    let unlimited = QueueSettings { kind, dead_letter: target(None), ..default() };
    check(&with_dlx(&[quorum(), ("x-delivery-limit", int(-1))]), unlimited);
}
