"""What has to be known about a sending system to read it: its zone, its codes, its facilities, whom to believe.

HL7 leaves all of this open (PV1-2 has no consistent industry-wide definition, says the field itself), so it is data:
`senders/*.yaml`, loaded by `handoff.declarations.senders`. `SenderProfile("default")` equals `senders/default.yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from domain.errors import Refusal
from domain.times import CALIFORNIA
from parsers.hl7.dialects import ADMISSION_TYPES, CLASSES, DISPOSITIONS, SOURCES
from parsers.hl7.refusals import UNKNOWN_SENDER

DEFAULT: Final = "default"
_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]{2})(?:\[([^\]]+)\])?-([1-9][0-9]?)(?:\.([1-9][0-9]?))?", re.ASCII)
_MEMORY: Final = 10_000


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where in a message a value is: segment, field, component.

    `code` picks among repeating OBX-like segments the one whose field 3 begins with it.
    """

    segment: str
    field: int
    component: int = 1
    code: str = ""


def place_of(text: str) -> Place:
    """Reads `PV1-3.4`, `ZPV-5` or `OBX[HOMELESS]-5`. Raises ValueError when it is none of these."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"not a place in a message: {text!r} (PV1-3.4, ZPV-5 and OBX[CODE]-5 are)")
    segment, code, field, component = found.groups()
    return Place(segment, int(field), int(component or 1), code or "")


class Facility(msgspec.Struct, frozen=True, gc=False):
    """What a facility code stands for. `type`: hospital, snf, icf, jail, prison, youth-facility, psychiatric, other."""

    id: str
    type: str = ""


class Trust(msgspec.Struct, frozen=True, gc=False):
    """MSH-3.1 and MSH-4.1 that this sender writes, as shell patterns, upper and lower case alike."""

    app: str = "*"
    facility: str = "*"


class SenderProfile(msgspec.Struct, frozen=True):
    """How one sending system writes ADT. Each field is explained, with its YAML key, in `senders/default.yaml`."""

    name: str
    zone: ZoneInfo = CALIFORNIA
    encoding: str = ""
    """The codec when MSH-18 is empty and the bytes are not ASCII; "" tries UTF-8, then Windows-1252."""
    authority: str = ""
    """Who assigned a number that does not say so. "" takes MSH-4.1, then MSH-3.1, then the profile's name."""
    authorities: dict[str, str] = {}
    """Assigning authority as sent -> as we call it."""
    mrn_types: tuple[str, ...] = ("MR", "MRN", "PI", "PT", "PK", "")
    """PID-3.5 of the medical record number, best first."""
    never_types: frozenset[str] = frozenset({"SS", "SSN", "DL", "PPN", "VN", "AN", "VISIT", "ACCT", "NPI", "PCN"})
    """PID-3.5 that never names the hospital's patient."""
    cin_types: frozenset[str] = frozenset({"MA", "MCD", "MEDICAID", "MEDI-CAL", "CIN"})
    cin_authorities: frozenset[str] = frozenset({"MEDI-CAL", "MEDICAL", "MEDICAID", "CA-MEDICAID", "DHCS"})
    """Upper case: PID-3.5 and PID-3.4 that mark a Medi-Cal number."""
    classes: dict[str, str] = msgspec.field(default_factory=lambda: CLASSES["hl7"])
    class_otherwise: str = "other"
    class_empty: str = ""
    """What an empty PV1-2 means ("" nothing)."""
    observation_place: Place | None = Place("PV1", 18)
    observation_codes: frozenset[str] = frozenset({"OBS", "OBV", "OBSERVATION"})
    """A visit whose `observation_place` holds one of these is an observation, whatever PV1-2 says."""
    admission_types: dict[str, str] = msgspec.field(default_factory=lambda: ADMISSION_TYPES["common"])
    sources: dict[str, str] = msgspec.field(default_factory=lambda: SOURCES["nubc"])
    dispositions: dict[str, str] = msgspec.field(default_factory=lambda: DISPOSITIONS["nubc"])
    facility_places: tuple[Place, ...] = (Place("MSH", 4),)
    """The first of these that holds something names the facility."""
    facilities: dict[str, Facility] = {}
    """Facility code as sent (upper case) -> which facility that is."""
    facility_type: str = ""
    """The type of a facility that is not in `facilities`."""
    homeless_place: Place | None = None
    homeless_yes: frozenset[str] = frozenset({"Y", "YES", "1", "T", "TRUE", "HOMELESS"})
    homeless_no: frozenset[str] = frozenset({"N", "NO", "0", "F", "FALSE"})
    homeless_addresses: tuple[str, ...] = ("HOMELESS", "GENERAL DELIVERY", "TRANSIENT", "ZZZZZ")
    """Words in PID-11 that hint at homelessness."""
    a8_creates: bool = False
    """Whether an A08 for a visit nobody announced counts at once, without another trigger to confirm it. The PV1-45 of
    such a sender's A08 ends a visit that no A03 has ended."""
    offsets: str = "trust"
    """"ignore": offsets in times are dropped and the profile's zone decides, for a sender that writes +0000 and means
    local time."""
    visit_numbers: str = "unique"
    """"unique": one PV1-19 is one visit. "reused", "account": it may name several, which are cut by occurrence."""
    aa_only: bool = False
    """Answer AA, AE and AR even where MSH-15 asks for CA, CE and CR."""
    answer_never: bool = True
    """Answer even where MSH-15 and MSH-16 say NE: many who write that wait for an answer all the same."""
    ends_alone: bool = True
    """Whether FS without CR ends a message, when the next one or a pause follows."""
    trusts: tuple[Trust, ...] = ()
    certificates: frozenset[str] = frozenset()
    """Names in the client certificates of this sender (lower case)."""
    addresses: tuple[str, ...] = ()
    """Addresses or networks (CIDR) that this sender connects from."""


