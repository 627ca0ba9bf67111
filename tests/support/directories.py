"""A directory on topics and a Redis of its own, in this process or in another one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agents.runtime.contract import Emit
from handoff.embedded.redis import EmbeddedRedis
from parsers.records.links import Link, decode_link
from streams.directory import LEASE_SECONDS, DirectoryKeeper
from streams.directory_lookup import RedisLookup
from streams.kafka.produce import produce_together
from streams.kafka.settings import KafkaSettings
from tests.gateway.running import everything
from tests.support.kafka import TopicNames, make_topics, wait_for


class County:
    """Topics of one test, a Redis of its own, and a directory that can be started and stopped."""

    def __init__(self, bootstrap: str, names: TopicNames, server: EmbeddedRedis) -> None:
        self.kafka = KafkaSettings(bootstrap=bootstrap)
        self.roster, self.waiting = names("roster"), names("unattributed")
        self.facts, self.links = names("facts"), names("links")
        self.server = server
        make_topics(bootstrap, {name: (2, {}) for name in (self.roster, self.waiting, self.facts, self.links)})

    def keeper(self, lease_seconds: float = LEASE_SECONDS) -> DirectoryKeeper:
        return keeper_of(self.arguments(lease_seconds))

    def arguments(self, lease_seconds: float) -> dict[str, Any]:
        return {
            "bootstrap": self.kafka.bootstrap,
            "url": self.server.url,
            "roster": self.roster,
            "unattributed": self.waiting,
            "facts": self.facts,
            "links": self.links,
            "lease_seconds": lease_seconds,
        }

    @contextmanager
    def process(self, lease_seconds: float) -> Iterator[subprocess.Popen[str]]:
        """A directory in a process of its own that has caught up. It prints each state that it comes to."""
        command = [sys.executable, "-m", "tests.support.directories", json.dumps(self.arguments(lease_seconds))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                await_state(process, "caught up")
                yield process
            finally:
                process.kill()

    @contextmanager
    def keeping(self, lease_seconds: float = LEASE_SECONDS) -> Iterator[DirectoryKeeper]:
        """A directory that has caught up."""
        with self.running(lease_seconds) as keeper:
            wait_for(lambda: keeper.ready()[0], what="catching up")
            assert keeper.alive()[0]
            yield keeper

    @contextmanager
    def running(self, lease_seconds: float = LEASE_SECONDS) -> Iterator[DirectoryKeeper]:
        """A directory that may have to wait for the lease."""
        keeper = self.keeper(lease_seconds)
        thread = threading.Thread(target=keeper.run, daemon=True)
        thread.start()
        try:
            yield keeper
        finally:
            keeper.stop()
            thread.join(15)
            assert not thread.is_alive()

    def row(self, member: str, *numbers: str, received: int, birth_date: str = "1980-01-01") -> None:
        identifiers = [dict(zip(("authority", "number"), number.split("|"), strict=True)) for number in numbers]
        document = {"member_id": member, "birth_date": birth_date, "identifiers": identifiers}
        self._put(self.roster, member, document, received)

    def asks(self, patient: str, *questions: str) -> None:
        """A patient in no group that depends on the owners of identifiers."""
        self._put(self.facts, patient, [patient, None, {}, None, None, [], dict.fromkeys(questions, 0)], 1)

    def gone(self, member: str, received: int) -> None:
        self._put(self.roster, member, None, received)

    def waits(self, patient: str, *identifiers: str, received: int = 1, reason: str = "no-match") -> None:
        document = {"patient": patient, "identifiers": identifiers, "reason": reason, "since": 1}
        self._put(self.waiting, patient, document, received)

    def _put(self, topic: str, key: str, document: object, received: int) -> None:
        value = None if document is None else json.dumps(document).encode()
        stamp = (("received", str(received).encode()),)
        produce_together(self.kafka, [Emit(topic, key.encode(), value, stamp)])

    def said(self) -> list[Link]:
        return [decode_link(each.value or b"") for each in everything(self.kafka, self.links)]

    def belief(self) -> dict[str, str | None]:
        """Patient -> member, as rows fold links: the greater revision holds."""
        held: dict[str, tuple[int, str]] = {}
        for link in self.said():
            held[link.patient] = max(held.get(link.patient, (0, "")), (link.rev, link.member or ""))
        return {patient: member or None for patient, (_, member) in held.items()}


async def asked(county: County, *questions: str) -> dict[str, str | None] | None:
    """Question -> member and revision; the hashes that guard the answer are left out."""
    lookup = RedisLookup(county.server.url)
    try:
        told = await lookup.ask(list(questions))
    finally:
        await lookup.close()
    return told and {name: text and "\x1f".join(text.split("\x1f")[:2]) for name, text in told.items()}


def keeper_of(arguments: dict[str, Any]) -> DirectoryKeeper:
    """The keeper that `County.arguments` describes."""
    told = dict(arguments)
    kafka = KafkaSettings(bootstrap=told.pop("bootstrap"))
    return DirectoryKeeper(kafka, told.pop("url"), key=b"a key of tests", **told)


def await_state(process: subprocess.Popen[str], state: str) -> None:
    """Read what a directory process prints until it has come to a state."""
    assert process.stdout is not None
    while (line := process.stdout.readline()) and line.strip() != state:
        pass
    assert line, f"the process ended before it was {state}"


def main() -> None:
    """A directory as a process: prints each state that it comes to, until it is killed."""
    keeper = keeper_of(json.loads(sys.argv[1]))
    signal.signal(signal.SIGTERM, lambda *_: keeper.stop())
    thread = threading.Thread(target=keeper.run, daemon=True)
    thread.start()
    known = ""
    while thread.is_alive():
        state = str(keeper.ready()[1]["state"])
        if state != known:
            known = state
            print(state, flush=True)  # noqa: T201
        thread.join(0.02)


if __name__ == "__main__":
    main()
