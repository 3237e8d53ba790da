#!/usr/bin/env python3
"""Tells one story of incidents on a real Kafka to several consumers at once and compares what each would do.

usage: consumers.py BROKERS NAME COMMAND [NAME COMMAND …]

A command is a consumer of docs/consumers without its arguments. The story has duplicates, aborted transactions, records
that are no incidents, fields and words that nobody knows yet, a late start and a restart. Each part of it ends with an
incident on every partition, so that an action too many is seen as surely as one that is missing.
"""

import json
import os
import shlex
import subprocess
import sys
import threading
import time
import zlib

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 3
NAMESPACE = f"consumers-{os.getpid()}"
INCIDENTS, OPEN = f"tocsin.{NAMESPACE}.incidents.v1", f"tocsin.{NAMESPACE}.open.v1"
WAIT_S = 60


def incident(name, sequence, change, severity, generation=1, **more):
    return {
        "incident_id": name, "generation": generation, "sequence": sequence, "change": change, "namespace": NAMESPACE,
        "source": "detector", "severity": severity, "family": "latency",
        "subject": {"kind": "model", "name": "fraud", "version": "2026-02-27.1"},
        "opened_at": "2026-03-02T10:00:00Z", "changed_at": "2026-03-02T10:05:00Z", "title": f"Latency of fraud — “{name}”",
        "evidence": {
            "statistic": "latency.share_over_objective", "value": 0.2, "reference": 0.01, "unit": "share",
            "effect": {"estimate": 0.19, "lower": 0.1, "upper": 0.28}, "evidence": 3.5, "samples": 1000,
            "window": ["2026-03-02T10:04:00Z", "2026-03-02T10:05:00Z"], "contributors": [],
        },
        "context": {"as_of": {}}, "drill": False, **more,
    }  # fmt: skip


def partition_of(name):
    return zlib.crc32(name.encode()) % PARTITIONS


class Teller:
    """Writes incidents as tocsin does: on both topics in one transaction."""

    def __init__(self, brokers, name):
        self.producer = Producer({
            "bootstrap.servers": brokers, "transactional.id": f"{NAMESPACE}-{name}", "compression.type": "lz4",
        })  # fmt: skip
        self.producer.init_transactions(30)

    def begin(self, *records, topics=(INCIDENTS, OPEN)):
        self.producer.begin_transaction()
        self.write(*records, topics=topics)

    def write(self, *records, topics):
        for record in records:
            partition = partition_of(record["incident_id"])
            key, value, change = record["incident_id"], json.dumps(record).encode(), record["change"]
            headers = {
                "ce_specversion": "1.0", "ce_id": f"{key}.{record['generation']}.{record['sequence']}",
                "ce_source": f"/tocsin/{NAMESPACE}/detector", "ce_type": f"tocsin.incident.{change}",
                "ce_subject": "model:fraud@2026-02-27.1", "ce_time": record["changed_at"],
                "content-type": "application/json", "emitted_at": "2026-03-02T10:05:01Z",
            }  # fmt: skip
            for topic in topics:
                gone = topic == OPEN and change == "cleared"
                self.producer.produce(topic, None if gone else value, key, partition, headers=headers)
        self.producer.flush(30)

    def commit(self, *records):
        self.begin(*records)
        self.producer.commit_transaction(30)

    def repeat(self, *records):
        """Records once more, late, on the incidents topic alone: the other never goes back."""
        self.begin(*records, topics=[INCIDENTS])
        self.producer.commit_transaction(30)

    def abort(self, *records):
        self.begin(*records)
        self.producer.abort_transaction(30)

    def raw(self, *values):
        """Values that are no incidents, on every partition of the incidents topic."""
        self.producer.begin_transaction()
        for value in values:
            for partition in range(PARTITIONS):
                self.producer.produce(INCIDENTS, value, b"raw", partition)
        self.producer.commit_transaction(30)


def lasts(part):
    """One incident for every partition, to end a part of the story with."""
    found, number = {}, 0
    while len(found) < PARTITIONS:
        name = f"z-end-of-{part}-{number}"
        found.setdefault(partition_of(name), name)
        number += 1
    return [incident(name, 1, "opened", "sev4") for name in found.values()]


