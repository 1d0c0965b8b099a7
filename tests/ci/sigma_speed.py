"""Sigma against the rsigma command line: CPU per event of both, on the same events, in one run.

  sigma_speed.py [--rsigma PATH] [--events 500000] [--audit 200000] [--runs 3]

Prints figures and judges only what must hold on any machine: the same events with the same rules
give the same alerts with one thread and with two. rsigma is `cargo install rsigma --version
0.23.0`; without it only our own figures are printed. CPU is user and system time of the process,
the load of the rules taken off, the smallest of several runs. Standard library only.
"""
import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

from server import BINARY, SHARED, Checks

RULES = os.path.join(SHARED, "data", "sigma", "rules")


def bench_events(path, count):
    generator = os.path.join(SHARED, "bench", "gen_logs.py")
    with open(path, "wb") as out:
        subprocess.run([sys.executable, generator, str(count), "7"], stdout=out, check=True)


def audit_events(path, count):
    with open(os.path.join(SHARED, "data", "audit-events", "events.ndjson")) as file:
        lines = [json.dumps(json.loads(line)["event"]) + "\n" for line in file]
    with open(path, "w") as out:
        out.writelines(lines[i % len(lines)] for i in range(count))


def cpu(command, path):
    """CPU seconds of a run over the file, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(path, "rb") as file:
        run = subprocess.run(command, stdin=file, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if run.returncode:
        raise SystemExit(f"{command[0]}: {run.stderr[-500:].decode(errors='replace')}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, run.stdout, run.stderr


def least(command, path, runs):
    return min((cpu(command, path) for _ in range(runs)), key=lambda run: run[0])


def detect(threads, extra=()):
    command = [BINARY, "detect", "--no-pack", "--rules", RULES, "--only", "sigma", "--stats"]
    return [*command, "--threads", str(threads), *extra, "-"]


def stats_of(run):
    return json.loads(run[2].strip().splitlines()[-1])


def without_times_of_receipt(alerts):
    """Alerts of events that say no time stand at the time they were read."""
    found = []
    for line in alerts.splitlines():
        alert = json.loads(line)
        found.append((alert["detector"], alert["count"], alert["entities"]))
    return sorted(found, key=str)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rsigma", default=shutil.which("rsigma"))
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--audit", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="watchfire-sigma-") as folder:
        nothing = os.path.join(folder, "nothing")
        with open(nothing, "w") as out:
            out.write('{"message":"nothing"}\n')
        rsigma = [args.rsigma, "engine", "eval", "-r", RULES, "--input-format", "json", "-q"]
        loads = {"watchfire": least(detect(1), nothing, args.runs)}
        if args.rsigma:
            loads["rsigma"] = least(rsigma, nothing, args.runs)
        kinds = [("bench", bench_events, args.events), ("audit", audit_events, args.audit)]
        for name, make, count in kinds:
            path = os.path.join(folder, name)
            make(path, count)
            one = least(detect(1), path, args.runs)
            two = least(detect(2), path, args.runs)
            alike = without_times_of_receipt(one[1]) == without_times_of_receipt(two[1])
            checks.that(alike, f"{name}: one thread and two give different alerts")
            stats, both = stats_of(one), stats_of(two)
            stages = stats["seconds_by_stage"]
            micros = {stage: round(s * 1e6 / count, 2) for stage, s in stages.items()}
            line = {
                "events": name,
                "count": count,
                "cpu_us_an_event": round((one[0] - loads["watchfire"][0]) * 1e6 / count, 2),
                "us_by_stage": micros,
                "load_seconds": stages["load"],
                "peak_rss_mb": stats["peak_rss_bytes"] >> 20,
                "two_threads_speedup": round(
                    both["events_per_second"] / stats["events_per_second"], 2),
            }
            if args.rsigma:
                theirs = (least(rsigma, path, args.runs)[0] - loads["rsigma"][0]) * 1e6 / count
                line["rsigma_cpu_us_an_event"] = round(theirs, 2)
                line["times_as_fast"] = round(theirs / line["cpu_us_an_event"], 2)
                line["sigma_stage_times_as_fast"] = round(theirs / micros["sigma"], 2)
            print(json.dumps(line))
    checks.finish()


if __name__ == "__main__":
    main()
