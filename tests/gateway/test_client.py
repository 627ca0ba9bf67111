"""The client against servers that misbehave: what is not answered AA is never counted as such."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.client import Outcome, Target, send
from parsers.hl7.ack import acknowledge
from parsers.hl7.envelope import read_envelope
from parsers.hl7.mllp import FrameReader, frame
from tests.gateway.running import admission

Reply = Callable[[int, bytes], bytes | None]
"""(number of the message since the start, message) -> bytes to write, or None to close."""


def ack(message: bytes, code: str = "AA") -> bytes:
    return frame(acknowledge(read_envelope(message), code, "S1", 0))


class Served:
    """What a server saw: messages by connection."""

    def __init__(self) -> None:
        self.port = 0
        self.count = 0
        self.by_connection: list[list[bytes]] = []


@asynccontextmanager
async def serving(reply: Reply) -> AsyncIterator[Served]:
    served = Served()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine: list[bytes] = []
        served.by_connection.append(mine)
        frames = FrameReader()
        while data := await reader.read(65_536):
            for each in frames.feed(data):
                served.count += 1
                mine.append(each.body)
                said = reply(served.count, each.body)
                if said is None:
                    writer.close()
                    return
                writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


def target(served: Served, **more: object) -> Target:
    return Target("127.0.0.1", served.port, **{"answer_seconds": 2.0, **more})  # type: ignore[arg-type]


async def test_codes_are_counted_and_each_message_is_told_of() -> None:
    codes = ["AA", "AE", "CA", "AR"]
    told: list[Outcome] = []
    async with serving(lambda n, message: ack(message, codes[n - 1])) as served:
        sent = await send(target(served), [admission(f"C{n}") for n in range(4)], told.append)
    assert dict(sent.codes) == {"AA": 1, "AE": 1, "CA": 1, "AR": 1}
    assert (sent.total, sent.good, sent.retried) == (4, 2, 0)
    assert [(each.index, each.good) for each in told] == [(0, True), (1, False), (2, True), (3, False)]
    assert 0 < sent.percentile(0.5) <= sent.percentile(1.0) < 2


@pytest.mark.parametrize(
    "trouble",
    [
        lambda message: None,
        lambda message: b"",
        lambda message: ack(message.replace(b"C0", b"C7")),
        lambda message: frame(b"no answer at all"),
        lambda message: frame(message),
        lambda message: ack(message) + ack(message),
    ],
    ids=["closes", "silence", "answers another", "nonsense", "echo", "answers twice"],
)
async def test_no_right_answer_is_no_answer_and_a_retry_takes_a_new_connection(
    trouble: Callable[[bytes], bytes | None],
) -> None:
    def reply(number: int, message: bytes) -> bytes | None:
        return trouble(message) if number == 1 else ack(message)

    async with serving(reply) as served:
        sent = await send(target(served, answer_seconds=0.3), [admission("C0")])
        assert dict(sent.codes) == {"none": 1}
    async with serving(reply) as served:
        sent = await send(target(served, answer_seconds=0.3, retries=2), [admission("C0"), admission("C1")])
        assert dict(sent.codes) == {"AA": 2}
        assert sent.retried == 1
        assert [len(each) for each in served.by_connection] == [1, 2]


async def test_ar_is_sent_again_and_ae_is_not() -> None:
    async with serving(lambda n, message: ack(message, "AR" if n < 3 else "AA")) as served:
        sent = await send(target(served, retries=5), [admission("C0")])
        assert (dict(sent.codes), sent.retried) == ({"AA": 1}, 2)
    async with serving(lambda n, message: ack(message, "AE")) as served:
        sent = await send(target(served, retries=5), [admission("C0")])
        assert (dict(sent.codes), sent.retried, served.count) == ({"AE": 1}, 0, 1)
    async with serving(lambda n, message: ack(message, "AR")) as served:
        sent = await send(target(served, retries=2), [admission("C0")])
        assert (dict(sent.codes), served.count) == ({"AR": 1}, 3)


async def test_nobody_there() -> None:
    async with serving(lambda n, message: None) as served:
        gone = served.port
    sent = await send(Target("127.0.0.1", gone), [admission("C0"), admission("C1")])
    assert dict(sent.codes) == {"none": 2}


async def test_a_patients_messages_stay_in_order_on_one_connection() -> None:
    messages = [admission(f"C{n:03d}", patient=str(n % 10)) for n in range(200)]
    async with serving(lambda n, message: ack(message)) as served:
        sent = await send(target(served, connections=6), messages)
    assert sent.good == 200
    assert len(served.by_connection) > 1
    for patient in range(10):
        theirs = [m for m in messages if f"||{patient}^^^".encode() in m]
        carried = [[m for m in each if m in theirs] for each in served.by_connection]
        assert [each for each in carried if each] == [theirs]


async def test_the_rate_is_kept() -> None:
    async with serving(lambda n, message: ack(message)) as served:
        sent = await send(target(served, connections=4, rate=100), [admission(f"C{n}") for n in range(60)])
    assert 0.5 < sent.elapsed < 5


async def test_an_odd_control_id_is_known_again() -> None:
    async with serving(lambda n, message: ack(message)) as served:
        odd = [admission("A^B"), admission("A\\T\\B"), admission(" A "), admission(""), admission("Ñ")]
        assert dict((await send(target(served), odd)).codes) == {"AA": 5}
