"""The ledger's job as a Quix Streams application: `python -m bench.peer_quix BOOTSTRAP GROUP FOLDER`.

Runs in `.venv-peers`. Exactly-once, rows in its own store with a changelog, a commit every 0.3 s: short, for latency
and so that a kill costs little, and long enough for its best rate.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from quixstreams import Application, State

from agents.runtime.contract import Context, Record
from bench import ledger

_decode = msgspec.msgpack.Decoder(ledger.Row).decode
_encode = msgspec.msgpack.Encoder().encode


def step(value: bytes, state: State) -> list[tuple[str, bytes]]:
    """One fact: the row, and what is to be sent where."""
    held = state.get_bytes("row")
    record = Record(ledger.FACTS, 0, 0, None, value, 0, {})
    row, emits = ledger.decide(None if held is None else _decode(held), record, Context(0))
    state.set_bytes("row", _encode(row))
    return [(emit.topic, emit.value or b"") for emit in emits]


def main(bootstrap: str, group: str, folder: str) -> None:
    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=0.3,
        state_dir=folder,
        consumer_poll_timeout=0.1,
        consumer_extra_config={"session.timeout.ms": 10_000, "group.instance.id": f"{group}.0"},
        producer_extra_config={"partitioner": "murmur2_random", "compression.type": "lz4", "linger.ms": 5},
        loglevel="WARNING",
    )
    raw: dict[str, Any] = {"key_serializer": "bytes", "value_serializer": "bytes"}
    facts = app.dataframe(app.topic(ledger.FACTS, key_deserializer="bytes", value_deserializer="bytes"))
    said = facts.apply(step, stateful=True, expand=True)
    for name in (ledger.TRANSITIONS, ledger.CANDIDATES):
        chosen = said.filter(lambda each, name=name: each[0] == name).apply(lambda each: each[1])
        chosen.to_topic(app.topic(name, **raw))
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
