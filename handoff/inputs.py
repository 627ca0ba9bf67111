"""What `replay`, `profile` and their like read: files, folders and standard input as dated messages.

Forms (contracts: replay and send inputs): ER7 messages with any line ends, framed or not, batches; or JSON lines with
`hl7` (or `message`), and optionally `sender` and `received`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from domain.times import instant
from parsers.batch import split_messages


class BadInput(Exception):
    """An input that cannot be read: says which, where and what to do."""


class Message(msgspec.Struct, frozen=True):
    """One message of an input; `received` in ms UTC, None when the input does not say."""

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
            yield from _read("stdin", sys.stdin.buffer.read(), jsonl=None)
            continue
        path = Path(given)
        if path.is_dir():
            for file in sorted(p for p in path.iterdir() if p.is_file()):
                yield from _of_file(file)
        else:
            yield from _of_file(path)


def _of_file(path: Path) -> Iterator[Message]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
    yield from _read(str(path), data, jsonl=True if path.suffix in (".jsonl", ".ndjson") else None)


def _read(name: str, data: bytes, jsonl: bool | None) -> Iterator[Message]:
    if jsonl or (jsonl is None and data.lstrip()[:1] == b"{"):
        for number, line in enumerate(data.splitlines(), 1):
            if line.strip():
                yield _of_line(name, number, line)
        return
    for number, raw in enumerate(split_messages(data), 1):
        yield Message(raw, origin=f"{name}#{number}")


def _of_line(name: str, number: int, line: bytes) -> Message:
    where = f"{name}:{number}"
    try:
        row = json.loads(line)
        text = row.get("hl7", row.get("message"))
        if not isinstance(text, str):
            raise BadInput(f"{where}: no `hl7` (or `message`) text on this line")
        received = row.get("received")
        return Message(text.encode(), row.get("sender"), instant(received) if received else None, where)
    except (ValueError, AttributeError) as error:
        raise BadInput(f"{where}: not a JSON object with `hl7` and, if given, an RFC 3339 `received`") from error
