//! Bodies of every size, properties, content of several channels between each other, many methods at once.

crate::transcripts! {
    an_empty_body_has_no_body_frame: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok delivery-tag=1 routing-key=$q exchange="" message-count=0 body="" frames=0
    "#;
    a_body_of_exactly_one_frame: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=@131064
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=@131064 frames=1
    ";
    a_body_of_one_byte_more: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=@131065
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=@131065 frames=2
    ";
    a_body_of_many_frames: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=@1310640
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=@1310640 frames=10
    ";
    small_frames_from_one_side_become_large_ones_on_the_other: "
        a: open frame-max=4096
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        b1> basic.consume queue=$q consumer-tag=t no-ack
        b1< basic.consume-ok consumer-tag=t
        a1> basic.publish routing-key=$q body=@40880
        b1< basic.deliver consumer-tag=t delivery-tag=1 routing-key=$q body=@40880 frames=1
    ";
    large_frames_from_one_side_become_small_ones_on_the_other: "
        a: open frame-max=4096
        a1> queue.declare queue=$q
        a1> basic.consume queue=$q consumer-tag=t no-ack
        a1< queue.declare-ok queue=$q
        a1< basic.consume-ok consumer-tag=t
        b1> basic.publish routing-key=$q body=@40881
        a1< basic.deliver consumer-tag=t delivery-tag=1 routing-key=$q body=@40881 frames=11
    ";
    a_body_in_pieces_of_any_size_even_empty_ones: "
        a1> queue.declare queue=$q exclusive
        a1> queue.bind exchange=amq.direct routing-key=wire-pieces
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1: method basic.publish exchange=amq.direct routing-key=wire-pieces
        a1: header size=6
        a1: body a
        a: frame type=3 channel=1
        a1: body bcd
        a1: body ef
        a1~ basic.get queue=$q no-ack => basic.get-ok body=abcdef frames=1
    ";
    content_of_channels_between_each_other: "
        a1> queue.declare queue=$q exclusive
        a1> queue.bind exchange=amq.direct routing-key=wire-one
        a1> queue.bind exchange=amq.direct routing-key=wire-two
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1< queue.bind-ok
        a2> confirm.select
        a3> confirm.select
        a2< confirm.select-ok
        a3< confirm.select-ok
        a2: method basic.publish exchange=amq.direct routing-key=wire-one
        a3: method basic.publish exchange=amq.direct routing-key=wire-two
        a2: header size=4 message-id=one
        a1> basic.qos
        a3: header size=4 message-id=two
        a2: body on
        a3: body tw
        a3: body o.
        a1< basic.qos-ok
        a3< basic.ack delivery-tag=1
        a2: body e.
        a2< basic.ack delivery-tag=1
        a1> basic.get queue=$q no-ack
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok delivery-tag=1 routing-key=wire-two message-id=two body=two. message-count=1
        a1< basic.get-ok delivery-tag=2 routing-key=wire-one message-id=one body=one. message-count=0
    ";
    all_properties_pass_through: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=b content-type=text/plain content-encoding=utf-8 headers={a=I:1} delivery-mode=1 priority=3 correlation-id=c reply-to=r expiration=60000 message-id=m timestamp=1234567890123 type=t user-id=guest app-id=app cluster-id=cl
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=b content-type=text/plain content-encoding=utf-8 headers={a=I:1} delivery-mode=1 priority=3 correlation-id=c reply-to=r expiration=60000 message-id=m timestamp=1234567890123 type=t user-id=guest app-id=app cluster-id=cl
    "#;
    absent_properties_stay_absent: "
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=b
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=b !content-type !content-encoding !headers !delivery-mode !priority !correlation-id !reply-to !expiration !message-id !timestamp !type !user-id !app-id !cluster-id
    ";
    empty_properties_stay_empty: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=b content-type="" headers={} priority=0 message-id="" timestamp=0
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok body=b content-type="" headers={} priority=0 message-id="" timestamp=0 !reply-to !delivery-mode
    "#;
    headers_of_every_type_pass_through: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> basic.publish routing-key=$q body=b headers={a=t:true b=b:-1 c=B:255 d=s:-2 e=u:65535 f=I:-3 g=i:4294967295 h=l:-9 i=f:1.5 j=d:-0.25 k=D:2/314 l=S:"long string" m=A:[S:one I:2 A:[]] n=T:1 o=F:{p=V: q=F:{}} r=x:bytes}
        a1> basic.get queue=$q no-ack
        a1< basic.get-ok headers={a=t:true b=b:-1 c=B:255 d=s:-2 e=u:65535 f=I:-3 g=i:4294967295 h=l:-9 i=f:1.5 j=d:-0.25 k=D:2/314 l=S:"long string" m=A:[S:one I:2 A:[]] n=T:1 o=F:{p=V: q=F:{}} r=x:bytes}
    "#;
    replies_keep_the_order_of_the_questions: "
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p
        a1> basic.publish routing-key=$p body=x
        a1> basic.get queue=$q
        a1> basic.get queue=$p no-ack
        a1> basic.get queue=$p no-ack
        a1> queue.purge queue=$q
        a1> basic.qos
        a1> queue.delete queue=$q
        a1> queue.delete queue=$p
        a1< queue.declare-ok queue=$q
        a1< queue.declare-ok queue=$p message-count=0
        a1< basic.get-empty
        a1< basic.get-ok delivery-tag=1 body=x
        a1< basic.get-empty
        a1< queue.purge-ok message-count=0
        a1< basic.qos-ok
        a1< queue.delete-ok message-count=0
        a1< queue.delete-ok message-count=0
    ";
    content_of_a_hundred_channels_between_each_other: &super::hundred_channels();
}

/// Each channel publishes one message in two frames, and each frame is followed by those of the other ninety-nine.
fn hundred_channels() -> String {
    let lines = |line: &dyn Fn(usize) -> String| (1..=100).map(line).collect::<String>();
    let selects = lines(&|channel| format!("a{channel}> confirm.select\n a{channel}< confirm.select-ok\n"));
    let declares = lines(&|channel| format!("a1> queue.declare queue=$q{channel}\n a1< queue.declare-ok\n"));
    let methods = lines(&|channel| format!("a{channel}: method basic.publish routing-key=$q{channel}\n"));
    let headers = lines(&|channel| format!("a{channel}: header size=8 message-id=m{channel}\n"));
    let firsts = lines(&|channel| format!("a{channel}: body f{channel:03}\n"));
    let seconds = lines(&|channel| format!("a{channel}: body s{channel:03}\n"));
    let confirms = lines(&|channel| format!("a{channel}: confirmed 1\n"));
    let got = |channel| format!("basic.get-ok message-id=m{channel} message-count=0 body=f{channel:03}s{channel:03}");
    let gets = lines(&|channel| format!("b1> basic.get queue=$q{channel} no-ack\n b1< {}\n", got(channel)));
    [selects, declares, methods, headers, firsts, seconds, confirms, gets].concat()
}
