#!/usr/bin/env python3
"""Telemetry of one small model, `fraud` version `7`, as JSON Lines in the order in which it would arrive.

    telemetry.py --hours 168 > healthy.jsonl
    telemetry.py --from 2026-03-08T00:00:00Z --hours 1 --trouble errors > now.jsonl
    telemetry.py --hours 1 --keyed | kcat -P -b localhost:9092 -t ml.predictions -K '\\t'

One prediction every two seconds, slower at night; four of five get a label some twenty minutes later.
The trouble, if any, fills the second half. The same arguments write the same bytes.
"""

import argparse
import heapq
import json
import math
import random
from datetime import datetime, timedelta, timezone

TROUBLES = ("none", "errors", "slow", "drift", "wrong")


def text(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def prediction(rng: random.Random, number: str, at: datetime, trouble: str) -> tuple[dict, str]:
    failed = rng.random() < (0.25 if trouble == "errors" else 0.002)
    amount = rng.lognormvariate(3.5, 0.9) * (2.0 if trouble == "drift" else 1.0)
    truth = "deny" if rng.random() < 0.15 else "approve"
    wrong = rng.random() < (0.25 if trouble == "wrong" else 0.05)
    guess = {"deny": "approve", "approve": "deny"}[truth] if wrong else truth
    record = {
        "kind": "prediction",
        "prediction_id": number,
        "event_time": text(at),
        "model": "fraud",
        "version": "7",
        "latency_ms": round(rng.lognormvariate(3.6, 0.35) * (3.0 if trouble == "slow" else 1.0), 1),
        "status": "error" if failed else "ok",
        "features": {
            "amount": round(amount, 2),
            "country": rng.choices(["DE", "FR", "US"], [5, 3, 2])[0],
            "is_new": rng.random() < 0.1,
            "age": None if rng.random() < 0.02 else rng.randint(18, 90),
        },
        "prediction": guess,
        "score": round(rng.betavariate(8, 2), 3),
    }
    return record, truth


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--from", dest="start", default="2026-03-01T00:00:00Z")
    args.add_argument("--hours", type=float, default=1.0)
    args.add_argument("--trouble", choices=TROUBLES, default="none")
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--keyed", action="store_true", help="put the prediction id and a tab before each record")
    given = args.parse_args()
    start = datetime.fromisoformat(given.start.replace("Z", "+00:00")).astimezone(timezone.utc)
    end = start + timedelta(hours=given.hours)
    half = start + (end - start) / 2
    rng = random.Random(f"{given.seed} {given.start}")

    def write(record: dict) -> None:
        print((record["prediction_id"] + "\t" if given.keyed else "") + json.dumps(record))

    labels: list[tuple[datetime, str, str]] = []  # Waiting: when it becomes known, of what, the truth.
    at, count = start, 0
    while at < end:
        hour = at.hour + at.minute / 60
        gap_s = 2.0 / (1.0 + 0.4 * math.sin((hour - 8) * math.pi / 12))
        at += timedelta(seconds=rng.expovariate(1 / gap_s))
        while labels and labels[0][0] <= at:
            when, number, truth = heapq.heappop(labels)
            write({"kind": "label", "prediction_id": number, "event_time": text(when), "value": truth})
        count += 1
        trouble = given.trouble if at >= half else "none"
        record, truth = prediction(rng, f"{start:%m%d%H}-{count}", at, trouble)
        write(record)
        if rng.random() < 0.8:
            heapq.heappush(labels, (at + timedelta(seconds=rng.expovariate(1 / 1200)), record["prediction_id"], truth))


if __name__ == "__main__":
    main()
