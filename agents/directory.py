"""The member directory: the member of each identifier on the roster, unattributed patients, and the members of groups.

Pure: it works on a store of texts (`TextStore`), which is a dictionary in a replay and Redis in `streams.directory`.

An identifier belongs to the member whose row came to list it last: a row that newly lists it takes it over, a row that
lists it again does not. Keyed hashes of demographics are identifiers too; one that several members have has no
owner. When the owner changes, every source patient that is known to carry the identifier gets a link
(`identity.links.v1`); each link has a greater `rev` than the one before, so the order in which they are read does not
matter, nor does a repeat.

Groups (`domain.patient.groups`) are kept in memory, from the facts that rows publish; the store remembers only which
resolution was sent last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import msgspec

from domain.patient.demographics import (
    DEMOGRAPHICS_KEY,
    GUARD_KEY,
)
from domain.patient.facts import Resolution
from domain.patient.groups import Groups
from domain.patient.row import Guard, OwnerAnnouncement
from parsers.records.links import Link

METHOD: Final = "roster-identifier"
_UNIT: Final = "\x1f"
_RECORD: Final = "\x1e"


class TextStore(Protocol):
    """Texts by key. `get` gives None for a missing key; putting None removes it."""

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
    """The claims on one identifier. `since`: member -> revision of the row that listed it first; the last link about it
    (`rev`); the owner's hashes."""

    rev: int = 0
    owner: str | None = None
    since: dict[str, int] = {}
    guard: tuple[str, str, str] = ("", "", "")
    """Hashes of the owner's birth date and name, and the sex."""


class Listed(msgspec.Struct, frozen=True):
    """What the directory keeps of a roster row: the identifiers that it lists, and hashes that guard them."""

    identifiers: tuple[str, ...] = ()
    guard: tuple[str, str, str] = ("", "", "")


def member_key(member: str) -> str:
    """The key of the last roster row of a member."""
    return f"member:{member}"


def identifier_key(identifier: str) -> str:
    """The key of the claims on an identifier."""
    return f"id:{identifier}"


def patients_key(identifier: str) -> str:
    """The key of the source patients that depend on the owner of an identifier."""
    return f"patients:{identifier}"


def waiting_key(patient: str) -> str:
    """The key of an unattributed source patient."""
    return f"waiting:{patient}"


def resolution_key(patient: str, of: str) -> str:
    """The key of the resolution of `of` that was sent to the row of `patient` last."""
    return f"resolved:{patient}{_UNIT}{of}"


def answer_in(text: str | None) -> str | None:
    """The answer in the claims on an identifier: member, revision, hashes of birth date and name, sex, by unit
    separators; None without an owner.
    """
    if text is None or text.startswith(_UNIT):
        return None
    return text.partition(_RECORD)[0]


