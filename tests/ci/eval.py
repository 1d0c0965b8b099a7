"""The models on the public data: no figure below its floor, and other scorers come to the same.

Floors lie a little under what docs/EVALUATION.md states, since the order of floating point sums may
change with a compiler; the figures themselves do not depend on the machine or its load. The scorers
in the shared folder were written apart from ours and read the scores that `--write` leaves.
"""
import csv
import io
import json
import os
import subprocess
import sys
import tempfile

from server import BINARY, SHARED, Checks

DATA = os.path.join(SHARED, "data")
SCORERS = os.path.join(SHARED, "score")

FLOORS = {
    "nab": ("nab", {"standard": 66.0, "reward_low_fp": 55.0, "reward_low_fn": 70.0}),
    "tabular": ("tabular", {"mean_stream_auc": 0.918, "mean_nightly_auc": 0.945}),
    "payloads": ("http-params", {"auc": 0.9997, "recall_at_fpr_0.001": 0.95}),
    "templates": ("log-templates", {"mean_grouping_accuracy": 0.95, "mean_grouping_f1": 0.90}),
}


def evaluate(what, folder, out):
    command = [BINARY, "eval", what, os.path.join(DATA, folder), "--json", "--write", out]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def scorer(name, *args):
    command = [sys.executable, os.path.join(SCORERS, name), *args]
    run = subprocess.run(command, capture_output=True, check=True)
    return run.stdout.decode()


def near(one, other, digits=3):
    return abs(one - other) < 10 ** -digits


def check_nab(checks, report, out):
    labels = os.path.join(DATA, "nab", "windows.json")
    theirs = json.loads(scorer("nab_score.py", "--labels", labels, "--results", out))
    names = {"standard": "standard", "reward_low_FP_rate": "reward_low_fp",
             "reward_low_FN_rate": "reward_low_fn"}
    for name, ours in names.items():
        checks.that(near(theirs[name]["score"], report["all"][ours], 2),
                    f"NAB {name}: {theirs[name]['score']} against {report['all'][ours]}")
    checks.that(theirs["standard"]["fp_rows"] == report["all"]["false_alarms"], "NAB false alarms")


def check_labelled(checks, report, out):
    """Each set's area and average precision, means over the seeds that were written."""
    measured = {}
    for name in sorted(os.listdir(out)):
        result = json.loads(scorer("auc_ap.py", os.path.join(out, name)))["all"]
        set_name, model = name.split(".")[0], (name.split(".") + ["", ""])[1]
        for key in ("auc", "ap"):
            column = key if model == "csv" else f"{model}_{key}"
            measured.setdefault((set_name, column), []).append(result[key])
    for (set_name, column), values in measured.items():
        sets = report["sets"]
        ours = sets[set_name if set_name in sets else "payload_test"][column]
        theirs = sum(values) / len(values)
        checks.that(near(theirs, ours), f"{set_name} {column}: {theirs} against {ours}")


def check_templates(checks, report, out):
    with tempfile.TemporaryDirectory() as loghub:
        for system in report["sets"]:
            name = f"{system}_2k.log_structured.csv"
            os.makedirs(os.path.join(loghub, system))
            os.symlink(os.path.abspath(os.path.join(DATA, "log-templates", name)),
                       os.path.join(loghub, system, name))
        rows = csv.DictReader(io.StringIO(
            scorer("drain_ga.py", "--loghub", loghub, "--ours", out)))
        for row in rows:
            if row["system"] == "AVERAGE":
                ours, theirs = report["all"]["mean_grouping_accuracy"], float(row["GA"])
            else:
                ours = report["sets"][row["system"]]["grouping_accuracy"]
                theirs = float(row["GA"])
            checks.that(near(ours, theirs), f"{row['system']}: {theirs} against {ours}")


def main():
    checks = Checks()
    others = {"nab": check_nab, "tabular": check_labelled, "payloads": check_labelled,
              "templates": check_templates}
    for what, (folder, floors) in FLOORS.items():
        with tempfile.TemporaryDirectory() as out:
            report = evaluate(what, folder, out)
            for name, floor in floors.items():
                figure = report["all"][name]
                print(f"{what} {name} {figure:.4f}, floor {floor}", flush=True)
                checks.that(figure >= floor, f"{what} {name} {figure} is below {floor}")
            others[what](checks, report, out)
    checks.finish()


if __name__ == "__main__":
    main()
