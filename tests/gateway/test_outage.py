"""Kafka goes away while hospitals send: no AA in that time, and afterwards every AA is in the topic."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.client import Outcome, Target, send
from handoff.embedded.kafka import EmbeddedKafka
from parsers.hl7.mllp import frame
from tests.gateway.folders import put, report, watching
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

    async with running(own_kafka.bootstrap, topic_names, seconds=1.5) as gateway:
        target = Target("127.0.0.1", gateway.port, connections=8, rate=250, retries=40)
        sending = asyncio.create_task(send(target, messages, told))
        await until(lambda: len(answers) > 150, "it begins well")
        await asyncio.to_thread(own_kafka.stop)
        down = True
        async with sender(gateway.port) as hospital:
            for number in range(3):
                assert (await hospital.ask(admission(f"DOWN{number}"))).code == "AR"
        down = False
        await asyncio.to_thread(own_kafka.start)
        sent = await sending
        assert in_outage == []
        assert dict(sent.codes) == {"AA": 1500}
        assert sent.retried > 0
        stored = Counter(each.value for each in await gateway.raw())
        assert set(messages) <= set(stored)
        # Stored twice is only what was sent twice: a time-out does not say that Kafka did not take it.
        assert sum(stored[message] - 1 for message in messages) <= sent.retried


async def test_twenty_senders_that_insist_through_an_outage(
    own_kafka: EmbeddedKafka, topic_names: TopicNames, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kafka is stopped for HANDOFF_OUTAGE_SECONDS while 20 senders send, each again and again until AA."""
    seconds = float(os.environ.get("HANDOFF_OUTAGE_SECONDS", "5"))
    senders = 20
    codes: Counter[str] = Counter()
    settled: list[bytes] = []
    down = False
    in_outage: list[str] = []
    enough = asyncio.Event()

    async def insist(port: int, lane: int) -> None:
        number = 0
        async with sender(port) as hospital:
            while not enough.is_set():
                message = admission(f"S{lane:02d}N{number:05d}", patient=str(lane))
                number += 1
                while True:
                    was_down = down
                    ack = await hospital.ask(message)
                    assert ack.control_id == f"S{lane:02d}N{number - 1:05d}"
                    codes[ack.code] += 1
                    if was_down and down:
                        in_outage.append(ack.code)
                    if ack.code == "AA":
                        settled.append(message)
                        break
                    await asyncio.sleep(0.1)  # a sender's own pause before it tries again

    async with running(own_kafka.bootstrap, topic_names, seconds=1.5) as gateway:
        sending = [asyncio.create_task(insist(gateway.port, lane)) for lane in range(senders)]
        await until(lambda: len(settled) > 200, "it begins well")
        await asyncio.to_thread(own_kafka.stop)
        down = True
        try:
            began = time.monotonic()
            while time.monotonic() - began < seconds:  # the length of the outage is what is tested
                await asyncio.sleep(0.1)
            down = False
        finally:
            await asyncio.to_thread(own_kafka.start)
        again = len(settled)
        await until(lambda: len(settled) > again + 200, "all are taken again", 60)
        enough.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*sending)
        stored = Counter(each.value for each in await gateway.raw())
        missing = sum(message not in stored for message in settled)
        repeated = sum(times - 1 for times in stored.values())
        with capsys.disabled():
            print(  # noqa: T201
                f"\noutage {seconds:g} s, {senders} senders: sent {codes.total()}, AA {codes['AA']}, AR {codes['AR']},"
                f" AA in the outage {in_outage.count('AA')}, in topic {stored.total()}, missing {missing},"
                f" repeated {repeated}"
            )
        assert set(codes) == {"AA", "AR"}
        assert set(in_outage) == {"AR"}
        assert len(in_outage) >= senders
        assert len(settled) == len(set(settled)) == codes["AA"]
        assert missing == 0
        assert set(stored) == set(settled)
        # Only what was in flight as Kafka stopped can be there twice: written, not confirmed, and sent again.
        assert repeated <= senders


