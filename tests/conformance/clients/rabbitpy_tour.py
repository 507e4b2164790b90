"""rabbitpy: its own object model, confirms, mandatory, tx, get and consume."""
import os, uuid
import rabbitpy

name = uuid.uuid4().hex
with rabbitpy.Connection(os.environ["AMQP_URL"]) as connection:
    with connection.channel() as channel:
        channel.enable_publisher_confirms()
        exchange = rabbitpy.TopicExchange(channel, "x" + name)
        exchange.declare()
        queue = rabbitpy.Queue(channel, "q" + name, max_length=50, message_ttl=60000)
        queue.declare()
        assert queue.bind(exchange, "a.*")
        for n in range(10):
            message = rabbitpy.Message(channel, f"{n}", {"content_type": "text/plain", "message_type": "t"}, opinionated=True)
            assert message.publish(exchange, "a.b", mandatory=True)
        # On a channel of its own: rabbitpy puts frames that it does not wait for back at the end of its queue, so that a returned message's
        # body may come to lie behind a delivery's.
        with connection.channel() as other:
            other.enable_publisher_confirms()
            try:
                rabbitpy.Message(other, "nowhere").publish("x" + name, "x", mandatory=True)
            except rabbitpy.exceptions.MessageReturnedException:
                pass
        assert len(queue) == 10, len(queue)
        got = []
        for message in queue.consume(prefetch=3):
            got.append(message.body.decode())
            message.ack()
            if len(got) == 9:
                break
        assert got == [str(n) for n in range(9)], got
        queue.delete()
        exchange.delete()
    with connection.channel() as channel:
        tx = rabbitpy.Tx(channel)
        tx.select()
        queue = rabbitpy.Queue(channel, "t" + name)
        queue.declare()
        rabbitpy.Message(channel, "one").publish("", "t" + name)
        assert tx.commit()
        assert queue.get().body == b"one"
        queue.delete()
    try:
        with connection.channel() as channel:
            rabbitpy.Queue(channel, "missing" + name).declare(passive=True)
        raise SystemExit("a queue that is not there")
    except rabbitpy.exceptions.AMQPNotFound:
        pass
