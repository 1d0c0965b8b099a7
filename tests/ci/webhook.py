"""From an event to a signed webhook, verified by the Standard Webhooks library, across failures."""
import http.server
import json
import threading

from standardwebhooks.webhooks import Webhook

from server import Checks, Server, free_port, wait_for


class Catcher:
    """A receiver on loopback that answers what it is told and keeps what it got."""

    def __init__(self, port):
        self.port, self.received, self.answers = port, [], []
        catcher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                catcher.received.append((dict(self.headers), body))
                self.send_response(catcher.answers.pop(0) if catcher.answers else 204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def attack(address):
    return {
        "event": {"category": ["web"], "action": "http_request"},
        "service": {"name": "media"},
        "source": {"ip": address},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "url": {"path": "/preview", "query": "url=http://169.254.169.254/latest/"},
    }


def deliveries_about(catcher, address):
    return [(h, b) for h, b in catcher.received if address in b.decode(errors="replace")]


def verified(checks, secret, headers, body, what):
    lower = {name.lower(): value for name, value in headers.items()}
    try:
        payload = Webhook(secret).verify(body, lower)
    except Exception as error:  # the library's errors have no common base
        checks.that(False, f"{what}: {error!r}")
        return None
    checks.that(payload["type"] == "alert.created", f"{what}: type {payload.get('type')}")
    return payload["data"]


def check_delivery(server, catcher, secret, checks):
    server.post_events([attack("203.0.113.1")])
    got = wait_for(lambda: deliveries_about(catcher, "203.0.113.1"), 15)
    if not checks.that(got, "no delivery within 15 s"):
        return
    headers, body = got[0]
    data = verified(checks, secret, headers, body, "first delivery")
    if data:
        alert = server.get(f"alerts/{data['id']}")
        checks.that(alert["id"] == data["id"], "the delivered alert is not the stored one")
        checks.that("203.0.113.1" in data["entities"].get("ip", []), f"entities {data['entities']}")
        checks.that(data["summary"] and data["evidence"]["query"], "no sentence or no query")
    wrong = dict(headers)
    for name in wrong:
        if name.lower() == "webhook-signature":
            wrong[name] = "v1," + "A" * 43 + "="
    try:
        Webhook(secret).verify(body, {name.lower(): value for name, value in wrong.items()})
        checks.that(False, "a wrong signature was verified: the check proves nothing")
    except Exception:
        checks.that(True, "")


def check_retry(server, catcher, secret, checks):
    """A receiver that fails twice gets the same message again."""
    catcher.answers = [500, 503]
    server.post_events([attack("203.0.113.2")])
    got = wait_for(lambda: len(deliveries_about(catcher, "203.0.113.2")) >= 2, 60)
    tries = deliveries_about(catcher, "203.0.113.2")
    if checks.that(got, f"{len(tries)} deliveries, expected a repeat"):
        ids = {name_of(headers, "webhook-id") for headers, _ in tries}
        checks.that(len(ids) == 1, f"the repeat has another webhook-id: {ids}")
        verified(checks, secret, *tries[-1], "repeated delivery")
    catcher.answers = []


def name_of(headers, wanted):
    return next(value for name, value in headers.items() if name.lower() == wanted)


def check_outage(server, catcher, secret, checks):
    """The alert comes while the receiver is away and the server is killed; it still arrives."""
    port = catcher.port
    catcher.close()
    server.post_events([attack("203.0.113.3")])
    stored = wait_for(lambda: any("203.0.113.3" in a["entities"].get("ip", [])
                                  for a in server.alerts()), 15)
    checks.that(stored, "the alert is not stored")
    server.kill()
    later = Catcher(port)
    server.start()
    got = wait_for(lambda: deliveries_about(later, "203.0.113.3"), 90)
    if checks.that(got, "no delivery after the restart"):
        verified(checks, secret, *got[0], "delivery after the restart")
    later.close()


def main():
    checks = Checks()
    catcher = Catcher(free_port())
    with Server(env={"WATCHFIRE_WEBHOOK_ALLOW": "127.0.0.0/8"}) as server:
        url = f"http://127.0.0.1:{catcher.port}/hook"
        channel = {"name": "check", "kind": "webhook", "url": url}
        status, answer = server.post_json("/api/v1/channels", channel)
        checks.that(status == 201, f"channel: {status} {answer}")
        secret = answer["secret"]
        checks.that(secret.startswith("whsec_"), "the secret has no prefix")
        check_delivery(server, catcher, secret, checks)
        check_retry(server, catcher, secret, checks)
        check_outage(server, catcher, secret, checks)
    with Server() as server:
        status, answer = server.post_json("/api/v1/channels", channel)
        checks.that(status in (201, 400, 422), f"loopback channel: {status} {answer}")
        before = len(catcher.received)
        server.post_events([attack("203.0.113.4")])
        wait_for(lambda: server.alerts(), 15)
        server.wait_caught_up()
        checks.that(len(catcher.received) == before, "loopback was posted to without permission")
    checks.finish()


if __name__ == "__main__":
    main()
