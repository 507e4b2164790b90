"""A worker that takes its messages and never acknowledges them.  worker_holding.py QUEUE"""
import sys

from broker import connect

connection = connect()
channel = connection.channel()
channel.queue_declare(queue=sys.argv[1])


def callback(ch, method, properties, body):
    print(" [x] Holding %r redelivered=%s" % (body, method.redelivered))


channel.basic_consume(queue=sys.argv[1],
                      on_message_callback=callback)
print(' [*] Waiting for messages')
channel.start_consuming()
