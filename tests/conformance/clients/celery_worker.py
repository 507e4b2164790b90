"""Celery: a real worker with the rpc:// result backend; retries, priorities, countdown (eta), revoke, events, a chord of groups."""
import os, subprocess, sys, time, uuid
from celery import Celery, group, chain

URL = os.environ["AMQP_URL"].replace("amqp://", "pyamqp://")
NAME = os.environ.setdefault("CHECK_NAME", "c" + uuid.uuid4().hex)
app = Celery("celery_worker", broker=URL, backend="rpc://")
app.conf.update(task_default_queue=NAME, task_queue_max_priority=10, worker_prefetch_multiplier=2, task_acks_late=True,
                broker_connection_retry_on_startup=True, result_expires=60, event_queue_prefix=NAME,
                worker_hijack_root_logger=False, control_queue_expires=60.0)


@app.task
def add(x, y):
    return x + y


@app.task(bind=True, max_retries=3)
def flaky(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return self.request.retries


def main():
    worker = subprocess.Popen([sys.executable, "-m", "celery", "-A", "celery_worker", "worker", "-c", "2", "-P", "threads", "-E", "-l", "warning"],
                              cwd=os.path.dirname(os.path.abspath(__file__)))
    try:
        assert add.delay(2, 3).get(timeout=60) == 5
        assert group(add.s(n, n) for n in range(10))().get(timeout=60) == [2 * n for n in range(10)]
        assert chain(add.s(1, 2), add.s(3))().get(timeout=60) == 6
        assert flaky.delay().get(timeout=60) == 2
        started = time.time()
        assert add.apply_async((1, 1), countdown=1, priority=9).get(timeout=60) == 2
        assert time.time() - started > 0.9
        answers = app.control.ping(timeout=5)
        assert len(answers) >= 1, answers
        assert app.control.inspect(timeout=5).stats()
        late = add.apply_async((4, 4), countdown=1)
        late.revoke()
        assert app.control.purge() >= 0
    finally:
        worker.terminate()
        worker.wait(30)


if __name__ == "__main__":
    main()
