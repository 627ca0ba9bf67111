"""Law 6: SQL over the whole history of messages finds the visits, counts and live candidates that the stream found."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from domain.patient.publish import current_snapshots
from domain.snapshots import VisitSnapshot
from simulator.county import County, simulate
from simulator.world import ZONE
from tests.oracle.batch import Batch
from tests.support.replaying import LIVE, Played, play_county

COUNTIES = [(51, "2026-06-30"), (52, "2024-02-29"), (53, "2025-11-03")]
PLACES = ("Los Angeles", "Inyo", "San Joaquin")
REFUSED = ("child_of", "identity-conflict")


def county_of(seed: int, end: str, members: int = 120, days: int = 420) -> County:
    noon = int(datetime.fromisoformat(f"{end} 12:00").replace(tzinfo=ZONE).timestamp()) * 1000
    return simulate(members, days, seed, noon)


def moved(county: County, end: str, seed: int) -> County:
    """The county with people who changed plan, moved to another county, or were without a plan for a while."""
    random, last = Random(seed), date.fromisoformat(end).toordinal()

    def day(ordinal: int) -> str:
        return date.fromordinal(ordinal).isoformat()

    def row_of(row: dict[str, Any]) -> dict[str, Any]:
        change = last - random.randint(5, 400)
        gap = random.choice((0, 0, 20, 90))
        there = {"plan": row["plan"], "county": row["county"], "delegate": None}
        here = {"plan": random.choice((row["plan"], "kaiser")), "county": random.choice(PLACES), "delegate": None}
        first = {**there, "from": "2020-01-01", "to": day(change - 1 - gap)}
        second = {**here, "from": day(change), "to": random.choice((None, None, day(change + 60)))}
        none = dict.fromkeys(("plan", "county"), "") | dict.fromkeys(("enrolled_from", "enrolled_to"))
        return {**row, **none, "enrolment": [first, second]}

    rows = [row_of(row) if random.random() < 0.6 else row for row in county.roster]
    return msgspec.structs.replace(county, roster=rows)


def compare(county: County, folder: Path) -> None:
    batch, played = Batch(county, folder), play_county(county)
    assert visits_of(played) == {
        key: (each["member"], each["status"], *_times(each)) for key, each in batch.visits().items()
    }
    refused = {patient: why for patient, why in played.unattributed.items() if why in REFUSED}
    assert refused == batch.refusals()
    counted = batch.counts()
    for row in county.roster:
        for months in (6, 12):
            none = {"ed": 0, "inpatient": 0, "snf": 0}
            assert played.counts(row["member_id"], months) == counted.get((row["member_id"], months), none)
    ours = {
        (each["member_id"], each["population"]): each["opened_by"]
        for each in played.candidates.values()
        if each["status"] in LIVE
    }
    theirs = batch.candidates()
    assert ours.keys() == theirs.keys()
    assert all(ours[name] in theirs[name] for name in ours)
    assert ours


def visits_of(played: Played) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for row in played.replay.rows("reconcile").values():
        for member, snapshot in current_snapshots(row):
            if member and isinstance(snapshot, VisitSnapshot):
                each = msgspec.structs.asdict(snapshot.visit)
                each["class"] = snapshot.visit.patient_class
                found[snapshot.key] = (member, snapshot.visit.status, *_times(each))
    return found


def _times(each: dict[str, object]) -> tuple[object, ...]:
    """What is compared of a visit beyond its status: of one that did not take place, nothing."""
    if each["status"] not in ("open", "closed"):
        return ()
    admitted = each["admitted"] if each["class"] == "inpatient" else None
    return each["class"], each["facility"], each["arrived"], admitted, each["departed"], each["disposition"]


@pytest.mark.parametrize(("seed", "end"), COUNTIES)
def test_the_stream_answers_as_the_batch_does(seed: int, end: str, tmp_path: Path) -> None:
    compare(county_of(seed, end), tmp_path)


@pytest.mark.parametrize(("seed", "end"), [(54, "2026-06-30"), (55, "2022-09-30"), (56, "2023-11-15")])
def test_people_who_change_plan_and_county_are_judged_as_the_batch_does(seed: int, end: str, tmp_path: Path) -> None:
    compare(moved(county_of(seed, end), end, seed), tmp_path)


@pytest.mark.large
@pytest.mark.parametrize("seed", range(200, 220))
def test_in_large(seed: int, tmp_path: Path) -> None:
    compare(county_of(seed, "2026-06-30", members=1_000, days=730), tmp_path)
