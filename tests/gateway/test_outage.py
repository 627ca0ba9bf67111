"""Kafka goes away while hospitals send: no AA in that time, and afterwards every AA is in the topic."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from gateway.client import Outcome, Target, send
from handoff.embedded.kafka import EmbeddedKafka
from parsers.mllp import frame
from tests.gateway.running import admission, running, sender, until
from tests.support.kafka import TopicNames

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker that these tests may stop."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), quick=True) as cluster:
        yield cluster


async def test_no_aa_while_kafka_is_stopped_and_none_lost_afterwards(
    own_kafka: EmbeddedKafka, topic_names: TopicNames
) -> None:
    messages = [admission(f"C{n:04d}", patient=str(n % 20)) for n in range(1500)]
    answers: dict[int, str] = {}
    in_outage: list[str] = []
    down = False

    def told(outcome: Outcome) -> None:
        answers[outcome.index] = outcome.code
        if down:
            in_outage.append(outcome.code)

    async with running(own_kafka.bootstrap, topic_names, seconds=1.5) as door:
        target = Target("127.0.0.1", door.port, connections=8, rate=250, retries=40)
        sending = asyncio.create_task(send(target, messages, told))
        await until(lambda: len(answers) > 150, "it begins well")
        await asyncio.to_thread(own_kafka.stop)
        down = True
        async with sender(door.port) as hospital:
            for number in range(3):
                assert (await hospital.ask(admission(f"DOWN{number}"))).code == "AR"
        down = False
        await asyncio.to_thread(own_kafka.start)
        sent = await sending
        assert in_outage == []
        assert dict(sent.codes) == {"AA": 1500}
        assert sent.retried > 0
        stored = Counter(each.value for each in await door.raw())
        assert set(messages) <= set(stored)
        # Stored twice is only what was sent twice: a time-out does not say that Kafka did not take it.
        assert sum(stored[message] - 1 for message in messages) <= sent.retried


async def test_a_broker_that_hangs_is_answered_ar_in_time_and_the_resend_is_taken(
    own_kafka: EmbeddedKafka, topic_names: TopicNames
) -> None:
    async with running(own_kafka.bootstrap, topic_names, seconds=4.0) as door, sender(door.port) as hospital:
        assert (await hospital.ask(admission("C0"))).code == "AA"
        own_kafka.pause()
        try:
            await hospital.say(frame(admission("C1")) + frame(admission("C2")))
            ack = await hospital.answer(20)
            assert (ack.code, ack.control_id) == ("AR", "C1")
        finally:
            own_kafka.resume()
        await hospital.answer()  # C2, one way or the other
        async with asyncio.timeout(30):
            while (await hospital.ask(admission("C1"))).code != "AA":
                await asyncio.sleep(0.1)
        held = [each.headers["control-id"] for each in await door.raw()]
        assert {b"C0", b"C1"} <= set(held)


async def test_a_dead_letter_that_kafka_does_not_take_is_ar_too(
    own_kafka: EmbeddedKafka, topic_names: TopicNames
) -> None:
    async with running(own_kafka.bootstrap, topic_names, seconds=1.5) as door, sender(door.port) as hospital:
        assert (await hospital.ask(b"nonsense")).code == "AE"
        own_kafka.pause()
        try:
            assert (await hospital.ask(b"other nonsense")).code == "AR"
        finally:
            own_kafka.resume()


async def test_a_stop_waits_for_kafka_and_answers_what_is_in_flight(
    own_kafka: EmbeddedKafka, topic_names: TopicNames
) -> None:
    async with running(own_kafka.bootstrap, topic_names, seconds=15) as door:
        async with sender(door.port) as idle, sender(door.port) as busy:
            assert (await idle.ask(admission("C0"))).code == "AA"
            assert (await busy.ask(admission("C1"))).code == "AA"
            own_kafka.pause()
            try:
                await busy.say(frame(admission("C2")) + frame(admission("C3")))
                await until(lambda: door.intake.under_way == 1, "one is in flight, the other waits")
                stopping = asyncio.create_task(door.listener.stop(15))
                assert await idle.ended()
                with pytest.raises(ConnectionRefusedError):
                    async with sender(door.port):
                        pass
                assert not stopping.done()
            finally:
                own_kafka.resume()
            ack = await busy.answer()
            assert (ack.code, ack.control_id) == ("AA", "C2")
            assert await busy.ended()  # C3 has no answer: it will be sent again
            assert await stopping == 0
        assert {each.headers["control-id"] for each in await door.raw()} == {b"C0", b"C1", b"C2"}
