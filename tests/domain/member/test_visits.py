"""A visit in the form in which a member's row holds it."""

from __future__ import annotations

import msgspec
import pytest

from domain.member import visits as flags
from domain.member.visits import category_of, from_snapshot
from tests.support.member import a_visit, changed


@pytest.mark.parametrize(
    ("fields", "group"),
    [
        ({"kind": "emergency"}, "ed"),
        ({"kind": "inpatient"}, "stay"),
        ({"kind": "inpatient", "facility_type": "psychiatric"}, "stay"),
        ({"kind": "inpatient", "facility_type": "snf"}, "snf"),
        ({"kind": "snf"}, "snf"),
        ({"kind": "newborn"}, "stay"),
        ({"kind": "observation"}, "obs"),
        ({"kind": "observation", "flags": ("from_emergency",)}, "ed"),
        ({"kind": "outpatient"}, "other"),
        ({"kind": "custody"}, "custody"),
        ({"kind": "inpatient", "facility_type": "jail"}, "custody"),
    ],
)
def test_what_kind_of_visit_counting_sees(fields: dict[str, object], group: str) -> None:
    assert category_of(a_visit("a", "2026-03-01", **fields).visit) == group  # type: ignore[arg-type]


def test_flags() -> None:
    found = from_snapshot(
        a_visit(
            "a",
            "2026-03-01",
            "inpatient",
            weak=True,
            admission_type="3",
            source="5",
            disposition="82",
            facility_type="icf",
            flags=("homeless", "died", "became_inpatient", "impaired", "whole_day"),
        )
    )
    for name in (
        "WEAK",
        "ELECTIVE",
        "FROM_NF",
        "PLANNED_READMISSION",
        "LONG_TERM",
        "HOMELESS",
        "DIED",
        "BECAME_INPATIENT",
        "IMPAIRED",
    ):
        assert found.flags & getattr(flags, name), name
    assert not found.flags & (flags.NEWBORN | flags.LABOR | flags.FROM_COURT | flags.YOUTH_FACILITY)
    assert (
        from_snapshot(a_visit("a", "2026-03-01", "custody", facility_type="youth-facility")).flags
        & flags.YOUTH_FACILITY
    )


def test_the_fingerprint_shows_what_evidence_shows_and_no_place_in_the_log() -> None:
    visit = a_visit("a", "2026-03-01")
    moved = changed(
        visit,
        messages=tuple(msgspec.structs.replace(source, at="x/1/2") for source in visit.visit.messages),
        revision=7,
    )
    assert from_snapshot(visit).fingerprint == from_snapshot(moved).fingerprint
    assert from_snapshot(visit).fingerprint != from_snapshot(changed(visit, facility="Elsewhere")).fingerprint
