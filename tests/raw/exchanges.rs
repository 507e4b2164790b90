//! Declaring, deleting and binding exchanges, and every refusal.

crate::transcripts! {
    declare_again_and_delete_twice: "
        a1> exchange.declare exchange=$x type=direct
        a1> exchange.declare exchange=$x type=direct
        a1> exchange.declare exchange=$x passive
        a1> exchange.delete exchange=$x
        a1> exchange.delete exchange=$x
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.delete-ok
        a1< exchange.delete-ok
        a1> exchange.declare exchange=$x passive
        a1! 404 exchange.declare no exchange '$x' in vhost '/'
    ";
    nowait_is_not_answered: "
        a1> exchange.declare exchange=$x type=fanout nowait
        a1> exchange.declare exchange=$y type=fanout nowait
        a1> exchange.bind destination=$x source=$y nowait
        a1> exchange.unbind destination=$x source=$y nowait
        a1> exchange.delete exchange=$y nowait
        a1> exchange.declare exchange=$x passive
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$y passive
        a1! 404 exchange.declare no exchange '$y' in vhost '/'
    ";
    predeclared: "
        a1> exchange.declare exchange=amq.direct type=direct durable
        a1> exchange.declare exchange=amq.fanout type=fanout durable
        a1> exchange.declare exchange=amq.topic type=topic durable
        a1> exchange.declare exchange=amq.headers type=headers durable
        a1> exchange.declare exchange=amq.match type=headers durable
        a1> exchange.declare exchange=amq.rabbitmq.trace type=topic durable internal
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
    ";
    // Later versions refuse the channel instead of the connection.
    unknown_type: "
        a1> exchange.declare exchange=$x type=unheard-of
        [3] a! 503 exchange.declare unknown exchange type 'unheard-of'
        [4] a1! 406 exchange.declare unknown exchange type 'unheard-of'
    ";
    reserved_name: "
        a1> exchange.declare exchange=amq.mine type=direct
        a1! 403 exchange.declare exchange name 'amq.mine' contains reserved prefix 'amq.*'
    ";
    passively_declaring_a_reserved_name: "
        a1> exchange.declare exchange=amq.mine passive
        a1! 404 exchange.declare no exchange 'amq.mine' in vhost '/'
    ";
    the_default_exchange_is_not_to_be_touched: "
        a1> exchange.declare type=direct durable
        a1! 403 exchange.declare operation not permitted on the default exchange
        a1> exchange.declare passive
        a1! 403 exchange.declare operation not permitted on the default exchange
        a1> exchange.delete
        a1! 403 exchange.delete operation not permitted on the default exchange
        a1> exchange.bind destination=amq.direct
        a1! 403 exchange.bind operation not permitted on the default exchange
        a1> exchange.bind source=amq.direct
        a1! 403 exchange.bind operation not permitted on the default exchange
        a1> exchange.unbind destination=amq.direct
        a1! 403 exchange.unbind operation not permitted on the default exchange
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> queue.bind queue=$q routing-key=k
        a1! 403 queue.bind operation not permitted on the default exchange
        a1> queue.unbind queue=$q routing-key=k
        a1! 403 queue.unbind operation not permitted on the default exchange
    ";
    other_type: "
        a1> exchange.declare exchange=$x type=direct
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=topic
        a1! 406 exchange.declare inequivalent arg 'type' for exchange '$x' in vhost '/': received 'topic' but current is 'direct'
    ";
    other_durability: "
        a1> exchange.declare exchange=$x type=direct
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=direct durable
        a1! 406 exchange.declare inequivalent arg 'durable' for exchange '$x' in vhost '/': received 'true' but current is 'false'
    ";
    other_auto_delete: "
        a1> exchange.declare exchange=$x type=direct auto-delete
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=direct
        a1! 406 exchange.declare inequivalent arg 'auto_delete' for exchange '$x' in vhost '/': received 'false' but current is 'true'
    ";
    other_internal: "
        a1> exchange.declare exchange=$x type=direct
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=direct internal
        a1! 406 exchange.declare inequivalent arg 'internal' for exchange '$x' in vhost '/': received 'true' but current is 'false'
    ";
    the_type_is_compared_first: "
        a1> exchange.declare exchange=$x type=direct
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=fanout durable auto-delete internal
        a1! 406 exchange.declare inequivalent arg 'type' for exchange '$x' in vhost '/': received 'fanout' but current is 'direct'
    ";
    other_alternate_exchange: "
        a1> exchange.declare exchange=$x type=direct arguments={alternate-exchange=S:one}
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=direct arguments={alternate-exchange=S:one}
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=direct arguments={alternate-exchange=S:two}
        a1! 406 exchange.declare inequivalent arg 'alternate-exchange' for exchange '$x' in vhost '/': received 'two' but current is 'one'
    ";
    no_alternate_exchange_any_more: "
        a1> exchange.declare exchange=$x type=direct arguments={alternate-exchange=S:one}
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=direct
        a1! 406 exchange.declare inequivalent arg 'alternate-exchange' for exchange '$x' in vhost '/': received none but current is the value 'one' of type 'longstr'
    ";
    an_alternate_exchange_where_there_was_none: "
        a1> exchange.declare exchange=$x type=direct
        a1< exchange.declare-ok
        a1> exchange.declare exchange=$x type=direct arguments={alternate-exchange=S:one}
        a1! 406 exchange.declare inequivalent arg 'alternate-exchange' for exchange '$x' in vhost '/': received the value 'one' of type 'longstr' but current is none
    ";
    other_arguments_do_not_matter: "
        a1> exchange.declare exchange=$x type=direct arguments={mine=I:1}
        a1> exchange.declare exchange=$x type=direct arguments={mine=I:2 more=t:true}
        a1> exchange.declare exchange=$x type=direct
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.declare-ok
    ";
    an_alternate_exchange_that_is_no_name: "
        a1> exchange.declare exchange=$x type=direct arguments={alternate-exchange=I:1}
        a1! 406 exchange.declare invalid type 'signedint' for arg 'alternate-exchange' in exchange '$x' in vhost '/'
    ";
    deleting_a_system_exchange: "
        a1> exchange.delete exchange=amq.topic
        a1! 403 exchange.delete deletion of system exchange 'amq.topic' in vhost '/' not allowed
    ";
    deleting_if_unused: "
        a1> exchange.declare exchange=$x type=direct
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=$x routing-key=k
        a1< exchange.declare-ok
        a1< queue.declare-ok queue=$q
        a1< queue.bind-ok
        a1> exchange.delete exchange=$x if-unused
        a1! 406 exchange.delete exchange '$x' in vhost '/' in use
        a1> queue.unbind queue=$q exchange=$x routing-key=k
        a1> exchange.delete exchange=$x if-unused
        a1< queue.unbind-ok
        a1< exchange.delete-ok
    ";
    being_bound_to_is_not_being_used: "
        a1> exchange.declare exchange=$x type=direct
        a1> exchange.bind destination=$x source=amq.direct routing-key=$x
        a1> exchange.delete exchange=$x if-unused
        a1< exchange.declare-ok
        a1< exchange.bind-ok
        a1< exchange.delete-ok
    ";
    binding_what_is_missing: "
        a1> exchange.declare exchange=$x type=direct
        a1< exchange.declare-ok
        a1> exchange.bind destination=$gone source=$x
        a1! 404 exchange.bind no exchange '$gone' in vhost '/'
        a1> exchange.bind destination=$x source=$gone
        a1! 404 exchange.bind no exchange '$gone' in vhost '/'
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> queue.bind queue=$q exchange=$gone
        a1! 404 queue.bind no exchange '$gone' in vhost '/'
        a1> queue.bind queue=$gone exchange=$x
        a1! 404 queue.bind no queue '$gone' in vhost '/'
    ";
    unbinding_what_is_missing: "
        a1> exchange.declare exchange=$x type=direct
        a1> queue.declare queue=$q
        a1> queue.unbind queue=$q exchange=$x routing-key=k
        a1> queue.unbind queue=$q exchange=$gone routing-key=k
        a1> queue.unbind queue=$gone exchange=$x routing-key=k
        a1> exchange.unbind destination=$gone source=$x
        a1> exchange.unbind destination=$x source=$gone
        a1< exchange.declare-ok
        a1< queue.declare-ok queue=$q
        a1< queue.unbind-ok
        a1< queue.unbind-ok
        a1< queue.unbind-ok
        a1< exchange.unbind-ok
        a1< exchange.unbind-ok
    ";
    bad_header_bindings: r#"
        a1> queue.declare queue=$q
        a1< queue.declare-ok queue=$q
        a1> queue.bind queue=$q exchange=amq.headers arguments={x-match=S:some}
        a1! 406 queue.bind Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x
        a1> queue.bind queue=$q exchange=amq.headers arguments={x-match=I:23}
        a1! 406 queue.bind Invalid x-match field type signedint (value 23); expected longstr
    "#;
    line_ends_are_no_part_of_names: r#"
        a1> exchange.declare exchange="$x\r\n" type=direct
        a1> exchange.declare exchange=$x type=direct passive
        a1> exchange.delete exchange="$x\n"
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< exchange.delete-ok
        a1> exchange.declare exchange=$x passive
        a1! 404 exchange.declare no exchange '$x' in vhost '/'
    "#;
    auto_delete_after_the_last_binding: "
        a1> exchange.declare exchange=$x type=fanout auto-delete
        a1> queue.declare queue=$q
        a1> queue.declare queue=$p
        a1> queue.bind queue=$q exchange=$x
        a1> queue.bind queue=$p exchange=$x
        a1> queue.unbind queue=$q exchange=$x
        a1> exchange.declare exchange=$x passive
        a1> queue.delete queue=$p
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< queue.declare-ok
        a1< queue.bind-ok
        a1< queue.bind-ok
        a1< queue.unbind-ok
        a1< exchange.declare-ok
        a1< queue.delete-ok
        a1> exchange.declare exchange=$x passive
        a1! 404 exchange.declare no exchange '$x' in vhost '/'
    ";
    auto_delete_cascades: "
        a1> exchange.declare exchange=$x type=fanout auto-delete
        a1> exchange.declare exchange=$y type=fanout auto-delete
        a1> queue.declare queue=$q
        a1> exchange.bind destination=$y source=$x
        a1> queue.bind queue=$q exchange=$y
        a1> queue.delete queue=$q
        a1< exchange.declare-ok
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< exchange.bind-ok
        a1< queue.bind-ok
        a1< queue.delete-ok
        a1> exchange.declare exchange=$y passive
        a1! 404 exchange.declare no exchange '$y' in vhost '/'
        a1> exchange.declare exchange=$x passive
        a1! 404 exchange.declare no exchange '$x' in vhost '/'
    ";
    deleting_an_exchange_deletes_its_bindings: "
        a1> exchange.declare exchange=$x type=fanout
        a1> queue.declare queue=$q
        a1> queue.bind queue=$q exchange=$x
        a1> exchange.delete exchange=$x
        a1> exchange.declare exchange=$x type=fanout
        a1> basic.publish exchange=$x body=lost
        a1> basic.get queue=$q
        a1< exchange.declare-ok
        a1< queue.declare-ok
        a1< queue.bind-ok
        a1< exchange.delete-ok
        a1< exchange.declare-ok
        a1< basic.get-empty
    ";
}
