"""CloudEvents 1.0 records of the member stage's documents."""

from __future__ import annotations

import msgspec

from agents.runtime.contract import Emit
from domain.times import rfc3339

_encode = msgspec.json.Encoder().encode


def cloud_event(
    topic: str, key: str, document: msgspec.Struct | None, kind: str, subject: str, event_id: str, source: str, now: int
) -> Emit:
    """One record with CloudEvents 1.0 binary headers; without a document, a tombstone.

    `subject` names the candidate, watch, transition or archived visit, never a member; `event_id` adds its revision, so
    that a second delivery is known as one.
    """
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", event_id.encode()),
        ("ce_type", f"handoff.{kind}".encode()),
        ("ce_source", source.encode()),
        ("ce_time", rfc3339(now).encode()),
        ("ce_subject", subject.encode()),
        ("content-type", b"application/json"),
    )
    return Emit(topic, key.encode(), None if document is None else _encode(document), headers)
