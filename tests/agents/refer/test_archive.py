"""Proofs of old visits leave a member's row: nothing else that is said about the member shows it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import refer
from agents.refer.compress import pack, unpack
from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Emit, Record, Stage
from agents.runtime.store import ChunkResult, MemoryStore, decoded, envelope, row_of
from agents.topics import ARCHIVE, CANDIDATES, ROSTER, TICKS, VISITS
from domain.member.archive import archive_id, is_over
from domain.member.row import MemberRow
from domain.member.visits import from_snapshot
from domain.snapshots import Source, VisitSnapshot
from domain.times import DAY
from parsers.records.ticks import Tick, write_tick
from parsers.records.visits import encode_snapshot
from tests.agents.refer.test_member_laws import END, LAWFUL, Snapshot, a_history, a_roster_row, tell
from tests.support.member import MEMBER, Member, a_roster, a_visit, at, changed, revised, the_rules

NEVER = 1 << 40
YEAR = 365 * DAY


def the_row(member: Member) -> MemberRow:
    assert member.row is not None
    return member.row


def archived(member: Member) -> dict[str, dict[str, Any]]:
    """What a compacted `member.archive.v1` holds, by visit."""
    return {document["visit"]: document for document in member.last(ARCHIVE).values()}


def old_visits(number: int, year: int = 2022) -> list[VisitSnapshot]:
    """ED visits eleven days apart, each given a day after it."""
    first = at(f"{year}-01-01 10:00")
    visits = []
    for n in range(number):
        visit = a_visit(f"old{n}", "2022-01-01 10:00")
        moved = first + n * 11 * DAY
        visits.append(changed(visit, arrived=moved, departed=moved + 3_600_000, received=moved + DAY))
    return visits


def without_messages(documents: dict[str, Any], visits: set[str]) -> dict[str, Any]:
    """What stands, with the messages of those visits left out of evidence."""
    for name in ("candidates", "watches"):
        for document in documents[name].values():
            for line in document["evidence"]:
                if line["visit"] in visits:
                    line["messages"] = []
    return documents


# ---- laws


RECENT: list[Snapshot] = [a_visit(f"recent{n}", f"2026-07-{n + 1:02}") for n in range(5)]
a_member = st.one_of(st.just(dict[str, Any]()), a_roster_row)
CHAIN: list[Snapshot] = [*old_visits(20, 2024), *old_visits(30, 2025)]


def moved_back(snapshot: Snapshot, years: int) -> Snapshot:
    """The same, some years earlier, known when it happened."""
    changes = {"received": snapshot.received - years * YEAR}
    for name in ("arrived", "admitted", "departed", "occurred"):
        when = getattr(snapshot, name, None)
        if when is not None:
            changes[name] = when - years * YEAR
    if isinstance(snapshot, VisitSnapshot):
        key = snapshot.key
        return changed(snapshot, messages=(Source("general", f"M{key}", "adt.raw.v1/0/7"),), **changes)
    return changed(snapshot, **changes)


@st.composite
def a_long_history(draw: st.DrawFn) -> list[Snapshot]:
    """A history whose visits lie up to five years back; all revisions of one lie in the same year."""
    history = draw(a_history())
    # What is old shows in what stands now: so there is often something that stands.
    history += draw(st.sampled_from(([], RECENT, RECENT, CHAIN, CHAIN)))
    names = sorted({_name(snapshot) for snapshot in history})
    years = {name: draw(st.sampled_from((0, 2, 3, 5))) for name in names if name.startswith(("A|", "R"))}
    return [moved_back(snapshot, years.get(_name(snapshot), 0)) for snapshot in history]


def _name(snapshot: Snapshot) -> str:
    return snapshot.key if isinstance(snapshot, VisitSnapshot) else snapshot.record_id


def ends_so(facts: Sequence[Any], ticks: dict[int, int], archive_at: int) -> Member:
    member = Member(archive_at=archive_at)
    for place, fact in enumerate(facts):
        tell(member, fact)
        if place in ticks:
            member.tick(max(member.now, ticks[place]))
    member.tick(END)
    return member


@LAWFUL
@given(
    a_long_history(),
    a_member,
    st.sampled_from((1, 1_500, 4_000)),
    st.dictionaries(st.integers(0, 20), st.integers(END - 5 * YEAR, END), max_size=4),
    st.randoms(use_true_random=False),
)
def test_an_archive_does_not_show_whatever_the_order(
    history: list[Snapshot], roster: dict[str, Any], archive_at: int, ticks: dict[int, int], random: Any
) -> None:
    facts: list[Any] = [roster, *history, *history[: len(history) // 2]]
    random.shuffle(facts)
    small, large = ends_so(facts, ticks, archive_at), ends_so(facts, ticks, NEVER)
    moved = set(archived(small))
    assert without_messages(small.eligibility(), moved) == without_messages(large.eligibility(), moved)
    assert small.row is None or the_row(small).next_due == the_row(large).next_due
    # Not only in the end: record by record the same was said, the archive's own records aside.
    said = [(e.topic, e.key, dict(e.headers)["ce_id"]) for e in small.emits if e.topic != ARCHIVE]
    assert said == [(e.topic, e.key, dict(e.headers)["ce_id"]) for e in large.emits]
    assert not archived(large)


@LAWFUL
@given(a_long_history(), a_member, st.sampled_from((1, 1_500, 4_000)), st.randoms(use_true_random=False))
def test_the_topic_holds_what_the_row_says_is_archived(
    history: list[Snapshot], roster: dict[str, Any], archive_at: int, random: Any
) -> None:
    facts: list[Any] = [roster, *history]
    random.shuffle(facts)
    member = Member(archive_at=archive_at)
    names: list[bytes] = []
    for fact in facts:
        seen = len(member.emits)
        tell(member, fact)
        names += [dict(e.headers)["ce_id"] for e in member.emits[seen:] if e.topic == ARCHIVE]
        row = member.row
        here = {} if row is None else {archive_id(MEMBER, v): v.revision for v in row.visits if v.archived}
        assert {name: document["revision"] for name, document in member.last(ARCHIVE).items()} == here
    assert len(names) == len(set(names))


# ---- chunks


@dataclass
class Ran:
    rows: dict[str, MemberRow]
    emits: list[Emit]
    faults: list[str]


def in_chunks(stage: Stage, records: Sequence[Record], size: int, row_limit: int = 512 * 1024) -> Ran:
    """The records decided in chunks of `size`, each chunk before the one ahead of it is folded, as the engine does."""
    rows, pending, emits, faults = MemoryStore(), None, list[Emit](), list[str]()
    for start in range(0, len(records), size):
        result: ChunkResult = decide_chunk(
            stage, rows, records[start : start + size], pending=pending, row_limit=row_limit
        )
        if pending is not None:
            rows.apply_committed(pending)
        pending = result
        emits += result.emits
        faults += [fault.code for fault in result.faults]
    if pending is not None:
        rows.apply_committed(pending)
    return Ran(decoded(rows, stage), emits, faults)


def a_partition() -> list[Record]:
    """Three members over five years, their corrections, and a tick now and then."""
    given: list[tuple[int, str, str, bytes]] = []
    for number, member in enumerate(("91234567A", "91234567C", "91234567D")):
        given.append(
            (at("2020-01-01") + number, member, ROSTER, json.dumps(a_roster(member_id=member, cin=member)).encode())
        )
        for visit in old_visits(60 + 20 * number):
            given.append((visit.received, member, VISITS, encode_snapshot(visit, member)))
        late = revised(old_visits(4)[3], facility="Harbor", received=at("2026-02-01") + number)
        gone = revised(old_visits(2)[1], status="withdrawn", received=at("2026-02-02") + number)
        moved = revised(old_visits(6)[5], departed=at("2026-01-30"), received=at("2026-02-03") + number)
        given += [(each.received, member, VISITS, encode_snapshot(each, member)) for each in (late, gone, moved)]
        for n in range(6):
            visit = a_visit(f"new{n}", f"2025-12-{n + 1:02}")
            given.append((visit.received, member, VISITS, encode_snapshot(visit, member)))
    ticks = [at(day) for day in ("2023-05-01", "2024-05-01", "2026-03-01")]
    given += [(when, "0", TICKS, write_tick(Tick(when))) for when in ticks]
    given.sort()
    return [
        Record(topic, 0, offset, key.encode(), value, when, {"received": str(when).encode()})
        for offset, (when, key, topic, value) in enumerate(given)
    ]


def test_chunks_do_not_show() -> None:
    stage, records = refer.stage(the_rules(), archive_at=6_000), a_partition()
    whole = in_chunks(stage, records, 2_000)
    assert sum(emit.topic == ARCHIVE and emit.value is not None for emit in whole.emits) > 100
    assert any(emit.topic == ARCHIVE and emit.value is None for emit in whole.emits)
    for size in (1, 7):
        cut = in_chunks(stage, records, size)
        assert cut.emits == whole.emits
        assert cut.rows == whole.rows
        assert not cut.faults


def test_the_same_records_give_the_same_again() -> None:
    records = a_partition()
    one, other = (in_chunks(refer.stage(the_rules(), archive_at=6_000), records, 50) for _ in range(2))
    assert one == other


# ---- the limit


def told_in_one_day(number: int, day: str) -> list[Record]:
    """One member's visits of one day, many of them, all given in that hour."""
    when = at(day)
    visits = [a_visit(f"v{n}", day, departed=day, received=when) for n in range(number)]
    return [
        Record(VISITS, 0, n, MEMBER.encode(), encode_snapshot(visit, MEMBER), when, {"received": str(when).encode()})
        for n, visit in enumerate(visits)
    ]


