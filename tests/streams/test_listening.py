"""The limits of all TCP listeners, on real sockets: in total, of one address, and in file descriptors."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest
import structlog

from streams.descriptors import descriptor_limit, raise_descriptor_limit
from streams.listening import Bounds, Listening, Seldom, Slot, open_sockets, spare_for
from streams.metrics import ACCEPT_FAULTS, CONNECTIONS, TURNED_AWAY


class Held(asyncio.Protocol):
    """Keeps its connection until the peer ends it."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"in")

    def connection_lost(self, _: Exception | None) -> None:
        self._slot.release()


@asynccontextmanager
async def listening(name: str, bounds: Bounds) -> AsyncIterator[Listening]:
    """A listener until the block ends."""
    opened = Listening(name, open_sockets("127.0.0.1", 0), bounds, Held)
    opened.start()
    try:
        yield opened
    finally:
        opened.close()


class Client:
    """A connection, and whether it was let in."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def of(cls, port: int, address: str = "127.0.0.1") -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)))

    async def is_in(self) -> bool:
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(2) == b"in"
            except ConnectionError:
                return False

    def leave(self) -> None:
        self.writer.close()


@contextmanager
def descriptors(soft: int) -> Iterator[None]:
    """Another limit of open descriptors while the block runs."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def until_free(name: str, count: int) -> None:
    async with asyncio.timeout(5):
        while CONNECTIONS.labels(name)._value.get() != count:
            await asyncio.sleep(0.01)


async def test_no_more_than_the_total_and_a_place_is_free_again() -> None:
    async with listening("t1", Bounds(3, 100)) as opened:
        inside = [await Client.of(opened.port) for _ in range(3)]
        assert [await each.is_in() for each in inside] == [True] * 3
        over = [await Client.of(opened.port) for _ in range(5)]
        assert [await each.is_in() for each in over] == [False] * 5
        assert TURNED_AWAY.labels("t1", "total")._value.get() == 5
        inside[0].leave()
        await until_free("t1", 2)
        again = await Client.of(opened.port)
        assert await again.is_in()
        for each in (*inside, *over, again):
            each.leave()
        await until_free("t1", 0)


async def test_one_address_has_its_share_and_others_come_in() -> None:
    async with listening("t2", Bounds(10, 2)) as opened:
        same = [await Client.of(opened.port, "127.0.0.2") for _ in range(4)]
        assert sorted([await each.is_in() for each in same]) == [False, False, True, True]
        other = await Client.of(opened.port, "127.0.0.3")
        assert await other.is_in()
        assert TURNED_AWAY.labels("t2", "peer")._value.get() == 2
        for each in (*same, other):
            each.leave()


async def test_a_flood_of_one_listener_leaves_descriptors_to_another() -> None:
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    with descriptors(lowest + 80):
        async with (
            listening("flooded", Bounds(1000, 1000, spare=50)) as flooded,
            listening("kept", Bounds(1000, 1000)) as kept,
        ):
            # The clients are of another process's descriptors: the limit is the listener's own.
            command = (
                "import resource,socket,sys\n"
                "hard=resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
                "resource.setrlimit(resource.RLIMIT_NOFILE,(hard,hard))\n"
                "held=[socket.create_connection(('127.0.0.1',int(sys.argv[1]))) for _ in range(300)]\n"
                "print('done',flush=True);sys.stdin.read()"
            )
            flood = await asyncio.create_subprocess_exec(
                sys.executable, "-c", command, str(flooded.port), stdin=-1, stdout=-1
            )
            assert flood.stdout is not None
            assert flood.stdin is not None
            async with asyncio.timeout(20):
                assert await flood.stdout.readline() == b"done\n"
                while TURNED_AWAY.labels("flooded", "descriptors")._value.get() < 270:
                    await asyncio.sleep(0.01)
            # Each costs two descriptors in this process: its own, and the client's.
            wanted = [await Client.of(kept.port) for _ in range(20)]
            assert all([await each.is_in() for each in wanted])
            assert ACCEPT_FAULTS.labels("flooded")._value.get() == 0
            for each in wanted:
                each.leave()
            flood.stdin.close()
            await flood.wait()


async def test_out_of_descriptors_is_logged_once_and_accepted_later() -> None:
    async with listening("full", Bounds(1000, 1000)) as opened:
        waiting = socket.socket()
        waiting.setblocking(False)
        with structlog.testing.capture_logs() as said, descriptors(descriptor_limit()):
            lowest = os.open(os.devnull, os.O_RDONLY)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 5, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
            held: list[int] = []
            with suppress(OSError):  # some of the numbers below the limit may be in use
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            await asyncio.get_running_loop().sock_connect(waiting, ("127.0.0.1", opened.port))
            async with asyncio.timeout(10):
                while ACCEPT_FAULTS.labels("full")._value.get() < 3:
                    await asyncio.sleep(0.05)
            for each in held:
                os.close(each)
            async with asyncio.timeout(5):
                assert await asyncio.get_running_loop().sock_recv(waiting, 2) == b"in"
        waiting.close()
        lines = [each for each in said if each["event"] == "accept failed"]
        assert [each["count"] for each in lines] == [1]
        assert "error" in lines[0]


def test_a_log_line_a_minute_with_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("streams.listening.time.monotonic", lambda: now[0])
    seldom = Seldom()
    with structlog.testing.capture_logs() as said:
        for _ in range(500):
            seldom.warn("x", listener="a")
        now[0] += 59.9
        seldom.warn("x", listener="a")
        seldom.warn("x", listener="b")
        now[0] += 0.2
        seldom.warn("x", listener="a")
    assert [(each["listener"], each["count"]) for each in said] == [("a", 1), ("b", 1), ("a", 501)]


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with descriptors(hard // 2):
        assert descriptor_limit() == hard // 2
        assert spare_for(hard) == hard // 2 - 128
        assert spare_for(100) == 164
        raise_descriptor_limit()
        assert descriptor_limit() == hard


def test_every_address_of_a_name_is_listened_on_with_one_port() -> None:
    sockets = open_sockets("localhost", 0)
    try:
        assert len({each.getsockname()[1] for each in sockets}) == 1
        with pytest.raises(OSError, match="in use"):
            open_sockets("127.0.0.1", sockets[0].getsockname()[1])
    finally:
        for each in sockets:
            each.close()
