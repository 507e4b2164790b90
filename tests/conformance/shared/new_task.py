"""Work queue, producer: each further argument is a persistent message.  new_task.py QUEUE durable|transient MESSAGE..."""
import sys

import pika
from broker import connect

queue, durability = sys.argv[1:3]
connection = connect()
channel = connection.channel()
channel.queue_declare(queue=queue, durable=durability == 'durable')
for message in sys.argv[3:]:
    channel.basic_publish(exchange='',
                          routing_key=queue,
                          body=message,
                          properties=pika.BasicProperties(
                              delivery_mode=2,  # make message persistent
                          ))
    print(" [x] Sent %r" % message)
connection.close()
