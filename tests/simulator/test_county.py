"""A county is the same for the same seed, and its messages, read as any receiver would, tell the truth about it."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from domain.patient.events import AdtEvent
from domain.patient.fold import fold_event
from domain.patient.publish import current_snapshots
from domain.patient.row import Hashes, PatientRow, new_row
from domain.snapshots import Source, VisitSnapshot
from domain.times import instant
from handoff.declarations.senders import load_senders
from parsers.hl7.adt import read_adt
from parsers.hl7.envelope import read_envelope
from parsers.records.custody import load_custody
from parsers.records.roster_file import load_roster
from simulator.county import County, simulate, write
from simulator.places import DIALECTS, SENDERS

END = int(datetime(2026, 6, 30, 12, tzinfo=ZoneInfo("America/Los_Angeles")).timestamp()) * 1000
PROFILES = load_senders(SENDERS)


@pytest.fixture(scope="module")
def county() -> County:
    return simulate(members=120, days=400, seed=11, end=END)


@pytest.fixture(scope="module")
def events(county: County) -> list[AdtEvent]:
    return [read_adt(message.hl7.encode(), PROFILES.named(message.sender)) for message in county.messages]


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write(simulate(members=25, days=90, seed=3, end=END), tmp_path / folder)
    names = {"messages.jsonl", "roster.jsonl", "custody.jsonl", "truth.json"}
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_is_another_county() -> None:
    one, two = (simulate(members=10, days=60, seed=seed, end=END) for seed in (1, 2))
    assert one.messages != two.messages
    assert one.roster != two.roster


def test_who_is_there_does_not_depend_on_how_many_there_are() -> None:
    few, many = (simulate(members=members, days=90, seed=5, end=END) for members in (5, 30))
    assert few.roster == many.roster[:5]
    assert few.truth["members"] == many.truth["members"][:5]


def test_messages_arrive_in_order_before_the_end_and_none_before_it_was_built(
    county: County, events: list[AdtEvent]
) -> None:
    received = [message.received for message in county.messages]
    assert received == sorted(received)
    assert received[-1] < END
    for message, event in zip(county.messages, events, strict=True):
        assert message.received >= event.recorded


def test_every_message_names_its_sender(county: County) -> None:
    for message in county.messages:
        header = read_envelope(message.hl7.encode())
        assert PROFILES.choose(header.sending_app, header.sending_facility).name == message.sender


def test_all_senders_and_triggers_are_heard(county: County, events: list[AdtEvent]) -> None:
    assert {message.sender for message in county.messages} == set(DIALECTS)
    wanted = ["A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A11", "A12", "A13"]
    wanted += ["A24", "A31", "A37", "A38", "A40", "A44", "A45"]
    assert {event.trigger for event in events} == set(wanted)


def test_there_is_trouble_of_every_kind(county: County, events: list[AdtEvent]) -> None:
    assert max(Counter(message.hl7 for message in county.messages).values()) > 1, "no repeats"
    assert any(not event.control_id for event in events), "no missing control IDs"
    contents: dict[tuple[str, str], set[str]] = {}
    for message, event in zip(county.messages, events, strict=True):
        contents.setdefault((message.sender, event.control_id), set()).add(message.hl7)
    assert any(len(each) > 1 for (_, control), each in contents.items() if control), "no control ID used twice"
    last: dict[str, int] = {}
    late = early = 0
    cancelled: set[str] = set()
    for event in events:
        late += event.recorded < last.get(event.patient, 0)
        last[event.patient] = max(event.recorded, last.get(event.patient, 0))
        if event.visit is not None and event.trigger == "A11":
            cancelled.add(event.visit.key)
        elif event.visit is not None and event.trigger in ("A01", "A04"):
            early += event.visit.key in cancelled
    assert late > 20, "no disorder"
    assert early > 0, "no cancel before what it cancels"


def test_roster_and_custody_can_be_loaded(county: County) -> None:
    lines = (msgspec.json.encode(row) for row in county.roster)
    members = load_roster(b"\n".join(lines))
    assert members.faults == ()
    assert len(members.documents) == 120
    records = load_custody(b"\n".join(msgspec.json.encode(row) for row in county.custody))
    assert records.faults == ()
    assert {record.kind for record in records.documents} >= {"booked", "released"}


def fold(county: County, events: list[AdtEvent]) -> dict[str, PatientRow]:
    rows: dict[str, PatientRow] = {}
    for message, event in zip(county.messages, events, strict=True):
        row = rows.get(event.patient) or new_row(event.patient, message.received)
        source = Source(message.sender, event.control_id, "")
        rows[event.patient] = fold_event(row, event, source, message.received, Hashes())
    return rows


def test_what_the_messages_add_up_to_is_what_happened(county: County, events: list[AdtEvent]) -> None:
    rows = fold(county, events)
    held: dict[str, VisitSnapshot] = {}
    for row in rows.values():
        for _, snapshot in current_snapshots(row):
            if isinstance(snapshot, VisitSnapshot):
                held[snapshot.key] = snapshot
    compared = 0
    for member in county.truth["members"]:
        for visit in member["visits"]:
            for key in visit["keys"]:
                compared += 1
                snapshot = held[key]
                assert snapshot.visit.status == visit["status"], key
                if visit["status"] in ("cancelled", "expected"):
                    continue
                assert snapshot.visit.patient_class == visit["class"], key
                assert snapshot.visit.facility == visit["facility"], key
                assert snapshot.visit.disposition == visit["disposition"], key
                assert list(snapshot.visit.diagnoses) == visit["diagnoses"], key
                for name in ("arrived", "admitted", "departed"):
                    seen, true = getattr(snapshot.visit, name), visit[name]
                    # One sender writes whole minutes.
                    assert (seen is None) == (true is None), (key, name)
                    assert seen is None or 0 <= instant(true) - seen < 60_000, (key, name)
    assert compared > 500


def test_wrong_numbers_are_merged_into_the_right_ones(county: County, events: list[AdtEvent]) -> None:
    merged = {(merge.other, merge.survivor) for event in events for merge in event.merges if merge.unit == "patient"}
    told = {
        (DIALECTS[each.sender].patient_key(each.retired), DIALECTS[each.sender].patient_key(each.survivor))
        for each in county.world.mergers
        if each.trigger == "A40"
    }
    assert merged == told
    assert len(told) > 3


def test_the_exchange_repeats_visits_under_numbers_of_its_own(county: County) -> None:
    twice = [visit for member in county.truth["members"] for visit in member["visits"] if len(visit["keys"]) == 2]
    assert len(twice) > 50
    assert all(visit["keys"][1].startswith("GOLDENX|") for visit in twice)


def test_a_county_without_trouble_repeats_nothing() -> None:
    calm = simulate(members=20, days=120, seed=4, end=END, quiet=True)
    with_control = [each.hl7 for each in calm.messages if DIALECTS[each.sender].control == "counter"]
    assert len(set(with_control)) == len(with_control)


@pytest.mark.parametrize(("members", "days", "end"), [(0, 10, END), (5, 1, END), (5, 10, 0)])
def test_nobody_no_time_or_a_far_end_cannot_be_simulated(members: int, days: int, end: int) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        simulate(members=members, days=days, seed=1, end=end)


@pytest.mark.parametrize("end_day", [date(2026, 3, 8), date(2025, 11, 2), date(2024, 2, 29), date(2026, 8, 31)])
def test_any_day_can_be_the_last(end_day: date) -> None:
    zone = ZoneInfo("America/Los_Angeles")
    end = int(datetime(end_day.year, end_day.month, end_day.day, 13, tzinfo=zone).timestamp()) * 1000
    made = simulate(members=20, days=200, seed=8, end=end)
    assert made.messages
    assert made.truth["end"].startswith(end_day.isoformat())
