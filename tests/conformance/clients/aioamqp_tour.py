"""aioamqp: asyncio client of 2014 to 2020."""
import asyncio, os, uuid
from urllib.parse import urlparse
import aioamqp

url, name = urlparse(os.environ["AMQP_URL"]), uuid.uuid4().hex


async def main():
    transport, protocol = await aioamqp.connect(url.hostname, url.port, heartbeat=5)
    channel = await protocol.channel()
    await channel.confirm_select()
    await channel.exchange_declare("x" + name, "topic", auto_delete=True)
    await channel.queue_declare("q" + name, auto_delete=True, arguments={"x-max-priority": 3})
    await channel.queue_bind("q" + name, "x" + name, "a.#")
    done, got = asyncio.Event(), []

    async def on_message(channel, body, envelope, properties):
        got.append((body, properties.headers))
        await channel.basic_client_ack(envelope.delivery_tag)
        if len(got) == 5:
            done.set()

    await channel.basic_qos(prefetch_count=2, prefetch_size=0, connection_global=False)
    await channel.basic_consume(on_message, queue_name="q" + name)
    for n in range(5):
        await channel.publish(str(n).encode(), "x" + name, "a.b", properties={"headers": {"n": n}, "delivery_mode": 2})
    await asyncio.wait_for(done.wait(), 10)
    assert [body for body, _ in got] == [b"0", b"1", b"2", b"3", b"4"], got
    other = await protocol.channel()
    try:
        await other.queue_declare("q" + name, passive=False, durable=True)
        raise SystemExit("redeclared otherwise")
    except aioamqp.exceptions.ChannelClosed as error:
        assert error.code == 406, error
    await protocol.close()
    transport.close()


asyncio.run(main())
