"""Subscribes to an exchange with a queue of its own.  receive_logs.py EXCHANGE TYPE BINDING_KEY..."""
import sys

from broker import connect

exchange, kind = sys.argv[1:3]
connection = connect()
channel = connection.channel()
channel.exchange_declare(exchange=exchange, exchange_type=kind)
result = channel.queue_declare(queue='', exclusive=True)  # the broker names it, and removes it after use
queue_name = result.method.queue
for binding_key in sys.argv[3:]:
    channel.queue_bind(exchange=exchange, queue=queue_name, routing_key=binding_key)


def callback(ch, method, properties, body):
    print("[x] %r:%r" % (method.routing_key, body))


channel.basic_consume(queue=queue_name,
                      on_message_callback=callback,
                      auto_ack=True)
print('[*] Waiting for logs on %s' % queue_name)
channel.start_consuming()
