"""A shadow of a stage: live inputs, topics of its own for all that it writes (docs/operations.md)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agents.runtime.contract import Record, Stage
from agents.runtime.rename import renamed
from agents.topics import LINKS, VISITS
from domain.errors import Refusal
from parsers.records.links import decode_link

DERIVED = ("merge", "partner", "move", "group", "absorb")
"""Kinds of links that the patient stage emits to itself; the others come from the directory and from operators."""


def shadow_topic(shadow: str, topic: str) -> str:
    """The name of a shadow's own copy of a topic."""
    return f"shadow.{shadow}.{topic}"


def topics_of_shadow(stage: Stage) -> tuple[str, ...]:
    """Declared names of the topics that a shadow of `stage` has copies of: all that the stage writes."""
    return tuple(dict.fromkeys((*stage.outputs, stage.dead_letters, stage.changelog)))


def shadowed(stage: Stage, shadow: str, names: Mapping[str, str], *, visits: bool) -> Stage:
    """The shadow `shadow` of `stage`: it reads live inputs and writes to its own topics only.

    `names` maps declared to real names of topics. With `visits` it reads the shadow's visits in place of the live ones.
    Links come from two topics: those of the directory and of operators from the live one, those of the patient stage
    from the shadow's. The clock is the live one: a shadow produces no ticks. Nor does it write again what other systems
    wrote to the wrong partition: the live stage does, and the shadow reads that.
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
    return msgspec.structs.replace(found, ticks=False, forwards=False)
