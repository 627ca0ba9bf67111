"""The directory on a real Kafka and Redis: it names who waits, survives its own crash and the loss of Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from agents.runtime.contract import Emit
from handoff.embedded.redis import EmbeddedRedis
from streams.directory import PENDING
from streams.directory_lookup import CAUGHT_UP
from tests.conftest import HasBootstrap
from tests.gateway.running import everything
from tests.support.directories import County, asked
from tests.support.kafka import TopicNames, wait_for

pytestmark = [pytest.mark.kafka]
ANN, BEA = "91234567A", "91234567C"


@pytest.fixture
def county(kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path) -> Iterator[County]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield County(kafka.bootstrap, topic_names, server)


async def test_rows_answer_questions_and_name_those_who_wait(county: County) -> None:
    assert await asked(county, "G|1") is None  # nothing has been read yet: "nobody" would be a guess
    county.waits("G|2", "PLAN|9")
    county.row(ANN, "G|1", received=10)
    with county.keeping():
        assert await asked(county, "G|1", "G|2") == {"G|1": f"{ANN}\x1f10", "G|2": None}
        county.row(BEA, "PLAN|9", received=20)
        wait_for(lambda: county.belief() == {"G|2": BEA}, what="the match")
        county.row(BEA, "PLAN|9", "G|1", received=30)
        wait_for(lambda: county.belief() == {"G|2": BEA, "G|1": BEA}, what="the move")
        county.gone(BEA, received=40)
        # PLAN|9 might itself be a patient's number: that one is told too, should there be such a patient.
        wait_for(lambda: county.belief() == {"G|2": None, "PLAN|9": None, "G|1": ANN}, what="the release")
        assert await asked(county, "G|1", "PLAN|9") == {"G|1": f"{ANN}\x1f40", "PLAN|9": None}
        county.waits("G|1", received=50)
        wait_for(lambda: any(link.received == 50 and link.member == ANN for link in county.said()), what="the race")


async def test_it_goes_on_where_it_stopped_and_repeats_what_it_may_not_have_said(county: County) -> None:
    county.row(ANN, "G|1", received=10)
    county.waits("G|1")
    with county.keeping():
        wait_for(lambda: county.belief() == {"G|1": ANN}, what="the match")
    client = redis.Redis.from_url(county.server.url)
    said = county.said()
    with county.keeping() as keeper:
        assert keeper.taken == 0
        assert county.said() == said
    # A crash after Redis was written and before the link was: the link lies there.
    (link,) = everything(county.kafka, county.links)
    emit = Emit(county.links, link.key, link.value, (("received", b"1"),))
    client.set(PENDING, msgspec.msgpack.encode([emit]))
    with county.keeping():
        assert len(county.said()) == len(said) + 1
        assert not client.exists(PENDING)
    client.close()


async def test_a_redis_that_was_lost_is_filled_again(county: County) -> None:
    for number in (0, 100, 200):
        county.row(f"{90000000 + number}A", f"G|{number}", received=10)
    with county.keeping() as keeper:
        county.server.kill()
        assert await asked(county, "G|100") is None
        wait_for(lambda: not keeper.ready()[0], what="noticing")
        county.server.start()
        wait_for(lambda: keeper.ready()[0], what="filling again")
        assert await asked(county, "G|100", "G|7") == {"G|100": "90000100A\x1f10", "G|7": None}
        client = redis.Redis.from_url(county.server.url)
        client.flushall()  # it came back empty in an instant: nobody saw it away
        assert await asked(county, "G|100") is None
        wait_for(lambda: bool(client.exists(CAUGHT_UP)), what="filling again")
        assert await asked(county, "G|100") == {"G|100": "90000100A\x1f10"}
        client.close()


def test_each_open_question_is_answered_once_the_whole_roster_was_read(county: County) -> None:
    county.waits("G|1", "PLAN|9", reason="directory-unavailable")
    county.waits("G|2", reason="directory-unavailable")
    county.waits("G|3", reason="no-match")
    for number in range(200):
        county.row(f"{90000000 + number}A", f"G|{1000 + number}", received=10)
    county.row(ANN, "PLAN|9", received=20)
    with county.keeping():
        wait_for(lambda: {link.patient for link in county.said() if link.kind == "answered"} == {"G|1", "G|2"})
    told = [(link.patient, link.kind, link.member) for link in county.said()]
    assert [each[1:] for each in told if each[0] == "G|1"] == [("waiting-match", ANN), ("answered", None)]
    assert [each[1:] for each in told if each[0] == "G|2"] == [("answered", None)]
    assert not [each for each in told if each[0] == "G|3"]


async def test_a_redis_of_another_cluster_is_not_believed(county: County) -> None:
    client = redis.Redis.from_url(county.server.url)
    client.hset("handoff:directory:positions", "cluster", "another")
    client.set("handoff:directory:id:G|1", "somebody\x1f5")
    client.set(CAUGHT_UP, "1")
    with county.keeping():
        assert await asked(county, "G|1") == {"G|1": None}
    client.close()


def test_a_row_that_cannot_be_read_stops_nothing(county: County) -> None:
    county._put(county.roster, ANN, {"member_id": ANN}, 10)
    county.row(BEA, "G|2", received=20)
    county.waits("G|2")
    with county.keeping():
        wait_for(lambda: county.belief() == {"G|2": BEA}, what="the match")


def test_a_corrected_row_reaches_an_attributed_patient_also_after_a_restart(county: County) -> None:
    county.asks("G|1", f"guard|{ANN}")
    with county.keeping():
        county.row(ANN, received=10, birth_date="1980-01-01")
        wait_for(lambda: [(link.patient, link.rev) for link in county.said()] == [("G|1", 10)], what="the guard")
    with county.keeping() as keeper:
        assert keeper.taken == 0 or len(county.said()) == 1, "what was asked is not answered again"
        county.row(ANN, received=20, birth_date="1980-01-02")
        wait_for(lambda: [link.rev for link in county.said()] == [10, 20], what="the corrected guard")
    first, second = county.said()
    assert first.guard is not None
    assert second.guard is not None
    assert first.guard.birth != second.guard.birth
