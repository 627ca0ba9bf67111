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
from domain.errors import Refusal
from parsers.records.links import TOPIC as LINKS
from parsers.records.links import decode_link

VISITS = "member.visits.v1"
DERIVED = ("merge", "absorb")
"""Kinds of links that a patient stage says to itself; the others come from the directory and from operators."""


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


def shadow_topic(shadow: str, topic: str) -> str:
    """What a shadow calls its own copy of a topic."""
    return f"shadow.{shadow}.{topic}"


def topics_of_shadow(stage: Stage) -> tuple[str, ...]:
    """Declared names of the topics of which a shadow of `stage` has its own: all that the stage writes."""
    return tuple(dict.fromkeys((*stage.outputs, stage.dead_letters, stage.changelog)))


def shadowed(stage: Stage, shadow: str, names: Mapping[str, str], *, visits: bool) -> Stage:
    """The shadow `shadow` of `stage`: live inputs, nothing live written.

    With `visits` it reads the shadow's visits in place of the live ones. Links are read twice: the directory's and the
    operators' as they are said live, the patient stage's own as this shadow says them. The clock is the live one: a
    shadow says no ticks.
    """
    own = {topic: shadow_topic(shadow, topic) for topic in topics_of_shadow(stage)}
    reads = {**names, VISITS: shadow_topic(shadow, VISITS)} if visits and VISITS in stage.inputs else dict(names)
    live_links = names.get(LINKS, LINKS)

    def ignored(record: Record) -> bool:
        if record.topic != live_links:
            return False
        try:
            return decode_link(record.value or b"").kind in DERIVED
        except Refusal:
            return False

    found = renamed(stage, reads, outputs=own, ignored=ignored)
    return msgspec.structs.replace(found, ticks=False)
