"""Work queue, worker: a dot in the body is a piece of work.  worker.py QUEUE durable|transient PREFETCH SECONDS_PER_DOT"""
import sys
import time

from broker import connect

queue, durability, prefetch, seconds = sys.argv[1:5]
connection = connect()
channel = connection.channel()
channel.queue_declare(queue=queue, durable=durability == 'durable')


def callback(ch, method, properties, body):
    print(" [x] Received %r redelivered=%s" % (body, method.redelivered))
    time.sleep(body.count(b'.') * float(seconds))
    print(" [x] Done")
    ch.basic_ack(delivery_tag=method.delivery_tag)


if int(prefetch) > 0:
    channel.basic_qos(prefetch_count=int(prefetch))
channel.basic_consume(queue=queue,
                      on_message_callback=callback)
print(' [*] Waiting for messages')
channel.start_consuming()
