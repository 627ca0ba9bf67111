"""Values of `adt.unattributed.v1`, as JSON."""

from __future__ import annotations

from typing import Final

import msgspec

UNAVAILABLE: Final = "directory-unavailable"
"""No evidence names a member, and the directory did not answer."""
UNCHECKED: Final = "unchecked"
"""The patient has the member of its CIN, which the directory did not answer for: the CIN is not compared yet."""
OPEN_QUESTIONS: Final = frozenset({UNAVAILABLE, UNCHECKED})
"""Reasons that the directory takes as a question: it answers each, also when it knows nobody."""


class Unattributed(msgspec.Struct, frozen=True):
    """A source patient without a member, or with an unchecked one (docs/records.md#adtunattributedv1).

    `since` is ms UTC; no demographics.
    """

    patient: str
    identifiers: tuple[str, ...]
    reason: str
    since: int
