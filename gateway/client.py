"""An MLLP client for many messages: one in flight a connection, a patient's messages in order, every answer counted."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from zlib import crc32

import msgspec

from domain.errors import Refusal
from parsers.hl7.ack import GOOD, Ack, read_ack
from parsers.hl7.adt import patient_key_of
from parsers.hl7.encoding import unescape
from parsers.hl7.envelope import read_envelope
from parsers.hl7.mllp import FrameReader, frame
from parsers.hl7.profiles import SenderProfile

NO_ANSWER: Final = "none"
"""Counted in place of a code when no answer came at all."""
_REJECTED: Final = frozenset({"AR", "CR"})
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_PLAIN: Final = SenderProfile("default")


class Target(msgspec.Struct, frozen=True):
    """A listener to send to, and how. `rate`: messages a second over all connections, 0 as fast as it goes.

    `retries`: how often a message is sent again after AR, CR or a lost connection (never after AE: it would fail
    again). Seconds bound a connection attempt and the wait for one answer.
    """

    host: str
    port: int
    connections: int = 1
    rate: float = 0.0
    retries: int = 0
    connect_seconds: float = 5.0
    answer_seconds: float = 30.0
    tls: ssl.SSLContext | None = None
    server_name: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of one message. `code` is MSA-1 or "none", `seconds` the time to the answer of the last try.

    `why`: the text of an answer that does not accept (MSA-3, else ERR), or why there was none.
    """

    index: int
    code: str
    seconds: float
    tries: int = 1
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it was accepted (AA, or CA in enhanced mode)."""
        return self.code in GOOD


class Sent(msgspec.Struct):
    """Totals of a run."""

    codes: Counter[str]
    seconds: list[float]
    """Time to each answer."""
    elapsed: float = 0.0
    retried: int = 0

    @property
    def total(self) -> int:
        """Messages with a known outcome."""
        return self.codes.total()

    @property
    def good(self) -> int:
        """Those that were accepted."""
        return sum(self.codes[code] for code in GOOD)

    def percentile(self, share: float) -> float:
        """The latency (seconds) that this share of the answers stayed within; 0 when there was none."""
        return percentile(self.seconds, share)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of `values` stays within; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class LostConnection(Exception):
    """The connection ended, or the answer on it did not come or was for another message."""


class MllpClient:
    """One connection."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._frames = FrameReader()

    async def exchange(self, message: bytes) -> Ack:
        """Send one message; returns its answer. Raises LostConnection (the connection is closed then)."""
        try:
            if self._writer is None:
                await self._connect()
            async with asyncio.timeout(self._target.answer_seconds):
                return await self._send(message)
        except (OSError, TimeoutError, Refusal) as error:
            self.close()
            raise LostConnection(type(error).__name__) from error
        except (LostConnection, asyncio.CancelledError):
            self.close()
            raise

    def close(self) -> None:
        """End the connection, if there is one. The next `exchange` opens a new one."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def _connect(self) -> None:
        target = self._target
        async with asyncio.timeout(target.connect_seconds):
            self._reader, self._writer = await asyncio.open_connection(
                target.host, target.port, ssl=target.tls, server_hostname=target.server_name if target.tls else None
            )
        self._frames = FrameReader()

    async def _send(self, message: bytes) -> Ack:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(frame(message))
        await self._writer.drain()
        while True:
            data = await self._reader.read(65_536)
            if not data:
                raise LostConnection("closed")
            answers = self._frames.feed(data)
            if answers:
                ack = read_ack(answers[0].body)
                if ack.control_id != _control_id(message) or len(answers) > 1:
                    raise LostConnection("answer to another message")
                return ack


def _control_id(message: bytes) -> str:
    """MSH-10 as an answer repeats it: the whole field."""
    try:
        envelope = read_envelope(message)
    except Refusal:
        return ""
    return unescape(envelope.fields[9], envelope.delimiters).strip()


async def send(target: Target, messages: Iterable[bytes], on_outcome: Callable[[Outcome], None] | None = None) -> Sent:
    """Send all messages and count the answers; calls `on_outcome` for each. Raises nothing that the server causes.

    Messages of one patient go over one connection in the order given, the next only after the answer to the one
    before.
    """
    queues: list[asyncio.Queue[tuple[int, bytes] | None]] = [asyncio.Queue(64) for _ in range(target.connections)]
    sent = Sent(Counter(), [])
    start = time.perf_counter()
    pace = _Pace(target.rate)

    def count(outcome: Outcome) -> None:
        sent.codes[outcome.code] += 1
        sent.retried += outcome.tries - 1
        if outcome.code != NO_ANSWER:
            sent.seconds.append(outcome.seconds)
        if on_outcome is not None:
            on_outcome(outcome)

    async with asyncio.TaskGroup() as group:
        for queue in queues:
            group.create_task(_drain(target, queue, pace, count))
        for index, message in enumerate(messages):
            await queues[_lane(message, len(queues))].put((index, message))
        for queue in queues:
            await queue.put(None)
    sent.elapsed = time.perf_counter() - start
    return sent


def _lane(message: bytes, lanes: int) -> int:
    if lanes == 1:
        return 0
    key = patient_key_of(message, _PLAIN)
    return crc32(message if key is None else key.encode()) % lanes


async def _drain(
    target: Target,
    queue: asyncio.Queue[tuple[int, bytes] | None],
    pace: _Pace,
    count: Callable[[Outcome], None],
) -> None:
    client = MllpClient(target)
    try:
        while (item := await queue.get()) is not None:
            await pace.wait()
            count(await _until_answered(client, target, *item))
    finally:
        client.close()


async def _until_answered(client: MllpClient, target: Target, index: int, message: bytes) -> Outcome:
    """Send until there is a final answer (not AR), or the tries are used up."""
    pause = _FIRST_PAUSE
    tries = 0
    while True:
        tries += 1
        begin = time.perf_counter()
        try:
            ack = await client.exchange(message)
            code, why = ack.code, "" if ack.code in GOOD else ack.text
        except LostConnection as lost:
            code, why = NO_ANSWER, str(lost)
        if (code not in _REJECTED and code != NO_ANSWER) or tries > target.retries:
            return Outcome(index, code, time.perf_counter() - begin, tries, why)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


class _Pace:
    """Limits a rate over all callers of `wait`."""

    def __init__(self, rate: float) -> None:
        self._gap = 1.0 / rate if rate > 0 else 0.0
        self._next = time.monotonic()

    async def wait(self) -> None:
        """Return at this caller's turn."""
        if not self._gap:
            return
        now = time.monotonic()
        turn = max(self._next, now - 0.1)  # up to 0.1 s of missed turns is made up for, no more
        self._next = turn + self._gap
        if turn > now:
            await asyncio.sleep(turn - now)
