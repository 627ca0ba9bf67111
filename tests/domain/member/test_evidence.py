"""The evidence of a candidate."""

from __future__ import annotations

import pytest

from domain.member.evidence import EvidenceLine, recount
from domain.member.visits import COUNTABLE, SNF, category_of
from domain.snapshots import Visit
from parsers.hl7.dialects import CLASSES

EVERY_CLASS = sorted({name for dialect in CLASSES.values() for name in dialect.values()} | {"newborn", "other"})


@pytest.mark.parametrize("facility_type", ["hospital", "snf", "icf", "psychiatric", ""])
@pytest.mark.parametrize("patient_class", EVERY_CLASS)
def test_a_visit_of_every_class_that_can_count_has_a_place_in_the_counts(
    patient_class: str, facility_type: str
) -> None:
    category = category_of(Visit("closed", patient_class, facility_type=facility_type))
    if category in COUNTABLE:
        shown = "snf" if category == SNF else patient_class
        assert sum(recount((EvidenceLine("v", shown, "", None, None, "counted", b"", b""),))) == 1
