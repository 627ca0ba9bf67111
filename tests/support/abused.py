"""A whole system that is given what no sender should send: messages, what it says of itself, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from agents.runtime.contract import Record
from agents.topics import CANDIDATES, DEAD_LETTERS, LINKS, TRANSITIONS, UTILIZATION, WATCHLIST
from domain.times import CALIFORNIA
from gateway.client import Sent
from handoff.demo import run
from handoff.settings import load_settings
from handoff.system import System
from simulator.places import SENDERS
from streams.kafka.read import snapshot
from streams.kafka.settings import producer_config

DOCUMENTS = (CANDIDATES, UTILIZATION, WATCHLIST, TRANSITIONS)
COUNTED = (LINKS, "member.visits.v1", "identity.facts.v1", "adt.unattributed.v1", CANDIDATES)


def adt(
    trigger: str,
    at: int,
    number: str,
    *,
    visit: str = "",
    cin: str = "",
    mrg: str = "",
    occurred: int = 0,
    kind: str = "E",
    more: Sequence[str] = (),
    repeated: str = "",
) -> bytes:
    """A message entered at `at` (ms UTC); `more` segments come last, `repeated` goes to PID-3 after the numbers."""
    pid = f"{number}^^^TESTHOSP^MR" + (f"~{cin}^^^MEDI-CAL^MA" if cin else "") + repeated
    lines = [
        f"MSH|^~\\&|REG|TESTHOSP|HUB|PLAN|{stamp(at)}||ADT^{trigger}|{trigger}{at}{visit}{number[:8]}|P|2.5.1",
        f"EVN|{trigger}|{stamp(at)}||||{stamp(occurred or at)}",
        f"PID|1||{pid}||Sample^Person||19800101|F|||1 Invented St^^Town^CA^90001||(213)555-0101",
    ]
    if mrg:
        lines.append(f"MRG|{mrg}^^^TESTHOSP^MR")
    if visit:
        lines.append(f"PV1|1|{kind}|||||||||||||||||{visit}")
        lines.append("DG1|1||I10^Hypertension^I10")
    return "\r".join([*lines, *more]).encode()


def stamp(at: int) -> str:
    """A time (ms UTC) as HL7 writes it, in California."""
    return datetime.fromtimestamp(at / 1000, CALIFORNIA).strftime("%Y%m%d%H%M%S%z")


def cin(number: int) -> str:
    """An invented client index number."""
    return f"9{number:07}A"


def padded(message: bytes, size: int, unit: str = "NTE|{}||an invented remark of an ordinary length") -> bytes:
    """The message with segments added until it has `size` bytes."""
    parts, length, number = [message], len(message), 0
    while length < size:
        number += 1
        line = b"\r" + unit.format(number).encode()
        parts.append(line[: size - length])
        length += len(parts[-1])
    return b"".join(parts)


class Abused:
    """A running system."""

    def __init__(self, system: System) -> None:
        self.system = system
        self._producer = Producer({**producer_config(system.kafka_settings), "message.max.bytes": 1_000_000})

    def send(self, messages: Sequence[bytes], connections: int = 4) -> Sent:
        """Send over MLLP, each patient's messages in their order."""
        return run.send_messages(self.system, list(messages), connections)

    def put(self, topic: str, key: str, value: bytes, headers: dict[str, str], partition: int = -1) -> None:
        """One record past the gateway."""
        told = [(name, text.encode()) for name, text in headers.items()]
        self._producer.produce(topic, value, key.encode(), partition, headers=told)
        assert self._producer.flush(30) == 0

    def drain(self, seconds: float) -> float:
        """Wait until nothing waits; how long that took. Raises NotDrained."""
        began = time.monotonic()
        run.drain(self.system, seconds)
        return time.monotonic() - began

    def exits(self) -> dict[str, list[int]]:
        """Exit codes of the processes that ended since the start."""
        assert self.system.supervisor is not None
        return {process.name: list(process.exits) for process in self.system.supervisor.processes if process.exits}

    def memory(self) -> dict[str, int]:
        """The most resident memory (MiB) that each worker and listener process has had."""
        assert self.system.supervisor is not None
        found = {}
        for process in self.system.supervisor.processes:
            if process.child is not None and process.child.pid is not None:
                status = Path(f"/proc/{process.child.pid}/status").read_text()
                peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
                found[process.name] = int(peak.split()[1]) // 1024
        return found

    def records(self, topic: str) -> list[Record]:
        """All committed records of a topic."""
        return list(snapshot(self.system.kafka_settings, [topic]))

    def counts(self) -> dict[str, int]:
        """Committed records of the topics through which a loop would go."""
        return {topic: len(self.records(topic)) for topic in COUNTED}

    def letters(self) -> list[tuple[str, str]]:
        """(stage, code) of all dead letters."""
        found = [each.headers for each in self.records(DEAD_LETTERS)]
        return [(headers.get("stage", b"").decode(), headers.get("code", b"").decode()) for headers in found]

    def live(self) -> list[dict[str, Any]]:
        """The candidates that stand."""
        return [each for each in run.candidates(self.system.kafka_settings) if each["status"] in ("raised", "amended")]


@contextmanager
def abused(folder: Path, **more: Any) -> Iterator[Abused]:
    """A system of its own on free ports, with the simulated county's sender profiles."""
    with pytest.MonkeyPatch.context() as patch:
        for section in ("MLLP", "HTTP", "CONSOLE"):
            patch.setenv(f"HANDOFF_{section}__PORT", "0")
        patch.setenv("HANDOFF_PATHS__SENDERS", str(SENDERS))
        with System(folder, load_settings(), console=False, quick=True, **more) as system:
            patch.setenv("HANDOFF_KAFKA__BOOTSTRAP", system.addresses["bootstrap"])
            yield Abused(system)
