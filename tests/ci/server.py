"""A real watchfire process on loopback for a check, and a count of what passed.

Standard library only. `WATCHFIRE_BIN` names the binary, by default target/release/watchfire.
`SHARED` is the folder of conformance data, which only CI has.
"""
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED = os.environ.get("SHARED") or os.path.join(ROOT, os.pardir, "shared")
BINARY = os.environ.get("WATCHFIRE_BIN") or os.path.join(ROOT, "target", "release", "watchfire")
TOKEN = "check-" + "0123456789abcdef" * 3
EVER = {"from": "1970-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """`watchfire serve` (or `demo`) on a folder of its own; usable as a context."""

    def __init__(self, *arguments, command="serve", env=None, data=None):
        self.port = free_port()
        self.data = data or tempfile.mkdtemp(prefix="watchfire-check-")
        self.arguments, self.command, self.env = list(arguments), command, env or {}
        self.log_path = self.data.rstrip("/") + ".log"
        self.process = None
        self.start()

    def start(self):
        command = [BINARY, self.command, "--listen", f"127.0.0.1:{self.port}", *self.arguments]
        if self.command == "serve":
            command += ["--data", self.data]
        env = {**os.environ, "WATCHFIRE_ADMIN_TOKEN": TOKEN, **self.env}
        log = open(self.log_path, "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        log.close()
        self.wait_until_ready()

    def wait_until_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        with open(self.log_path, "rb") as log:
            sys.stderr.write(log.read()[-4000:].decode(errors="replace"))
        raise SystemExit(f"the server did not become ready within {seconds} s")

    def call(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            auth = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
            connection.request(method, path, body, auth)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def get(self, path, **parameters):
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        status, body = self.call("GET", f"/api/v1/{path}{query}")
        if status != 200:
            raise SystemExit(f"GET {path} {parameters}: {status} {body[:300]!r}")
        return json.loads(body)

    def post_json(self, path, value):
        body = json.dumps(value)
        status, answer = self.call("POST", path, body, {"Content-Type": "application/json"})
        return status, json.loads(answer) if answer else None

    def post_lines(self, lines, key=None):
        """Posts NDJSON; gives (status, decoded answer)."""
        headers = {"Content-Type": "application/x-ndjson"}
        if key:
            headers["Idempotency-Key"] = key
        body = b"\n".join(lines) + b"\n"
        status, answer = self.call("POST", "/api/v1/events", body, headers)
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, {"text": answer[:200].decode(errors="replace")}

    def post_events(self, events, key=None):
        return self.post_lines([json.dumps(event).encode() for event in events], key)

    def search(self, query, **parameters):
        return self.get("search", q=query, **{**EVER, "limit": 1, **parameters})

    def export(self, query="*"):
        parameters = urllib.parse.urlencode({"q": query, "format": "ndjson", **EVER})
        status, body = self.call("GET", f"/api/v1/export?{parameters}", timeout=300)
        if status != 200:
            raise SystemExit(f"export: {status} {body[:300]!r}")
        return [json.loads(line) for line in body.splitlines() if line.strip()]

    def alerts(self):
        """Every alert, over all pages."""
        found, cursor = [], None
        while True:
            parameters = {"limit": 200, **({"cursor": cursor} if cursor else {})}
            page = self.get("alerts", **parameters)
            found += page["alerts"]
            cursor = page.get("cursor")
            if not cursor or not page["alerts"]:
                return found

    def wait_caught_up(self, seconds=300):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = self.get("status")
            if all(at >= status["log"]["head"] for at in status["readers"].values()):
                return
            time.sleep(0.1)
        raise SystemExit(f"the readers did not catch up within {seconds} s")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        """The folder goes; the log stays where the check broke off."""
        self.stop()
        shutil.rmtree(self.data, ignore_errors=True)
        if error is None and os.path.exists(self.log_path):
            os.remove(self.log_path)


class Checks:
    """Counts what held and what did not; `finish` prints the closing line and ends the process."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def that(self, holds, what):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED: {what}", flush=True)
        return bool(holds)

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        sys.exit(1 if self.failed or not self.passed else 0)


def wait_for(condition, seconds, pause=0.2):
    """The first true value of `condition` within the time, else its last value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() >= end:
            return value
        time.sleep(pause)
