"""Parts of the engine that need no Kafka."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from agents.runtime.contract import Record
from agents.runtime.store import MemoryStore
from streams.engine import failpoints, watchdog
from streams.engine.channel import Chunk
from streams.engine.lookup import ask
from streams.engine.options import EngineOptions
from streams.kafka.settings import KafkaSettings
from streams.topology import Topology
from tests.support.counting import counting_stage, fact

KAFKA = KafkaSettings(bootstrap="127.0.0.1:9")


class Crashed(Exception):
    """Stands in for the end of the process."""


class StalledPump:
    """A pump as the watchdog sees it."""

    def __init__(self, handed_out: float | None, beat: float, open_since: float | None = None) -> None:
        self.handed_out, self.beat, self.committed, self.assignment = handed_out, beat, 0, None
        self.transactions = SimpleNamespace(open_since=open_since)


async def test_a_stage_is_an_agent_of_the_app_and_chunks_come_back_decided() -> None:
    stages = [counting_stage("one"), counting_stage("two")]
    topology = Topology("t", stages)
    await topology.start()
    try:
        assert sorted(topology.app.agents) == ["counting-one", "counting-two"]
        chunks = []
        for number, stage in enumerate(stages * 3):
            records = [Record(stage.inputs[0], 0, 0, b"k", fact(number, "k"), 5)]
            chunk = Chunk(stage, 0, records, MemoryStore(), None, None, 1_000)
            await topology.send(stage.name, chunk)
            chunks.append(chunk)
        async with asyncio.timeout(10):
            results = [await chunk.result for chunk in chunks]
        assert [result.rows["k"].count for result in results] == [1] * 6
    finally:
        await topology.stop()


async def test_a_fault_of_the_decision_comes_back_with_the_chunk_and_the_agent_goes_on() -> None:
    stage = counting_stage("one")
    topology = Topology("t", [stage])
    await topology.start()
    try:
        broken = Chunk(stage, 0, [None], MemoryStore(), None, None, 1_000)  # type: ignore[list-item]
        good = Chunk(stage, 0, [], MemoryStore(), None, None, 1_000)
        await topology.send(stage.name, broken)
        await topology.send(stage.name, good)
        async with asyncio.timeout(10):
            with pytest.raises(AttributeError):
                await broken.result
            assert (await good.result).records == 0
    finally:
        await topology.stop()


class Directory:
    """A directory that answers, fails, or is slow."""

    def __init__(self, does: str) -> None:
        self.does = does

    async def ask(self, questions: list[str]) -> dict[str, str | None] | None:
        if self.does == "fail":
            raise ConnectionError
        if self.does == "hang":
            await asyncio.Event().wait()
        return dict.fromkeys(questions, "m1")


@pytest.mark.parametrize(("does", "answer"), [("answer", {"q": "m1"}), ("fail", None), ("hang", None)])
async def test_a_directory_that_does_not_answer_is_away(does: str, answer: Any) -> None:
    assert await ask(Directory(does), ["q"], 0.05) == answer


async def test_nothing_to_ask_needs_no_directory() -> None:
    assert await ask(None, [], 0.05) == {}
    assert await ask(None, ["q"], 0.05) is None


@pytest.mark.parametrize(
    ("handed_out", "beat", "open_since", "reason"),
    [
        (None, 100.0, None, ""),
        (95.0, 100.0, 99.0, ""),
        (60.0, 100.0, None, "chunk-not-returned"),
        (None, 5.0, None, "pump-stopped"),
        (None, 100.0, 80.0, "transaction-overdue"),
    ],
)
def test_the_watchdog_ends_a_worker_that_makes_no_progress(
    monkeypatch: pytest.MonkeyPatch, handed_out: float | None, beat: float, open_since: float | None, reason: str
) -> None:
    reasons: list[str] = []

    def crash(reason: str, **_: object) -> None:
        reasons.append(reason)
        raise Crashed

    monkeypatch.setattr(watchdog, "crash", crash)
    pump: Any = StalledPump(handed_out, beat, open_since)
    dog = watchdog.Watchdog("t", pump, KAFKA, EngineOptions())
    with suppress(Crashed):
        dog.check_pump(100.0)
    assert reasons == ([reason] if reason else [])


def test_the_watchdog_ends_a_worker_at_which_a_record_waits_while_it_commits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons: list[str] = []
    monkeypatch.setattr(watchdog, "crash", lambda reason, **_: reasons.append(reason))
    pump: Any = StalledPump(None, 0.0)
    dog = watchdog.Watchdog("t", pump, KAFKA, EngineOptions(stall_deadline=60))
    waiting: list[dict[tuple[str, int], int]] = [{}, {("t", 0): 5}, {("t", 0): 5}, {("t", 0): 5}, {("t", 0): 6}]
    monkeypatch.setattr(dog, "_positions_with_records", lambda: waiting.pop(0))
    dog.check_lag(0.0)
    dog.check_lag(1_000.0)  # quiet for a long time, and then a record: it has only begun to wait
    dog.check_lag(1_050.0)
    assert reasons == []
    dog.check_lag(1_061.0)
    assert reasons == ["no-progress"]
    dog.check_lag(1_062.0)
    assert reasons == ["no-progress"], "another record waits: the one before was decided"


def test_an_unarmed_failpoint_does_nothing() -> None:
    for point in failpoints.POINTS:
        failpoints.failpoint(point)


@pytest.mark.parametrize(("order", "code"), [("after-decide:2", -9), ("after-apply", 0), ("nowhere", 1)])
def test_an_armed_failpoint_kills_at_the_nth_passage(order: str, code: int) -> None:
    script = "from streams.engine.failpoints import failpoint; [failpoint('after-decide') for _ in range(2)]"
    done = subprocess.run(
        [sys.executable, "-c", script], env={"HANDOFF_KILL_AT": order, "PYTHONPATH": "."}, check=False, timeout=60
    )
    assert done.returncode == code
