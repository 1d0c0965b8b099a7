"""The load script of the conformance data on 300,000 events with the shared rules, held to limits.

The limits leave room for a busy machine; CPU is counted in yardsticks (CPython's json.loads over
the same lines in the same run), so that a slow machine does not fail it.
"""
import json
import os
import subprocess
import sys

from server import BINARY, SHARED, Checks

MAX_CPU_YARDSTICKS = 8
MAX_RSS_MB = 1024
MAX_DISK_MB_PER_MILLION = 160
MAX_QUERY_MS = 60


def main():
    checks = Checks()
    command = [sys.executable, os.path.join(SHARED, "bench", "bench.py"), "--bin", BINARY,
               "--events", "300000", "--rules", os.path.join(SHARED, "data", "sigma", "rules"),
               "--json"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    print(run.stdout, run.stderr)
    if not checks.that(run.returncode == 0, f"exit {run.returncode}: something was lost"):
        checks.finish()
    result = json.loads(run.stdout.strip().splitlines()[-1])
    events = result["events"]
    checks.that(result["acked"] == events, f"{result['acked']} of {events} acknowledged")
    checks.that(result["found"] == events, f"{result['found']} of {events} found")
    for name, limit in [("cpu_yardsticks", MAX_CPU_YARDSTICKS), ("peak_rss_mb", MAX_RSS_MB),
                        ("disk_mb_per_million", MAX_DISK_MB_PER_MILLION)]:
        checks.that(result[name] <= limit, f"{name} is {result[name]}, allowed is {limit}")
    for name, milliseconds in result["queries_ms"].items():
        checks.that(milliseconds <= MAX_QUERY_MS, f"{name}: {milliseconds} ms")
    checks.finish()


if __name__ == "__main__":
    main()
