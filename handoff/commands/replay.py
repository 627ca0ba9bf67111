"""`replay`: the same decisions without Kafka or Redis; `topics` replays what a live system took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agents.runtime.contract import Emit, Record, received_of
from agents.topics import ADT_RAW, CUSTODY_RAW, DEAD_LETTERS, DISPOSITIONS, LINKS, ROSTER, TICKS
from domain.errors import Refusal
from domain.patient.publish import current_snapshots
from domain.times import instant
from handoff import target
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.exits import faults_exit_2
from handoff.inputs import BadInput, Message, messages
from handoff.output import as_json, err, out
from handoff.replay import Replay
from parsers.hl7.adt import patient_key_of, read_adt
from parsers.hl7.envelope import read_envelope
from parsers.hl7.profiles import Profiles
from parsers.records.custody import encode_custody, load_custody
from parsers.records.roster import encode_roster, load_roster
from parsers.records.visits import encode_snapshot
from streams.kafka.read import snapshot as read_topics

LIVE_INPUTS = (ADT_RAW, CUSTODY_RAW, ROSTER, DISPOSITIONS, LINKS, TICKS)


def replay(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT…|topics", help="HL7 files, folders, .jsonl, - or topics.")
    ],
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for one <topic>.jsonl per output topic.")],
    roster: Annotated[Path | None, typer.Option(help="Roster file (CSV or JSON lines).")] = None,
    custody: Annotated[Path | None, typer.Option(help="Custody file (CSV or JSON lines).")] = None,
    rules: Annotated[Path | None, typer.Option(help="Rules folder instead of the one in force.")] = None,
    senders: Annotated[Path | None, typer.Option(help="Senders folder instead of the one in force.")] = None,
    provisional: Annotated[bool, typer.Option(help="Make each unmatched patient a member of its own.")] = False,
    as_of: Annotated[
        str | None, typer.Option(help="The time at the end, RFC 3339 (default: the last record's).")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Decide recorded messages as the workers would, and write every output record."""
    settings = target.here() if inputs == ["topics"] else target.settings()
    with faults_exit_2():
        profiles = load_senders(senders or settings.paths.senders)
        ruleset = load_rules(rules or settings.paths.rules)
        source = _live() if inputs == ["topics"] else from_files(inputs, roster, custody, profiles)
        with Outputs(out_folder) as outputs:
            run = Replay(profiles, ruleset, outputs.take, provisional=provisional)
            count, last, seconds = feed(run, source)
            end = instant_of(as_of) if as_of else last
            run.finish(end)
            visits = write_visits(run, out_folder)
    counts = {**outputs.counts, "visits": visits}
    summary: dict[str, Any] = {
        "records": count,
        "seconds": round(seconds, 3),
        "records_per_second": round(count / seconds) if seconds else None,
        "outputs": counts,
        "faults": run.faults,
        "out": str(out_folder),
    }
    if json_:
        as_json(summary)
        return
    out.print(f"{count} records in {seconds:.1f} s ({summary['records_per_second']}/s) into {out_folder}")
    for topic, number in counts.items():
        out.print(f"{number:>9}  {topic}")
    for code, number in run.faults.items():
        out.print(f"{number:>9}  not taken: {code}")


def instant_of(text: str) -> int:
    """An RFC 3339 option. Raises BadInput."""
    try:
        return instant(text)
    except ValueError as error:
        raise BadInput(f"--as-of {text}: not an RFC 3339 time with an offset") from error


class Outputs:
    """One file per output topic; every record in order as {"key", "value"}."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, BinaryIO] = {}
        self._stack = ExitStack()
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Outputs:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: Any) -> None:
        self._stack.close()

    def take(self, topic: str, emit: Emit) -> None:
        """Write one record. The value is JSON already, or (dead letters) bytes shown as text."""
        file = self._files.get(topic)
        if file is None:
            file = self._files[topic] = self._stack.enter_context((self._folder / f"{topic}.jsonl").open("wb"))
        self.counts[topic] = self.counts.get(topic, 0) + 1
        if topic == DEAD_LETTERS:
            value = msgspec.json.encode((emit.value or b"").decode("utf-8", "backslashreplace"))
        else:
            value = emit.value or b"null"
        key = msgspec.json.encode((emit.key or b"").decode("utf-8", "replace"))
        file.write(b'{"key": ' + key + b', "value": ' + value + b"}\n")


def write_visits(run: Replay, folder: Path) -> int:
    """`visits.jsonl`: the final snapshot of each visit, by patient and visit."""
    count = 0
    with (folder / "visits.jsonl").open("wb") as file:
        for _, row in sorted(run.rows("reconcile").items()):
            for member, snapshot in current_snapshots(row):
                file.write(encode_snapshot(snapshot, member) + b"\n")
                count += 1
    return count


Input = tuple[str, str, bytes | None, int, str]
"""(topic, key, value, received, sender) as `Replay.put` takes them."""


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


def from_files(inputs: list[str], roster: Path | None, custody: Path | None, profiles: Profiles) -> Iterator[Input]:
    """Roster first, then custody records and messages by time of receipt. Raises BadInput."""
    dated: list[tuple[int, int, Input]] = []
    for number, message in enumerate(messages(inputs)):
        record = _message(message, profiles)
        dated.append((record[3], number, record))
    heard = [entry[0] for entry in dated]
    first, last = min(heard, default=0), max(heard, default=0)
    if custody is not None:
        loaded = load_custody(_bytes(custody))
        _no_faults(custody, loaded.faults)
        for number, each in enumerate(loaded.documents):
            # A file does not say when it came: a past event when it happened, an announcement before all else; never
            # later than the last message, since that would move the clock.
            at = min(each.occurred, last) if each.occurred is not None and last else first
            dated.append((at, -1_000_000 + number, (CUSTODY_RAW, each.key, encode_custody(each), at, "")))
    dated.sort(key=lambda entry: entry[:2])
    start = dated[0][0] if dated else 0
    if roster is not None:
        members = load_roster(_bytes(roster))
        _no_faults(roster, members.faults)
        for document in members.documents:
            yield ROSTER, document.member_id, encode_roster(document), start, ""
    for _, _, record in dated:
        yield record


def _message(message: Message, profiles: Profiles) -> Input:
    """A message as the gateway would have produced it; `received` defaults to when it was recorded."""
    sender, key, recorded = message.sender or "", "", 0
    try:
        envelope = read_envelope(message.raw)
        profile = profiles.named(sender) if sender else profiles.choose(envelope.sending_app, envelope.sending_facility)
        sender = profile.name
        key = patient_key_of(message.raw, profile) or f"{sender}|{envelope.control_id}"
        recorded = read_adt(message.raw, profile).recorded
    except Refusal:
        key = key or f"{sender}|{message.origin}"
    return ADT_RAW, key, message.raw, message.received if message.received is not None else recorded, sender


def _live() -> Iterator[Input]:
    """The live system's inputs in the order of their append times, with their stamps."""
    records = [record for record in read_topics(target.kafka(), LIVE_INPUTS) if _is_input(record)]
    records.sort(
        key=lambda record: (record.timestamp, LIVE_INPUTS.index(record.topic), record.partition, record.offset)
    )
    for record in records:
        sender = record.headers.get("sender", b"").decode("utf-8", "replace")
        yield record.topic, (record.key or b"").decode("utf-8", "replace"), record.value, received_of(record), sender


def _is_input(record: Record) -> bool:
    """Of the links only an operator's are inputs; the rest follow from the messages and the roster."""
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
