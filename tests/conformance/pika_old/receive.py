"""Hello, receiver: prints what comes and what comes with it.  receive.py QUEUE"""
import sys

from broker import connect

connection = connect()
channel = connection.channel()
channel.queue_declare(queue=sys.argv[1])


def callback(ch, method, properties, body):
    print(ch, method, properties)
    print("[x] Received %r" % body)


channel.basic_consume(callback,
                      queue=sys.argv[1],
                      no_ack=True)
print('[*] Waiting for messages')
channel.start_consuming()
