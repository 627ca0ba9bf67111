"""How often workers ended at the same record: kept in the metadata of the group's committed position
(docs/engine.md#crash-loops).

Before a worker decides the first records of a place after an assignment, it commits the place's position where it is,
with a mark in the metadata. The commit of the decided records has none, which ends the count. So a mark that is found
at an assignment says that a worker ended between the two; it survives the worker and moves with the partition.

Records of a place with a mark are decided one at a time, so that the next mark names one record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from confluent_kafka import TopicPartition

from agents.runtime.contract import Record
from streams.engine.partitions import Place
from streams.engine.poll import Batch

_FORM: Final = re.compile(r"attempts=(\d{1,9}) at=(\d{1,18}) through=(\d{1,18})")


class Mark(msgspec.Struct, frozen=True):
    """`attempts` workers have begun the records from offset `at` to before `through`, the last of them this one."""

    attempts: int
    at: int
    through: int

    def text(self) -> str:
        """As metadata of a committed position."""
        return f"attempts={self.attempts} at={self.at} through={self.through}"


def read_mark(metadata: str | None) -> Mark | None:
    """The mark in the metadata of a position; None where there is none, or what another program wrote."""
    found = _FORM.fullmatch(metadata or "")
    return None if found is None else Mark(*map(int, found.groups()))


class Attempts:
    """The marks of one worker's places since its last assignment."""

    def __init__(self, limit: int) -> None:
        """A record at which `limit` workers ended is set aside."""
        self._limit = limit
        self._found: dict[Place, Mark] = {}
        self._proven: set[Place] = set()
        """Places of which this worker has begun the first records: later ones need no mark."""

    def assign(self, given: Iterable[TopicPartition]) -> dict[Place, Mark]:
        """Begin anew with the committed positions; the marks found in their metadata."""
        marks = {(place.topic, place.partition): read_mark(place.metadata) for place in given}
        self._found = {place: mark for place, mark in marks.items() if mark is not None}
        self._proven = set()
        return dict(self._found)

    def parts(self, batch: Batch) -> list[Batch]:
        """The batch cut so that each record that may have ended a worker is alone; the others come first.

        The order of records of the same topic and partition is kept, and so is the last position of each.
        """
        if not self._found:
            return [batch]
        free = Batch({}, {at: position for at, position in batch.positions.items() if at not in self._found})
        alone: list[Batch] = []
        after = Batch({}, {at: position for at, position in batch.positions.items() if at in self._found})
        for partition, records in batch.chunks.items():
            for record in records:
                place = (record.topic, partition)
                mark = self._found.get(place)
                if mark is None:
                    free.chunks.setdefault(partition, []).append(record)
                elif record.offset < mark.through:
                    alone.append(Batch({partition: [record]}, {place: record.offset + 1}))
                else:
                    after.chunks.setdefault(partition, []).append(record)
        return [part for part in (free, *alone, after) if part.positions]

    def begin(self, batch: Batch) -> dict[Place, Mark]:
        """The marks to commit before a part of a batch is decided; empty once its places have been begun."""
        marks: dict[Place, Mark] = {}
        if self._all_begun(batch):
            return marks
        for place, records in _by_place(batch).items():
            found = self._found.get(place)
            first = records[0].offset
            if found is not None and first < found.through:
                # Others up to `through` were begun together with it once, and not alone.
                marks[place] = Mark(1 + (found.attempts if first == found.at else 1), first, found.through)
            elif place not in self._proven:
                marks[place] = Mark(1, first, records[-1].offset + 1)
        return marks

    def verdict(self, marks: Mapping[Place, Mark]) -> int:
        """How many workers ended at the record that these marks are of, if it is to be set aside; 0 otherwise."""
        ended = max((mark.attempts - 1 for mark in marks.values()), default=0)
        return ended if ended >= self._limit else 0

    def spared(self, marks: Mapping[Place, Mark]) -> dict[Place, Mark]:
        """The marks to commit once the record is decided, before its results are written: one attempt less, if the
        record would be set aside otherwise for what is Kafka's fault."""
        return {
            place: msgspec.structs.replace(mark, attempts=mark.attempts - 1)
            for place, mark in marks.items()
            if mark.attempts >= self._limit
        }

    def begun(self, batch: Batch) -> None:
        """The results of a part of a batch are being committed, and its marks end with that."""
        if self._all_begun(batch):
            return
        for place, records in _by_place(batch).items():
            found = self._found.get(place)
            if found is None or records[-1].offset + 1 >= found.through:
                self._found.pop(place, None)
                self._proven.add(place)

    def _all_begun(self, batch: Batch) -> bool:
        """Whether no place of a batch has or needs a mark: the case of all batches but the first, decided by places
        and not by records."""
        return not self._found and self._proven.issuperset(batch.positions)


def _by_place(batch: Batch) -> dict[Place, list[Record]]:
    found: dict[Place, list[Record]] = {}
    for partition, records in batch.chunks.items():
        for record in records:
            found.setdefault((record.topic, partition), []).append(record)
    return found
