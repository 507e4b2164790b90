//! Plays a transcript against a broker.
//!
//! States of a connection: raw (nothing said) or open, then ended (closed by either side). A deviation panics with the line, what it
//! expected and what was heard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use super::codec::{self, encode_header, encode_method, frame};
use super::script::{Generation, Line, body, hex, lines, quoted, substitute, tokens};
use super::socket::{Heard, Silence, Socket};
use super::spec::{Method, PROPERTIES};
use crate::{Broker, patience, unique};

const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

/// What a client of today can do.
const CAPABILITIES: &str = "{consumer_cancel_notify=t:true basic.nack=t:true publisher_confirms=t:true \
                            connection.blocked=t:true authentication_failure_close=t:true}";

/// Plays the transcript; the language is described in the module `script`.
///
/// # Panics
/// When the broker deviates from it.
pub fn play(broker: &Broker, script: &str) {
    let mut transcript = Transcript::new(broker);
    transcript.play(script);
    transcript.finish();
    if broker.is_foreign() {
        delete_all(transcript.address, &transcript.made);
    }
}

/// Deletes queues and exchanges of these names, as far as they exist: a broker that outlives the tests should not collect their remains.
pub fn delete_all(address: SocketAddr, names: &[String]) {
    let mut link = Link::open(address, &BTreeMap::new());
    for (channel, name) in (1u16..).zip(names) {
        link.say_method(channel, "channel.open", &[]);
        link.say_method(channel, "queue.delete", &[("queue", name.clone())]);
        link.say_method(channel, "exchange.delete", &[("exchange", name.clone())]);
    }
    link.say_method(0, "connection.close", &[("reply-code", "200".to_owned())]);
    link.socket.flush();
    // Refusals are of no interest here, only that the broker is done.
    let _ = link.socket.hear(0);
}

/// Which lines of a transcript are for the broker at this address.
fn generation(address: SocketAddr) -> Generation {
    static GENERATION: OnceLock<Generation> = OnceLock::new();
    *GENERATION.get_or_init(|| {
        let link = Link::open(address, &BTreeMap::new());
        if link.server_properties.contains(" version=S:3.") { Generation::Three } else { Generation::Four }
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Raw,
    Open,
    Ended,
}

/// A connection of the transcript.
pub(crate) struct Link {
    pub(crate) socket: Socket,
    state: State,
    channels: BTreeSet<u16>,
    server_properties: String,
}

impl Link {
    fn raw(address: SocketAddr) -> Link {
        Link {
            socket: Socket::connect(address),
            state: State::Raw,
            channels: BTreeSet::new(),
            server_properties: String::new(),
        }
    }

    /// Connects and shakes hands, with these options instead of the usual.
    pub(crate) fn open(address: SocketAddr, options: &BTreeMap<&str, String>) -> Link {
        let option = |name: &str, usual: &str| options.get(name).cloned().unwrap_or_else(|| usual.to_owned());
        let mut link = Link::raw(address);
        link.socket.say(PROTOCOL_HEADER);
        let start = link.expect_method(0, "connection.start");
        link.server_properties = field(&start, "server-properties").unwrap_or_default().to_owned();
        let properties = format!("{{product=S:transcripts capabilities=F:{}}}", option("capabilities", CAPABILITIES));
        let response = format!("\0{}\0{}", option("user", "guest"), option("password", "guest"));
        link.say_method(
            0,
            "connection.start-ok",
            &[
                ("client-properties", properties),
                ("mechanism", "PLAIN".to_owned()),
                ("response", response),
                ("locale", "en_US".to_owned()),
            ],
        );
        let tune = link.expect_method(0, "connection.tune");
        let offered = |name: &str| option(name, field(&tune, name).unwrap_or_default());
        let frame_max = offered("frame-max");
        link.socket.frame_max = frame_max.parse().ok().filter(|&max| max > 0).unwrap_or(usize::MAX);
        link.say_method(
            0,
            "connection.tune-ok",
            &[
                ("channel-max", offered("channel-max")),
                ("frame-max", frame_max),
                ("heartbeat", option("heartbeat", "0")),
            ],
        );
        link.say_method(0, "connection.open", &[("virtual-host", option("vhost", "/"))]);
        link.expect_method(0, "connection.open-ok");
        link.state = State::Open;
        link
    }

    fn say_method(&mut self, channel: u16, name: &str, fields: &[(&str, String)]) {
        let method = Method::named(name).unwrap_or_else(|| panic!("no method is called {name}"));
        self.socket.say(&frame(codec::METHOD, channel, &encode_method(method, fields)));
    }

    /// Says a method with its content, if it carries one.
    pub(crate) fn say(&mut self, channel: u16, name: &str, fields: &[(&str, String)]) {
        let of_content =
            |&(field, _): &&(&str, String)| *field == "body" || PROPERTIES.iter().any(|(name, _)| *name == *field);
        let method = Method::named(name).unwrap_or_else(|| panic!("no method is called {name}"));
        if !method.carries_content() {
            return self.say_method(channel, name, fields);
        }
        let (content, fields): (Vec<_>, Vec<_>) = fields.iter().cloned().partition(|field| of_content(&field));
        self.say_method(channel, name, &fields);
        let body = content.iter().find(|(field, _)| *field == "body").map(|(_, text)| body(text)).unwrap_or_default();
        let properties: Vec<_> = content.into_iter().filter(|(field, _)| *field != "body").collect();
        let header = encode_header(method.class, 0, body.len() as u64, &properties);
        self.socket.say(&frame(codec::HEADER, channel, &header));
        for part in body.chunks(self.socket.frame_max - 8) {
            self.socket.say(&frame(codec::BODY, channel, part));
        }
    }

    fn open_channel(&mut self, channel: u16) {
        if self.state == State::Open && channel > 0 && self.channels.insert(channel) {
            self.say_method(channel, "channel.open", &[]);
            self.expect_method(channel, "channel.open-ok");
        }
    }

    fn expect_method(&mut self, channel: u16, name: &str) -> Heard {
        self.socket.flush();
        match self.socket.hear(channel) {
            Ok(heard) if heard.said.method == name => heard,
            Ok(heard) => panic!("expected {name}, heard {}", heard.said),
            Err(silence) => panic!("expected {name}, heard {silence:?}"),
        }
    }
}

fn field<'a>(heard: &'a Heard, name: &str) -> Option<&'a str> {
    heard.said.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str())
}

