"""A synthetic Californian county: people, visits, messages about them, and the true result.

The same arguments give the same bytes: no clock is read and every choice is derived from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from simulator.custody import custody_of, custody_row
from simulator.delivery import Delivery, Message
from simulator.history import History
from simulator.irregularities import add_irregularities
from simulator.lives import born
from simulator.mistakes import RATES, add_mistakes
from simulator.numbering import with_shared_numbers
from simulator.people import Person, make_person, roster_row
from simulator.places import DIALECTS, EXCHANGE, REPEATED
from simulator.registration import TriggerEvent, trigger_events, update_of
from simulator.truth import judge
from simulator.world import DAY, HOUR, OFFSETS, Custody, Death, Merger, Visit, World, at, day_of, rfc3339
from simulator.writer import MessageWriter

LAST_BEGINNING: Final = 9 * HOUR
"""No visit begins in these last hours, so that all of its messages can be sent before the end."""
LAST_ENTRY: Final = HOUR
"""Nothing is entered in the last hour."""


_About = Visit | Merger | Death | Person


class County(msgspec.Struct, frozen=True):
    """A simulated county: messages in order of receipt, roster and custody documents, the true result at the end."""

    world: World
    messages: list[Message]
    roster: list[dict[str, Any]]
    custody: list[dict[str, Any]]
    truth: dict[str, Any]


def simulate(members: int, days: int, seed: int, end: int, quiet: bool = False) -> County:
    """A county of `members` members (and a quarter as many others) over the `days` days before `end` (ms UTC).

    `end` is the *now* of the true result. `quiet`: without disturbances of delivery. Raises ValueError for fewer than
    one member or two days, and for an `end` outside 2016-2044.
    """
    if members < 1 or days < 2:
        raise ValueError("a county needs at least one member and two days")
    if not 2016 <= datetime.fromtimestamp(end / 1000, tz=UTC).year <= 2044:
        raise ValueError("the end must lie in the years 2016 to 2044")
    world = world_of(members, days, seed, end)
    return County(
        world=world,
        messages=messages_of(world, seed, day_of(end) - days, quiet),
        roster=[roster_row(person) for person in world.people if person.member],
        custody=[custody_row(event, world.people[event.person]) for event in world.custody],
        truth={"seed": seed, "days": days, **judge(world)},
    )


def world_of(members: int, days: int, seed: int, end: int, rates: Mapping[str, float] = RATES) -> World:
    """The people, and all that happens to them, with mistakes of identity at `rates`."""
    end_day = day_of(end)
    people: list[Person] = []
    visits: list[Visit] = []
    custody: list[Custody] = []
    mergers: list[Merger] = []
    deaths: list[Death] = []
    shown: dict[tuple[int, str], Person] = {}
    newborns: list[tuple[Person, list[Visit]]] = []
    cutoff = end - LAST_BEGINNING
    for index in range(members + members // 4):
        rng = Random(f"{seed}:person:{index}")
        person = make_person(index, end_day, rng, member=index % 5 != 4)
        visited = History(person, end_day - days, cutoff, rng).run()
        choices = Random(f"{seed}:mistakes:{index}")
        visited = with_shared_numbers(person, visited, choices)
        visited, merged = add_irregularities(person, visited, cutoff, rng)
        custody += custody_of(person, end_day, rng)
        found = add_mistakes(person, visited, merged, people, cutoff, choices, rates)
        people.append(person)
        visits += found.visits
        mergers += found.mergers
        deaths += found.deaths
        shown |= found.shown
        newborns += found.newborns
    for child, own in newborns:
        known, own = born(child, own, len(people))
        people.append(msgspec.structs.replace(known, cin=""))
        shown |= {(known.index, visit.sender): known for visit in own}
        visits += own
    return World(tuple(people), tuple(visits), tuple(custody), tuple(mergers), end, tuple(deaths), shown)


def messages_of(world: World, seed: int, first_day: int, quiet: bool = False) -> list[Message]:
    """The messages of all senders about it, in order of receipt."""
    rng = Random(f"{seed}:post")
    delivery = Delivery(sorted(DIALECTS), at(first_day, 0), world.end, rng, quiet)
    writers = {sender: MessageWriter(dialect) for sender, dialect in DIALECTS.items()}
    entries: list[tuple[int, str, _About, TriggerEvent | None]] = []
    for visit in world.visits:
        choices = Random(f"{seed}:{visit.sender}:{visit.visit}")
        events = trigger_events(visit, DIALECTS[visit.sender], world.end - LAST_ENTRY, choices)
        repeated = visit.sender in REPEATED and world.people[visit.person].exchanged and not visit.nobodys
        for before, event in zip([None, *events], events, strict=False):
            entries.append((event.recorded, visit.sender, visit, event))
            if repeated and (_states_more(before, event) or choices.random() < 0.3):
                entries.append((event.recorded, EXCHANGE.sender, visit, event))
    entries += [(merger.at, merger.sender, merger, None) for merger in world.mergers]
    entries += [(death.at, death.sender, death, None) for death in world.deaths]
    entries += _updates(world, seed)
    entries.sort(key=lambda entry: (entry[0], entry[1]))
    for recorded, sender, about, stated in entries:
        writer = writers[sender]
        built = recorded if not writer.dialect.evn else recorded + 1_000 * (1 + recorded // 1000 % 9)
        delivery.send(writer.dialect, built, _message(world, writer, recorded, about, stated))
    return delivery.arrivals()


def _message(
    world: World, writer: MessageWriter, recorded: int, about: _About, stated: TriggerEvent | None
) -> Callable[[int, str], str]:
    """What writes the message of an entry, given MSH-7 and MSH-10."""
    sender = writer.dialect.sender
    if isinstance(about, Person):
        person = world.as_written(about.index, sender)
        return partial(writer.update, person, about.number(sender), "A31", recorded)
    person = world.as_written(about.person, sender)
    if isinstance(about, Visit):
        assert stated is not None
        number = person.number(sender) if writer.dialect.exchange else about.number
        if about.registered is not None and not writer.dialect.exchange:
            person = world.as_written(about.registered, sender)
        return partial(writer.visit, person, number, stated, writer.fields(about))
    if isinstance(about, Death):
        if about.visit is None:
            return partial(writer.update, person, person.number(sender), "A31", recorded, death=about)
        told = update_of(about.visit, recorded)
        return partial(writer.visit, person, about.visit.number, told, writer.fields(about.visit), death=about)
    if about.trigger in ("A24", "A37"):
        other = about.person if about.other is None else about.other
        return partial(writer.pair, person, world.as_written(other, sender), about)
    return partial(writer.merger, person, about)


def _states_more(before: TriggerEvent | None, event: TriggerEvent) -> bool:
    """Whether an event states more than the one before. The exchange drops most updates that do not."""
    return (
        before is None
        or event.trigger != "A08"
        or bool(event.diagnoses or event.disposition)
        or (before.kind, before.begun) != (event.kind, event.begun)
    )


def _updates(world: World, seed: int) -> Iterator[tuple[int, str, Person, None]]:
    """A31: updates of persons around their visits."""
    rng = Random(f"{seed}:updates")
    for visit in world.visits:
        if rng.random() < 0.2:
            person = world.people[visit.person]
            moment = OFFSETS.unrepeated(visit.arrived + int(rng.uniform(-3, 8) * DAY))
            if moment < world.end - LAST_ENTRY and visit.number == person.number(visit.sender):
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
