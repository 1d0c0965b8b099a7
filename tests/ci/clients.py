"""Runs every script of tests/clients against a server of its own.

A script takes the base URL and a token, ships with a real client library and ends with 0 when the
server was taken for what the library expects. Afterwards its events must be found.
"""
import glob
import os
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
            command = [sys.executable, script, f"http://127.0.0.1:{server.port}", TOKEN]
            run = subprocess.run(command, capture_output=True, text=True, timeout=300)
            tail = (run.stdout + run.stderr)[-1500:]
            checks.that(run.returncode == 0, f"{name}: exit {run.returncode}\n{tail}")
            found = server.search("*")["total"]
            checks.that(found >= 100, f"{name}: only {found} events found")
    checks.finish()


if __name__ == "__main__":
    main()
