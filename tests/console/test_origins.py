"""Findings by sending system: what is refused or not mapped, who is unknown; and no label that could be a person."""

from __future__ import annotations

import pytest

from agents.runtime.contract import Record
from console.config import Topics
from console.lag_status import State
from console.page import sections
from parsers.hl7.origin import origin
from tests.console.overviews import NOW, overview
from tests.console.test_tallies import record, tallied

RAW, LETTERS = Topics().raw, Topics().dead_letters


def taken(**headers: str) -> Record:
    given = {"sender": "west", "origin": "REG/GENHOSP", "received": str(NOW), **headers}
    return record(RAW, headers=given, at=NOW)


def refused(code: str = "no-time", **headers: str) -> Record:
    given = {"sender": "west", "origin": "REG/GENHOSP", "received": str(NOW), "stage": "gateway", "code": code}
    return record(LETTERS, headers={**given, **headers}, at=NOW)


def test_a_feed_that_is_refused_is_never_well() -> None:
    view = overview(tallies=tallied(*(refused() for _ in range(300)))).view(NOW)
    assert view.state is State.WARNING
    assert view.says[0] == "REG/GENHOSP: 300 of 300 messages refused in the last day (no-time)"
    assert "300 of 300" in sections(view)["origins"]


def test_one_odd_message_among_many_is_no_finding_but_one_in_ten_is() -> None:
    odd = [*(taken() for _ in range(99)), refused()]
    assert overview(tallies=tallied(*odd)).view(NOW).says == ()
    many = [*(taken() for _ in range(45)), *(refused() for _ in range(5))]
    (said,) = overview(tallies=tallied(*many)).view(NOW).says
    assert said.startswith("REG/GENHOSP: 5 of 50 messages refused")
    # Two applications of one sender are two feeds: the good one does not hide the bad one.
    both = [*(taken() for _ in range(990)), *(refused(origin="LAB/GENHOSP") for _ in range(5))]
    (said,) = overview(tallies=tallied(*both)).view(NOW).says
    assert said.startswith("LAB/GENHOSP: 5 of 5")


def test_unmapped_codes_and_unknown_senders_are_findings() -> None:
    codes = [taken(unmapped="PV1-36") for _ in range(10)] + [taken() for _ in range(30)]
    (said,) = overview(tallies=tallied(*codes)).view(NOW).says
    assert said == "REG/GENHOSP: 10 of 40 messages with a code that the profile does not map (PV1-36)"
    (said,) = overview(tallies=tallied(taken(sender="default"))).view(NOW).says
    assert said == "REG/GENHOSP: no sender profile: zone and codes are guessed"


def test_what_a_stage_sets_aside_is_a_finding() -> None:
    headers = {"stage": "refer", "code": "unknown-candidate"}
    view = overview(tallies=tallied(*(record(LETTERS, headers=headers, at=NOW) for _ in range(2)))).view(NOW)
    assert view.says == ("refer set aside 2 records in the last day: unknown-candidate",)


def test_yesterday_is_over() -> None:
    old = record(LETTERS, headers={"sender": "west", "origin": "A/B", "stage": "gateway", "code": "no-time"}, at=NOW)
    view = overview(tallies=tallied(old)).view(NOW + 26 * 3_600_000)
    assert view.origins == ()


@pytest.mark.parametrize("person", ["91234567A", "12345678", "DOE JANE", "DOE^JANE", "19800101", "ü", "x" * 40, "a|b"])
def test_a_label_has_the_shape_of_a_system(person: str) -> None:
    assert origin(person, "GENHOSP") == "other/GENHOSP"
    assert origin("", "") == "-/-"
    assert origin("EPIC.ADT-1", "St_Marys") == "EPIC.ADT-1/St_Marys"
    # The console checks again: headers may have been written by anybody.
    view = overview(tallies=tallied(taken(origin=f"{person}/GENHOSP", sender="default"))).view(NOW)
    assert [each.origin for each in view.origins] == ["other"]
