"""Which binding keys match which routing keys.  routes.py EXCHANGE TYPE BINDING_KEY... -- ROUTING_KEY...

Prints a line for each binding key: 'KEY <- routing keys that reached its queue'."""
import sys

from broker import connect

exchange, kind = sys.argv[1:3]
split = sys.argv.index('--')
connection = connect()
channel = connection.channel()
channel.confirm_delivery()
channel.exchange_declare(exchange=exchange, exchange_type=kind)
queues = []
for binding_key in sys.argv[3:split]:
    queue = channel.queue_declare(queue='', exclusive=True).method.queue
    channel.queue_bind(exchange=exchange, queue=queue, routing_key=binding_key)
    queues.append((binding_key, queue))
for routing_key in sys.argv[split + 1:]:
    channel.basic_publish(exchange=exchange, routing_key=routing_key, body='to ' + routing_key)
for binding_key, queue in queues:
    reached = []
    method, _, body = channel.basic_get(queue=queue)
    while method is not None:
        assert body == b'to ' + method.routing_key.encode(), body
        reached.append(method.routing_key)
        method, _, body = channel.basic_get(queue=queue)
    print('%s <- %s' % (binding_key, ' '.join(reached)))
channel.exchange_delete(exchange=exchange)
connection.close()
