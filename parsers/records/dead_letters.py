"""Records of `adt.dead-letters.v1`: a record that was not taken, as it came, with the reason (docs/records.md)."""

from __future__ import annotations

from typing import Final

LIMIT: Final = 900_000
"""Bytes that one record may take: Kafka's default limit of about a megabyte, less keys and headers."""
OVERSIZE: Final = "oversize"
"""The record is longer than a topic takes, or than the gateway accepts."""
INTERNAL_ERROR: Final = "internal-error"
"""A bug stopped the reading or the decision of the record; it can be driven again once the bug is fixed."""

Headers = tuple[tuple[str, bytes], ...]


def dead_letter(
    value: bytes | None, *, code: str, place: str, stage: str, kept: Headers, source: str = ""
) -> tuple[bytes | None, Headers]:
    """(value, headers) of a dead letter.

    `code` and `place` name the fault, never its content; `kept` are headers of the record that go along; `source` is
    the record's coordinates. A value over the limit is cut, and `cut-from` gives its size: the source has it whole.
    """
    headers = [("code", code.encode()), ("place", place.encode()), ("stage", stage.encode()), *kept]
    if source:
        headers.append(("source", source.encode()))
    if value is not None and len(value) > LIMIT:
        headers.append(("cut-from", str(len(value)).encode()))
        value = value[:LIMIT]
    return value, tuple(headers)
