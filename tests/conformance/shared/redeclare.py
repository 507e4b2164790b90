"""Declares a queue once as durable and once not, which the broker refuses.  redeclare.py QUEUE FIRST SECOND (durable|transient)"""
import sys

import pika
from broker import connect

queue, first, second = sys.argv[1:4]
connection = connect()
channel = connection.channel()
channel.queue_declare(queue=queue, durable=first == 'durable')
print("declared %s" % first)
try:
    channel.queue_declare(queue=queue, durable=second == 'durable')
    print("declared %s" % second)
except pika.exceptions.ChannelClosed as closed:
    print("refused %r" % (closed.args,))
channel = connection.channel()
channel.queue_delete(queue=queue)
print("the connection goes on")
connection.close()
