"""What the pages must do: each case gets a broker and makes pages of the browser.

Besides what a case says, no page may throw, complain on the console or breach its content policy; refusals of the API that a
case provokes are named by `@refuses`.
"""

import json
import os
import tempfile

from broker import q
from pages import fill_login, log_in

ALL = []


def case(function):
    ALL.append(function)
    return function


def refuses(*texts):
    """Which failed requests the browser may report."""
    def mark(function):
        function.refusals = texts
        return function
    return mark


# ---- logging in


@case
@refuses("401")
def login_wrong_password(broker, page):
    it = page()
    it.go(broker.url)
    it.until("document.querySelector('#login')")
    fill_login(it, "guest", "wrong")
    it.sees("Wrong user or password.")
    assert it.count("nav") == 0
    fill_login(it, "guest", "guest")
    it.sees("Overview")


@case
def login_out_and_reload(broker, page):
    it = page()
    log_in(it, broker)
    it.go(broker.url + "#/queues")
    it.sees("Add a queue")  # still logged in after a reload
    it.click("Log out")
    it.until("document.querySelector('#login')")
    assert it.run("sessionStorage.getItem('login')") is None


@case
@refuses("401", "403")
def login_monitoring_only(broker, page):
    broker.put("users/eye", {"password": "sees", "tags": "monitoring"})
    broker.put("permissions/%2F/eye", {"configure": "", "write": "", "read": ""})
    broker.queue("q")
    broker.publish("q")
    it = page()
    log_in(it, broker, "eye", "sees")
    for address in ("overview", "connections", "channels", "exchanges", "queues", "streams", "bindings", "topology", "route", "doctor", "admin", "queue/%2F/q", "exchange/%2F/amq.topic"):
        it.open(f"#/{address}")
        assert it.count("[role=alert].bad:not(.problem)") == 0, address
    it.open("#/admin")
    it.sees("Policies")
    assert it.count("nav.tabs a") == 1, "a monitoring user sees policies only"
    it.open("#/queue/%2F/q")
    it.click("Purge")
    it.click("Purge")
    it.sees("refused")  # in the broker's words
    assert len(broker.messages("q")) == 1


@case
@refuses("401")
def login_without_tag(broker, page):
    broker.put("users/nobody", {"password": "n", "tags": ""})
    it = page()
    it.go(broker.url)
    it.until("document.querySelector('#login')")
    fill_login(it, "nobody", "n")
    it.until("document.querySelector('#login [role=alert]:not(.problem)')?.textContent")
    assert it.count("nav") == 0


# ---- every page


PAGES = {"overview": "Messages in queues", "connections": "Connections", "channels": "Channels", "exchanges": "amq.topic", "queues": "orders", "streams": "journal", "bindings": "order.#",
         "topology": "orders", "route": "Where would this message go?", "doctor": "orders", "admin/users": "guest", "admin/vhosts": "Default queue type", "admin/policies": "Add a policy",
         "admin/limits": "Set a limit", "admin/definitions": "Download definitions", "user/guest": "Topic permissions", "queue/%2F/orders": "The doctor says", "exchange/%2F/shop": "order.#",
         "exchange/%2F/amq.default": "(default exchange)", "search?for=ord": "orders"}


def furnish(broker):
    broker.queue("orders")
    broker.queue("journal", **{"x-queue-type": "stream"})
    broker.put("exchanges/%2F/shop", {"type": "topic", "durable": True})
    broker.ask("POST", "bindings/%2F/e/shop/q/orders", {"routing_key": "order.#", "arguments": {}})
    broker.publish("order.new", exchange="shop")


@case
def pages_all(broker, page):
    furnish(broker)
    it = page()
    log_in(it, broker)
    for address, text in PAGES.items():
        it.open(f"#/{address}")
        it.sees(text)
        assert it.count("h1") == 1, address
    it.open("#/no-such-page")
    it.sees("Overview")


@case
@refuses("404")
def pages_of_what_is_not_there(broker, page):
    it = page()
    log_in(it, broker)
    for address in ("queue/%2F/gone", "exchange/%2F/gone", "connection/gone", "channel/gone", "user/gone"):
        it.run(f"location.hash = '#/{address}'")
        it.sees("There is no such thing")


