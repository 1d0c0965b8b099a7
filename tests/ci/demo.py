"""`watchfire demo` shows at least four different true alerts within a minute, and no false one."""
import time

from server import Checks, Server

# What belongs to an attack of the first round: its addresses lie in 203.0.113.0/24; the attacks of
# a known customer are told by what they do.
ATTACKERS = "203.0.113."
BY_TITLE = ["metadata", "permission", "edge", "rate", "mfa", "route", "brute", "failed login"]


def is_true(alert):
    addresses = alert["entities"].get("ip", [])
    if any(address.startswith(ATTACKERS) for address in addresses):
        return True
    return any(word in alert["title"].lower() for word in BY_TITLE)


def main():
    checks = Checks()
    began = time.monotonic()
    with Server(command="demo") as server:
        detectors = {}
        fourth = None
        while time.monotonic() - began < 60:
            for alert in server.alerts():
                detectors.setdefault(alert["detector"], alert)
            true = [d for d, alert in detectors.items() if is_true(alert)]
            if len(true) >= 4 and fourth is None:
                fourth = time.monotonic() - began
            time.sleep(1)
        for alert in detectors.values():
            print(f"  {alert['severity']:8} {alert['title']}: {alert['summary']}")
        true = [a for a in detectors.values() if is_true(a)]
        false = [a["title"] for a in server.alerts() if not is_true(a)]
        checks.that(len(true) >= 4, f"{len(true)} different true alerts within 60 s")
        checks.that(not false, f"alerts without an attack: {false[:5]}")
        print(f"{len(true)} kinds of alerts, the fourth after {fourth or 0:.0f} s")
    checks.finish()


if __name__ == "__main__":
    main()
