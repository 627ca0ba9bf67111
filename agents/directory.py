"""The member directory: which member the roster names for an identifier, and who waits to be named.

Pure: it works on a store of texts (`Store`), which is a dictionary in a replay and Redis in `streams.directory`.

An identifier belongs to the member whose row came to hold it last: a row that newly lists it takes it over, a row that
merely says so again does not. When the owner changes, every source patient that is known to carry the identifier is
told (`identity.links.v1`); each statement has a greater `rev` than the one before, so the order in which they are read
does not matter, nor does a repeat.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import msgspec

from agents.links import link_record
from agents.runtime.contract import Emit, Record, received_of
from agents.topics import ROSTER, UNATTRIBUTED
from domain.errors import UNDECODABLE, Refusal
from parsers.records.links import Link
from parsers.records.roster import read_roster

METHOD: Final = "roster-identifier"
_UNIT: Final = "\x1f"
_RECORD: Final = "\x1e"


class TextStore(Protocol):
    """Texts by key. `get` gives None for a key that is not there; putting None removes it."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str | None) -> None: ...


class MemoryTexts:
    """A store in a dictionary."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self.texts.get(key)

    def put(self, key: str, value: str | None) -> None:
        if value is None:
            self.texts.pop(key, None)
        else:
            self.texts[key] = value


class Claims(msgspec.Struct, frozen=True):
    """Who lists one identifier: member -> since which revision; and the last statement made about it (`rev`)."""

    rev: int = 0
    owner: str | None = None
    since: dict[str, int] = {}


class Waiting(msgspec.Struct, frozen=True):
    """A record of `adt.unattributed.v1`: as much of it as the directory needs."""

    patient: str
    identifiers: tuple[str, ...] = ()


_decode_waiting = msgspec.json.Decoder(Waiting).decode


def member_key(member: str) -> str:
    """Where the last roster row of a member stands."""
    return f"member:{member}"


def identifier_key(identifier: str) -> str:
    """Where the claims on an identifier stand."""
    return f"id:{identifier}"


def patients_key(identifier: str) -> str:
    """Where the source patients stand that carry an identifier and once waited."""
    return f"patients:{identifier}"


def waiting_key(patient: str) -> str:
    """Where a source patient stands that waits now."""
    return f"waiting:{patient}"


def answer_in(text: str | None) -> str | None:
    """The answer to "whose is it" in the claims on an identifier: the member, a unit separator, the revision."""
    if text is None or text.startswith(_UNIT):
        return None
    return text.partition(_RECORD)[0]


class Directory:
    """The rules, over a store."""

    def __init__(self, store: TextStore) -> None:
        self.store = store

    def answer(self, question: str) -> str | None:
        """Whose identifier this is: `member`, a unit separator, the revision; None when it is nobody's."""
        return answer_in(self.store.get(identifier_key(question)))

    def roster(self, member: str, identifiers: Iterable[str], rev: int) -> list[Link]:
        """Takes a member's roster row (no identifiers: it is gone) of the time `rev` (ms UTC). An older row is nothing
        new."""
        known_rev, known = self._row(member)
        listed = tuple(dict.fromkeys(identifiers))
        if rev < known_rev or (rev == known_rev and listed == known):
            return []
        self.store.put(member_key(member), _UNIT.join((str(rev), *listed)))
        links: list[Link] = []
        for identifier in dict.fromkeys((*listed, *known)):
            before = self._claims(identifier)
            since = dict(before.since)
            if identifier in listed:
                since.setdefault(member, rev)
            else:
                since.pop(member, None)
            if since != before.since or not before.rev:
                links += self._settle(identifier, before, since, rev)
        return links

    def waiting(self, patient: str, identifiers: Iterable[str], received: int) -> list[Link]:
        """Takes a source patient that is nobody's, and names its member if the directory has one after all.

        `received` is ms UTC.
        """
        listed = tuple(each for each in dict.fromkeys((patient, *identifiers)) if each.isprintable())
        if patient not in listed:
            return []  # no roster can name such a number, and it would not fit into a list
        self.store.put(waiting_key(patient), _UNIT.join(listed))
        links = []
        for identifier in listed:
            patients = self._patients(identifier)
            if patient not in patients:
                self.store.put(patients_key(identifier), _UNIT.join((*patients, patient)))
            claims = self._claims(identifier)
            if claims.owner is not None:
                links.append(_link(patient, identifier, claims, received))
        return links

    def attributed(self, patient: str) -> None:
        """A source patient waits no longer. It goes on being told when one of its identifiers changes hands."""
        self.store.put(waiting_key(patient), None)

    def _settle(self, identifier: str, before: Claims, since: dict[str, int], rev: int) -> list[Link]:
        owner = max(since, key=lambda member: (since[member], member)) if since else None
        changed = owner != before.owner
        after = Claims(max(rev, before.rev + 1) if changed else max(before.rev, 1), owner, since)
        self.store.put(identifier_key(identifier), _claims_text(after))
        if not changed:
            return []
        patients = self._patients(identifier)
        if before.rev and identifier not in patients:
            # It had an owner before, so a patient of this very name may have been given to them without ever waiting.
            patients = (*patients, identifier)
        return [_link(patient, identifier, after, rev) for patient in patients]

    def _row(self, member: str) -> tuple[int, tuple[str, ...]]:
        text = self.store.get(member_key(member))
        if text is None:
            return -1, ()
        rev, *identifiers = text.split(_UNIT)
        return int(rev), tuple(identifiers)

    def _patients(self, identifier: str) -> tuple[str, ...]:
        text = self.store.get(patients_key(identifier))
        return tuple(text.split(_UNIT)) if text else ()

    def _claims(self, identifier: str) -> Claims:
        text = self.store.get(identifier_key(identifier))
        if text is None:
            return Claims()
        head, *claims = text.split(_RECORD)
        owner, _, rev = head.partition(_UNIT)
        since = {member: int(at) for member, _, at in (claim.partition(_UNIT) for claim in claims)}
        return Claims(int(rev), owner or None, since)


