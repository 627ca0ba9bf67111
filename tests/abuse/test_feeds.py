"""Feeds that stopped, looped or flooded a worker once, through a whole system: each ends, and what follows goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.topics import ADT_RAW, TICKS
from domain.times import DAY, MINUTE
from handoff.demo import run
from parsers.records.ticks import Tick, write_tick
from tests.support.abused import Abused, abused, adt, cin, padded

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

MEMORY_MIB = 600
"""Resident memory that a worker may take, whatever it is sent."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abused]:
    with abused(tmp_path_factory.mktemp("abused")) as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(system: Abused) -> Iterator[None]:
    """No process of the system ended during the test, and none has grown past the bound."""
    before = system.exits()
    yield
    assert system.exits() == before
    memory = system.memory()
    print(f"peak memory, MiB: {memory}")  # noqa: T201 - the figures are part of what the test says
    workers = [peak for name, peak in memory.items() if name.startswith("work")]
    assert max(workers) < MEMORY_MIB


def visits(number: str, count: int, now: int, index: int = 0) -> list[bytes]:
    """One message each of that many ED visits of a patient, the latest yesterday."""
    own = cin(index) if index else ""
    return [adt("A04", now - (n + 1) * DAY // 4, number, visit=f"{number}V{n}", cin=own) for n in range(count)]


def test_a_ring_of_forty_merges_comes_to_rest(system: Abused) -> None:
    now, size = run.now_ms(), 40
    before = system.counts()
    known = [adt("A04", now - DAY, f"r{n}", visit=f"R{n}", cin=cin(100 + n)) for n in range(size)]
    merges = [adt("A40", now - n * MINUTE, f"r{(n + 1) % size}", mrg=f"r{n}") for n in range(size)]
    assert system.send([*known, *merges]).codes == {"AA": 2 * size}
    seconds = system.drain(60)
    after = system.counts()
    made = {topic: after[topic] - before[topic] for topic in after}
    print(f"a ring of {size} merges: {made}, {seconds:.1f} s")  # noqa: T201
    assert sum(made.values()) < 60 * size


def test_two_long_lives_are_merged(system: Abused) -> None:
    now = run.now_ms()
    first, second = visits("longA", 900, now, 201), visits("longB", 900, now, 202)
    assert system.send([*first, *second]).codes == {"AA": 1_800}
    system.drain(120)
    assert system.send([adt("A40", now, "longA", mrg="longB")]).codes == {"AA": 1}
    seconds = system.drain(60)
    print(f"two lives of 900 visits merged: {seconds:.1f} s")  # noqa: T201


@pytest.mark.parametrize(
    ("what", "unit"),
    [
        ("remarks", "NTE|{}||an invented remark of an ordinary length"),
        ("diagnoses", "DG1|{}||I10^Hypertension^I10"),
        ("insurances", "IN1|{}|PLAN|LACARE|||||||||||||||||||||||||||||||||9{:07}A"),
    ],
)
def test_six_messages_of_the_largest_size_and_an_ordinary_one(system: Abused, what: str, unit: str) -> None:
    now = run.now_ms()
    unit = unit.replace("{:07}", "0000001")
    large = [padded(adt("A04", now - n * MINUTE, f"{what}{n}", visit=f"{what}{n}"), 520_000, unit) for n in range(6)]
    sent = system.send([*large, adt("A04", now, f"{what}x", visit=f"{what}X")])
    assert sent.codes == {"AA": 7}
    seconds = system.drain(60)
    print(f"six of 520,000 bytes ({what}): {seconds:.1f} s")  # noqa: T201


def test_a_hundred_and_eighty_large_messages(system: Abused) -> None:
    now = run.now_ms()
    large = [padded(adt("A04", now - n * MINUTE, f"many{n}", visit=f"M{n}"), 350_000) for n in range(180)]
    assert system.send(large, 8).codes == {"AA": 180}
    seconds = system.drain(90)
    print(f"180 of 350,000 bytes: {seconds:.1f} s")  # noqa: T201


def test_a_number_of_hundreds_of_thousands_of_characters_past_the_gateway(system: Abused) -> None:
    now = run.now_ms()
    long = "9" * 340_000
    before = len(system.letters())
    system.put(ADT_RAW, f"TESTHOSP|{long}", adt("A04", now, long, visit="L1"), {"received": str(now)}, 0)
    retired = adt("A40", now, "ordinary", mrg=long)
    system.put(ADT_RAW, "TESTHOSP|ordinary", retired, {"received": str(now)}, 0)
    assert system.send([adt("A04", now, f"after{n}", visit=f"A{n}") for n in range(20)]).codes == {"AA": 20}
    system.drain(60)
    letters = system.letters()[before:]
    print(f"a number of 340,000 characters: {letters}")  # noqa: T201
    assert letters == [("reconcile", "too-long")] * 2


def test_a_tick_two_years_ahead_ends_no_candidate(system: Abused) -> None:
    now = run.now_ms()
    roster = (
        f'{{"member_id": "{cin(300)}", "birth_date": "1980-01-01", "plan": "lacare", "county": "Los Angeles", '
        '"enrolled_from": "2022-01-01"}'
    )
    run.feed_roster(system.system.kafka_settings, roster.encode())
    system.send([adt("A04", now - (20 * n + 5) * DAY, "ticked", visit=f"T{n}", cin=cin(300)) for n in range(1, 7)])
    system.drain(60)
    standing = [each["candidate_id"] for each in system.live() if each["member_id"] == cin(300)]
    assert len(standing) == 1
    parts = {each.partition for each in system.records(TICKS)} | set(range(4))
    for partition in sorted(parts):
        system.put(TICKS, str(partition), write_tick(Tick(now + 730 * DAY)), {}, partition)
    system.drain(60)
    assert [each["candidate_id"] for each in system.live() if each["member_id"] == cin(300)] == standing