/// A conversation that goes on in pieces, so that a test can do something to the broker between them. [`play`] is one in one piece.
pub struct Transcript {
    address: SocketAddr,
    connections: BTreeMap<String, Link>,
    names: BTreeMap<String, String>,
    /// Names that exist only because of this transcript.
    made: Vec<String>,
}

impl Transcript {
    /// A conversation in which nothing has been said yet.
    pub fn new(broker: &Broker) -> Transcript {
        let address = broker.address();
        Transcript { address, connections: BTreeMap::new(), names: BTreeMap::new(), made: Vec::new() }
    }

    /// Plays some more lines; connections and names of earlier ones live on.
    ///
    /// # Panics
    /// When the broker deviates from them.
    pub fn play(&mut self, script: &str) {
        for line in lines(script) {
            if line.generation.is_none_or(|wanted| wanted == generation(self.address)) {
                self.play_line(&line);
            }
        }
    }

    /// Closes what is open; nothing unheard may be left anywhere.
    ///
    /// # Panics
    /// When something is, or a connection does not close.
    pub fn finish(&mut self) {
        let names: Vec<String> = self.connections.keys().cloned().collect();
        for name in names {
            if self.link(&name).state == State::Open {
                self.close(&name).unwrap_or_else(|what| panic!("at the end, connection {name}: {what}"));
            }
        }
    }

    fn play_line(&mut self, line: &Line<'_>) {
        if !matches!(line.sign, ">" | ">>") && line.sign != ":" {
            self.connections.values_mut().for_each(|link| link.socket.flush());
        }
        let result = match line.sign {
            ">" | ">>" => self.say(line),
            "<" => self.hear(line),
            "!" => self.be_refused(line),
            "~" => self.ask_until(line),
            _ => self.act(line),
        };
        result.unwrap_or_else(|what| panic!("line {}: {}\n{what}", line.number, line.text));
    }

    fn link(&mut self, name: &str) -> &mut Link {
        let address = self.address;
        self.connections.entry(name.to_owned()).or_insert_with(|| Link::open(address, &BTreeMap::new()))
    }

    fn say(&mut self, line: &Line<'_>) -> Result<(), String> {
        let (method, fields) = self.statement(line.rest);
        let link = self.link(line.connection);
        if line.sign == ">" {
            link.open_channel(line.channel);
        }
        let fields: Vec<(&str, String)> = fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        link.say(line.channel, &method, &fields);
        Ok(())
    }

