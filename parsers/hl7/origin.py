"""Which system a message says that it is from, as a label: MSH-3.1 and MSH-4.1, if they have the shape of such names.

A header that is garbled may hold anything there, so what has another shape is "other": a run of five digits is a number
of a person, a blank may part two names.
"""

from __future__ import annotations

import re
from typing import Final

OTHER: Final = "other"
_NAME: Final = r"(?=[A-Za-z0-9_.-]*[A-Za-z])(?![A-Za-z0-9_.-]*\d{5})[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
_PART: Final = re.compile(_NAME)
ORIGIN: Final = re.compile(rf"({_NAME}|-|{OTHER})/({_NAME}|-|{OTHER})")
"""The shape of a label: `MSH-3/MSH-4`, each a name, `-` (empty) or `other`."""


def origin(app: str, facility: str) -> str:
    """The label of a sending application and facility."""
    return f"{_part(app)}/{_part(facility)}"


def _part(sent: str) -> str:
    if not sent:
        return "-"
    return sent if _PART.fullmatch(sent) else OTHER
