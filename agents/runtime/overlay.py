"""Rows as one chunk has read and changed them, over the chunk before it and the committed rows."""

from __future__ import annotations

from typing import Any, Final

from agents.runtime.contract import Progress, Stage, TooCostly
from agents.runtime.store import ChunkResult, RowStore, envelope, row_of

ROW_LIMIT: Final = 512 * 1024
"""Bytes a row may take, encoded, and its key with it."""
_UNREAD: Final = object()


class TooLarge(Exception):
    """A row or an output that cannot be written; `code` names which (docs/refusals.md)."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Overlay:
    """Decoded rows by key, as of the record that is being decided.

    A row is read at its first use: from this chunk, else from `pending` (the chunk before, whose transaction has not
    been applied to `rows` yet), else from the committed rows. Rows whose keys are in `watched` are measured at each
    change, the others when the chunk is done (`decide_chunk` explains why).
    """

    def __init__(
        self, stage: Stage, rows: RowStore, pending: ChunkResult | None, row_limit: int, watched: set[str]
    ) -> None:
        self.seen: dict[str, Any] = {}
        """Decoded rows by key."""
        self.changed: dict[str, None] = {}
        self._stage, self._rows, self._pending = stage, rows, pending
        self._row_limit, self._watched = row_limit, watched
        self._outgrown: set[str] = set()
        """Keys of rows that could not have been written at some point within this chunk."""

    def get(self, key: str) -> Any:
        """The row, None where there is none."""
        row = self.seen.get(key, _UNREAD)
        if row is _UNREAD:
            row = self.seen[key] = self._committed(key)
        return row

    def put(self, key: str, row: Any) -> None:
        """Change a row, None to remove it. Raises TooLarge for a watched one that is over the limit."""
        before = self.seen.get(key)
        if key in self._watched:
            if row is not None:
                self._measure(key, row)
        elif key in self.changed and before is not None and not self._fits(key, before):
            self._outgrown.add(key)
        self.seen[key] = row
        self.changed[key] = None

    def refresh(self, key: str) -> None:
        """Replace a row by a clean copy, for a second try after a decision raised (it may have changed the row)."""
        if self.seen.get(key) is not None:
            self.seen[key] = self._stage.decode(self._stage.encode(self.seen[key]))

    def due(self, now: int) -> list[tuple[int, str]]:
        """(due time, key) of all rows that are due at `now` (ms UTC), oldest first, as changed by this chunk."""
        uncommitted = dict(self._pending.rows) if self._pending is not None else {}
        for key in self.changed:
            uncommitted[key] = self.seen[key]
        found = {(due, key) for due, key in self._rows.due(now) if key not in uncommitted}
        for key, row in uncommitted.items():
            due = None if row is None else self._stage.next_due(row)
            if due is not None and due <= now:
                found.add((due, key))
        return sorted(found)

    def encoded(self, progress: Progress) -> tuple[dict[str, bytes | None], set[str]]:
        """(envelopes of the changed rows, None for removed ones; keys of the rows that cannot be written).

        Each row counts as a record on `progress`: the time of all is not that of the last record.
        """
        stage, watched = self._stage, self._watched
        changed: dict[str, bytes | None] = {}
        for key in self.changed:
            progress.records += 1
            row = self.seen[key]
            if row is None:
                changed[key] = None
                continue
            try:
                body, due = stage.encode(row), stage.next_due(row)
            except (Exception, TooCostly):
                if key in watched:
                    raise
                self._outgrown.add(key)
                continue
            if _size(key, body) > self._row_limit and key not in watched:
                self._outgrown.add(key)
            changed[key] = envelope(stage.schema, due, body)
        return changed, self._outgrown

    def mark(self, key: str) -> None:
        """Mark a row that has been read as missing a record (`Stage.impair`), whatever its size."""
        row = self.seen.get(key)
        if row is None or self._stage.impair is None:
            return
        impaired = self._stage.impair(row)
        if impaired is not row:
            self.seen[key] = impaired
            self.changed[key] = None

    def _committed(self, key: str) -> Any:
        if self._pending is not None and key in self._pending.rows:
            return self._pending.rows[key]
        stored = self._rows.get(key)
        return None if stored is None else row_of(self._stage, stored)

    def _measure(self, key: str, row: Any) -> None:
        self._stage.next_due(row)
        if _size(key, self._stage.encode(row)) > self._row_limit:
            raise TooLarge("row-too-large")

    def _fits(self, key: str, row: Any) -> bool:
        try:
            self._measure(key, row)
        except Exception:
            return False
        return True


def _size(key: str, body: bytes) -> int:
    return len(key.encode()) + len(body)
