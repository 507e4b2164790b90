//! One of the two brokers, and what it says to a script, step by step.
//!
//! After each step everything that it causes is waited for without sleeping: first the channel that spoke answers a question, then every
//! queue (asked twice, since what dies in one queue comes to another), then every channel. What a queue sends to a consumer leaves it before it answers, so nothing
//! is left on the way. Queues answer with their numbers of messages and consumers, which are compared as well.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use harness::wire::{Peer, Utterance};
use harness::{patience, unique};

use crate::script::{Act, CHANNELS, CONNECTIONS, EXCHANGES, QUEUES, Step};

/// Rounds of questions to all queues: what is dead-lettered goes a few queues far.
const ROUNDS: usize = 3;

/// Time to live of a millisecond has passed after this, and what follows from it has been done.
const AGEING: Duration = Duration::from_millis(25);

pub(crate) struct Side {
    address: SocketAddr,
    prefix: String,
    peers: Vec<Peer>,
    observer: Peer,
    /// By connection and channel.
    channels: BTreeMap<(usize, u16), Channel>,
    ages: bool,
}

/// What has to be known of a channel to go on.
#[derive(Default)]
struct Channel {
    outstanding: Vec<u64>,
    consumers_without_ack: BTreeSet<String>,
    confirms: bool,
    published: u64,
    confirmed: BTreeMap<u64, &'static str>,
    asked_without_ack: bool,
    settled_in_tx: Vec<u64>,
    in_tx: bool,
}

impl Side {
    pub(crate) fn new(address: SocketAddr, ages: bool) -> Side {
        let peers = (0..CONNECTIONS).map(|_| Peer::open(address)).collect();
        let observer = Peer::open(address);
        Side { address, prefix: format!("{}-", unique("d")), peers, observer, channels: BTreeMap::new(), ages }
    }

    /// Does it and gives all that was heard, in words that do not name this broker's names.
    pub(crate) fn play(&mut self, step: &Step) -> Vec<String> {
        let (connection, channel) = (step.connection, step.channel);
        if self.peers[connection].is_ended() {
            self.peers[connection] = Peer::open(self.address);
            self.forget(connection);
        }
        if !self.peers[connection].is_open(channel) {
            self.channels.remove(&(connection, channel));
            self.peers[connection].open_channel(channel);
        }
        let mut log = match &step.act {
            Act::Say { method, fields } => self.say(connection, channel, method, fields),
            Act::Settle { method, place, multiple, requeue } => {
                self.settle(connection, channel, method, *place, *multiple, *requeue)
            }
        };
        // RabbitMQ's queues hear of a channel's end a little after its client does.
        if self.ages || log.iter().any(|words| words.contains(".close")) {
            let_time_pass();
        }
        log.extend(self.all_that_follows());
        log
    }

    /// Deletes what scripts may have left.
    pub(crate) fn clean_up(mut self) {
        drop(self.peers);
        for (name, kind) in QUEUES.iter().map(|it| (it, "queue")).chain(EXCHANGES.iter().map(|it| (it, "exchange"))) {
            let (method, field) =
                if kind == "queue" { ("queue.delete", "queue") } else { ("exchange.delete", "exchange") };
            self.observer.open_channel(99);
            self.observer.say(99, method, &[(field, format!("{}{name}", self.prefix))]);
            let _ = self.observer.fence(99);
        }
    }

    fn forget(&mut self, connection: usize) {
        self.channels.retain(|(of, _), _| *of != connection);
    }

    fn named(&self, text: &str) -> String {
        text.replace('$', &self.prefix)
    }

