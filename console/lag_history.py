"""The last ten minutes of lag, per partition, topic and group, in ring buffers; and whether the cluster answers."""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import Final

from console.lag_status import Point
from streams.kafka.lag import LagReading

KEPT: Final = 300
"""Readings kept for a topic or a group: ten minutes at one in two seconds."""
KEPT_OF_PARTITION: Final = 40
"""A partition is only judged, over half a minute, not drawn."""

Key = tuple[str, ...]


class LagHistory:
    """Ring buffers that one thread fills and others read; any thread may call any method."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._points: dict[Key, deque[Point]] = {}
        self._joined: dict[str, deque[tuple[int, int]]] = {}
        self._last: LagReading | None = None
        self._fault: str | None = None

    def take(self, reading: LagReading) -> None:
        """Add a reading. Drop what the reading no longer names (a topic that is gone)."""
        sums: dict[Key, tuple[int, float]] = {}
        with self._lock:
            for lag in reading.lags:
                point = Point(reading.at, lag.lag, lag.seconds, lag.committed)
                self._ring((lag.group, lag.topic, str(lag.partition)), KEPT_OF_PARTITION).append(point)
                keys: tuple[Key, ...] = ((lag.group,), (lag.group, lag.topic))
                for key in keys:
                    records, seconds = sums.get(key, (0, 0.0))
                    sums[key] = (records + lag.lag, max(seconds, lag.seconds))
            for key, (records, seconds) in sums.items():
                self._ring(key, KEPT).append(Point(reading.at, records, seconds))
            for group, members in reading.members.items():
                self._joined.setdefault(group, deque(maxlen=KEPT_OF_PARTITION)).append((reading.at, members))
            named = set(sums) | {(lag.group, lag.topic, str(lag.partition)) for lag in reading.lags}
            self._points = {key: ring for key, ring in self._points.items() if key in named}
            self._last, self._fault = reading, None

    def away(self, fault: str) -> None:
        """The cluster did not answer; `fault` names the error, and no data."""
        with self._lock:
            self._fault = fault

    @property
    def last(self) -> LagReading | None:
        """The last reading that succeeded."""
        with self._lock:
            return self._last

    @property
    def fault(self) -> str | None:
        """Why the latest reading failed; None when it did not."""
        with self._lock:
            return self._fault

    def points(self, *key: str) -> list[Point]:
        """The readings of a group, a group's topic, or one partition of that, oldest first."""
        with self._lock:
            return list(self._points.get(key, ()))

    def has_reader(self, group: str, window: int) -> bool:
        """Whether the group has had a member within the last `window` ms; true while too little is known."""
        with self._lock:
            seen = list(self._joined.get(group, ()))
        if not seen:
            return True
        since = seen[-1][0] - window
        return seen[0][0] > since or any(members for at, members in seen if at >= since)

    def _ring(self, key: Key, kept: int) -> deque[Point]:
        ring = self._points.get(key)
        if ring is None:
            ring = self._points[key] = deque(maxlen=kept)
        return ring
