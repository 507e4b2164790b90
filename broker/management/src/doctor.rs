//! Why a queue does not move, in words, and what helps.
//!
//! `examine` is pure: from what a queue and its surroundings are to findings. A finding is a sentence and, where there is one, a
//! command.

use leveret_core::queue::settings::{Overflow, QueueSettings};

/// A queue, with what of its surroundings can hold it up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patient {
    pub(crate) name: String,
    pub(crate) vhost: String,
    pub(crate) ready: u64,
    pub(crate) unsettled: u64,
    pub(crate) ready_bytes: u64,
    pub(crate) consumers: Vec<Taker>,
    pub(crate) settings: QueueSettings,
    /// The dead-letter exchange is named and does not exist.
    pub(crate) missing_dead_letter_exchange: Option<String>,
    /// Explicit bindings that lead here.
    pub(crate) bindings: usize,
    /// Of all queues, since the start.
    pub(crate) messages_lost: u64,
    pub(crate) memory_alarm: bool,
    pub(crate) disk_alarm: bool,
    pub(crate) expired: u64,
    pub(crate) published: u64,
}

/// A consumer of the queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taker {
    pub(crate) tag: String,
    pub(crate) connection: String,
    pub(crate) no_ack: bool,
    pub(crate) prefetch: u32,
    pub(crate) unsettled: u32,
    pub(crate) active: bool,
    /// The channel-wide prefetch is used up.
    pub(crate) paused: bool,
    /// Bytes that may still be on their way to its socket.
    pub(crate) window: i64,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// A word for programs.
    pub(crate) code: &'static str,
    /// A sentence for people.
    pub(crate) sentence: String,
    /// What to type, if a command helps.
    pub(crate) remedy: Option<String>,
}

/// Findings, the gravest first. A queue with nothing to say about it gets one that says so.
pub(crate) fn examine(it: &Patient) -> Vec<Finding> {
    let mut findings = Vec::new();
    alarms(it, &mut findings);
    consumers(it, &mut findings);
    limits(it, &mut findings);
    origins(it, &mut findings);
    losses(it, &mut findings);
    if findings.is_empty() {
        findings.push(fine(it));
    }
    findings
}

fn say(findings: &mut Vec<Finding>, code: &'static str, sentence: String, remedy: Option<String>) {
    findings.push(Finding { code, sentence, remedy });
}

fn ctl(it: &Patient, command: &str) -> Option<String> {
    Some(format!("leveret ctl -p '{}' {command}", it.vhost))
}

