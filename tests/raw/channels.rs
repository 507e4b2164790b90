//! Opening and closing channels, and frames that are out of place.

crate::transcripts! {
    open_use_close_and_open_again: r#"
        a5>> channel.open
        a5< channel.open-ok channel-id=""
        a5>> channel.close reply-code=200
        a5< channel.close-ok
        a5>> channel.open
        a5< channel.open-ok
        a5>> channel.flow active
        a5< channel.flow-ok active
    "#;
    opening_twice: "
        a1> channel.open
        a! 504 channel.open second 'channel.open' seen
    ";
    using_a_channel_that_is_not_open: "
        a1>> queue.declare queue=$q
        a! 504 queue.declare expected 'channel.open'
    ";
    using_a_channel_after_closing_it: "
        a1> channel.flow active
        a1< channel.flow-ok active
        a1> channel.close reply-code=200
        a1< channel.close-ok
        a1>> basic.qos prefetch-count=1
        a! 504 basic.qos expected 'channel.open'
    ";
    opening_channel_zero: "
        a0>> channel.open
        a! 504 channel.open unexpected method in connection state running
    ";
    a_refused_channel_answers_only_the_close: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> queue.declare queue=$q durable
        a1> queue.delete queue=$q
        a1> queue.declare queue=$never
        a1> basic.publish routing-key=$q body=ignored
        a1! 406 queue.declare inequivalent arg 'durable' for queue '$q' in vhost '/': received 'true' but current is 'false'
        a1> queue.declare queue=$q passive
        a1< queue.declare-ok message-count=0 consumer-count=0
        a1> queue.declare queue=$never passive
        a1! 404 queue.declare no queue '$never' in vhost '/'
    ";
    both_sides_close_the_channel: "
        a1> basic.ack delivery-tag=5
        a1> channel.close reply-code=200
        a1< channel.close reply-code=406 reply-text=\"PRECONDITION_FAILED - unknown delivery tag 5\" class-id=60 method-id=80
        a1< channel.close-ok
        a1>> channel.close-ok
        a1>> channel.open
        a1< channel.open-ok
    ";
    other_channels_live_on: "
        a2> basic.qos prefetch-count=1
        a2< basic.qos-ok
        a1> basic.ack delivery-tag=5
        a1! 406 basic.ack unknown delivery tag 5
        a2> basic.qos prefetch-count=1
        a2< basic.qos-ok
    ";
    more_channels_than_agreed: "
        a: open channel-max=2
        a1> basic.qos
        a1< basic.qos-ok
        a2> basic.qos
        a2< basic.qos-ok
        a3>> channel.open
        a! 530 - number of channels opened (2) has reached the negotiated channel_max (2)
    ";
    the_number_of_a_channel_may_exceed_their_count: "
        a: open channel-max=2
        a5000> basic.qos
        a5000< basic.qos-ok
    ";
    flow_is_not_stopped: "
        a1> channel.flow active
        a1< channel.flow-ok active
        a1> channel.flow
        a! 540 channel.flow active=false
    ";
    access_is_always_granted: "
        a1> access.request realm=/data
        a1< access.request-ok ticket=1
    ";
    a_method_that_only_brokers_say: "
        a1> basic.qos
        a1< basic.qos-ok
        a1> queue.declare-ok queue=$q
        a! 503 queue.declare-ok unimplemented method
    ";
    an_unknown_frame_type: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=5 channel=1 payload=010203
        a! 501 - type 5, all octets = <<1,2,3>>: unknown_frame
    ";
    an_unknown_frame_type_with_more_octets: r#"
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=0 channel=1 payload="1234567890abcdefghi"
        a! 501 - type 0, first 16 octets = <<"1234567890abcdef">>: unknown_frame
    "#;
    a_wrong_end_of_frame: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=003c00 end=207
        a! 501 - type 1, all octets = <<0,60,0>>: {invalid_frame_end_marker,207}
    ";
    a_frame_that_is_too_large: "
        a: open frame-max=4096
        a: bytes 01 0001 00001001
        a! 501 - type 1, all octets = <<>>: {frame_too_large,4097,4088}
    ";
    a_heartbeat_on_a_channel: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=8 channel=1
        a! 505 - type 8, all octets = <<>>
    ";
    content_on_channel_zero: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=3 channel=0 payload=0102
        a! 505 - type 3, all octets = <<1,2>>
    ";
    a_header_without_a_method: "
        a1> basic.qos
        a1< basic.qos-ok
        a1: header size=0
        a! 505 - expected method frame, got non method frame instead
    ";
    a_body_without_a_method: "
        a1> basic.qos
        a1< basic.qos-ok
        a1: body lost
        a! 505 - expected method frame, got non method frame instead
    ";
    a_method_where_a_header_is_due: "
        a1: method basic.publish routing-key=$q
        a1>> basic.qos
        a! 505 basic.publish expected content header for class 60, got non content header frame instead
    ";
    a_body_where_a_header_is_due: "
        a1: method basic.publish routing-key=$q
        a1: body early
        a! 505 basic.publish expected content header for class 60, got non content header frame instead
    ";
    a_header_of_another_class: "
        a1: method basic.publish routing-key=$q
        a1: header class=50 size=3
        a! 505 basic.publish expected content header for class 60, got one for class 50 instead
    ";
    a_header_with_weight: "
        a1: method basic.publish routing-key=$q
        a1: header weight=1 size=3
        a! 505 basic.publish expected content header for class 60, got non content header frame instead
    ";
    a_method_between_bodies: "
        a1: method basic.publish routing-key=$q
        a1: header size=10
        a1: body half.
        a1>> basic.qos
        a! 505 basic.publish expected content body, got non content body frame instead
    ";
    a_second_header: "
        a1: method basic.publish routing-key=$q
        a1: header size=10
        a1: header size=10
        a! 505 basic.publish expected content body, got non content body frame instead
    ";
    // RabbitMQ 3 waits for ever.
    more_body_than_announced: "
        a1: method basic.publish routing-key=$q
        a1: header size=3
        a1: body four
        [4] a! 501 basic.publish content body frame exceeds remaining content size
    ";
    // RabbitMQ 3 waits for all of it.
    a_body_larger_than_any: "
        a1: method basic.publish routing-key=$q
        a1: header size=536870913
        [4] a! 501 basic.publish content body size 536870913 exceeds maximum allowed size 536870912
    ";
    fields_that_do_not_decode: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=003c00500001
        a! 501 basic.ack cannot decode <<0,1>>
    ";
    // RabbitMQ 3 drops the connection; naming the method is kinder.
    an_unknown_method: "
        a1> basic.qos
        a1< basic.qos-ok
        a: frame type=1 channel=1 payload=003c00c7
        [3] a: end
        [4] a0< connection.close reply-code=503 reply-text=\"COMMAND_INVALID - unknown method 60.199\"
        [4] a0>> connection.close-ok
        [4] a: end
    ";
    frames_after_the_close_are_dropped: "
        a1> channel.open
        a1>> queue.declare queue=$q durable
        a! 504 channel.open second 'channel.open' seen
        b1> queue.declare queue=$q passive
        b1! 404 queue.declare no queue '$q' in vhost '/'
    ";
    // RabbitMQ 3 takes any bytes.
    a_name_that_is_no_utf8: "
        [4] a1> basic.qos
        [4] a1< basic.qos-ok
        [4] a: frame type=1 channel=1 payload=0032000a000001ff0000000000
        [4] a0< connection.close reply-code=501 reply-text=\"FRAME_ERROR - Malformed UTF-8 in shortstr\"
        [4] a0> connection.close-ok
        [4] a: end
    ";
    content_on_a_channel_that_is_closing_is_thrown_away: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.ack delivery-tag=9
        a1> basic.publish routing-key=$q body=@300000
        a1: method basic.publish routing-key=$q
        a1: header size=4
        a1< channel.close reply-code=406 class-id=60 method-id=80
        a1: body half
        a1>> channel.close-ok
        a1>> channel.open
        a1< channel.open-ok
        a1> basic.get queue=$q
        a1< basic.get-empty
    ";
    closing_in_the_middle_of_content: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1: method basic.publish routing-key=$q
        a1: header size=4
        a1: body ha
        a1> channel.close reply-code=200
        a! 505 basic.publish expected content body, got non content body frame instead
    ";
}
