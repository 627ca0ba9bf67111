"""Time on a real Kafka: what is due fires once, also across a restart, and the owner of a partition ticks it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from agents.topics import TICKS
from handoff.embedded.kafka import EmbeddedKafka
from tests.support.counted import Counted
from tests.support.counting import fact
from tests.support.kafka import wait_for

pytestmark = pytest.mark.kafka

T0 = 1_764_000_000_000
DAY = 86_400_000


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka of its own: the clock's topic has one name for everybody."""
    with EmbeddedKafka(tmp_path_factory.mktemp("ticking"), quick=True) as kafka:
        yield kafka.bootstrap


@pytest.fixture(scope="module")
def counted(bootstrap: str) -> Iterator[Counted]:
    with Counted(bootstrap, partitions=2, partitions_ticked=True) as counted:
        yield counted


def fired(counted: Counted) -> Counter[str]:
    """Keys that have fired, with how often."""
    said = [json.loads(each.value or b"") for records in counted.read(counted.counts).values() for each in records]
    return Counter(each["due"] for each in said if "due" in each)


def test_due_rows_fire_once_also_after_a_restart_and_ticks_of_its_own(counted: Counted) -> None:
    far = T0 + 10_000 * DAY
    values = [(f"k{n}", fact(n, f"k{n}", do="due", at=far if n % 5 == 4 else T0 + n)) for n in range(40)]
    soon = {key for key, value in values if f'"at":{far}'.encode() not in (value or b"")}
    counted.produce_values([(key, value) for key, value in values], {"received": str(T0 - DAY).encode()})
    worker = counted.worker(idle=0.05)
    counted.finish({0: worker})
    assert fired(counted) == Counter()
    assert worker.stop() == 0

    worker = counted.worker(idle=0.05).wait_ready()
    counted.tick(T0 + 19)
    wait_for(lambda: len(fired(counted)) >= len([key for key in soon if int(key[1:]) <= 19]), 20)
    counted.tick(T0 + 19)
    counted.tick(T0 + 1_000)
    counted.finish({0: worker})
    wait_for(lambda: len(fired(counted)) >= len(soon), 20)
    counted.tick(T0 + 2_000)
    wait_for(lambda: min(rows.clock for rows in counted.rows().values()) == T0 + 2_000, 20)
    assert fired(counted) == Counter(soon)
    assert worker.stop() == 0

    # Now the owner ticks by the clock on the wall, which is past T0 and before `far`.
    began = int(time.time() * 1000)
    counted.produce_values([("k0", fact(100, "k0", do="due", at=began))])
    worker = counted.worker(ticks=True, tick_every=0.1, idle=0.05).wait_ready()
    wait_for(lambda: fired(counted)["k0"] == 2, 20)
    ticked = sum(len(records) for records in counted.read(TICKS).values())
    wait_for(lambda: sum(len(records) for records in counted.read(TICKS).values()) > ticked + 6, 20)
    assert worker.stop() == 0
    assert fired(counted) == Counter(soon) + Counter({"k0": 1})
    assert all(rows.clock >= began for rows in counted.rows().values())
