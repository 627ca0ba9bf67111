"""Clocks that are wrong: a worker's, the broker's as it once was, and the senders'."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator

import msgspec
import pytest

from agents.refer import stage as member_stage
from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Emit, Record
from agents.runtime.store import CLOCK_KEY, MemoryStore, clock_envelope
from agents.topics import CANDIDATES, ROSTER, TICKS, VISITS
from domain.times import DAY, MINUTE
from handoff.embedded.kafka import EmbeddedKafka
from parsers.records.documents import comparable
from parsers.records.ticks import Tick, write_tick
from parsers.records.visits import encode_snapshot
from streams.engine import ticks
from streams.engine.partitions import Partitions
from streams.engine.ticks import Ticker, disagrees
from streams.exit_codes import EXIT_REFUSED
from streams.kafka.settings import KafkaSettings
from streams.worker import EngineOptions, Worker
from tests.support.abused import adt, cin
from tests.support.counted import Counted
from tests.support.counting import counting_stage, fact
from tests.support.kafka import wait_for
from tests.support.member import MEMBER, a_roster, a_visit, at, the_rules
from tests.support.replaying import Heard, Played

TWO_YEARS = 730 * DAY
kafka_only = pytest.mark.kafka


def now_ms() -> int:
    return int(time.time() * 1000)


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of its own: the clock's topic has one name for everybody."""
    with EmbeddedKafka(tmp_path_factory.mktemp("clocks"), quick=True) as kafka:
        yield kafka.bootstrap


@pytest.fixture(scope="module")
def counted(bootstrap: str) -> Iterator[Counted]:
    with Counted(bootstrap, partitions=2, partitions_ticked=True) as counted:
        yield counted


def fired(counted: Counted) -> list[str]:
    said = [json.loads(each.value or b"") for records in counted.read(counted.counts).values() for each in records]
    return [each["due"] for each in said if "due" in each]


@kafka_only
def test_a_tick_two_years_ahead_and_a_clock_that_once_ran_ahead(counted: Counted) -> None:
    due = now_ms() + 300 * DAY
    counted.produce_values([(f"k{n}", fact(n, f"k{n}", do="due", at=due)) for n in range(20)])
    worker = counted.worker().wait_ready()
    counted.finish({0: worker})
    counted.tick(now_ms() + TWO_YEARS)
    port = worker.wait_health_port()
    held = f'handoff_held_stamps_total{{stage="{counted.stage.name}"}} 2.0'
    wait_for(lambda: held in worker.health("/metrics", port)[1], 20, "ticks held to their append time")
    assert fired(counted) == []
    assert worker.stop() == 0
    assert all(rows.clock <= now_ms() for rows in counted.rows().values())

    # What a version that took such ticks left behind. The second start must not find it ahead again.
    for partition in range(counted.partitions):
        counted.produce_changelog(CLOCK_KEY, clock_envelope(now_ms() + TWO_YEARS), partition)
    worker = counted.worker().wait_ready()
    counted.tick(now_ms())
    wait_for(lambda: len(fired(counted)) == 20, 20, "every row decided once")
    counted.tick(now_ms())
    assert worker.stop() == 0
    assert "clock set back" in "".join(worker.logged)
    worker = counted.worker().wait_ready()
    assert worker.stop() == 0
    assert "clock set back" not in "".join(worker.logged)
    assert len(fired(counted)) == 20


@kafka_only
@pytest.mark.parametrize(("wrong", "refused"), [(-90_500, True), (90_500, True), (30_000, False)])
def test_a_worker_whose_clock_is_not_the_brokers_does_not_start(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: int, refused: bool
) -> None:
    monkeypatch.setattr(ticks, "_now", lambda: now_ms() + wrong)
    kafka = KafkaSettings(bootstrap=counted.bootstrap)
    skew = Ticker(kafka, TICKS, Partitions(), None).clock_skew(20)
    assert skew is not None
    assert abs(skew - wrong) < 2_000
    assert disagrees(skew) is refused
    if refused:
        ticking = counting_stage(counted.suffix, ticks=True, partitions_ticked=True)
        assert asyncio.run(Worker(ticking, kafka, 0, "t", EngineOptions(), None, None).run()) == EXIT_REFUSED
        assert f"90 s {'ahead of' if wrong > 0 else 'behind'} the broker's" in capsys.readouterr().out


