"""Write the documents of a roster or custody file to their topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from agents.runtime.contract import Emit
from streams.kafka.produce import produce_together
from streams.kafka.settings import KafkaSettings

T = TypeVar("T")


def write_documents(
    kafka: KafkaSettings,
    topic: str,
    documents: Iterable[T],
    key: Callable[[T], str],
    value: Callable[[T], bytes | None],
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write all in one transaction, received now; returns how many. `on_progress` gets the count so far.

    Raises NotConfirmed: then none is written.
    """
    stamp = (("received", str(time.time_ns() // 1_000_000).encode()),)
    emits = (Emit(topic, key(each).encode(), value(each), stamp) for each in documents)
    return produce_together(kafka, emits, on_progress)
