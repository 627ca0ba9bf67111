"""`ecm.dispositions.v1`: care management's response to a candidate, as JSON (docs/records.md#ecmdispositionsv1)."""

from __future__ import annotations

import msgspec

from domain.errors import UNDECODABLE, Refusal
from domain.member.eligibility import ANSWERS
from domain.member.row import CareResponse
from domain.times import instant


class DispositionRow(msgspec.Struct, frozen=True, gc=False):
    """A response to a candidate.

    `status`: received, accepted, outreach, enrolled, declined, unreachable, not_eligible, closed. `time` is RFC 3339.
    """

    candidate_id: str
    status: str
    time: str
    actor: str | None = None
    reason: str | None = None


_decode = msgspec.json.Decoder(DispositionRow).decode


def read_disposition(value: bytes) -> tuple[str, CareResponse]:
    """(candidate ID, response). Raises Refusal("bad-disposition") with the field that is wrong."""
    try:
        row = _decode(value)
    except UNDECODABLE as error:
        raise Refusal("bad-disposition") from error
    if row.status not in ANSWERS:
        raise Refusal("bad-disposition", "status")
    try:
        at = instant(row.time)
    except (ValueError, OverflowError):
        raise Refusal("bad-disposition", "time") from None
    return row.candidate_id, CareResponse(at, row.status, row.actor or "", row.reason or "")
