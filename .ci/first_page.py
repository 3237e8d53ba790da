#!/usr/bin/env python3
"""Runs the demo, its build included, and says how long it took until the first page was seen.

usage: first_page.py CLEAN COMMAND…

CLEAN is 1 when nothing was built before; then the promise of ten minutes is held against the time. What the demo
prints is passed on; a line that begins, after its time, with the word PAGE is a page. The exit status is the demo's
own, or 1 when no page was seen or it came too late.
"""

import re
import subprocess
import sys
import time

# Seconds from a clean clone to the first page, on two cores.
PROMISE_S = 600
PAGE = re.compile(r"^[^A-Za-z]*PAGE\b")
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def main() -> int:
    clean, command = sys.argv[1] == "1", sys.argv[2:]
    began = time.monotonic()
    paged = None
    demo = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    assert demo.stdout is not None
    for line in demo.stdout:
        print(line, end="", flush=True)
        if paged is None and PAGE.match(COLOURS.sub("", line)):
            paged = time.monotonic() - began
    status = demo.wait()
    whole = time.monotonic() - began
    if status != 0:
        print(f"error: the demo ended with status {status} after {whole:.0f} s", file=sys.stderr)
        return 1
    if paged is None:
        print("error: the demo ended well, but no line of its output was a page", file=sys.stderr)
        return 1
    kind = "clean build to first page" if clean else "to the first page, with parts already built (no measurement)"
    print(f"{kind}: {paged:.0f} s; to the end of the demo: {whole:.0f} s")
    if clean and paged > PROMISE_S:
        print(f"error: {paged:.0f} s is more than the {PROMISE_S} s that are promised", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
