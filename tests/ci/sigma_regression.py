"""Each recorded event fires the rule it was recorded for, through `watchfire detect`.

First the whole rule folder is loaded at once: no file may fail. Then each record runs against its
own rule file, so that nothing else can fire in its place.
"""
import json
import os
import subprocess
import tempfile

from server import BINARY, SHARED, Checks

RULES = os.path.join(SHARED, "data", "sigma", "rules")


def detect(rules, events):
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson") as file:
        file.writelines(json.dumps(event) + "\n" for event in events)
        file.flush()
        command = [BINARY, "detect", "--rules", rules, "--only", "sigma", "--stats", file.name]
        run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    alerts = [json.loads(line) for line in run.stdout.splitlines() if line.strip()]
    stats = json.loads(run.stderr.strip().splitlines()[-1]) if run.returncode == 0 else {}
    return run, alerts, stats


def files_by_id():
    """Where each rule is: some records name a file that has been renamed since."""
    found = {}
    for folder, _, names in os.walk(RULES):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as file:
                for line in file:
                    if line.startswith("id: "):
                        found[line[4:].strip()] = path
    return found


def main():
    checks = Checks()
    with open(os.path.join(SHARED, "data", "sigma-regression", "events.ndjson")) as file:
        records = [json.loads(line) for line in file]
    run, _, stats = detect(RULES, [{"message": "nothing"}])
    checks.that(run.returncode == 0, f"detect: exit {run.returncode} {run.stderr[-500:]}")
    failed = stats.get("rules_failed")
    checks.that(stats.get("rules_loaded", 0) > 3000, f"only {stats.get('rules_loaded')} loaded")
    checks.that(failed == 0, f"{failed} rules failed to load")
    files, missed = files_by_id(), []
    for record in records:
        run, alerts, _ = detect(files[record["rule_id"]], record["events"])
        detectors = {alert["detector"] for alert in alerts}
        if f"sigma:{record['rule_id']}" not in detectors:
            missed.append(record["rule_id"])
        fired = record["rule_id"] not in missed
        checks.that(fired, f"{record['title']} ({record['rule_id']}) did not fire")
    print(f"{len(records) - len(missed)} of {len(records)} rules fired on their events")
    checks.finish()


if __name__ == "__main__":
    main()
