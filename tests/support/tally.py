"""What the crash tests of a run come to together."""

from __future__ import annotations

import msgspec


class Tally(msgspec.Struct):
    """Rounds played, records checked in them, and how many of those were not there, or there more than once."""

    rounds: int = 0
    records: int = 0
    lost: int = 0
    repeated: int = 0

    def add(self, other: Tally) -> None:
        """Count another tally in."""
        self.rounds += other.rounds
        self.records += other.records
        self.lost += other.lost
        self.repeated += other.repeated

    def __str__(self) -> str:
        return f"rounds {self.rounds}, records {self.records}, lost {self.lost}, repeated {self.repeated}"