def _claims_text(claims: Claims) -> str:
    head = f"{claims.owner or ''}{_UNIT}{claims.rev}"
    return _RECORD.join((head, *(f"{member}{_UNIT}{at}" for member, at in sorted(claims.since.items()))))


def _link(patient: str, identifier: str, claims: Claims, received: int) -> Link:
    return Link(
        kind="release" if claims.owner is None else "waiting-match",
        patient=patient,
        received=received,
        member=claims.owner,
        method=METHOD,
        identifier=identifier,
        rev=claims.rev,
    )


def keys_of(record: Record) -> list[str]:
    """The store's keys that taking a record will most likely need: what to fetch in one go for a whole chunk."""
    try:
        if record.topic == ROSTER:
            keys = [member_key(_text(record.key))]
            if record.value:
                for identifier in read_roster(record.value).keys:
                    keys += [identifier_key(identifier), patients_key(identifier)]
            return keys
        if record.topic == UNATTRIBUTED and record.value:
            waiting = _waiting(record.value)
            listed = (waiting.patient, *waiting.identifiers)
            return [key for each in listed for key in (identifier_key(each), patients_key(each))]
    except Refusal:
        pass
    return []


def take(directory: Directory, record: Record) -> list[Emit]:
    """Takes a record of `members.roster.v1` or `adt.unattributed.v1`; gives the links that follow.

    Raises Refusal when it cannot be read (the directory stays as it was).
    """
    received = received_of(record)
    key = _text(record.key)
    links: list[Link] = []
    if record.topic == ROSTER:
        links = directory.roster(key, read_roster(record.value).keys if record.value else (), received)
    elif record.topic == UNATTRIBUTED:
        if record.value:
            waiting = _waiting(record.value)
            links = directory.waiting(waiting.patient, waiting.identifiers, received)
        else:
            directory.attributed(key)
    return [link_record(link) for link in links]


def _waiting(value: bytes) -> Waiting:
    try:
        return _decode_waiting(value)
    except UNDECODABLE as error:
        raise Refusal("bad-unattributed") from error


def _text(key: bytes | None) -> str:
    if not key:
        raise Refusal("no-key")
    return key.decode("utf-8", "replace")
