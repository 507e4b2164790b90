"""Looks at a queue without changing it: its counts, or the refusal.  inspect_queue.py QUEUE"""
import sys

import pika
from broker import connect

connection = connect()
channel = connection.channel()
try:
    queue = channel.queue_declare(queue=sys.argv[1], passive=True).method
    print("found messages=%d consumers=%d" % (queue.message_count, queue.consumer_count))
    connection.close()
except pika.exceptions.ChannelClosed as closed:
    print("refused %r" % (closed.args,))
