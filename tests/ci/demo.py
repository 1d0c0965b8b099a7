"""`watchfire demo` shows at least four different true alerts within a minute, and no false one."""
import time

from server import Checks, Server

# Whom each alert of the first round names. Only attackers have addresses in 203.0.113.0/24; the
# demo's seed is fixed, so the customers and services that take part are always the same ones.
ATTACKER = ("ip", "203.0.113.")
ATTACKS = {
    "Brute force on one account": ("user", "u1032"),
    "Password guessed, failures then a success": ("user", "u1032"),
    "Unusual rate of failed logins": ("service", "auth"),
    "SQL injection in a query string": ATTACKER,
    "Scanner or exploit tool": ATTACKER,
    "Password spray from one address": ATTACKER,
    "Metadata or loopback host in a URL parameter": ("user", "u1156"),
    "New edge between two services": ("edge", "reviews>payments"),
    "Permission probing over many routes": ("user", "u1187"),
    "Unusual rate of requests of one address": ("ip", "198.51.100.69"),
    "Refresh token used again after it was rotated": ("user", "u1280"),
    "MFA fatigue, one person asked again and again": ATTACKER,
    "MFA fatigue over hours": ATTACKER,
    "Role served by an administrative service for the first time": ("user", "u1218"),
    "First use of an administrative route": ("user", "u1218"),
    "First use of an administrative service": ("user", "u1218"),
    "Password spray by a program": ATTACKER,
    "Address sends values of a shape that nobody sends": ATTACKER,
}
# Who goes through identifiers: the account that reads the catalogue, and the scanner.
WALK, WALKERS = "Objects read in the order of their identifiers", ("198.51.100.69", "203.0.113.")
# The users whose attacks open routes that nobody used before.
NEW_ROUTE, NEW_ROUTE_USERS = "Service serves a route it has never served", {"u1156", "u1218", "u1280"}


def is_true(alert):
    if alert["title"] == NEW_ROUTE:
        return set(alert["entities"].get("user", [])) & NEW_ROUTE_USERS != set()
    if alert["title"] == WALK:
        return any(ip.startswith(WALKERS) for ip in alert["entities"].get("ip", []))
    kind, actor = ATTACKS.get(alert["title"], ("none", ""))
    return any(value.startswith(actor) for value in alert["entities"].get(kind, []))


def main():
    checks = Checks()
    began = time.monotonic()
    with Server(command="demo") as server:
        true = {}
        fourth = None
        while time.monotonic() - began < 60:
            for alert in server.alerts():
                if is_true(alert):
                    true.setdefault(alert["detector"], alert)
            if len(true) >= 4 and fourth is None:
                fourth = time.monotonic() - began
            time.sleep(1)
        for alert in true.values():
            print(f"  {alert['severity']:8} {alert['title']}: {alert['summary']}")
        false = [(a["title"], a["entities"]) for a in server.alerts() if not is_true(a)]
        checks.that(len(true) >= 4, f"{len(true)} different true alerts within 60 s")
        checks.that(not false, f"alerts without an attack: {false[:5]}")
        print(f"{len(true)} kinds of alerts, the fourth after {fourth or 0:.0f} s")
    checks.finish()


if __name__ == "__main__":
    main()
