"""Answers of care management as other clients write them: to another partition, under another key, for nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from agents.runtime.partitioner import partition_of
from agents.topics import CANDIDATES, DEAD_LETTERS, DISPOSITIONS
from streams.kafka.read import documents, snapshot
from streams.kafka.settings import KafkaSettings
from tests.support.kafka import wait_for
from tests.support.machine import Machine, admission

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
MEMBER = "91234567A"


@pytest.fixture(scope="module")
def kafka_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """The Kafka of a system in which one candidate stands."""
    machine = Machine(tmp_path_factory.mktemp("machine"))
    for name in ("MLLP", "HTTP", "CONSOLE"):
        machine.environment[f"HANDOFF_{name}__PORT"] = "0"
    machine.up()
    try:
        roster = machine.home / "roster.csv"
        roster.write_text(
            "member_id,birth_date,plan,county,enrolled_from,aid_codes\n"
            f"{MEMBER},1980-01-01,lacare,Los Angeles,2020-01-01,M1\n"
        )
        done = machine.run("roster", "load", str(roster))
        assert done.returncode == 0, done.stderr
        done = machine.send(*(admission(number, cin=MEMBER, day=2 * number) for number in range(1, 7)))
        assert done.returncode == 0, done.stdout
        kafka = KafkaSettings(bootstrap=machine.state["bootstrap"])
        wait_for(lambda: bool(documents(kafka, CANDIDATES)), 60, "the candidate")
        yield kafka
    finally:
        machine.run("down")


def answer(candidate: str, status: str, time: str) -> bytes:
    return json.dumps({"candidate_id": candidate, "status": status, "time": time, "actor": "a test"}).encode()


def the_candidate(kafka: KafkaSettings) -> dict[str, Any]:
    (found,) = documents(kafka, CANDIDATES).values()
    return found


def letters(kafka: KafkaSettings) -> list[tuple[str, str]]:
    """(code, source) of every dead letter."""
    return [
        (each.headers["code"].decode(), each.headers["source"].decode()) for each in snapshot(kafka, [DEAD_LETTERS])
    ]


def test_an_answer_on_another_partition_reaches_its_candidate_once(kafka_of: KafkaSettings) -> None:
    kafka = kafka_of
    producer = Producer({"bootstrap.servers": kafka.bootstrap})  # librdkafka's default partitioner: CRC-32
    partitions = len(producer.list_topics(DISPOSITIONS, timeout=10).topics[DISPOSITIONS].partitions)
    home = partition_of(MEMBER.encode(), partitions)
    candidate = the_candidate(kafka)["candidate_id"]
    wrong = [number for number in range(partitions) if number != home]
    for number in wrong:
        value = answer(candidate, "outreach", "2026-11-20T12:00:00-08:00")
        producer.produce(DISPOSITIONS, value, MEMBER.encode(), partition=number)
    producer.produce(DISPOSITIONS, answer(candidate, "accepted", "2026-11-21T12:00:00-08:00"), MEMBER.encode())
    assert producer.flush(20) == 0
    wait_for(
        lambda: (the_candidate(kafka)["disposition"] or {}).get("status") == "accepted", 60, "the answer to be read"
    )
    copies = [each for each in snapshot(kafka, [DISPOSITIONS]) if "forwarded-from" in each.headers]
    assert {each.partition for each in copies} == {home}
    assert len({each.headers["forwarded-from"] for each in copies}) == len(copies)
    assert len(copies) in (len(wrong), len(wrong) + 1)
    assert letters(kafka) == []


def test_an_answer_that_fits_nothing_is_a_dead_letter_with_a_reason(kafka_of: KafkaSettings) -> None:
    kafka = kafka_of
    candidate = the_candidate(kafka)["candidate_id"]
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": "murmur2_random"})
    late = "2026-11-22T12:00:00-08:00"
    producer.produce(DISPOSITIONS, answer(candidate, "declined", late), candidate.encode())  # keyed by the candidate
    producer.produce(DISPOSITIONS, answer("c_000000000000", "declined", late), MEMBER.encode())
    producer.produce(DISPOSITIONS, answer(candidate, "declined", late), None, partition=0)
    assert producer.flush(20) == 0
    wait_for(lambda: len(letters(kafka)) >= 3, 60, "the dead letters")
    assert sorted(code for code, _ in letters(kafka)) == ["no-key", "unknown-candidate", "unknown-candidate"]
    assert all(source.startswith(f"{DISPOSITIONS}/") for _, source in letters(kafka))
    assert the_candidate(kafka)["disposition"]["status"] == "accepted"
