"""Bringing back a single broker that was killed, without breaking the transactions it was killed in.

Seen with Kafka 4.3.1: a broker that is its own controller comes back believing that it still leads its partitions. It
resumes the transactions that were being committed, and aborts those that ran out meanwhile, before it listens. A moment
later the controller gives up its former self, no partition has a leader, and the coordinator takes partitions without
one for deleted: it notes the transaction as complete and writes its markers nowhere. Records of one transaction are
then seen in one topic and not in another, or pass for those of the next one.

So the former self is given up before the broker starts: a controller alone, on the same metadata, does only that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from handoff.embedded.process import Child, NotStarted

_SECONDS: Final = 30.0
_DONE: Final = ("Fencing broker ", "Becoming the active controller")
_SESSION_MS: Final = 500
_OF_A_BROKER: Final = ("advertised.listeners", "inter.broker.listener.name")


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """Write a server's properties."""
    path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()), encoding="utf-8")


def died(folder: Path) -> bool:
    """Whether the broker of this folder ended without a clean stop."""
    return not (folder / "data" / ".kafka_cleanshutdown").exists()


def fence(folder: Path, runner: Sequence[str], environment: dict[str, str], properties: Mapping[str, str]) -> None:
    """Have the controller of a single broker that `died` give up that broker. `runner` runs a class of Kafka's.

    Raises NotStarted. A former incarnation that was fenced already cannot be distinguished: that costs ten seconds.
    """
    alone = {name: value for name, value in properties.items() if name not in _OF_A_BROKER} | {
        "process.roles": "controller",
        "listeners": next(each for each in properties["listeners"].split(",") if each.startswith("CONTROLLER:")),
        "broker.session.timeout.ms": str(_SESSION_MS),
    }
    path = folder / "fencing.properties"
    write_properties(path, alone)
    log = folder / "server.log"
    before = log.stat().st_size if log.exists() else 0
    controller = Child("Kafka's controller", folder)
    controller.start([*runner, "kafka.Kafka", str(path)], environment=environment)
    try:
        controller.wait_ready(lambda: any(word in _since(log, before) for word in _DONE), _SECONDS)
        with suppress(NotStarted):
            controller.wait_ready(lambda: _DONE[0] in _since(log, before), _SESSION_MS / 1000 * 20)
            # Decided, not yet written. The log grows twice a second in any case, and in order: what was decided before
            # comes first, this comes next.
            for _ in range(2):
                size = _size(folder)
                controller.wait_ready(lambda size=size: _size(folder) > size, _SECONDS)  # type: ignore[misc]
    finally:
        controller.stop()


def _size(folder: Path) -> int:
    """Bytes of the metadata's log."""
    return sum(path.stat().st_size for path in (folder / "data" / "__cluster_metadata-0").glob("*.log"))


def _since(log: Path, before: int) -> str:
    """What was logged after the first `before` bytes; all of it once the log has been rolled."""
    try:
        with log.open("rb") as file:
            file.seek(before if log.stat().st_size >= before else 0)
            return file.read().decode(errors="replace")
    except OSError:
        return ""
