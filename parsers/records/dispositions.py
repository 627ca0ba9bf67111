"""Read roster rows and answers of care management for the member stage.

Both are JSON (docs/records.md#membersrosterv1, docs/records.md#ecmdispositionsv1). Names, addresses and identifiers are
skipped: the member stage does not use them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from domain.errors import UNDECODABLE, Refusal
from domain.member.eligibility import ANSWERS
from domain.member.row import CareResponse
from domain.snapshots import EcmStatus, Program, RosterFacts
from domain.times import day_of, instant


class ProgramRow(msgspec.Struct, frozen=True, gc=False, rename={"start": "from", "end": "to"}):
    """A programme of a roster row; days, both included."""

    id: str
    start: str | None = None
    end: str | None = None
    verified: bool = True


class EcmRow(msgspec.Struct, frozen=True, gc=False, rename={"start": "from", "end": "to"}):
    """The ECM enrolment of a roster row."""

    status: str
    start: str | None = None
    end: str | None = None
    provider: str | None = None


class RosterRow(msgspec.Struct, frozen=True, gc=False):
    """The part of a roster row that candidates depend on."""

    birth_date: str | None = None
    plan: str | None = None
    county: str | None = None
    enrolled_from: str | None = None
    enrolled_to: str | None = None
    aid_codes: tuple[str, ...] | None = None
    programmes: tuple[ProgramRow, ...] | None = None
    ecm: EcmRow | None = None
    delegate: str | None = None


class DispositionRow(msgspec.Struct, frozen=True, gc=False):
    """An answer to a candidate: received, accepted, outreach, enrolled, declined, unreachable, not_eligible, closed."""

    candidate_id: str
    status: str
    time: str
    actor: str | None = None
    reason: str | None = None


_ROSTER: Final = msgspec.json.Decoder(RosterRow)
_DISPOSITION: Final = msgspec.json.Decoder(DispositionRow)


def read_roster(value: bytes) -> RosterFacts:
    """The facts of a roster row. Raises Refusal("bad-roster") with the field that is wrong."""
    try:
        row = _ROSTER.decode(value)
    except UNDECODABLE as error:
        raise Refusal("bad-roster") from error
    days = [("birth_date", row.birth_date), ("enrolled_from", row.enrolled_from), ("enrolled_to", row.enrolled_to)]
    for programme in row.programmes or ():
        days += [("programmes.from", programme.start), ("programmes.to", programme.end)]
    if row.ecm is not None:
        days += [("ecm.from", row.ecm.start), ("ecm.to", row.ecm.end)]
    for place, text in days:
        if text is not None and not _is_day(text):
            raise Refusal("bad-roster", place)
    return RosterFacts(
        birth_date=row.birth_date,
        plan=row.plan or "",
        county=row.county or "",
        enrolled_from=row.enrolled_from,
        enrolled_to=row.enrolled_to,
        aid_codes=row.aid_codes or (),
        programmes=tuple(Program(p.id, p.start, p.end, p.verified) for p in row.programmes or ()),
        ecm=None if row.ecm is None else EcmStatus(row.ecm.status, row.ecm.start, row.ecm.end, row.ecm.provider or ""),
        delegate=row.delegate or "",
    )


def read_disposition(value: bytes) -> tuple[str, CareResponse]:
    """(candidate ID, answer). Raises Refusal("bad-disposition") with the field that is wrong."""
    try:
        row = _DISPOSITION.decode(value)
    except UNDECODABLE as error:
        raise Refusal("bad-disposition") from error
    if row.status not in ANSWERS:
        raise Refusal("bad-disposition", "status")
    try:
        at = instant(row.time)
    except (ValueError, OverflowError):
        raise Refusal("bad-disposition", "time") from None
    return row.candidate_id, CareResponse(at, row.status, row.actor or "", row.reason or "")


def _is_day(text: str) -> bool:
    try:
        # Leave room for the windows that are counted from a day.
        return day_of("1800-01-01") <= day_of(text) <= day_of("9000-01-01")
    except ValueError:
        return False
