"""Hello, sender: each further argument is a message to the queue by way of the default exchange.  send.py QUEUE MESSAGE..."""
import sys

from broker import connect

connection = connect()
channel = connection.channel()
channel.queue_declare(queue=sys.argv[1])
for message in sys.argv[2:]:
    channel.basic_publish(exchange='', routing_key=sys.argv[1], body=message)
    print("[X] Sent %r" % message)
connection.close()
