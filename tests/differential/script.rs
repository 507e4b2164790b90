//! What is done to both brokers: steps, and scripts of them from a seed.
//!
//! A script is fixed before it runs; only which delivery a settlement means depends on what was heard (the n-th of those outstanding), and
//! that is the same on both as long as they do not differ. Chance prefers what happens to real topologies (few names, many hits), and
//! keeps out what nobody promises: a channel consumes from one queue only, so that the order of its deliveries is that queue's.

use std::fmt;

/// Queues and exchanges that scripts use, beside those that every broker has.
pub(crate) const QUEUES: [&str; 4] = ["q0", "q1", "q2", "q3"];
pub(crate) const EXCHANGES: [&str; 4] = ["x0", "x1", "x2", "x3"];

/// Connections of a script, and channels of each.
pub(crate) const CONNECTIONS: usize = 2;
pub(crate) const CHANNELS: u16 = 2;

const KEYS: [&str; 8] = ["a", "b", "a.b", "a.b.c", "q0", "q1", "", "b.a"];
const BINDING_KEYS: [&str; 12] = ["a", "b", "a.b", "#", "*", "a.#", "*.b", "#.c", "a.*.c", "", "q0", "*.#"];
const TYPES: [&str; 4] = ["direct", "fanout", "topic", "headers"];
const TABLES: [&str; 6] = [
    "{x-match=S:all k=S:1}",
    "{x-match=S:any k=S:1 l=I:2}",
    "{k=V: x-match=S:all}",
    "{}",
    "{x-match=S:any}",
    "{x-match=S:all l=I:2 x-ignored=S:y}",
];
const HEADERS: [&str; 6] = [
    "{k=S:1}",
    "{k=S:1 l=s:2}",
    "{l=l:2 CC=A:[S:q1 S:a.b]}",
    "{BCC=A:[S:q2]}",
    "{CC=A:[S:b] BCC=A:[S:q3 S:a]}",
    "{k=I:1}",
];
const PRIORITIES: [&str; 4] = ["0", "1", "5", "9"];

/// One thing that is said, or done, on one channel of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) connection: usize,
    pub(crate) channel: u16,
    pub(crate) act: Act,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// A method with its fields; names of queues and exchanges begin with `$`.
    Say { method: &'static str, fields: Vec<(&'static str, String)> },
    /// Settles the delivery at this place (modulo their number) among those outstanding on the channel, the oldest first.
    Settle { method: &'static str, place: usize, multiple: bool, requeue: bool },
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{} ", ["a", "b"][self.connection % CONNECTIONS], self.channel)?;
        match &self.act {
            Act::Say { method, fields } => {
                out.write_str(method)?;
                fields.iter().try_for_each(|(name, value)| write!(out, " {name}={value}"))
            }
            Act::Settle { method, place, multiple, requeue } => {
                write!(out, "{method} #{place} multiple={multiple} requeue={requeue}")
            }
        }
    }
}

/// Numbers that repeat by seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % limit
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// What a script may contain beside the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// No message dies of age.
    Ageless,
    /// All messages of a queue die at the same age, of no more than a millisecond; after each step there is time for that.
    Timed,
    /// All messages die at that age, whatever the queue.
    Mortal,
    /// Mistakes now and then, which close channels and connections.
    Careless,
}

/// A script of this many steps.
pub(crate) fn script(seed: u64, flavour: Flavour, count: usize) -> Vec<Step> {
    let mut writer = Writer { dice: Dice::new(seed), flavour, published: 0 };
    let opening = (0..QUEUES.len()).map(|_| writer.declare_queue()).collect::<Vec<_>>();
    let opening = opening.into_iter().map(|act| Step { connection: 0, channel: 1, act });
    let mut steps: Vec<Step> = opening.collect();
    steps.extend((0..count).map(|_| writer.step()));
    steps
}

struct Writer {
    dice: Dice,
    flavour: Flavour,
    published: usize,
}

