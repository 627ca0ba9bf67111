"""A broker whose disk is full, without a disk of its own and without being root."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from handoff.embedded.kafka import EmbeddedKafka


def let_files_grow_to(kafka: EmbeddedKafka, size: int) -> None:
    """Have every write that would make a file of the running brokers larger than `size` bytes fail.

    To Kafka it is the same as a full disk: an IOException where a log is written. A broker that is started anew is free
    of it. Skips the test where a process cannot be limited from outside (macOS).
    """
    if not hasattr(resource, "prlimit"):
        pytest.skip("no prlimit on this system")
    for pid in kafka.pids:
        assert pid is not None
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def failed_writes(kafka: EmbeddedKafka, topic: str) -> list[str]:
    """What the brokers' logs say of writes to a topic that failed."""
    texts = [Path(log).read_text(encoding="utf-8", errors="replace") for log in kafka.logs]
    return [line for text in texts for line in text.splitlines() if "Error while appending" in line and topic in line]
