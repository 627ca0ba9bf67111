"""Answers of care management to candidates: JSON, see docs/records.md#ecmdispositionsv1."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.errors import UNDECODABLE, Refusal
from domain.member.eligibility import ANSWERS
from domain.member.row import CareResponse
from domain.times import instant


class DispositionRow(msgspec.Struct, frozen=True, gc=False):
    """An answer to a candidate: received, accepted, outreach, enrolled, declined, unreachable, not_eligible, closed."""

    candidate_id: str
    status: str
    time: str
    actor: str | None = None
    reason: str | None = None


_DISPOSITION: Final = msgspec.json.Decoder(DispositionRow)


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
