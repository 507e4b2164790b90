//! Tests of all methods: against a second, independent description of the grammar with a naive encoder, and against bytes
//! checked by hand.

use super::*;
use crate::table::{RawTable, Table};
use crate::testing::{Random, hex};

/// Ids, name and field types of every method, reserved fields in parentheses.
const GRAMMAR: &str = "
        10.10 connection.start octet octet table longstr longstr
        10.11 connection.start-ok table shortstr longstr shortstr
        10.20 connection.secure longstr
        10.21 connection.secure-ok longstr
        10.30 connection.tune short long short
        10.31 connection.tune-ok short long short
        10.40 connection.open shortstr (shortstr) (bit)
        10.41 connection.open-ok (shortstr)
        10.50 connection.close short shortstr short short
        10.51 connection.close-ok
        10.60 connection.blocked shortstr
        10.61 connection.unblocked
        10.70 connection.update-secret longstr shortstr
        10.71 connection.update-secret-ok
        20.10 channel.open (shortstr)
        20.11 channel.open-ok (longstr)
        20.20 channel.flow bit
        20.21 channel.flow-ok bit
        20.40 channel.close short shortstr short short
        20.41 channel.close-ok
        30.10 access.request shortstr bit bit bit bit bit
        30.11 access.request-ok short
        40.10 exchange.declare (short) shortstr shortstr bit bit bit bit bit table
        40.11 exchange.declare-ok
        40.20 exchange.delete (short) shortstr bit bit
        40.21 exchange.delete-ok
        40.30 exchange.bind (short) shortstr shortstr shortstr bit table
        40.31 exchange.bind-ok
        40.40 exchange.unbind (short) shortstr shortstr shortstr bit table
        40.51 exchange.unbind-ok
        50.10 queue.declare (short) shortstr bit bit bit bit bit table
        50.11 queue.declare-ok shortstr long long
        50.20 queue.bind (short) shortstr shortstr shortstr bit table
        50.21 queue.bind-ok
        50.30 queue.purge (short) shortstr bit
        50.31 queue.purge-ok long
        50.40 queue.delete (short) shortstr bit bit bit
        50.41 queue.delete-ok long
        50.50 queue.unbind (short) shortstr shortstr shortstr table
        50.51 queue.unbind-ok
        60.10 basic.qos long short bit
        60.11 basic.qos-ok
        60.20 basic.consume (short) shortstr shortstr bit bit bit bit table
        60.21 basic.consume-ok shortstr
        60.30 basic.cancel shortstr bit
        60.31 basic.cancel-ok shortstr
        60.40 basic.publish (short) shortstr shortstr bit bit +content
        60.50 basic.return short shortstr shortstr shortstr +content
        60.60 basic.deliver shortstr longlong bit shortstr shortstr +content
        60.70 basic.get (short) shortstr bit
        60.71 basic.get-ok longlong bit shortstr shortstr long +content
        60.72 basic.get-empty (shortstr)
        60.80 basic.ack longlong bit
        60.90 basic.reject longlong bit
        60.100 basic.recover-async bit
        60.110 basic.recover bit
        60.111 basic.recover-ok
        60.120 basic.nack longlong bit bit
        90.10 tx.select
        90.11 tx.select-ok
        90.20 tx.commit
        90.21 tx.commit-ok
        90.30 tx.rollback
        90.31 tx.rollback-ok
        85.10 confirm.select bit
        85.11 confirm.select-ok
";

struct Row {
    ids: (u16, u16),
    name: &'static str,
    types: Vec<&'static str>,
    carries_content: bool,
}

fn grammar() -> impl Iterator<Item = Row> {
    GRAMMAR.lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        let (class_id, method_id) = words.next().and_then(|ids| ids.split_once('.')).expect("two ids");
        let name = words.next().expect("a name");
        let mut types: Vec<_> = words.collect();
        let carries_content = types.pop_if(|last| *last == "+content").is_some();
        Row { ids: (class_id.parse().expect("id"), method_id.parse().expect("id")), name, types, carries_content }
    })
}

