"""RPC, client: asks for Fibonacci numbers.  rpc_client.py QUEUE exclusive|direct N...

The replies come to an exclusive queue, or without any queue to the consumer of amq.rabbitmq.reply-to (direct)."""
import sys
import uuid

import pika
from broker import connect


class FibonacciRpcClient(object):
    def __init__(self, queue, replies):
        self.queue = queue
        self.connection = connect()
        self.channel = self.connection.channel()
        if replies == 'direct':
            self.callback_queue = 'amq.rabbitmq.reply-to'
        else:
            self.callback_queue = self.channel.queue_declare(exclusive=True).method.queue
        self.channel.basic_consume(self.on_response,
                                   queue=self.callback_queue,
                                   no_ack=True)

    def on_response(self, ch, method, props, body):
        if self.corr_id == props.correlation_id:
            self.response = body

    def call(self, n):
        self.response = None
        self.corr_id = str(uuid.uuid4())
        self.channel.basic_publish(exchange='',
                                   routing_key=self.queue,
                                   properties=pika.BasicProperties(
                                       reply_to=self.callback_queue,
                                       correlation_id=self.corr_id,
                                   ),
                                   body=str(n))
        while self.response is None:
            self.connection.process_data_events()
        return int(self.response)


fibonacci_rpc = FibonacciRpcClient(*sys.argv[1:3])
for number in sys.argv[3:]:
    print(" [x] Requesting fib(%s)" % number)
    print(" [.] Got %r" % fibonacci_rpc.call(int(number)))
fibonacci_rpc.connection.close()
