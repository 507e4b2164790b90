"""The programs of the benches `echo` and `switch` on gevent, for comparison.

`on_gevent.py` prints the figures of `switch`; `on_gevent.py serve` is the echo server: it tells its port and serves until killed.
`cargo bench -p leveret-runtime --bench echo -- --gevent python3` runs both."""

import socket
import statistics
import sys
import time

import gevent
import gevent.queue
from gevent.server import StreamServer

RUNS = 5
YIELDS = 100_000
SPAWNS = 20_000
ROUND_TRIPS = 20_000


def echo(connection, _peer):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := connection.recv(16384):
            connection.sendall(data)
    except OSError:
        pass


def serve():
    server = StreamServer(("127.0.0.1", 0), echo, backlog=4096)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()


def yields(count):
    def body():
        for _ in range(YIELDS // count):
            gevent.sleep(0)

    greenlets = [gevent.spawn(body) for _ in range(count)]
    start = time.thread_time_ns()
    gevent.joinall(greenlets)
    return (time.thread_time_ns() - start) / YIELDS


def spawns():
    start = time.thread_time_ns()
    for n in range(SPAWNS):
        gevent.spawn(lambda n=n: n).get()
    return (time.thread_time_ns() - start) / SPAWNS


def round_trips():
    ask, answer = gevent.queue.Queue(1), gevent.queue.Queue(1)

    def echoes():
        while (value := ask.get()) is not None:
            answer.put(value)

    echoing = gevent.spawn(echoes)
    start = time.thread_time_ns()
    for n in range(ROUND_TRIPS):
        ask.put(n)
        answer.get()
    nanos = time.thread_time_ns() - start
    ask.put(None)
    echoing.join()
    return nanos / ROUND_TRIPS


def tell(what, run):
    print(f"{'gevent: ' + what:<58} {statistics.median(run() for _ in range(RUNS)):>10.1f} ns")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        serve()
    tell("yield among 1000", lambda: yields(1000))
    tell("spawn + join with handle", spawns)
    tell("channel round trip", round_trips)