    fn hear(&mut self, line: &Line<'_>) -> Result<(), String> {
        let heard = self.next(line)?;
        let link = self.link(line.connection);
        match heard.said.method {
            "channel.close-ok" => drop(link.channels.remove(&line.channel)),
            "connection.close-ok" => link.state = State::Ended,
            _ => {}
        }
        self.compare(&heard, line.rest)
    }

    fn next(&mut self, line: &Line<'_>) -> Result<Heard, String> {
        self.link(line.connection).socket.hear(line.channel).map_err(|silence| said_nothing(&silence))
    }

    fn be_refused(&mut self, line: &Line<'_>) -> Result<(), String> {
        let mut words = line.rest.splitn(3, ' ');
        let (code, method, text) =
            (words.next().unwrap_or_default(), words.next().unwrap_or("-"), words.next().unwrap_or_default());
        let (class, id) = Method::named(method).map_or((0, 0), |method| (method.class, method.id));
        let text = self.known(text)?;
        let text = if text.is_empty() { reply_name(code).to_owned() } else { format!("{} - {text}", reply_name(code)) };
        let close = if line.channel == 0 { "connection.close" } else { "channel.close" };
        let expected = [
            ("reply-code", code.to_owned()),
            ("reply-text", text),
            ("class-id", class.to_string()),
            ("method-id", id.to_string()),
        ];
        let heard = self.next(line)?;
        if heard.said.method != close || heard.said.fields != expected {
            return Err(format!(
                "expected {}\nheard    {}",
                codec::Said { method: close, fields: expected.into() },
                heard.said
            ));
        }
        self.agree_to_close(line)
    }

    fn agree_to_close(&mut self, line: &Line<'_>) -> Result<(), String> {
        let link = self.link(line.connection);
        if line.channel > 0 {
            link.say_method(line.channel, "channel.close-ok", &[]);
            link.channels.remove(&line.channel);
            return Ok(());
        }
        link.say_method(0, "connection.close-ok", &[]);
        link.socket.flush();
        link.state = State::Ended;
        let ended = link.socket.hear_end().map_err(|silence| said_nothing(&silence));
        ended.and_then(|()| nothing_unheard(link))
    }

    fn ask_until(&mut self, line: &Line<'_>) -> Result<(), String> {
        let (question, answer) = line.rest.split_once(" => ").ok_or("an answer stands behind =>")?;
        let deadline = Instant::now() + patience();
        let mut nearest = None;
        loop {
            self.say(&Line { sign: ">", rest: question, ..line.clone() })?;
            self.link(line.connection).socket.flush();
            let heard = self.next(line)?;
            let refused = heard.said.method == "channel.close";
            let fits = match answer.strip_prefix("! ") {
                Some(code) if refused && field(&heard, "reply-code") == Some(code) => Ok(()),
                Some(_) => Err(format!("heard {}", heard.said)),
                None => self.compare(&heard, answer),
            };
            if refused {
                self.agree_to_close(line)?;
            }
            let Err(what) = fits else { return Ok(()) };
            // A reply of the right kind tells more than those before and after it.
            if nearest.is_none() || answer.split(' ').next() == Some(heard.said.method) {
                nearest = Some(what);
            }
            if Instant::now() > deadline {
                return Err(nearest.unwrap_or_default());
            }
        }
    }