def test_what_a_clock_ahead_ended_is_raised_again_once_it_comes_back() -> None:
    stage, rows, emits = member_stage(the_rules()), MemoryStore(), list[Emit]()
    offset = 0

    def take(topic: str, value: bytes, when: int) -> None:
        nonlocal offset
        offset += 1
        record = Record(topic, 0, offset, MEMBER.encode(), value, when, {"received": str(when).encode()})
        result = decide_chunk(stage, rows, [record])
        rows.apply_committed(result)
        emits.extend(result.emits)

    def standing() -> list[str]:
        last = {each.key: json.loads(each.value) for each in emits if each.topic == CANDIDATES and each.value}
        return [each["candidate_id"] for each in last.values() if each["status"] in ("raised", "amended")]

    now = at("2026-03-20")
    take(ROSTER, msgspec.json.encode(a_roster()), at("2026-01-01"))
    for number in range(6):
        visit = a_visit(f"V{number}", f"2026-02-{number * 4 + 1:02}")
        take(VISITS, encode_snapshot(visit, MEMBER), visit.received)
    raised = standing()
    assert len(raised) == 1
    # As an earlier version took it: nothing held the tick to its append time.
    take(TICKS, write_tick(Tick(now + TWO_YEARS)), now + TWO_YEARS)
    assert standing() == []
    take(TICKS, write_tick(Tick(now)), now)
    assert standing() == []
    rows.set_back(now)
    take(TICKS, write_tick(Tick(now + MINUTE)), now + MINUTE)
    assert len(standing()) == 1
    assert not rows.all_due


def entered(now: int) -> list[bytes]:
    """Messages of two patients of one member whose own times are stale, ahead, equal, or run backwards."""
    own = cin(400)
    times = [now - n * DAY for n in (5, 30, 60, 90, 120, 150)]
    visits = [adt("A04", at, "ordered", visit=f"O{n}", cin=own) for n, at in enumerate(times)]
    return [
        *visits,
        adt("A08", now + TWO_YEARS, "ordered", visit="O0", cin=own, occurred=now - 5 * DAY),  # entered in the future
        adt("A11", now - 3_650 * DAY, "ordered", visit="O1", cin=own),  # a cancel that is older than its visit
        adt("A08", times[2], "ordered", visit="O2", cin=own, kind="I"),  # two that tie with an arrival
        adt("A08", times[2], "ordered", visit="O2", cin=own, kind="O"),
        adt("A03", times[3] - DAY, "ordered", visit="O3", cin=own),  # gone before it came
        adt("A11", times[4] + 1000, "ordered", visit="O4", cin=own, occurred=times[4]),
        adt("A04", times[4] - 1000, "other", visit="P1", cin=cin(401)),
        adt("A40", times[4], "ordered", mrg="other", cin=own),
        adt("A37", times[4], "ordered", cin=own),
    ]


def test_stamps_that_are_stale_ahead_equal_or_backwards_give_one_answer_in_any_order() -> None:
    now = at("2026-06-01")
    roster = a_roster(member_id=cin(400), cin=cin(400))
    answers = set()
    for seed in range(60):
        messages = entered(now)
        random.Random(seed).shuffle(messages)
        heard: list[Heard] = [(now - DAY, "roster", roster)]
        heard += [(now + n, "message", {"hl7": hl7.decode(), "sender": ""}) for n, hl7 in enumerate(messages)]
        played = Played(heard, now + MINUTE)
        live = [comparable(each) for each in played.candidates.values() if each["status"] in ("raised", "amended")]
        counts = [comparable(each) for each in played.utilization.values()]
        answers.add(json.dumps([live, counts], sort_keys=True))
    assert len(answers) == 1
