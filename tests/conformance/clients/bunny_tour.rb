# Bunny: confirms, returns, consumers, get, exchange to exchange, errors.
require 'bunny'
require 'securerandom'
name = SecureRandom.hex
connection = Bunny.new(ENV['AMQP_URL'], heartbeat: 5, automatically_recover: false)
connection.start
channel = connection.create_channel
channel.confirm_select
exchange = channel.topic("x#{name}", auto_delete: true)
queue = channel.queue("q#{name}", durable: true, arguments: { 'x-max-priority' => 5, 'x-dead-letter-exchange' => '' })
queue.bind(exchange, routing_key: 'a.#')
returned = []
exchange.on_return { |info, _properties, body| returned << [info.reply_text, body] }
exchange.publish('nowhere', routing_key: 'none', mandatory: true)
10.times { |n| exchange.publish(n.to_s, routing_key: 'a.b', persistent: true, headers: { n: n }, timestamp: Time.now.to_i) }
raise 'not confirmed' unless channel.wait_for_confirms
raise returned.inspect unless returned == [%w[NO_ROUTE nowhere]]
raise queue.message_count.to_s unless queue.message_count == 10
got = []
channel.prefetch(2)
consumer = queue.subscribe(manual_ack: true) { |info, properties, body| got << [body.to_i, properties.headers['n']]; channel.ack(info.delivery_tag) }
sleep 0.02 while got.size < 10
raise got.inspect unless got == (0..9).map { |n| [n, n] }
consumer.cancel
raise 'not empty' unless queue.pop == [nil, nil, nil]
begin
  connection.create_channel.queue("q#{name}", durable: false)
  raise 'redeclared otherwise'
rescue Bunny::PreconditionFailed => e
  raise e.message unless e.message.include?("inequivalent arg 'durable'")
end
begin
  connection.create_channel.queue("none#{name}", passive: true)
  raise 'not there'
rescue Bunny::NotFound
end
exclusive = connection.create_channel.queue('', exclusive: true)
raise exclusive.name unless exclusive.name.start_with?('amq.gen-')
raise 'exists' if connection.queue_exists?("none#{name}")
tx = connection.create_channel
tx.tx_select
tx.default_exchange.publish('t', routing_key: exclusive.name)
tx.tx_rollback
raise 'rolled back' unless exclusive.message_count.zero?
queue.delete
begin
  Bunny.new(ENV['AMQP_URL'].sub('guest:guest', 'guest:wrong'), automatically_recover: false, log_level: :fatal).start
  raise 'logged in'
rescue Bunny::AuthenticationFailureError
end
begin
  Bunny.new(ENV['AMQP_URL'], vhost: 'none', automatically_recover: false, log_level: :fatal).start
  raise 'opened'
rescue Bunny::NotAllowedError
end
connection.close