    fn act(&mut self, line: &Line<'_>) -> Result<(), String> {
        let (verb, rest) = line.rest.split_once(' ').unwrap_or((line.rest, ""));
        let address = self.address;
        if verb == "raw" {
            self.connections.insert(line.connection.to_owned(), Link::raw(address));
            return Ok(());
        }
        if verb == "method" {
            let (method, fields) = self.statement(rest);
            let fields: Vec<(&str, String)> =
                fields.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
            let link = self.link(line.connection);
            link.open_channel(line.channel);
            link.say_method(line.channel, &method, &fields);
            return Ok(());
        }
        let (_, given) = self.statement(&format!("options {rest}"));
        let given: BTreeMap<&str, String> = given.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        if verb == "open" {
            self.connections.insert(line.connection.to_owned(), Link::open(address, &given));
            return Ok(());
        }
        let number = |name: &str, usual: u64| {
            given.get(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{text}: not a number")))
        };
        let link = self.link(line.connection);
        match verb {
            "header" => {
                let properties: Vec<_> =
                    given.iter().filter(|(name, _)| PROPERTIES.iter().any(|(known, _)| known == *name)).collect();
                let properties: Vec<(&str, String)> =
                    properties.into_iter().map(|(&name, value)| (name, value.clone())).collect();
                let (class, weight) = (number("class", 60) as u16, number("weight", 0) as u16);
                let header = encode_header(class, weight, number("size", 0), &properties);
                link.socket.say(&frame(codec::HEADER, line.channel, &header));
            }
            "body" => link.socket.say(&frame(codec::BODY, line.channel, &body(rest))),
            "frame" => {
                let payload = hex(given.get("payload").map_or("", String::as_str));
                let mut bytes = frame(number("type", 1) as u8, number("channel", 0) as u16, &payload);
                if let Some(end) = bytes.last_mut() {
                    *end = number("end", u64::from(codec::FRAME_END)) as u8;
                }
                link.socket.say(&bytes);
            }
            "bytes" => link.socket.say(&hex(rest)),
            "slowly" => link.socket.is_slow = true,
            "drop" => {
                link.socket.flush();
                self.connections.remove(line.connection);
            }
            "confirmed" => {
                return self.await_confirms(line, rest.parse().unwrap_or_else(|_| panic!("{rest}: not a number")));
            }
            _ => return self.await_event(line.connection, verb, rest),
        }
        Ok(())
    }

    /// Hears acks, single or multiple in any order, until the publishes 1 to `last` are confirmed, each once.
    fn await_confirms(&mut self, line: &Line<'_>, last: u64) -> Result<(), String> {
        let mut open: BTreeSet<u64> = (1..=last).collect();
        self.link(line.connection).socket.flush();
        while !open.is_empty() {
            let heard = self.next(line)?;
            let tag: Option<u64> = field(&heard, "delivery-tag").and_then(|tag| tag.parse().ok());
            let tag = tag.filter(|tag| heard.said.method == "basic.ack" && open.contains(tag));
            let tag = tag.ok_or_else(|| format!("expected confirms of {open:?}\nheard    {}", heard.said))?;
            let multiple = field(&heard, "multiple") == Some("1");
            open.retain(|&number| number != tag && !(multiple && number < tag));
        }
        Ok(())
    }

    fn await_event(&mut self, connection: &str, verb: &str, rest: &str) -> Result<(), String> {
        let link = self.link(connection);
        link.socket.flush();
        let silence = |silence: Silence| said_nothing(&silence);
        match verb {
            "hears" => {
                let (expected, heard) = (hex(rest), link.socket.hear_bytes(hex(rest).len()).map_err(silence)?);
                if heard == expected { Ok(()) } else { Err(format!("expected {expected:?}\nheard    {heard:?}")) }
            }
            "heartbeat" => link.socket.hear_heartbeat().map_err(silence),
            "end" => {
                link.state = State::Ended;
                link.socket.hear_end().map_err(silence)?;
                nothing_unheard(link)
            }
            "close" => self.close(connection),
            _ => Err(format!("no act is called {verb}")),
        }
    }

    fn close(&mut self, connection: &str) -> Result<(), String> {
        let link = self.link(connection);
        link.state = State::Ended;
        link.say_method(0, "connection.close", &[("reply-code", "200".to_owned())]);
        link.socket.flush();
        let heard = link.socket.hear(0).map_err(|silence| said_nothing(&silence))?;
        if heard.said.method != "connection.close-ok" {
            return Err(format!("expected connection.close-ok\nheard    {}", heard.said));
        }
        // RabbitMQ leaves it to the client to end the connection after its close-ok, so there is no end to wait for.
        nothing_unheard(link)
    }

    /// Method and fields of something that is to be said; new variables become names that nobody else uses.
    fn statement(&mut self, text: &str) -> (String, Vec<(String, String)>) {
        let text = substitute(text, |name| match self.names.get(name) {
            Some(value) => value.clone(),
            None => {
                let value = unique(name);
                self.names.insert(name.to_owned(), value.clone());
                self.made.push(value.clone());
                value
            }
        });
        let mut words = tokens(&text).into_iter();
        let method = words.next().unwrap_or_default().to_owned();
        let field = |word: &str| match word.split_once('=') {
            // Bodies keep their quotes: `script::body` gives them their meaning.
            Some((name @ ("body" | "payload"), value)) => (name.to_owned(), value.to_owned()),
            Some((name, value)) => (name.to_owned(), quoted(value)),
            None => (word.to_owned(), "1".to_owned()),
        };
        (method, words.map(field).collect())
    }

    /// A text whose variables must all be known.
    fn known(&self, text: &str) -> Result<String, String> {
        let mut unknown = None;
        let text = substitute(text, |name| {
            self.names.get(name).cloned().unwrap_or_else(|| {
                unknown = Some(name.to_owned());
                String::new()
            })
        });
        unknown.map_or(Ok(text), |name| Err(format!("${name} is not known yet")))
    }

    fn compare(&mut self, heard: &Heard, expected: &str) -> Result<(), String> {
        let mut words = tokens(expected).into_iter();
        let method = words.next().unwrap_or_default();
        let words: Vec<&str> = words.collect();
        let different = |what: String| {
            format!("{what}\nheard    {} body={:?} frames={}", heard.said, shown(&heard.body), heard.frames)
        };
        if heard.said.method != method {
            return Err(different(format!("expected {method}")));
        }
        let bits = Method::named(method).into_iter().flat_map(Method::fields).filter(|(_, kind)| *kind == "bit");
        let bits = bits.filter(|(name, _)| !words.iter().any(|word| word.strip_prefix('?') == Some(name)));
        for (name, _) in bits {
            if (field(heard, name) == Some("1")) != words.contains(&name) {
                return Err(different(format!("expected {}{name}", if words.contains(&name) { "" } else { "not " })));
            }
        }
        words.into_iter().try_for_each(|word| self.compare_field(heard, word)).map_err(different)
    }

    fn compare_field(&mut self, heard: &Heard, word: &str) -> Result<(), String> {
        let matches = |fits: bool| if fits { Ok(()) } else { Err(format!("expected {word}")) };
        if let Some(name) = word.strip_prefix('!') {
            return matches(field(heard, name).is_none());
        }
        if let Some((name, part)) = word.split_once('~').filter(|(name, _)| !name.contains('=')) {
            let part = self.known(&quoted(part))?;
            return matches(field(heard, name).is_some_and(|value| value.contains(&part)));
        }
        let Some((name, value)) = word.split_once('=') else { return Ok(()) };
        let new_name = value.strip_prefix('$').filter(|variable| !self.names.contains_key(*variable));
        if let (Some(variable), Some(value)) = (new_name, field(heard, name)) {
            self.names.insert(variable.to_owned(), value.to_owned());
            return Ok(());
        }
        let value = self.known(value)?;
        matches(match name {
            "body" => heard.body == body(&value),
            "frames" => heard.frames.to_string() == value,
            _ => field(heard, name) == Some(&quoted(&value)),
        })
    }
}

fn nothing_unheard(link: &mut Link) -> Result<(), String> {
    let unheard = link.socket.unheard();
    if unheard.is_empty() { Ok(()) } else { Err(format!("heard what nobody expected:\n{}", unheard.join("\n"))) }
}

fn said_nothing(silence: &Silence) -> String {
    match silence {
        Silence::End => "heard    the end of the connection".to_owned(),
        Silence::TimedOut => format!("heard    nothing within {:?}", patience()),
        Silence::Malformed(what) => format!("heard    {what}"),
    }
}

fn shown(body: &[u8]) -> String {
    let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
    if body.len() > 40 { format!("{start}... ({} bytes)", body.len()) } else { start }
}

/// The name that begins the text of a reply with this code.
fn reply_name(code: &str) -> &'static str {
    match code {
        "200" => "REPLY_SUCCESS",
        "311" => "CONTENT_TOO_LARGE",
        "312" => "NO_ROUTE",
        "320" => "CONNECTION_FORCED",
        "402" => "INVALID_PATH",
        "403" => "ACCESS_REFUSED",
        "404" => "NOT_FOUND",
        "405" => "RESOURCE_LOCKED",
        "406" => "PRECONDITION_FAILED",
        "501" => "FRAME_ERROR",
        "502" => "SYNTAX_ERROR",
        "503" => "COMMAND_INVALID",
        "504" => "CHANNEL_ERROR",
        "505" => "UNEXPECTED_FRAME",
        "506" => "RESOURCE_ERROR",
        "530" => "NOT_ALLOWED",
        "540" => "NOT_IMPLEMENTED",
        "541" => "INTERNAL_ERROR",
        _ => panic!("{code}: not a reply code"),
    }
}