/// Random fields as the grammar wants them; the same with the reserved ones zero or empty.
fn naive_fields(types: &[&str], random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let (mut wire, mut expected) = (Vec::new(), Vec::new());
    let mut bits: Vec<(bool, bool)> = Vec::new();
    for word in types {
        let kind = word.trim_matches(['(', ')']);
        let is_reserved = kind != *word;
        if kind == "bit" {
            let bit = random.flip();
            bits.push((bit, bit && !is_reserved));
            continue;
        }
        flush_bits(&mut bits, &mut wire, &mut expected);
        let (value, empty) = naive_value(kind, random);
        expected.extend_from_slice(if is_reserved { &empty } else { &value });
        wire.extend(value);
    }
    flush_bits(&mut bits, &mut wire, &mut expected);
    (wire, expected)
}

fn flush_bits(bits: &mut Vec<(bool, bool)>, wire: &mut Vec<u8>, expected: &mut Vec<u8>) {
    for octet in bits.chunks(8) {
        let pack = |bit: fn(&(bool, bool)) -> bool| {
            octet.iter().enumerate().map(|(place, pair)| u8::from(bit(pair)) << place).sum::<u8>()
        };
        wire.push(pack(|pair| pair.0));
        expected.push(pack(|pair| pair.1));
    }
    bits.clear();
}

fn naive_value(kind: &str, random: &mut Random) -> (Vec<u8>, Vec<u8>) {
    let number = random.next().to_be_bytes();
    match kind {
        "octet" => (number[..1].to_vec(), vec![0; 1]),
        "short" => (number[..2].to_vec(), vec![0; 2]),
        "long" => (number[..4].to_vec(), vec![0; 4]),
        "longlong" => (number.to_vec(), vec![0; 8]),
        "shortstr" => {
            let text = random.text(10);
            ([&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat(), vec![0])
        }
        "longstr" => {
            let bytes = random.bytes(300);
            ([&u32::try_from(bytes.len()).expect("short").to_be_bytes()[..], &bytes].concat(), vec![0; 4])
        }
        "table" => {
            let mut out = Vec::new();
            random.table(2).encode(&mut out);
            (out, vec![0; 4])
        }
        other => panic!("unknown type {other}"),
    }
}

fn payload((class_id, method_id): (u16, u16), fields: &[u8]) -> Vec<u8> {
    [&class_id.to_be_bytes()[..], &method_id.to_be_bytes(), fields].concat()
}

#[test]
fn every_method_agrees_with_the_grammar() {
    let mut random = Random::new(1);
    for row in grammar() {
        for _ in 0..40 {
            let (wire, expected) = naive_fields(&row.types, &mut random);
            let bytes = payload(row.ids, &wire);
            let method = Method::decode(&bytes).unwrap_or_else(|error| panic!("{}: {error}", row.name));
            assert_eq!((method.class_id(), method.method_id()), row.ids);
            assert_eq!(method.name(), row.name);
            assert_eq!(method.carries_content(), row.carries_content, "{}", row.name);
            let mut encoded = Vec::new();
            method.encode(&mut encoded);
            assert_eq!(encoded, payload(row.ids, &expected), "{}", row.name);
        }
    }
}

#[test]
fn the_grammar_is_complete() {
    let expected: Vec<_> = grammar().map(|row| (row.ids.0, row.ids.1, row.name)).collect();
    assert_eq!(Method::ALL, expected);
}

#[test]
fn cut_short_or_too_long_is_an_error() {
    let mut random = Random::new(2);
    for row in grammar() {
        let (wire, _) = naive_fields(&row.types, &mut random);
        let mut bytes = payload(row.ids, &wire);
        for end in 0..bytes.len() {
            assert_eq!(Method::decode(&bytes[..end]), Err(DecodeError::Truncated), "{} cut at {end}", row.name);
        }
        bytes.push(0);
        assert_eq!(Method::decode(&bytes), Err(DecodeError::Trailing), "{}", row.name);
    }
}

#[test]
fn unknown_methods_are_errors() {
    for class_id in 0..120 {
        for method_id in 0..210 {
            let known = Method::ALL.iter().any(|known| (known.0, known.1) == (class_id, method_id));
            let found = Method::decode_fields(class_id, method_id, &[]);
            assert_eq!(found == Err(DecodeError::UnknownMethod { class_id, method_id }), !known);
        }
    }
}

#[test]
fn method_fields_have_to_be_utf8() {
    assert_eq!(Method::decode(&hex("0014 0028  00C8 01FF 0000 0000")), Err(DecodeError::Utf8));
    assert_eq!(Method::decode(&hex("0032 000A  0000 01FF 00 00000000")), Err(DecodeError::Utf8));
}

/// Checks both directions of a method against bytes checked by hand.
fn check(method: impl Into<Method<'static>>, digits: &str) {
    let (method, bytes) = (method.into(), hex(digits));
    assert_eq!(Method::decode(&bytes), Ok(method), "decoding {}", method.name());
    let mut encoded = Vec::new();
    method.encode(&mut encoded);
    assert_eq!(encoded, bytes, "encoding {}", method.name());
}

fn table(table: Table) -> RawTable<'static> {
    RawTable::parse(table.to_bytes().leak()).expect("a table of ours")
}

