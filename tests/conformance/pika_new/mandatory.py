"""Publishes with mandatory=True to a queue that is there and to a name that leads nowhere.  mandatory.py QUEUE"""
import sys

import pika
from broker import connect

queue = sys.argv[1]
connection = connect()
channel = connection.channel()
channel.queue_declare(queue=queue, exclusive=True)


def publish(exchange, routing_key):
    channel.basic_publish(exchange=exchange,
                          routing_key=routing_key,
                          body='needed',
                          properties=pika.BasicProperties(content_type='text/plain', message_id='m-1'),
                          mandatory=True)


def returned(how, method, properties, body):
    print("%s %d %s exchange=%r routing_key=%r %s %s %r" % (
        how, method.reply_code, method.reply_text, method.exchange, method.routing_key,
        properties.content_type, properties.message_id, body))


returns = []
channel.add_on_return_callback(lambda ch, method, properties, body: returns.append((method, properties, body)))
publish('amq.direct', 'nowhere')
while not returns:
    connection.process_data_events()
returned("returned", *returns[0])
channel.confirm_delivery()
publish('', queue)
print("routed")
try:
    publish('amq.direct', 'nowhere')
except pika.exceptions.UnroutableError as error:
    message = error.messages[0]
    returned("unroutable", message.method, message.properties, message.body)
connection.close()
