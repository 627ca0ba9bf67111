"""One MLLP connection: frames in, acknowledgments out, one message in flight at a time.

Nothing is read from a connection while Kafka has not confirmed its message: TCP flow control holds the sender back.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway import metrics
from gateway.config import Timeouts
from gateway.ingress import Ingress
from parsers.hl7.frames import split_frame
from parsers.hl7.mllp import Frame, FrameReader, frame

_READ: Final = 65_536
NEVER: Final = float("inf")


class Connection:
    """One connection from its first byte to its end. The listener checks `deadline` (loop time)."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: str,
        ingress: Ingress,
        timeouts: Timeouts,
        limit: int,
    ) -> None:
        """`peer` is the certificate's name or the address; `limit` bounds a message, in bytes."""
        self.peer = peer
        self.busy = False
        """A message is in flight: it is finished and answered before a stop closes the connection."""
        self.waits_for = "first-byte"
        self._loop = asyncio.get_running_loop()
        self.deadline = self._loop.time() + timeouts.first_byte
        self._reader, self._writer = reader, writer
        self._ingress, self._timeouts = ingress, timeouts
        self._stopping = False
        self._frames = FrameReader(limit, lambda head: ingress.ends_alone(head, peer))
        self._whole_deadline = NEVER
        self._junk = 0

    def stop(self) -> None:
        """End it: now when nothing is in flight, else after the answer."""
        self._stopping = True
        if not self.busy:
            self._writer.close()

    def cut_off(self) -> None:
        """End it now: it took too long."""
        self.deadline = NEVER
        self._writer.transport.abort()

    async def serve(self) -> None:
        """Serve until the peer, a time-out or `stop` ends it. Raises nothing that the peer causes."""
        try:
            while not self._stopping:
                frames, ended = await self._next()
                self._count_junk()
                if not await self._answer_all(frames):
                    await self._skip_rest()
                    break
                if ended:
                    break
            if self._frames.mid_frame and not self._stopping:
                metrics.INCOMPLETE.inc()
        except OSError:
            pass  # the peer is gone; it sends again what was not answered
        finally:
            self._count_junk()
            self._wait("close", self._timeouts.answer)
            self._writer.close()

    async def _next(self) -> tuple[list[Frame], bool]:
        """The frames that the next bytes complete, and whether the stream has ended."""
        frames = self._frames
        if frames.mid_frame:
            self._wait_mid_frame()
            try:
                async with asyncio.timeout(self._timeouts.pause):
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
        """Answer the messages one after another; False when the connection is to be closed."""
        for whole in frames:
            for body in [whole.body] if whole.oversize else split_frame(whole.body):
                if self._stopping:
                    return False
                self.busy = True
                self._wait("kafka", self._ingress.longest)
                answer = await self._ingress.accept(body, self.peer, whole.oversize)
                if answer.body:
                    self._wait("answer", self._timeouts.answer)
                    self._writer.write(frame(answer.body))
                    await self._writer.drain()
                self.busy = False
                if answer.close:
                    return False
        if frames:
            self._whole_deadline = NEVER
            self._wait("idle", self._timeouts.idle)
        return True

    async def _skip_rest(self) -> None:
        """Skip the rest of a message that is too long: closing in the midst of it could lose the answer."""
        self._wait("rest", self._timeouts.frame)
        while self._frames.mid_frame and not self._stopping:
            data = await self._reader.read(_READ)
            if not data:
                break
            self._frames.feed(data)

    def _wait_mid_frame(self) -> None:
        """Bound the wait for the next byte of a message that has begun, and for its last."""
        if self._whole_deadline == NEVER:
            self._whole_deadline = self._loop.time() + self._timeouts.message
        self._wait("frame", self._timeouts.frame)
        if self._whole_deadline < self.deadline:
            self.waits_for, self.deadline = "message", self._whole_deadline

    def _wait(self, what: str, seconds: float) -> None:
        self.waits_for = what
        self.deadline = self._loop.time() + seconds

    def _count_junk(self) -> None:
        if self._frames.junk_bytes != self._junk:
            metrics.JUNK.inc(self._frames.junk_bytes - self._junk)
            self._junk = self._frames.junk_bytes