fn plural(count: u64, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn fine(it: &Patient) -> Finding {
    let sentence = match (it.ready, it.consumers.is_empty()) {
        (0, true) => "The queue is empty and nobody consumes from it.".to_owned(),
        (0, false) => format!("The queue is empty: {} can keep up.", plural(it.consumers.len() as u64, "consumer")),
        _ => "Nothing holds the queue up: its consumers can take messages.".to_owned(),
    };
    Finding { code: "healthy", sentence, remedy: None }
}

fn alarms(it: &Patient, findings: &mut Vec<Finding>) {
    if it.memory_alarm {
        let sentence = "Publishers are blocked: the broker's memory is above its limit.".to_owned();
        say(findings, "memory-alarm", sentence, Some("leveret ctl set_vm_memory_high_watermark <fraction>".into()));
    }
    if it.disk_alarm {
        let sentence = "Publishers are blocked: the disk has less room than the limit asks for.".to_owned();
        say(findings, "disk-alarm", sentence, Some("leveret ctl set_disk_free_limit <bytes>".into()));
    }
}

fn losses(it: &Patient, findings: &mut Vec<Finding>) {
    if it.messages_lost > 0 {
        let messages = plural(it.messages_lost, "message");
        let sentence = format!(
            "{messages} of the broker's queues could not be read back and {} dropped: the disk has harmed them. \
            The log says which files; replace the disk.",
            if it.messages_lost == 1 { "was" } else { "were" }
        );
        say(findings, "damage", sentence, Some("leveret store check <data directory>/messages".into()));
    }
}

fn consumers(it: &Patient, findings: &mut Vec<Finding>) {
    if it.consumers.is_empty() {
        if it.ready > 0 {
            let wait = if it.ready == 1 { "waits" } else { "wait" };
            let sentence = format!("{} {wait} and nobody consumes from the queue.", plural(it.ready, "message"));
            say(findings, "no-consumers", sentence, ctl(it, "list_consumers"));
        }
        if it.unsettled > 0 {
            let sentence = format!(
                "{} {} held by somebody who got them one by one and has not settled them.",
                plural(it.unsettled, "message"),
                if it.unsettled == 1 { "is" } else { "are" }
            );
            say(findings, "held-by-get", sentence, ctl(it, "list_channels name messages_unacknowledged"));
        }
        return;
    }
    let waiting = it.consumers.iter().filter(|consumer| !consumer.active).count() as u64;
    if waiting > 0 {
        let active = it.consumers.iter().find(|consumer| consumer.active);
        let who = active.map_or("nobody".to_owned(), |it| format!("'{}' on {}", it.tag, it.connection));
        let sentence =
            format!("Single active consumer: {who} gets all messages; {} wait.", plural(waiting, "consumer"));
        say(findings, "single-active-consumer", sentence, ctl(it, "list_consumers"));
    }
    if it.ready > 0 && it.consumers.iter().filter(|consumer| consumer.active).all(is_stuck) {
        it.consumers.iter().filter(|consumer| consumer.active).for_each(|consumer| stuck(it, consumer, findings));
    }
}

fn is_stuck(it: &Taker) -> bool {
    it.paused || it.window <= 0 || (!it.no_ack && it.prefetch > 0 && it.unsettled >= it.prefetch)
}

fn stuck(it: &Patient, consumer: &Taker, findings: &mut Vec<Finding>) {
    let Taker { tag, connection, prefetch, unsettled, .. } = consumer;
    let close = Some(format!("leveret ctl close_connection '{connection}' 'does not acknowledge'"));
    if consumer.window <= 0 {
        let sentence = format!("Consumer '{tag}' on {connection} does not read what it is sent: its socket is full.");
        say(findings, "slow-reader", sentence, close);
    } else if consumer.paused {
        let sentence = format!("Consumer '{tag}' on {connection} waits: the prefetch of its whole channel is used up.");
        say(findings, "channel-prefetch", sentence, close);
    } else {
        let messages = plural(u64::from(*unsettled), "message");
        let sentence = format!(
            "Consumer '{tag}' on {connection} has used up its prefetch of {prefetch}: it holds {messages} that it has not acknowledged."
        );
        say(findings, "prefetch", sentence, ctl(it, "list_consumers"));
    }
}

fn limits(it: &Patient, findings: &mut Vec<Finding>) {
    if let Some(exchange) = &it.missing_dead_letter_exchange {
        let sentence = format!("Dead letters are lost: the dead-letter exchange '{exchange}' does not exist.");
        say(findings, "dead-letter-target", sentence, None);
    }
    let settings = &it.settings;
    let is_full = settings.max_length.is_some_and(|max| it.ready >= max)
        || settings.max_length_bytes.is_some_and(|max| it.ready_bytes >= max);
    if is_full && it.ready > 0 {
        let (code, what) = match settings.overflow {
            Overflow::DropHead => ("full-drops", "each new message pushes out the oldest one"),
            _ => ("full-rejects", "new messages are refused"),
        };
        say(findings, code, format!("The queue is at its length limit: {what}."), ctl(it, "list_policies"));
    }
    if let Some(ttl) = settings.message_ttl_ms.filter(|_| it.expired > 0) {
        let sentence =
            format!("Messages expire: {} did so far, {ttl} ms after they came.", plural(it.expired, "message"));
        say(findings, "expiring", sentence, None);
    }
    if let Some(ms) = settings.expires_ms.filter(|_| it.consumers.is_empty()) {
        let sentence = format!("The queue goes by itself when nobody has used it for {ms} ms.");
        say(findings, "queue-expires", sentence, None);
    }
}

fn origins(it: &Patient, findings: &mut Vec<Finding>) {
    if it.bindings == 0 && it.published == 0 && it.ready == 0 && it.unsettled == 0 {
        let sentence = format!(
            "Nothing was ever published here, and no binding leads here: only the default exchange with routing key '{}' does.",
            it.name
        );
        say(findings, "no-bindings", sentence, ctl(it, "list_bindings"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_core::message::Message;
    use leveret_core::queue::{ConsumerSpec, Effect, Queue};
    use leveret_core::topology::QueueRecord;
    use leveret_core::value::{Arguments, Value};
    use leveret_core::{ConsumerId, QueueId, ShardId, Time};

    /// A real queue in a situation that is made by its own calls.
    struct Ward {
        queue: Queue,
        patient: Patient,
        now: Time,
    }

    impl Ward {
        fn new(arguments: &[(&str, Value)]) -> Ward {
            let arguments: Arguments = arguments.iter().map(|(name, value)| (*name, value.clone())).collect();
            let resource = leveret_core::error::Resource {
                kind: leveret_core::error::ResourceKind::Queue,
                vhost: "/".into(),
                name: "q".into(),
            };
            let settings = QueueSettings::parse(&resource, &arguments).expect("good arguments");
            let record = QueueRecord {
                id: QueueId(1),
                name: "q".into(),
                shard: ShardId(0),
                durable: true,
                exclusive_owner: None,
                auto_delete: false,
                arguments,
                settings: settings.clone(),
            };
            let patient = Patient { name: "q".into(), vhost: "/".into(), settings, bindings: 1, ..Patient::default() };
            Ward { queue: Queue::new(&"/".into(), &record, Time(0)), patient, now: Time(0) }
        }

        fn publish(&mut self, count: usize) -> &mut Ward {
            let mut effects = Vec::new();
            for _ in 0..count {
                self.queue.publish(Message::builder("", "q", &[0, 0], 0).build(), self.now, &mut effects);
            }
            self
        }

        fn consume(&mut self, id: u64, prefetch: u32) -> &mut Ward {
            let spec = ConsumerSpec {
                id: ConsumerId(id),
                no_ack: false,
                exclusive: false,
                prefetch,
                priority: 0,
                window_bytes: 1000,
                stream: None,
            };
            self.queue.consume(spec, self.now, &mut Vec::new()).expect("nobody is exclusive");
            self
        }

        fn call(&mut self, call: impl FnOnce(&mut Queue, Time, &mut Vec<Effect>)) -> &mut Ward {
            call(&mut self.queue, self.now, &mut Vec::new());
            self
        }

        fn codes(&mut self) -> Vec<&'static str> {
            let queue = &self.queue;
            let patient = &mut self.patient;
            (patient.ready, patient.unsettled) = (queue.ready_count(), queue.unsettled_count());
            patient.ready_bytes = queue.ready_bytes();
            let counters = queue.counters();
            patient.expired = counters.expired;
            patient.published = counters.published;
            let taker = |it: leveret_core::queue::ConsumerState| Taker {
                tag: format!("c{}", it.spec.id.0),
                connection: "client".into(),
                no_ack: it.spec.no_ack,
                prefetch: it.spec.prefetch,
                unsettled: it.unsettled,
                active: it.active,
                paused: it.paused,
                window: it.window,
            };
            patient.consumers = queue.consumers().map(taker).collect();
            examine(patient).iter().map(|finding| finding.code).collect()
        }
    }

    #[test]
    fn messages_that_nobody_takes() {
        assert_eq!(Ward::new(&[]).publish(3).codes(), ["no-consumers"]);
        assert_eq!(
            Ward::new(&[]).publish(1).call(|queue, now, effects| drop(queue.get(false, now, effects))).codes(),
            ["held-by-get"]
        );
    }

    #[test]
    fn consumers_that_cannot_take() {
        assert_eq!(Ward::new(&[]).consume(1, 2).publish(5).codes(), ["prefetch"]);
        assert_eq!(Ward::new(&[]).consume(1, 0).publish(20).codes(), ["slow-reader"]);
        let decline = |queue: &mut Queue, now: Time, effects: &mut Vec<Effect>| {
            let held: Vec<_> = queue.unsettled().map(|(seq, _)| seq).collect();
            held.into_iter().for_each(|seq| queue.decline(ConsumerId(1), seq, now, effects));
        };
        assert_eq!(Ward::new(&[]).consume(1, 0).publish(1).call(decline).codes(), ["channel-prefetch"]);
        let single = [("x-single-active-consumer", Value::Bool(true))];
        assert_eq!(Ward::new(&single).consume(1, 0).consume(2, 0).codes(), ["single-active-consumer"]);
    }

    #[test]
    fn limits_and_ends() {
        let max = ("x-max-length", Value::long(2));
        assert_eq!(Ward::new(std::slice::from_ref(&max)).publish(3).codes(), ["no-consumers", "full-drops"]);
        let rejects = [max, ("x-overflow", Value::str("reject-publish"))];
        assert_eq!(Ward::new(&rejects).publish(3).codes(), ["no-consumers", "full-rejects"]);
        let ttl = [("x-message-ttl", Value::long(10))];
        let mut ward = Ward::new(&ttl);
        ward.publish(2).now = Time(20);
        assert_eq!(ward.call(|queue, now, effects| queue.expire(now, effects)).codes(), ["expiring"]);
        assert_eq!(Ward::new(&[("x-expires", Value::long(10))]).codes(), ["queue-expires"]);
    }

    #[test]
    fn surroundings() {
        let mut ward = Ward::new(&[]);
        (ward.patient.memory_alarm, ward.patient.disk_alarm) = (true, true);
        assert_eq!(ward.codes(), ["memory-alarm", "disk-alarm"]);
        let mut ward = Ward::new(&[]);
        ward.patient.messages_lost = 1;
        assert_eq!(ward.codes(), ["damage"]);
        let mut ward = Ward::new(&[]);
        ward.patient.missing_dead_letter_exchange = Some("dlx".into());
        assert_eq!(ward.codes(), ["dead-letter-target"]);
        let mut ward = Ward::new(&[]);
        ward.patient.bindings = 0;
        assert_eq!(ward.codes(), ["no-bindings"]);
    }

    #[test]
    fn queues_that_are_well() {
        assert_eq!(Ward::new(&[]).codes(), ["healthy"]);
        assert_eq!(Ward::new(&[]).consume(1, 0).codes(), ["healthy"]);
        assert_eq!(Ward::new(&[]).consume(1, 5).publish(1).codes(), ["healthy"]);
    }
}
