//! Clients that mean harm: each thing that one can say wrong has its exact answer, and others are served meanwhile.
//!
//! What other modules hold already is not repeated: frames out of place (`channels`), content that is not what its header says
//! (`channels`, `content`), tuning and logins (`handshake`), arguments (`queues`).

use std::fmt::Write;

crate::transcripts! {
    a_web_browser: "
        a: raw
        a: bytes 474554202f20485454502f312e310d0a486f73743a20780d0a0d0a
        a: hears 414d515000000901
        a: end
    ";
    a_tls_hello: "
        a: raw
        a: bytes 1603010200010001fc0303
        a: hears 414d515000000901
        a: end
    ";
    amqp_1_0: "
        a: raw
        a: bytes 414d515000010000
        a: hears 414d515000000901
        a: end
    ";
    amqp_1_0_with_sasl: "
        a: raw
        a: bytes 414d515003010000
        a: hears 414d515000000901
        a: end
    ";
    a_password_that_is_empty: r#"
        a: raw
        a: bytes 414d515000000901
        a< connection.start
        a> connection.start-ok mechanism=PLAIN response="\0guest\0" locale=en_US client-properties={capabilities=F:{authentication_failure_close=t:true}}
        a< connection.close reply-code=403
        a> connection.close-ok
        a: end
    "#;
    a_response_with_one_part_too_many: r#"
        [4] a: raw
        [4] a: bytes 414d515000000901
        [4] a< connection.start
        [4] a> connection.start-ok mechanism=PLAIN response="\0guest\0guest\0x" locale=en_US client-properties={capabilities=F:{authentication_failure_close=t:true}}
        [4] a< connection.close reply-code=502 reply-text="SYNTAX_ERROR - response <<0,103,117,101,115,116,0,103,117,101,115,116,0,120>> invalid"
        [4] a> connection.close-ok
        [4] a: end
    "#;
    the_longest_heartbeat_and_none: "
        a: open heartbeat=65535
        a1> basic.qos
        a1< basic.qos-ok
        b: open heartbeat=0
        b1> basic.qos
        b1< basic.qos-ok
    ";
    a_thousand_heartbeats: &super::a_thousand_heartbeats();
    a_frame_of_four_gigabytes: "
        a: open
        a: bytes 010001ffffffff
        a< connection.close reply-code=501
        a> connection.close-ok
        a: end
    ";
    arguments_that_are_cut_short: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=003c000a0000
        a< connection.close reply-code=501 reply-text~\"FRAME_ERROR - cannot decode\" class-id=60 method-id=10
        a> connection.close-ok
        a: end
    ";
    properties_that_go_on_for_ever: "
        [4] a1> basic.qos
        [4] a1< basic.qos-ok
        [4] a1: method basic.publish routing-key=x
        [4] a: frame type=2 channel=1 payload=003c000000000000000000000001000100010001
        [4] a< connection.close reply-code=501
        [4] a> connection.close-ok
        [4] a: end
    ";
    deep_tables_are_refused: &super::newer(super::nested(40, "a< connection.close reply-code=501\na> connection.close-ok\na: end"));
    tables_as_deep_as_anybody_needs_are_not: &super::nested(16, "a1< queue.declare-ok");
    ten_thousand_levels: &super::newer(super::nested(10_000, "a< connection.close reply-code=501\na> connection.close-ok\na: end"));
    many_fields_in_a_table: &super::many_fields();
    names_of_all_sorts: r#"
        a1> queue.declare queue="$q/../etc/passwd"
        a1< queue.declare-ok queue="$q/../etc/passwd"
        a1> queue.declare queue="$q<script>alert(1)</script>"
        a1< queue.declare-ok queue="$q<script>alert(1)</script>"
        a1> queue.declare queue="$q\0zero"
        a1< queue.declare-ok queue="$q\0zero"
        a1> basic.publish routing-key="$q\0zero" body=1 mandatory
        a1> basic.get queue="$q\0zero" no-ack
        a1< basic.get-ok body=1
    "#;
    a_name_that_is_no_text: r#"
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=0032000a000002fffe0000000000
        a! 501 - Malformed UTF-8 in shortstr
    "#;
    the_longest_name: &super::the_longest_name();
    keys_of_many_words: &super::newer(super::keys_of_many_words());
    a_thousand_headers: &super::a_thousand_headers();
    a_history_of_deaths_that_the_client_made_up: r#"
        a1> queue.declare queue=$dead
        a1> queue.declare queue=$q arguments={x-dead-letter-exchange=S:"" x-dead-letter-routing-key=S:$dead}
        a1> basic.publish routing-key=$q body=1 headers={x-death=S:nonsense}
        a1> basic.get queue=$q
        a1> basic.reject delivery-tag=1
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1< basic.get-ok body=1 headers={x-death=S:nonsense}
        a1~ basic.get queue=$dead no-ack => basic.get-ok body=1 headers~"reason=S:rejected" headers~"count=l:1"
    "#;
    dead_letters_in_a_circle: r#"
        a1> queue.declare queue=$p arguments={x-dead-letter-exchange=S:"" x-dead-letter-routing-key=S:$q x-message-ttl=I:1}
        a1> queue.declare queue=$q arguments={x-dead-letter-exchange=S:"" x-dead-letter-routing-key=S:$p x-message-ttl=I:1}
        a1> basic.publish routing-key=$p body=round
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1~ queue.declare queue=$p passive => queue.declare-ok message-count=0
        a1~ queue.declare queue=$q passive => queue.declare-ok message-count=0
    "#;
    a_message_that_nobody_wants_comes_back_for_ever: &super::nack_loop();
    a_forged_reply_address: r#"
        [4] a1> basic.publish routing-key=amq.rabbitmq.reply-to.g1h2AA5yZXBseUAxMjM0NTY3OA.AAAA body=1
        [4] a1> basic.publish routing-key=amq.rabbitmq.reply-to.%%% body=1
        [4] a1> basic.publish routing-key=amq.rabbitmq.reply-to. body=1
        [4] a1> basic.qos
        [4] a1< basic.qos-ok
    "#;
    declared_and_deleted_a_hundred_times: &super::declare_and_delete();
}

