"""Quiet is no stall: nothing waits, little is committed, and no worker ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agents.topics import TICKS
from handoff.embedded.kafka import EmbeddedKafka
from streams.engine import watchdog
from streams.engine.options import EngineOptions
from streams.engine.partitions import Place
from streams.engine.watchdog import Watchdog
from streams.kafka.lag import Waiting
from streams.kafka.settings import KafkaSettings
from tests.support.counted import Counted
from tests.support.kafka import wait_for
from tests.support.transactions import produce_in_a_transaction

HOUR = 3_600
CLOCK, VISITS = (TICKS, 0), ("member.visits.v1", 0)


class Cluster:
    """Positions and ends of one partition's inputs, as the watchdog asks for them; it may be away."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ticks = 0
        self.decided = 0
        self.away = False
        self.reasons: list[str] = []
        # Behind the position of the visits is a transaction's marker and no record.
        pump: Any = SimpleNamespace(committed=0, partitions=self)
        monkeypatch.setattr(watchdog, "ends", self.ends)
        monkeypatch.setattr(watchdog, "crash", lambda reason, **_: self.reasons.append(reason))
        self.pump = pump
        self.dog = Watchdog("t", pump, KafkaSettings(bootstrap="127.0.0.1:9"), EngineOptions())
        monkeypatch.setattr(self.dog, "_peek", self)

    @property
    def positions(self) -> dict[Place, int]:
        return {CLOCK: self.decided, VISITS: 10}

    def ends(self, _admin: object, _places: object, **_: object) -> dict[Place, int]:
        if self.away:
            raise TimeoutError
        return {CLOCK: self.ticks, VISITS: 11}

    def with_records(self, places: set[Waiting]) -> list[Waiting]:
        return [place for place in places if place[0] == TICKS]

    def decide(self) -> None:
        """The worker commits all ticks there are."""
        self.pump.committed += self.ticks - self.decided
        self.decided = self.ticks


@pytest.mark.parametrize("caught", [True, False])
def test_an_hour_with_nothing_but_a_tick_a_minute(monkeypatch: pytest.MonkeyPatch, caught: bool) -> None:
    """`caught`: each check finds a tick on its way from the broker to its commit, at worst at the same moment."""
    cluster = Cluster(monkeypatch)
    for second in range(0, HOUR, 15):
        if second % 60 == 45:
            cluster.ticks += 1
        if not caught:
            cluster.decide()
        cluster.dog.check_lag(float(second))
        cluster.decide()
    assert cluster.reasons == []


def test_an_hour_without_even_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    for second in range(0, HOUR, 15):
        cluster.dog.check_lag(float(second))
    assert cluster.reasons == []


def test_the_time_that_kafka_is_away_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    cluster.ticks = 1
    cluster.dog.check_lag(0.0)
    cluster.away = True
    for second in range(15, 600, 15):
        cluster.dog.check_lag(float(second))
    cluster.away = False
    cluster.dog.check_lag(600.0)
    cluster.dog.check_lag(615.0)
    assert cluster.reasons == []
    cluster.dog.check_lag(676.0)
    assert cluster.reasons == ["no-progress"], "the record has waited a minute since Kafka is back"


@pytest.mark.kafka
def test_a_quiet_worker_on_a_real_kafka_outlives_many_limits(tmp_path: Any) -> None:
    """The limit is a second, a check comes each second, and each tick comes after a check's limit."""
    with (
        EmbeddedKafka(tmp_path, quick=True) as kafka,
        Counted(kafka.bootstrap, partitions=2, partitions_ticked=True) as counted,
    ):
        produce_in_a_transaction(counted, 10)
        worker = counted.worker(ticks=True, tick_every=1.3, stall_deadline=1.0).wait_ready()
        wait_for(lambda: worker.code() is not None or worker.committed() >= 10 + 2 * 12, 40, "a dozen quiet limits")
        assert worker.code() is None
        assert worker.stop() == 0
