#!/usr/bin/env python3
"""A receiver for tocsin's webhook: checks the signature, drops repeats, prints one line a page. Standard library only.

    TOCSIN_HOOK_SECRET=whsec_… pager.py --port 9800
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300
SEEN_MAX = 10_000


def is_genuine(secrets: list[str], headers, body: bytes, now: float) -> bool:
    """True if one of our secrets signed this body, not long ago. Compare the body as it came, byte for byte."""
    number, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(now - int(stamp)) > TOLERANCE_S:
        return False
    signed = f"{number}.{stamp}.".encode() + body
    shown = [s[3:] for s in headers.get("webhook-signature", "").split() if s.startswith("v1,")]
    for secret in secrets:
        key = base64.b64decode(secret.removeprefix("whsec_"))
        ours = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        if any(hmac.compare_digest(ours, theirs) for theirs in shown):
            return True
    return False


class Pager(BaseHTTPRequestHandler):
    secrets: list[str] = []
    seen: dict[str, None] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.secrets, self.headers, body, time.time()):
            return self.answer(401)
        number = self.headers["webhook-id"]
        if number not in self.seen:  # The same id is the same page, sent again.
            page = json.loads(body)["data"]
            line = {key: page[key] for key in ("kind", "target", "alert_key")}
            line |= {key: page["incident"][key] for key in ("severity", "title")}
            print(json.dumps(line, ensure_ascii=False), flush=True)
            self.seen[number] = None
            if len(self.seen) > SEEN_MAX:
                del self.seen[next(iter(self.seen))]
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--port", type=int, default=9800)
    given = args.parse_args()
    Pager.secrets = os.environ.get("TOCSIN_HOOK_SECRET", "").split()
    if not Pager.secrets:
        sys.exit("TOCSIN_HOOK_SECRET is not set")
    ThreadingHTTPServer(("127.0.0.1", given.port), Pager).serve_forever()


if __name__ == "__main__":
    main()
