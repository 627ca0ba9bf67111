"""The partitions of one worker: their stores and their input positions. Shared by poller, assignment and pump.

Written on the thread that polls (assign, revoke, ready) and by the pump between two decisions. A revocation waits until
no decision and no transaction is under way, so the two never write at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import TopicPartition

from agents.runtime.store import RowStore

Place = tuple[str, int]
"""Topic and partition."""


class Partitions:
    """What a worker has been assigned, and how far it is restored."""

    def __init__(self) -> None:
        self.ready: dict[int, RowStore] = {}
        """Stores of the partitions that are restored: only these are decided on."""
        self.moved: dict[Place, int] = {}
        """Input positions that this worker has committed since the assignment."""
        self.passed: dict[Place, int] = {}
        """Input positions behind transaction markers that no record has followed yet; not committed. Retention deletes
        markers as well, and a committed position in front of deleted ones looks like lost records."""
        self.metadata: Any = None
        """The consumer's group metadata as of this assignment. It fences a transaction decided under an older one."""
        self.of_topic: int | None = None
        """How many partitions the stage's topics have; None where the stage does not ask."""
        self._given: list[TopicPartition] | None = None

    def assign(self, given: list[TopicPartition], metadata: Any) -> None:
        """Take partitions with their committed positions; none is ready yet."""
        self._given, self.metadata = given, metadata

    def clear(self) -> None:
        """Close all stores and forget the assignment."""
        for rows in self.ready.values():
            rows.close()
        self.ready.clear()
        self.moved.clear()
        self.passed.clear()
        self._given = self.metadata = None

    @property
    def numbers(self) -> list[int]:
        """Numbers of the partitions assigned, restored or not."""
        return sorted({place.partition for place in self._given or ()})

    @property
    def positions(self) -> dict[Place, int]:
        """Input positions of the restored partitions: the committed ones, moved on by this worker."""
        starts = {
            (place.topic, place.partition): max(0, place.offset)
            for place in self._given or ()
            if place.partition in self.ready
        }
        return {**starts, **self.moved}

    def passed_markers(self, ends: Mapping[Place, int]) -> None:
        """Note partitions' ends that were reached without a record."""
        known = {**self.positions, **self.passed}
        self.passed.update({place: end for place, end in ends.items() if end > known.get(place, 0)})

    def take_passed(self) -> dict[Place, int]:
        """The positions noted by `passed_markers`, which are now the caller's to commit."""
        taken, self.passed = self.passed, {}
        return taken

    @property
    def restoring(self) -> bool:
        """Whether partitions were assigned of which some are not restored yet."""
        return self._given is not None and len(self.ready) < len(self.numbers)

    @property
    def complete(self) -> bool:
        """Whether the group has given this worker its share (which may be none) and all of it is restored."""
        return self._given is not None and not self.restoring