async def test_a_broker_that_hangs_is_answered_ar_in_time_and_the_resend_is_taken(
    own_kafka: EmbeddedKafka, topic_names: TopicNames
) -> None:
    async with running(own_kafka.bootstrap, topic_names, seconds=4.0) as gateway, sender(gateway.port) as hospital:
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
        held = [each.headers["control-id"] for each in await gateway.raw()]
        assert {b"C0", b"C1"} <= set(held)


async def test_a_dead_letter_that_kafka_does_not_take_is_ar_too(
    own_kafka: EmbeddedKafka, topic_names: TopicNames
) -> None:
    async with running(own_kafka.bootstrap, topic_names, seconds=1.5) as gateway, sender(gateway.port) as hospital:
        assert (await hospital.ask(b"nonsense")).code == "AE"
        own_kafka.pause()
        try:
            assert (await hospital.ask(b"other nonsense")).code == "AR"
        finally:
            own_kafka.resume()


async def test_a_stop_waits_for_kafka_and_answers_what_is_in_flight(
    own_kafka: EmbeddedKafka, topic_names: TopicNames
) -> None:
    async with running(own_kafka.bootstrap, topic_names, seconds=15) as gateway:
        async with sender(gateway.port) as idle, sender(gateway.port) as busy:
            assert (await idle.ask(admission("C0"))).code == "AA"
            assert (await busy.ask(admission("C1"))).code == "AA"
            own_kafka.pause()
            try:
                await busy.say(frame(admission("C2")) + frame(admission("C3")))
                await until(lambda: gateway.ingress.under_way == 1, "one is in flight, the other waits")
                stopping = asyncio.create_task(gateway.listener.stop(15))
                assert await idle.ended()
                with pytest.raises(ConnectionRefusedError):
                    async with sender(gateway.port):
                        pass
                assert not stopping.done()
            finally:
                own_kafka.resume()
            ack = await busy.answer()
            assert (ack.code, ack.control_id) == ("AA", "C2")
            assert await busy.ended()  # C3 has no answer: it will be sent again
            assert await stopping == 0
        assert {each.headers["control-id"] for each in await gateway.raw()} == {b"C0", b"C1", b"C2"}


async def test_while_kafka_hangs_the_file_stays_and_nothing_is_set_aside_twice(
    own_kafka: EmbeddedKafka, topic_names: TopicNames, tmp_path: Path
) -> None:
    total = 1500
    data = b"".join(admission(f"K{n}") + b"MSH|^~\\&|ADT|GENHOSP|||1||ADT^A01||P|2.5\r" for n in range(total))
    answered: list[str] = []
    async with watching(own_kafka.bootstrap, topic_names, tmp_path, seconds=1.5) as (_, gateway):
        take = gateway.ingress.accept

        async def accept(*arguments: Any, **named: Any) -> Any:
            answer = await take(*arguments, **named)
            answered.append(answer.outcome)
            return answer

        gateway.ingress.accept = accept  # type: ignore[method-assign]
        put(tmp_path / "big", data)
        await until(lambda: len(answered) > 100, "it goes well")
        own_kafka.pause()
        try:
            await until(lambda: "rejected" in answered and gateway.ingress.under_way == 0, "it has given up", 20)
            assert (tmp_path / "big").exists()
            assert not (tmp_path / "done" / "big").exists()
        finally:
            own_kafka.resume()
        await until(lambda: (tmp_path / "done" / "big").exists(), "done", 40)
        told = report(tmp_path / "done" / "big")
        assert (told["messages"], told["codes"]) == (2 * total, {"AA": total, "AE": total})
        assert [each["index"] for each in told["not_accepted"]] == list(range(2, 2 * total + 1, 2))
        # What was answered before the outage is not handed over again.
        assert len(answered) == 2 * total + answered.count("rejected")
        held = {each.headers["control-id"] for each in await gateway.raw()}
        assert {f"K{n}".encode() for n in range(total)} <= held