def test_a_row_that_may_not_archive_quarantines_what_would_outgrow_it() -> None:
    stage = refer.stage(the_rules(), archive_at=6_000)
    new = in_chunks(stage, told_in_one_day(60, "2026-03-01"), 7, row_limit=8_000)
    assert set(new.faults) == {"row-too-large"}
    assert not [emit for emit in new.emits if emit.topic == ARCHIVE]
    # The same visits, but given years later: they may go, and the row takes all of them.
    late = [
        msgspec.structs.replace(r, timestamp=at("2029-01-01"), headers={}) for r in told_in_one_day(60, "2026-03-01")
    ]
    old = in_chunks(stage, late, 7, row_limit=8_000)
    assert not old.faults
    assert len(old.rows[MEMBER].visits) == 60
    assert len(stage.encode(old.rows[MEMBER])) < 8_000


def test_a_row_under_its_mark_archives_nothing_and_is_written_plain() -> None:
    member = Member()
    member.roster()
    member.tell(*old_visits(40))
    member.tell(a_visit("new", "2026-03-01"))
    assert not archived(member)
    encoded = member.stage.encode(the_row(member))
    assert encoded == msgspec.msgpack.encode(the_row(member))


def test_a_long_history_takes_a_quarter_of_its_room() -> None:
    small, large = Member(archive_at=1), Member(archive_at=NEVER)
    for member in (small, large):
        for visit in old_visits(200, 2018):
            when = visit.received
            sources = tuple(Source("general", f"{when}{n}", f"adt.raw.v1/3/{when}") for n in (1, 2, 3))
            member.tell(changed(visit, messages=sources))
        member.tell(a_visit("new", "2026-03-01"))
    assert len(small.stage.encode(the_row(small))) * 4 < len(large.stage.encode(the_row(large)))


