"""The laws of the member stage (docs/semantics.md#laws), on made-up histories of one member."""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.topics import ALERTS, ARCHIVE, CANDIDATES
from domain.snapshots import CustodySnapshot, VisitSnapshot
from domain.times import DAY, HOUR, rfc3339
from tests.support.member import Member, a_release, at, recount, revised, snapshot_of

START = at("2025-06-01 00:00")
END = at("2026-09-01")
Snapshot = VisitSnapshot | CustodySnapshot

_KINDS = (
    "emergency",
    "emergency",
    "emergency",
    "inpatient",
    "inpatient",
    "snf",
    "observation",
    "custody",
    "outpatient",
)
_GROUPS = ("HOME", "HOME", "HOME", "ACUTE_TRANSFER", "ADMITTED_HERE", "TO_NF", "HOSPICE", "AMA")
_CODES = ((), ("I10",), ("R079",), ("Z590",), ("O80",))


@st.composite
def a_snapshot(draw: st.DrawFn, number: int) -> list[Snapshot]:
    """One visit or custody record, in one or two revisions."""
    arrived = START + draw(st.integers(0, 440)) * DAY + draw(st.integers(0, 23)) * HOUR
    if draw(st.integers(0, 9)) == 0:
        kind = draw(st.sampled_from(("released", "booked", "scheduled")))
        record = a_release(f"R{number}", "2026-01-01", kind, occurred=arrived, received=arrived)
        return [record]
    stays = draw(st.sampled_from((None, 0, 1, 5, 100)))
    kind = draw(st.sampled_from(_KINDS))
    visit = _visit(draw, number, kind, arrived, stays)
    revisions: list[Snapshot] = [visit]
    if draw(st.integers(0, 3)) == 0:
        change: dict[str, Any] = draw(
            st.sampled_from(
                (
                    {"status": "cancelled"},
                    {"status": "closed"},
                    {"status": "withdrawn"},
                    {"facility": "Harbor"},
                    {"patient_class": "inpatient"},
                    {"diagnoses": ("F200",)},
                    {"disposition_group": "INTO_CUSTODY"},
                )
            )
        )
        revisions.append(revised(visit, **change))
    return revisions


def _visit(draw: st.DrawFn, number: int, kind: str, arrived: int, stays: int | None) -> VisitSnapshot:
    return snapshot_of(
        patient=draw(st.sampled_from(("GENHOSP|1", "HIE|2"))),
        key=f"A|v{number}",
        revision=1,
        status=draw(st.sampled_from(("closed", "closed", "closed", "closed", "cancelled", "hearsay", "expected"))),
        patient_class=kind,
        received=arrived,
        arrived=arrived,
        admitted=arrived if kind == "inpatient" else None,
        departed=None if stays is None else arrived + stays * DAY + HOUR,
        facility=draw(st.sampled_from(("General", "General", "Valley"))),
        facility_type="hospital",
        admission_type=draw(st.sampled_from(("1", "1", "1", "3"))),
        disposition_group="" if stays is None else draw(st.sampled_from(_GROUPS)),
        diagnoses=draw(st.sampled_from(_CODES)),
        flags=draw(st.sampled_from(((), (), ("homeless",), ("from_emergency",)))),
    )


@st.composite
def a_history(draw: st.DrawFn) -> list[Snapshot]:
    """Up to fourteen visits and records over fifteen months; many of them close together."""
    number = draw(st.integers(1, 14))
    return [snapshot for i in range(number) for snapshot in draw(a_snapshot(i))]


MOVED = [
    {"plan": "lacare", "county": "Los Angeles", "from": "2022-01-01", "to": "2026-02-28"},
    {"plan": "healthnet", "county": "Inyo", "from": "2026-03-01"},
]
LEFT = [
    {"plan": "lacare", "county": "Los Angeles", "to": "2025-12-31"},
    {"plan": "hpsj", "county": "San Joaquin", "from": "2026-04-01", "to": "2026-05-31"},
]
a_roster_row = st.fixed_dictionaries(
    {
        "birth_date": st.sampled_from(("1980-01-01", "1980-01-01", "2010-01-01", "2005-03-01")),
        "county": st.sampled_from(("Los Angeles", "Inyo")),
        "ecm": st.sampled_from((None, None, {"status": "enrolled", "from": "2025-08-01", "to": "2026-03-01"})),
        "programmes": st.sampled_from(
            ([], [], [{"id": "pace", "verified": False}], [{"id": "pace", "from": "2026-01-01", "to": "2026-05-01"}])
        ),
        "enrolled_to": st.sampled_from((None, None, "2026-06-01")),
        "enrolment": st.sampled_from((None, None, MOVED, LEFT)),
    }
)
LAWFUL = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def tell(member: Member, fact: Any) -> None:
    """One fact: a snapshot, or a roster row."""
    if isinstance(fact, dict):
        member.roster("2020-01-01", **fact)
    else:
        member.tell(fact)


def folded(facts: list[Any], ticks: dict[int, int] | None = None, answers: dict[str, str] | None = None) -> Member:
    """A member that received the facts in this order, with ticks after some of them, and then the time END."""
    member = Member()
    for place, fact in enumerate(facts):
        tell(member, fact)
        if ticks and place in ticks:
            member.tick(max(member.now, ticks[place]))
    for candidate, status in (answers or {}).items():
        member.answer(candidate, status, "2026-08-20")
    member.tick(END)
    return member


