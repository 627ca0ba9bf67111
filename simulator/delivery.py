"""Delivery of messages: repeats, resends, delays and outages, which change their order.

Every message is received before the end of the simulation, and not before it was built.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from simulator.places import Dialect
from simulator.world import DAY, HOUR, MINUTE


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One received message; `received` is ms UTC."""

    hl7: str
    sender: str
    received: int


class Delivery:
    """Delivers messages. `quiet`: without disturbances, each a second after it was built."""

    def __init__(self, senders: list[str], first: int, end: int, rng: Random, quiet: bool = False) -> None:
        self.rng = rng
        self.end = end
        self.quiet = quiet
        self.sent: list[Message] = []
        self.controls: dict[str, int] = {}
        self.outages = {
            sender: [(start, start + rng.randint(3, 10) * HOUR) for start in self._starts(first)] for sender in senders
        }

    def _starts(self, first: int) -> list[int]:
        return [self.rng.randint(first, self.end) for _ in range(self.rng.randint(0, 3))]

    def control(self, dialect: Dialect) -> str:
        """The next message control ID (MSH-10) in the sender's scheme."""
        if dialect.control == "none":
            return ""
        count = self.controls[dialect.sender] = self.controls.get(dialect.sender, 0) + 1
        return f"{dialect.code}{count:07d}" if dialect.control == "counter" else f"{count % 200:03d}"

    def send(self, dialect: Dialect, built: int, write: Callable[[int, str], str]) -> None:
        """Deliver the message of `write(built, control ID)`, with a random delay and repeats."""
        text = write(built, self.control(dialect))
        if self.quiet:
            self._deliver(text, dialect.sender, built, 1_000)
            return
        rng = self.rng
        chance = rng.random()
        delay = 200 + int(rng.random() * 4_000) + (rng.randint(1, 30) * MINUTE if dialect.exchange else 0)
        if chance < 0.06:
            delay += rng.randint(1, 180) * MINUTE
        elif chance < 0.08:
            delay += rng.randint(5, 120) * HOUR
        self._deliver(text, dialect.sender, built, delay)
        chance = rng.random()
        if chance < 0.03:  # sent again, since no acknowledgment arrived
            self._deliver(text, dialect.sender, built, delay + rng.randint(1, 2 * DAY // 1000) * 1000)
        elif chance < 0.045:  # queued again, as a new message about the same entry
            again = delay + rng.randint(30, 3_600) * 1000
            text = write(built + again if dialect.evn else built, self.control(dialect))
            self._deliver(text, dialect.sender, built, again + 1_000)

    def _deliver(self, text: str, sender: str, built: int, delay: int) -> None:
        received = built + delay
        for start, over in self.outages.get(sender, ()):
            if not self.quiet and start <= received < over:
                received = over + self.rng.randint(0, 600_000)
        latest = self.end - MINUTE
        if received > latest:
            received = max(built, latest - self.rng.randint(0, 40) * MINUTE)
        self.sent.append(Message(text, sender, received))

    def arrivals(self) -> list[Message]:
        """All messages in order of receipt."""
        return sorted(self.sent, key=lambda message: message.received)
