"""Work queue, producer who asks for confirms: each further argument is a persistent message.  confirmed_task.py QUEUE MESSAGE..."""
import sys

import pika
from broker import connect

queue = sys.argv[1]
connection = connect()
channel = connection.channel()
channel.queue_declare(queue=queue, durable=True)
channel.confirm_delivery()
for message in sys.argv[2:]:
    # pika before 1.0 answers whether it was confirmed, later ones raise an exception if it was not.
    confirmed = channel.basic_publish(exchange='',
                                      routing_key=queue,
                                      body=message,
                                      properties=pika.BasicProperties(delivery_mode=2))
    print(" [x] Confirmed %r %s" % (message, confirmed is not False))
connection.close()
