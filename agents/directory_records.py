"""Records of the directory's topics: read once each, the keys of the store that they need, the links that follow."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agents.directory import Directory, Listed, identifier_key, member_key, patients_key, resolution_key
from agents.links import link_record
from agents.runtime.contract import Emit, Record, received_of
from agents.runtime.rows import row_key
from agents.topics import IDENTITY_FACTS, ROSTER, UNATTRIBUTED
from domain.errors import UNDECODABLE, Refusal
from domain.patient.demographics import GUARD_KEY, demographic_keys, hash_birth, hash_name, plain
from domain.patient.facts import PatientFacts
from domain.rules.vocabulary import OPEN, Vocabulary
from parsers.records.facts import decode_facts
from parsers.records.links import ANSWERED, Link
from parsers.records.roster import read_roster
from parsers.records.roster_documents import RosterDocument
from parsers.records.unattributed import OPEN_QUESTIONS


class Waiting(msgspec.Struct, frozen=True):
    """The fields of a record of `adt.unattributed.v1` that the directory uses."""

    patient: str
    identifiers: tuple[str, ...] = ()
    reason: str = ""


class Entry(msgspec.Struct, frozen=True):
    """A record, read. `received` is ms UTC. By its topic one of the last three is set, or none for a tombstone."""

    topic: str
    key: str
    received: int
    listed: Listed | None = None
    waiting: Waiting | None = None
    facts: PatientFacts | None = None


_decode_waiting = msgspec.json.Decoder(Waiting).decode


def read_entry(record: Record, key: bytes, words: Vocabulary = OPEN) -> Entry:
    """A record of the roster, of unattributed patients or of identity facts, read. `key` is the key of hashes, `words`
    those that a roster row may use. Raises Refusal when it cannot be read.
    """
    name, received = row_key(record), received_of(record)
    if not record.value:
        return Entry(record.topic, name, received)
    if record.topic == ROSTER:
        return Entry(record.topic, name, received, listed=listed_in(read_roster(record.value, words), name, key))
    if record.topic == UNATTRIBUTED:
        return Entry(record.topic, name, received, waiting=_waiting(record.value))
    if record.topic == IDENTITY_FACTS:
        facts = decode_facts(record.value)
        if facts.patient != name:
            raise Refusal("key-mismatch", "patient")
        return Entry(record.topic, name, received, facts=facts)
    return Entry(record.topic, name, received)


def listed_in(row: RosterDocument, member: str, key: bytes) -> Listed:
    """What a roster row lists: its numbers, the guard of its own CIN, and the demographic keys of its person."""
    given, family = _names_of(row)
    demographics = demographic_keys(key, family, given, row.birth_date, row.sex, row.zip, row.phone)
    guard = (hash_birth(key, row.birth_date), hash_name(key, family, given), plain(row.sex)[:1])
    return Listed((*row.keys, GUARD_KEY + member, *demographics), guard)


def _names_of(row: RosterDocument) -> tuple[str, str]:
    """(given, family) of a roster's `name`: "FAMILY, GIVEN", "FAMILY^GIVEN" or "GIVEN FAMILY"."""
    name = (row.name or "").replace("^", ",")
    family, comma, given = name.partition(",")
    if comma:
        return given.strip().split(" ")[0].split(",")[0], family
    words = name.split()
    return (words[0], words[-1]) if len(words) > 1 else ("", name)


def keys_of(entry: Entry) -> list[str]:
    """The keys of the store that `take` reads for an entry, so that a chunk fetches them together."""
    if entry.topic == ROSTER:
        listed = () if entry.listed is None else entry.listed.identifiers
        return [member_key(entry.key), *_keys_of_identifiers(listed)]
    if entry.waiting is not None:
        return _keys_of_identifiers((entry.waiting.patient, *entry.waiting.identifiers))
    if entry.facts is not None:
        return [resolution_key(entry.key, entry.key), *_keys_of_identifiers(entry.facts.asks)]
    return []


def take(directory: Directory, entry: Entry) -> list[Emit]:
    """Take an entry; the links that follow.

    What identity facts lead to is emitted by `Directory.resolve_groups`, once for a batch.
    """
    links: list[Link] = []
    if entry.topic == ROSTER:
        links = directory.roster(entry.key, Listed() if entry.listed is None else entry.listed, entry.received)
    elif entry.waiting is not None:
        links = directory.waiting(entry.waiting.patient, entry.waiting.identifiers, entry.received)
        if entry.waiting.reason in OPEN_QUESTIONS:
            links.append(Link(ANSWERED, entry.waiting.patient, entry.received))
    elif entry.topic == UNATTRIBUTED:
        directory.attributed(entry.key)
    elif entry.facts is not None:
        links = directory.asked(entry.key, entry.facts.asks, entry.received)
        if not entry.facts.only_asks:
            directory.groups.update(msgspec.structs.replace(entry.facts, asks={}))
            links += directory.announce_followed(entry.key, entry.received)
    return [link_record(link) for link in links]


def resolved(directory: Directory, received: int) -> list[Emit]:
    """The links that the facts taken since the last call lead to; `received` is ms UTC."""
    return [link_record(link) for link in directory.resolve_groups(received)]


def _keys_of_identifiers(identifiers: Iterable[str]) -> list[str]:
    return [name for each in identifiers for name in (identifier_key(each), patients_key(each))]


def _waiting(value: bytes) -> Waiting:
    try:
        return _decode_waiting(value)
    except UNDECODABLE as error:
        raise Refusal("bad-unattributed") from error