    fn say(&mut self, connection: usize, channel: u16, method: &str, fields: &[(&'static str, String)]) -> Vec<String> {
        let state = self.channels.entry((connection, channel)).or_default();
        let bit = |name: &str| fields.iter().any(|(field, value)| *field == name && value == "1");
        match method {
            "confirm.select" => state.confirms = true,
            "basic.publish" if state.confirms => state.published += 1,
            "basic.get" => state.asked_without_ack = bit("no-ack"),
            "basic.recover" => state.outstanding.clear(),
            "basic.consume" if bit("no-ack") => {
                let tag = fields.iter().find(|(field, _)| *field == "consumer-tag").map(|(_, tag)| tag.clone());
                state.consumers_without_ack.extend(tag);
            }
            "tx.select" => state.in_tx = true,
            "tx.commit" => state.settled_in_tx.clear(),
            "tx.rollback" => {
                let back = std::mem::take(&mut state.settled_in_tx);
                state.outstanding.extend(back);
                state.outstanding.sort_unstable();
            }
            _ => {}
        }
        let named: Vec<_> = fields.iter().map(|(name, value)| (*name, self.named(value))).collect();
        let peer = &mut self.peers[connection];
        if method == "connection.close" {
            peer.say(0, method, &named);
            return self.hear_up_to(connection, 0, "connection.close-ok");
        }
        peer.say(channel, method, &named);
        // Nothing may be said while a commit runs, nor behind a close.
        match method {
            "channel.close" => return self.hear_up_to(connection, channel, "channel.close-ok"),
            "tx.commit" => return self.hear_up_to(connection, channel, "tx.commit-ok"),
            _ => {}
        }
        if method == "basic.publish" { self.confirmed(connection, channel) } else { self.fence(connection, channel) }
    }

    /// What comes up to this answer, or to the end that a refusal is.
    fn hear_up_to(&mut self, connection: usize, channel: u16, answer: &str) -> Vec<String> {
        let mut log = Vec::new();
        while let Some(utterance) = self.peers[connection].hear(channel) {
            log.extend(self.note(connection, &utterance));
            if utterance.method == answer || utterance.method.ends_with(".close") {
                break;
            }
        }
        log
    }

    fn settle(
        &mut self,
        connection: usize,
        channel: u16,
        method: &str,
        place: usize,
        multiple: bool,
        requeue: bool,
    ) -> Vec<String> {
        let state = self.channels.entry((connection, channel)).or_default();
        if state.outstanding.is_empty() {
            return Vec::new();
        }
        let tag = state.outstanding[place % state.outstanding.len()];
        let multiple = multiple && method != "basic.reject";
        let (gone, kept) = state.outstanding.iter().partition(|it| **it == tag || (multiple && **it < tag));
        state.outstanding = kept;
        if state.in_tx {
            state.settled_in_tx.extend::<Vec<u64>>(gone);
        }
        let mut fields = vec![("delivery-tag", tag.to_string())];
        fields.extend(multiple.then(|| ("multiple", "1".to_owned())));
        fields.extend((requeue && method != "basic.ack").then(|| ("requeue", "1".to_owned())));
        self.peers[connection].say(channel, method, &fields);
        self.fence(connection, channel)
    }

    /// Waits until the channel has answered for each publish, if it does at all.
    fn confirmed(&mut self, connection: usize, channel: u16) -> Vec<String> {
        let deadline = Instant::now() + patience();
        let mut log = self.fence(connection, channel);
        loop {
            let Some(state) = self.channels.get(&(connection, channel)) else { return log };
            let is_waiting = state.confirms && (state.confirmed.len() as u64) < state.published;
            if !is_waiting || !self.peers[connection].is_open(channel) {
                return log;
            }
            assert!(Instant::now() < deadline, "a publish was never confirmed");
            log.extend(self.fence(connection, channel));
        }
    }

    fn fence(&mut self, connection: usize, channel: u16) -> Vec<String> {
        let heard = self.peers[connection].fence(channel);
        let mut log = Vec::new();
        for utterance in &heard {
            if let Some(words) = self.note(connection, utterance) {
                log.push(words);
            }
        }
        log
    }

    /// The words for the log; confirms have none of their own but the publish's that they end.
    fn note(&mut self, connection: usize, utterance: &Utterance) -> Option<String> {
        let state = self.channels.entry((connection, utterance.channel)).or_default();
        match utterance.method {
            "basic.ack" | "basic.nack" => {
                let tag: u64 = utterance.field("delivery-tag").parse().expect("a number");
                let open = (1..=state.published).filter(|it| !state.confirmed.contains_key(it));
                let meant: Vec<u64> =
                    open.filter(|it| *it == tag || (utterance.field("multiple") == "1" && *it < tag)).collect();
                assert!(!meant.is_empty(), "a confirm of nothing: {utterance:?}");
                state.confirmed.extend(meant.iter().map(|it| (*it, utterance.method)));
                let words = meant.iter().map(|it| format!("{} {it}", utterance.method)).collect::<Vec<_>>().join(", ");
                return Some(format!("{connection}.{} confirm: {words}", utterance.channel));
            }
            "basic.deliver" if !state.consumers_without_ack.contains(utterance.field("consumer-tag")) => {
                state.outstanding.extend(utterance.field("delivery-tag").parse::<u64>());
            }
            "basic.get-ok" if !state.asked_without_ack => {
                state.outstanding.extend(utterance.field("delivery-tag").parse::<u64>());
            }
            "basic.cancel-ok" => drop(state.consumers_without_ack.remove(utterance.field("consumer-tag"))),
            "channel.close" | "channel.close-ok" => drop(self.channels.remove(&(connection, utterance.channel))),
            "connection.close" => self.forget(connection),
            _ => {}
        }
        Some(self.words(connection, utterance))
    }

    fn words(&self, connection: usize, utterance: &Utterance) -> String {
        let said = |(name, value): &(&str, String)| format!(" {name}={}", value.replace(&self.prefix, "$"));
        let fields: String = utterance.fields.iter().map(said).collect();
        let body = if utterance.body.is_empty() { String::new() } else { format!(" body={}", utterance.body) };
        format!("{connection}.{} {}{fields}{body}", utterance.channel, utterance.method)
    }

    fn all_that_follows(&mut self) -> Vec<String> {
        let mut states = Vec::new();
        for _ in 0..ROUNDS {
            states = self.ask_queues();
        }
        let mut log = Vec::new();
        for connection in 0..CONNECTIONS {
            for channel in 1..=CHANNELS {
                log.extend(self.fence(connection, channel));
            }
        }
        log.extend(states);
        log
    }

    /// What each queue says of itself; one round trip for all.
    fn ask_queues(&mut self) -> Vec<String> {
        for (channel, queue) in (1..).zip(QUEUES) {
            self.observer.open_channel(channel);
            let fields = [("queue", format!("{}{queue}", self.prefix)), ("passive", "1".to_owned())];
            self.observer.say(channel, "queue.declare", &fields);
        }
        let mut states = Vec::new();
        for (channel, queue) in (1..).zip(QUEUES) {
            let heard = self.observer.hear(channel).expect("the observer's connection is not closed");
            states.push(match heard.method {
                "queue.declare-ok" => {
                    format!(
                        "{queue}: {} messages, {} consumers",
                        heard.field("message-count"),
                        heard.field("consumer-count")
                    )
                }
                _ => format!("{queue}: {}", heard.field("reply-code")),
            });
        }
        states
    }
}

/// By the clock: what dies of age dies by it.
fn let_time_pass() {
    thread::sleep(AGEING);
}
