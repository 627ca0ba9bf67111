"""Output of commands: tables for people, JSON for programs, faults on stderr with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

from streams.kafka.read import TopicMissing

out = Console(highlight=False)
if not out.is_terminal:
    out = Console(highlight=False, width=160)  # a pipe has no width: do not fold tables for it
err = Console(stderr=True, highlight=False)
if not err.is_terminal:
    err = Console(stderr=True, highlight=False, width=1000)  # a fault stays on its line

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
    for row in rows:
        shown.add_row(*("" if value is None else str(value) for value in row))
    out.print(shown)


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
        except TopicMissing as missing:
            err.print(f"The cluster has no topic {missing}. Create what is missing with `handoff topics apply`.")
            raise typer.Exit(2) from missing
        except KafkaException as error:
            err.print(f"Kafka does not answer: {error.args[0]}. `handoff doctor` checks the settings.")
            raise typer.Exit(2) from error

    return run
