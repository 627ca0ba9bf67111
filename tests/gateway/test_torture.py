"""What networks, bad clients and worse ones do to the MLLP listener, on real sockets and a real Kafka.

The list of tortures, and where each is shown (M: test_mllp, T: test_tls, O: test_outage, else here):

| torture | test |
|---|---|
| cut at every byte; in single bytes | `test_every_message_cut_at_every_byte`; M `..._in_single_bytes` |
| several in one packet | M `test_many_messages_in_one_packet...` |
| junk and NULs between frames; no VT | `test_noise_between_many_frames`; M `test_junk...`, `..._without_a_frame...` |
| FS without CR | M `test_an_end_without_cr...`; per sender: `test_a_sender_whose_text_holds_fs` |
| 100 KiB; 2 MB; more than the topic holds | M `test_a_long_message...`, `test_what_the_topic_will_not_hold...` |
| Latin-1, CP1252, LF, CRLF, other delimiters | M `test_the_bytes_are_stored_as_they_came` |
| UTF-16 with and without a mark | `test_utf_16_is_read_with_its_mark_and_refused_without` |
| stops half way; never reads its answers | M `test_a_client_that_stops...`, `..._never_reads...` |
| trickles; slowloris of MSH; junk for ever | `test_a_trickle_is_cut_off_and_keeps_nobody_waiting` |
| half-closed | `test_a_peer_that_has_said_all_still_reads_its_answers`; M `test_an_end_without_cr...` |
| 500 at once, one more; limits of a peer | `test_a_full_house`; M `test_connections_over_the_limits...` |
| thousands of empty frames | `test_thousands_of_empty_frames` |
| random bytes | `test_random_bytes` |
| glued in one frame | `test_messages_glued...`, `test_of_glued_messages...` |
| no, a stranger's, an expired certificate; TLS 1.1 | T `test_nobody_else_is_let_in`, `test_old_tls_is_refused` |
| a peer that vanished | `test_a_peer_that_vanished_is_asked_for` |
| a stranger's messages | `test_senders_without_a_profile_are_taken_or_refused` |
| Kafka away or hanging | O |
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter

import pytest
from msgspec.structs import replace

from gateway.config import Keepalive, MllpConfig, Timeouts
from gateway.metrics import UNKNOWN
from parsers.hl7.frames import split_frame
from parsers.hl7.mllp import FrameReader, frame
from parsers.hl7.profiles import Profiles
from streams.metrics import CUT_OFF, TURNED_AWAY
from tests.conftest import HasBootstrap
from tests.gateway.running import HOSPITAL, Sender, admission, running, sender, until
from tests.support.kafka import TopicNames

pytestmark = [pytest.mark.kafka]
LONG = admission("CUT") + b"".join(b"NTE|%d||%s\r" % (n, b"as told by the ward " * 4) for n in range(8))
SET = {
    "ascii": admission("CUT"),
    "utf-8": admission("CUT", name="PEÑA^JOSÉ"),
    "latin-1": admission("CUT", charset="8859/1", name="PEÑA^JOSÉ"),
    "long": LONG,
}


@pytest.mark.parametrize("message", SET.values(), ids=SET.keys())
async def test_every_message_cut_at_every_byte(message: bytes, kafka: HasBootstrap, topic_names: TopicNames) -> None:
    framed = frame(message)
    lanes = 8

    async def cut_at(port: int, lane: int) -> None:
        async with sender(port) as hospital:
            for cut in range(1 + lane, len(framed), lanes):
                number = f"{cut:03d}"
                here = framed.replace(b"|CUT|", f"|{number}|".encode())
                await hospital.say(here[:cut])
                await asyncio.sleep(0)
                await hospital.say(here[cut:])
                ack = await hospital.answer()
                assert (ack.code, ack.control_id) == ("AA", number)

    async with running(kafka.bootstrap, topic_names) as gateway:
        await asyncio.gather(*(cut_at(gateway.port, lane) for lane in range(lanes)))
        stored = Counter(each.value for each in await gateway.raw())
        wanted = [message.replace(b"|CUT|", b"|%03d|" % cut) for cut in range(1, len(framed))]
        assert stored == Counter(wanted)


async def test_noise_between_many_frames(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    noise = (b"\x00" * 50, b"\r\n", b"\x1c\r", b"\x1c", b"ping", b"\x00\r\n\x00", b"MSH|^~\\&|", b"\x1c\r\x1c\r")
    stream = b"".join(noise[n % len(noise)] + frame(admission(f"C{n}")) for n in range(40)) + b"\x00\r\n"
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        await hospital.say(stream)
        answers = [await hospital.answer() for _ in range(40)]
        assert [(each.code, each.control_id) for each in answers] == [("AA", f"C{n}") for n in range(40)]
        assert [each.value for each in await gateway.raw()] == [admission(f"C{n}") for n in range(40)]
        assert await gateway.dead() == []


async def test_a_sender_whose_text_holds_fs(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    odd = admission("C1") + b"NTE|1||a\x1c\x0bb\r"
    profiles = Profiles([replace(HOSPITAL, ends_alone=False)])
    quick = MllpConfig(port=0, timeouts=Timeouts(pause=0.05))
    async with (
        running(kafka.bootstrap, topic_names, quick, profiles=profiles) as gateway,
        sender(gateway.port) as hospital,
    ):
        assert (await hospital.ask(odd)).code == "AA"
        begun = frame(admission("C2"))[:-1]
        await hospital.say(begun)
        with pytest.raises(TimeoutError):  # several pauses long: for another sender this would be the end
            await hospital.answer(0.4)
        await hospital.say(b"\r")
        assert (await hospital.answer()).control_id == "C2"
        assert [each.value for each in await gateway.raw()] == [odd, admission("C2")]


@pytest.mark.parametrize(("codec", "code"), [("utf-16", "AA"), ("utf-16-le", "AE"), ("utf-16-be", "AE")])
async def test_utf_16_is_read_with_its_mark_and_refused_without(
    codec: str, code: str, kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    message = admission("C1").decode().encode(codec)
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        ack = await hospital.ask(message)
        assert (ack.code, ack.control_id) == (code, "C1" if code == "AA" else "")
        assert (await hospital.ask(admission("C2"))).code == "AA"
        raw, dead = await gateway.raw(), await gateway.dead()
        held = raw if code == "AA" else dead
        assert message in [each.value for each in held]
        assert (len(raw), len(dead)) == ((2, 0) if code == "AA" else (1, 1))
        assert all(each.headers["code"] == b"not-hl7" for each in dead)


async def test_a_peer_that_has_said_all_still_reads_its_answers(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        hospital.writer.write(b"".join(frame(admission(f"C{n}")) for n in range(5)))
        hospital.writer.write_eof()
        assert [(await hospital.answer()).control_id for _ in range(5)] == [f"C{n}" for n in range(5)]
        assert await hospital.ended()
        await until(lambda: gateway.listener.open_connections == 0, "the connection is forgotten")
        assert len(await gateway.raw()) == 5


TRICKLES = {
    "MSH": (frame(admission("SLOW")), "message"),
    "endless text": (b"\x0b" + b"x" * 10_000, "message"),
    "junk": (b"\x00" * 10_000, "first-byte"),
}


@pytest.mark.parametrize(("said", "why"), TRICKLES.values(), ids=TRICKLES.keys())
async def test_a_trickle_is_cut_off_and_keeps_nobody_waiting(
    said: bytes, why: str, kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    # No pause is ever long enough for the limit between two bytes: only a limit on the whole ends it.
    timeouts = Timeouts(first_byte=1.0, frame=5.0, message=1.0, idle=5.0, pause=0.02)
    before = CUT_OFF.labels("mllp", why)._value.get()

    async def trickle(port: int) -> None:
        async with sender(port) as slow:
            ended = asyncio.create_task(slow.ended(20))
            for byte in said:
                if slow.writer.transport.is_closing():
                    break
                slow.writer.write(bytes([byte]))
                done, _ = await asyncio.wait([ended], timeout=0.05)
                if done:
                    break
            assert await ended

    async with running(kafka.bootstrap, topic_names, MllpConfig(port=0, timeouts=timeouts)) as gateway:
        slow = [asyncio.create_task(trickle(gateway.port)) for _ in range(10)]
        await until(lambda: gateway.listener.open_connections == 10, "they are in")
        async with sender(gateway.port) as hospital:
            assert (await hospital.ask(admission("C1"))).code == "AA"
        await asyncio.gather(*slow)
        assert CUT_OFF.labels("mllp", why)._value.get() == before + 10
        assert [each.value for each in await gateway.raw()] == [admission("C1")]
        assert await gateway.dead() == []


async def test_a_slow_message_within_its_time_is_taken_and_the_next_has_a_time_of_its_own(
    kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    timeouts = Timeouts(frame=5.0, message=1.5)
    async with running(kafka.bootstrap, topic_names, MllpConfig(port=0, timeouts=timeouts)) as gateway:
        async with sender(gateway.port) as hospital:
            for number in range(4):  # together longer than one may take
                framed = frame(admission(f"C{number}"))
                for at in range(0, len(framed), 60):
                    await hospital.say(framed[at : at + 60])
                    await asyncio.sleep(0.12)
                assert (await hospital.answer()).control_id == f"C{number}"
        assert len(await gateway.raw()) == 4


async def test_a_full_house(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    before = {why: TURNED_AWAY.labels("mllp", why)._value.get() for why in ("total", "peer")}
    config = MllpConfig(port=0, connections=500, connections_per_peer=200)

    async def guest(number: int, inside: asyncio.Event, leave: asyncio.Event) -> str:
        # Three peers: the kernel routes all of 127/8 to this machine.
        async with sender(gateway.port, local_addr=(f"127.0.0.{2 + number % 3}", 0)) as hospital:
            ack = await hospital.ask(admission(f"G{number}", patient=str(number)))
            answered.append(ack.control_id)
            if len(answered) == 500:
                inside.set()
            await leave.wait()
            return ack.code

    answered: list[str] = []
    async with running(kafka.bootstrap, topic_names, config) as gateway:
        inside, leave = asyncio.Event(), asyncio.Event()
        guests = [asyncio.create_task(guest(number, inside, leave)) for number in range(500)]
        async with asyncio.timeout(60):
            await inside.wait()
        assert gateway.listener.open_connections == 500
        async with sender(gateway.port) as one_more:
            assert await one_more.ended()
        leave.set()
        assert Counter(await asyncio.gather(*guests)) == {"AA": 500}
        assert len({each.value for each in await gateway.raw()}) == 500
        await until(lambda: gateway.listener.open_connections == 0, "all have left", 20)
        assert TURNED_AWAY.labels("mllp", "total")._value.get() == before["total"] + 1

        async with asyncio.TaskGroup() as group:  # of one peer no more than its share, while others still come in
            inside, leave = asyncio.Event(), asyncio.Event()
            held = [group.create_task(_hold(gateway.port, leave)) for _ in range(200)]
            await until(lambda: gateway.listener.open_connections == 200, "its share is in", 20)
            async with sender(gateway.port) as one_more:
                assert await one_more.ended()
            async with sender(gateway.port, local_addr=("127.0.0.9", 0)) as other:
                assert (await other.ask(admission("OTHER"))).code == "AA"
            leave.set()
        assert all(task.done() for task in held)
        assert TURNED_AWAY.labels("mllp", "peer")._value.get() == before["peer"] + 1


async def _hold(port: int, leave: asyncio.Event) -> None:
    async with sender(port):
        await leave.wait()


async def test_thousands_of_empty_frames(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    many = 3000
    async with (
        running(kafka.bootstrap, topic_names) as gateway,
        sender(gateway.port) as odd,
        sender(gateway.port) as hospital,
    ):

        async def listen() -> Counter[tuple[str, str]]:
            answers = [await odd.answer() for _ in range(many + 1)]
            return Counter((each.code, each.control_id) for each in answers)

        listening = asyncio.create_task(listen())
        await odd.say(b"\x0b\x1c\r" * many + frame(admission("LAST")))
        for number in range(20):  # meanwhile others are answered
            assert (await hospital.ask(admission(f"C{number}"))).code == "AA"
        assert not listening.done()
        assert await listening == {("AE", ""): many, ("AA", "LAST"): 1}
        dead = await gateway.dead()
        assert Counter((each.headers["code"], each.value) for each in dead) == {(b"empty", b""): many}


async def test_random_bytes(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    dice = random.Random(20260301)
    alphabet = [*range(256), *b"\x0b\x1c\r" * 60, *b"MSH|^~\\&" * 8]
    streams = []
    for _ in range(6):
        loose = bytes(dice.choice(alphabet) for _ in range(6_000))
        damaged = bytearray(b"".join(frame(admission(f"D{n}")) for n in range(12)))
        for at in dice.sample(range(len(damaged)), 40):
            damaged[at] = dice.randrange(256)
        streams.append(loose + bytes(damaged) + b"\x1c\r")

    async def pour(port: int, stream: bytes) -> Counter[str]:
        reader = FrameReader()
        async with sender(port) as odd:
            hearing = asyncio.create_task(_hear_all(odd))
            at = 0
            while at < len(stream):
                size = dice.randrange(1, 900)
                await odd.say(stream[at : at + size])
                at += size
            odd.writer.write_eof()
            codes = await hearing
        bodies = [each.body for each in (*reader.feed(stream), *reader.flush())]
        expected.update(message for body in bodies for message in split_frame(body))
        return codes

    expected: Counter[bytes] = Counter()
    async with running(kafka.bootstrap, topic_names) as gateway:
        said: Counter[str] = sum(
            await asyncio.gather(*(pour(gateway.port, stream) for stream in streams)), start=Counter()
        )
        raw, dead = await gateway.raw(), await gateway.dead()
        assert said.total() == expected.total() > 100
        assert said["AA"] + said["CA"] >= len(raw) > 0
        assert said["AE"] + said["CE"] == len(dead) > 50
        assert {each.value for each in (*raw, *dead)} == set(expected)
        async with sender(gateway.port) as hospital:
            assert (await hospital.ask(admission("AFTER"))).code == "AA"


async def _hear_all(odd: Sender) -> Counter[str]:
    """The codes of all answers up to the end of the connection."""
    codes: Counter[str] = Counter()
    reader = FrameReader()
    async with asyncio.timeout(60):
        while data := await odd.reader.read(65_536):
            for each in reader.feed(data):
                codes[each.body.partition(b"MSA")[2][1:3].decode()] += 1
    return codes


@pytest.mark.parametrize("between", [b"", b"\r\n", b"\x00\x00", b"\x1c", b"\x1c\n\x00"])
async def test_messages_glued_in_one_frame_are_all_taken_and_answered_in_order(
    between: bytes, kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    messages = [admission(f"C{n}", patient=str(n)) for n in range(3)]
    messages[1] = messages[1].replace(b"PID|", b"XID|")
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        await hospital.say(frame(between.join(messages)) + frame(admission("NEXT")))
        answers = [await hospital.answer() for _ in range(4)]
        assert [(each.code, each.control_id) for each in answers] == [
            ("AA", "C0"),
            ("AE", "C1"),
            ("AA", "C2"),
            ("AA", "NEXT"),
        ]
        raw = {each.headers["control-id"]: (each.key, each.value) for each in await gateway.raw()}
        assert raw == {
            b"C0": (b"GENHOSP|0", messages[0].rstrip(b"\r")),
            b"C2": (b"GENHOSP|2", messages[2].rstrip(b"\r")),
            b"NEXT": (b"GENHOSP|100", admission("NEXT")),
        }
        assert [each.value for each in await gateway.dead()] == [messages[1].rstrip(b"\r")]


async def test_of_glued_messages_kafka_holds_none_that_is_not_answered_so(
    kafka: HasBootstrap, topic_names: TopicNames
) -> None:
    quoted = admission("C1") + b"NTE|1||the ward wrote MSH|^~\\&|ADT|GENHOSP\r"
    both = admission("C2") + admission("C3")
    # The topics do not exist (and are not made): nothing can be confirmed.
    async with running(kafka.bootstrap, TopicNames(), seconds=1.0, topics=False) as gateway:
        gateway.ingress.topics = replace(gateway.ingress.topics, raw="no such topic")
        async with sender(gateway.port) as hospital:
            await hospital.say(frame(both))
            answers = [await hospital.answer() for _ in range(2)]
            assert [(each.code, each.control_id) for each in answers] == [("AR", "C2"), ("AR", "C3")]
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        assert (await hospital.ask(quoted)).control_id == "C1"
        await hospital.say(frame(both))
        assert [(await hospital.answer()).code for _ in range(2)] == ["AA", "AA"]
        assert Counter(each.headers["control-id"] for each in await gateway.raw()) == {b"C1": 1, b"C2": 1, b"C3": 1}
        assert quoted in {each.value for each in await gateway.raw()}


async def test_a_peer_that_vanished_is_asked_for(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    config = MllpConfig(port=0, keepalive=Keepalive(idle=61, interval=11, probes=7))
    async with running(kafka.bootstrap, topic_names, config) as gateway, sender(gateway.port) as hospital:
        assert (await hospital.ask(admission("C1"))).code == "AA"
        (connection,) = gateway.listener._connections
        sock = connection._writer.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [sock.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [61, 11, 7]


async def test_senders_without_a_profile_are_taken_or_refused(kafka: HasBootstrap, topic_names: TopicNames) -> None:
    stranger = admission("C1").replace(b"|ADT|GENHOSP|", b"|OTHER|ELSEWHERE|")
    before = {answer: UNKNOWN.labels(answer)._value.get() for answer in ("taken", "refused")}
    async with running(kafka.bootstrap, topic_names) as gateway, sender(gateway.port) as hospital:
        assert (await hospital.ask(stranger)).code == "AA"
        assert (await hospital.ask(admission("C2"))).code == "AA"
        assert [each.headers["sender"] for each in await gateway.raw()].count(b"default") == 1
    refusing = Profiles([HOSPITAL], refuse_unknown=True)
    async with running(kafka.bootstrap, TopicNames(), profiles=refusing) as gateway, sender(gateway.port) as hospital:
        ack = await hospital.ask(stranger)
        assert (ack.code, ack.control_id) == ("AE", "C1")
        assert (await hospital.ask(admission("C2"))).code == "AA"
        (record,) = await gateway.dead()
        assert (record.headers["code"], record.value) == (b"unknown-sender", stranger)
    assert {answer: UNKNOWN.labels(answer)._value.get() - known for answer, known in before.items()} == {
        "taken": 1,
        "refused": 1,
    }
