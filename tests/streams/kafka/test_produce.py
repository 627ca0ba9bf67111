"""Confirmed means confirmed, and a load is seen whole or not at all."""

from __future__ import annotations

import asyncio

import pytest

from agents.runtime.contract import Emit
from streams.kafka.produce import ConfirmedProducer, NotConfirmed, produce_together
from streams.kafka.settings import KafkaSettings
from tests.conftest import HasBootstrap
from tests.gateway.running import everything
from tests.support.kafka import TopicNames, make_topics

pytestmark = [pytest.mark.kafka]


def made(kafka: HasBootstrap, name: str) -> KafkaSettings:
    make_topics(kafka.bootstrap, {name: (2, {})})
    return KafkaSettings(bootstrap=kafka.bootstrap)


async def test_a_confirmed_record_is_there(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    name = topic_names("confirmed")
    settings = await asyncio.to_thread(made, kafka, name)
    producer = ConfirmedProducer(settings)
    await asyncio.gather(*(producer.send(name, b"k", f"{n}".encode(), [("h", b"1")]) for n in range(100)))
    records = await asyncio.to_thread(everything, settings, name)
    assert [each.value for each in records] == [f"{n}".encode() for n in range(100)]
    assert records[0].headers == {"h": b"1"}
    assert await producer.missing([name, name + "-not"]) == [name + "-not"]
    assert await producer.close() == 0
    assert not producer.fatal


async def test_what_cannot_be_confirmed_says_so(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    producer = ConfirmedProducer(KafkaSettings(bootstrap=kafka.bootstrap), seconds=1.0, max_bytes=1000)
    with pytest.raises(NotConfirmed) as refused:
        await producer.send(topic_names("nowhere"), b"k", b"v", [])
    assert not refused.value.too_large
    with pytest.raises(NotConfirmed) as refused:
        await producer.send(topic_names("nowhere"), b"k", b"v" * 2000, [])
    assert refused.value.too_large
    await producer.close()
    nobody = ConfirmedProducer(KafkaSettings(bootstrap="127.0.0.1:1"), seconds=0.5)
    async with asyncio.timeout(10):
        with pytest.raises(NotConfirmed):
            await nobody.send("x", None, b"v", [])
        assert await nobody.missing(["x"], 0.5) is None
        await nobody.close(0.5)


def test_a_load_is_seen_whole_or_not_at_all(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    name = topic_names("loaded")
    settings = made(kafka, name)
    seen: list[int] = []
    assert produce_together(settings, (Emit(name, str(n).encode(), b"v") for n in range(2500)), seen.append) == 2500
    assert seen == [1000, 2000, 2500]

    produce_together(settings, [Emit(name, b"0", b"at", partition=number) for number in range(2)])
    placed = [record.partition for record in everything(settings, name) if record.value == b"at"]
    assert sorted(placed) == [0, 1], "a record that names its partition lies there, whatever its key"

    def breaks() -> object:
        yield from (Emit(name, str(n).encode(), b"w") for n in range(500))
        raise RuntimeError("the disk of the file went away")

    with pytest.raises(RuntimeError):
        produce_together(settings, breaks())  # type: ignore[arg-type]
    records = everything(settings, name)
    assert len(records) == 2502
    assert {each.value for each in records} == {b"v", b"at"}
