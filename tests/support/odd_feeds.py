"""Odd feeds from a seed: sizes, graphs of merges and links, clocks, and records past the gateway."""

from __future__ import annotations

import random
from typing import Final

import msgspec

from agents.topics import ADT_RAW, CUSTODY_RAW, DISPOSITIONS, LINKS, ROSTER, TICKS, VISITS
from domain.times import DAY, MINUTE
from parsers.records.ticks import Tick, write_tick
from tests.support.abused import adt, cin, padded
from tests.support.member import a_roster

Put = tuple[str, str, bytes, dict[str, str]]
"""(topic, key, value, headers)."""

PATIENTS: Final = 60
MEMBERS: Final = 25
VISITS_EACH: Final = 40
LARGEST: Final = 520_000
_UNITS: Final = (
    "NTE|{}||an invented remark of an ordinary length",
    "DG1|{}||I10^Hypertension^I10",
    "IN1|{}|PLAN|LACARE",
    "OBX|{}|TX|NOTE||" + "x" * 2_000,
    "PV1|{}|E",
    "MRG|odd{}^^^TESTHOSP^MR",
    "ZZZ|{}|" + "~".join("a^b&c" for _ in range(200)),
    "{}",
)
_TRIGGERS: Final = ("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A11", "A12", "A13", "A28", "A31", "A38")


class OddFeed:
    """Messages and records from a seed, at times around `now` (ms UTC), about patients and members of its own."""

    def __init__(self, seed: int, now: int) -> None:
        self._seed, self._chance, self._now = seed, random.Random(seed), now

    def messages(self, count: int) -> list[bytes]:
        """That many messages for the gateway, of all kinds."""
        kinds = (self._visit, self._visit, self._visit, self._large, self._graph, self._graph, self._wide)
        return [self._chance.choice(kinds)() for _ in range(count)]

    def records(self, count: int) -> list[Put]:
        """That many records past the gateway: damaged, under foreign keys, with stamps of any time."""
        return [self._record() for _ in range(count)]

    def _time(self) -> int:
        """Mostly lately; also ties, years ago, years ahead, and before there were computers."""
        chance = self._chance
        return chance.choice(
            (
                self._now - chance.randrange(200 * DAY),
                self._now - chance.randrange(200 * DAY),
                self._now - 10 * DAY,
                self._now - chance.randrange(20) * 365 * DAY,
                self._now + chance.randrange(1, 800) * DAY,
                -chance.randrange(70 * 365) * DAY,
            )
        )

    def _patient(self) -> str:
        return self._named(self._chance.randrange(PATIENTS))

    def _named(self, number: int) -> str:
        return f"odd{self._seed}.{number % PATIENTS}"

    def _member(self) -> str:
        return cin(self._seed * MEMBERS % 9_000_000 + self._chance.randrange(MEMBERS))

    def _own(self) -> str:
        return self._member() if self._chance.random() < 0.4 else ""

    def _visit(self) -> bytes:
        chance = self._chance
        patient = self._patient()
        visit = f"{patient}V{chance.randrange(VISITS_EACH)}"
        kind = chance.choice("EIOPRBNX")
        trigger, occurred = chance.choice(_TRIGGERS), self._time()
        return adt(trigger, self._time(), patient, visit=visit, cin=self._own(), occurred=occurred, kind=kind)

    def _large(self) -> bytes:
        size = int(10 ** self._chance.uniform(3, 5.716))
        return padded(self._visit(), min(size, LARGEST), self._chance.choice(_UNITS))

    def _graph(self) -> bytes:
        """Merges, links and moves among few patients: rings, stars and chains come by themselves."""
        chance = self._chance
        shape, number = chance.random(), chance.randrange(PATIENTS)
        if shape < 0.3:
            other, survivor = self._named(number), self._named(number + 1)
        elif shape < 0.5:
            other, survivor = self._named(number), self._named(0)
        else:
            other, survivor = self._patient(), self._patient()
        trigger = chance.choice(("A40", "A40", "A40", "A18", "A34", "A30", "A47", "A24", "A37", "A44", "A45", "A35"))
        more = [f"PID|2||{other}^^^TESTHOSP^MR||Sample^Other"] if trigger in ("A24", "A37") else []
        mrg = "" if more else other
        return adt(trigger, self._time(), survivor, mrg=mrg, cin=self._own(), more=more, visit=f"{other}V1")

    def _wide(self) -> bytes:
        """Fields of unusual length and number."""
        chance = self._chance
        length = int(10 ** chance.uniform(0, 4))
        match chance.randrange(4):
            case 0:
                return adt("A04", self._time(), "9" * length, visit="W1")
            case 1:
                return adt("A04", self._time(), self._patient(), visit="W" * length)
            case 2:
                repeated = "".join(f"~{n}^^^AUTH{n % 50}^MR" for n in range(length))
                return adt("A04", self._time(), self._patient(), visit="W3", repeated=repeated)
            case _:
                return adt("A40", self._time(), self._patient(), mrg="8" * length)

    def _record(self) -> Put:
        chance = self._chance
        stamp = str(chance.choice((self._now, self._now + 700 * DAY, 0, 10**15 - 1, self._time())))
        headers = {"received": chance.choice((stamp, "", "-5", "soon"))}
        match chance.randrange(7):
            case 0:
                return ADT_RAW, f"TESTHOSP|{self._patient()}", self._damaged(self._visit()), headers
            case 1:
                number = "7" * int(10 ** chance.uniform(0, 5.6))
                return ADT_RAW, f"TESTHOSP|{number}", adt("A04", self._now, number, visit="W1"), headers
            case 2:
                at = self._now + chance.choice((-1, 0, 1, 2, 730)) * DAY
                value = write_tick(Tick(max(0, at)))
                return TICKS, "0", chance.choice((value, self._damaged(value))), {}
            case 3:
                member = self._member()
                value = msgspec.json.encode(a_roster(member_id=member, cin=member))
                return ROSTER, member, chance.choice((value, value, self._damaged(value))), headers
            case 4:
                return chance.choice((LINKS, VISITS, CUSTODY_RAW, DISPOSITIONS)), "odd", chance.randbytes(200), headers
            case 5:
                return VISITS, "x" * int(10 ** chance.uniform(0, 5.6)), b"{}", headers
            case _:
                return ADT_RAW, "", padded(adt("A04", self._now - MINUTE, "odd1"), LARGEST), headers

    def _damaged(self, value: bytes) -> bytes:
        damaged = bytearray(value)
        for _ in range(self._chance.randrange(1, 8)):
            damaged[self._chance.randrange(len(damaged))] = self._chance.randrange(256)
        return bytes(damaged)
