"""`profile`: the content of a feed, what referrals need of it, and a drafted sender file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from domain.errors import Refusal
from handoff import target
from handoff.declarations.senders import declared, load_senders
from handoff.exits import faults_exit_2
from handoff.inputs import BadInput, Message, messages
from handoff.output import as_json, err, out
from handoff.profiling.draft import draft
from handoff.profiling.feed import Feed
from handoff.profiling.report import feed_report
from handoff.profiling.sample import Sample, checked
from handoff.profiling.show import show_conformance, show_feed, show_overview
from parsers.hl7.envelope import read_envelope
from parsers.hl7.profiles import DEFAULT, Profiles, SenderProfile


def profile(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT…", help="HL7 files, folders, .jsonl, or -.")],
    sender: Annotated[
        str | None, typer.Option(help="Read every message with this profile (default: the one that would be chosen).")
    ] = None,
    senders: Annotated[Path | None, typer.Option(help="Senders folder instead of the one in force.")] = None,
    conform: Annotated[
        int, typer.Option("--conformance", min=0, help="So many messages are checked by hl7apy (slow); 0 for none.")
    ] = 200,
    json_: Annotated[bool, typer.Option("--json", help="Print the whole report as JSON.")] = False,
    yaml: Annotated[
        Path | None, typer.Option("--yaml", help="Write a drafted sender file here (a new file, or - for stdout).")
    ] = None,
) -> None:
    """Examine a feed before it goes live: what would be refused, what is missing, which codes are not mapped.

    Reads recorded messages and changes nothing. Per sender profile: versions and encodings, triggers, fill rates of
    the fields that referrals need, codes that the profile does not map and which dialect they look like, times and
    zones, reused control IDs, facilities, and where HL7's own structures are left. Prints codes, never people's data:
    what looks like text, or occurs for one patient only, is counted and not shown.

    A first look at a new hospital: [bold]handoff profile day.hl7[/]. Then [bold]handoff profile day.hl7 --yaml
    senders/NAME.yaml[/], answer its questions, and run it again until nothing is left unmapped.

    Exit codes: 0 all of it can be taken, 1 some messages would be refused, 2 no input or a wrong declaration.
    """
    with faults_exit_2():
        if yaml is not None and str(yaml) != "-" and yaml.exists():
            raise BadInput(f"{yaml}: is there already; name a new file, or - to print the draft")
        if json_ and str(yaml) == "-":
            raise BadInput("--json and --yaml - both want standard output; give --yaml a file")
        folder = senders or target.settings().paths.senders
        profiles = load_senders(folder)
        feeds, sample, seconds = _read(inputs, _Choice(profiles, sender, folder), conform)
        if not feeds:
            raise BadInput(f"{' '.join(inputs)}: no messages in it")
        drafted = _drafted(feeds, profiles, folder) if yaml is not None else None
    _report(feeds, _check(sample), seconds, json_=json_, quiet=str(yaml) == "-")
    if yaml is not None and drafted is not None:
        _write(yaml, drafted, quiet=json_)
    if any(feed.refusals for feed in feeds):
        raise typer.Exit(1)


class _Choice:
    """Selects the profile of a message: that of --sender, that of the input, or that which MSH selects."""

    def __init__(self, profiles: Profiles, given: str | None, folder: Path) -> None:
        self._profiles = profiles
        names = sorted(each.name for each in profiles)
        if given is not None and given not in names:
            raise BadInput(f"--sender {given}: {folder} has no such profile (it has {', '.join(names)})")
        self._given = profiles.named(given) if given is not None else None

    def of(self, message: Message) -> SenderProfile:
        """Never fails: what has no header is the default profile's."""
        if self._given is not None:
            return self._given
        if message.sender:
            return self._profiles.named(message.sender)
        try:
            envelope = read_envelope(message.raw)
            return self._profiles.choose(envelope.sending_app, envelope.sending_facility)
        except Refusal:
            return self._profiles.named(DEFAULT)


def _read(inputs: list[str], choice: _Choice, conform: int) -> tuple[list[Feed], list[bytes], float]:
    """The feeds (the largest first), the sample for hl7apy, and the seconds of reading."""
    feeds: dict[str, Feed] = {}
    sample = Sample(conform)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} messages read"), TimeElapsedColumn())
    began = time.perf_counter()
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("read", total=None)
        for number, message in enumerate(messages(inputs), 1):
            chosen = choice.of(message)
            feed = feeds.get(chosen.name)
            if feed is None:
                feed = feeds[chosen.name] = Feed(chosen)
            feed.take(message)
            sample.offer(message.raw)
            if number % 500 == 0:
                progress.update(task, completed=number)
    ordered = sorted(feeds.values(), key=lambda feed: (-feed.messages, feed.profile.name))
    return ordered, sample.messages, time.perf_counter() - began


def _check(sample: list[bytes]) -> dict[str, Any] | None:
    if not sample:
        return None
    columns = (TextColumn("hl7apy"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("hl7apy", total=len(sample))
        return checked(sample, lambda: progress.advance(task))


def _report(feeds: list[Feed], found: dict[str, Any] | None, seconds: float, *, json_: bool, quiet: bool) -> None:
    count = sum(feed.messages for feed in feeds)
    speed = round(count / seconds) if seconds else None
    reports = [feed_report(feed) for feed in feeds]
    if json_:
        totals = {"messages": count, "seconds": round(seconds, 3), "messages_per_second": speed}
        as_json({**totals, "feeds": reports, "conformance": found})
        return
    if quiet:
        return
    if len(feeds) > 1:
        show_overview(reports)
    for feed, report in zip(feeds, reports, strict=True):
        show_feed(report, feed.profile)
    if found is not None:
        out.print()
        show_conformance(found)
    out.print(f"\n{count:,} messages in {seconds:.1f} s ({speed:,}/s)", style="dim")


def _drafted(feeds: list[Feed], profiles: Profiles, folder: Path) -> tuple[str, str]:
    if len(feeds) > 1:
        names = ", ".join(feed.profile.name for feed in feeds)
        raise BadInput(
            f"--yaml: these messages are read with several profiles ({names}); give one sender's messages, or --sender"
        )
    feed = feeds[0]
    return draft(feed, profiles, declared(folder, feed.profile.name), declared(folder, DEFAULT))


def _write(path: Path, drafted: tuple[str, str], quiet: bool) -> None:
    name, text = drafted
    if str(path) == "-":
        print(text, end="")  # noqa: T201
        return
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        err.print(f"{path}: {error.strerror or error}", markup=False)
        raise typer.Exit(2) from error
    if not quiet:
        out.print(f"Drafted the profile `{name}` in {path}: answer its questions, then check with `handoff doctor`.")
