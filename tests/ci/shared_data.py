"""Posts the conformance data over HTTP: every event is accepted, found, and given back as it came."""
import glob
import json
import os

from server import SHARED, Checks, Server

DATA = os.path.join(SHARED, "data")


def batches(items, size=200):
    return (items[start:start + size] for start in range(0, len(items), size))


def load_audit():
    with open(os.path.join(DATA, "audit-events", "events.ndjson"), "rb") as file:
        return [json.loads(line) for line in file if line.strip()]


def load_regression():
    with open(os.path.join(DATA, "sigma-regression", "events.ndjson"), "rb") as file:
        return [event for line in file for event in json.loads(line)["events"]]


def load_cloudtrail():
    events = []
    for path in sorted(glob.glob(os.path.join(DATA, "cloudtrail-attacks", "*.json"))):
        with open(path, "rb") as file:
            content = json.load(file)
        events += content if isinstance(content, list) else content.get("Records", [content])
    return events


def load_naughty():
    with open(os.path.join(DATA, "naughty-strings", "blns.json"), "rb") as file:
        return [{"message": text, "n": n} for n, text in enumerate(json.load(file))]


def check_set(server, checks, name, events):
    """Posts a set under a mark of its own; all must be accepted and given back unchanged."""
    checks.that(len(events) > 10, f"{name}: only {len(events)} events in the data set")
    accepted, rejected = 0, []
    for batch in batches([{"set": name, "row": n, "e": e} for n, e in enumerate(events)]):
        status, answer = server.post_events(batch)
        checks.that(status == 200, f"{name}: answered {status} {answer}")
        accepted += answer.get("accepted", 0)
        rejected += answer.get("rejected", [])
    checks.that(accepted == len(events), f"{name}: {accepted} of {len(events)}: {rejected[:3]}")
    total = server.search(f'set:"{name}"')["total"]
    checks.that(total == len(events), f"{name}: {total} found of {len(events)}")
    back = {line["row"]: line["e"] for line in server.export(f'set:"{name}"')}
    changed = [n for n, event in enumerate(events) if back.get(n) != event]
    checks.that(not changed, f"{name}: rows {changed[:5]} came back changed or not at all")


def check_as_they_are(server, checks, name, events):
    """The same events without a wrapper, so that mappings see them. A line that is there twice
    with the same event.id counts as a duplicate the second time."""
    taken = 0
    for batch in batches(events):
        status, answer = server.post_events(batch)
        checks.that(status == 200, f"{name} bare: answered {status} {answer}")
        taken += answer.get("accepted", 0) + answer.get("duplicate", 0)
    checks.that(taken == len(events), f"{name} bare: {taken} of {len(events)} taken")


def check_json_suite(server, checks):
    """Each one-line case as {"v":CASE} beside a good line: y_ accepted, n_ rejected, i_ survived."""
    paths = sorted(glob.glob(os.path.join(DATA, "json-test-suite", "test_parsing", "*.json")))
    checks.that(len(paths) > 300, f"only {len(paths)} cases")
    counts = {"y": 0, "n": 0, "i": 0}
    for path in paths:
        kind, name = os.path.basename(path)[0], os.path.basename(path)
        with open(path, "rb") as file:
            case = file.read().strip(b" \t\r\n")
        if b"\n" in case or b"\r" in case:
            continue
        counts[kind] += 1
        status, answer = server.post_lines([b'{"control":1}', b'{"v":' + case + b"}"])
        accepted, rejected = answer.get("accepted"), len(answer.get("rejected", []))
        expected = {"y": accepted == 2, "n": (accepted, rejected) == (1, 1),
                    "i": accepted is not None and accepted + rejected == 2}
        checks.that(status == 200 and expected[kind], f"{name}: {status} {answer}")
    checks.that(counts["y"] >= 90 and counts["n"] >= 170, f"too few one-line cases: {counts}")


def main():
    checks = Checks()
    with Server() as server:
        audit = load_audit()
        check_set(server, checks, "audit-events", audit)
        check_as_they_are(server, checks, "audit-events", [line["event"] for line in audit])
        for name, load in [("sigma-regression", load_regression),
                           ("cloudtrail-attacks", load_cloudtrail)]:
            events = load()
            check_set(server, checks, name, events)
            check_as_they_are(server, checks, name, events)
        check_set(server, checks, "naughty-strings", load_naughty())
        check_json_suite(server, checks)
        server.wait_caught_up()
        checks.that(server.process.poll() is None, "the server is gone")
    checks.finish()


if __name__ == "__main__":
    main()
