//! What a client says, as bytes, and the same with mistakes in it.

const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("short");
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, b"\xce"].concat()
}

fn method(channel: u16, class: u8, id: u8, fields: &[&[u8]]) -> Vec<u8> {
    frame(1, channel, &[&[0, class, 0, id][..], &fields.concat()].concat())
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).expect("short")][..], text.as_bytes()].concat()
}

/// The handshake and channel 1.
pub(crate) fn opened() -> Vec<u8> {
    let start_ok: [&[u8]; 4] = [&[0; 4], b"\x05PLAIN", b"\x00\x00\x00\x0c\x00guest\x00guest", b"\x05en_US"];
    [
        PROTOCOL_HEADER.to_vec(),
        method(0, 10, 11, &start_ok),
        method(0, 10, 31, &[b"\x07\xff\x00\x02\x00\x00\x00\x00"]),
        method(0, 10, 40, &[b"\x01/\x00\x00"]),
        method(1, 20, 10, &[b"\x00"]),
    ]
    .concat()
}

pub(crate) fn declare(queue: &str) -> Vec<u8> {
    method(1, 50, 10, &[&[0; 2], &short(queue), &[0; 5]])
}

/// Exclusive and named by the broker; later methods on the channel mean it.
pub(crate) fn declare_own() -> Vec<u8> {
    method(1, 50, 10, &[&[0; 2], &short(""), &[0b100], &[0; 4]])
}

pub(crate) fn declare_durable(queue: &str) -> Vec<u8> {
    method(1, 50, 10, &[&[0; 2], &short(queue), &[0b10], &[0; 4]])
}

pub(crate) fn confirm_select() -> Vec<u8> {
    method(1, 85, 10, &[&[0]])
}

pub(crate) fn confirm_select_ok() -> Vec<u8> {
    method(1, 85, 11, &[])
}

pub(crate) fn confirmed(number: u64) -> Vec<u8> {
    method(1, 60, 80, &[&number.to_be_bytes(), &[0]])
}

pub(crate) fn channel_open_ok() -> Vec<u8> {
    method(1, 20, 11, &[&[0; 4]])
}

pub(crate) fn publish_persistent(routing_key: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = method(1, 60, 40, &[&[0; 3], &short(routing_key), &[0]]);
    let properties = b"\x10\x00\x02";
    bytes.extend(frame(2, 1, &[&b"\x00\x3c\x00\x00"[..], &(body.len() as u64).to_be_bytes(), properties].concat()));
    bytes.extend(frame(3, 1, body));
    bytes
}

pub(crate) fn publish(routing_key: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = method(1, 60, 40, &[&[0; 3], &short(routing_key), &[0]]);
    bytes.extend(frame(2, 1, &[&b"\x00\x3c\x00\x00"[..], &(body.len() as u64).to_be_bytes(), &[0; 2]].concat()));
    body.chunks(131_064).for_each(|piece| bytes.extend(frame(3, 1, piece)));
    bytes
}

pub(crate) fn get(queue: &str) -> Vec<u8> {
    method(1, 60, 70, &[&[0; 2], &short(queue), &[0]])
}

pub(crate) fn consume(queue: &str) -> Vec<u8> {
    method(1, 60, 20, &[&[0; 2], &short(queue), &[0; 6]])
}

/// Without acknowledgements.
pub(crate) fn consume_no_ack(queue: &str) -> Vec<u8> {
    method(1, 60, 20, &[&[0; 2], &short(queue), &[0, 2, 0, 0, 0, 0]])
}

pub(crate) fn requeue_all() -> Vec<u8> {
    method(1, 60, 120, &[&[0; 8], &[3]])
}

pub(crate) fn close() -> Vec<u8> {
    method(0, 10, 50, &[b"\x00\xc8\x00\x00\x00\x00\x00"])
}

pub(crate) fn close_ok() -> Vec<u8> {
    method(0, 10, 51, &[])
}

/// A good session with up to three bytes changed, lost or added.
pub(crate) fn mutated(random: &mut Random) -> Vec<u8> {
    let body = vec![b'b'; random.below(3000)];
    let mut bytes = [
        opened(),
        declare("f"),
        consume("f"),
        publish("f", &body),
        publish("amq.rabbitmq.reply-to.1.1.s", b"x"),
        get("f"),
        requeue_all(),
        method(1, 50, 30, &[&[0; 2], &short("f"), &[0]]),
        method(1, 50, 40, &[&[0; 2], &short("f"), &[0]]),
        method(1, 20, 40, &[b"\x00\xc8\x00\x00\x00\x00\x00"]),
        close(),
    ]
    .concat();
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = random.below(256) as u8,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, random.below(256) as u8),
        }
    }
    bytes
}

/// Numbers that repeat by seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}
