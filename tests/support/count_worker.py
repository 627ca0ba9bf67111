"""A worker of the counting stage, as a process: `python -m tests.support.count_worker '{"bootstrap": ...}'`.

Prints one JSON line per event on stdout: `{"health": port}`, `{"ready": true}` when all of its partitions are, and
`{"turn": "ready", "partition": 3, "at": seconds}` or `{"turn": "revoked", "at": seconds}` when it takes or gives up
rows.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import msgspec
import structlog

from streams.engine.options import EngineOptions
from streams.kafka.settings import KafkaSettings
from streams.worker import run_worker
from tests.support.counting import counting_stage


class Order(msgspec.Struct, frozen=True):
    """How to run it."""

    bootstrap: str
    suffix: str
    slot: int = 0
    ticks: bool = False
    partitions_ticked: bool = False
    options: EngineOptions = EngineOptions()


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def tell_turn(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A processor of log lines: has those about whose rows are where said on stdout too, with the machine's time."""
    if event["event"] in ("ready", "revoked"):
        say(turn=event["event"], partition=event.get("partition"), at=time.monotonic())
    return event


def main() -> int:
    structlog.configure(
        processors=[tell_turn, *structlog.get_config()["processors"]],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    order = msgspec.json.decode(sys.argv[1], type=Order)
    return run_worker(
        counting_stage(order.suffix, ticks=order.ticks, partitions_ticked=order.partitions_ticked, lethal=True),
        KafkaSettings(bootstrap=order.bootstrap),
        slot=order.slot,
        app_id="t",
        options=order.options,
        on_ready=lambda: say(ready=True),
        on_health=lambda port: say(health=port),
    )


if __name__ == "__main__":
    sys.exit(main())
