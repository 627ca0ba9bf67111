"""`member.visits.v1`: a visit or custody snapshot as JSON, and back (docs/records.md#membervisitsv1).

Instants inside the system are milliseconds UTC; on the topic they are RFC 3339 with California's offset.
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.errors import UNDECODABLE, Refusal
from domain.snapshots import CustodySnapshot, PersonSnapshot, Source, Visit, VisitSnapshot
from domain.times import instant, rfc3339, rfc3339_or_none


class Disposition(msgspec.Struct, frozen=True, gc=False):
    """Where the patient went: the code in the common dialect, its group, and the code as the sender wrote it."""

    code: str
    group: str
    raw: str


class MessageDocument(msgspec.Struct, frozen=True, gc=False):
    """One message that a fact rests on; `at` is its place in the log, topic/partition/offset."""

    sender: str
    control_id: str
    at: str


class VisitDocument(msgspec.Struct, frozen=True, tag_field="record", tag="visit"):
    """A visit on `member.visits.v1`."""

    patient: str
    visit: str
    weak: bool
    member_id: str
    revision: int
    status: str
    patient_class: str = msgspec.field(name="class")
    arrived: str | None
    admitted: str | None
    departed: str | None
    facility: str
    facility_type: str
    admission_type: str
    source: str
    disposition: Disposition
    destination: str
    diagnoses: tuple[str, ...]
    flags: tuple[str, ...]
    how: dict[str, str]
    messages: tuple[MessageDocument, ...]
    received: str
    precision: dict[str, str] = {}
    """Times of which only the day is known: {"departed": "day"}."""


class CustodyDocument(msgspec.Struct, frozen=True, tag_field="record", tag="custody"):
    """A custody record on `member.visits.v1`."""

    patient: str
    record_id: str
    member_id: str
    revision: int
    status: str
    kind: str
    occurred: str | None
    scheduled: str | None
    facility: str
    facility_type: str
    confidence: str
    messages: tuple[MessageDocument, ...]
    received: str


class PersonDocument(msgspec.Struct, frozen=True, tag_field="record", tag="person"):
    """What a source patient's row knows of the person, on `member.visits.v1`; `died` null: withdrawn."""

    patient: str
    member_id: str
    revision: int
    died: str | None
    messages: tuple[MessageDocument, ...]
    received: str


Snapshot = VisitSnapshot | CustodySnapshot | PersonSnapshot
_VISIT_FIELDS: Final = (
    "status",
    "patient_class",
    "facility",
    "facility_type",
    "admission_type",
    "source",
    "destination",
    "diagnoses",
    "flags",
    "how",
    "precision",
)
"""Fields of a visit that its document has as they are."""
_CUSTODY_FIELDS: Final = (
    "patient",
    "record_id",
    "revision",
    "status",
    "kind",
    "facility",
    "facility_type",
    "confidence",
)
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(VisitDocument | CustodyDocument | PersonDocument)


def _at(text: str | None) -> int | None:
    return None if text is None else instant(text)


def _messages(sources: tuple[Source, ...]) -> tuple[MessageDocument, ...]:
    return tuple(MessageDocument(source.sender, source.control_id, source.at) for source in sources)


def _sources(messages: tuple[MessageDocument, ...]) -> tuple[Source, ...]:
    return tuple(Source(message.sender, message.control_id, message.at) for message in messages)


def encode_snapshot(snapshot: Snapshot, member: str) -> bytes:
    """The JSON of a snapshot for `member`."""
    document: VisitDocument | CustodyDocument | PersonDocument
    if isinstance(snapshot, PersonSnapshot):
        document = PersonDocument(
            patient=snapshot.patient,
            member_id=member,
            revision=snapshot.revision,
            died=rfc3339_or_none(snapshot.died),
            messages=_messages(snapshot.messages),
            received=rfc3339(snapshot.received),
        )
    elif isinstance(snapshot, CustodySnapshot):
        document = CustodyDocument(
            member_id=member,
            occurred=rfc3339_or_none(snapshot.occurred),
            scheduled=rfc3339_or_none(snapshot.scheduled),
            messages=_messages(snapshot.messages),
            received=rfc3339(snapshot.received),
            **{name: getattr(snapshot, name) for name in _CUSTODY_FIELDS},
        )
    else:
        visit = snapshot.visit
        document = VisitDocument(
            patient=snapshot.patient,
            visit=snapshot.key,
            weak=snapshot.weak,
            member_id=member,
            revision=snapshot.revision,
            arrived=rfc3339_or_none(visit.arrived),
            admitted=rfc3339_or_none(visit.admitted),
            departed=rfc3339_or_none(visit.departed),
            disposition=Disposition(visit.disposition, visit.disposition_group, visit.disposition),
            messages=_messages(visit.messages),
            received=rfc3339(snapshot.received),
            **{name: getattr(visit, name) for name in _VISIT_FIELDS},
        )
    return _ENCODER.encode(document)


def decode_snapshot(value: bytes) -> tuple[str, Snapshot]:
    """(member, snapshot) of one record's value. Raises Refusal("bad-snapshot") when it is neither kind."""
    try:
        document = _DECODER.decode(value)
        return document.member_id, _snapshot(document)
    except (*UNDECODABLE, ValueError) as error:
        raise Refusal("bad-snapshot") from error


def _snapshot(document: VisitDocument | CustodyDocument | PersonDocument) -> Snapshot:
    if isinstance(document, PersonDocument):
        sources, received = _sources(document.messages), instant(document.received)
        return PersonSnapshot(document.patient, document.revision, received, _at(document.died), sources)
    return _custody(document) if isinstance(document, CustodyDocument) else _visit(document)


def _custody(document: CustodyDocument) -> CustodySnapshot:
    return CustodySnapshot(
        received=instant(document.received),
        occurred=_at(document.occurred),
        scheduled=_at(document.scheduled),
        messages=_sources(document.messages),
        **{name: getattr(document, name) for name in _CUSTODY_FIELDS},
    )


def _visit(document: VisitDocument) -> VisitSnapshot:
    visit = Visit(
        arrived=_at(document.arrived),
        admitted=_at(document.admitted),
        departed=_at(document.departed),
        disposition=document.disposition.code,
        disposition_group=document.disposition.group,
        messages=_sources(document.messages),
        **{name: getattr(document, name) for name in _VISIT_FIELDS},
    )
    received = instant(document.received)
    return VisitSnapshot(document.patient, document.visit, document.revision, received, visit, document.weak)
