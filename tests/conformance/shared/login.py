"""Logs in.  login.py USER PASSWORD VHOST"""
import sys

import pika
from broker import connect

try:
    connection = connect(*sys.argv[1:4])
    print("welcome")
    connection.close()
except pika.exceptions.AMQPConnectionError as error:
    print("refused %s %r" % (type(error).__name__, error))
