"""One MLLP connection: frames in, answers out, strictly one message in flight.

While Kafka has not confirmed a message nothing is read from its connection, so TCP holds the sender back by itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog

from gateway import metrics
from gateway.ingress import Ingress
from parsers.hl7.frames import split_frame
from parsers.hl7.mllp import LIMIT, Frame, FrameReader, frame

_log = structlog.get_logger("gateway")
_READ: Final = 65_536
NEVER: Final = float("inf")


class Timeouts(msgspec.Struct, frozen=True):
    """How long a connection may take for what, in seconds, and how long a message may be, in bytes."""

    first_byte: float = 60.0
    """From the opening of the connection to the first message; junk is none."""
    frame: float = 30.0
    """From one byte of an unfinished message to the next."""
    message: float = 120.0
    """From the first byte of a message to its last: a sender that trickles cannot hold a connection for ever."""
    idle: float = 600.0
    """Between messages; junk does not count as one."""
    answer: float = 20.0
    """For the other side to read an answer."""
    pause: float = 0.25
    """After so long a message that ends in FS without CR counts as whole."""
    limit: int = LIMIT


class Connection:
    """One connection from its first byte to its end. `deadline` is watched by the listener (loop time)."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: str,
        intake: Ingress,
        patience: Timeouts,
    ) -> None:
        self.peer = peer
        self.busy = False
        """A message is in flight: it is finished and answered before a stop closes the connection."""
        self.waits_for = "first-byte"
        self._loop = asyncio.get_running_loop()
        self.deadline = self._loop.time() + patience.first_byte
        self._reader, self._writer = reader, writer
        self._intake, self._patience = intake, patience
        self._stopping = False
        self._frames = FrameReader(patience.limit, lambda head: intake.ends_alone(head, peer))
        self._whole_by = NEVER
        self._junk = 0

    def stop(self) -> None:
        """End it: now when nothing is in flight, else after the answer."""
        self._stopping = True
        if not self.busy:
            self._writer.close()

    def cut_off(self) -> None:
        """End it now, because it took too long."""
        metrics.CUT_OFF.labels(self.waits_for).inc()
        _log.info("connection cut off", why=self.waits_for)
        self.deadline = NEVER
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Serves until the other side, a time-out or `stop` ends it. Never raises for the other side's sake."""
        try:
            while not self._stopping:
                frames, ended = await self._next()
                self._count_junk()
                if not await self._answer_all(frames):
                    await self._let_them_finish()
                    break
                if ended:
                    break
            if self._frames.mid_frame and not self._stopping:
                metrics.INCOMPLETE.inc()
        except OSError:
            pass  # they are gone; what was not answered they will send again
        finally:
            self._count_junk()
            self._wait("close", self._patience.answer)
            self._writer.close()

    async def _next(self) -> tuple[list[Frame], bool]:
        """What the next bytes complete, and whether they were the last."""
        frames = self._frames
        if frames.mid_frame:
            self._wait_for_the_rest()
            try:
                async with asyncio.timeout(self._patience.pause):
                    data = await self._reader.read(_READ)
            except TimeoutError:
                if whole := frames.flush():
                    return whole, False
                data = await self._reader.read(_READ)
        else:
            data = await self._reader.read(_READ)
        if not data:
            return frames.flush(), True
        return frames.feed(data), False

    async def _answer_all(self, frames: list[Frame]) -> bool:
        """Takes the messages one after another; False when the connection is to be closed."""
        for whole in frames:
            for body in [whole.body] if whole.oversize else split_frame(whole.body):
                if self._stopping:
                    return False
                self.busy = True
                self._wait("kafka", self._intake.longest)
                answer = await self._intake.accept(body, self.peer, whole.oversize)
                if answer.body:
                    self._wait("answer", self._patience.answer)
                    self._writer.write(frame(answer.body))
                    await self._writer.drain()
                self.busy = False
                if answer.close:
                    return False
        if frames:
            self._whole_by = NEVER
            self._wait("idle", self._patience.idle)
        return True

    async def _let_them_finish(self) -> None:
        """Passes over the rest of a message that is too long: a close in the midst of it could cost them the answer."""
        self._wait("rest", self._patience.frame)
        while self._frames.mid_frame and not self._stopping:
            data = await self._reader.read(_READ)
            if not data:
                break
            self._frames.feed(data)

    def _wait_for_the_rest(self) -> None:
        """Of a message that has begun: the next byte soon, and the last one in time."""
        if self._whole_by == NEVER:
            self._whole_by = self._loop.time() + self._patience.message
        self._wait("frame", self._patience.frame)
        if self._whole_by < self.deadline:
            self.waits_for, self.deadline = "message", self._whole_by

    def _wait(self, what: str, seconds: float) -> None:
        self.waits_for = what
        self.deadline = self._loop.time() + seconds

    def _count_junk(self) -> None:
        if self._frames.junk_bytes != self._junk:
            metrics.JUNK.inc(self._frames.junk_bytes - self._junk)
            self._junk = self._frames.junk_bytes
