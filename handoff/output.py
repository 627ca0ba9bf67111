"""Output of commands: tables for people, JSON for programs, faults on stderr with what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from confluent_kafka import KafkaError, KafkaException
from rich.console import Console
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from streams.kafka.read import TopicMissing

out = Console(highlight=False)
if not out.is_terminal:
    out = Console(highlight=False, width=160)  # a pipe has no width: do not fold tables for it
err = Console(stderr=True, highlight=False)
if not err.is_terminal:
    err = Console(stderr=True, highlight=False, width=1000)  # a fault stays on its line

_GAP = "  "
_WHOLE = frozenset({"candidate", "member", "pop.", "since", "occurred", "arrived", "departed", "lag", "at"})
"""Columns that are not folded."""

P = ParamSpec("P")
R = TypeVar("R")


def as_json(data: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))  # noqa: T201


def as_lines(rows: Iterable[Any]) -> None:
    """JSON, one document a line."""
    for row in rows:
        print(json.dumps(row, ensure_ascii=False, default=str), flush=True)  # noqa: T201


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], empty: str = "nothing") -> None:
    """Print a table, or one line with `empty`."""
    rows = list(rows)
    if not rows:
        out.print(f"{title}: {empty}", style="dim")
        return
    shown = Table(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold", no_wrap=column in _WHOLE)
    texts = [tuple("" if value is None else str(value) for value in row) for row in rows]
    for text in texts:
        shown.add_row(*text)
    wide = Measurement.get(out, out.options.update(max_width=10_000), shown).maximum > out.width
    if wide and len(columns) > 1:
        _narrow(title, columns, texts)
    else:
        out.print(shown)


def _narrow(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """A table that is wider than the terminal: as many columns as fit, and the others on lines of their own below.

    Nothing is folded within a word of the first line, so that what stands there can be copied.
    """
    widths = [max(len(text) for text in column) for column in zip(columns, *rows, strict=True)]
    first, used = 0, 0
    while first < len(widths) and used + widths[first] <= out.width:
        used += widths[first] + len(_GAP)
        first += 1
    first = max(1, first)

    def line(texts: Sequence[str]) -> str:
        return _GAP.join(text.ljust(width) for text, width in zip(texts[:first], widths, strict=False)).rstrip()

    out.print(title, style="italic", markup=False)
    out.print(line(columns), style="bold", markup=False, soft_wrap=True)
    for row in rows:
        out.print(line(row), markup=False, soft_wrap=True)
        rest = [f"{name} {text}".strip() for name, text in zip(columns[first:], row[first:], strict=True) if text]
        if rest:
            out.print(Padding(Text(" · ".join(rest), style="dim"), (0, 0, 0, 4)))


def day(text: str | None) -> str:
    """An RFC 3339 time to the minute, for a table."""
    if not text:
        return ""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")


def needs_kafka(command: Callable[P, R]) -> Callable[P, R]:
    """Exit with 2 and a message when Kafka does not answer or a topic is missing."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (TopicMissing, KafkaException) as error:
            exit_2_for_kafka(error)
            raise

    return run


def exit_2_for_kafka(error: Exception) -> None:
    """Print one line with a remedy and exit with 2, if `error` is that Kafka does not answer or lacks a topic."""
    if isinstance(error, TopicMissing):
        err.print(f"The cluster has no topic {error}. Create what is missing with `handoff topics apply`.")
        raise typer.Exit(2) from error
    if isinstance(error, KafkaException):
        first = error.args[0] if error.args else None
        name = first.name() if isinstance(first, KafkaError) else type(error).__name__
        where = os.environ.get("HANDOFF_KAFKA__BOOTSTRAP", "")
        err.print(
            f"Kafka does not answer{f' at {where}' if where else ''} ({name}): check HANDOFF_KAFKA__* and that the "
            "broker runs. `handoff doctor` checks the settings.",
            markup=False,
        )
        raise typer.Exit(2) from error
