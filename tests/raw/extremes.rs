//! The longest, the largest and the oddest that the wire allows, and one more: names, tables, frames, answers to a login.
//!
//! None of it costs the broker more than the bytes that came, and what is allowed comes out again as it went in.

use std::fmt::Write;

crate::transcripts! {
    byte_by_byte: r#"
        a: raw
        a: slowly
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok mechanism=PLAIN response="\0guest\0guest" locale=en_US client-properties={capabilities=F:{authentication_failure_close=t:true}}
        a0< connection.tune
        a0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
        a0> connection.open virtual-host=/
        a0< connection.open-ok
        a1>> channel.open
        a1< channel.open-ok
        a1>> basic.qos
        a1< basic.qos-ok
    "#;
    content_byte_by_byte: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok
        a: slowly
        a1> basic.publish routing-key=$q body=@3000 content-type=text/plain mandatory
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=@3000 content-type=text/plain
    ";
    names_of_255_bytes: &super::names_of_255_bytes();
    a_name_that_says_to_be_longer_than_its_frame: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=0032000a0000ff6162
        a< connection.close reply-code=501 reply-text~\"FRAME_ERROR - cannot decode\" class-id=50 method-id=10
        a> connection.close-ok
        a: end
    ";
    more_than_the_method_has: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=003c000a000000000000000000
        a< connection.close reply-code=501 reply-text~\"FRAME_ERROR - cannot decode\" class-id=60 method-id=10
        a> connection.close-ok
        a: end
    ";
    reserved_bits_mean_nothing: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=003c000a000000000000fe
        a1< basic.qos-ok
    ";
    a_long_string_of_two_gigabytes: &super::argument("01 61 53 7fffffff 62", super::REFUSED);
    a_long_string_of_four_gigabytes: &super::argument("01 61 53 ffffffff 62", super::REFUSED);
    an_inner_table_longer_than_the_outer: &super::argument("01 61 46 00000040 0162 74 01", super::REFUSED);
    an_array_longer_than_its_table: &super::argument("01 61 41 00000040 74 01", super::REFUSED);
    a_table_longer_than_its_frame: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=0032000a00000171000000ffff016174
        a< connection.close reply-code=501
        a> connection.close-ok
        a: end
    ";
    a_type_that_does_not_exist: &super::argument("01 61 3f 00", super::REFUSED);
    a_key_without_a_value: &super::argument("01 61", super::REFUSED);
    a_key_cut_short: &super::argument("09 61", super::REFUSED);
    a_hundred_thousand_values_of_no_width: &super::values_of_no_width();
    // RabbitMQ 3 has an internal error, since it knows no such floats.
    headers_as_odd_as_they_come: "
        [4] a1> queue.declare queue=$q
        [4] a1< queue.declare-ok
        [4] a1> basic.publish routing-key=$q body=1 mandatory headers={a=I:1 a=S:again a=V: d=D:255/4294967295 t=T:18446744073709551615 f=f:NaN d2=d:inf e=A:[] g=F:{} =S:nameless}
        [4] a1> basic.get queue=$q no-ack
        [4] a1< basic.get-ok body=1 headers={a=I:1 a=S:again a=V: d=D:255/4294967295 t=T:18446744073709551615 f=f:NaN d2=d:inf e=A:[] g=F:{} =S:nameless}
    ";
    // RabbitMQ 3 passes it on, to clients that cannot read it.
    a_key_that_is_no_text: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok
        a1: method basic.publish exchange=amq.fanout
        a: frame type=2 channel=1 payload=003c0000000000000000000020000000000502fffe7401
        [3] a1> basic.qos
        [3] a1< basic.qos-ok
        [4] a! 501 basic.publish Malformed UTF-8 in shortstr
    ";
    a_limit_of_every_type: r#"
        a1> queue.declare queue=$q arguments={x-max-length=t:true}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got bool"
        a1> queue.declare queue=$q arguments={x-max-length=S:10}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got longstr"
        a1> queue.declare queue=$q arguments={x-max-length=d:10}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got double"
        a1> queue.declare queue=$q arguments={x-max-length=f:10}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got float"
        a1> queue.declare queue=$q arguments={x-max-length=D:0/10}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got decimal"
        a1> queue.declare queue=$q arguments={x-max-length=T:10}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got timestamp"
        a1> queue.declare queue=$q arguments={x-max-length=A:[I:10]}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got array"
        a1> queue.declare queue=$q arguments={x-max-length=F:{}}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got table"
        a1> queue.declare queue=$q arguments={x-max-length=V:}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got void"
        a1> queue.declare queue=$q arguments={x-max-length=x:10}
        a1! 406 queue.declare invalid arg 'x-max-length' for queue '$q' in vhost '/': "expected integer, got binary"
        a1> queue.declare queue=$q arguments={x-max-length=B:10}
        a1< queue.declare-ok
        a1> queue.declare queue=$q arguments={x-max-length=u:10}
        a1< queue.declare-ok
        a1> queue.declare queue=$q arguments={x-max-length=l:10}
        a1< queue.declare-ok
    "#;
    arguments_in_a_refusal: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok
        a1> queue.declare queue=$q arguments={x-max-length=F:{a=I:1}}
        a1! 406 queue.declare inequivalent arg 'x-max-length' for queue '$q' in vhost '/': received the value '[{<<"a">>,signedint,1}]' of type 'table' but current is none
        a1> queue.declare queue=$q arguments={x-max-length=A:[S:a t:true]}
        a1! 406 queue.declare inequivalent arg 'x-max-length' for queue '$q' in vhost '/': received the value '[{longstr,<<"a">>},{bool,true}]' of type 'array' but current is none
        a1> queue.declare queue=$q arguments={x-max-length=d:1.5}
        a1! 406 queue.declare inequivalent arg 'x-max-length' for queue '$q' in vhost '/': received the value '1.5' of type 'double' but current is none
    "#;
    a_megabyte_for_a_login: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a: bytes 01 0000 00100000 000a000b
        [3] a: end
        [4] a! 501 - type 1, all octets = <<>>: {frame_too_large,1048576,8184}
    "#;
    a_login_that_says_to_be_a_megabyte: "
        a: raw
        a: bytes \"AMQP\" 0000 0901
        a0< connection.start
        a: frame type=1 channel=0 payload=000a000b0000000005504c41494e00100000006775
        [3] a: end
        [4] a< connection.close reply-code=501
        [4] a> connection.close-ok
        [4] a: end
    ";
    a_prefetch_of_all: "
        a1> queue.declare queue=$q
        a1> basic.qos prefetch-count=65535
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok
        a1< basic.qos-ok
        a1< basic.consume-ok
        b1> basic.publish routing-key=$q body=1
        a1< basic.deliver delivery-tag=1 body=1
        b1> basic.publish routing-key=$q body=2
        a1< basic.deliver delivery-tag=2 body=2
    ";
    as_many_channels_as_agreed: &super::all_channels();
}

