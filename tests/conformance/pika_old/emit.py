"""Publishes to an exchange.  emit.py EXCHANGE TYPE ROUTING_KEY MESSAGE"""
import sys

from broker import connect

exchange, kind, routing_key, message = sys.argv[1:5]
connection = connect()
channel = connection.channel()
channel.exchange_declare(exchange=exchange, type=kind)
channel.basic_publish(exchange=exchange, routing_key=routing_key, body=message)
print('[x] Sent %r:%r' % (routing_key, message))
connection.close()
