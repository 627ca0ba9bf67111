"""The job that engines are measured on: a ledger of visits per member, as a stage.

A fact is 413 bytes of JSON about one visit. The member's row keeps its last 24 visits and counts those that ended in
the last 6 and 12 months; each discharge gives a transition, each count that changes gives a candidate.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

import msgspec

from agents.runtime.contract import Context, Emit, Record, Stage
from domain.errors import Refusal
from domain.times import DAY

FACTS: Final = "bench.facts"
CHANGELOG: Final = "bench.changelog"
TRANSITIONS: Final = "bench.transitions"
CANDIDATES: Final = "bench.candidates"
LETTERS: Final = "bench.letters"
START: Final = 1_760_000_000_000
SIZE: Final = 413
KEPT: Final = 24


class Fact(msgspec.Struct, frozen=True, gc=False):
    """One record about a visit."""

    member: str
    visit: str
    kind: str
    patient_class: str
    arrived: int
    departed: int | None
    facility: str
    diagnoses: tuple[str, ...]
    note: str = ""


class Visit(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A visit in the row."""

    visit: str
    patient_class: str
    arrived: int
    departed: int | None
    facility: str


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A member's ledger, visits in order of arrival."""

    member: str
    visits: tuple[Visit, ...] = ()
    six: int = 0
    twelve: int = 0


_read = msgspec.json.Decoder(Fact).decode
_write = msgspec.json.Encoder().encode


def facts(count: int, members: int, seed: int = 7) -> Iterator[tuple[bytes, bytes]]:
    """Facts by key: arrivals and, for most visits, discharges, over about a year."""
    chance = random.Random(seed)
    for number in range(count):
        member = f"9{chance.randrange(members):07d}A"
        arrived = START + number * (365 * DAY // count)
        ended = number % 2 == 1
        fact = Fact(
            member,
            f"GENHOSP|V{number // 2:08d}",
            "discharged" if ended else "arrived",
            chance.choice(("emergency", "inpatient")),
            arrived,
            arrived + 3_600_000 if ended else None,
            f"facility-{chance.randrange(40):02d}",
            ("I10", "E119", "Z590"),
        )
        short = _write(fact)
        yield member.encode(), _write(msgspec.structs.replace(fact, note="n" * (SIZE - len(short))))


def _fact(record: Record) -> Fact:
    try:
        return _read(record.value or b"")
    except msgspec.DecodeError as error:
        raise Refusal("unreadable", "fact") from error


def decide(row: Row | None, record: Record, _context: Context) -> tuple[Row, list[Emit]]:
    """Fold one fact; emit what changed."""
    fact = _fact(record)
    row = row or Row(fact.member)
    visit = Visit(fact.visit, fact.patient_class, fact.arrived, fact.departed, fact.facility)
    others = [each for each in row.visits if each.visit != fact.visit]
    visits = tuple(sorted([*others, visit], key=lambda each: each.arrived)[-KEPT:])
    now = fact.departed or fact.arrived
    six = sum(1 for each in visits if each.departed is not None and now - each.departed < 182 * DAY)
    twelve = sum(1 for each in visits if each.departed is not None and now - each.departed < 365 * DAY)
    emits = []
    key = fact.member.encode()
    if fact.departed is not None:
        transition = {"visit": fact.visit, "member": fact.member, "occurred": fact.departed, "from": fact.patient_class}
        emits.append(Emit(TRANSITIONS, key, _write(transition)))
    if (six, twelve) != (row.six, row.twelve):
        emits.append(Emit(CANDIDATES, key, _write({"member": fact.member, "six": six, "twelve": twelve, "as_of": now})))
    return Row(fact.member, visits, six, twelve), emits


def ledger_stage() -> Stage:
    """The job as a stage."""
    return Stage(
        name="ledger",
        inputs=(FACTS,),
        changelog=CHANGELOG,
        outputs=(TRANSITIONS, CANDIDATES),
        dead_letters=LETTERS,
        row_key=lambda record: (record.key or b"").decode(),
        decide=decide,
        encode=msgspec.msgpack.Encoder().encode,
        decode=msgspec.msgpack.Decoder(Row).decode,
        next_due=lambda row: row.visits[-1].arrived + 365 * DAY,
        lookups=lambda _record: (),
        ticks=False,
    )