/// `line` for each number from 1 to `count`.
fn lines(count: usize, mut line: impl FnMut(usize) -> String) -> String {
    (1..=count).fold(String::new(), |mut script, number| {
        writeln!(script, "{}", line(number)).expect("strings take all text");
        script
    })
}

/// What RabbitMQ 3.10 does not survive, or says less of: it is not asked.
fn newer(script: String) -> String {
    script.lines().map(|line| format!("[4] {}\n", line.trim())).collect()
}

fn a_thousand_heartbeats() -> String {
    let flood = lines(1000, |_| "a: frame type=8 channel=0".into());
    format!("a1> basic.qos\n a1< basic.qos-ok\n {flood} a1> basic.qos\n a1< basic.qos-ok")
}

/// A declare whose arguments lie so deep in each other, as bytes: the encoder of the tests is not made for that.
fn nested(depth: usize, answer: &str) -> String {
    let table = (0..depth).fold(Vec::new(), |inner: Vec<u8>, _| {
        let size = u32::try_from(inner.len()).expect("short");
        [&b"\x01tF"[..], &size.to_be_bytes(), &inner].concat()
    });
    let size = u32::try_from(table.len()).expect("short");
    let payload = [&b"\x00\x32\x00\x0a\x00\x00\x00\x02"[..], &size.to_be_bytes(), &table].concat();
    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("a1> basic.qos\n a1< basic.qos-ok\n a: frame type=1 channel=1 payload={hex}\n {answer}")
}

/// As many as a frame holds: the shortest field has three bytes.
fn many_fields() -> String {
    let table: Vec<u8> = (0..20_000u32)
        .flat_map(|n| [&[2u8][..], &(n as u16).to_be_bytes().map(|b| b % 26 + 97), b"V"].concat())
        .collect();
    let size = u32::try_from(table.len()).expect("short");
    let payload = [&b"\x00\x32\x00\x0a\x00\x00\x00\x02"[..], &size.to_be_bytes(), &table].concat();
    let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("a1> basic.qos\n a1< basic.qos-ok\n a: frame type=1 channel=1 payload={hex}\n a1< queue.declare-ok")
}

fn the_longest_name() -> String {
    let name = format!("$q{}", "x".repeat(200));
    format!(
        "a1> queue.declare queue={name}\n a1< queue.declare-ok queue={name}\n a1> basic.publish routing-key={name} body=1 mandatory\n a1> basic.get queue={name} no-ack\n a1< basic.get-ok body=1"
    )
}

/// Wildcards that could be tried in more ways than there is time for.
fn keys_of_many_words() -> String {
    let (stars, hashes, words) = (["*"; 127].join("."), ["#"; 60].join(".a."), ["a"; 127].join("."));
    format!(
        "a1> queue.declare queue=$q
        a1< queue.declare-ok
        a1> queue.bind queue=$q exchange=amq.topic routing-key={stars}
        a1> queue.bind queue=$q exchange=amq.topic routing-key={hashes}
        a1> queue.bind queue=$q exchange=amq.topic routing-key=#.#.#.#
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1> basic.publish exchange=amq.topic routing-key={words} body=1 mandatory
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=1 message-count=0
        a1> queue.delete queue=$q
        a1< queue.delete-ok"
    )
}

fn a_thousand_headers() -> String {
    let headers: String = (0..1000).map(|n| format!("h{n}=I:{n} ")).collect();
    format!(
        "a1> exchange.declare exchange=$x type=headers
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=$x arguments={{x-match=S:all {headers}}}
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< queue.bind-ok
        a1> basic.publish exchange=$x body=1 mandatory headers={{{headers}}}
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=1"
    )
}

/// Classic queues have no limit unless asked: the client can go on as long as it likes, and others are served.
fn nack_loop() -> String {
    let rounds = lines(200, |round| {
        let redelivered = if round > 1 { "redelivered " } else { "" };
        format!(
            "a1< basic.deliver delivery-tag={round} {redelivered}body=1\n a1> basic.nack delivery-tag={round} requeue"
        )
    });
    format!(
        "a1> queue.declare queue=$q
        a1> basic.publish routing-key=$q body=1
        a1> basic.consume queue=$q consumer-tag=t
        a1< queue.declare-ok
        a1< basic.consume-ok
        {rounds} a1< basic.deliver delivery-tag=201 redelivered body=1
        b1> basic.qos
        b1< basic.qos-ok"
    )
}

fn declare_and_delete() -> String {
    lines(100, |number| {
        format!(
            "a1> queue.declare queue=$q
            a1> queue.bind queue=$q exchange=amq.fanout
            a1> basic.publish routing-key=$q body={number}
            a1> basic.consume queue=$q consumer-tag=t{number} no-ack
            a1< queue.declare-ok
            a1< queue.bind-ok
            a1< basic.consume-ok
            a1< basic.deliver delivery-tag={number} body={number}
            a1> basic.cancel consumer-tag=t{number}
            a1< basic.cancel-ok
            a1> queue.delete queue=$q
            a1< queue.delete-ok"
        )
    })
}
