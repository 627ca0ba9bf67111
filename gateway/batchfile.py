"""The way of one file through the gateway: split into messages, ingested in order with many in flight, and reported."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from hashlib import sha256
from typing import Any, BinaryIO, Final

from gateway.ingress import Answer, Ingress
from parsers.hl7.batch import Miscount, Piece, Splitter, Trailers
from parsers.hl7.refusals import EMPTY, NOT_HL7

_BLOCK: Final = 1024 * 1024
_WINDOW: Final = 200
"""Messages that wait for Kafka at a time; the next is read only when one of them is answered."""
_WINDOW_BYTES: Final = 8 * 1024 * 1024
_LISTED: Final = 10_000
"""Messages that were not accepted, named one by one in a report."""
_CODES: Final = {"accepted": "AA", "error": "AE"}


class Unreadable(Exception):
    """The file cannot be taken at all; `code` says why: not-hl7, empty, oversize, internal-error."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class BatchFile:
    """A file in progress, kept while it has to be read again: messages that Kafka confirmed are not produced twice.

    That is remembered in this process only. After a restart the whole file is produced again, which changes no row:
    the fold is idempotent (docs/semantics.md#laws).
    """

    def __init__(self, ingress: Ingress, sender: str, message_limit: int) -> None:
        """`sender` names the profile of all messages ("" leaves it to MSH-3 and MSH-4). `message_limit` in bytes."""
        self._ingress, self._sender, self._limit = ingress, sender, message_limit
        self._stored = bytearray()
        """1 for each message that is stored, by its index."""
        self._codes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._refused: list[dict[str, Any]] = []
        self._miscounts: list[Miscount] = []
        self._waiting: deque[tuple[int, Piece, asyncio.Task[Answer]]] = deque()
        self._waiting_bytes = 0
        self._incomplete = False
        self.messages = 0
        """Messages that the file holds, once it has been read to its end."""
        self.content_hash = ""
        """SHA-256 of the bytes, likewise. Logs name the file by it: the file name may be a person's."""

    @property
    def accepted(self) -> int:
        """Messages on the raw topic."""
        return self._codes["AA"]

    @property
    def miscounts(self) -> int:
        """Trailers that do not agree with what was found."""
        return len(self._miscounts)

    async def take(self, file: BinaryIO, stopping: asyncio.Event) -> bool:
        """Ingest the file from its beginning. True: every message is stored, on the raw or the dead-letter topic.

        False: Kafka did not confirm, or `stopping` was set; nothing is in flight any more, and the file is to be taken
        again later. Raises Unreadable before anything is produced, or OSError.
        """
        self._incomplete = False
        digest, splitter, trailers = sha256(), Splitter(self._limit), Trailers()
        index, last = 0, False
        try:
            while not last and not self._incomplete:
                block = await asyncio.to_thread(file.read, _BLOCK)
                last = not block
                digest.update(block)
                pieces = splitter.feed(block, last)
                if not splitter.started:
                    # No header in a mebibyte: this is no HL7, and must not be cut into dead letters.
                    raise Unreadable(NOT_HL7 if pieces or block.strip() else EMPTY)
                for piece in pieces:
                    trailers.take(piece)
                    if piece.is_message:
                        await self._submit(index, piece)
                        index += 1
                    if self._incomplete or stopping.is_set():
                        self._incomplete = True
                        break
            while self._waiting:
                await self._next_answer()
        finally:
            for _, _, task in self._waiting:
                task.cancel()
            self._waiting.clear()
        if not self._incomplete:
            self.messages, self.content_hash, self._miscounts = index, digest.hexdigest(), trailers.end()
        return not self._incomplete

    async def _submit(self, index: int, piece: Piece) -> None:
        if index < len(self._stored):
            if self._stored[index]:
                return
        else:
            self._stored.append(0)
        while len(self._waiting) >= _WINDOW or (self._waiting and self._waiting_bytes > _WINDOW_BYTES):
            await self._next_answer()
        # Tasks start in the order of their creation, and each calls the producer before its first wait: so a patient's
        # messages reach Kafka in the order of the file.
        task = asyncio.create_task(self._ingress.accept(piece.data, None, oversize=piece.cut, sender=self._sender))
        self._waiting.append((index, piece, task))
        self._waiting_bytes += len(piece.data)

    async def _next_answer(self) -> None:
        index, piece, task = self._waiting[0]
        answer = await task
        self._waiting.popleft()
        self._waiting_bytes -= len(piece.data)
        if answer.outcome == "rejected":
            self._incomplete = True
            return
        self._stored[index] = 1
        self._codes[_CODES[answer.outcome]] += 1
        if answer.outcome == "error":
            self._reasons[answer.reason] += 1
            if len(self._refused) < _LISTED:
                self._refused.append(
                    {"index": index + 1, "line": piece.line, "code": answer.reason, "place": answer.place}
                )

    def report(self) -> dict[str, Any]:
        """The outcome of the file: counts and places, no content. Indexes and lines from 1."""
        refused = sorted(self._refused, key=lambda each: int(each["index"]))
        return {
            "content_hash": self.content_hash,
            "messages": self.messages,
            "codes": dict(sorted(self._codes.items())),
            "reasons": dict(sorted(self._reasons.items())),
            "not_accepted": refused,
            "not_listed": self._codes["AE"] - len(refused),
            "trailers": [
                {"place": each.place, "line": each.line, "stated": each.stated, "found": each.found}
                for each in self._miscounts
            ],
        }


def unread(code: str, size: int) -> dict[str, Any]:
    """The report of a file that could not be taken at all: nothing of it is in Kafka."""
    return {"messages": 0, "codes": {}, "not_accepted": [], "unreadable": code, "bytes": size}
