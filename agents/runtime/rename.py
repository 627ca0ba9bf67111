"""The same decisions over topics of other names: for a shadow beside the live system, and for topics that were moved to
a new version.

Decisions know topics by their declared names. A renamed stage reads and writes others; records reach its decisions
under the declared name and keep the real one for coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from agents.runtime.contract import Context, Emit, Record, Stage


def renamed(
    stage: Stage,
    names: Mapping[str, str],
    *,
    outputs: Mapping[str, str] | None = None,
    ignored: Callable[[Record], bool] | None = None,
) -> Stage:
    """`stage` over the topics that `names` gives for declared ones (a name that is not there stays).

    `outputs` gives the names to write to where they differ from those to read; a topic that the stage both reads and
    writes is then read under both. A record of which `ignored` (called with its real name as `topic`) is true changes
    nothing.
    """
    writes = {**names, **(outputs or {})}
    reads = {names.get(topic, topic): topic for topic in stage.inputs}
    reads |= {writes[topic]: topic for topic in stage.inputs if topic in stage.outputs and topic in writes}
    if all(actual == topic for actual, topic in reads.items()) and not writes:
        return stage
    decide, row_key, lookups = stage.decide, stage.row_key, stage.lookups

    def known(record: Record) -> Record:
        topic = reads.get(record.topic, record.topic)
        return msgspec.structs.replace(record, topic=topic, stored=record.topic)

    def decide_known(row: Any, record: Record, context: Context) -> tuple[Any, list[Emit]]:
        if ignored is not None and ignored(record):
            return row, []
        row, emits = decide(row, known(record), context)
        return row, [msgspec.structs.replace(emit, topic=writes.get(emit.topic, emit.topic)) for emit in emits]

    def ask_known(record: Record) -> Iterable[str]:
        return lookups(known(record))

    def key_known(record: Record) -> str:
        return row_key(known(record))

    return msgspec.structs.replace(
        stage,
        inputs=tuple(reads),
        changelog=writes.get(stage.changelog, stage.changelog),
        outputs=tuple(writes.get(topic, topic) for topic in stage.outputs),
        dead_letters=writes.get(stage.dead_letters, stage.dead_letters),
        row_key=key_known,
        decide=decide_known,
        lookups=ask_known,
        clock=names.get(stage.clock, stage.clock),
    )