def test_the_oldest_go_first_and_no_more_than_needed() -> None:
    member = Member(archive_at=45_000)
    many = tuple(Source("general", f"C{n}", f"adt.raw.v1/0/{n}") for n in range(40))
    member.tell(*(changed(visit, messages=many) for visit in old_visits(40)))
    assert not archived(member)
    member.tell(a_visit("new", "2026-03-01"))
    gone = [visit.archived for visit in the_row(member).visits]
    assert gone == sorted(gone, reverse=True)
    assert 10 < sum(gone) < 35
    assert 25_000 < len(msgspec.msgpack.encode(the_row(member))) <= 30_000


# ---- what goes and what stays


def full(*visits: VisitSnapshot, when: str = "2026-03-01") -> Member:
    """A member whose row archives whatever it may, once something new is given at `when`."""
    member = Member(archive_at=1)
    member.roster()
    member.tell(*visits)
    member.tell(a_visit("trigger", when))
    return member


@pytest.mark.parametrize(
    ("status", "kind", "departed", "over"),
    [
        ("closed", "inpatient", "2024-11-30", True),
        ("closed", "inpatient", "2024-12-01", False),
        ("cancelled", "inpatient", "2024-11-30", True),
        ("hearsay", "emergency", "2024-11-30", True),
        ("expected", "inpatient", None, True),
        ("open", "inpatient", None, False),
        ("open", "snf", None, False),
        ("open", "custody", None, False),
        ("open", "emergency", None, True),
    ],
)
def test_a_visit_is_over_fifteen_months_after_its_end(status: str, kind: str, departed: str | None, over: bool) -> None:
    visit = a_visit("a", "2024-10-01", kind, departed=departed, status=status)
    assert is_over(from_snapshot(visit), at("2026-03-01"), 15) is over
    assert ("GENHOSP|a" in archived(full(visit))) is over


