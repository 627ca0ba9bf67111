"""CloudEvents 1.0 records of the member stage's documents."""

from __future__ import annotations

import msgspec

from agents.runtime.contract import Emit
from domain.times import rfc3339

_encode = msgspec.json.Encoder().encode


class Emission(msgspec.Struct, frozen=True, gc=False):
    """What all documents of one decision share.

    `member` is the member ID, `now` the partition's clock and `received` the receipt of the record that brought the
    decision about (both ms UTC), `since` the first day (ordinal) of which the row holds anything, `source` the
    CloudEvents source.
    """

    member: str
    now: int
    received: int
    since: int | None
    source: str

    def record(
        self, topic: str, key: str, document: msgspec.Struct | None, kind: str, subject: str, revision: int | str
    ) -> Emit:
        """One record with CloudEvents 1.0 binary headers; without a document, a tombstone.

        `subject` names the candidate, watch, transition or archived visit, never a member. The event ID adds the
        revision, so that a consumer can drop a second delivery.
        """
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", f"{subject}/{revision}".encode()),
            ("ce_type", f"handoff.{kind}".encode()),
            ("ce_source", self.source.encode()),
            ("ce_time", rfc3339(self.now).encode()),
            ("ce_subject", subject.encode()),
            ("content-type", b"application/json"),
        )
        return Emit(topic, key.encode(), None if document is None else _encode(document), headers)


class Subject(msgspec.Struct, frozen=True, gc=False):
    """The visit or custody record that transitions are about: its key, facility, packed messages and receipt."""

    key: str
    facility: str
    messages: bytes
    received: int