/// The end of a transcript whose table is refused: RabbitMQ 3 drops the connection.
const REFUSED: &str = "[4] a< connection.close reply-code=501\n [4] a> connection.close-ok\n a: end";

/// A queue declared with a table of these bytes.
fn argument(table: &str, answer: &str) -> String {
    let table: String = table.split(' ').collect();
    let size = table.len() / 2;
    format!(
        "a1> basic.qos\n a1< basic.qos-ok
         a: frame type=1 channel=1 payload=0032000a0000017102{size:08x}{table}\n {answer}"
    )
}

/// An array of voids takes a byte a value on the wire and must not take much more in memory.
fn values_of_no_width() -> String {
    let array = "56".repeat(100_000);
    let payload = format!("0032000a000000 02 {:08x} 0161 41 {:08x}{array}", 100_000 + 7, 100_000).replace(' ', "");
    format!(
        "a1> basic.qos\n a1< basic.qos-ok\n a: frame type=1 channel=1 payload={payload}\n a1< queue.declare-ok
         b1> basic.qos\n b1< basic.qos-ok"
    )
}

fn names_of_255_bytes() -> String {
    // Names of other tests are different in their first bytes: what `$q` stands for has fewer than a hundred.
    let long = |stem: &str| format!("{stem}{}", "x".repeat(255 - stem.len()));
    let (queue, exchange, tag, key) = (long("extreme-queue"), long("extreme-exchange"), long("tag"), long("a."));
    let header = "h".repeat(255);
    format!(
        "a1> queue.declare queue={queue} exclusive
        a1< queue.declare-ok queue={queue}
        a1> exchange.declare exchange={exchange} type=topic auto-delete
        a1< exchange.declare-ok
        a1> queue.bind queue={queue} exchange={exchange} routing-key={key}
        a1< queue.bind-ok
        a1> basic.consume queue={queue} consumer-tag={tag} no-ack
        a1< basic.consume-ok consumer-tag={tag}
        a1> basic.publish exchange={exchange} routing-key={key} body=1 headers={{{header}=S:{key}}} message-id={key} reply-to={key}
        a1< basic.deliver consumer-tag={tag} delivery-tag=1 exchange={exchange} routing-key={key} body=1 headers={{{header}=S:{key}}} message-id={key} reply-to={key}"
    )
}

fn all_channels() -> String {
    let mut script = String::from("a: open channel-max=2047\n");
    for channel in 1..=2047 {
        writeln!(script, "a{channel}> basic.qos").expect("strings take all text");
    }
    for channel in 1..=2047 {
        writeln!(script, "a{channel}< basic.qos-ok").expect("strings take all text");
    }
    script
        + "a2048>> channel.open\n a! 530 - number of channels opened (2047) has reached the negotiated channel_max (2047)"
}
