"""RPC, server: Fibonacci numbers.  rpc_server.py QUEUE"""
import sys

import pika
from broker import connect

connection = connect()
channel = connection.channel()
channel.queue_declare(queue=sys.argv[1])


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def on_request(ch, method, props, body):
    n = int(body)
    print(" [.] fib(%s)" % n)
    ch.basic_publish(exchange='',
                     routing_key=props.reply_to,
                     properties=pika.BasicProperties(correlation_id=props.correlation_id),
                     body=str(fib(n)))
    ch.basic_ack(delivery_tag=method.delivery_tag)


channel.basic_qos(prefetch_count=1)
channel.basic_consume(on_request,
                      queue=sys.argv[1])
print(" [x] Awaiting RPC requests")
channel.start_consuming()
