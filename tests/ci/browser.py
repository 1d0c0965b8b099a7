"""Runs one browser test against a server of its own.

The test gets WATCHFIRE_URL, WATCHFIRE_TOKEN and CHROMIUM, and prints `N passed, N failed`.
"""
import os
import subprocess
import sys

from server import TOKEN, Server


def main():
    with Server(env={"WATCHFIRE_WEBHOOK_ALLOW": "127.0.0.0/8"}) as server:
        env = {**os.environ, "WATCHFIRE_TOKEN": TOKEN,
               "WATCHFIRE_URL": f"http://127.0.0.1:{server.port}"}
        run = subprocess.run(["node", sys.argv[1]], env=env, timeout=600)
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
