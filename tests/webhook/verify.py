#!/usr/bin/env python3
"""Pages of a running tocsin, checked by the reference library of Standard Webhooks.

usage: verify.py TOCSIN

TOCSIN is the program. It runs in a folder of its own and signs with two secrets, as while one replaces the other: an incident
that somebody declares, takes and resolves must arrive as pages that each of the two vouches for, and nothing else does.
"""

import base64
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

WAIT_S = 60
NEW, OLD, STRANGE = (f"whsec_{base64.b64encode(os.urandom(32)).decode()}" for _ in range(3))
CONFIG = """
namespace = "default"

[http]
address = "127.0.0.1:0"

[receiver.hook]
type = "webhook"
url = "http://127.0.0.1:{port}/tocsin"
secret_env = "TOCSIN_HOOK_SECRET"
allow_private = true

[[route]]
policy = "default"

[policy.default]
steps = [{{ targets = ["hook/primary"], delay_s = 3600 }}]
"""


def vouches(secret, body, headers):
    try:
        Webhook(secret).verify(body, headers)
    except WebhookVerificationError:
        return False
    return True


class Pager(BaseHTTPRequestHandler):
    came = queue.Queue()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(204)
        self.end_headers()
        self.came.put((body, headers))

    def log_message(self, *_):
        pass


def ready(process):
    """Where the program listens, once it has all that it needs."""
    lines = (json.loads(line) for line in process.stdout)
    address = next((line["address"] for line in lines if line.get("address")), None)
    deadline = time.monotonic() + WAIT_S
    while address and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=WAIT_S):
                return address
        except urllib.error.URLError:
            time.sleep(0.05)
    sys.exit("tocsin did not start: what it said is above")


def page(kind):
    try:
        body, headers = Pager.came.get(timeout=WAIT_S)
    except queue.Empty:
        sys.exit(f"no page came, {kind} was to come")
    got = json.loads(body)
    assert got["type"] == f"tocsin.page.{kind}", f"{got['type']} came, {kind} was to come"
    assert vouches(NEW, body, headers), f"the newest secret does not vouch for {kind}: {headers}"
    assert vouches(OLD, body, headers), f"the secret before does not vouch for {kind}: {headers}"
    assert not vouches(STRANGE, body, headers), "a secret that tocsin does not have vouches for it"
    assert not vouches(NEW, body.replace(b"primary", b"another"), headers), "a changed body is vouched for"
    print(f"{kind}: genuine by the reference library, under both secrets")
    return got["data"]["incident"]["incident_id"]


def main():
    tocsin = os.path.abspath(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pager)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "tocsin.toml"), "w") as config:
            config.write(CONFIG.format(port=server.server_port))
        environment = {**os.environ, "TOCSIN_HOOK_SECRET": f"{NEW} {OLD}"}
        process = subprocess.Popen(
            [tocsin, "run", "--json"], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            environment["TOCSIN_SERVER"] = ready(process)

            def ask(*words):
                subprocess.run([tocsin, *words], cwd=folder, env=environment, check=True, timeout=WAIT_S)

            ask("declare", "checkout answers 502 — “Größe”", "--severity", "sev2", "--model", "fraud")
            incident = page("trigger")
            ask("ack", incident)
            page("acknowledge")
            ask("resolve", incident, "--reason", "rolled back")
            page("resolve")
        finally:
            process.terminate()
            process.wait(30)
    print("3 passed, 0 failed")


if __name__ == "__main__":
    main()