def test_an_archived_visit_is_whole_on_the_topic() -> None:
    visit = a_visit("a", "2023-01-05 10:00", "inpatient", departed="2023-01-09 11:00", diagnoses=("I10",))
    document = archived(full(visit))["GENHOSP|a"]
    assert document["messages"] == [{"sender": "general", "control_id": "Ma", "at": "adt.raw.v1/0/1"}]
    assert (document["arrived"], document["departed"]) == ("2023-01-05T10:00:00-08:00", "2023-01-09T11:00:00-08:00")
    assert (document["class"], document["status"], document["revision"]) == ("inpatient", "closed", 1)
    assert document["member_id"] == MEMBER
    assert "birth" not in json.dumps(document)


def test_evidence_that_stands_keeps_its_messages() -> None:
    """Release rules show a condition however old the visit that showed it: such a visit does not go."""
    shows = a_visit("shows", "2022-01-05", diagnoses=("F200",))
    silent = a_visit("silent", "2022-02-05", diagnoses=("S0990",))
    member = Member(archive_at=1)
    member.roster()
    release = a_visit("jail", "2026-01-02", "custody", facility="County Jail", facility_type="jail")
    member.tell(shows, silent, release, a_visit("trigger", "2026-01-20"))
    lines = {line["visit"]: line for candidate in member.live() for line in candidate["evidence"]}
    assert lines["GENHOSP|shows"]["messages"]
    assert set(archived(member)) == {"GENHOSP|silent"}


def test_a_chain_that_began_in_archived_visits_keeps_its_candidate() -> None:
    """Five years of visits every eleven days are one candidate: archiving its opener must not open another."""
    member, other = Member(archive_at=1), Member(archive_at=NEVER)
    for each in (member, other):
        each.roster()
        each.tell(*old_visits(5 * 33, 2021))
    assert len(archived(member)) > 80
    (candidate,) = [c for c in member.live() if c["population"] == "2a"]
    assert candidate["opened_by"] in archived(member)
    assert candidate["candidate_id"] in {c["candidate_id"] for c in other.live()}
    assert {e.key for e in member.emits if e.topic == CANDIDATES} == {
        e.key for e in other.emits if e.topic == CANDIDATES
    }


def test_an_answer_to_a_candidate_of_long_ago_shows_its_visits_without_messages() -> None:
    small, large = Member(archive_at=1), Member(archive_at=NEVER)
    for member in (small, large):
        member.roster()
        member.tell(*old_visits(5))
        (candidate,) = (c["candidate_id"] for c in member.candidates() if c["population"] == "2a")
        member.tick("2026-02-01")
        member.tell(a_visit("trigger", "2026-03-01"))
        member.answer(candidate, "declined", "2026-03-02")
    (one,), (other,) = ([c for c in m.candidates() if c["population"] == "2a"] for m in (small, large))
    assert one["status"] == "closed"
    assert all(line["messages"] for line in other["evidence"])
    assert not any(line["messages"] for line in one["evidence"])
    for document in (one, other):
        for line in document["evidence"]:
            line["messages"] = []
    assert one == other


# ---- late corrections


def test_a_snapshot_that_is_known_changes_nothing() -> None:
    visit = a_visit("a", "2023-01-05")
    member = full(visit)
    row = member.row
    assert member.tell(visit) == []
    assert member.tell(changed(visit, revision=0)) == []
    assert member.row is row