@LAWFUL
@given(a_history(), a_roster_row, st.randoms(use_true_random=False))
def test_any_order_with_any_repeats_ends_the_same(history: list[Snapshot], roster: dict[str, Any], random: Any) -> None:
    facts: list[Any] = [roster, *history]
    shuffled = [*facts, *history[: len(history) // 2]]
    random.shuffle(shuffled)
    assert folded(shuffled).eligibility() == folded(facts).eligibility()


@LAWFUL
@given(a_history(), a_roster_row, st.dictionaries(st.integers(0, 20), st.integers(START, END), max_size=8))
def test_ticks_in_between_do_not_show_in_the_end(
    history: list[Snapshot], roster: dict[str, Any], ticks: dict[int, int]
) -> None:
    facts: list[Any] = [roster, *sorted(history, key=lambda s: s.received)]
    assert folded(facts, ticks).eligibility() == folded(facts).eligibility()


@LAWFUL
@given(a_history(), a_roster_row, st.sampled_from(("declined", "accepted", "enrolled")), st.randoms())
def test_answers_hold_in_any_order(history: list[Snapshot], roster: dict[str, Any], status: str, random: Any) -> None:
    facts: list[Any] = [roster, *history]
    answers = {c["candidate_id"]: status for c in folded(facts).live()}
    random.shuffle(facts)
    assert folded(facts, None, answers).eligibility() == folded([roster, *history], None, answers).eligibility()


@LAWFUL
@given(a_history(), a_roster_row, a_history())
def test_visits_that_were_withdrawn_were_never_there(
    history: list[Snapshot], roster: dict[str, Any], others: list[Snapshot]
) -> None:
    strangers = [revised(s, patient="OTHER|1", key="X" + s.key) for s in others if isinstance(s, VisitSnapshot)]
    gone = [revised(revised(s), status="withdrawn") for s in strangers]
    with_them, without = (
        folded([roster, *strangers, *history, *gone]).eligibility(),
        folded([roster, *history]).eligibility(),
    )
    for name in ("candidates", "watches", "transitions"):
        assert with_them[name] == without[name]


@LAWFUL
@given(
    a_history(),
    st.lists(a_roster_row, min_size=1, max_size=5),
    st.dictionaries(st.integers(0, 30), st.integers(START, END), max_size=8),
    st.randoms(use_true_random=False),
)
def test_revisions_of_a_subject_count_up_by_one_and_its_alerts_never_go_back(
    history: list[Snapshot], rosters: list[dict[str, Any]], ticks: dict[int, int], random: Any
) -> None:
    """A subject contains its member, so one row numbers it, in one transaction with what it emits and on one partition.

    So a reader of committed records sees each subject's revisions in order. Not so one that reads uncommitted records
    (those of an aborted transaction are emitted again under the same numbers) or orders records of several partitions
    by their time.
    """
    facts: list[Any] = [*rosters, *history, *history[: len(history) // 2], *rosters[:2]]
    random.shuffle(facts)
    member = folded(facts, ticks)
    answers = {candidate["candidate_id"]: "declined" for candidate in member.live()}
    for candidate, status in answers.items():
        member.answer(candidate, status, "2026-08-20")
    member.left_roster("2026-08-30")
    tell(member, rosters[0])
    last: dict[tuple[str, str], int] = {}
    for emit in member.emits:
        headers = dict(emit.headers)
        subject = headers["ce_subject"].decode()
        revision = int(headers["ce_id"].decode().rpartition("/")[2])
        before = last.get((emit.topic, subject), 0)
        if emit.topic == ALERTS:
            assert revision > before, subject  # revisions from before the member was in ECM have no alert
        elif emit.topic != ARCHIVE:
            assert revision == before + 1, (emit.topic, subject)
        last[emit.topic, subject] = revision


@LAWFUL
@given(a_history(), a_roster_row)
def test_the_evidence_of_every_candidate_is_enough_to_recount_it(
    history: list[Snapshot], roster: dict[str, Any]
) -> None:
    member = folded([roster, *sorted(history, key=lambda s: s.received)])
    for emit in member.emits:
        if emit.topic != CANDIDATES:
            continue
        (candidate,) = member.last(CANDIDATES, [emit]).values()
        counts = candidate["counts"]
        assert recount(candidate) == {name: n for name, n in counts.items() if name != "required"}
        first, last = (date.fromisoformat(candidate["window"][name]) for name in ("from", "to"))
        for line in candidate["evidence"]:
            if line["counted"]:
                moments = [date.fromisoformat(line[n][:10]) for n in ("arrived", "departed") if line[n]]
                assert any(first <= day <= last for day in moments)
        if candidate["status"] in ("raised", "amended") and candidate["population"] in ("2a", "2c"):
            stays = counts["inpatient"] + counts["snf"]
            required = counts["required"]
            assert counts["ed"] >= required["ed"] or stays >= required["inpatient_or_snf"]
            assert candidate["opened_by"] is not None


@LAWFUL
@given(a_history(), a_roster_row)
def test_a_row_is_due_when_and_only_when_something_may_change(history: list[Snapshot], roster: dict[str, Any]) -> None:
    """A tick a moment before the due time would say nothing, and going from due to due misses nothing."""
    facts: list[Any] = [roster, *sorted(history, key=lambda s: s.received)]
    stepping = Member()
    for fact in facts:
        tell(stepping, fact)
    steps = 0
    while stepping.row is not None and (due := stepping.stage.next_due(stepping.row)) is not None and due <= END:
        assert due > stepping.now or steps == 0, rfc3339(due)
        eager = Member()
        eager.row, eager.now = stepping.row, stepping.now
        assert eager.tick(due - 1) == []
        stepping.tick(due)
        steps += 1
        assert steps < 400
    stepping.tick(END)
    assert stepping.eligibility() == folded(facts).eligibility()