impl Writer {
    fn step(&mut self) -> Step {
        let connection = self.dice.below(CONNECTIONS);
        let channel = 1 + self.dice.below(usize::from(CHANNELS)) as u16;
        let act = self.act(connection, channel);
        Step { connection, channel, act }
    }

    fn act(&mut self, connection: usize, channel: u16) -> Act {
        if self.flavour == Flavour::Careless && self.dice.one_in(12) {
            return self.mistake();
        }
        match self.dice.below(100) {
            0..6 => self.declare_queue(),
            6..12 => self.declare_exchange(),
            12..20 => self.bind(),
            20..50 => self.publish(),
            50..58 => self.consume(connection, channel),
            58..66 => self.get(),
            66..84 => self.settle(),
            84..86 => self.say("basic.cancel", &[("consumer-tag", self.consumer(connection, channel))]),
            86..88 => self.qos(),
            88..89 => self.say("basic.recover", &[("requeue", "1".into())]),
            89..90 => self.purge(),
            90..92 => self.delete(),
            92..93 => self.unbind(),
            93..95 => self.say("confirm.select", &[]),
            95..98 => self.transaction(),
            98 => self.say("channel.close", &[("reply-code", "200".into())]),
            _ => self.say("connection.close", &[("reply-code", "200".into())]),
        }
    }

