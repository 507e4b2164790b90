"""dramatiq: actors, delays (its dead-letter and delay queues), retries, priorities."""
import os, time, uuid
import dramatiq
from dramatiq import Worker
from dramatiq.brokers.rabbitmq import RabbitmqBroker

name = uuid.uuid4().hex
broker = RabbitmqBroker(url=os.environ["AMQP_URL"], confirm_delivery=True, max_priority=10)
dramatiq.set_broker(broker)
seen = []


@dramatiq.actor(queue_name="d" + name, max_retries=2, min_backoff=50, max_backoff=100)
def work(n, fail=False):
    seen.append(n)
    if fail and seen.count(n) == 1:
        raise RuntimeError("once")


worker = Worker(broker, worker_timeout=100)
worker.start()
try:
    for n in range(10):
        work.send(n)
    work.send_with_options(args=(50,), delay=300)
    work.send(99, fail=True)
    limit = time.time() + 30
    while not (set(range(10)) | {50, 99} <= set(seen) and seen.count(99) == 2):
        assert time.time() < limit, seen
        time.sleep(0.05)
    broker.join("d" + name, timeout=10000)
    assert broker.get_queue_message_counts("d" + name) == (0, 0, 0), broker.get_queue_message_counts("d" + name)
    broker.flush("d" + name)
finally:
    worker.stop()
    broker.close()