#[test]
fn golden_connection() {
    check(
        connection::StartOk {
            client_properties: table(Table::new().with("product", "x").with("ok", true)),
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
        },
        "000A 000B  00000013 07 70726F64756374 53 00000001 78  02 6F6B 74 01
         05 504C41494E  0000000C 00 6775657374 00 6775657374  05 656E5F5553",
    );
    check(
        connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::EMPTY,
            mechanisms: b"PLAIN AMQPLAIN",
            locales: b"en_US",
        },
        "000A 000A  00 09  00000000  0000000E 504C41494E20414D51504C41494E  00000005 656E5F5553",
    );
    check(connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 }, "000A 001E 07FF 00020000 003C");
    check(connection::TuneOk { channel_max: 0, frame_max: 4096, heartbeat: 0 }, "000A 001F 0000 00001000 0000");
    check(connection::Open { virtual_host: "/" }, "000A 0028  01 2F  00  00");
    check(connection::OpenOk {}, "000A 0029  00");
    check(
        connection::Close { reply_code: 320, reply_text: "bye", class_id: 60, method_id: 40 },
        "000A 0032  0140  03 627965  003C 0028",
    );
    check(connection::CloseOk {}, "000A 0033");
    check(connection::Blocked { reason: "low on disk" }, "000A 003C  0B 6C6F77206F6E206469736B");
}

#[test]
fn golden_channel_and_exchange() {
    check(channel::Open {}, "0014 000A  00");
    check(channel::OpenOk {}, "0014 000B  00000000");
    check(channel::Flow { active: true }, "0014 0014  01");
    check(access::RequestOk { ticket: 1 }, "001E 000B  0001");
    let request = access::Request { realm: "/d", write: true, read: true, ..Default::default() };
    check(request, "001E 000A  02 2F64  18");
    let declare = exchange::Declare {
        exchange: "logs",
        kind: "fanout",
        durable: true,
        internal: true,
        arguments: RawTable::EMPTY,
        ..Default::default()
    };
    check(declare, "0028 000A  0000  04 6C6F6773  06 66616E6F7574  0A  00000000");
    let bind = exchange::Bind { destination: "d", source: "s", routing_key: "k", nowait: true, ..Default::default() };
    check(bind, "0028 001E  0000  01 64  01 73  01 6B  01  00000000");
    check(exchange::UnbindOk {}, "0028 0033");
}

