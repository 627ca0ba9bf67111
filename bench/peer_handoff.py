"""The ledger's job on our engine: `python -m bench.peer_handoff BOOTSTRAP GROUP FOLDER`."""

from __future__ import annotations

import sys

import structlog

from bench import ledger
from streams.engine.options import EngineOptions
from streams.kafka.settings import KafkaSettings
from streams.worker import run_worker


def main(bootstrap: str, group: str, _folder: str) -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    options = EngineOptions(tick_every=None)
    return run_worker(ledger.ledger_stage(), KafkaSettings(bootstrap=bootstrap), slot=0, app_id=group, options=options)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
