//! How a connection begins, stays and ends.

crate::transcripts! {
    start_offers_what_clients_look_for: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start version-major=0 version-minor=9 locales=en_US mechanisms~PLAIN mechanisms~AMQPLAIN server-properties~"product=S:RabbitMQ"
        a: drop
        b: raw
        b: bytes "AMQP" 0000 0901
        b0< connection.start server-properties~publisher_confirms=t:true server-properties~exchange_exchange_bindings=t:true server-properties~basic.nack=t:true server-properties~consumer_cancel_notify=t:true server-properties~connection.blocked=t:true server-properties~consumer_priorities=t:true server-properties~authentication_failure_close=t:true server-properties~per_consumer_qos=t:true server-properties~direct_reply_to=t:true
    "#;
    version_0_9_is_taken_for_0_9_1: r#"
        a: raw
        a: bytes "AMQP" 0101 0009
        a0< connection.start version-major=0 version-minor=9
    "#;
    // A broker without AMQP 1.0 answers what it speaks; RabbitMQ answers its own AMQP 1.0 header to most.
    unknown_version_hears_ours: r#"
        a: raw
        a: bytes "AMQP" 0000 0a00
        a: hears "AMQP" 0000 0901
        a: end
    "#;
    unknown_protocol_hears_ours: r#"
        a: raw
        a: bytes "HTTP" 0101 0101
        a: hears "AMQP" 0000 0901
        a: end
    "#;
    offered_tuning: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0< connection.tune channel-max=2047 frame-max=131072 heartbeat=60
    "#;
    amqplain: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok mechanism=AMQPLAIN response="\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest" locale=en_US
        a0< connection.tune
    "#;
    wrong_password_is_told_to_those_who_can_hear_it: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={capabilities=F:{authentication_failure_close=t:true}} mechanism=PLAIN response="\0guest\0wrong" locale=en_US
        a! 403 - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.
    "#;
    wrong_password_ends_the_connection_of_the_others: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok mechanism=PLAIN response="\0guest\0wrong" locale=en_US
        a: end
    "#;
    unknown_user_is_refused_like_a_wrong_password: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={capabilities=F:{authentication_failure_close=t:true}} mechanism=AMQPLAIN response="\x05LOGINS\0\0\0\x06nobody\x08PASSWORDS\0\0\0\x05guest" locale=en_US
        a! 403 - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile.
    "#;
    // RabbitMQ keeps its reasons for itself until a client has logged in; ours gives them, and knows no less of the client for it.
    unknown_mechanism: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok mechanism=KERBEROS_V4 response=x locale=en_US
        [3] a: end
        [4] a! 503 connection.start-ok unknown authentication mechanism 'KERBEROS_V4'
    "#;
    smaller_limits_are_taken: r#"
        a: open channel-max=3 frame-max=8192
        a1> channel.flow active
        a1< channel.flow-ok active
        a3> channel.flow active
        a3< channel.flow-ok active
    "#;
    the_smallest_frame_max_of_the_standard_is_taken: r#"
        a: open frame-max=4096
        a1> channel.flow active
        a1< channel.flow-ok active
    "#;
    // RabbitMQ 3 keeps the reasons for itself.
    frame_max_below_the_minimum: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={capabilities=F:{authentication_failure_close=t:true}} mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0< connection.tune
        a0> connection.tune-ok channel-max=2047 frame-max=4095 heartbeat=0
        [3] a: end
        [4] a! 530 connection.tune negotiated frame_max = 4095 is lower than the minimum allowed value (4096)
    "#;
    frame_max_above_the_offer: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={capabilities=F:{authentication_failure_close=t:true}} mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0< connection.tune
        a0> connection.tune-ok channel-max=2047 frame-max=131073 heartbeat=0
        [3] a: end
        [4] a! 530 connection.tune negotiated frame_max = 131073 is higher than the maximum allowed value (131072)
    "#;
    unlimited_frame_max: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={capabilities=F:{authentication_failure_close=t:true}} mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0< connection.tune
        a0> connection.tune-ok channel-max=2047 frame-max=0 heartbeat=0
        [3] a: end
        [4] a! 530 connection.tune negotiated frame_max = 0 is higher than the maximum allowed value (131072)
    "#;
    channel_max_above_the_offer: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={capabilities=F:{authentication_failure_close=t:true}} mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0< connection.tune
        a0> connection.tune-ok channel-max=2048 frame-max=131072 heartbeat=0
        [3] a: end
        [4] a! 530 connection.tune negotiated channel_max = 2048 is higher than the maximum allowed value (2047)
    "#;
    unlimited_channel_max: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={capabilities=F:{authentication_failure_close=t:true}} mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0< connection.tune
        a0> connection.tune-ok channel-max=0 frame-max=131072 heartbeat=0
        [3] a: end
        [4] a! 530 connection.tune negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)
    "#;
    unknown_vhost: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0< connection.tune
        a0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
        a0> connection.open virtual-host=nowhere
        a! 530 connection.open vhost nowhere not found
    "#;
    the_whole_handshake_at_once: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0> connection.start-ok mechanism=PLAIN response="\0guest\0guest" locale=en_US
        a0> connection.tune-ok channel-max=2047 frame-max=131072 heartbeat=0
        a0> connection.open virtual-host=/
        a7>> channel.open
        a7>> queue.declare queue=$q
        a0< connection.start
        a0< connection.tune
        a0< connection.open-ok known-hosts=""
        a7< channel.open-ok channel-id=""
        a7< queue.declare-ok queue=$q message-count=0 consumer-count=0
        a0> connection.close reply-code=200
        a0< connection.close-ok
    "#;
    opening_before_starting: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.open virtual-host=/
        [3] a: end
        [4] a! 504 connection.open unexpected method in connection state starting
    "#;
    tuning_a_running_connection: "
        a0> connection.tune-ok
        a! 504 connection.tune-ok unexpected method in connection state running
    ";
    starting_a_running_connection: "
        a0> connection.start-ok mechanism=PLAIN
        a! 504 connection.start-ok unexpected method in connection state running
    ";
    heartbeats_come_without_being_asked: "
        a: open heartbeat=1
        a: heartbeat
    ";
    a_silent_client_is_dropped: "
        a: open heartbeat=1
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        a: end
        b1~ queue.declare queue=$q passive => ! 404
    ";
    without_heartbeats_silence_is_fine: "
        a: open heartbeat=0
        b: open heartbeat=1
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
        b: end
        a1> queue.declare queue=$q exclusive
        a1< queue.declare-ok queue=$q
    ";
    closing_stops_everything_at_once: "
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        a: close
        b1> queue.declare queue=$q passive
        b1< queue.declare-ok message-count=0 consumer-count=0
    ";
    closing_requeues_what_is_outstanding: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=one
        a1> basic.get queue=$q
        a1< basic.get-ok delivery-tag=1 body=one
        a: close
        b1> basic.get queue=$q no-ack
        b1< basic.get-ok delivery-tag=1 redelivered body=one
    ";
    a_response_that_is_none: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok mechanism=PLAIN response=guest locale=en_US
        [3] a: end
        [4] a! 502 connection.start-ok response <<"guest">> invalid
    "#;
    both_sides_close_the_connection: r#"
        a1> channel.open
        a0< connection.close reply-code=504 reply-text="CHANNEL_ERROR - second 'channel.open' seen" class-id=20 method-id=10
        a0> connection.close reply-code=200
        a0< connection.close-ok
        a0> connection.close-ok
        a: end
    "#;
    what_follows_the_close_is_dropped: "
        a1> basic.qos
        a1< basic.qos-ok
        a0> connection.close reply-code=200
        a1> queue.declare queue=$q
        a0< connection.close-ok
        b1> queue.declare queue=$q passive
        b1! 404 queue.declare no queue '$q' in vhost '/'
    ";
    // Before the client is known the limit is small. RabbitMQ hangs up without a word.
    a_large_frame_before_login: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a: bytes 01 0000 00010000
        [3] a: end
        [4] a! 501 - type 1, all octets = <<>>: {frame_too_large,65536,8184}
    "#;
    a_new_secret: "
        a0> connection.update-secret new-secret=guest reason=rotation
        a0< connection.update-secret-ok
        a1> basic.qos
        a1< basic.qos-ok
    ";
    // RabbitMQ's own users have passwords, not tokens: nothing is checked. Some clients send whatever they like.
    a_new_secret_is_not_a_password: "
        a0> connection.update-secret new-secret=123456 reason=\"secret expired\"
        a0< connection.update-secret-ok
        a1> basic.qos
        a1< basic.qos-ok
    ";
    old_clients_with_all_their_fields: r#"
        a: raw
        a: bytes "AMQP" 0000 0901
        a0< connection.start
        a0> connection.start-ok client-properties={connection_name=S:"my name" capabilities=F:{} other=A:[I:1]} mechanism=PLAIN response="\0guest\0guest" locale=""
        a0< connection.tune
        a0> connection.tune-ok channel-max=10 frame-max=4096 heartbeat=600
        a0> connection.open virtual-host=/ capabilities=anything insist
        a0< connection.open-ok known-hosts=""
        a0> connection.close reply-code=200
        a0< connection.close-ok
    "#;
}