class Profiles:
    """The sender profiles of one deployment, and the choice among them."""

    def __init__(self, profiles: Iterable[SenderProfile] = (), refuse_unknown: bool = False) -> None:
        """A profile named "default" stands for unknown senders; it is added when there is none."""
        self._named = {profile.name: profile for profile in profiles}
        self._named.setdefault(DEFAULT, SenderProfile(DEFAULT))
        self.refuse_unknown = refuse_unknown
        self._remembered: dict[tuple[str, str, str | None], SenderProfile | None] = {}

    def __iter__(self) -> Iterator[SenderProfile]:
        return iter(self._named.values())

    def named(self, name: str) -> SenderProfile:
        """The profile called `name`; the default one when there is none (a profile may have been taken away)."""
        return self._named.get(name) or self._named[DEFAULT]

    def choose(self, msh3: str, msh4: str, peer: str | None = None) -> SenderProfile:
        """The profile of a message from MSH-3.1 `msh3`, MSH-4.1 `msh4`, sent by `peer`.

        `peer` is the name in the client's certificate, else its address; None where there is no connection (files).
        A profile that lists certificates or addresses is for those peers only, and wins for them whatever MSH says.
        Otherwise the most specific patterns win, then the name that sorts first. Raises Refusal `unknown-sender` when
        nothing fits and `refuse_unknown` is set.
        """
        key = (msh3, msh4, peer)
        try:
            chosen = self._remembered[key]
        except KeyError:
            if len(self._remembered) >= _MEMORY:
                self._remembered.clear()
            chosen = self._remembered[key] = self._best(msh3.upper(), msh4.upper(), peer)
        if chosen is not None:
            return chosen
        if self.refuse_unknown:
            raise Refusal(UNKNOWN_SENDER, "MSH-3")
        return self._named[DEFAULT]

    def _best(self, app: str, facility: str, peer: str | None) -> SenderProfile | None:
        ranked: list[tuple[bool, int, str]] = []
        for profile in self._named.values():
            ours = peer is not None and is_peer(profile, peer)
            if peer is not None and not ours and (profile.certificates or profile.addresses):
                continue
            fit = _fit(profile.trusts, app, facility)
            if ours or fit:
                ranked.append((not ours, -fit, profile.name))
        return self._named[min(ranked)[2]] if ranked else None


def is_peer(profile: SenderProfile, peer: str) -> bool:
    """Whether `peer` (a certificate's name or an address) is one that `profile` lists."""
    if peer.lower() in profile.certificates:
        return True
    if not profile.addresses:
        return False
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in profile.addresses)


def _fit(trusts: tuple[Trust, ...], app: str, facility: str) -> int:
    """How specific the best pattern that fits is (its literal characters plus one); 0 when none fits."""
    best = 0
    for trust in trusts:
        wanted = (trust.app.upper(), trust.facility.upper())
        if fnmatchcase(app, wanted[0]) and fnmatchcase(facility, wanted[1]):
            best = max(best, 1 + sum(len(pattern.replace("*", "").replace("?", "")) for pattern in wanted))
    return best
