"""A gateway's MLLP listener in the test's own loop, on the real Kafka, with topics of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, TopicPartition

from agents.runtime.contract import Record
from gateway.config import MllpConfig, Topics
from gateway.ingress import Ingress
from gateway.listener import Listener
from parsers.hl7.ack import Ack, read_ack
from parsers.hl7.mllp import FrameReader, frame
from parsers.hl7.profiles import Profiles, SenderProfile, Trust
from streams.kafka.offsets import places_of
from streams.kafka.produce import ConfirmedProducer
from streams.kafka.read import record_of
from streams.kafka.settings import KafkaSettings
from tests.support.kafka import TopicNames, make_topics

HOSPITAL = SenderProfile(name="general", authority="GENHOSP", trusts=(Trust("ADT", "GENHOSP"),))


def admission(control: str, patient: str = "100", *, charset: str = "", name: str = "DOE^JANE", **msh: str) -> bytes:
    """An A01; `msh` may give `accept` and `application` (MSH-15 and 16)."""
    acks = f"|||{msh.get('accept', '')}|{msh.get('application', '')}||{charset}"
    return (
        f"MSH|^~\\&|ADT|GENHOSP|HANDOFF|PLAN|20260301101500-0800||ADT^A01|{control}|P|2.5.1{acks}\r"
        f"EVN|A01|20260301101500\r"
        f"PID|1||{patient}^^^GENHOSP^MR||{name}||19800115|F|||||(213)555-0123\r"
        f"PV1|1|I|4E||||||||||||||||V{patient}\r"
    ).encode("latin-1" if charset.startswith("8859") else "utf-8")


def everything(kafka: KafkaSettings, topic: str) -> list[Record]:
    """All records of a topic up to its end as it is now."""
    consumer = Consumer(
        {
            **kafka.librdkafka(),
            "group.id": "tests",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
        }
    )
    found: list[Record] = []
    try:
        parts = [TopicPartition(*place, 0) for place in places_of(consumer, [topic])]
        consumer.assign(parts)
        left = len(parts)
        deadline = time.monotonic() + 30
        while left:
            assert time.monotonic() < deadline, "the topic's end did not come"
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                found.append(record_of(message))
            else:
                assert error.code() == KafkaError._PARTITION_EOF
                left -= 1
        return found
    finally:
        consumer.close()


class Running:
    """What a test needs of a running listener."""

    def __init__(self, listener: Listener, ingress: Ingress, kafka: KafkaSettings, topics: Topics) -> None:
        self.listener, self.ingress, self.kafka, self.topics = listener, ingress, kafka, topics

    @property
    def port(self) -> int:
        return self.listener.port

    async def raw(self) -> list[Record]:
        """Everything on the raw topic."""
        return await asyncio.to_thread(everything, self.kafka, self.topics.raw)

    async def dead(self) -> list[Record]:
        """Everything on the dead-letter topic."""
        return await asyncio.to_thread(everything, self.kafka, self.topics.dead_letters)


@asynccontextmanager
async def running(
    bootstrap: str,
    names: TopicNames,
    config: MllpConfig | None = None,
    *,
    profiles: Profiles | None = None,
    seconds: float = 10.0,
    topics: bool = True,
) -> AsyncIterator[Running]:
    """A listener on a free port until the block ends."""
    kafka = KafkaSettings(bootstrap=bootstrap)
    named = Topics(*(names(name) for name in ("adt.raw.v1", "custody.raw.v1", "members.roster.v1", "adt.dead.v1")))
    if topics:
        shape = {name: (2, {}) for name in (named.raw, named.custody, named.roster, named.dead_letters)}
        await asyncio.to_thread(make_topics, bootstrap, shape)
    producer = ConfirmedProducer(kafka, seconds=seconds)
    ingress = Ingress(producer, profiles or Profiles([HOSPITAL]), named)
    listener = Listener(ingress, config or MllpConfig(port=0))
    await listener.start()
    try:
        yield Running(listener, ingress, kafka, named)
    finally:
        await listener.stop(5)
        await producer.close(5)


class Sender:
    """A socket that says exactly the bytes it is told, and reads answers."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._frames = FrameReader()
        self._answers: list[Ack] = []

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def ask(self, message: bytes) -> Ack:
        """One framed message and its answer."""
        await self.say(frame(message))
        return await self.answer()

    async def answer(self, seconds: float = 20.0) -> Ack:
        """The next answer."""
        async with asyncio.timeout(seconds):
            while not self._answers:
                data = await self.reader.read(65_536)
                assert data, "closed without an answer"
                self._answers += [read_ack(each.body) for each in self._frames.feed(data)]
        return self._answers.pop(0)

    async def ended(self, seconds: float = 10.0) -> bool:
        """Whether the other side closes, saying nothing more."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


@asynccontextmanager
async def sender(port: int, **more: Any) -> AsyncIterator[Sender]:
    """A connection to the listener."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, **more)
    try:
        yield Sender(reader, writer)
    finally:
        writer.close()


async def until(condition: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    """Returns once `condition()` holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
    assert condition(), what
