"""puka: an old asynchronous client (2012), with promises."""
import os, uuid
import puka

name = uuid.uuid4().hex
client = puka.Client(os.environ["AMQP_URL"], pubacks=True)
client.wait(client.connect())
client.wait(client.exchange_declare(exchange="x" + name, type="topic", auto_delete=False))
client.wait(client.queue_declare(queue="q" + name, arguments={"x-message-ttl": 60000}))
client.wait(client.queue_bind(queue="q" + name, exchange="x" + name, routing_key="a.#"))
for n in range(10):
    client.wait(client.basic_publish(exchange="x" + name, routing_key="a.b", body=str(n).encode(), headers={"persistent": True, "n": n}, mandatory=True))
try:
    client.wait(client.basic_publish(exchange="x" + name, routing_key="none", body=b"x", mandatory=True))
    raise SystemExit("not returned")
except puka.NoRoute:
    pass
consume = client.basic_consume(queue="q" + name, prefetch_count=2)
for n in range(10):
    message = client.wait(consume)
    assert str(message["body"]) in (str(n), repr(str(n).encode())) and message["headers"]["n"] == n, message
    client.basic_ack(message)
client.wait(client.basic_cancel(consume))
assert client.wait(client.basic_get(queue="q" + name)).get("empty")
try:
    client.wait(client.queue_declare(queue="q" + name, durable=True))
    raise SystemExit("redeclared otherwise")
except puka.PreconditionFailed:
    pass
client.wait(client.queue_delete(queue="q" + name))
client.wait(client.exchange_delete(exchange="x" + name))
client.wait(client.close())