    fn say(&self, method: &'static str, fields: &[(&'static str, String)]) -> Act {
        let fields = fields.iter().filter(|(_, value)| !value.is_empty() && value != "0").cloned().collect();
        Act::Say { method, fields }
    }

    fn queue(&mut self) -> String {
        format!("${}", self.dice.pick(&QUEUES))
    }

    fn exchange(&mut self) -> String {
        match self.dice.below(8) {
            0 => self.dice.pick(&["amq.direct", "amq.fanout", "amq.topic", "amq.headers"]).to_owned(),
            _ => format!("${}", self.dice.pick(&EXCHANGES)),
        }
    }

    fn bit(&mut self, one_in: usize) -> String {
        String::from(if self.dice.one_in(one_in) { "1" } else { "" })
    }

    fn declare_queue(&mut self) -> Act {
        let queue = self.queue();
        let mut arguments = Vec::new();
        // Who dies of its own age loses that when it is dead, and would lie in front of others that still die: see `words`.
        if self.flavour != Flavour::Mortal && self.dice.one_in(2) {
            let to = if self.dice.one_in(2) { "\"\"".to_owned() } else { self.exchange() };
            arguments.push(format!("x-dead-letter-exchange=S:{to}"));
            if self.dice.one_in(2) || to == "\"\"" {
                arguments.push(format!("x-dead-letter-routing-key=S:{}", self.queue()));
            }
        }
        if self.dice.one_in(4) {
            arguments.push(format!("x-max-length=I:{}", self.dice.below(4)));
            let ways = ["", "x-overflow=S:drop-head", "x-overflow=S:reject-publish", "x-overflow=S:reject-publish-dlx"];
            arguments.push(self.dice.pick(&ways).to_owned());
        } else if self.dice.one_in(8) {
            arguments.push(format!("x-max-length-bytes=I:{}", self.dice.below(12)));
        }
        if self.dice.one_in(5) {
            arguments.push(format!("x-max-priority=I:{}", 1 + self.dice.below(9)));
        }
        if self.dice.one_in(8) {
            arguments.push("x-single-active-consumer=t:true".into());
        }
        if self.flavour == Flavour::Timed && self.dice.one_in(2) {
            arguments.push(format!("x-message-ttl=I:{}", self.dice.below(2)));
        }
        arguments.retain(|argument| !argument.is_empty());
        let fields = [
            ("queue", queue),
            ("durable", self.bit(3)),
            ("exclusive", self.bit(12)),
            ("auto-delete", self.bit(8)),
            ("arguments", format!("{{{}}}", arguments.join(" "))),
        ];
        self.say("queue.declare", &fields)
    }

    fn declare_exchange(&mut self) -> Act {
        let fields = [
            ("exchange", format!("${}", self.dice.pick(&EXCHANGES))),
            ("type", self.dice.pick(&TYPES).to_owned()),
            ("durable", self.bit(3)),
            ("auto-delete", self.bit(8)),
            ("internal", self.bit(12)),
            (
                "arguments",
                if self.dice.one_in(4) { format!("{{alternate-exchange=S:{}}}", self.exchange()) } else { "{}".into() },
            ),
        ];
        self.say("exchange.declare", &fields)
    }

    fn bind(&mut self) -> Act {
        let key = ("routing-key", self.dice.pick(&BINDING_KEYS).to_owned());
        let arguments =
            ("arguments", if self.dice.one_in(3) { self.dice.pick(&TABLES).to_owned() } else { "{}".into() });
        if self.dice.one_in(4) {
            let ends = [("destination", self.exchange()), ("source", self.exchange()), key, arguments];
            return self.say("exchange.bind", &ends);
        }
        let ends = [("queue", self.queue()), ("exchange", self.exchange()), key, arguments];
        self.say("queue.bind", &ends)
    }

    fn unbind(&mut self) -> Act {
        let key = ("routing-key", self.dice.pick(&BINDING_KEYS).to_owned());
        if self.dice.one_in(4) {
            let ends = [("destination", self.exchange()), ("source", self.exchange()), key, ("arguments", "{}".into())];
            return self.say("exchange.unbind", &ends);
        }
        let ends = [("queue", self.queue()), ("exchange", self.exchange()), key, ("arguments", "{}".into())];
        self.say("queue.unbind", &ends)
    }

    fn publish(&mut self) -> Act {
        self.published += 1;
        let (exchange, key) = if self.dice.one_in(3) {
            (String::new(), self.queue())
        } else {
            (self.exchange(), self.dice.pick(&KEYS).to_owned())
        };
        let mut fields = vec![
            ("exchange", exchange),
            ("routing-key", key),
            ("mandatory", self.bit(3)),
            ("body", format!("m{}", self.published)),
            ("delivery-mode", if self.dice.one_in(2) { "2".into() } else { String::new() }),
        ];
        if self.dice.one_in(3) {
            fields.push(("headers", self.dice.pick(&HEADERS).to_owned()));
        }
        if self.dice.one_in(3) {
            fields.push(("priority", self.dice.pick(&PRIORITIES).to_owned()));
        }
        if self.flavour == Flavour::Mortal {
            fields.push(("expiration", self.dice.pick(&["0", "1"]).to_owned()));
        }
        fields.retain(|(name, value)| {
            !value.is_empty() && (*name == "expiration" || *name == "priority" || value != "0")
        });
        Act::Say { method: "basic.publish", fields }
    }

    /// A tag and a queue for each channel, so that it consumes from one queue only.
    fn consumer(&self, connection: usize, channel: u16) -> String {
        format!("t{connection}{channel}")
    }

    fn consume(&mut self, connection: usize, channel: u16) -> Act {
        let queue = QUEUES[(connection * usize::from(CHANNELS) + usize::from(channel)) / 2 % QUEUES.len()];
        let fields = [
            ("queue", format!("${queue}")),
            ("consumer-tag", self.consumer(connection, channel)),
            ("no-ack", self.bit(3)),
            ("exclusive", self.bit(10)),
            (
                "arguments",
                if self.dice.one_in(4) { format!("{{x-priority=I:{}}}", self.dice.below(3)) } else { "{}".into() },
            ),
        ];
        self.say("basic.consume", &fields)
    }

    fn get(&mut self) -> Act {
        let fields = [("queue", self.queue()), ("no-ack", self.bit(2))];
        self.say("basic.get", &fields)
    }

    fn settle(&mut self) -> Act {
        let method = self.dice.pick(&["basic.ack", "basic.ack", "basic.nack", "basic.reject"]);
        let method = ["basic.ack", "basic.nack", "basic.reject"].into_iter().find(|name| *name == method);
        let multiple = self.dice.one_in(4);
        Act::Settle {
            method: method.expect("one of them was picked"),
            place: self.dice.below(6),
            multiple,
            requeue: self.dice.one_in(2),
        }
    }

    fn qos(&mut self) -> Act {
        let fields = [("prefetch-count", self.dice.below(4).to_string()), ("global", self.bit(3))];
        self.say("basic.qos", &fields)
    }

    fn purge(&mut self) -> Act {
        let fields = [("queue", self.queue())];
        self.say("queue.purge", &fields)
    }

    fn delete(&mut self) -> Act {
        if self.dice.one_in(2) {
            let fields = [("exchange", format!("${}", self.dice.pick(&EXCHANGES))), ("if-unused", self.bit(3))];
            return self.say("exchange.delete", &fields);
        }
        let fields = [("queue", self.queue()), ("if-unused", self.bit(3)), ("if-empty", self.bit(3))];
        self.say("queue.delete", &fields)
    }

    fn transaction(&mut self) -> Act {
        let method = ["tx.select", "tx.commit", "tx.commit", "tx.rollback"][self.dice.below(4)];
        self.say(method, &[])
    }

    /// What is refused whatever was done before, for its arguments alone.
    fn mistake(&mut self) -> Act {
        let queue = self.queue();
        let arguments = [
            "x-max-length=S:many",
            "x-max-length=I:-1",
            "x-message-ttl=S:x",
            "x-message-ttl=I:-5",
            "x-expires=I:0",
            "x-expires=t:true",
            "x-overflow=S:odd",
            "x-overflow=I:1",
            "x-dead-letter-exchange=I:1",
            "x-dead-letter-routing-key=S:alone",
            "x-max-priority=I:300",
            "x-max-priority=S:high",
            "x-max-length-bytes=F:{}",
            "x-single-active-consumer=S:yes",
            "x-queue-type=S:odd",
            "x-queue-type=I:4",
            "x-max-age=S:1D",
        ];
        match self.dice.below(16) {
            0..5 => {
                let argument = self.dice.pick(&arguments);
                self.say("queue.declare", &[("queue", queue), ("arguments", format!("{{{argument}}}"))])
            }
            5 => self.say("basic.publish", &[("body", "never".into()), ("immediate", "1".into())]),
            6 => self.say("basic.publish", &[("exchange", "$none".into()), ("body", "never".into())]),
            7 => self
                .say("basic.publish", &[("routing-key", queue), ("body", "x".into()), ("expiration", "soon".into())]),
            8 => self.say("basic.publish", &[("routing-key", queue), ("body", "x".into()), ("user-id", "eve".into())]),
            9 => self.say("basic.ack", &[("delivery-tag", "9999".into())]),
            10 => self.say("exchange.declare", &[("exchange", "$none".into()), ("passive", "1".into())]),
            11 => self.say("exchange.declare", &[("exchange", "amq.new".into()), ("type", "fanout".into())]),
            12 => self.say("queue.declare", &[("queue", "amq.new".into())]),
            13 => self.say("queue.bind", &[("queue", queue), ("routing-key", "k".into())]),
            14 => self
                .say("basic.publish", &[("routing-key", queue), ("body", "x".into()), ("headers", "{CC=S:no}".into())]),
            _ => self.say("basic.qos", &[("prefetch-size", "1".into())]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_script_and_another_seed_another() {
        let text = |seed| script(seed, Flavour::Careless, 40).iter().map(Step::to_string).collect::<Vec<_>>();
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn every_act_comes_up() {
        let steps: Vec<Step> = (0..40).flat_map(|seed| script(seed, Flavour::Careless, 60)).collect();
        for method in
            ["queue.declare", "exchange.bind", "basic.publish", "basic.consume", "tx.commit", "connection.close"]
        {
            let says = |step: &Step| matches!(&step.act, Act::Say { method: said, .. } if *said == method);
            assert!(steps.iter().any(says), "{method}");
        }
        assert!(steps.iter().any(|step| matches!(step.act, Act::Settle { multiple: true, .. })));
    }
}
