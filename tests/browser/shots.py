"""Pictures of every page into a directory, for people to look at: python3 tests/browser shots DIR [--program FILE]."""

import os

from pages import log_in

PAGES = ["overview", "connections", "channels", "exchanges", "queues", "streams", "bindings", "topology", "route", "doctor", "admin/users", "admin/policies", "admin/limits", "admin/definitions",
         "queue/%2F/orders", "exchange/%2F/shop", "search?for=or"]

LOOKS = {"light": {}, "dark": {"dark": True}, "phone": {"width": 390, "height": 844, "phone": True}, "chinese": {"language": "zh-CN"}}


def furnish(broker):
    """A little shop, so that there is something to see."""
    for name, kind in (("shop", "topic"), ("audit", "fanout"), ("rest", "fanout")):
        broker.put(f"exchanges/%2F/{name}", {"type": kind, "durable": True, "arguments": {"alternate-exchange": "rest"} if name == "shop" else {}})
    broker.queue("orders", **{"x-max-length": 100000, "x-dead-letter-exchange": "rest"})
    for name in ("invoices", "parcels", "letters", "lost"):
        broker.queue(name)
    broker.queue("journal", **{"x-queue-type": "stream", "x-max-age": "7D"})
    for source, kind, to, key in (("shop", "q", "orders", "order.#"), ("shop", "q", "invoices", "order.paid"), ("shop", "q", "parcels", "order.paid.*"), ("shop", "e", "audit", "#"),
                                  ("audit", "q", "journal", ""), ("audit", "q", "letters", ""), ("rest", "q", "lost", "")):
        broker.ask("POST", f"bindings/%2F/e/{source}/{kind}/{to}", {"routing_key": key, "arguments": {}})
    for at in range(40):
        broker.publish(["order.new", "order.paid", "order.paid.express", "greeting"][at % 4], '{"id": %d, "items": [1, 2, 3]}' % at, exchange="shop", delivery_mode=2, content_type="application/json")
    broker.put("policies/%2F/short", {"pattern": "^letters$", "definition": {"max-length": 1000}, "apply-to": "queues"})
    broker.put("users/alex", {"password": "not a secret", "tags": "monitoring"})
    broker.put("vhosts/staging", {"description": "for trying things"})


def take(browser, broker, directory):
    os.makedirs(directory, exist_ok=True)
    furnish(broker)
    for look, options in LOOKS.items():
        page = browser.page(**options)
        page.go(broker.url)
        page.screenshot(f"{directory}/{look}-login.png")
        log_in(page, broker)
        for address in PAGES:
            page.open(f"#/{address}")
            page.screenshot(f"{directory}/{look}-{address.split('?')[0].replace('/', '-').replace('%2F-', '')}.png", full=True)
        print(look, page.complaints, page.refusals)
        page.close()
