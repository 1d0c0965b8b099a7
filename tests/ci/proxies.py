"""Access logs of a real Caddy and a real Traefik: every line is accepted and mapped to ECS."""
import http.client
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time

from server import Checks, Server, free_port, wait_for

REQUESTS = [
    ("GET", "/api/v1/orders?page=2", 200),
    ("POST", "/api/v1/orders", 200),
    ("GET", "/missing/page", 404),
    ("DELETE", "/api/v1/orders/17", 200),
    ("GET", "/search?q=caf%C3%A9%20%22quoted%22", 200),
]
AGENT = 'proxy-check/1.0 (with "quotes")'


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers 404 below /missing and 200 elsewhere."""

    def answer(self):
        body = b"hello"
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


def send_requests(port):
    for method, path, expected in REQUESTS:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request(method, path, headers={"User-Agent": AGENT})
        status = connection.getresponse().status
        connection.close()
        if status != expected:
            raise SystemExit(f"{method} {path} through the proxy: {status}, expected {expected}")


def wait_open(port, process):
    """Waits until the proxy serves: Traefik opens its port before it knows its routes."""
    def serves():
        if process.poll() is not None:
            raise SystemExit(f"the proxy ended with {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/warm-up", headers={"User-Agent": "warm-up"})
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    if not wait_for(serves, 30):
        raise SystemExit("the proxy did not come up")


def run_proxy(name, command, port, log, folder):
    if shutil.which(command[0]) is None:
        raise SystemExit(f"{name} is not installed")
    env = {**os.environ, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_DATA_HOME": folder}
    with open(os.path.join(folder, f"{name}.out"), "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=env)
    try:
        wait_open(port, process)
        send_requests(port)
        time.sleep(1)
    finally:
        process.terminate()
        process.wait(20)
    with open(log, "rb") as file:
        return [line for line in file.read().splitlines() if line.strip()]


def caddy_log(upstream, folder):
    port, log = free_port(), os.path.join(folder, "caddy.json")
    with open(os.path.join(folder, "Caddyfile"), "w") as file:
        file.write(f"""{{
    admin off
    auto_https off
    persist_config off
}}
http://127.0.0.1:{port} {{
    log {{
        output file {log}
        format json
    }}
    reverse_proxy 127.0.0.1:{upstream}
}}
""")
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", "Caddyfile"]
    return run_proxy("caddy", command, port, log, folder)


def traefik_log(upstream, folder):
    port, log = free_port(), os.path.join(folder, "traefik.json")
    with open(os.path.join(folder, "routes.yml"), "w") as file:
        file.write(f"""http:
  routers:
    all: {{rule: "PathPrefix(`/`)", service: up, entryPoints: [web]}}
  services:
    up: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{upstream}"}}]}}}}
""")
    command = ["traefik", f"--entryPoints.web.address=127.0.0.1:{port}", "--accessLog=true",
               f"--accessLog.filePath={log}", "--accessLog.format=json",
               "--accessLog.fields.headers.defaultMode=keep", "--global.checkNewVersion=false",
               "--global.sendAnonymousUsage=false", "--providers.file.filename=routes.yml"]
    return run_proxy("traefik", command, port, log, folder)


def check_log(server, checks, name, lines):
    checks.that(len(lines) >= len(REQUESTS), f"{name}: only {len(lines)} lines in the access log")
    for line in lines:
        json.loads(line)
    before = server.search("*")["total"]
    status, answer = server.post_lines(lines)
    checks.that(status == 200 and answer["accepted"] == len(lines), f"{name}: {status} {answer}")
    found = server.search("*")["total"] - before
    checks.that(found == len(lines), f"{name}: {found} of {len(lines)} found")
    newest = server.search("*", limit=len(lines), order="desc")["hits"]
    first_seq = max(hit["_seq"] for hit in newest) - len(lines) + 1
    mine = f"_seq:>={first_seq} AND user_agent.original:*proxy-check*"
    expected = {
        "http.request.method:POST": 1,
        "http.request.method:DELETE": 1,
        "http.response.status_code:404": 1,
        "source.ip:127.0.0.1": len(REQUESTS),
        'url.path:"/api/v1/orders/17"': 1,
        'url.path:"/api/v1/orders"': 2,
        'url.query:"page=2"': 1,
        "event.duration:*": len(REQUESTS),
    }
    for query, count in expected.items():
        total = server.search(f"{mine} AND {query}")["total"]
        checks.that(total == count, f"{name}: {query} found {total}, expected {count}")


def main():
    checks = Checks()
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    port = upstream.server_address[1]
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        check_log(server, checks, "caddy", caddy_log(port, folder))
        check_log(server, checks, "traefik", traefik_log(port, folder))
    checks.finish()


if __name__ == "__main__":
    main()
