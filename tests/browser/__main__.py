"""The web pages in a real browser.

    python3 tests/browser                      all tests, with target/release/leveret
    python3 tests/browser login_ names_        those whose names contain one of these
    python3 tests/browser shots DIR            pictures of every page, for people

`--program FILE` names another broker. It needs Chromium and Python 3.11, and nothing else.
"""

import argparse
import pathlib
import sys
import time
import traceback

import cases
import shots
from broker import Broker
from chromium import Browser

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(case, browser, program):
    """Whether it passed. Every case has a broker of its own."""
    broker = Broker(program)
    pages = []

    def page(**options):
        pages.append(browser.page(**options))
        return pages[-1]

    try:
        case(broker, page)
        for each in pages:
            assert not each.complaints, each.complaints
            assert not each.dialogs, f"the browser's own dialogs: {each.dialogs}"
            unexpected = [it for it in each.refusals if not any(known in it for known in getattr(case, "refusals", ()))]
            assert not unexpected, unexpected
        return True
    except Exception:
        traceback.print_exc()
        return False
    finally:
        for each in pages:
            each.close()
        broker.close()


def main():
    parser = argparse.ArgumentParser(prog="browser", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "target/release/leveret"))
    parser.add_argument("words", nargs="*")
    options = parser.parse_args()
    browser = Browser()
    try:
        if options.words[:1] == ["shots"]:
            broker = Broker(options.program)
            try:
                shots.take(browser, broker, options.words[1])
            finally:
                broker.close()
            return 0
        passed = failed = 0
        for case in cases.ALL:
            name = case.__name__
            if options.words and not any(word in name for word in options.words):
                continue
            start = time.monotonic()
            good = run(case, browser, options.program)
            passed, failed = passed + good, failed + (not good)
            print(f"{'ok    ' if good else 'FAILED'} {name} ({time.monotonic() - start:.1f} s)", flush=True)
        print(f"\n{passed} passed, {failed} failed")
        return 0 if passed and not failed else 1
    finally:
        browser.close()


sys.exit(main())
