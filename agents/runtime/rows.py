"""What the rows of all stages have in common: how a record names its row, a schema version, and the impaired mark."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from agents.runtime.contract import Record, Upcaster
from domain.errors import Refusal


class _Row(Protocol):
    @property
    def schema(self) -> int: ...
    @property
    def impaired(self) -> bool: ...


Row = TypeVar("Row", bound=_Row)


def row_key(record: Record) -> str:
    """The key of the row that a record is for: the record's own key. Raises Refusal("no-key")."""
    if not record.key:
        raise Refusal("no-key")
    return record.key.decode("utf-8", "replace")


def mark_impaired(row: Row) -> Row:
    """The row, marked as missing a record that an error of ours kept out; the same object if it is marked already."""
    return row if row.impaired else msgspec.structs.replace(row, impaired=True)  # type: ignore[type-var]


def check_schema(row: Row, schema: int) -> Row:
    """The row, if it has the schema version `schema`. Raises ValueError for another version: its fields may mean
    something else though they decode."""
    if row.schema != schema:
        raise ValueError(f"a row of schema {row.schema}; this version reads {schema}")
    return row


def renumbered(version: int) -> Upcaster:
    """The step to a version whose rows read like the earlier ones: only the version, their first field, changes."""

    def step(body: bytes) -> bytes:
        fields: list[Any] = msgspec.msgpack.decode(body)
        return msgspec.msgpack.encode([version, *fields[1:]])

    return step
