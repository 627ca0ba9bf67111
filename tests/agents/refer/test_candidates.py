"""Candidates: raised, amended, lapsed, withdrawn, closed, and met again."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agents.topics import CANDIDATES, WATCHLIST
from domain.rules.ruleset import Threshold
from domain.snapshots import CustodySnapshot
from tests.support.member import Member, a_release, a_visit, at, recount, revised, the_rules

FIVE = ("2026-01-10", "2026-02-10", "2026-03-10", "2026-04-10", "2026-05-10")


def five_visits(**roster: Any) -> Member:
    member = Member()
    member.roster(**roster)
    for number, day in enumerate(FIVE, 1):
        member.tell(a_visit(f"e{number}", day))
    return member


def counts_of(candidate: dict[str, Any]) -> dict[str, int]:
    return {name: number for name, number in candidate["counts"].items() if name != "required"}


def test_five_emergency_visits_in_six_months_raise_one_candidate() -> None:
    member = five_visits()
    (candidate,) = member.candidates()
    assert (candidate["population"], candidate["status"], candidate["revision"]) == ("2a", "raised", 1)
    assert candidate["opened_by"] == "GENHOSP|e5"
    assert counts_of(candidate) == {"ed": 5, "inpatient": 0, "snf": 0, "release": 0} == recount(candidate)
    assert candidate["counts"]["required"] == {"ed": 5, "inpatient_or_snf": 3}
    assert candidate["window"] == {
        "from": "2025-11-10",
        "to": "2026-05-10",
        "months": 6,
        "complete_since": "2026-01-10",
    }
    assert candidate["rule"]["version"] == "2026-01"
    assert candidate["trigger"]["kind"] == "ed_arrival"
    assert candidate["route"]["source"] == "003_2fa9b65790c5433b.txt"
    assert candidate["due"] == {"decision": "2026-05-15", "followup_visit": None}
    assert {finding["finding"] for finding in candidate["exclusions"]} == {"clear"}
    assert member.watches() == []


def test_a_watch_precedes_the_candidate_and_ends_with_it() -> None:
    member = Member()
    member.roster()
    for number, day in enumerate(FIVE[:4], 1):
        member.tell(a_visit(f"e{number}", day))
    (watch,) = member.watches()
    assert (watch["state"], watch["population"], watch["counts"]["ed"]) == ("near_threshold", "2a", 4)
    assert watch["counts"]["required"]["ed"] == 5
    emits = member.tell(a_visit("e5", FIVE[4]))
    assert [e.value for e in emits if e.topic == WATCHLIST] == [None]


def test_the_same_visit_heard_twice_says_nothing_and_keeps_the_row() -> None:
    member = five_visits()
    row = member.row
    assert member.tell(a_visit("e5", FIVE[4])) == []
    assert member.row is row


def test_a_cancelled_visit_withdraws_the_candidate_as_if_it_had_never_been() -> None:
    member = five_visits()
    member.tell(revised(a_visit("e3", FIVE[2]), status="cancelled", received=at("2026-05-12")))
    (candidate,) = member.candidates()
    assert (candidate["status"], candidate["reason"], candidate["revision"]) == ("withdrawn", "facts_changed", 2)
    assert len(member.watches()) == 1
    member.tell(a_visit("late", "2026-03-20", received=at("2026-05-20")))
    (candidate,) = member.live()
    assert (candidate["status"], candidate["opened_by"], candidate["revision"]) == ("raised", "GENHOSP|e5", 3)
    assert member.watches() == []


def test_a_visit_told_late_moves_the_opening_and_the_old_name_gives_way() -> None:
    member = five_visits()
    (before,) = member.candidates()
    member.tell(a_visit("late", "2026-03-20", received=at("2026-05-20")))
    after = {c["status"]: c for c in member.candidates()}
    assert after["raised"]["opened_by"] == "GENHOSP|e4"
    assert after["raised"]["supersedes"] == before["candidate_id"]
    assert after["withdrawn"]["superseded_by"] == after["raised"]["candidate_id"]
    assert after["withdrawn"]["reason"] == "superseded"
    member.tell(a_visit("e7", "2026-05-21"))
    assert [c["supersedes"] for c in member.live()] == [before["candidate_id"]]


def test_it_lapses_when_a_visit_leaves_the_window_and_comes_back_within_thirty_days() -> None:
    member = five_visits()
    member.tick("2026-07-10 23:59")
    assert [c["status"] for c in member.candidates()] == ["raised"]
    member.tick("2026-07-11 00:00")
    (candidate,) = member.candidates()
    assert (candidate["status"], candidate["reason"]) == ("lapsed", "no_longer_met")
    assert candidate["window"]["to"] == "2026-07-11"
    assert counts_of(candidate)["ed"] == 4 == recount(candidate)["ed"]
    assert candidate["evidence"][0]["reason"] == "outside_window"
    assert len(member.watches()) == 1
    member.tell(a_visit("e6", "2026-07-20"))
    (candidate,) = member.candidates()
    assert (candidate["status"], candidate["opened_by"]) == ("raised", "GENHOSP|e5")


def test_met_again_after_more_than_thirty_days_it_is_another() -> None:
    member = Member()
    member.roster()
    for number, day in enumerate(("2026-01-10", "2026-03-10", "2026-04-10", "2026-05-10", "2026-06-10"), 1):
        member.tell(a_visit(f"e{number}", day))
    member.tick("2026-08-01")
    member.tell(a_visit("e6", "2026-08-20"))
    assert {(c["status"], c["opened_by"]) for c in member.candidates()} == {
        ("lapsed", "GENHOSP|e5"),
        ("raised", "GENHOSP|e6"),
    }


def test_the_window_moves_with_the_visits_that_leave_it() -> None:
    member = five_visits()
    member.tell(a_visit("e6", "2026-05-20"))
    member.tick("2026-07-15")
    (candidate,) = member.live()
    assert candidate["status"] == "amended"
    assert (candidate["window"]["from"], candidate["window"]["to"]) == ("2026-01-11", "2026-07-11")
    assert candidate["counts"]["ed"] == 5


def test_three_unplanned_stays_of_either_kind_raise_it() -> None:
    member = Member()
    member.roster()
    member.tell(
        a_visit("a", "2026-01-10", "inpatient", departed="2026-01-12"),
        a_visit("n", "2026-02-10", "snf", departed="2026-02-20", facility="Bayview"),
        a_visit("p", "2026-03-01", "inpatient", departed="2026-03-02", admission_type="3"),
        a_visit("b", "2026-03-10", "inpatient", departed="2026-03-12"),
    )
    (candidate,) = member.live()
    assert counts_of(candidate) == {"ed": 0, "inpatient": 2, "snf": 1, "release": 0} == recount(candidate)
    assert [line["reason"] for line in candidate["evidence"]] == ["counted", "counted", "planned", "counted"]
    assert candidate["due"]["followup_visit"] == "2026-03-19"
    assert candidate["trigger"]["kind"] == "admission"


def test_an_elective_stay_that_comes_later_is_shown_without_moving_the_window() -> None:
    member = five_visits()
    member.tell(a_visit("p", "2026-05-14", "inpatient", departed="2026-05-15", admission_type="3"))
    (candidate,) = member.live()
    assert candidate["window"]["to"] == "2026-05-10"
    assert candidate["evidence"][-1]["reason"] == "planned"


def test_children_count_three_visits_or_two_stays_in_twelve_months() -> None:
    member = Member()
    member.roster(birth_date="2015-06-01")
    member.tell(a_visit("a", "2025-08-10", "inpatient", departed="2025-08-11"))
    (watch,) = member.watches()
    assert watch["population"] == "2c"
    member.tell(a_visit("b", "2026-05-10", "inpatient", departed="2026-05-11"))
    (candidate,) = member.live()
    assert (candidate["population"], candidate["window"]["months"]) == ("2c", 12)


def test_who_turns_twenty_one_goes_on_as_a_youth_and_begins_as_an_adult() -> None:
    member = five_visits(birth_date="2005-06-01")
    (youth,) = member.live()
    assert youth["population"] == "2c"
    member.tick("2026-06-01 00:00")
    populations = {c["population"]: c for c in member.live()}
    assert set(populations) == {"2a", "2c"}
    assert populations["2a"]["opened_by"] == "GENHOSP|e5"
    # One that would have opened after the birthday is no youth's.
    other = Member()
    other.roster(birth_date="2005-04-20")
    for number, day in enumerate(("2026-01-10", "2026-02-10", "2026-04-21"), 1):
        other.tell(a_visit(f"e{number}", day))
    assert other.live() == []


def test_before_go_live_there_are_no_candidates_and_on_that_day_they_begin() -> None:
    member = Member()
    member.roster(county="Inyo")
    for number, day in enumerate(("2022-02-10", "2022-03-10", "2022-04-10", "2022-05-10", "2022-06-10"), 1):
        member.tell(a_visit(f"e{number}", day))
    assert member.candidates() == member.watches() == []
    member.tick("2022-07-01 00:00")
    (candidate,) = member.live()
    assert (candidate["opened_by"], candidate["rule"]["version"]) == ("GENHOSP|e5", "2021-09")


def test_a_candidate_lives_on_when_one_version_of_its_rule_hands_over_to_the_next() -> None:
    member = Member()
    member.roster()
    for number, day in enumerate(("2025-09-10", "2025-10-10", "2025-11-01", "2025-11-10", "2025-12-10"), 1):
        member.tell(a_visit(f"e{number}", day))
    (before,) = member.live()
    member.tick("2025-12-31 23:59")
    assert member.live() == [before]
    member.tick("2026-01-01 00:00")
    (after,) = member.candidates()
    assert after["status"] == "amended"
    assert before["candidate_id"] == after["candidate_id"]
    assert (before["rule"]["version"], after["rule"]["version"]) == ("2021-09", "2026-01")


# Eligibility


def test_a_verified_programme_keeps_it_in_until_it_ends() -> None:
    programme = {"id": "pace", "from": "2026-01-01", "to": "2026-05-31", "verified": True}
    member = five_visits(programmes=[programme])
    assert member.candidates() == []
    member.tick("2026-06-01 00:00")
    (candidate,) = member.live()
    assert candidate["status"] == "raised"


def test_a_programme_that_becomes_verified_closes_it() -> None:
    member = five_visits(programmes=[{"id": "pace", "verified": False}])
    (candidate,) = member.live()
    assert candidate["suspected"] == ["pace"]
    member.roster("2026-05-20", programmes=[{"id": "pace", "verified": True}])
    (candidate,) = member.candidates()
    assert (candidate["status"], candidate["reason"]) == ("closed", "excluded:pace")
    member.tick("2026-09-01")
    assert [c["status"] for c in member.candidates()] == ["closed"]


def test_a_programme_that_excludes_only_from_a_date() -> None:
    member = Member()
    member.roster(programmes=[{"id": "d-snp"}])
    for number, day in enumerate(("2023-08-10", "2023-09-10", "2023-10-10", "2023-11-10", "2023-12-10"), 1):
        member.tell(a_visit(f"e{number}", day))
    assert len(member.live()) == 1
    member.tick("2024-01-01 00:00")
    assert [(c["status"], c["reason"]) for c in member.candidates()] == [("closed", "excluded:d-snp")]


def test_a_discharge_to_hospice_is_a_suspicion() -> None:
    member = five_visits()
    member.tell(a_visit("h", "2026-05-11", "inpatient", departed="2026-05-14", disposition_group="HOSPICE"))
    (candidate,) = member.live()
    assert candidate["suspected"] == ["hospice"]


def test_a_member_of_no_plan_is_no_candidate() -> None:
    assert five_visits(plan="").candidates() == []
    assert five_visits(enrolled_from="2026-05-11").candidates() == []
    assert five_visits(enrolled_to="2026-05-09").candidates() == []
    assert len(five_visits(enrolled_to="2026-05-10").live()) == 1


def spans(*lines: str) -> list[dict[str, str]]:
    """Spans of enrollment, each `plan county from to`."""
    return [dict(zip(("plan", "county", "from", "to"), line.split(), strict=False)) for line in lines]


def test_the_span_of_the_opening_day_makes_a_member() -> None:
    gap = spans("lacare 19 2020-01-01 2026-05-09", "healthnet 19 2026-05-11")
    assert five_visits(enrolment=gap).candidates() == []
    joined = spans("lacare 19 2020-01-01 2026-05-09", "healthnet 19 2026-05-10")
    (candidate,) = five_visits(enrolment=joined).live()
    assert candidate["plan"] == "healthnet"


def test_a_change_of_plan_amends_the_candidate_on_its_day() -> None:
    member = five_visits(enrolment=spans("lacare 19 2020-01-01 2026-06-30", "hpsj 39 2026-07-01"))
    assert [(c["plan"], c["county"], c["revision"]) for c in member.live()] == [("lacare", "Los Angeles", 1)]
    assert member.row is not None
    member.tick("2026-06-30 23:00")
    assert [c["revision"] for c in member.live()] == [1]
    member.tick("2026-07-01 00:00")
    (candidate,) = member.live()
    assert (candidate["status"], candidate["plan"], candidate["county"]) == ("amended", "hpsj", "San Joaquin")
    assert candidate["route"]["plan"] == "hpsj"


def test_a_county_holds_until_the_next_span_and_its_go_live_counts() -> None:
    late = ("2022-02-10", "2022-03-10", "2022-04-10", "2022-05-10", "2022-06-10")
    member = Member()
    member.roster(enrolment=spans("lacare 19 2020-01-01 2022-05-31", "healthnet Inyo 2022-06-01"))
    for number, day in enumerate(late, 1):
        member.tell(a_visit(f"e{number}", day))
    assert member.candidates() == [], "Inyo goes live in July"
    member.tick("2022-07-01 00:00")
    assert [c["county"] for c in member.live()] == ["Inyo"]


def test_a_corrected_enrolment_withdraws_it() -> None:
    member = five_visits()
    member.roster("2026-05-20", enrolled_to="2026-04-30")
    assert [(c["status"], c["reason"]) for c in member.candidates()] == [("withdrawn", "not_enrolled")]


def test_who_leaves_the_roster_is_closed_and_counts_go_on() -> None:
    member = five_visits()
    member.left_roster("2026-05-20")
    (candidate,) = member.candidates()
    assert (candidate["status"], candidate["reason"], candidate["plan"]) == ("closed", "left_roster", "")
    member.tell(a_visit("e6", "2026-05-21"))
    counts = member.utilization()
    assert counts is not None
    assert counts["windows"]["6mo"]["ed"] == 6
    member.roster("2026-05-22")
    assert [c["status"] for c in member.candidates()] == ["raised"]


def test_without_a_roster_row_there_are_counts_and_transitions_but_no_candidates() -> None:
    member = Member()
    for number, day in enumerate(FIVE, 1):
        member.tell(a_visit(f"e{number}", day))
    assert member.candidates() == member.watches() == []
    assert len(member.transitions()) == 10
    member.roster("2026-05-30")
    assert len(member.live()) == 1


def test_the_dead_are_no_candidates() -> None:
    member = five_visits()
    member.tell(a_visit("x", "2026-05-12", departed="2026-05-12 20:00", disposition_group="EXPIRED"))
    assert [(c["status"], c["reason"]) for c in member.candidates()] == [("closed", "died")]


def test_a_member_in_ecm_is_no_candidate_and_ninety_days_after_it_ends_may_be() -> None:
    member = five_visits(ecm={"status": "enrolled", "from": "2026-01-01", "to": "2026-05-15", "provider": "Care Org"})
    for number in range(6, 12):
        member.tell(a_visit(f"f{number}", f"2026-05-{number:02}"))
    assert member.candidates() == []
    member.tick("2026-08-13 23:00")
    assert member.candidates() == []
    member.tick("2026-08-14 00:00")
    assert [c["status"] for c in member.live()] == ["raised"]


def test_what_opens_after_ecm_ended_is_new() -> None:
    member = five_visits(ecm={"status": "enrolled", "from": "2025-01-01", "to": "2026-05-01", "provider": "Care Org"})
    assert len(member.live()) == 1


def test_enrolling_in_ecm_closes_it() -> None:
    member = five_visits()
    member.roster("2026-05-20", ecm={"status": "enrolled", "from": "2026-05-18", "provider": "Care Org"})
    assert [(c["status"], c["reason"]) for c in member.candidates()] == [("closed", "enrolled")]


# Answers


@pytest.mark.parametrize("status", ["received", "accepted", "outreach"])
def test_an_answer_on_the_way_is_noted(status: str) -> None:
    member = five_visits()
    (candidate,) = member.live()
    member.answer(candidate["candidate_id"], status, "2026-05-12")
    (candidate,) = member.live()
    assert candidate["status"] == "amended"
    assert candidate["disposition"]["status"] == status
    assert candidate["disposition"]["time"] == "2026-05-12T12:00:00-07:00"


@pytest.mark.parametrize("status", ["enrolled", "declined", "unreachable", "not_eligible", "closed"])
def test_a_final_answer_closes_it_for_good(status: str) -> None:
    member = five_visits()
    (candidate,) = member.live()
    member.answer(candidate["candidate_id"], status, "2026-05-12")
    (candidate,) = member.candidates()
    assert (candidate["status"], candidate["reason"]) == ("closed", status)
    member.tell(a_visit("e6", "2026-05-20"))
    assert [c["status"] for c in member.candidates()] == ["closed"]
    member.tick("2026-12-01")
    assert [c["status"] for c in member.candidates()] == ["closed"]


def test_a_later_answer_opens_it_again() -> None:
    member = five_visits()
    (candidate,) = member.live()
    member.answer(candidate["candidate_id"], "unreachable", "2026-05-12")
    member.answer(candidate["candidate_id"], "accepted", "2026-05-13")
    assert [c["status"] for c in member.candidates()] == ["raised"]


def test_after_a_refusal_the_population_rests_ninety_days() -> None:
    member = Member()
    member.roster()
    for number, day in enumerate(("2026-01-10", "2026-03-10", "2026-04-10", "2026-05-10", "2026-06-10"), 1):
        member.tell(a_visit(f"e{number}", day))
    (candidate,) = member.live()
    member.answer(candidate["candidate_id"], "declined", "2026-07-01")
    for number in range(6, 10):
        member.tell(a_visit(f"e{number}", f"2026-08-{number + 12}"))
    assert [c["status"] for c in member.candidates()] == ["closed"]
    member.tick("2026-09-29 11:00")
    assert member.live() == []
    member.tick("2026-09-29 12:00")
    assert [c["opened_by"] for c in member.live()] == ["GENHOSP|e6"]


def test_a_refusal_holds_when_late_facts_move_the_opening() -> None:
    member = five_visits()
    (candidate,) = member.live()
    member.answer(candidate["candidate_id"], "declined", "2026-05-12")
    member.tell(a_visit("late", "2026-03-20", received=at("2026-05-20")))
    assert member.live() == []
    assert {(c["opened_by"], c["reason"]) for c in member.candidates()} == {
        ("GENHOSP|e5", "declined"),
        ("GENHOSP|e4", "declined"),
    }


def test_an_answer_dated_ahead_waits_for_its_time() -> None:
    member = five_visits()
    (candidate,) = member.live()
    member.answer(candidate["candidate_id"], "declined", "2026-05-12")
    other = five_visits()
    value = {"candidate_id": candidate["candidate_id"], "status": "declined", "time": "2026-05-12T12:00:00-07:00"}
    other.take("ecm.dispositions.v1", json.dumps(value).encode(), at("2026-05-11"))
    assert [c["status"] for c in other.candidates()] == ["raised"]
    other.tick("2026-05-12")
    assert [c["status"] for c in other.candidates()] == ["closed"]


# Releases from custody


def released(*records: CustodySnapshot, condition: str = "I10", **roster: Any) -> Member:
    member = Member()
    member.roster(**roster)
    if condition:
        member.tell(a_visit("seen", "2026-01-10", diagnoses=(condition,)))
    member.tell(*records)
    return member


def test_a_release_with_a_condition_opens_population_four_for_twelve_months() -> None:
    member = released(a_release("R1", "2026-03-01"))
    (candidate,) = member.live()
    assert (candidate["population"], candidate["state"]) == ("4a", "meets_criteria")
    assert candidate["opened_by"] == "R1"
    assert candidate["window"]["from"] == "2026-03-01"
    assert candidate["window"]["to"] == "2027-03-01"
    assert counts_of(candidate) == recount(candidate)
    assert candidate["counts"]["release"] == 1
    assert [(line["class"], line["reason"]) for line in candidate["evidence"]] == [
        ("custody", "counted"),
        ("emergency", "condition"),
    ]
    assert candidate["conditions"] == ["JI_CHRONIC"]
    assert candidate["trigger"]["facility"] == "County Jail"
    member.tick("2027-03-01 23:00")
    assert len(member.live()) == 1
    member.tick("2027-03-02 00:00")
    (candidate,) = member.candidates()
    assert (candidate["status"], candidate["counts"]["release"]) == ("lapsed", 1)


def test_without_a_condition_it_waits_for_one() -> None:
    member = released(a_release("R1", "2026-03-01"), condition="")
    assert member.candidates() == []
    member.tell(a_visit("a", "2026-04-15", diagnoses=("B182",)))
    (candidate,) = member.live()
    assert candidate["opened_by"] == "R1"
    member.tell(revised(a_visit("a", "2026-04-15"), diagnoses=("R109",), received=at("2026-04-18")))
    assert [c["status"] for c in member.candidates()] == ["withdrawn"]


def test_a_condition_that_shows_up_after_the_window_is_too_late() -> None:
    member = released(a_release("R1", "2024-03-01"))
    assert member.candidates() == []


def test_a_release_after_twenty_one_adds_nothing_to_a_youths_candidate() -> None:
    records = (a_release("R1", "2026-03-01"), a_release("R2", "2026-06-01"))
    member = released(*records, condition="", birth_date="2005-04-01")
    (candidate,) = member.live()
    assert (candidate["population"], candidate["counts"]["release"]) == ("4y", 1)
    assert candidate["window"]["to"] == "2027-03-01"


def test_a_second_release_goes_on_with_the_first_candidate() -> None:
    member = released(a_release("R1", "2026-03-01"), a_release("R2", "2026-06-01"))
    (candidate,) = member.candidates()
    assert (candidate["opened_by"], candidate["counts"]["release"]) == ("R1", 2)
    member.tick("2027-04-01")
    (candidate,) = member.live()
    assert candidate["counts"]["release"] == 1 == recount(candidate)["release"]
    assert [line["reason"] for line in candidate["evidence"]][:2] == ["outside_window", "counted"]


def test_a_possible_release_needs_review_and_a_certain_one_does_not() -> None:
    member = released(a_release("R1", "2026-03-01", confidence="low"))
    assert [c["state"] for c in member.live()] == ["needs_review"]
    member.tell(a_release("R2", "2026-03-03"))
    assert [c["state"] for c in member.live()] == ["meets_criteria"]


def test_a_release_seen_in_the_messages_of_a_jail_or_a_hospital() -> None:
    jail = released()
    jail.tell(a_visit("j", "2026-02-01", "custody", departed="2026-03-01", facility_type="jail"))
    assert [(c["state"], c["opened_by"]) for c in jail.live()] == [("meets_criteria", "GENHOSP|j")]
    hospital = released()
    hospital.tell(a_visit("h", "2026-02-01", departed="2026-02-02", source="8"))
    assert [(c["state"], c["opened_by"]) for c in hospital.live()] == [("needs_review", "GENHOSP|h")]
    for group in ("INTO_CUSTODY", "ACUTE_TRANSFER"):
        moved = released()
        moved.tell(a_visit("j", "2026-02-01", "custody", departed="2026-03-01", disposition_group=group))
        moved.tell(a_visit("h", "2026-03-02", departed="2026-03-03", source="8", disposition_group=group))
        assert moved.candidates() == []


def test_a_released_member_who_leaves_the_roster_is_closed() -> None:
    member = released(a_release("R1", "2026-03-01"))
    member.left_roster("2026-03-10")
    assert [(c["status"], c["reason"]) for c in member.candidates()] == [("closed", "left_roster")]


def test_plans_and_bookings_are_no_releases() -> None:
    records = (a_release("B", "2026-02-01", "booked"), a_release("S", "2026-02-02", "scheduled"))
    assert released(*records).candidates() == []


def test_youths_need_no_condition_and_former_foster_youths_are_youths_until_twenty_six() -> None:
    youth = released(a_release("R1", "2026-03-01"), condition="", birth_date="2009-02-02")
    assert [c["population"] for c in youth.live()] == ["4y"]
    foster = released(a_release("R1", "2026-03-01"), condition="", birth_date="2003-03-03", aid_codes=["4M"])
    assert [c["population"] for c in foster.live()] == ["4y"]
    for born, codes in (("2003-03-03", ["M1"]), ("2000-02-28", ["4M"])):
        older = released(a_release("R1", "2026-03-01"), condition="", birth_date=born, aid_codes=codes)
        assert older.live() == []


def test_a_youth_rule_of_its_time_asks_for_a_youth_facility() -> None:
    def at_facility(kind: str) -> list[str]:
        record = a_release("R1", "2025-03-01", facility_type=kind)
        return [c["population"] for c in released(record, condition="", birth_date="2009-02-02").live()]

    assert at_facility("youth-facility") == ["4y"]
    assert at_facility("jail") == []


def test_where_a_release_goes_another_way_than_a_hospital_visit() -> None:
    custody = released(a_release("R1", "2026-03-01"), plan="hpsj", county="San Joaquin")
    assert [c["route"]["channel"] for c in custody.live()] == ["fax"]
    assert [c["route"]["channel"] for c in five_visits(plan="hpsj").live()] == ["concurrent-review"]
    assert [c["route"]["channel"] for c in five_visits(plan="hpsj", delegate="kaiser").live()] == ["provider-portal"]
    (unknown,) = five_visits(plan="kaiser").live()
    assert (unknown["route"]["plan"], unknown["route"]["channel"]) == ("kaiser", "plan-of-record")


# What a candidate shows


def test_homelessness_and_the_supports_it_suggests() -> None:
    member = Member()
    member.roster()
    for number, day in enumerate(("2026-01-10", "2026-02-10", "2026-03-10"), 1):
        member.tell(a_visit(f"s{number}", day, "inpatient", flags=("homeless",) if number == 2 else ()))
    (candidate,) = member.live()
    assert candidate["conditions"] == ["HOMELESS"]
    assert "recuperative-care" in [hint["id"] for hint in candidate["community_supports"]]
    assert five_visits().live()[0]["community_supports"] == []


def test_a_change_that_nobody_can_see_is_not_said() -> None:
    member = five_visits()
    assert member.tell(revised(a_visit("e3", FIVE[2]), how={"arrived": "A04 EVN-6"})) == []
    assert member.roster("2026-05-20", phone="213-555-0199") == []
    row = member.row
    assert member.roster("2026-05-21") == []
    assert member.row is row


def test_a_row_that_misses_a_record_says_so() -> None:
    member = five_visits()
    assert member.row is not None
    member.row = member.stage.impair(member.row) if member.stage.impair else None
    assert member.row is not None
    assert member.stage.impair is not None
    assert member.stage.impair(member.row) is member.row
    member.tell(a_visit("e6", "2026-05-20"))
    assert [c["impaired"] for c in member.live()] == [True]
    other = five_visits()
    other.tell(a_visit("e6", "2026-05-20", flags=("impaired",)))
    assert [c["impaired"] for c in other.live()] == [True]


def test_a_new_rule_set_is_applied_at_the_next_tick() -> None:
    member = five_visits()
    rules = the_rules()
    strict = tuple(
        msgspec.structs.replace(c, thresholds=(Threshold("ed", 6, 5),)) if c.id == "P2A" else c for c in rules.criteria
    )
    other = Member(msgspec.structs.replace(rules, criteria=strict, hash="sha256:" + "ab" * 32))
    other.row, other.now, other.emits = member.row, member.now, member.emits
    assert other.row is not None
    assert other.stage.next_due(other.row) == 0
    other.tick("2026-05-11")
    assert [(c["status"], c["reason"]) for c in other.candidates()] == [("withdrawn", "facts_changed")]
    assert len(other.watches()) == 1


def test_a_population_that_a_rule_set_no_longer_knows_is_left_as_it_stands() -> None:
    member = five_visits()
    rules = the_rules()
    without = tuple(c for c in rules.criteria if c.population != "2a")
    other = Member(msgspec.structs.replace(rules, criteria=without, hash="sha256:" + "ab" * 32))
    other.row, other.now = member.row, member.now
    other.tick("2026-05-11")
    assert [emit.topic for emit in other.emits if emit.topic in (CANDIDATES, WATCHLIST)] == []


def test_a_look_back_of_an_unusual_length_moves_its_own_window() -> None:
    rules = the_rules()
    odd = tuple(msgspec.structs.replace(c, months=9) if c.id == "P2A" else c for c in rules.criteria)
    member = Member(msgspec.structs.replace(rules, criteria=odd))
    member.roster()
    for number, day in enumerate((*FIVE, "2026-05-11"), 1):
        member.tell(a_visit(f"e{number}", day))
    member.tick("2026-10-11 00:00")
    (candidate,) = member.live()
    assert (candidate["window"]["to"], candidate["counts"]["ed"]) == ("2026-10-11", 5)


def test_a_visit_corrected_into_the_future_takes_its_candidate_along() -> None:
    member = five_visits()
    moved = a_visit("e5", "2026-06-10", received=at("2026-05-12"), revision=2)
    member.tell(moved)
    assert [(c["status"], c["reason"]) for c in member.candidates()] == [("withdrawn", "facts_changed")]
    member.tick("2026-06-10 11:59")
    assert member.live() == []
    member.tick("2026-06-10 12:00")
    assert [c["opened_by"] for c in member.live()] == ["GENHOSP|e5"]


def test_revisions_count_up_by_one() -> None:
    member = five_visits()
    member.tell(a_visit("e6", "2026-05-20"))
    member.tick("2026-12-01")
    revisions = [json.loads(e.value)["revision"] for e in member.emits if e.topic == CANDIDATES and e.value]
    assert revisions == list(range(1, len(revisions) + 1))
    assert len(revisions) > 2


def test_an_answer_for_a_candidate_that_is_not_there_is_doubted_once_and_kept() -> None:
    late = five_visits()
    (candidate,) = late.live()
    early = Member()
    early.roster()
    for _ in range(2):
        early.answer(candidate["candidate_id"], "declined", "2026-05-12")
    assert early.doubts == ["unknown-candidate"]
    assert late.doubts == []
    late.answer(candidate["candidate_id"], "declined", "2026-05-12")
    assert late.doubts == []


def test_obstetric_stays_count_as_stays() -> None:
    member = Member()
    member.roster()
    for number, day in enumerate(FIVE[2:], 1):
        member.tell(a_visit(f"o{number}", day, "obstetrics"))
    (candidate,) = member.live()
    assert counts_of(candidate) == {"ed": 0, "inpatient": 3, "snf": 0, "release": 0} == recount(candidate)
    assert candidate["due"]["followup_visit"] is not None
