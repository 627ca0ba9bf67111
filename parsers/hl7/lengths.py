"""Length limits of values that become keys or are copied into rows and outputs (docs/refusals.md#too-long).

Without them one value could make a key or an output larger than Kafka takes.
"""

from __future__ import annotations

from typing import Final

from domain.errors import Refusal
from domain.identity import MOST_CHARACTERS
from parsers.hl7.encoding import Message
from parsers.hl7.refusals import TOO_LONG

Fields = tuple[tuple[int, tuple[int, ...]], ...]
"""Numbers of fields, each with the components of it that are kept."""
_NUMBER: Final = (1, 4, 5)
"""The components of a CX that are kept: number, assigning authority, type."""
_CODE: Final = (1,)
_MSH: Final[Fields] = ((3, _CODE), (4, _CODE), (10, _CODE))
_KEPT: Final[dict[str, Fields]] = {
    "PID": ((2, _NUMBER), (3, _NUMBER), (4, _NUMBER), (8, _CODE), (18, _NUMBER)),
    "PV1": ((2, _CODE), (4, _CODE), (14, _CODE), (19, _NUMBER), (36, _CODE), (37, _CODE), (50, _NUMBER)),
    "MRG": ((1, _NUMBER), (3, _NUMBER), (4, _NUMBER), (5, _NUMBER), (6, _NUMBER)),
    "DG1": ((3, _CODE),),
}
"""Segment -> (field, components) of which a key, a row or an output has the text. Names are only hashed; facilities:
`parsers.hl7.places.facility_of`."""


def check_lengths(message: Message) -> None:
    """Raises Refusal `too-long` at the first kept value of more than `MOST_CHARACTERS` characters, unescaped."""
    if len(message.lines[0]) > MOST_CHARACTERS:
        header = message.header
        for position, components in _MSH:
            _check(message, "MSH", position, header[position - 1], components)
    for line in message.lines:
        # A line that is not longer has no longer part.
        if len(line) > MOST_CHARACTERS:
            name = line[:3]
            kept = _KEPT.get(name)
            if kept is not None:
                fields = message.fields(line)
                for position, components in kept:
                    if len(fields[position]) > MOST_CHARACTERS:
                        _check(message, name, position, fields[position], components)


def _check(message: Message, segment: str, position: int, value: str, components: tuple[int, ...]) -> None:
    for number, repetition in enumerate(message.repetitions(value), 1):
        parts = message.components(repetition)
        for component in components:
            if component <= len(parts) and any(
                len(message.text(part)) > MOST_CHARACTERS for part in parts[component - 1].split(message.delimiters.sub)
            ):
                raise too_long(segment, position, component, number)


def too_long(segment: str, field: int, component: int = 1, repetition: int = 1) -> Refusal:
    """The refusal of a value at a place, with the limit in its text."""
    where = f"{segment}-{field}.{component}" + (f"[{repetition}]" if repetition > 1 else "")
    return Refusal(TOO_LONG, where, f"longer than {MOST_CHARACTERS} characters")
