"""Inputs of `replay`, `profile`, `send` and `what-if`: files, folders and standard input as messages.

Forms (docs/integrating.md): ER7 messages with any line ends, framed or not, batches; or JSON lines with
`hl7` (or `message`), and optionally `sender` and `received`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from domain.times import instant
from parsers.hl7.batch import Splitter
from parsers.hl7.charsets import encoded
from parsers.hl7.frames import split_frame

_BLOCK: Final = 1 << 20
"""Bytes that are read at a time."""


class BadInput(Exception):
    """An input that cannot be read; the text names it, the place and the remedy."""


class Message(msgspec.Struct, frozen=True):
    """One message of an input; `received` in ms UTC, None when the input has no time."""

    raw: bytes
    sender: str | None = None
    received: int | None = None
    origin: str = ""
    """Where it came from, for reports: "file:line" or "file#n"."""


def messages(paths: Sequence[str]) -> Iterator[Message]:
    """The messages of all inputs in order; "-" is standard input, a folder means its files by name.

    Raises BadInput.
    """
    for given in paths:
        if given == "-":
            yield from _read("stdin", sys.stdin.buffer, jsonl=False)
            continue
        path = Path(given)
        if path.is_dir():
            for file in sorted(p for p in path.iterdir() if p.is_file()):
                yield from _of_file(file)
        else:
            yield from _of_file(path)


def _of_file(path: Path) -> Iterator[Message]:
    try:
        with path.open("rb") as file:
            yield from _read(str(path), file, jsonl=path.suffix in (".jsonl", ".ndjson"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error


def _read(name: str, file: BinaryIO, jsonl: bool) -> Iterator[Message]:
    """Read line by line or block by block: memory holds one message and one block at most."""
    block = file.readline() if jsonl else file.read(_BLOCK)
    if jsonl or block.lstrip()[:1] == b"{":
        if not block.endswith(b"\n"):
            block += file.readline()
        for number, line in enumerate(chain(block.splitlines(), file), 1):
            if line.strip():
                yield from _of_line(name, number, line)
        return
    splitter, number = Splitter(), 0
    while True:
        for piece in splitter.feed(block, last=not block):
            if piece.is_message:
                number += 1
                yield Message(piece.data, origin=f"{name}#{number}")
        if not block:
            return
        block = file.read(_BLOCK)


def _of_line(name: str, number: int, line: bytes) -> list[Message]:
    """The messages of one line: one, or several that were joined in one frame."""
    where = f"{name}:{number}"
    try:
        row = json.loads(line)
        text = row.get("hl7", row.get("message"))
        if not isinstance(text, str):
            raise BadInput(f"{where}: no `hl7` (or `message`) text on this line")
        received = row.get("received")
        at = instant(received) if received else None
        return [Message(raw, row.get("sender"), at, where) for raw in split_frame(encoded(text))]
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{where}: not a JSON object with `hl7` and, if given, an RFC 3339 `received`") from error
