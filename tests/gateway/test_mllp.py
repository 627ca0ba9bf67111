"""The MLLP listener on real sockets and a real Kafka: a message answered AA is in the topic, whatever its bytes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.client import Target, send
from gateway.config import MllpConfig, Timeouts
from parsers.hl7.frames import split_frame
from parsers.hl7.mllp import frame
from parsers.hl7.profiles import Profiles
from streams.metrics import CUT_OFF
from tests.conftest import HasBootstrap
from tests.gateway.running import HOSPITAL, admission, running, sender, until
from tests.support.kafka import TopicNames

pytestmark = [pytest.mark.kafka]
QUICK = MllpConfig(port=0, limit=200_000, timeouts=Timeouts(first_byte=0.5, frame=0.5, idle=0.6, answer=0.7, pause=0.1))


async def test_accepted_means_that_kafka_holds_the_bytes(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    message = admission("C1")
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        ack = await hospital.ask(message)
        assert (ack.code, ack.control_id) == ("AA", "C1")
        (record,) = await gateway.raw()
        assert record.value == message
        assert record.key == b"GENHOSP|100"
        assert record.headers["sender"] == b"general"
        assert record.headers["control-id"] == b"C1"
        assert record.headers["content-hash"] == sha256(message).hexdigest().encode()
        assert abs(int(record.headers["received"]) - record.timestamp) < 60_000
        assert len(record.headers["trace"].split(b"-")) == 4
        assert await gateway.dead() == []


async def test_a_message_of_no_use_is_answered_ae_and_kept_aside(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    nobody = admission("C2").replace(b"100^^^GENHOSP^MR", b"")
    order = admission("C3").replace(b"ADT^A01", b"ORM^O01")
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        for message, code, control in (
            (nobody, "no-patient", "C2"),
            (order, "not-adt", "C3"),
            (b"no message at all", "not-hl7", ""),
            (admission("C4").decode().encode("utf-16-le"), "not-hl7", ""),
            (b"", "empty", ""),
        ):
            ack = await hospital.ask(message)
            assert (ack.code, ack.control_id) == ("AE", control)
            record = next(each for each in await gateway.dead() if each.value == message)
            assert record.headers["code"] == code.encode()
            assert record.headers["stage"] == b"gateway"
        ack = await hospital.ask(admission("C5"))
        assert ack.code == "AA"
        assert len(await gateway.dead()) == 5
        assert [each.value for each in await gateway.raw()] == [admission("C5")]


async def test_a_message_sent_again_is_answered_and_not_stored_twice(
    kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    changed = admission("C1", name="DOE^JANET")
    async with running(kafka.bootstrap, topic_names) as gateway:
        for _ in range(2):
            async with sender(gateway.port) as hospital:
                assert (await hospital.ask(admission("C1"))).code == "AA"
        async with sender(gateway.port) as hospital:
            assert (await hospital.ask(changed)).code == "AA"
            assert (await hospital.ask(admission(""))).code == "AA"
            assert (await hospital.ask(admission(""))).code == "AA"
        values = [each.value for each in await gateway.raw()]
        # One control ID for two contents is two messages; without a control ID nothing says that it is a resend.
        assert sorted(values, key=repr) == sorted([admission("C1"), changed, admission(""), admission("")], key=repr)


async def test_a_message_cut_at_every_byte_is_one_message(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    framed = frame(admission("CUT"))
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        for cut in range(1, len(framed)):
            number = f"{cut:03d}".encode()
            here = framed.replace(b"CUT", number)
            await hospital.say(here[:cut])
            await asyncio.sleep(0)
            await hospital.say(here[cut:])
            ack = await hospital.answer()
            assert (ack.code, ack.control_id) == ("AA", number.decode())
        assert len(await gateway.raw()) == len(framed) - 1


async def test_a_message_in_single_bytes(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        for byte in frame(admission("C1")):
            await hospital.say(bytes([byte]))
            await asyncio.sleep(0)
        assert (await hospital.answer()).code == "AA"


async def test_many_messages_in_one_packet_are_answered_in_order(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        await hospital.say(b"".join(frame(admission(f"C{n}")) for n in range(5)))
        assert [(await hospital.answer()).control_id for _ in range(5)] == [f"C{n}" for n in range(5)]
        assert [each.headers["control-id"].decode() for each in await gateway.raw()] == [f"C{n}" for n in range(5)]


async def test_junk_around_frames_is_passed_over(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        await hospital.say(b"\r\n\x00\x00junk" + frame(admission("C1")) + b"\x00\x00\r\n" + frame(admission("C2")))
        assert [(await hospital.answer()).control_id for _ in range(2)] == ["C1", "C2"]


async def test_bytes_without_a_frame_are_never_answered(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names, QUICK) as gateway, sender(gateway.port) as hospital:
        await hospital.say(admission("C1"))
        assert await hospital.ended()
        assert await gateway.raw() == []


async def test_an_end_without_cr_counts_after_a_pause_or_at_the_close(
    kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway:
        async with sender(gateway.port) as hospital:
            for number in range(3):
                await hospital.say(frame(admission(f"C{number}"))[:-1])
                assert (await hospital.answer()).code == "AA"
        async with sender(gateway.port) as hospital:
            await hospital.say(frame(admission("C9"))[:-1])
            hospital.writer.write_eof()
            assert (await hospital.answer()).control_id == "C9"
            assert await hospital.ended()
        assert len(await gateway.raw()) == 4


async def test_a_long_message_is_taken_and_one_beyond_the_limit_is_not(
    kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    note = "NTE|1||" + "x" * 100 * 1024 + "\r"
    long = admission("LONG") + note.encode()
    endless = admission("ENDLESS") + note.encode() * 20
    async with running(kafka.bootstrap, topic_names) as gateway:
        async with sender(gateway.port) as hospital:
            assert (await hospital.ask(long)).code == "AA"
            ack = await hospital.ask(endless)
            assert (ack.code, ack.control_id) == ("AE", "ENDLESS")
            assert await hospital.ended()
        assert [each.value for each in await gateway.raw()] == [long]
        (record,) = await gateway.dead()
        assert record.headers["code"] == b"oversize"
        assert record.headers["truncated"] == b"1"
        assert record.value is not None
        assert endless.startswith(record.value)
        assert len(record.value) > 500_000


async def test_values_too_long_to_copy_are_answered_ae_and_kept_aside(
    kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    long = "9" * 250_000
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        for control, message in (("C1", admission("C1", patient=long)), (long, admission(long))):
            answer = await hospital.ask(message)
            assert (answer.code, answer.control_id) == ("AE", control)
        assert (await hospital.ask(admission("C3"))).code == "AA"
        assert [each.headers["control-id"] for each in await gateway.raw()] == [b"C3"]
        letters = {each.headers["place"]: each for each in await gateway.dead()}
        assert set(letters) == {b"PID-3.1", b"MSH-10.1"}
        assert {each.headers["code"] for each in letters.values()} == {b"too-long"}
        # The letter of a long control ID has the message whole, and not the ID once more in a header.
        assert letters[b"MSH-10.1"].value == admission(long)
        assert letters[b"MSH-10.1"].headers["control-id"] == long[:199].encode()


async def test_what_the_topic_will_not_hold_is_answered_ae(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    # Kafka's own limit (1 MiB and a little) is below ours here: the broker refuses what librdkafka lets pass.
    big = admission("BIG") + b"NTE|1||" + os.urandom(550_000).hex().encode() + b"\r"
    config = MllpConfig(port=0, limit=1_500_000)
    async with running(kafka.bootstrap, topic_names, config) as gateway, sender(gateway.port) as hospital:
        assert (await hospital.ask(big)).code == "AE"
        assert (await hospital.ask(admission("C1"))).code == "AA"
        (record,) = await gateway.dead()
        assert record.headers["code"] == b"oversize"
        assert record.headers["cut-from"] == str(len(big)).encode()


@pytest.mark.parametrize(
    "message",
    [
        admission("C1", charset="8859/1", name="PEÑA^JOSÉ"),
        admission("C1", name="PEÑA^JOSÉ"),
        admission("C1", name="PEÑA^JOSÉ").decode().encode("cp1252"),
        admission("C1").replace(b"\r", b"\n"),
        admission("C1").replace(b"\r", b"\r\n"),
        admission("C1").translate(bytes.maketrans(b"|^", b"$*")),
    ],
    ids=["latin-1", "utf-8", "cp1252 unsaid", "LF", "CRLF", "other delimiters"],
)
async def test_the_bytes_are_stored_as_they_came(message: bytes, kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        ack = await hospital.ask(message)
        assert (ack.code, ack.control_id) == ("AA", "C1")
        assert [each.value for each in await gateway.raw()] == [message]


@pytest.mark.parametrize(
    ("accept", "application", "good", "bad"),
    [("AL", "NE", "CA", "CE"), ("AL", "AL", "CA", "CE"), ("NE", "AL", "AA", "AE"), ("NE", "NE", "AA", "AE")],
)
async def test_the_sender_says_which_answer_it_wants(
    accept: str, application: str, good: str, bad: str, kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    taken = admission("C1", accept=accept, application=application)
    refused = taken.replace(b"PID|", b"XID|").replace(b"C1", b"C2")
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        assert (await hospital.ask(taken)).code == good
        assert (await hospital.ask(refused)).code == bad


async def test_a_profile_may_want_aa_only_or_silence(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    aa_only = Profiles([replace(HOSPITAL, aa_only=True)])
    async with running(kafka.bootstrap, topic_names, profiles=aa_only) as gateway, sender(gateway.port) as hospital:
        assert (await hospital.ask(admission("C1", accept="AL", application="NE"))).code == "AA"
    silent = Profiles([replace(HOSPITAL, answer_never=False)])
    async with running(kafka.bootstrap, topic_names, profiles=silent, topics=False) as gateway:
        async with sender(gateway.port) as hospital:
            await hospital.say(frame(admission("C2", accept="NE", application="NE")))
            ack = await hospital.ask(admission("C3"))
            assert ack.control_id == "C3"  # nothing was said about C2, and yet it is stored
        assert {each.headers["control-id"] for each in await gateway.raw()} == {b"C1", b"C2", b"C3"}


@pytest.mark.parametrize(
    ("said", "why"),
    [(b"", "first-byte"), (frame(admission("C1"))[:80], "frame"), (frame(admission("C1")), "idle")],
    ids=["says nothing", "stops half way", "stops after a message"],
)
async def test_a_connection_that_takes_too_long_is_ended(
    said: bytes, why: str, kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    before = CUT_OFF.labels("mllp", why)._value.get()
    async with running(kafka.bootstrap, topic_names, QUICK) as gateway, sender(gateway.port) as hospital:
        if said:
            await hospital.say(said)
        if why == "idle":
            assert (await hospital.answer()).code == "AA"
        assert await hospital.ended()
        assert CUT_OFF.labels("mllp", why)._value.get() == before + 1
        await until(lambda: gateway.listener.open_connections == 0, "the connection is forgotten")
        assert len(await gateway.raw()) == (1 if why == "idle" else 0)


async def test_a_client_that_stops_half_way_leaves_nothing(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway:
        async with sender(gateway.port) as hospital:
            await hospital.say(frame(admission("C1"))[:100])
        await until(lambda: gateway.listener.open_connections == 0, "the connection is forgotten")
        assert await gateway.raw() == []
        assert await gateway.dead() == []


async def test_a_client_that_never_reads_its_answers_is_ended(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    many = b"".join(frame(admission(f"C{n}")) for n in range(400))
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    async with running(kafka.bootstrap, topic_names, QUICK) as gateway:
        await loop.sock_connect(sock, ("127.0.0.1", gateway.port))
        await until(lambda: gateway.listener.open_connections == 1, "it is served")

        async def pour() -> None:
            while True:
                await loop.sock_sendall(sock, many)

        pouring = asyncio.create_task(pour())
        await until(lambda: gateway.listener.open_connections == 0, "it is ended", 60)
        pouring.cancel()
        async with sender(gateway.port) as hospital:
            assert (await hospital.ask(admission("LATER"))).code == "AA"
    sock.close()


async def test_connections_over_the_limits_are_turned_away(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    for limits in (MllpConfig(port=0, connections=2), MllpConfig(port=0, connections_per_peer=2)):
        async with running(kafka.bootstrap, TopicNames(), limits) as gateway:
            async with sender(gateway.port) as one, sender(gateway.port) as two:
                assert (await one.ask(admission("C1"))).code == "AA"
                assert (await two.ask(admission("C2"))).code == "AA"
                async with sender(gateway.port) as three:
                    assert await three.ended()
            await until(lambda: gateway.listener.open_connections == 0, "room again")
            async with sender(gateway.port) as four:
                assert (await four.ask(admission("C3"))).code == "AA"


async def test_many_connections_lose_and_repeat_nothing(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    messages = [admission(f"C{n}", patient=str(n % 60)) for n in range(1200)]
    async with running(kafka.bootstrap, topic_names) as gateway:
        sent = await send(Target("127.0.0.1", gateway.port, connections=40), messages)
        assert dict(sent.codes) == {"AA": 1200}
        records = await gateway.raw()
        assert sorted(each.value or b"" for each in records) == sorted(messages)
        of_patient: dict[bytes, list[int]] = {}
        for each in records:
            of_patient.setdefault(each.key or b"", []).append(int(each.headers["control-id"][1:]))
        assert len(of_patient) == 60
        assert all(numbers == sorted(numbers) for numbers in of_patient.values())


async def test_the_corpus_is_answered_and_nothing_is_lost(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    path = Path(os.environ.get("HANDOFF_CORPUS", "../shared/corpus/adt_dev.jsonl"))
    if not path.exists():
        pytest.skip("no corpus")
    bodies = [json.loads(line)["message"].encode() for line in path.read_text(encoding="utf-8").splitlines()]
    messages: list[bytes] = []
    codes: list[str] = []
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        for body in bodies:
            await hospital.say(frame(body))
            for message in split_frame(body):  # some are several, glued together
                messages.append(message)
                codes.append((await hospital.answer()).code)
        good, bad = sum(code in ("AA", "CA") for code in codes), sum(code in ("AE", "CE") for code in codes)
        assert good + bad == len(messages)
        stored = [each.value for each in await gateway.raw()]
        assert set(stored) == {m for m, code in zip(messages, codes, strict=True) if code in ("AA", "CA")}
        assert len(stored) <= good  # fewer: messages that the corpus holds twice
        assert len(await gateway.dead()) == bad
        assert good > 0.8 * len(messages)
