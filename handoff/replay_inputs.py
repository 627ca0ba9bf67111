"""What a replay reads: recorded messages with roster and custody files, or the input topics of a live system."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agents.runtime.contract import Record, received_of
from agents.topics import ADT_RAW, CUSTODY_RAW, DISPOSITIONS, LINKS, ROSTER, TICKS
from domain.errors import Refusal
from domain.rules.vocabulary import Vocabulary
from domain.times import instant
from handoff.inputs import BadInput, Message, messages
from handoff.output import err
from handoff.replay import Replay
from parsers.hl7.adt import patient_key_of, raw_key, read_adt
from parsers.hl7.envelope import read_envelope
from parsers.hl7.profiles import Profiles
from parsers.records.custody import encode_custody, load_custody
from parsers.records.roster_documents import encode_roster
from parsers.records.roster_file import load_roster
from streams.kafka.read import snapshot
from streams.kafka.settings import KafkaSettings

LIVE_INPUTS: Final = (ADT_RAW, CUSTODY_RAW, ROSTER, DISPOSITIONS, LINKS, TICKS)
Input = tuple[str, str, bytes | None, int, str]
"""(topic, key, value, received, sender) as `Replay.put` takes them."""


def instant_of(text: str) -> int:
    """An RFC 3339 option. Raises BadInput."""
    try:
        return instant(text)
    except ValueError as error:
        raise BadInput(f"--as-of {text}: not an RFC 3339 time with an offset") from error


def feed(run: Replay, source: Iterator[Input]) -> tuple[int, int, float]:
    """Give a replay all its inputs: (how many, the last one's receipt in ms UTC, seconds taken)."""
    count, last = 0, 0
    columns = (TextColumn("replay"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    started = time.perf_counter()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("replay", total=None)
        for topic, key, value, received, sender in source:
            run.put(topic, key, value, received, sender)
            count += 1
            last = max(last, received)
            if count % 500 == 0:
                progress.update(task, completed=count)
    return count, last, time.perf_counter() - started


def from_files(
    inputs: list[str], roster: Path | None, custody: Path | None, profiles: Profiles, words: Vocabulary
) -> Iterator[Input]:
    """Roster first, then custody records and messages by time of receipt. Raises BadInput."""
    dated: list[tuple[int, int, Input]] = []
    for number, message in enumerate(messages(inputs)):
        record = _message(message, profiles)
        dated.append((record[3], number, record))
    received = [entry[0] for entry in dated]
    first, last = min(received, default=0), max(received, default=0)
    if custody is not None:
        loaded = load_custody(_bytes(custody))
        _no_faults(custody, loaded.faults)
        for number, each in enumerate(loaded.documents):
            # A custody file has no times of receipt. A past event counts as received when it happened, an announcement
            # before all else; neither later than the last message, since that would advance the clock.
            at = min(each.occurred, last) if each.occurred is not None and last else first
            dated.append((at, -1_000_000 + number, (CUSTODY_RAW, each.key, encode_custody(each), at, "")))
    dated.sort(key=lambda entry: entry[:2])
    start = dated[0][0] if dated else 0
    if roster is not None:
        members = load_roster(_bytes(roster), words=words)
        _no_faults(roster, members.faults)
        for document in members.documents:
            yield ROSTER, document.member_id, encode_roster(document), start, ""
    for _, _, record in dated:
        yield record


def _message(message: Message, profiles: Profiles) -> Input:
    """A message as the gateway would produce it; `received` defaults to its recorded time (docs/semantics.md#times)."""
    sender, key, recorded = message.sender or "", "", 0
    try:
        envelope = read_envelope(message.raw)
        profile = profiles.named(sender) if sender else profiles.choose(envelope.sending_app, envelope.sending_facility)
        sender = profile.name
        key = raw_key(patient_key_of(message.raw, profile), sender, envelope.control_id).decode()
        recorded = read_adt(message.raw, profile).recorded
    except Refusal:
        key = key or f"{sender}|{message.origin}"
    return ADT_RAW, key, message.raw, message.received if message.received is not None else recorded, sender


def from_topics(kafka: KafkaSettings) -> Iterator[Input]:
    """The inputs of a live system in the order of their append times, with their `received` stamps."""
    records = [record for record in snapshot(kafka, LIVE_INPUTS) if _is_input(record)]
    records.sort(
        key=lambda record: (record.timestamp, LIVE_INPUTS.index(record.topic), record.partition, record.offset)
    )
    for record in records:
        sender = record.headers.get("sender", b"").decode("utf-8", "replace")
        yield record.topic, (record.key or b"").decode("utf-8", "replace"), record.value, received_of(record), sender


def _is_input(record: Record) -> bool:
    """Of the links only those of operators are inputs; the others follow from messages and roster."""
    return record.topic != LINKS or b'"method":"operator"' in (record.value or b"")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error


def _no_faults(path: Path, faults: tuple[Any, ...]) -> None:
    if faults:
        lines = [f"{path}:{fault.line}: {fault.field}: {fault.reason}" for fault in faults[:50]]
        more = f"\n… and {len(faults) - 50} more" if len(faults) > 50 else ""
        raise BadInput("\n".join(lines) + more)
