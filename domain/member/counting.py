"""Which visits count, and why the others do not: one reason each (docs/semantics.md#counting).

The reasons here do not depend on a window: `outside_window` and the day on which an open nursing-facility stay stops
being short-term are answered for a window by `reason_in`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from domain.member.custody import CustodyLedger, read_custody
from domain.member.dedup import join_duplicates
from domain.member.episodes import admitted_from, continues_stay, nursing_episodes
from domain.member.visits import (
    BECAME_INPATIENT as THROUGH_ED,
)
from domain.member.visits import (
    ED,
    ELECTIVE,
    EMERGENT,
    LABOR,
    LONG_TERM,
    NEWBORN,
    OBSERVATION,
    PLANNED_READMISSION,
    SNF,
    STAY,
    MemberCustody,
    MemberVisit,
)
from domain.rules.rulebook import Rulebook
from domain.times import DAY, local_day

COUNTED: Final = "counted"
CANCELLED: Final = "cancelled"
PLANNED: Final = "planned"
BECAME_INPATIENT: Final = "became_inpatient"
SAME_DAY: Final = "same_day"
TRANSFER: Final = "transfer_continuation"
IN_OBSERVATION: Final = "observation"
NEWBORN_STAY: Final = "newborn"
DELIVERY: Final = "delivery"
DUPLICATE: Final = "duplicate_feed"
HEARSAY: Final = "hearsay"
OUTSIDE: Final = "outside_window"
NOT_SHORT_TERM: Final = "not_short_term"
CONTINUES: Final = "continues"
REASONS: Final = (
    COUNTED, CANCELLED, PLANNED, BECAME_INPATIENT, SAME_DAY, TRANSFER, IN_OBSERVATION, NEWBORN_STAY, DELIVERY,
    DUPLICATE, HEARSAY, OUTSIDE, NOT_SHORT_TERM, CONTINUES,
)  # fmt: skip

TRANSFERRED: Final = 1
READMITTED: Final = 2
JOINED: Final = 4
"""A nursing-facility stay that continues another, or an ED visit that became a stay: the other tells the moves."""
_LINK_DAYS: Final = 5
"""No setting joins an ED visit with a stay that begins so many days after its end."""
EVER: Final = 4_000_000
"""A day (ordinal) after all others."""
_REASON_OF_STATUS: Final = {"cancelled": CANCELLED, "expected": PLANNED}


class Counted(msgspec.Struct, frozen=True, gc=False):
    """One visit that counts: from instant `start` on day `day`, until day `until` begins (long NF stays; else EVER)."""

    start: int
    day: int
    category: str
    index: int
    until: int


class Ledger(msgspec.Struct, frozen=True, gc=False):
    """A member's visits, read. `visits` and `reasons` run in parallel; `reasons` is "" where counting has no say."""

    visits: list[MemberVisit]
    reasons: list[str]
    counted: list[Counted]
    duplicates: dict[int, int]
    links: dict[int, int]
    """Stays that continue (TRANSFERRED) or follow within 30 days (READMITTED) an earlier acute stay; visits that are
    part of another (JOINED)."""
    death: int
    """The position of the visit that ended with the member's death, or -1."""
    custody: CustodyLedger
    deliveries: frozenset[int] = frozenset()
    wholes: frozenset[int] = frozenset()
    """Nursing-facility stays that have the end of a whole episode."""


class _Scan:
    """What reading the visits in order has to remember."""

    def __init__(self, visits: list[MemberVisit], duplicates: dict[int, int], book: Rulebook) -> None:
        self.visits, self.duplicates, self.book = visits, duplicates, book
        self.settings = book.settings
        self.became: set[int] = set()
        """ED visits that became a stay."""
        self.through_ed: set[int] = set()
        """Stays that an ED visit became."""
        by_category: dict[str, list[int]] = {ED: [], STAY: [], SNF: []}
        for index, visit in enumerate(visits):
            places = by_category.get(visit.category)
            if places is not None and visit.asserted and index not in duplicates:
                places.append(index)
        if by_category[ED] and by_category[STAY]:
            self._pair_ed_visits(by_category[ED], by_category[STAY])
        self.nursing = nursing_episodes(visits, by_category[SNF], self.settings)
        self.ends = _episode_ends(visits, self.nursing)
        self.ed_days: set[int] = set()
        self.last: MemberVisit | None = None
        """The earlier stay that ended last."""
        self.planned_until = -EVER
        self.links: dict[int, int] = {}
        self.until = EVER
        """The day from which the visit at hand counts no longer."""
        self.death = -1
        self.deliveries: list[int] = []

    def _pair_ed_visits(self, attendances: Sequence[int], stays: Sequence[int]) -> None:
        starts = [self.visits[stay].start for stay in stays]
        for index in attendances:
            visit = self.visits[index]
            # Only stays that begin at or after the visit's start, and not long after its end, can be its own.
            latest = (visit.start if visit.departed is None else visit.departed) + _LINK_DAYS * DAY
            for stay in stays[bisect_left(starts, visit.start) : bisect_right(starts, latest)]:
                if admitted_from(visit, self.visits[stay], self.settings):
                    self.became.add(index)
                    self.through_ed.add(stay)


