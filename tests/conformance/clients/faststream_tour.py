"""FastStream on aio-pika: subscribers, publishers, request and reply."""
import asyncio, os, uuid
from faststream import FastStream
from faststream.rabbit import RabbitBroker, RabbitExchange, RabbitQueue, ExchangeType

name = uuid.uuid4().hex
broker = RabbitBroker(os.environ["AMQP_URL"])
app = FastStream(broker)
queue = RabbitQueue("q" + name, auto_delete=True, routing_key="a.*")
exchange = RabbitExchange("x" + name, type=ExchangeType.TOPIC, auto_delete=True)
seen = []


@broker.subscriber(queue, exchange)
@broker.publisher("out" + name)
async def handle(n: int):
    return n + 1


@broker.subscriber(RabbitQueue("out" + name, auto_delete=True))
async def collect(n: int):
    seen.append(n)


@broker.subscriber(RabbitQueue("rpc" + name, auto_delete=True))
async def answer(text: str):
    return text.upper()


async def main():
    async with broker:
        await broker.start()
        for n in range(10):
            await broker.publish(n, routing_key="a.b", exchange=exchange)
        reply = await broker.request("hi", "rpc" + name, timeout=10)
        assert await reply.decode() == "HI", reply
        for _ in range(200):
            if len(seen) == 10:
                break
            await asyncio.sleep(0.05)
        assert sorted(seen) == list(range(1, 11)), seen


asyncio.run(main())