class Directory:
    """The rules, over a store. `key` is the key of hashes."""

    def __init__(self, store: TextStore, key: bytes, groups: Groups | None = None) -> None:
        self.store, self.key = store, key
        self.groups = Groups() if groups is None else groups

    def answer(self, question: str) -> str | None:
        """The owner of an identifier, in the form of `answer_in`; None without an owner."""
        return answer_in(self.store.get(identifier_key(question)))

    def roster(self, member: str, listed: Listed, rev: int) -> list[Link]:
        """Take a member's roster row (an empty one: it is gone) of the time `rev` (ms UTC). An older row changes
        nothing.
        """
        known_rev, known = self._row(member)
        identifiers = tuple(dict.fromkeys(listed.identifiers))
        if rev < known_rev or (rev == known_rev and Listed(identifiers, listed.guard) == known):
            return []
        self.store.put(member_key(member), _UNIT.join((str(rev), *listed.guard, *identifiers)))
        links: list[Link] = []
        for identifier in dict.fromkeys((*identifiers, *known.identifiers)):
            before = self._claims(identifier)
            since = dict(before.since)
            if identifier in identifiers:
                since.setdefault(member, rev)
            else:
                since.pop(member, None)
            changed = listed.guard != known.guard and before.owner == member
            if since != before.since or not before.rev or changed:
                links += self._resolve(identifier, before, since, rev, member, listed.guard)
        return links

    def waiting(self, patient: str, identifiers: Iterable[str], received: int) -> list[Link]:
        """Take an unattributed source patient; the links to it if an identifier has an owner.

        `received` is ms UTC.
        """
        listed = tuple(each for each in dict.fromkeys((patient, *identifiers)) if each.isprintable())
        if patient not in listed:
            return []  # a control character: not on any roster, and not storable in a list
        self.store.put(waiting_key(patient), _UNIT.join(listed))
        links = []
        for identifier in listed:
            self._listen(patient, identifier)
            claims = self._claims(identifier)
            if claims.owner is not None:
                links.append(_link(patient, identifier, claims, received))
        return links

    def asked(self, patient: str, asks: Mapping[str, int], received: int) -> list[Link]:
        """Take the identifiers on whose owners an attributed source patient depends, with the revision that its row had
        of each (0: none); a link for each of which the directory has a later one.

        From then on it gets a link whenever the owner, or the owner's hashes, change. `received` is ms UTC.
        """
        links = []
        for identifier, rev in asks.items():
            self._listen(patient, identifier)
            claims = self._claims(identifier)
            if claims.rev > rev and (claims.owner is not None or rev):
                links.append(_link(patient, identifier, claims, received))
        return links

    def attributed(self, patient: str) -> None:
        """Take a source patient that is attributed now. It still gets links when its identifiers change owners."""
        self.store.put(waiting_key(patient), None)

    def resolve_groups(self, received: int) -> list[Link]:
        """Resolve the groups that facts have changed, and link the rows whose resolution is another than was sent last.

        Each row gets one link at most for itself and one for each patient that visits of it were moved to, however many
        facts changed: so the exchange ends for every graph of merges.
        """
        links: list[Link] = []
        for of, resolution in self.groups.resolve_changed():
            for patient in dict.fromkeys((of, *self.groups.followers(of))):
                links += self._announce(patient, of, resolution, received)
        return links

    def announce_followed(self, patient: str, received: int) -> list[Link]:
        """Link a row that newly follows other patients with what is known of them."""
        links: list[Link] = []
        for of in self.groups.follows(patient):
            resolution = self.groups.resolution(of)
            if resolution is not None:
                links += self._announce(patient, of, resolution, received)
        return links

    def _announce(self, patient: str, of: str, resolution: Resolution, received: int) -> list[Link]:
        key = resolution_key(patient, of)
        content = _UNIT.join(
            (resolution.member or "", resolution.method, resolution.via, resolution.root, str(int(resolution.conflict)))
        )
        rev_text, _, before = (self.store.get(key) or "").partition(_RECORD)
        if before == content:
            return []
        rev = max(received, int(rev_text or 0) + 1)
        self.store.put(key, f"{rev}{_RECORD}{content}")
        owner = OwnerAnnouncement(
            rev, resolution.member, resolution.method, resolution.via, resolution.conflict, resolution.root
        )
        return [Link("owner", patient, received, survivor=of, owner=owner)]

    def _resolve(
        self, identifier: str, before: Claims, since: dict[str, int], rev: int, member: str, guard: tuple[str, str, str]
    ) -> list[Link]:
        owner = max(since, key=lambda each: (since[each], each)) if since else None
        if identifier.startswith(DEMOGRAPHICS_KEY) and len(since) > 1:
            owner = None  # two people with one name and birth date: no guess
        hashes = guard if owner == member else before.guard if owner == before.owner else self._guard_of(owner)
        changed = owner != before.owner or hashes != before.guard
        after = Claims(max(rev, before.rev + 1) if changed else max(before.rev, 1), owner, since, hashes)
        self.store.put(identifier_key(identifier), _claims_text(after))
        if not changed:
            return []
        patients = self._patients(identifier)
        if before.rev and identifier not in patients and "|" in identifier and not identifier.startswith(GUARD_KEY):
            # It had an owner before, so the patient with this key may have been attributed without being unattributed
            # first.
            patients = (*patients, identifier)
        return [_link(patient, identifier, after, rev) for patient in patients]

    def _guard_of(self, member: str | None) -> tuple[str, str, str]:
        return ("", "", "") if member is None else self._row(member)[1].guard

    def _row(self, member: str) -> tuple[int, Listed]:
        text = self.store.get(member_key(member))
        if text is None:
            return -1, Listed()
        rev, birth, name, sex, *identifiers = text.split(_UNIT)
        return int(rev), Listed(tuple(identifiers), (birth, name, sex))

    def _listen(self, patient: str, identifier: str) -> None:
        patients = self._patients(identifier)
        if patient not in patients:
            self.store.put(patients_key(identifier), _UNIT.join((*patients, patient)))

    def _patients(self, identifier: str) -> tuple[str, ...]:
        text = self.store.get(patients_key(identifier))
        return tuple(text.split(_UNIT)) if text else ()

    def _claims(self, identifier: str) -> Claims:
        text = self.store.get(identifier_key(identifier))
        if text is None:
            return Claims()
        head, *claims = text.split(_RECORD)
        owner, rev, birth, name, sex = head.split(_UNIT)
        since = {member: int(at) for member, _, at in (claim.partition(_UNIT) for claim in claims)}
        return Claims(int(rev), owner or None, since, (birth, name, sex))


def _claims_text(claims: Claims) -> str:
    head = _UNIT.join((claims.owner or "", str(claims.rev), *claims.guard))
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
        guard=Guard(claims.rev, *claims.guard),
    )
