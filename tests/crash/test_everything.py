"""Everything is killed at once, Kafka, Redis and the supervisor included, and started again: what was acknowledged is
in the topic, once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest

from agents.topics import ADT_RAW
from gateway.client import Outcome, Target, send
from streams.kafka.read import snapshot
from streams.kafka.settings import KafkaSettings
from tests.crash.rounds import IN_FULL, rounds
from tests.support import counted
from tests.support.kafka import wait_for
from tests.support.machine import Machine, admission

pytestmark = [pytest.mark.kafka, pytest.mark.slow, IN_FULL]

ROUNDS = rounds(1, 2 / 5)
"""20 of the whole matrix's 50."""


class Hospital:
    """Sends messages one after the other over four connections until it is stopped; never one twice."""

    def __init__(self, target: str, first: int) -> None:
        host, _, port = target.rpartition(":")
        self._target = Target(host, int(port), connections=4, connect_seconds=2.0, answer_seconds=10.0)
        self._first, self._stop = first, threading.Event()
        self.next = first
        self.acknowledged: list[int] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.run(send(self._target, self._messages(), self._note))

    def _messages(self) -> Iterator[bytes]:
        while not self._stop.is_set():
            self.next += 1
            yield admission(self.next - 1).encode()

    def _note(self, outcome: Outcome) -> None:
        if outcome.good:
            self.acknowledged.append(self._first + outcome.index)


def kill_everything(machine: Machine) -> None:
    """SIGKILL to the supervisor first, so that it starts nothing again, then to all that it started."""
    state = machine.state
    pids = [state["pid"], *(each["pid"] for each in state["processes"])]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() and not _is_dead(pid) for pid in pids), 30, "the end of all")


def _is_dead(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    return True


def test_what_was_acknowledged_is_there_although_everything_was_killed(tmp_path: Path) -> None:
    machine, chance, first = Machine(tmp_path), Random(7), 1
    acknowledged: list[int] = []
    machine.up()
    try:
        for _ in range(ROUNDS):
            hospital = Hospital(machine.state["mllp"], first)
            try:
                enough = chance.randint(20, 400)
                wait_for(lambda: len(hospital.acknowledged) >= enough, 60, "acknowledgments")  # noqa: B023
                kill_everything(machine)
            finally:
                hospital.end()
            acknowledged += hospital.acknowledged
            first = hospital.next
            machine.up()
        kafka = KafkaSettings(bootstrap=machine.state["bootstrap"])
        stored = Counter((record.key or b"").decode() for record in snapshot(kafka, [ADT_RAW]))
    finally:
        machine.run("down", "--data", str(machine.data))
    missing = [number for number in acknowledged if not stored[f"GENHOSP|{number}"]]
    repeated = [key for key, count in stored.items() if count > 1]
    counted.tallied.rounds += ROUNDS
    counted.tallied.records += len(acknowledged)
    counted.tallied.lost += len(missing)
    counted.tallied.repeated += len(repeated)
    assert (missing, repeated) == ([], [])