@case
def pages_keep_what_one_does(broker, page):
    """Drawing again leaves focus, half-written forms, and open parts as they are; numbers change all the same."""
    broker.queue("q")
    it = page()
    log_in(it, broker)
    it.fill("refresh", "1", "document.querySelector('header')")
    it.open("#/queue/%2F/q")
    it.click("Publish a message")
    it.fill("Payload", "half a sent")
    for _ in range(3):
        broker.publish("q")
    it.until("document.querySelector('.card b').innerText === '3'", "the new count")
    it.type("ence")
    assert it.run("document.activeElement.value") == "half a sentence"
    assert it.count("details[open]") == 1


@case
def pages_ask_nothing_while_hidden_or_paused(broker, page):
    it = page()
    log_in(it, broker)
    it.fill("refresh", "0", "document.querySelector('header')")
    it.sees("Overview")
    it.run("new Promise((resolve) => setTimeout(resolve, 300))")
    before = it.requests
    it.run("new Promise((resolve) => setTimeout(resolve, 1500))")
    assert it.requests == before, it.requests - before


@case
def pages_on_a_phone(broker, page):
    furnish(broker)
    it = page(width=360, height=740, phone=True)
    log_in(it, broker)
    for address in PAGES:
        it.open(f"#/{address}")
        wide = it.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{address} is {wide} pixels too wide"


def contrast(it, selector):
    """WCAG's contrast of an element's text with what is behind it."""
    return it.run("""(() => {
      const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
      const parse = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
      const light = ([r, g, b]) => { const f = (v) => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }; return .2126 * f(r) + .7152 * f(g) + .0722 * f(b); };
      const e = document.querySelector(%s);
      let behind = e;
      while (behind.parentElement && parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(parse(getComputedStyle(behind).backgroundColor))];
      return (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    })()""" % json.dumps(selector))