class Consumer:
    """One consumer at work; its actions and what it says, as they come."""

    def __init__(self, name, command, brokers, actions):
        arguments = ["--brokers", brokers, "--group", f"{NAMESPACE}-{name}", "--namespace", NAMESPACE]
        arguments += ["--once", str(actions), "--timeout", str(WAIT_S)]
        self.name, self.lines, self.said = name, [], []
        self.process = subprocess.Popen(
            shlex.split(command) + arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.readers = [
            threading.Thread(target=self.read, args=each, daemon=True)
            for each in [(self.process.stdout, self.lines), (self.process.stderr, self.said)]
        ]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def read(stream, into):
        for line in stream:
            into.append(line.rstrip("\n"))

    def wait_caught_up(self):
        deadline = time.monotonic() + WAIT_S
        while not any(line.startswith("caught up") for line in self.said):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.fail("did not catch up")
            time.sleep(0.05)

    def actions(self):
        """What it did, by incident, once it has ended by itself."""
        status = self.process.wait(WAIT_S + 10)
        for reader in self.readers:
            reader.join(10)
        by_incident = {}
        for line in self.lines:
            action = json.loads(line)
            by_incident.setdefault(action.pop("incident_id"), []).append(action)
        return status, by_incident

    def fail(self, why):
        self.process.kill()
        sys.exit("\n".join([f"the {self.name} consumer {why}", *self.lines, *self.said]))


def done(action, record):
    return {"action": action, **{k: record[k] for k in ("generation", "sequence", "severity", "family", "title", "drill")}}


def act(brokers, commands, part, wanted, during=lambda: None, live=lambda: None):
    """Starts every consumer, tells them the live part, and compares what they did with `wanted`: {incident: actions}."""
    count = sum(map(len, wanted.values()))
    consumers = [Consumer(name, command, brokers, count) for name, command in commands]
    try:
        during()
        for consumer in consumers:
            consumer.wait_caught_up()
        live()
        for consumer in consumers:
            status, got = consumer.actions()
            faults = [
                f"{name}:\n  got  {got.get(name, [])}\n  want {wanted.get(name, [])}"
                for name in sorted(got.keys() | wanted.keys())
                if got.get(name, []) != wanted.get(name, [])
            ]
            if status != 0 or faults:
                consumer.fail(f"did not do in {part!r} what it should (status {status}):\n" + "\n".join(faults))
            print(f"{part}: the {consumer.name} consumer did all {count} actions and nothing else")
    finally:
        for consumer in consumers:
            consumer.process.kill()


def story(brokers, commands):
    teller = Teller(brokers, "teller")

    # A transaction that runs from before all else until after the consumers have started: it holds back the committed
    # end of the open topic, behind which the incident of the next lines is, but not yet that of the incidents topic.
    slow, a = Teller(brokers, "slow"), partition_of("a-open-before")
    f1 = incident(next(name for name in map("f-slow-{}".format, range(100)) if partition_of(name) == a), 1, "opened", "sev1")
    slow.begin(f1, topics=[OPEN])

    # Before anyone listens.
    a2 = incident("a-open-before", 2, "updated", "sev2")
    teller.commit(incident("a-open-before", 1, "opened", "sev2"))
    teller.commit(a2)
    teller.commit(incident("b-long-over", 1, "opened", "sev1"))
    teller.commit(incident("b-long-over", 2, "cleared", "sev1"))
    teller.abort(incident("c-never-was", 1, "opened", "sev1"))

    def during():
        time.sleep(3)
        slow.write(f1, topics=[INCIDENTS])
        slow.producer.commit_transaction(30)

    d = [
        incident("d-rises", 1, "opened", "sev3"),
        incident("d-rises", 2, "updated", "sev2"),
        incident("d-rises", 3, "updated", "sev2"),
        incident("d-rises", 4, "updated", "sev1"),
        incident("d-rises", 5, "updated", "sev2"),
        incident("d-rises", 6, "cleared", "sev2"),
        incident("d-rises", 7, "opened", "sev2", generation=2),
    ]
    a3 = incident("a-open-before", 3, "updated", "sev2")
    # Of a later v1: words and fields that no consumer knows.
    e1 = incident("e-later", 1, "annotated", "sev2", family="telepathy", drill=True, mood={"colour": ["blue"]})
    ends = lasts("first")

    def live():
        for record in d:
            teller.commit(record)
        teller.repeat(d[1], d[5], d[6])
        teller.raw(b"{not json", b"", b"[1, 2]", b'"text"', b"null", None, b'{"incident_id": "g-half", "change": "opened"}', b"\xff\xfe")
        teller.abort(incident("a-open-before", 3, "cleared", "sev2"))
        # News first: a repeated record would make up for one that the snapshot missed.
        teller.commit(a3)
        teller.repeat(incident("a-open-before", 1, "opened", "sev2"), a2, a3)
        teller.commit(e1)
        teller.repeat(e1)
        teller.commit(*ends)

    wanted = {
        "a-open-before": [done("page", a2), done("update", a3)],
        "d-rises": [done(word, record) for word, record in zip(
            ["update", "page", "update", "page", "update", "resolve", "page"], d, strict=True)],
        "e-later": [done("page", e1)],
        f1["incident_id"]: [done("page", f1)],
        **{end["incident_id"]: [done("update", end)] for end in ends},
    }  # fmt: skip
    act(brokers, commands, "a late start", wanted, during, live)

    # While nobody listens.
    a4, g2 = incident("a-open-before", 4, "cleared", "sev2"), incident("g-came-and-went", 2, "cleared", "sev1")
    h1 = incident("h-new", 1, "opened", "sev1")
    teller.commit(a4)
    teller.commit(incident("g-came-and-went", 1, "opened", "sev1"), g2)
    teller.commit(h1)
    teller.repeat(h1)
    again = lasts("second")

    def live_again():
        teller.repeat(d[6], a4, h1)
        teller.commit(*again)

    wanted = {
        "a-open-before": [done("resolve", a4)],
        "d-rises": [done("page", d[6])],
        "e-later": [done("page", e1)],
        f1["incident_id"]: [done("page", f1)],
        "g-came-and-went": [done("resolve", g2)],
        "h-new": [done("page", h1)],
        **{end["incident_id"]: [done("update", end)] for end in ends + again},
    }
    act(brokers, commands, "a restart", wanted, live=live_again)


def main():
    brokers, rest = sys.argv[1], sys.argv[2:]
    commands = list(zip(rest[::2], rest[1::2], strict=True))
    admin = AdminClient({"bootstrap.servers": brokers})
    topics = [NewTopic(INCIDENTS, PARTITIONS), NewTopic(OPEN, PARTITIONS, config={"cleanup.policy": "compact"})]
    for created in admin.create_topics(topics).values():
        created.result(30)
    try:
        story(brokers, commands)
    finally:
        for deleted in admin.delete_topics([INCIDENTS, OPEN]).values():
            deleted.result(30)
    # A summary of its own form, for whoever counts tests.
    print(f"{2 * len(commands)} passed, 0 failed")


if __name__ == "__main__":
    main()
