"""A broker of its own for the tests, and its HTTP API."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request


def q(name):
    return urllib.parse.quote(name, safe="")


class Broker:
    def __init__(self, program):
        self.data = tempfile.mkdtemp(prefix="leveret-browser-broker-")
        command = [program, "--amqp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--prometheus", "127.0.0.1:0", "--data-dir", self.data, "--shards", "2"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline()
        self.amqp, self.http = (re.search(rf"\b{kind} ([0-9.]+:[0-9]+)", line).group(1) for kind in ("amqp", "http"))
        self.url = f"http://{self.http}/"

    def ask(self, method, path, body=None, user="guest", password="guest"):
        """Answers the JSON, or None."""
        request = urllib.request.Request(f"{self.url}api/{path}", method=method, data=None if body is None else json.dumps(body).encode())
        request.add_header("authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
        request.add_header("content-type", "application/json")
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def get(self, path):
        return self.ask("GET", path)

    def put(self, path, body):
        return self.ask("PUT", path, body)

    def exists(self, path):
        try:
            self.get(path)
            return True
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return False
            raise

    def queue(self, name, vhost="/", **arguments):
        self.put(f"queues/{q(vhost)}/{q(name)}", {"durable": True, "arguments": arguments})

    def publish(self, key, payload="hello", exchange="amq.default", vhost="/", **properties):
        body = {"properties": properties, "routing_key": key, "payload": payload, "payload_encoding": "string"}
        return self.ask("POST", f"exchanges/{q(vhost)}/{q(exchange)}/publish", body)

    def messages(self, name, vhost="/"):
        """What is in a queue, without taking it."""
        return self.ask("POST", f"queues/{q(vhost)}/{q(name)}/peek", {"count": 1000})

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.data, ignore_errors=True)
