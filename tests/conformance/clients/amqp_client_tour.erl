%% Erlang: RabbitMQ's amqp_client, as shipped with the server.
-module(amqp_client_tour).
-export([main/0]).
-include_lib("amqp_client/include/amqp_client.hrl").

main() ->
    {ok, Parameters} = amqp_uri:parse(os:getenv("AMQP_URL")),
    {ok, Connection} = amqp_connection:start(Parameters),
    {ok, Channel} = amqp_connection:open_channel(Connection),
    #'confirm.select_ok'{} = amqp_channel:call(Channel, #'confirm.select'{}),
    #'queue.declare_ok'{queue = Q} = amqp_channel:call(Channel, #'queue.declare'{exclusive = true, arguments = [{<<"x-max-length">>, long, 100}]}),
    X = <<"x", Q/binary>>,
    #'exchange.declare_ok'{} = amqp_channel:call(Channel, #'exchange.declare'{exchange = X, type = <<"topic">>, auto_delete = true}),
    #'queue.bind_ok'{} = amqp_channel:call(Channel, #'queue.bind'{queue = Q, exchange = X, routing_key = <<"a.#">>}),
    amqp_channel:register_return_handler(Channel, self()),
    Publish = fun (Key, Body) ->
        amqp_channel:cast(Channel, #'basic.publish'{exchange = X, routing_key = Key, mandatory = true},
                          #amqp_msg{props = #'P_basic'{delivery_mode = 2, headers = [{<<"n">>, signedint, 1}]}, payload = Body}) end,
    Publish(<<"none">>, <<"r">>),
    [Publish(<<"a.b">>, integer_to_binary(N)) || N <- lists:seq(1, 10)],
    true = amqp_channel:wait_for_confirms(Channel, 10),
    receive {#'basic.return'{reply_code = 312}, #amqp_msg{payload = <<"r">>}} -> ok after 5000 -> exit(no_return) end,
    #'basic.qos_ok'{} = amqp_channel:call(Channel, #'basic.qos'{prefetch_count = 2}),
    #'basic.consume_ok'{consumer_tag = Tag} = amqp_channel:subscribe(Channel, #'basic.consume'{queue = Q}, self()),
    receive #'basic.consume_ok'{} -> ok end,
    [receive {#'basic.deliver'{delivery_tag = DTag}, #amqp_msg{payload = Body}} ->
         Body = integer_to_binary(N), amqp_channel:cast(Channel, #'basic.ack'{delivery_tag = DTag})
     after 5000 -> exit({no_delivery, N}) end || N <- lists:seq(1, 10)],
    #'basic.cancel_ok'{} = amqp_channel:call(Channel, #'basic.cancel'{consumer_tag = Tag}),
    #'basic.get_empty'{} = amqp_channel:call(Channel, #'basic.get'{queue = Q}),
    Server = amqp_rpc_server:start(Connection, <<"rpc", Q/binary>>, fun (B) -> <<"re ", B/binary>> end),
    Client = amqp_rpc_client:start(Connection, <<"rpc", Q/binary>>),
    <<"re hello">> = amqp_rpc_client:call(Client, <<"hello">>),
    amqp_rpc_client:stop(Client), amqp_rpc_server:stop(Server),
    {ok, Other} = amqp_connection:open_channel(Connection),
    {'EXIT', {{shutdown, {server_initiated_close, 404, _}}, _}} = (catch amqp_channel:call(Other, #'queue.declare'{queue = <<"none", Q/binary>>, passive = true})),
    ok = amqp_connection:close(Connection),
    {error, {auth_failure, _}} = amqp_connection:start(Parameters#amqp_params_network{password = <<"wrong">>}),
    halt(0).
