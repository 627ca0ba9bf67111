"""A worker that stopped for longer than its session, was replaced, and wakes up: it must not write any more."""

from __future__ import annotations

import signal

import pytest

from streams.exit_codes import EXIT_CRASHED
from tests.conftest import HasBootstrap
from tests.crash.rounds import IN_FULL, rounds
from tests.support.counted import Counted
from tests.support.kafka import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUNDS = rounds(1, 1 / 10)


@pytest.mark.parametrize("same_slot", [pytest.param(True, marks=IN_FULL), False])
def test_a_zombie_is_fenced(kafka: HasBootstrap, same_slot: bool) -> None:
    """Replaced under its own slot (fenced by the transactional id), or by another member (fenced by the group)."""
    with Counted(kafka.bootstrap, partitions=2) as counted:
        for round in range(ROUNDS):
            zombie = counted.worker(0, max_records=40, session=6.0, linger=0.0).wait_ready()
            counted.produce(2_000)
            start = counted.read_so_far()
            wait_for(lambda start=start: counted.read_so_far() > start + 100)  # type: ignore[misc]
            zombie.signal(signal.SIGSTOP)
            slot = 0 if same_slot else 1
            slots = {slot: counted.worker(slot, session=6.0)}
            counted.finish(slots, 60)
            counted.produce(500)
            zombie.signal(signal.SIGCONT)
            assert zombie.wait(60) == EXIT_CRASHED, "".join(zombie.logged)
            counted.deaths.append(EXIT_CRASHED)
            counted.finish(slots, 60)
            counted.check("SIGSTOP past the session, replaced, SIGCONT", round + 1)
            assert slots[slot].stop() == 0
