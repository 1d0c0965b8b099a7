"""Runs every script of tests/clients against a server of its own.

A script gets the base URL and the token as WATCHFIRE_URL and WATCHFIRE_TOKEN, sends with a real
client library, reads back through the API, and prints `N passed, N failed`.
"""
import glob
import os
import re
import subprocess
import sys

from server import ROOT, TOKEN, Checks, Server


def main():
    checks = Checks()
    scripts = sorted(glob.glob(os.path.join(ROOT, "tests", "clients", "*.py")))
    checks.that(len(scripts) >= 3, f"only {len(scripts)} client scripts")
    for script in scripts:
        name = os.path.basename(script)
        with Server() as server:
            env = {**os.environ, "WATCHFIRE_TOKEN": TOKEN,
                   "WATCHFIRE_URL": f"http://127.0.0.1:{server.port}"}
            run = subprocess.run([sys.executable, script], env=env, capture_output=True, text=True,
                                 timeout=300)
        closing = re.search(r"(\d+) passed, (\d+) failed", run.stdout)
        held = run.returncode == 0 and closing and int(closing[1]) > 0 and int(closing[2]) == 0
        tail = (run.stdout + run.stderr)[-1500:]
        checks.that(held, f"{name}: exit {run.returncode}\n{tail}")
    checks.finish()


if __name__ == "__main__":
    main()
