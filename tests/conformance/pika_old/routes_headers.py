"""Which header bindings match which messages.  routes_headers.py EXCHANGE ARGUMENTS... -- HEADERS... (all as JSON)

Prints a line for each binding: 'ARGUMENTS <- numbers of the messages that reached its queue, from 1'."""
import json
import sys

import pika
from broker import connect

exchange = sys.argv[1]
split = sys.argv.index('--')
connection = connect()
channel = connection.channel()
channel.confirm_delivery()
channel.exchange_declare(exchange=exchange, type='headers')
queues = []
for arguments in sys.argv[2:split]:
    queue = channel.queue_declare(exclusive=True).method.queue
    channel.queue_bind(exchange=exchange, queue=queue, routing_key='', arguments=json.loads(arguments))
    queues.append((arguments, queue))
for number, headers in enumerate(sys.argv[split + 1:], 1):
    properties = pika.BasicProperties(headers=json.loads(headers))
    channel.basic_publish(exchange=exchange, routing_key='', body=str(number), properties=properties)
for arguments, queue in queues:
    reached = []
    method, _, body = channel.basic_get(queue=queue)
    while method is not None:
        reached.append(body.decode())
        method, _, body = channel.basic_get(queue=queue)
    print('%s <- %s' % (arguments, ' '.join(reached)))
channel.exchange_delete(exchange=exchange)
connection.close()
