"""Kafka's topic settings as people write them (30d, 512KiB) and as Kafka takes them (milliseconds, bytes)."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"(-?\d+)\s*([A-Za-z]*)")
_DURATIONS: Final = {"": 1, "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SIZES: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}

TOPIC_CONFIGS: Final = frozenset(
    [
        "cleanup.policy",
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.type",
        "compression.zstd.level",
        "delete.retention.ms",
        "file.delete.delay.ms",
        "flush.messages",
        "flush.ms",
        "follower.replication.throttled.replicas",
        "index.interval.bytes",
        "leader.replication.throttled.replicas",
        "local.retention.bytes",
        "local.retention.ms",
        "max.compaction.lag.ms",
        "max.message.bytes",
        "message.timestamp.after.max.ms",
        "message.timestamp.before.max.ms",
        "message.timestamp.type",
        "min.cleanable.dirty.ratio",
        "min.compaction.lag.ms",
        "min.insync.replicas",
        "preallocate",
        "remote.log.copy.disable",
        "remote.log.delete.on.disable",
        "remote.storage.enable",
        "retention.bytes",
        "retention.ms",
        "segment.bytes",
        "segment.index.bytes",
        "segment.jitter.ms",
        "segment.ms",
        "unclean.leader.election.enable",
    ]
)
"""The topic settings of Kafka 4. A name outside is a misspelling, and better found here than by the broker."""


def kafka_value(setting: str, written: str | int | float | bool) -> str:
    """The value as Kafka takes it. Raises ValueError for a unit that the setting does not have."""
    if isinstance(written, bool):
        return str(written).lower()
    text = str(written).strip()
    units = _DURATIONS if setting.endswith(".ms") else _SIZES if setting.endswith(".bytes") else None
    if units is None:
        return ",".join(part.strip() for part in text.split(","))
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] not in units:
        kind = "a duration (30d, 12h, 10m, 5s, 100ms)" if units is _DURATIONS else "a size (512KiB, 64MiB, 1GiB)"
        raise ValueError(f"{text!r} is not {kind}")
    return str(int(match[1]) * units[match[2]])
