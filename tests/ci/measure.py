"""Figures of a running server that no single benchmark gives: prints them, judges nothing.

  measure.py ack [--rate 15000] [--seconds 20]     acknowledgements while 4 clients search in a loop
  measure.py restart [--log-bytes 1073741824]      ready after kill -9 with that much log to read

Standard library only. Events are those of the conformance data's generator.
"""
import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from server import EVER, SHARED, Server

QUERIES = [
    ("search", {"q": "http.response.status_code:503 AND service.name:payments", "limit": 50}),
    ("search", {"q": 'message:"with status 401"', "limit": 50}),
    ("facets", {"q": "http.response.status_code:401", "fields": "user.id", "top": 10}),
    ("histogram", {"q": "*", "buckets": 60, "by": "log.level"}),
]
LINES = 500


def events(count):
    path = os.path.join(tempfile.gettempdir(), f"watchfire-bench-{count}-7.ndjson")
    if not os.path.exists(path):
        generator = os.path.join(SHARED, "bench", "gen_logs.py")
        with open(path + ".part", "wb") as out:
            subprocess.run([sys.executable, generator, str(count), "7"], stdout=out, check=True)
        os.rename(path + ".part", path)
    with open(path, "rb") as source:
        return source.read().splitlines()


def percentile(values, part):
    values = sorted(values)
    return round(values[min(len(values) - 1, int(len(values) * part))] * 1e3, 1)


def search(server, place, stop, found):
    path, parameters = QUERIES[place]
    took = []
    while not stop.is_set():
        began = time.perf_counter()
        server.get(path, **{**EVER, **parameters})
        took.append(time.perf_counter() - began)
    found.put(took)


def ack(options):
    lines = events(1_000_000)
    bodies = [lines[i:i + LINES] for i in range(0, len(lines), LINES)]
    rules = os.path.join(SHARED, "data", "sigma", "rules")
    server = Server("--rules", rules)
    acks, stop, found = [], multiprocessing.Event(), multiprocessing.Queue()
    # Processes: threads of one interpreter would wait for each other, and not for the server.
    clients = [multiprocessing.Process(target=search, args=(server, place, stop, found))
               for place in range(len(QUERIES))]
    try:
        [client.start() for client in clients]
        started, sent = time.perf_counter(), 0
        while (passed := time.perf_counter() - started) < options.seconds:
            if sent * LINES > passed * options.rate:
                time.sleep(0.002)
                continue
            began = time.perf_counter()
            status, _ = server.post_lines(bodies[sent % len(bodies)])
            assert status == 200, status
            acks.append(time.perf_counter() - began)
            sent += 1
    finally:
        stop.set()
        searches = [took for _ in clients for took in found.get()]
        [client.join() for client in clients]
        server.stop()
        shutil.rmtree(server.data, ignore_errors=True)
    print(json.dumps({
        "events_per_s": round(sent * LINES / options.seconds), "load": os.getloadavg()[0],
        "ack_ms_p50": percentile(acks, .5), "ack_ms_p99": percentile(acks, .99),
        "searches": len(searches), "search_ms_p50": percentile(searches, .5),
        "search_ms_p99": percentile(searches, .99)}))


def restart(options):
    """Detection reads more slowly than eight senders write, so the log grows behind it."""
    lines = events(1_000_000)
    bodies = [lines[i:i + LINES] for i in range(0, len(lines), LINES)]
    rules = os.path.join(SHARED, "data", "sigma", "rules")
    server = Server("--rules", rules)
    log, state = os.path.join(server.data, "log"), {"next": 0, "acked": 0}
    lock, full = threading.Lock(), threading.Event()

    def send():
        while not full.is_set():
            with lock:
                place = state["next"]
                state["next"] += 1
            status, answer = server.post_lines(bodies[place % len(bodies)])
            with lock:
                state["acked"] += answer["accepted"] if status == 200 else 0

    threads = [threading.Thread(target=send) for _ in range(8)]
    [thread.start() for thread in threads]
    size = lambda: sum(entry.stat().st_size for entry in os.scandir(log))
    while size() < options.log_bytes:
        time.sleep(0.1)
    full.set()
    [thread.join() for thread in threads]
    server.process.kill()
    server.process.wait()
    bytes_left = size()
    began = time.perf_counter()
    server.start()
    ready = time.perf_counter() - began
    found = server.search("*", limit=1)["total"]
    print(json.dumps({"log_bytes": bytes_left, "ready_s": round(ready, 2),
                      "acknowledged": state["acked"], "found": found,
                      "load": os.getloadavg()[0]}))
    server.process.kill()
    server.process.wait()
    shutil.rmtree(server.data, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("ack")
    one.add_argument("--rate", type=int, default=15_000)
    one.add_argument("--seconds", type=int, default=20)
    one.set_defaults(run=ack)
    two = kinds.add_parser("restart")
    two.add_argument("--log-bytes", type=int, default=1 << 30)
    two.set_defaults(run=restart)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
