"""The limits of the HTTP servers, on real sockets: what is slow, half sent or never read is ended, and fast is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from streams.http_server import HttpTimes, http_server
from streams.listening import Bounds, open_sockets, port_of
from streams.metrics import CONNECTIONS, CUT_OFF

TIMES = HttpTimes(head=0.6, body=0.6, answer=0.6)


async def length(request: Request) -> Response:
    """How long the body was."""
    return PlainTextResponse(str(len(await request.body())))


async def late(_: Request) -> Response:
    """Takes longer than any deadline of a client."""
    await asyncio.sleep(2.5)
    return PlainTextResponse("at last")


async def endless(_: Request) -> Response:
    """More than the buffers of both sides hold."""

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536
            await asyncio.sleep(0)

    return StreamingResponse(parts())


APP = Starlette(
    routes=[Route("/", length, methods=["POST"]), Route("/late", late), Route("/endless", endless)],
)


@asynccontextmanager
async def serving(name: str, bounds: Bounds = Bounds(1000, 1000), times: HttpTimes = TIMES) -> AsyncIterator[int]:
    """The port of a server until the block ends."""
    server = http_server(APP, None, name, bounds, times, drain=1)
    sockets = open_sockets("127.0.0.1", 0)
    port = port_of(sockets)
    task = asyncio.create_task(server.serve(sockets))
    try:
        yield port
    finally:
        server.should_exit = True
        await task


async def said_until_the_end(reader: asyncio.StreamReader, seconds: float = 10.0) -> bytes:
    """What the server says before it ends the connection."""
    async with asyncio.timeout(seconds):
        try:
            return await reader.read(-1)
        except ConnectionError:
            return b""


HALVES = {
    "nothing": (b"", "head"),
    "half a header": (b"POST / HTTP/1.1\r\nHost: x\r\nX-Half: ", "head"),
    "no body": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", "body"),
    "half a body": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nxxxxx", "body"),
    "half a chunk": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxx", "body"),
    "half a second header": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx" + b"POST / HTTP/1.1\r\nX: ",
        "head",
    ),
}


@pytest.mark.parametrize("what", HALVES)
async def test_what_is_half_sent_is_ended(what: str) -> None:
    sent, why = HALVES[what]
    before = CUT_OFF.labels("halves", why)._value.get()
    times = {"head": 30.0, "body": 30.0, why: 0.6}  # a busy machine must not run into the other one
    async with serving("halves", times=HttpTimes(**times)) as port:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        for _, writer in clients:
            writer.write(sent)
        for reader, _ in clients:
            await said_until_the_end(reader)
        assert CUT_OFF.labels("halves", why)._value.get() == before + 200
        assert CONNECTIONS.labels("halves")._value.get() == 0
        for _, writer in clients:
            writer.close()


async def test_a_trickle_is_ended_though_no_pause_is_long() -> None:
    async with serving("trickle") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        ended = asyncio.create_task(said_until_the_end(reader))
        started = asyncio.get_running_loop().time()
        for byte in b"POST / HTTP/1.1\r\nX: " + b"x" * 500:
            writer.write(bytes([byte]))
            if (await asyncio.wait([ended], timeout=0.05))[0]:
                break
        assert await ended == b""
        assert asyncio.get_running_loop().time() - started < 5


async def test_requests_one_after_another_each_have_their_time() -> None:
    async with serving("kept", times=HttpTimes(head=2.0, body=2.0, answer=2.0)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(5):  # together longer than one may take
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
            await asyncio.sleep(0.5)
            writer.write(b"xxxxx")
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(1) == b"5"
        writer.write(b"GET /late HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await said_until_the_end(reader)).endswith(b"at last")
        writer.close()


async def test_headers_beyond_the_limit_are_refused() -> None:
    async with serving("large") as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000)
        assert (await said_until_the_end(reader)).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
        writer.close()


async def test_who_never_reads_is_ended() -> None:
    before = CUT_OFF.labels("unread", "answer")._value.get()
    async with serving("unread") as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            while CUT_OFF.labels("unread", "answer")._value.get() == before:
                await asyncio.sleep(0.05)
        writer.close()


async def test_a_flood_is_turned_away_and_others_are_answered() -> None:
    async with serving("flood", Bounds(100, 50), HttpTimes(head=5.0)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(1100)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
        assert (await said_until_the_end(reader)).startswith(b"HTTP/1.1 200 ")
        assert CONNECTIONS.labels("flood")._value.get() <= 51
        for _, each in (*held, (reader, writer)):
            each.close()
