"""Run a stage over topics of other names: for a shadow beside the live system, and for topics moved to a new version.

Decisions use the declared names of topics (`agents.topics`). A renamed stage maps each record to its declared name
before the decision, keeping the real one for coordinates, and each emit to its real name after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from agents.runtime.contract import Context, Doubtful, Emit, Record, Stage


def renamed(
    stage: Stage,
    names: Mapping[str, str],
    *,
    outputs: Mapping[str, str] | None = None,
    ignored: Callable[[Record], bool] | None = None,
) -> Stage:
    """`stage` over other topics: `names` maps declared to real names; a topic that is not in it keeps its name.

    `outputs` maps to the names to write to where they differ from those to read; a topic that the stage both reads and
    writes is then read under both. A record for which `ignored` (called with its real name as `topic`) is true changes
    nothing.
    """
    writes = {**names, **(outputs or {})}
    reads = {names.get(topic, topic): topic for topic in stage.inputs}
    reads |= {writes[topic]: topic for topic in stage.inputs if topic in stage.outputs and topic in writes}
    if all(actual == topic for actual, topic in reads.items()) and not writes:
        return stage
    decide, row_key, lookups = stage.decide, stage.row_key, stage.lookups

    def declared(record: Record) -> Record:
        topic = reads.get(record.topic, record.topic)
        return msgspec.structs.replace(record, topic=topic, stored=record.topic)

    def decide_declared(row: Any, record: Record, context: Context) -> tuple[Any, list[Emit]]:
        if ignored is not None and ignored(record):
            return row, []
        try:
            row, emits = decide(row, declared(record), context)
        except Doubtful as doubt:
            raise Doubtful(doubt.code, doubt.place, doubt.row, written(doubt.emits)) from None
        return row, written(emits)

    def written(emits: Iterable[Emit]) -> list[Emit]:
        return [msgspec.structs.replace(emit, topic=writes.get(emit.topic, emit.topic)) for emit in emits]

    def lookups_declared(record: Record) -> Iterable[str]:
        return lookups(declared(record))

    def row_key_declared(record: Record) -> str:
        return row_key(declared(record))

    return msgspec.structs.replace(
        stage,
        inputs=tuple(reads),
        changelog=writes.get(stage.changelog, stage.changelog),
        outputs=tuple(writes.get(topic, topic) for topic in stage.outputs),
        dead_letters=writes.get(stage.dead_letters, stage.dead_letters),
        row_key=row_key_declared,
        decide=decide_declared,
        lookups=lookups_declared,
        clock=names.get(stage.clock, stage.clock),
        foreign=tuple(names.get(topic, topic) for topic in stage.foreign),
    )