def read_ledger(held: Sequence[MemberVisit], book: Rulebook, custody: Sequence[MemberCustody] = ()) -> Ledger:
    """Give each visit its reason: the first function that has one. `held` and `custody` are in row order."""
    visits, duplicates = join_duplicates(held, book.settings.stitch_minutes)
    scan = _Scan(visits, duplicates, book)
    reasons: list[str] = []
    counted: list[Counted] = []
    for index, visit in enumerate(visits):
        scan.until = EVER
        reason = _reason(scan, index, visit)
        reasons.append(reason)
        if reason == COUNTED:
            counted.append(Counted(visit.start, visit.day, visit.category, index, scan.until))
    for first, (ended, last) in scan.ends.items():
        group = visits[last].disposition_group
        visits[first] = msgspec.structs.replace(visits[first], departed=ended, disposition_group=group)
    events = read_custody(custody, book.settings.custody_join_hours)
    return Ledger(
        visits,
        reasons,
        counted,
        duplicates,
        scan.links,
        scan.death,
        events,
        frozenset(scan.deliveries),
        frozenset(scan.ends),
    )


def reason_in(reason: str, day: int, until: int, first: int, last: int) -> str:
    """A visit's reason as seen from the window of days [first, last], from its reason without one."""
    if reason != COUNTED:
        return reason
    if day < first:
        return OUTSIDE
    return NOT_SHORT_TERM if last >= until else COUNTED


def _reason(scan: _Scan, index: int, visit: MemberVisit) -> str:
    if not visit.asserted or not visit.day:
        return _REASON_OF_STATUS.get(visit.status, HEARSAY)
    if index in scan.duplicates:
        return DUPLICATE
    if scan.death < 0 and visit.disposition_group == "EXPIRED":
        scan.death = index
    read = _BY_CATEGORY.get(visit.category)
    return "" if read is None else read(scan, index, visit)


def _of_ed(scan: _Scan, index: int, visit: MemberVisit) -> str:
    if index in scan.became:
        scan.links[index] = JOINED
        return BECAME_INPATIENT
    if visit.day in scan.ed_days:
        return SAME_DAY
    scan.ed_days.add(visit.day)
    return COUNTED


def _of_stay(scan: _Scan, index: int, visit: MemberVisit) -> str:
    before, settings = scan.last, scan.settings
    continued = before is not None and continues_stay(before, visit, settings)
    reason = _stay_reason(scan, index, visit, continued)
    if continued:
        scan.links[index] = TRANSFERRED
    elif (
        reason == COUNTED
        and before is not None
        and before.departed is not None
        and visit.day - local_day(before.departed) <= settings.readmission_days
    ):
        scan.links[index] = READMITTED
    if visit.departed is not None:
        if before is None or before.departed is None or visit.departed >= before.departed:
            scan.last = visit
        if visit.flags & PLANNED_READMISSION:
            out = local_day(visit.departed) + settings.readmission_days
            scan.planned_until = max(scan.planned_until, out)
    return reason


def _stay_reason(scan: _Scan, index: int, visit: MemberVisit, continued: bool) -> str:
    book, flags = scan.book, visit.flags
    conditions = book.conditions(visit.diagnoses, visit.day) if visit.diagnoses else 0
    if flags & NEWBORN or conditions & book.newborn:
        return NEWBORN_STAY
    if flags & LABOR or conditions & book.delivery:
        scan.deliveries.append(index)
        if not scan.settings.count_deliveries:
            return DELIVERY
    if continued:
        return TRANSFER
    if _is_planned(scan, index, visit):
        return PLANNED
    return COUNTED


def _is_planned(scan: _Scan, index: int, visit: MemberVisit) -> bool:
    """Of elective type and not through an ED; or announced by a planned-readmission status (81-95) and no emergency."""
    announced = visit.day <= scan.planned_until and not visit.flags & EMERGENT
    through_ed = visit.flags & THROUGH_ED or index in scan.through_ed
    return not through_ed and (announced or bool(visit.flags & ELECTIVE))


def _of_nursing(scan: _Scan, index: int, visit: MemberVisit) -> str:
    if index in scan.nursing:
        scan.links[index] = JOINED
        return CONTINUES
    if visit.flags & LONG_TERM:
        return NOT_SHORT_TERM
    departed = scan.ends[index][0] if index in scan.ends else visit.departed
    short = scan.settings.snf_short_days
    if departed is None or local_day(departed) - visit.day > short:
        scan.until = visit.day + short + 1
    return COUNTED


def _of_observation(_scan: _Scan, _index: int, _visit: MemberVisit) -> str:
    return IN_OBSERVATION


_BY_CATEGORY: Final[dict[str, Callable[[_Scan, int, MemberVisit], str]]] = {
    ED: _of_ed,
    STAY: _of_stay,
    SNF: _of_nursing,
    OBSERVATION: _of_observation,
}


def _episode_ends(visits: Sequence[MemberVisit], nursing: dict[int, int]) -> dict[int, tuple[int | None, int]]:
    """First stay of a nursing-facility episode -> (when the whole episode ended, None: it has not; its last stay)."""
    ends: dict[int, tuple[int | None, int]] = {}
    for index, first in nursing.items():
        known = ends[first][0] if first in ends else visits[first].departed
        departed = visits[index].departed
        ended = None if departed is None else departed if known is None else max(known, departed)
        ends[first] = (ended, index)
    return ends
