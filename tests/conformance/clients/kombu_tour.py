"""kombu: producers and consumers, retries, priorities, dead letters; SimpleQueue; time-outs; heartbeats."""
import os, socket, uuid
from kombu import Connection, Exchange, Queue, Consumer, Producer

name = uuid.uuid4().hex
with Connection(os.environ["AMQP_URL"], heartbeat=4, transport_options={"confirm_publish": True}) as connection:
    connection.ensure_connection(max_retries=2)
    dead = Queue("dead" + name, Exchange("dx" + name, "fanout", auto_delete=True), auto_delete=True)
    exchange = Exchange("x" + name, type="direct", durable=False, auto_delete=True)
    queue = Queue("q" + name, exchange, routing_key="k", durable=False, auto_delete=True, max_priority=5,
                  queue_arguments={"x-dead-letter-exchange": "dx" + name})
    dead(connection.default_channel).declare()
    producer = Producer(connection, serializer="json")
    for n in (1, 5, 3):
        producer.publish({"n": n}, exchange=exchange, routing_key="k", declare=[queue], retry=True, priority=n, compression="zlib")
    got = []

    def on_message(body, message):
        got.append(body["n"])
        message.reject() if body["n"] == 3 else message.ack()

    with Consumer(connection, [queue], callbacks=[on_message], prefetch_count=1):
        while len(got) < 3:
            connection.drain_events(timeout=10)
    assert got == [5, 3, 1], got
    message = dead(connection.default_channel).get()
    assert message and message.headers["x-death"][0]["reason"] == "rejected", message and message.headers
    message.ack()
    simple = connection.SimpleQueue("s" + name)
    simple.put({"hello": "world"})
    message = simple.get(timeout=5)
    assert message.payload == {"hello": "world"}
    message.ack()
    simple.close()
    simple.queue.delete()
    try:
        connection.drain_events(timeout=0.2)
    except socket.timeout:
        pass
    connection.heartbeat_check()
