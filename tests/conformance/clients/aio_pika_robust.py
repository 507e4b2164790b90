"""aio-pika: robust connection, confirms, returns, RPC pattern, queue iterator, errors."""
import asyncio, os, uuid
import aio_pika
from aio_pika import Message, DeliveryMode, ExchangeType
from aio_pika.patterns import RPC, Master

URL = os.environ["AMQP_URL"]


async def main():
    connection = await aio_pika.connect_robust(URL, client_properties={"connection_name": "aio-pika check"})
    name = uuid.uuid4().hex
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        await channel.set_qos(prefetch_count=10)
        exchange = await channel.declare_exchange("x" + name, ExchangeType.TOPIC, auto_delete=True)
        queue = await channel.declare_queue("q" + name, durable=True, arguments={"x-max-length": 100, "x-queue-type": "classic"})
        await queue.bind(exchange, "a.#")
        for n in range(20):
            await exchange.publish(Message(str(n).encode(), delivery_mode=DeliveryMode.PERSISTENT, headers={"n": n}), "a.b")
        try:
            await exchange.publish(Message(b"nowhere"), "nobody", mandatory=True)
            raise SystemExit("an unroutable message was not returned")
        except aio_pika.exceptions.DeliveryError:
            pass
        got = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    got.append(int(message.body))
                if len(got) == 20:
                    break
        assert got == list(range(20)), got
        assert await queue.get(fail=False) is None

        rpc = await RPC.create(channel)

        async def double(*, x):
            return x * 2

        await rpc.register("double" + name, double, auto_delete=True)
        assert await rpc.call("double" + name, kwargs={"x": 21}) == 42

        master = Master(channel)
        done = asyncio.get_running_loop().create_future()

        async def work(*, task):
            done.set_result(task)

        worker = await master.create_worker("w" + name, work, auto_delete=True)
        await master.create_task("w" + name, kwargs={"task": 7})
        assert await asyncio.wait_for(done, 10) == 7
        await worker.close()

        other = await connection.channel()
        try:
            await other.declare_queue("q" + name, durable=False)
            raise SystemExit("redeclared with other durability")
        except aio_pika.exceptions.ChannelPreconditionFailed as error:
            assert "inequivalent arg 'durable'" in str(error), error
        other = await connection.channel()
        try:
            await other.get_queue("none" + name)
            raise SystemExit("a queue that is not there")
        except aio_pika.exceptions.ChannelNotFoundEntity:
            pass
        async with connection.channel() as tx_channel:
            pass
        tx_channel = await connection.channel(publisher_confirms=False)
        async with tx_channel.transaction():
            await tx_channel.default_exchange.publish(Message(b"tx"), "q" + name)
        assert (await queue.get(no_ack=True)).body == b"tx"
        await queue.delete()


asyncio.run(main())
