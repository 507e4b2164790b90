"""The connection that the programs of the tutorial open, with the broker's address taken from the test instead of written down."""
import os

import pika


def connect(user='guest', password='guest', virtual_host='/'):
    return pika.BlockingConnection(pika.ConnectionParameters(
        host=os.environ['BROKER_HOST'],
        port=int(os.environ['BROKER_PORT']),
        virtual_host=virtual_host,
        credentials=pika.PlainCredentials(user, password)))
