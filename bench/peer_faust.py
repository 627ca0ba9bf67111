"""The ledger's job as a stock Faust application: `python -m bench.peer_faust BOOTSTRAP GROUP FOLDER`.

An agent on the topic, a table for the rows, `topic.send` for what follows: as its documentation has it, at-least-once,
with the settings that its users raise for speed.
"""

from __future__ import annotations

import sys
from typing import Any

import faust
import msgspec

from agents.runtime.contract import Context, Record
from bench import ledger
from bench.stage import PARTITIONS

RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
    "partitions": PARTITIONS,
}


def main(bootstrap: str, group: str, folder: str) -> None:
    app = faust.App(
        group,
        broker=[f"kafka://{address}" for address in bootstrap.split(",")],
        store="memory://",
        datadir=folder,
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        table_standby_replicas=0,
        topic_disable_leader=True,
        web_enabled=False,
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.5,
        producer_linger=5,
        producer_max_batch_size=262_144,
        worker_redirect_stdouts=False,
    )
    facts = app.topic(ledger.FACTS, **RAW)
    topics = {name: app.topic(name, **RAW) for name in (ledger.TRANSITIONS, ledger.CANDIDATES)}
    # Rows in the table's own codec: Faust 0.15.3 writes raw bytes there and cannot read them back.
    rows = app.Table("rows", partitions=PARTITIONS)

    @app.agent(facts)
    async def count(stream: Any) -> None:
        async for key, value in stream.items():
            member = key.decode()
            held = rows.get(member)
            record = Record(ledger.FACTS, 0, 0, key, value, 0, {})
            row, emits = ledger.decide(None if held is None else msgspec.convert(held, ledger.Row), record, Context(0))
            rows[member] = msgspec.to_builtins(row)
            for emit in emits:
                await topics[emit.topic].send(key=emit.key, value=emit.value)

    sys.argv = [sys.argv[0], "worker", "--loglevel", "error", "--without-web"]
    app.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