def test_a_correction_outside_every_look_back_replaces_the_record() -> None:
    visit = a_visit("a", "2023-01-05")
    member = full(visit)
    emits = member.tell(revised(visit, facility="Harbor", received=at("2026-03-02")))
    (record,) = [emit for emit in emits if emit.topic == ARCHIVE]
    assert (archived(member)["GENHOSP|a"]["revision"], archived(member)["GENHOSP|a"]["facility"]) == (2, "Harbor")
    assert record.key == archive_id(MEMBER, from_snapshot(visit)).encode()
    assert [visit.archived for visit in the_row(member).visits] == [True, False]


def test_a_correction_is_archived_again_though_the_row_has_room() -> None:
    visit = a_visit("a", "2023-01-05")
    member = full(visit)
    roomy = Member()
    roomy.row, roomy.now = member.row, member.now
    roomy.tell(revised(visit, facility="Harbor", received=at("2026-03-02")))
    assert archived(roomy)["GENHOSP|a"]["revision"] == 2


def test_a_visit_that_turns_out_to_be_recent_comes_back() -> None:
    visit = a_visit("a", "2023-01-05", "snf")
    member = full(visit)
    assert "GENHOSP|a" in archived(member)
    member.tell(revised(visit, departed=at("2026-02-20"), received=at("2026-03-02")))
    assert "GENHOSP|a" not in archived(member)
    assert not any(held.archived for held in the_row(member).visits)
    assert ("nf_long_stay", "asserted") in member.transitions()


def test_a_visit_that_is_withdrawn_leaves_the_archive_too() -> None:
    visit = a_visit("a", "2023-01-05")
    member = full(visit)
    emits = member.tell(revised(visit, status="withdrawn", received=at("2026-03-02")))
    assert [(emit.topic, emit.value) for emit in emits if emit.topic == ARCHIVE] == [(ARCHIVE, None)]
    assert [held.visit for held in the_row(member).visits] == ["GENHOSP|trigger"]
    assert ("ed_arrival", "retracted") in member.transitions()
    assert member.tell(visit) == []


def test_records_name_no_member() -> None:
    member = full(a_visit("a", "2023-01-05"))
    member.tell(revised(a_visit("a", "2023-01-05"), status="withdrawn", received=at("2026-03-02")))
    records = [emit for emit in member.emits if emit.topic == ARCHIVE]
    assert [dict(e.headers)["ce_type"] for e in records] == [b"handoff.visit.archived", b"handoff.visit.restored"]
    for emit in records:
        assert emit.key == dict(emit.headers)["ce_subject"]
        assert MEMBER.encode() not in b"".join([emit.key, *dict(emit.headers).values()])


# ---- rows


def test_a_packed_row_is_read_and_takes_little() -> None:
    stage = refer.stage(the_rules(), archive_at=1)
    member = full(*old_visits(30))
    body = stage.encode(the_row(member))
    assert body[0] in (0xC4, 0xC5, 0xC6)
    assert row_of(stage, envelope(stage.schema, None, body)) == the_row(member)
    assert unpack(body) == msgspec.msgpack.encode(the_row(member))
    assert stage.decode(unpack(body)) == the_row(member)


def test_what_an_earlier_build_of_zlib_packed_is_read() -> None:
    """Stored blocks, as no level of ours writes them: the reader takes any deflated bytes."""
    row = the_row(full(a_visit("a", "2023-01-05")))
    stored = msgspec.msgpack.encode(zlib.compress(msgspec.msgpack.encode(row), 0))
    assert stored != pack(msgspec.msgpack.encode(row))
    assert refer.stage(the_rules()).decode(stored) == row


def test_a_row_of_version_1_archives_like_any_other() -> None:
    plain = Member(archive_at=NEVER)
    plain.roster()
    plain.tell(a_visit("a", "2023-01-05"))
    first = msgspec.msgpack.decode(plain.stage.encode(the_row(plain)))
    member = Member(archive_at=1)
    member.row = row_of(member.stage, envelope(1, None, msgspec.msgpack.encode([1, *first[1:]])))
    assert member.row == plain.row
    member.tell(a_visit("trigger", "2026-03-01"))
    assert set(archived(member)) == {"GENHOSP|a"}
