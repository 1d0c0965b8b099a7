"""kill -9 under load, again and again: nothing acknowledged is lost, nothing is there twice.

Shippers send batches of events with ids of their own and repeat an unanswered batch with the same
Idempotency-Key, as a careful client does. One event in each batch must raise exactly one alert.
"""
import argparse
import collections
import json
import http.client
import random
import threading
import time

from server import Checks, Server

PER_BATCH = 100
SHIPPERS = 8


def event(shipper, batch, row):
    """An event with an id of its own; row 0 of a batch is an attack from an address of its own."""
    address = f"203.{shipper}.{batch // 250}.{batch % 250}" if row == 0 else "192.0.2.7"
    query = "url=http://169.254.169.254/latest/" if row == 0 else f"page={row}"
    return {
        "id": f"{shipper}-{batch}-{row}",
        "event": {"category": ["web"], "action": "http_request", "outcome": "success"},
        "service": {"name": "media"},
        "source": {"ip": address},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": "/preview", "query": query},
    }


class Load:
    """The shippers: each sends its batches in order and moves on only after an answer."""

    def __init__(self, server):
        self.server = server
        self.stopping = threading.Event()
        self.acknowledged = [0] * SHIPPERS
        self.resent = 0
        self.refused = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ship, args=(n,)) for n in range(SHIPPERS)]
        for thread in self.threads:
            thread.start()

    def ship(self, shipper):
        batch = 0
        while not self.stopping.is_set():
            lines = [json.dumps(event(shipper, batch, row)).encode() for row in range(PER_BATCH)]
            self.send(shipper, batch, lines)
            batch += 1

    def send(self, shipper, batch, lines):
        tries = 0
        while True:
            tries += 1
            try:
                status, answer = self.server.post_lines(lines, f"crash-{shipper}-{batch}")
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
                continue
            if status in (429, 503):
                time.sleep(0.05)
                continue
            with self.lock:
                self.resent += tries > 1
                counted = answer.get("accepted", 0) + answer.get("duplicate", 0)
                if status != 200 or counted != PER_BATCH:
                    self.refused.append((status, answer))
            self.acknowledged[shipper] = batch + 1
            return

    def finish(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def check_events(server, load, checks):
    expected = {
        f"{shipper}-{batch}-{row}"
        for shipper, batches in enumerate(load.acknowledged)
        for batch in range(batches)
        for row in range(PER_BATCH)
    }
    found = collections.Counter()
    for line in server.export("service.name:media"):
        found[line["id"]] += 1
    lost = expected - set(found)
    twice = [name for name, times in found.items() if times > 1]
    unknown = set(found) - expected
    checks.that(not lost, f"{len(lost)} acknowledged events lost, such as {sorted(lost)[:3]}")
    checks.that(not twice, f"{len(twice)} events are there twice, such as {twice[:3]}")
    checks.that(not unknown, f"{len(unknown)} events that nobody acknowledged")
    total = server.search("service.name:media")["total"]
    checks.that(total == len(expected), f"search counts {total}, expected {len(expected)}")
    print(f"{len(expected)} events acknowledged, {load.resent} batches sent again, "
          f"{len(lost)} lost, {len(twice)} twice")


def check_alerts(server, load, checks):
    """One attack from each address: one alert for each, and each counts one event."""
    alerts = collections.Counter()
    ids = collections.Counter()
    for alert in server.alerts():
        ids[alert["id"]] += 1
        for address in alert["entities"].get("ip", []):
            if address.startswith("203."):
                alerts[address, alert["detector"]] += alert.get("count", 1)
    expected = sum(load.acknowledged)
    doubled = {key: times for key, times in alerts.items() if times > 1}
    addresses = {address for address, _ in alerts}
    checks.that(all(times == 1 for times in ids.values()), "an alert id is listed twice")
    checks.that(not doubled, f"{len(doubled)} alerts doubled, such as {list(doubled.items())[:3]}")
    missed = expected - len(addresses)
    checks.that(missed == 0, f"{missed} of {expected} attacks raised no alert")
    print(f"{expected} attacks, {len(addresses)} alerts, {len(doubled)} doubled")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=10)
    options.add_argument("--seed", type=int, default=1)
    options = options.parse_args()
    chance, checks = random.Random(options.seed), Checks()
    with Server() as server:
        load = Load(server)
        slowest = 0.0
        for _ in range(options.kills):
            time.sleep(chance.uniform(0.2, 2.5))
            server.kill()
            began = time.monotonic()
            server.start()
            slowest = max(slowest, time.monotonic() - began)
        time.sleep(1)
        load.finish()
        checks.that(not load.refused, f"refused: {load.refused[:2]}")
        checks.that(load.resent > 0, "no batch was under way at any kill; the check proves nothing")
        server.wait_caught_up()
        check_events(server, load, checks)
        check_alerts(server, load, checks)
        print(f"{options.kills} kills, slowest return {slowest:.1f} s")
    checks.finish()


if __name__ == "__main__":
    main()
