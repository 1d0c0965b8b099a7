"""A slow attack in a flood of addresses, through `watchfire detect`.

One address fails to log in ten times in an hour, while very many others fail once, or several times:
between two of its failures more of them than a correlation has windows. The attack must be found,
nobody else named, and memory stay bounded.

    flood.py [--keys 600000] [--times 1 2 3]
"""
import argparse
import json
import os
import subprocess
import tempfile

from server import BINARY, Checks

ATTACKER = "203.0.113.66"
START, SPAN, EVERY = 1772323200, 3600, 360
MAX_RSS = 400 << 20
RULE = """title: Failed login
id: login
name: login
logsource: {category: authentication}
detection:
  failed: {event.outcome: failure}
  condition: failed
---
title: Slow guessing
id: guessing
correlation:
  type: event_count
  rules: [login]
  group-by: [source.ip]
  timespan: 1h
  condition: {gte: 4}
level: high
"""


def event(at, address):
    return json.dumps({
        "@timestamp": int(at * 1000), "source": {"ip": address},
        "event": {"category": ["authentication"], "action": "login", "outcome": "failure"},
        "user": {"name": "root"}, "service": {"name": "auth"},
    }) + "\n"


def write(path, keys, times):
    """Every address comes `times` times, with a hundred others between."""
    with open(path, "w", encoding="utf-8") as file:
        due, waiting = START, []
        for number in range(keys):
            at = START + SPAN * number / keys
            if at >= due:
                due += EVERY
                file.write(event(at, ATTACKER))
            key = number * 2654435761 % (1 << 32)
            address = f"{key >> 24}.{key >> 16 & 255}.{key >> 8 & 255}.{key & 255}"
            file.write(event(at, address))
            waiting.append(address)
            if len(waiting) == 100 or number + 1 == keys:
                file.writelines(event(at, one) for _ in range(times - 1) for one in waiting)
                waiting = []


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=600_000)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 2, 3])
    given = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        rule, events = os.path.join(folder, "guessing.yml"), os.path.join(folder, "flood.ndjson")
        with open(rule, "w", encoding="utf-8") as file:
            file.write(RULE)
        for times in given.times:
            write(events, given.keys, times)
            command = [BINARY, "detect", "--no-pack", "--rules", rule, "--stats", events]
            run = subprocess.run(command, capture_output=True, text=True, timeout=3600)
            checks.that(run.returncode == 0, f"exit {run.returncode}: {run.stderr[-500:]}")
            alerts = [json.loads(line) for line in run.stdout.splitlines() if line.strip()]
            named = sorted({ip for alert in alerts for ip in alert["entities"].get("ip", [])})
            stats = json.loads(run.stderr.strip().splitlines()[-1])
            rss = stats["peak_rss_bytes"]
            print(f"{given.keys} addresses, {times} times each: found {named}, windows "
                  f"{stats['windows']}, {rss >> 20} MiB, {stats['events_per_second']:.0f} events/s")
            checks.that(named == [ATTACKER], f"{times} times each: {named}")
            checks.that(rss <= MAX_RSS, f"{times} times each: {rss >> 20} MiB")
    checks.finish()


if __name__ == "__main__":
    main()
