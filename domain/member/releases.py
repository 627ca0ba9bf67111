"""Releases from custody, by custody records and by visits, and the spans they open (docs/semantics.md#releases)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.discharge import NOT_RELEASED
from domain.member.ages import Ages
from domain.member.counting import Ledger
from domain.member.custody import RELEASED
from domain.member.spans import Span
from domain.member.visits import CUSTODY, FROM_COURT, OTHER, YOUTH_FACILITY
from domain.rules.rulebook import Rulebook
from domain.rules.ruleset import YOUTH, Criterion
from domain.snapshots import RosterFacts
from domain.times import HOUR, day_start, leaves_window, local_day

SURE: Final = frozenset({"confirmed", "high"})
"""Confidences of a release that need no review by a person."""
RELEASE: Final = "custody"
_NEAR: Final = 72 * HOUR


class Release(msgspec.Struct, frozen=True, gc=False):
    """The member left custody at `at` (ms UTC).

    `key` is that of the custody record or visit; `fingerprint` a digest of what evidence shows of it.
    """

    at: int
    key: str
    confidence: str
    facility: str
    facility_type: str
    messages: bytes
    fingerprint: bytes
    received: int


def custody_key(record_id: str) -> str:
    """The key of a custody record where it stands beside keys of visits."""
    return f"custody:{record_id}"


def releases(ledger: Ledger) -> list[Release]:
    """All releases in order of (time, key): the events of custody records, and what visits alone hint at.

    A visit brought by court or law enforcement that ends at home is no release of its own near one that is known.
    """
    found = [
        Release(
            r.at,
            custody_key(r.record_id),
            r.confidence,
            r.facility,
            r.facility_type,
            r.messages,
            r.fingerprint,
            r.received,
        )
        for r in ledger.custody.events(RELEASED)
    ]
    known = [release.at for release in found]
    for index, visit in enumerate(ledger.visits):
        if visit.category != CUSTODY and not visit.flags & FROM_COURT:
            continue
        if visit.departed is None or not visit.asserted or index in ledger.duplicates:
            continue
        if visit.category == CUSTODY:
            if visit.disposition_group in NOT_RELEASED:
                continue
            confidence, kind = "high", "youth-facility" if visit.flags & YOUTH_FACILITY else "jail"
        elif visit.disposition_group == "HOME" and visit.category != OTHER:
            if any(abs(at - visit.departed) <= _NEAR for at in known):
                continue
            confidence, kind = "medium", ""
        else:
            continue
        found.append(
            Release(
                visit.departed,
                visit.visit,
                confidence,
                visit.facility,
                kind,
                visit.messages,
                visit.fingerprint,
                visit.received,
            )
        )
    if len(found) > 1:
        found.sort(key=lambda release: (release.at, release.key))
    return found


def entitled(found: Sequence[Release], criterion: Criterion, roster: RosterFacts, ages: Ages | None) -> list[Release]:
    """The releases that a criterion counts: from its facility types and, for a youth rule, before the 21st birthday, or
    with a foster aid code from the 18th to the 26th.

    An adult rule counts earlier releases too: its spans begin with the 21st birthday.
    """
    types = criterion.facility_types
    chosen = [release for release in found if not types or release.facility_type in types]
    if criterion.age != YOUTH or ages is None:
        return chosen
    foster = any(code in roster.aid_codes for code in criterion.foster_aid_codes)
    return [r for r in chosen if r.at < ages.adult or (foster and ages.eighteen <= r.at < ages.foster_end)]


def release_spans(found: Sequence[Release], criterion: Criterion, ledger: Ledger, book: Rulebook) -> list[Span]:
    """The span of each release: from it, or from the first visit with a required condition, to the end of its months.

    A condition known before the release counts; one that is first recorded after the window has ended does not.
    """
    wanted = book.bits_of(criterion.conditions)
    known_from = first_shown(ledger, wanted, book) if wanted else 0
    if known_from is None:
        return []
    spans = []
    for release in found:
        end = day_start(leaves_window(local_day(release.at), criterion.months))
        start = max(release.at, known_from)
        if start < end:
            spans.append(Span(start, end, release.key, release.at, RELEASE))
    return spans


def first_shown(ledger: Ledger, wanted: int, book: Rulebook) -> int | None:
    """The start (ms UTC) of the first visit with a diagnosis in one of the value sets `wanted` (bits), or None."""
    for visit in ledger.visits:
        if visit.asserted and visit.diagnoses and book.conditions(visit.diagnoses, visit.day) & wanted:
            return visit.start
    return None
