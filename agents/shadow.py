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
"""Kinds of links that a patient stage says to itself; the others come from the directory and from operators."""


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
