"""Values of `members.roster.v1`, as JSON (docs/records.md#membersrosterv1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from domain.errors import UNDECODABLE
from domain.identity import patient_key
from domain.snapshots import EcmStatus, Enrollment, Program, RosterFacts

OPEN_END: Final = "9999-12-31"


class NumberDocument(msgspec.Struct, frozen=True, gc=False):
    """A hospital's number for the member."""

    authority: str
    number: str


class ProgramDocument(msgspec.Struct, frozen=True, gc=False):
    """A program of the member; days, both included, null: open."""

    id: str
    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    verified: bool = True


class EcmDocument(msgspec.Struct, frozen=True, gc=False):
    """The member's ECM enrollment as the plan states it; days, both included."""

    status: str
    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    provider: str = ""


class SpanDocument(msgspec.Struct, frozen=True, gc=False):
    """One span of enrollment; days, both included, null: open."""

    plan: str = ""
    county: str = ""
    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    delegate: str | None = None

    @property
    def order(self) -> tuple[str, str]:
        """Spans in time: an open start is before all days, an open end after all."""
        return self.start or "", self.end or OPEN_END


class RosterDocument(msgspec.Struct, frozen=True, gc=False):
    """One record of `members.roster.v1`, keyed by `member_id`. Days are YYYY-MM-DD.

    `enrolment` has all spans in the order of time. `plan`, `county`, `enrolled_from`, `enrolled_to` and `delegate` are
    those of the last one; a record without `enrolment` (of earlier versions) has this one span.
    """

    member_id: str
    birth_date: str
    cin: str | None = None
    plan: str = ""
    county: str = ""
    enrolled_from: str | None = None
    enrolled_to: str | None = None
    identifiers: tuple[NumberDocument, ...] = ()
    aid_codes: tuple[str, ...] = ()
    name: str = ""
    sex: str = ""
    zip: str = ""
    phone: str = ""
    programmes: tuple[ProgramDocument, ...] = ()
    ecm: EcmDocument | None = None
    delegate: str | None = None
    enrolment: tuple[SpanDocument, ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """The identifiers as patient keys, `authority|number`."""
        return tuple(patient_key(each.authority, each.number) for each in self.identifiers)


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(RosterDocument)


def with_spans(document: RosterDocument, spans: Iterable[SpanDocument]) -> RosterDocument:
    """The document with these spans of enrollment, at least one."""
    ordered = tuple(sorted(spans, key=lambda span: span.order))
    last = ordered[-1]
    return msgspec.structs.replace(
        document,
        plan=last.plan,
        county=last.county,
        enrolled_from=last.start,
        enrolled_to=last.end,
        delegate=last.delegate,
        enrolment=ordered,
    )


def span_of(document: RosterDocument) -> SpanDocument:
    """The span that `plan`, `county`, `enrolled_from`, `enrolled_to` and `delegate` state."""
    return SpanDocument(document.plan, document.county, document.enrolled_from, document.enrolled_to, document.delegate)


def same_roster(value: bytes, document: RosterDocument) -> bool:
    """Whether a stored record states what `document` states; one of an earlier version may be written otherwise."""
    if value == encode_roster(document):
        return True
    try:
        stored = _DECODER.decode(value)
    except UNDECODABLE:
        return False
    return with_spans(stored, stored.enrolment or (span_of(stored),)) == document


def encode_roster(document: RosterDocument) -> bytes:
    """The JSON of a roster document."""
    return _ENCODER.encode(document)


def facts_of(document: RosterDocument) -> RosterFacts:
    """The facts of a document that the member stage uses."""
    ecm = document.ecm
    return RosterFacts(
        birth_date=document.birth_date,
        plan=document.plan,
        county=document.county,
        enrolled_from=document.enrolled_from,
        enrolled_to=document.enrolled_to,
        aid_codes=document.aid_codes,
        programmes=tuple(Program(each.id, each.start, each.end, each.verified) for each in document.programmes),
        ecm=None if ecm is None else EcmStatus(ecm.status, ecm.start, ecm.end, ecm.provider),
        delegate=document.delegate or "",
        enrolment=_line(document.enrolment),
    )


def _line(spans: tuple[SpanDocument, ...]) -> tuple[Enrollment, ...]:
    """Several spans; none where the fields of the one span say it all."""
    if len(spans) < 2:
        return ()
    return tuple(Enrollment(each.plan, each.county, each.start, each.end, each.delegate or "") for each in spans)
