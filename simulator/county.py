"""A synthetic Californian county: its people, what they lived through, what was said about it, and what is true.

The same arguments give the same bytes: no clock is read and every choice comes from the seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from simulator.courses import Move, course
from simulator.custody import custody_of, custody_row
from simulator.delivery import Message, Post
from simulator.lives import Life
from simulator.people import Person, make_person, roster_row
from simulator.places import DIALECTS, EXCHANGE, REPEATED
from simulator.trouble import trouble
from simulator.truth import judge
from simulator.wording import Pen
from simulator.world import DAY, HOUR, OFFSETS, Custody, Merger, Visit, World, at, day_of, rfc3339

SETTLED: Final = 9 * HOUR
"""Nothing begins in the last hours before the end, so that all that is said of it can be said by then."""
SPOKEN: Final = HOUR
"""Nothing is entered anywhere in the last hour."""


class County(msgspec.Struct, frozen=True):
    """A simulated county: its messages in order of arrival, documents for roster and custody, the truth at the end."""

    world: World
    messages: list[Message]
    roster: list[dict[str, Any]]
    custody: list[dict[str, Any]]
    truth: dict[str, Any]


def simulate(members: int, days: int, seed: int, end: int, quiet: bool = False) -> County:
    """A county of `members` members (and a quarter as many others) over the `days` days before `end` (ms UTC).

    `end` is the *now* at which the truth is taken. `quiet` leaves out all trouble with delivery.
    Raises ValueError when there is nobody or no time to simulate, or when `end` lies outside 2016-2044.
    """
    if members < 1 or days < 2:
        raise ValueError("a county needs at least one member and two days")
    if not 2016 <= datetime.fromtimestamp(end / 1000, tz=UTC).year <= 2044:
        raise ValueError("the end must lie in the years 2016 to 2044")
    world = live(members, days, seed, end)
    return County(
        world=world,
        messages=speak(world, seed, day_of(end) - days, quiet),
        roster=[roster_row(person) for person in world.people if person.member],
        custody=[custody_row(event, world.people[event.person]) for event in world.custody],
        truth={"seed": seed, "days": days, **judge(world)},
    )


def live(members: int, days: int, seed: int, end: int) -> World:
    """What happens to everybody."""
    end_day = day_of(end)
    people: list[Person] = []
    visits: list[Visit] = []
    custody: list[Custody] = []
    mergers: list[Merger] = []
    for index in range(members + members // 4):
        rng = Random(f"{seed}:person:{index}")
        person = make_person(index, end_day, rng, member=index % 5 != 4)
        people.append(person)
        lived = Life(person, end_day - days, end - SETTLED, rng).run()
        lived, merged = trouble(person, lived, end - SETTLED, rng)
        visits += lived
        mergers += merged
        custody += custody_of(person, end_day, rng)
    return World(tuple(people), tuple(visits), tuple(custody), tuple(mergers), end)


def speak(world: World, seed: int, first_day: int, quiet: bool = False) -> list[Message]:
    """What everybody's senders say about it, as it arrives."""
    rng = Random(f"{seed}:post")
    post = Post(sorted(DIALECTS), at(first_day, 0), world.end, rng, quiet)
    pens = {sender: Pen(dialect) for sender, dialect in DIALECTS.items()}
    entries: list[tuple[int, str, Visit | Merger | Person, Move | None]] = []
    for visit in world.visits:
        desk = Random(f"{seed}:{visit.sender}:{visit.visit}")
        moves = course(visit, DIALECTS[visit.sender], world.end - SPOKEN, desk)
        repeated = visit.sender in REPEATED and world.people[visit.person].exchanged
        for before, move in zip([None, *moves], moves, strict=False):
            entries.append((move.recorded, visit.sender, visit, move))
            if repeated and (_speaks(before, move) or desk.random() < 0.3):
                entries.append((move.recorded, EXCHANGE.sender, visit, move))
    entries += [(merger.at, merger.sender, merger, None) for merger in world.mergers]
    entries += _updates(world, seed)
    entries.sort(key=lambda entry: (entry[0], entry[1]))
    for recorded, sender, about, said in entries:
        pen = pens[sender]
        built = recorded if not pen.dialect.evn else recorded + 1_000 * (1 + recorded // 1000 % 9)
        if isinstance(about, Visit):
            assert said is not None
            person = world.people[about.person]
            number = person.number(sender) if pen.dialect.exchange else about.number
            sheet = pen.sheet(about)
            post.carry(pen.dialect, built, partial(pen.visit, person, number, said, sheet))
        elif isinstance(about, Merger):
            post.carry(pen.dialect, built, partial(pen.merger, world.people[about.person], about))
        else:
            post.carry(pen.dialect, built, partial(pen.update, about, about.number(sender), "A31", recorded))
    return post.arrivals()


def _speaks(before: Move | None, move: Move) -> bool:
    """Whether a move says anything new. The exchange drops most updates that do not."""
    return (
        before is None
        or move.trigger != "A08"
        or bool(move.diagnoses or move.disposition)
        or (before.kind, before.begun) != (move.kind, move.begun)
    )


def _updates(world: World, seed: int) -> Iterator[tuple[int, str, Person, None]]:
    """A31: somebody's address was looked at again."""
    rng = Random(f"{seed}:updates")
    for visit in world.visits:
        if rng.random() < 0.2:
            person = world.people[visit.person]
            moment = OFFSETS.unrepeated(visit.arrived + int(rng.uniform(-3, 8) * DAY))
            if moment < world.end - SPOKEN and visit.number == person.number(visit.sender):
                yield moment, visit.sender, person, None


def write(county: County, out: Path) -> None:
    """Writes messages.jsonl, roster.jsonl, custody.jsonl and truth.json into the folder `out` (made if missing)."""
    out.mkdir(parents=True, exist_ok=True)
    encode = msgspec.json.Encoder().encode
    with (out / "messages.jsonl").open("wb") as lines:
        for message in county.messages:
            document = {"hl7": message.hl7, "sender": message.sender, "received": rfc3339(message.received)}
            lines.write(encode(document) + b"\n")
    for name, rows in (("roster", county.roster), ("custody", county.custody)):
        (out / f"{name}.jsonl").write_bytes(b"".join(encode(row) + b"\n" for row in rows))
    (out / "truth.json").write_bytes(msgspec.json.format(encode(county.truth), indent=1) + b"\n")
