"""The tutorial's worker that asks for no acknowledgements and acknowledges all the same.  worker_no_ack.py QUEUE SECONDS"""
import logging
import sys
import time

import pika
from broker import connect

logging.basicConfig(level=logging.WARNING)  # pika before 1.0 says only there that its channel was closed
connection = connect()
channel = connection.channel()
channel.queue_declare(queue=sys.argv[1])


def callback(ch, method, properties, body):
    print(" [x] Received %r" % body)
    time.sleep(float(sys.argv[2]))
    print(" [x] Done")
    print("method.delivery_tag", method.delivery_tag)
    ch.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_consume(queue=sys.argv[1],
                      on_message_callback=callback,
                      auto_ack=True)
print(' [*] Waiting for messages')
try:
    channel.start_consuming()
    print("start_consuming returned")
except pika.exceptions.ChannelClosed as closed:
    print("channel closed %r" % (closed.args,))