#[test]
fn golden_queue() {
    let declare = queue::Declare {
        queue: "hello",
        durable: true,
        auto_delete: true,
        arguments: table(Table::new().with("x-max-length", 10)),
        ..Default::default()
    };
    check(declare, "0032 000A  0000  05 68656C6C6F  0A  00000012 0C 782D6D61782D6C656E677468 49 0000000A");
    let ok = queue::DeclareOk { queue: "hello", message_count: 1, consumer_count: 2 };
    check(ok, "0032 000B  05 68656C6C6F  00000001  00000002");
    let bind = queue::Bind { queue: "q", exchange: "x", routing_key: "k", ..Default::default() };
    check(bind, "0032 0014  0000  01 71  01 78  01 6B  00  00000000");
    check(queue::Delete { queue: "q", if_empty: true, ..Default::default() }, "0032 0028  0000  01 71  02");
    let unbind = queue::Unbind { queue: "q", exchange: "x", routing_key: "k", ..Default::default() };
    check(unbind, "0032 0032  0000  01 71  01 78  01 6B  00000000");
    check(queue::PurgeOk { message_count: 258 }, "0032 001F  00000102");
}

#[test]
fn golden_basic() {
    check(basic::Qos { prefetch_size: 0, prefetch_count: 1, global: true }, "003C 000A  00000000  0001  01");
    let consume = basic::Consume { queue: "q", consumer_tag: "c", no_ack: true, nowait: true, ..Default::default() };
    check(consume, "003C 0014  0000  01 71  01 63  0A  00000000");
    check(basic::Cancel { consumer_tag: "c", nowait: true }, "003C 001E  01 63  01");
    let publish = basic::Publish { exchange: "", routing_key: "hello", mandatory: true, immediate: false };
    check(publish, "003C 0028  0000  00  05 68656C6C6F  01");
    let returned = basic::Return { reply_code: 312, reply_text: "NO_ROUTE", exchange: "x", routing_key: "k" };
    check(returned, "003C 0032  0138  08 4E4F5F524F555445  01 78  01 6B");
    let deliver =
        basic::Deliver { consumer_tag: "c", delivery_tag: 1, redelivered: true, exchange: "x", routing_key: "k" };
    check(deliver, "003C 003C  01 63  0000000000000001  01  01 78  01 6B");
    check(basic::Get { queue: "q", no_ack: true }, "003C 0046  0000  01 71  01");
    let get_ok = basic::GetOk { delivery_tag: 7, redelivered: false, exchange: "", routing_key: "q", message_count: 3 };
    check(get_ok, "003C 0047  0000000000000007  00  00  01 71  00000003");
    check(basic::GetEmpty {}, "003C 0048  00");
    check(basic::Ack { delivery_tag: 5, multiple: true }, "003C 0050  0000000000000005  01");
    check(basic::Reject { delivery_tag: 5, requeue: true }, "003C 005A  0000000000000005  01");
    check(basic::Nack { delivery_tag: 5, multiple: false, requeue: true }, "003C 0078  0000000000000005  02");
    check(basic::RecoverAsync { requeue: true }, "003C 0064  01");
}

#[test]
fn golden_tx_and_confirm() {
    check(tx::Select {}, "005A 000A");
    check(tx::CommitOk {}, "005A 0015");
    check(confirm::Select { nowait: true }, "0055 000A  01");
    check(confirm::SelectOk {}, "0055 000B");
}

#[test]
fn bits_that_mean_nothing_are_ignored() {
    let expected = Method::ConfirmSelect(confirm::Select { nowait: true });
    assert_eq!(Method::decode(&hex("0055 000A FF")), Ok(expected));
}

#[test]
fn long_texts_are_cut_to_short_strings() {
    let reason = "é".repeat(200);
    let mut bytes = Vec::new();
    connection::Blocked { reason: &reason }.encode(&mut bytes);
    let expected = Method::ConnectionBlocked(connection::Blocked { reason: &reason[..254] });
    assert_eq!(Method::decode(&bytes), Ok(expected));
}
