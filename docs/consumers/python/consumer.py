#!/usr/bin/env python3
"""A pager behind tocsin: reads incidents, drops duplicates, and says what a pager would do, one JSON line an action.

    pip install -r requirements.txt
    python consumer.py --brokers localhost:9092 --group my-pager

The rules it follows, and why, are in docs/consuming.md. One process at a time serves a group.
"""

import argparse
import json
import sys
import time
from collections import OrderedDict

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

# Cleared incidents whose sequence is remembered, so that a late duplicate is known for one.
CLEARED_MAX = 10_000

# What a broker says while it starts, or while its group or its partitions move to another one. The client library
# tries most requests again by itself; those for a group's offsets it hands on.
PASSING = {
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
}
# Seconds for which a request is tried again before its error is the answer.
PATIENCE = 60


def patiently(request):
    """What `request` answers, tried again while its error is of those that pass."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return request()
        except KafkaException as exception:
            error = exception.args[0]
            if error.code() not in PASSING or time.monotonic() >= until:
                raise
            print(f"trying again: {error.str()}", file=sys.stderr)
            time.sleep(0.5)


class Pager:
    """What is known of each incident, and what the pager was told."""

    def __init__(self):
        self.open = {}  # incident_id -> last record
        self.cleared = OrderedDict()  # incident_id -> last sequence, oldest first
        self.told = {}  # incident_id -> worst severity paged since it opened

    def learn(self, record):
        """Takes a record in. False if it is no news: a duplicate, or older than what is known."""
        incident = record["incident_id"]
        known = self.open[incident]["sequence"] if incident in self.open else self.cleared.get(incident, 0)
        if record["sequence"] <= known:
            return False
        if record["change"] == "cleared":
            self.open.pop(incident, None)
            self.cleared[incident] = record["sequence"]
            if len(self.cleared) > CLEARED_MAX:
                self.cleared.popitem(last=False)
        else:
            self.cleared.pop(incident, None)
            self.open[incident] = record
        return True

    def act(self, record):
        """What the pager must be told, given the last record of an incident."""
        incident, severity = record["incident_id"], record["severity"]
        action = "update"
        if record["change"] == "cleared":
            # Also when nothing was paged by this process: an earlier one may have.
            self.told.pop(incident, None)
            action = "resolve"
        elif severity <= "sev2":
            if incident not in self.told or severity < self.told[incident]:
                self.told[incident] = severity
                action = "page"
        keys = ("incident_id", "generation", "sequence", "severity", "family", "title", "drill")
        return {"action": action, **{key: record[key] for key in keys}}


def parse(value):
    """The record in a message, or None when it is not one. Fields that are not named here are ignored."""
    try:
        record = json.loads(value)
        kinds = {"incident_id": str, "generation": int, "sequence": int, "change": str, "severity": str}
        if not all(type(record[name]) is kind for name, kind in kinds.items()):
            raise ValueError("a field has the wrong type")
    except (ValueError, KeyError, TypeError) as error:
        print(f"skipped a record that is not an incident: {error!r}", file=sys.stderr)
        return None
    return {"family": "other", "title": "", "drill": False, **record}


class Feed:
    """The two topics, as the rules want them read."""

    def __init__(self, brokers, group, namespace, deadline):
        self.deadline = deadline
        middle = "" if namespace == "default" else namespace + "."
        self.incidents, self.opened = f"tocsin.{middle}incidents.v1", f"tocsin.{middle}open.v1"
        common = {
            "bootstrap.servers": brokers,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
        self.consumer = Consumer({**common, "isolation.level": "read_committed", "enable.partition.eof": True})
        # The committed end of a partition stops before a transaction that still runs; its high watermark does not.
        # The first is what `consumer` is told, the second needs a client of the other isolation.
        self.uncommitted = Consumer({**common, "isolation.level": "read_uncommitted"})

    def partitions(self, topic):
        def ask():
            found = self.consumer.list_topics(topic, timeout=30).topics[topic]
            if found.error is not None:
                raise KafkaException(found.error)
            return sorted(found.partitions)

        return patiently(ask)

    @staticmethod
    def watermarks(client, partition):
        return patiently(lambda: client.get_watermark_offsets(partition, timeout=30))

    def starts(self):
        """Where to go on, and the end of what was missed: {partition: offset} each."""
        wanted = [TopicPartition(self.incidents, p) for p in self.partitions(self.incidents)]
        ends = {tp.partition: self.watermarks(self.consumer, tp)[1] for tp in wanted}
        found = patiently(lambda: self.consumer.committed(wanted, timeout=30))
        committed = {tp.partition: tp.offset for tp in found}
        starts = {p: committed[p] if committed[p] >= 0 else end for p, end in ends.items()}
        # Before anything is paged: or a crash now would let the next start skip what clears meanwhile.
        self.commit(starts)
        return starts, ends

    def snapshot(self):
        """The last word on every open incident, from the compacted topic."""
        ends = {}
        for p in self.partitions(self.opened):
            low, high = self.watermarks(self.uncommitted, TopicPartition(self.opened, p))
            if low < high:
                ends[p] = high
        words = {}
        for message in self.read(self.opened, dict.fromkeys(ends, 0), ends):
            words[message.key()] = message.value()
        return [record for record in (parse(word) for word in words.values() if word is not None) if record]

    def read(self, topic, starts, ends):
        """Messages of `topic` from `starts` up to `ends`."""
        # Offsets have holes (markers of transactions, what was compacted away), so only the end-of-partition event
        # tells that an end was reached.
        waiting = {p for p, end in ends.items() if starts[p] < end}
        self.consumer.assign([TopicPartition(topic, p, offset) for p, offset in starts.items()])
        while waiting:
            message = self.consumer.poll(0.2)
            if message is None:
                if self.late():
                    raise TimeoutError(f"the end of {topic} was not reached in time")
                continue
            if message.error() is None:
                yield message
            elif message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())
            elif message.offset() >= ends[message.partition()]:
                waiting.discard(message.partition())

    def late(self):
        return self.deadline is not None and time.monotonic() >= self.deadline

    def live(self):
        """Messages of the incidents topic after those that `read` gave, until the deadline."""
        while not self.late():
            message = self.consumer.poll(0.2)
            if message is None:
                continue
            if message.error() is None:
                yield message
            elif message.error().code() != KafkaError._PARTITION_EOF:
                raise KafkaException(message.error())

    def commit(self, offsets):
        places = [TopicPartition(self.incidents, p, offset) for p, offset in offsets.items()]
        patiently(lambda: self.consumer.commit(offsets=places, asynchronous=False))


def run(options):
    deadline = None if options.once is None else time.monotonic() + options.timeout
    pager, feed, done = Pager(), Feed(options.brokers, options.group, options.namespace, deadline), 0

    def carry_out(action):
        # Here a real pager is called: under the incident's id as its key, so that saying it twice is harmless.
        nonlocal done
        print(json.dumps(action), flush=True)
        done += 1

    # Positions first, then the snapshot: what changes in between is in both, never in neither.
    starts, ends = feed.starts()
    news = {}
    for record in feed.snapshot():
        if pager.learn(record):
            news[record["incident_id"]] = record
    # What was missed is folded before anything is said: nobody is paged for what has cleared since.
    reached = dict(starts)
    for message in feed.read(feed.incidents, starts, ends):
        reached[message.partition()] = message.offset() + 1
        record = parse(message.value())
        if record and pager.learn(record):
            news[record["incident_id"]] = record
    for record in sorted(news.values(), key=lambda r: r["incident_id"]):
        carry_out(pager.act(record))
    feed.commit(reached)
    print(f"caught up: {len(pager.open)} open", file=sys.stderr, flush=True)

    if options.once is None or done < options.once:
        for message in feed.live():
            record = parse(message.value())
            if record and pager.learn(record):
                carry_out(pager.act(record))
            # Only after the action: at least once, and the pager's key makes it once.
            feed.commit({message.partition(): message.offset() + 1})
            if options.once is not None and done >= options.once:
                break
    feed.consumer.close()
    feed.uncommitted.close()
    return 0 if options.once is None or done >= options.once else 1


def main():
    parser = argparse.ArgumentParser(description="Says what a pager would do about tocsin's incidents.")
    parser.add_argument("--brokers", required=True, help="bootstrap address, host:port[,host:port…]")
    parser.add_argument("--group", required=True, help="consumer group, which keeps the place")
    parser.add_argument("--namespace", default="default", help="namespace of the installation")
    parser.add_argument("--once", type=int, metavar="N", help="exit after N actions, or with status 1 at the timeout")
    parser.add_argument("--timeout", type=float, default=60, metavar="S", help="seconds that --once waits (60)")
    try:
        sys.exit(run(parser.parse_args()))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
