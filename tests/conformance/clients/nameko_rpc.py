"""nameko: a service container with RPC and events over the broker."""
import eventlet
eventlet.monkey_patch()
import os
from nameko.containers import ServiceContainer
from nameko.events import EventDispatcher, event_handler
from nameko.rpc import rpc
from nameko.standalone.rpc import ServiceRpcProxy

config = {"AMQP_URI": os.environ["AMQP_URL"].replace("amqp://", "pyamqp://")}
heard = []


class Greeting:
    name = "greeting_check"
    dispatch = EventDispatcher()

    @rpc
    def hello(self, name):
        self.dispatch("greeted", name)
        return "Hello, " + name

    @event_handler("greeting_check", "greeted")
    def on_greeted(self, payload):
        heard.append(payload)


container = ServiceContainer(Greeting, config)
container.start()
with ServiceRpcProxy("greeting_check", config) as proxy:
    assert proxy.hello("Leveret") == "Hello, Leveret"
    replies = [proxy.hello.call_async(str(n)) for n in range(10)]
    assert [reply.result() for reply in replies] == [f"Hello, {n}" for n in range(10)]
with eventlet.Timeout(10):
    while len(heard) < 11:
        eventlet.sleep(0.05)
container.stop()
