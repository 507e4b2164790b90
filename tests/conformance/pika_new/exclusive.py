"""Declares an exclusive queue named by the broker and keeps it until told to leave.  exclusive.py"""
import sys

from broker import connect

connection = connect()
channel = connection.channel()
result = channel.queue_declare(queue='', exclusive=True)
print("queue %s" % result.method.queue)
sys.stdin.readline()
connection.close()
print("left")