@case
def pages_in_light_and_dark(broker, page):
    furnish(broker)
    grounds = []
    for dark in (False, True):
        it = page(dark=dark)
        log_in(it, broker)
        it.open("#/queue/%2F/orders")
        for selector in ("h1", "h2", ".dim", "td", "th", "nav a", "button.danger", ".tag", ".card span", "summary", ".findings li", "td a"):
            assert contrast(it, selector) >= 4.5, (dark, selector, contrast(it, selector))
        grounds.append(it.run("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]
    it.fill("colours", "light", "document.querySelector('header')")
    it.until(f"getComputedStyle(document.body).backgroundColor === {json.dumps(grounds[0])}", "light colours")


@case
def pages_in_chinese(broker, page):
    furnish(broker)
    it = page(language="zh-CN")
    log_in(it, broker)
    for address in PAGES:
        it.open(f"#/{address}")
    for address, labels in {"queues": ["添加队列"], "exchanges": ["添加交换机"], "admin/users": ["添加用户"], "admin/vhosts": ["添加虚拟主机"], "admin/policies": ["添加策略"], "admin/limits": ["设置限制"]}.items():
        it.open(f"#/{address}")
        for label in labels:
            it.click(label)
            it.click("取消")
    left = it.run("import('/js/lang.js').then(({ untranslated }) => [...untranslated])")
    assert left == [], left
    it.fill("语言", "en", "document.querySelector('header')")
    it.sees("Limits")


@case
def pages_by_keyboard_only(broker, page):
    it = page()
    it.go(broker.url)
    it.until("document.activeElement.name === 'user'", "the cursor in the first field")
    it.type("guest")
    it.press("Tab")
    it.type("guest")
    it.press("Enter")
    it.until("document.querySelector('main .page')")
    it.press("5")
    it.sees("Add a queue")

    def reach(text):
        for _ in range(60):
            it.press("Tab")
            if it.run("document.activeElement.innerText?.trim()") == text:
                assert it.run("document.activeElement.matches(':focus-visible')")
                return
        raise AssertionError(f"{text} is out of the keyboard's reach")

    reach("Add a queue")
    it.press("Enter")
    it.until("document.querySelector('dialog[open]')")
    it.until("document.activeElement.name", "the cursor in the form")
    while it.run("document.activeElement.name") != "name":
        it.press("Tab")
    it.type("typed")
    it.press("Enter")
    it.until("!document.querySelector('dialog')")
    it.until("[...document.querySelectorAll('td a')].some((a) => a.innerText === 'typed')")
    reach("typed")
    it.press("Enter")
    it.sees("The doctor says")
    it.press("/")
    it.type("typ")
    it.press("Enter")
    it.sees("Search: typ")
    it.open("#/queue/%2F/typed")
    reach("Delete")
    it.press("Enter")
    it.until("document.querySelector('dialog[open]')")
    assert it.run("document.activeElement.innerText") == "Cancel", "the safe answer is the nearest"
    it.press("Escape")
    it.until("!document.querySelector('dialog')")
    assert broker.exists("queues/%2F/typed")


# ---- actions


@case
@refuses("400")
def queues_add_and_delete(broker, page):
    it = page()
    log_in(it, broker)
    it.open("#/queues")
    it.click("Add a queue")
    it.fill("Name", "orders")
    it.click("Limits and dead letters")
    it.fill("Messages live for (ms)", "60000")
    it.fill("Dead letters go to exchange", "amq.fanout")
    it.fill("Single active consumer", True)
    it.fill("More arguments (JSON)", "{oops")
    it.click("Add")
    it.sees("This is no JSON")
    it.fill("More arguments (JSON)", '{"x-max-length": 10}')
    it.click("Add")
    it.until("!document.querySelector('dialog')")
    it.sees("orders")
    made = broker.get("queues/%2F/orders")
    assert made["durable"] and made["arguments"] == {"x-message-ttl": 60000, "x-dead-letter-exchange": "amq.fanout", "x-single-active-consumer": True, "x-max-length": 10}, made["arguments"]
    it.click("Add a queue")  # the same name, other arguments: the broker's refusal is read in the dialog
    it.fill("Name", "orders")
    it.click("Add")
    it.sees("inequivalent arg")
    it.click("Cancel")
    broker.publish("orders")
    it.click("orders")
    it.sees("The doctor says")
    it.click("Delete")
    it.sees("with its 1 messages? They are lost.")
    it.click("Cancel")
    assert broker.exists("queues/%2F/orders")
    it.click("Delete")
    it.click("Delete")
    it.sees("nothing here")
    assert not broker.exists("queues/%2F/orders")


@case
def queues_publish_look_get_purge(broker, page):
    broker.queue("q")
    it = page()
    log_in(it, broker)
    it.open("#/queue/%2F/q")
    it.click("Publish a message")
    fold = "document.querySelectorAll('details.fold')[0]"
    it.fill("Payload", '{"n": 1}', fold)
    it.fill("Headers (JSON)", '{"colour": "red"}', fold)
    it.fill("More properties (JSON)", '{"priority": 3}', fold)
    it.click_at(f"{fold}.querySelector('button[type=submit]')")
    it.until("document.querySelector('.card b').innerText === '1'")
    it.fill("Payload", "second", fold)
    it.click_at(f"{fold}.querySelector('button[type=submit]')")
    it.until("document.querySelector('.card b').innerText === '2'")
    first = broker.messages("q")[0]
    assert first["payload"] == '{"n": 1}' and first["properties"]["headers"] == {"colour": "red"} and first["properties"]["priority"] == 3 and first["properties"]["delivery_mode"] == 2, first
    it.click("Look at messages", "document.querySelectorAll('details.fold')[1]")
    fold = "document.querySelectorAll('details.fold')[1]"
    it.click_at(it.labelled("button", "Look at messages", fold))
    it.sees('"n": 1')
    it.click_at(f"{fold}.querySelector('.results input')")
    it.type("SECOND")
    it.until(f"{fold}.querySelectorAll('article').length === 1", "the filter")
    assert len(broker.messages("q")) == 2
    it.fill("Afterwards", "ack_requeue_false", fold)
    it.click_at(it.labelled("button", "Get messages", fold))
    it.until("document.querySelector('.card b').innerText === '1'", "one message to be gone")
    it.sees('"n": 1')
    it.click("Purge")
    it.click("Purge")
    it.until("document.querySelector('.card b').innerText === '0'")
    assert broker.messages("q") == []


@case
@refuses("404", "400")
def queues_move(broker, page):
    broker.queue("from")
    broker.queue("to", **{"x-max-length": 30, "x-overflow": "reject-publish"})
    for at in range(25):
        broker.publish("from", f"m{at}", delivery_mode=2, headers={"n": at})
    it = page()
    log_in(it, broker)
    it.open("#/queue/%2F/from")
    it.click("Move messages")
    fold = "[...document.querySelectorAll('details.fold')].at(-1)"
    move = it.labelled("button", "Move", fold)
    it.fill("To queue", "nowhere", fold)
    it.click_at(move)
    it.until(f"{fold}.querySelector('.problem').textContent", "a refusal")
    assert len(broker.messages("from")) == 25
    it.fill("To queue", "to", fold)
    it.fill("How many", "20", fold)
    it.click_at(move)
    it.sees("20 messages moved")
    moved = broker.messages("to")
    assert [m["payload"] for m in moved] == [f"m{at}" for at in range(20)] and moved[3]["properties"] == {"delivery_mode": 2, "headers": {"n": 3}}, moved[3]
    assert len(broker.messages("from")) == 5
    for at in range(10):
        broker.publish("from", f"n{at}")
    it.fill("How many", "15", fold)
    it.click_at(move)
    it.sees("to refuses messages")
    assert len(broker.messages("to")) + len(broker.messages("from")) == 35, "none may be lost"


@case
def exchanges_add_bind_publish_unbind_delete(broker, page):
    broker.queue("q")
    it = page()
    log_in(it, broker)
    it.open("#/exchanges")
    it.click("Add an exchange")
    it.fill("Name", "shop")
    it.fill("Type", "topic")
    it.fill("Alternate exchange", "amq.fanout")
    it.click("Add")
    it.until("!document.querySelector('dialog')")
    assert broker.get("exchanges/%2F/shop")["arguments"] == {"alternate-exchange": "amq.fanout"}
    it.click("shop")
    it.click("Add a binding")
    it.fill("Name", "q")
    it.fill("Routing key", "order.*")
    it.click("Add")
    it.until("document.querySelector('svg.picture')", "the picture of the bindings")
    assert [b["routing_key"] for b in broker.get("exchanges/%2F/shop/bindings/source")] == ["order.*"]
    it.click("Publish a message")
    it.fill("Routing key", "order.new")
    it.fill("Payload", "one")
    it.click("Publish")
    it.sees("published")
    assert [m["payload"] for m in broker.messages("q")] == ["one"]
    it.fill("Routing key", "nothing")
    it.click("Publish")
    it.sees("published, but no queue took it")
    it.click("Unbind")
    it.sees("Remove the binding of shop to q with the key “order.*”?")
    it.click("Unbind")
    it.sees("nothing here")
    assert broker.get("exchanges/%2F/shop/bindings/source") == []
    it.click("Delete")
    it.click("Delete")
    it.sees("Add an exchange")
    assert not broker.exists("exchanges/%2F/shop")


@case
def queues_bind_from_the_queue(broker, page):
    broker.queue("q")
    it = page()
    log_in(it, broker)
    it.open("#/queue/%2F/q")
    it.click("Add a binding")
    it.fill("From exchange", "amq.headers")
    it.fill("Arguments (JSON)", '{"x-match": "any", "a": 1}')
    it.click("Add")
    it.until("!document.querySelector('dialog')")
    it.sees("amq.headers")
    assert broker.get("exchanges/%2F/amq.headers/bindings/source")[0]["arguments"] == {"x-match": "any", "a": 1}


@case
def streams_add_and_list(broker, page):
    broker.queue("plain")
    it = page()
    log_in(it, broker)
    it.open("#/streams")
    it.sees("nothing here")
    it.click("Add a stream")
    it.fill("Name", "log")
    it.fill("More arguments (JSON)", '{"x-max-age": "7D"}')
    it.click("Add")
    it.sees("for 7D")
    it.sees_not("plain")
    assert broker.get("queues/%2F/log")["type"] == "stream"


@case
def lists_sort_filter_and_page(broker, page):
    for at in range(150):
        broker.queue(f"q{at:03}")
    broker.publish("q077")
    it = page()
    log_in(it, broker)
    it.open("#/queues")
    rows = "document.querySelectorAll('tbody tr').length"
    it.until(f"{rows} === 100")
    it.click_at("document.querySelector('[aria-label=\"next page\"]')")
    it.until(f"{rows} === 50")
    it.click_at(it.labelled("th button", "Ready"))
    it.until("document.querySelector('tbody td').innerText === 'q077'", "the fullest queue first")
    it.click_at("document.querySelector('main input[type=search]')")
    it.type("14")
    it.until(f"{rows} === 12", "the filter to act while typing")
    it.run("document.querySelector('main input[type=search]').select()")
    it.type("^q.*9$")
    it.fill("Regex", True)
    it.until(f"{rows} === 15")
    assert it.run("document.activeElement.type") in ("search", "checkbox")


@case
def overview_charts_move(broker, page):
    broker.queue("q")
    it = page()
    log_in(it, broker)
    it.open("#/overview?range=60")
    for _ in range(20):
        broker.publish("q")
    it.until("document.querySelectorAll('figure.chart polyline').length >= 3", "lines")
    it.until("[...document.querySelectorAll('figure.chart polyline')].some((l) => new Set(l.getAttribute('points').split(' ').map((p) => p.split(',')[1])).size > 1)", "a line that moves")
    x, y = it.place("document.querySelector('.plot')")
    it.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    it.until("document.querySelector('.told:not([hidden])')?.innerText.includes('Ready')", "the values under the pointer")


@case
def topology_map(broker, page):
    furnish(broker)
    it = page()
    log_in(it, broker)
    it.open("#/topology")
    it.until("document.querySelectorAll('svg.map path').length === 1")
    it.until("document.querySelector('rect.stuck')", "a queue that nobody consumes to be marked")
    it.click_at("[...document.querySelectorAll('svg.map g.box')].find((g) => g.textContent.includes('shop'))")
    it.sees("Published in")


@case
@refuses("404")
def route_explains(broker, page):
    furnish(broker)
    it = page()
    log_in(it, broker)
    it.open("#/exchange/%2F/shop")
    it.click("Where does a message go?")
    it.sees("Nothing is sent")
    it.fill("Routing key", "order.new")
    it.click("Ask")
    it.sees("It goes to orders")
    it.fill("Routing key", "parcel.new")
    it.click("Ask")
    it.sees("It reaches no queue.")
    it.sees("the pattern 'order.#' does not match the routing key 'parcel.new'")
    it.fill("Exchange", "gone")
    it.click("Ask")
    it.until("document.querySelector('.problem').textContent", "a refusal")


@case
def doctor_says_why(broker, page):
    furnish(broker)
    it = page()
    log_in(it, broker)
    it.open("#/doctor")
    it.sees("orders")
    it.sees("nobody consumes")
    it.open("#/queue/%2F/orders")
    it.sees("leveret ctl")


# ---- administration


@case
def admin_users(broker, page):
    broker.put("vhosts/two", {})
    it = page()
    log_in(it, broker)
    it.open("#/admin/users")
    it.click("Add a user")
    it.fill("Name", "lwq")
    it.fill("Password", "111111")
    it.fill("Tags", "monitoring")
    it.click("Add")
    it.until("!document.querySelector('dialog')")
    assert broker.ask("GET", "whoami", user="lwq", password="111111")["tags"] == ["monitoring"]
    assert {p["vhost"] for p in broker.get("users/lwq/permissions")} == {"/", "two"}
    it.click("lwq")
    it.click("Set permissions")
    it.fill("Virtual host", "two")
    it.fill("Configure", "^lwq")
    it.click("Set")
    it.sees("^lwq")
    assert broker.get("permissions/two/lwq")["configure"] == "^lwq"
    it.click("Set topic permissions")
    it.fill("Write", "^a")
    it.click("Set")
    it.sees("^a")
    assert broker.get("users/lwq/topic-permissions")[0]["write"] == "^a"
    before = broker.get("users/lwq")["password_hash"]
    it.fill("New password", "222222", "document.querySelector('main')")
    it.click("Save")
    for _ in range(100):
        if broker.get("users/lwq")["password_hash"] != before:
            break
        it.run("new Promise((resolve) => setTimeout(resolve, 20))")
    assert broker.ask("GET", "whoami", user="lwq", password="222222")["name"] == "lwq"
    it.click("Delete")
    it.click("Delete")
    it.sees("Add a user")
    assert not broker.exists("users/lwq")


@case
def admin_vhosts(broker, page):
    it = page()
    log_in(it, broker)
    it.open("#/admin/vhosts")
    it.click("Add a virtual host")
    it.fill("Name", "staging")
    it.fill("Description", "for trying things")
    it.fill("Default queue type", "quorum")
    it.click("Add")
    it.sees("for trying things")
    assert broker.get("vhosts/staging")["default_queue_type"] == "quorum"
    it.click_at("[...document.querySelectorAll('tbody tr')].find((r) => r.innerText.includes('staging')).querySelector('button')")
    it.click("Delete")
    it.sees_not("for trying things")
    assert not broker.exists("vhosts/staging")


@case
def admin_vhost_filter(broker, page):
    broker.put("vhosts/two", {})
    broker.put("permissions/two/guest", {"configure": ".*", "write": ".*", "read": ".*"})
    broker.queue("here")
    broker.queue("there", "two")
    it = page()
    log_in(it, broker)
    it.open("#/queues")
    it.sees("here")
    it.fill("virtual host", "two", "document.querySelector('header')")
    it.until("[...document.querySelectorAll('tbody a')].map((a) => a.innerText).join() === 'there'", "queues of one virtual host")
    for address in ("connections", "channels", "exchanges", "bindings", "streams", "topology", "doctor"):
        it.open(f"#/{address}")
        assert it.count("[role=alert].bad:not(.problem)") == 0, address


@case
@refuses("400")
def admin_policies(broker, page):
    broker.queue("q")
    it = page()
    log_in(it, broker)
    it.open("#/admin/policies")
    it.click("Add a policy")
    it.fill("Name", "short")
    it.fill("Pattern", "^q$")
    it.fill("Definition (JSON)", '{"max-length": 7}')
    it.click("Add")
    it.sees('{"max-length":7}')
    it.open("#/queue/%2F/q")
    it.sees("short")
    assert broker.get("queues/%2F/q")["policy"] == "short"
    it.open("#/admin/policies")
    it.click("Add a policy")
    it.fill("Name", "wrong")
    it.fill("Definition (JSON)", '{"no-such-thing": 7}')
    it.click("Add")
    it.until("document.querySelector('dialog .problem').textContent", "the broker's refusal")
    it.click("Cancel")
    it.click("Delete")
    it.click("Delete")
    it.sees("nothing here")
    assert broker.get("policies") == []


@case
def admin_limits(broker, page):
    it = page()
    log_in(it, broker)
    it.open("#/admin/limits")
    it.click("Set a limit")
    it.fill("Of", "vhost /")
    it.fill("Limit", "max-queues")
    it.fill("At most", "5")
    it.click("Set")
    it.sees("max-queues")
    assert broker.get("vhost-limits")[0]["value"] == {"max-queues": 5}
    it.click("Set a limit")
    it.fill("Of", "user guest")
    it.fill("Limit", "max-queues")
    it.click("Set")
    it.sees("There is no such limit for this.")
    it.click("Cancel")
    it.click("Clear")
    it.click("Clear")
    it.sees("nothing here")


@case
@refuses("400")
def admin_definitions(broker, page):
    broker.queue("kept")
    it = page()
    log_in(it, broker)
    with tempfile.TemporaryDirectory(prefix="leveret-downloads-") as folder:
        it.browser.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder, browserContextId=it.context)
        it.open("#/admin/definitions")
        it.click("Download")
        path = os.path.join(folder, "definitions.json")
        for _ in range(200):
            if os.path.exists(path):
                break
            it.run("new Promise((resolve) => setTimeout(resolve, 25))")
        with open(path, encoding="utf-8") as file:
            definitions = json.load(file)
        assert [queue["name"] for queue in definitions["queues"]] == ["kept"]
        broker.ask("DELETE", "queues/%2F/kept")
        it.choose_file("document.querySelector('input[type=file]')", path)
        it.click("Upload")
        it.sees("uploaded: what is in the file is there now")
        assert broker.exists("queues/%2F/kept")
        with open(path, "w", encoding="utf-8") as file:
            file.write("{ no json")
        it.choose_file("document.querySelector('input[type=file]')", path)
        it.click("Upload")
        it.sees("This is no JSON")


# ---- names from clients


HOSTILE = ["<script>window.hit = 1</script>", "<img src=x onerror=window.hit=1>", "\"'><svg onload=window.hit=1>", "\u202eright-to-left \u05e9\u05dc\u05d5\u05dd", "{name} {count} ${hit}",
           "a/b?c#d%2F&e=f", "../../etc/passwd", "__proto__", "x" * 255, "\U0001f407" * 63, "  spaces  ", "javascript:hit=1", "constructor"]


@case
def names_hostile(broker, page):
    """Names that would do something if they were taken for anything but text, in every field of every object."""
    it = page()
    log_in(it, broker)
    for name in HOSTILE:
        broker.queue(name)
        broker.put(f"exchanges/%2F/{q(name)}", {"type": "topic", "durable": True})
        broker.ask("POST", f"bindings/%2F/e/{q(name)}/q/{q(name)}", {"routing_key": name, "arguments": {name[:100]: name}})
        broker.publish(name, name, exchange=name, headers={name[:100]: name}, content_type=name[:200], app_id=name[:200])
        broker.put(f"users/{q(name)}", {"password": name, "tags": "management"})
        broker.put(f"vhosts/{q(name)}", {"description": name, "tags": "a"})
        broker.put(f"policies/%2F/{q(name)}", {"pattern": "^never$", "definition": {"max-length": 1}})
    for address in ("overview", "exchanges", "queues", "bindings", "topology", "doctor", "admin/users", "admin/vhosts", "admin/policies", "admin/limits"):
        it.open(f"#/{address}")
        assert it.run("window.hit") is None, address
    for name in HOSTILE:
        short = name.strip()
        for address in (f"queue/%2F/{q(name)}", f"exchange/%2F/{q(name)}", f"user/{q(name)}"):
            it.run(f"location.hash = {json.dumps('#/' + address)}")
            it.until(f"document.querySelector('main h1')?.textContent === {json.dumps(name)}", f"{address}: {short!r}")
        it.run(f"location.hash = {json.dumps('#/queue/%2F/' + q(name))}")
        it.until(f"document.querySelectorAll('details.fold').length === 3 && document.querySelector('main h1').textContent === {json.dumps(name)}")
        fold = "document.querySelectorAll('details.fold')[1]"
        it.run(f"{fold}.open = true")
        it.click_at(it.labelled("button", "Look at messages", fold))
        it.until(f"{fold}.querySelector('article')", "the message")
        assert it.run("window.hit") is None and it.count("main script, main img, main svg svg") == 0, name
    assert it.run("({}).polluted") is None


@case
def names_typed_into_forms(broker, page):
    """The same names, made by the pages."""
    it = page()
    log_in(it, broker)
    for name in HOSTILE[:6]:
        it.open("#/queues")
        it.click("Add a queue")
        it.fill("Name", name)
        it.click("Add")
        it.until("!document.querySelector('dialog')")
        assert broker.exists(f"queues/%2F/{q(name)}"), name
        it.run(f"location.hash = {json.dumps('#/queue/%2F/' + q(name))}")
        it.until(f"document.querySelector('main h1')?.textContent === {json.dumps(name)}")
        it.click("Delete")
        it.until(f"document.querySelector('dialog p').textContent.includes({json.dumps(name)})")
        it.click("Delete")
        it.until("location.hash === '#/queues'")
        assert not broker.exists(f"queues/%2F/{q(name)}"), name
    assert it.run("window.hit") is None


# ---- when the broker goes


@case
@refuses("ERR_CONNECTION")
def broker_gone_and_back(broker, page):
    it = page()
    log_in(it, broker)
    it.fill("refresh", "1", "document.querySelector('header')")
    broker.process.terminate()
    broker.process.wait(20)
    it.sees("The broker does not answer. This page goes on trying.")
