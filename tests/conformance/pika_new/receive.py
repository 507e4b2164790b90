"""Hello, receiver: prints what comes and what comes with it.  receive.py QUEUE"""
import sys

from broker import connect

connection = connect()
channel = connection.channel()
channel.queue_declare(queue=sys.argv[1])


def callback(ch, method, properties, body):
    print(ch, method, properties)
    print("[x] Received %r" % body)


channel.basic_consume(queue=sys.argv[1],
                      on_message_callback=callback,
                      auto_ack=True)
print('[*] Waiting for messages')
channel.start_consuming()
