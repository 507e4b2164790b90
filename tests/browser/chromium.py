"""A headless Chromium, driven by its own protocol over a pair of pipes: no driver program, no library, no port.

`Page` does what a person does (looks, clicks, types) and keeps what a person would not like: errors of scripts, words on
the console, breaches of the content policy.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

# How long a page may take for anything.
PATIENCE = 20.0

KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowDown": 40, " ": 32}


class Failed(Exception):
    """The page did not do what was expected."""


def program():
    """Where Chromium is."""
    for name in (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "chrome"):
        found = name and shutil.which(name)
        if found:
            return found
    raise SystemExit("no Chromium: install it (Debian: apt-get install chromium), or say where it is by CHROMIUM=...")


class Browser:
    """The process. One answer a command, events to whoever their session belongs to."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="leveret-browser-")
        theirs_in, self.out = os.pipe()
        self.inlet, theirs_out = os.pipe()
        flags = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--hide-scrollbars", "--lang=en-US", f"--user-data-dir={self.profile}", "--disable-background-networking", "--disable-component-update",
                 "--disable-sync", "--disable-extensions", "--no-proxy-server", "about:blank"]

        # The protocol is spoken on descriptors 3 and 4. The originals are moved out of the way first.
        def descriptors():
            a, b = os.dup(theirs_in), os.dup(theirs_out)
            a2, b2 = os.dup(a), os.dup(b)
            os.dup2(a2, 3)
            os.dup2(b2, 4)

        self.process = subprocess.Popen([program(), *flags], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        close_fds=False, preexec_fn=descriptors)
        os.close(theirs_in)
        os.close(theirs_out)
        self.number = 0
        self.answers = {}
        self.sessions = {}
        self.heard = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        kept = b""
        while True:
            try:
                part = os.read(self.inlet, 1 << 20)
            except OSError:
                part = b""
            if not part:
                with self.heard:
                    self.answers = None
                    self.heard.notify_all()
                return
            kept += part
            *whole, kept = kept.split(b"\0")
            for text in whole:
                self.take(json.loads(text))

    def take(self, message):
        with self.heard:
            if "id" in message:
                self.answers[message["id"]] = message
            else:
                page = self.sessions.get(message.get("sessionId"))
                if page:
                    page.on_event(message["method"], message.get("params", {}))
            self.heard.notify_all()

    def send(self, method, session=None, **params):
        with self.heard:
            self.number += 1
            number = self.number
            message = {"id": number, "method": method, "params": params, **({"sessionId": session} if session else {})}
            os.write(self.out, json.dumps(message).encode() + b"\0")
        return number

    def ask(self, method, session=None, **params):
        number = self.send(method, session, **params)
        deadline = time.monotonic() + PATIENCE
        with self.heard:
            while self.answers is not None and number not in self.answers:
                if not self.heard.wait(deadline - time.monotonic()):
                    raise Failed(f"Chromium did not answer {method}")
            if self.answers is None:
                raise Failed("Chromium has gone")
            answer = self.answers.pop(number)
        if "error" in answer:
            raise Failed(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def page(self, **options):
        return Page(self, **options)

    def close(self):
        try:
            self.ask("Browser.close")
        except (Failed, OSError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    """A tab in a profile of its own."""

    def __init__(self, browser, width=1280, height=900, dark=False, phone=False, language="en-US"):
        self.browser = browser
        self.complaints = []
        self.refusals = []
        self.dialogs = []
        self.requests = 0
        self.context = browser.ask("Target.createBrowserContext")["browserContextId"]
        self.target = browser.ask("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = browser.ask("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        with browser.heard:
            browser.sessions[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        if phone:
            self.ask("Emulation.setTouchEmulationEnabled", enabled=True)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=features)
        self.ask("Emulation.setLocaleOverride", locale=language)
        self.ask("Page.addScriptToEvaluateOnNewDocument", source=f"Object.defineProperty(navigator, 'language', {{get: () => {json.dumps(language)}}})")

    def ask(self, method, **params):
        return self.browser.ask(method, self.session, **params)

    def on_event(self, method, params):
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(f"exception: {details.get('exception', {}).get('description', details['text'])}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(f"console: {[it.get('value', it.get('description')) for it in params['args']]}")
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            entry = params["entry"]
            # A refusal of the API is shown on the console too; tests say which ones they expect.
            kind = self.refusals if entry["source"] == "network" else self.complaints
            kind.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(params["message"])
            self.browser.send("Page.handleJavaScriptDialog", self.session, accept=True)
        elif method == "Network.requestWillBeSent":
            self.requests += 1

    # ---- looking

    def run(self, expression):
        """The value of an expression; a promise is waited for."""
        answer = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failed(f"{expression}: {details.get('exception', {}).get('description', details['text'])}")
        return answer["result"].get("value")

    def until(self, expression, what=None):
        """Waits until an expression is true; answers its value."""
        deadline = time.monotonic() + PATIENCE
        whole = f"((value) => (value instanceof Node ? true : value))({expression})"  # an element cannot be handed over
        while True:
            try:
                value = self.run(whole)
            except Failed:
                value = None  # the page is being loaded, perhaps
            if value:
                return value
            if time.monotonic() > deadline:
                raise Failed(f"never: {what or expression}\nthe page says: {self.text()[:600]!r}")
            time.sleep(0.02)

    def text(self):
        return self.run("document.body.innerText")

    def sees(self, text):
        """Waits until the text can be read on the page."""
        self.until(f"document.body.innerText.includes({json.dumps(text)})", f"to read {text!r}")

    def sees_not(self, text):
        self.until(f"!document.body.innerText.includes({json.dumps(text)})", f"{text!r} to go")

    def count(self, selector):
        return self.run(f"document.querySelectorAll({json.dumps(selector)}).length")

    # ---- doing

    def go(self, url):
        self.ask("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def open(self, address):
        """A page of the program, by its address behind the #."""
        self.run(f"location.hash = {json.dumps(address)}")
        self.until(f"document.querySelector('main .page')?.dataset.key.startsWith({json.dumps(address.removeprefix('#/').split('?')[0])})", f"page {address}")

    def place(self, finder):
        """The middle of an element that can be clicked, after it has been scrolled to."""
        self.until(f"(() => {{ const e = {finder}; if (!e) return false; e.scrollIntoView({{block: 'center', behavior: 'instant'}}); return true; }})()", finder)
        return self.until(f"(() => {{ const e = {finder}; const b = e.getBoundingClientRect(); const [x, y] = [b.x + b.width / 2, b.y + b.height / 2];"
                          f" const top = document.elementFromPoint(x, y); return b.width && top && (e.contains(top) || top.contains(e)) ? [x, y] : null; }})()",
                          f"{finder} to be in reach")

    def click_at(self, finder):
        x, y = self.place(finder)
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click(self, label, within="document"):
        """Clicks the button, link, tab or summary that says so; in an open dialog if there is one."""
        self.click_at(self.labelled("button, a, summary", label, within))

    @staticmethod
    def labelled(selector, label, within="document"):
        scope = f"(document.querySelector('dialog[open]') ?? {within})" if within == "document" else within
        return f"[...{scope}.querySelectorAll({json.dumps(selector)})].find((it) => it.innerText.trim() === {json.dumps(label)} && it.offsetParent)"

    def field(self, label, within="document"):
        """The input under a label."""
        scope = f"(document.querySelector('dialog[open]') ?? {within})" if within == "document" else within
        return (f"[...{scope}.querySelectorAll('label')].filter((it) => it.offsetParent && it.firstChild.textContent.trim() === {json.dumps(label)}"
                f" || it.className === 'check' && it.innerText.trim().startsWith({json.dumps(label)})).map((it) => it.querySelector('input, select, textarea'))[0]")

    def fill(self, label, value, within="document"):
        """Types into the field of that label, or chooses, or ticks."""
        finder = self.field(label, within)
        kind = self.until(f"(() => {{ const e = {finder}; return e && (e.type || e.tagName); }})()", f"a field {label!r}")
        if kind == "checkbox":
            if self.run(f"({finder}).checked") != value:
                self.click_at(finder)
        elif kind == "select-one":
            done = self.run(f"(() => {{ const e = {finder}; e.value = {json.dumps(value)}; e.dispatchEvent(new Event('change', {{bubbles: true}})); return e.value; }})()")
            if done != value:
                raise Failed(f"{label!r} does not offer {value!r}")
        else:
            self.click_at(finder)
            self.run(f"({finder}).select()")
            if value == "":
                self.press("Backspace")
            self.ask("Input.insertText", text=value)

    def type(self, text):
        self.ask("Input.insertText", text=text)

    def press(self, key, shift=False):
        code = KEYS.get(key, 8 if key == "Backspace" else ord(key.upper()) if len(key) == 1 else 0)
        text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **({"text": text} if text else {}), **common)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def choose_file(self, finder, path):
        found = self.ask("Runtime.evaluate", expression=finder)["result"]["objectId"]
        self.ask("DOM.setFileInputFiles", files=[path], objectId=found)

    def screenshot(self, path, full=False):
        image = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)
        self.browser.ask("Target.disposeBrowserContext", browserContextId=self.context)
        with self.browser.heard:
            self.browser.sessions.pop(self.session, None)
