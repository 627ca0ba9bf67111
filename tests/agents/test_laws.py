"""The laws of docs/semantics.md#laws over both stages and the directory, with every trigger that merges or moves."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.times import instant
from handoff.declarations.senders import load_senders
from parsers.hl7.profiles import Profiles
from tests.support.adt_scenarios import SENDERS, MemberLine, MessageLine, outcome, row_of, written
from tests.support.replaying import Heard, Played

MEMBERS = {
    "ana": MemberLine.model_validate({"cin": "91000001A"}),
    "bea": MemberLine.model_validate({"cin": "91000002C", "born": "1975-03-04", "name": "WREN^ALEX", "sex": "M"}),
}
PATIENTS = ("1", "2", "3", "4")
VISITS = ("V1", "V2", "V3")
ACCOUNTS = ("", "K1", "K2")
START = datetime.fromisoformat("2026-02-01 08:00")
NOW = instant("2026-06-01T12:00:00-07:00")

OF_PATIENTS = ("A18", "A30", "A34", "A36", "A39", "A40", "A43", "A46", "A47", "A48")
OF_ACCOUNTS = ("A35", "A41", "A44", "A49")
OF_VISITS = ("A42", "A45", "A50", "A51")
LINKS = ("A24", "A37")
OF_STAYS = ("A01", "A02", "A03", "A04", "A06", "A07", "A08", "A11", "A12", "A13", "A31")


@cache
def profiles() -> Profiles:
    return load_senders(SENDERS)


def line(event: str, at: datetime, patient: str, **more: Any) -> MessageLine:
    return MessageLine.model_validate({"event": event, "at": at, "patient": patient, **more})


def merge(event: str, at: datetime, survivor: str, retired: str, visit: str = "", account: str = "") -> MessageLine:
    """A message that merges, moves or renumbers; MRG has all numbers."""
    segment = f"{retired}^^^GENHOSP^MR||{account and account + '^^^GENHOSP'}||{visit}"
    return line(event, at, survivor, visit=visit, account=account, mrg=(segment,), arrived="")


def link(event: str, at: datetime, patient: str, other: str) -> MessageLine:
    return line(event, at, patient, pv1=None, more=(f"PID|2||{other}^^^GENHOSP^MR",))


@st.composite
def a_message(draw: st.DrawFn) -> MessageLine:
    at = START + timedelta(hours=draw(st.integers(0, 90 * 24)))
    patient, other = draw(st.sampled_from(PATIENTS)), draw(st.sampled_from(PATIENTS))
    visit, account = draw(st.sampled_from(VISITS)), draw(st.sampled_from(ACCOUNTS))
    event = draw(st.sampled_from(OF_STAYS * 3 + OF_PATIENTS + OF_ACCOUNTS + OF_VISITS + LINKS))
    if event in LINKS:
        return link(event, at, patient, other)
    if event not in OF_STAYS:
        return merge(event, at, patient, other, visit, account)
    who = draw(st.sampled_from(("ana", "bea", ""))) if patient in "12" else ""
    return line(
        event,
        at,
        patient,
        who=who,
        visit=draw(st.sampled_from((visit, visit, ""))),
        account=account,
        **{"class": draw(st.sampled_from(("E", "I", "B", "OBS")))},
        occurred=draw(st.sampled_from((None, ""))),
        arrived=draw(st.sampled_from((at, ""))),
        disposition=draw(st.sampled_from(("01", "02", "09", "20", "30", ""))),
        pid=draw(st.sampled_from(({}, {}, {30: "Y"}, {30: "N"}))),
    )


def play(lines: list[MessageLine], order: list[int]) -> dict[str, Any]:
    """What the messages amount to, received in this order; it may name one twice."""
    raw = written(lines, MEMBERS)
    heard: list[Heard] = [(NOW, "roster", row_of(member)) for member in MEMBERS.values()]
    heard += [(NOW, "message", {"hl7": raw[index].decode(), "sender": "default"}) for index in order]
    found = outcome(Played(heard, NOW, profiles()), {member.cin: who for who, member in MEMBERS.items()})
    del found["ended"]  # what was raised for a while depends on the order
    assert found.pop("faults") == {}
    return found


CALM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@CALM
@given(st.lists(a_message(), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_any_order_with_any_repeats_gives_the_same(lines: list[MessageLine], random: Any) -> None:
    order = list(range(len(lines)))
    mixed = order + random.choices(order, k=3)
    random.shuffle(mixed)
    assert play(lines, mixed) == play(lines, order)


@CALM
@given(st.lists(a_message(), max_size=10), st.sampled_from(("A40", "A18", "A47")), st.randoms(use_true_random=False))
def test_a_merge_that_was_taken_back_never_was(lines: list[MessageLine], event: str, random: Any) -> None:
    later = START + timedelta(days=100)
    lines = [each for each in lines if each.event in OF_STAYS]
    both = [*lines, merge(event, later, "1", "2"), link("A37", later + timedelta(hours=1), "1", "2")]
    mixed = list(range(len(both)))
    random.shuffle(mixed)
    assert play(both, mixed) == play(lines, list(range(len(lines))))


@CALM
@given(st.lists(a_message(), max_size=10), st.sampled_from(VISITS), st.randoms(use_true_random=False))
def test_a_visit_that_was_moved_back_never_moved(lines: list[MessageLine], visit: str, random: Any) -> None:
    later = START + timedelta(days=100)
    # The second move names the visit of patient 2: a visit of that number that was always theirs would follow it.
    lines = [each for each in lines if each.event in OF_STAYS and (each.patient, each.visit) != ("2", visit)]
    there = merge("A45", later, "2", "1", visit)
    back = merge("A45", later + timedelta(hours=1), "1", "2", visit)
    both = [*lines, there, back]
    mixed = list(range(len(both)))
    random.shuffle(mixed)
    assert play(both, mixed) == play(lines, list(range(len(lines))))
