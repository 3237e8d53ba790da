#!/usr/bin/env python3
"""Runs every query of the dashboards and rules on a real Prometheus while a command runs, and says which had no series.

usage: verify_dashboards.py --scrape HOST:PORT [--fresh] COMMAND…

A Prometheus of its own (`prometheus` must be installed) scrapes HOST:PORT each second with the rules of this folder; every
few seconds each query is run. A query that fails, or never had a series, is a fault, unless it is about something that need
not happen (see MAY_BE_SILENT). With --fresh the command is what will listen there, so nothing may do so yet: another's
series would be taken for its own. The exit status is the command's if that is not 0, else 1 if there are faults.
"""

import argparse
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
# What a healthy installation need never have counted.
MAY_BE_SILENT = ("tocsin_deadletters_total", "tocsin_data_gaps_total")
EVERY_S = 3


def queries():
    """{query: where it is from}, with what Grafana fills in filled in."""
    found = {}
    for file in sorted(HERE.glob("grafana/dashboards/*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                # Grafana's interval for rates is at least four scrapes.
                found[target["expr"].replace("$__rate_interval", "10s")] = f"{file.stem}: {panel['title']}"
    return found


def ask(base, query):
    """The series that answer an instant query. None if Prometheus is not there, ValueError if it refuses the query."""
    try:
        with urllib.request.urlopen(f"{base}/api/v1/query?" + urllib.parse.urlencode({"query": query}), timeout=5) as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise ValueError(json.load(error)["error"]) from error
    except OSError:
        return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(host, port):
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def start_prometheus(folder, scrape, port):
    shutil.copy(HERE / "prometheus/rules.yml", folder / "rules.yml")
    (folder / "prometheus.yml").write_text(
        f"""global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
scrape_configs: [{{job_name: tocsin, static_configs: [{{targets: ["{scrape}"]}}]}}]
"""
    )
    log = open(folder / "log", "w")
    return subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log,
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--scrape", required=True)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()

    host, _, port = options.scrape.rpartition(":")
    if options.fresh and listens(host, int(port)):
        sys.exit(f"error: something listens on {options.scrape} already: its series would be taken for those of the command")
    wanted, seen, faults = queries(), {}, {}
    with tempfile.TemporaryDirectory(prefix="tocsin-prometheus-") as name:
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        prometheus = start_prometheus(pathlib.Path(name), options.scrape, port)
        try:
            command = subprocess.Popen(options.command, stdin=subprocess.DEVNULL)
            while command.poll() is None:
                if prometheus.poll() is not None:
                    print((pathlib.Path(name) / "log").read_text(), file=sys.stderr)
                    faults["prometheus"] = "it has ended"
                    break
                for query in wanted:
                    try:
                        seen[query] = max(seen.get(query, 0), len(ask(base, query) or []))
                    except ValueError as error:
                        faults[query] = str(error)
                time.sleep(EVERY_S)
            status = command.wait()
            ringing = ask(base, 'max by (alertname) (max_over_time(ALERTS{alertstate="firing"}[1h]))') or []
        finally:
            prometheus.terminate()
            prometheus.wait(30)

    for query, place in wanted.items():
        if seen.get(query, 0) == 0 and query not in faults:
            silent = any(metric in query for metric in MAY_BE_SILENT)
            print(f"{'silent' if silent else 'EMPTY'}: {place}: {query}")
            if not silent:
                faults[query] = "no series"
    for query, why in faults.items():
        print(f"error: {wanted.get(query, '')}: {query}: {why}", file=sys.stderr)
    for alert in ringing:
        print(f"rang while it ran: {alert['metric']['alertname']}")
    full = sum(1 for query in wanted if seen.get(query, 0) > 0)
    print(f"dashboards: {len(wanted)} queries on a real Prometheus, {full} with series, {len(faults)} faults")
    return status or (1 if faults else 0)


if __name__ == "__main__":
    sys.exit(main())
