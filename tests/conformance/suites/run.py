#!/usr/bin/env python3
"""Runs foreign clients against a broker of ours: their own suites, and programs that use them (`suites.toml`).

    run.py --broker target/release/leveret --cache target/conformance [NAME...]
    run.py --amqp HOST:PORT --http HOST:PORT ...       against a broker that is there, such as a RabbitMQ

Clients come from the registries by pip and npm, into the cache. Each suite has a broker of its own, with a store, which goes with it. What
is not held against us is in `skips.toml`. The last line is `N passed, N failed, N skipped`.
"""
import argparse, contextlib, fnmatch, glob, hashlib, json, os, shutil, signal, socket, subprocess, sys, tarfile, tempfile, time, tomllib
import xml.etree.ElementTree as xml
from pathlib import Path

HERE = Path(__file__).resolve().parent
SUITE_SECONDS = 600
TEST_SECONDS = 60


def run(command, log, **options):
    """The exit code; a command that takes too long is ended with all that it started."""
    log.write(f"$ {' '.join(map(str, command))}\n")
    log.flush()
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **options)
    try:
        return process.wait(SUITE_SECONDS)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def free_port(wanted):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        return probe.getsockname()[1]


@contextlib.contextmanager
def broker(options, port):
    """Addresses of AMQP and HTTP."""
    if options.amqp:
        yield options.amqp, options.http
        return
    data = tempfile.mkdtemp(prefix="broker-", dir=options.cache)
    amqp, http, metrics = (f"127.0.0.1:{free_port(wanted)}" for wanted in (port, 0, 0))
    command = [options.broker, "serve", "--amqp", amqp, "--http", http, "--prometheus", metrics, "--data-dir", data, "--shards", options.shards, "--log", "error"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(os.path.join(options.cache, "broker.log"), "a"), text=True)
    try:
        while not (line := process.stdout.readline()) or " ready: " not in line:
            if not line and process.poll() is not None:
                sys.exit(f"the broker ended with {process.returncode}")
        yield amqp, http
        if process.poll() is not None:
            sys.exit(f"the broker died with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(data, ignore_errors=True)


def stamped(folder, recipe, make):
    """The folder, made anew when its recipe has changed or it was never finished."""
    stamp, text = folder / ".recipe", json.dumps(recipe)
    if not (stamp.exists() and stamp.read_text() == text):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        stamp.write_text(text)
    return folder


def must(code, what):
    if code:
        raise RuntimeError(f"{what} failed")


def python_with(packages, options, log):
    def make(folder):
        must(run([sys.executable, "-m", "venv", folder], log), "venv")
        must(run([folder / "bin/pip", "install", "-q", *packages], log), "pip install")

    name = "python-" + hashlib.sha256(json.dumps(packages).encode()).hexdigest()[:12]
    return stamped(options.cache / name, packages, make) / "bin/python"


def node_modules(packages, options, log):
    def make(folder):
        (folder / "package.json").write_text("{}")
        must(run(["npm", "install", "--no-audit", "--no-fund", *packages], log, cwd=folder), "npm install")

    name = "node-" + hashlib.sha256(json.dumps(packages).encode()).hexdigest()[:12]
    return stamped(options.cache / name, packages, make) / "node_modules"


def source_of(package, options, log):
    def make(folder):
        must(run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", folder, package], log), "pip download")
        [archive] = folder.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)
        archive.unlink()

    folder = stamped(options.cache / ("source-" + package.replace("==", "-")), package, make)
    return next(path for path in folder.iterdir() if path.is_dir())


def pytest(suite, options, log, env):
    python, source = python_with(suite["packages"], options, log), source_of(suite["source"], options, log)
    report = options.cache / "report.xml"
    report.unlink(missing_ok=True)
    run([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--timeout", TEST_SECONDS, f"--junitxml={report}",
         *suite.get("arguments", []), *[path for path in suite["paths"] if (source / path).exists()]], log, cwd=source, env=env)
    for case in xml.parse(report).getroot().iter("testcase"):
        outcome = "failed" if case.find("failure") is not None or case.find("error") is not None else "left out" if case.find("skipped") is not None else "passed"
        yield f"{case.get('classname')}.{case.get('name')}", outcome


def mocha(suite, options, log, env):
    modules = node_modules(suite["packages"], options, log)
    report = options.cache / "report.json"
    report.unlink(missing_ok=True)
    run([modules / ".bin/mocha", "--exit", "--timeout", TEST_SECONDS * 1000, "--reporter", "json", "--reporter-option", f"output={report}", *suite.get("arguments", []), *suite["paths"]],
        log, cwd=modules / suite["package"], env=env | {"NODE_PATH": str(modules)})
    found = json.loads(report.read_text())
    yield from ((test["fullTitle"], "passed") for test in found["passes"])
    yield from ((test["fullTitle"], "failed") for test in found["failures"])
    yield from ((test["fullTitle"], "left out") for test in found["pending"])


def program(suite, options, log, env):
    missing = [path for path in suite.get("needs", []) if not glob.glob(path)]
    if missing:
        print(f"    left out: there is no {missing[0]}")
        yield "program", "left out"
        return
    words = {"python": python_with(suite["packages"], options, log) if "packages" in suite else sys.executable, "cache": options.cache}
    if "node_packages" in suite:
        env = env | {"NODE_PATH": str(node_modules(suite["node_packages"], options, log))}
    command = [word.replace("{python}", str(words["python"])).replace("{cache}", str(words["cache"])) for word in suite["command"]]
    yield "program", "failed" if run(command, log, cwd=HERE.parent / "clients", env=env) else "passed"


def judge(name, outcomes, skips):
    """Counts of passed, failed and skipped; what is wrong is said."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for test, outcome in outcomes:
        reason = next((reason for pattern, reason in skips.items() if fnmatch.fnmatchcase(test, pattern)), None)
        if reason and outcome == "passed":
            print(f"    passes, and is in skips.toml ({reason}): {test}")
            outcome = "failed"
        elif reason:
            print(f"    skipped ({reason}): {test}")
            outcome = "skipped"
        elif outcome == "failed":
            print(f"    FAILED: {test}")
        counts["skipped" if outcome == "left out" else outcome] += 1
    if not sum(counts.values()):
        print("    FAILED: it ran no test")
        counts["failed"] = 1
    print(f"{name}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", default="target/release/leveret")
    parser.add_argument("--cache", type=Path, default=Path("target/conformance"))
    parser.add_argument("--shards", default="2")
    parser.add_argument("--amqp")
    parser.add_argument("--http", default="127.0.0.1:15672")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    options.cache = options.cache.resolve()
    options.cache.mkdir(parents=True, exist_ok=True)
    suites = tomllib.loads((HERE / "suites.toml").read_text())
    skips = tomllib.loads((HERE / "skips.toml").read_text())
    kinds = {"pytest": pytest, "mocha": mocha, "program": program}
    sums = {"passed": 0, "failed": 0, "skipped": 0}
    for name, suite in suites.items():
        if options.names and name not in options.names:
            continue
        started = time.time()
        with open(options.cache / f"{name}.log", "w") as log, broker(options, suite.get("port", 0)) as (amqp, http):
            host, port = amqp.rsplit(":", 1)
            words = {"host": host, "port": port, "http": http, "url": f"amqp://guest:guest@{amqp}"}
            env = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "AMQP_URL": words["url"]} | {key: value.format(**words) for key, value in suite.get("env", {}).items()}
            try:
                outcomes = list(kinds[suite["kind"]](suite, options, log, env))
            except (RuntimeError, OSError, ValueError, xml.ParseError) as error:
                print(f"    {error}; see {log.name}")
                outcomes = [(str(error), "failed")]
        counts = judge(name, outcomes, skips.get(name, {}))
        for key in sums:
            sums[key] += counts[key]
    print(f"\n{sums['passed']} passed, {sums['failed']} failed, {sums['skipped']} skipped")
    sys.exit(sums["failed"] > 0)


if __name__ == "__main__":
    main()
