"""Reads `senders/*.yaml` into sender profiles."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from domain.errors import BadDeclaration
from parsers.hl7.dialects import ADMISSION_TYPES, CLASSES, DISPOSITIONS, SOURCES
from parsers.hl7.profiles import DEFAULT, Facility, Place, Profiles, SenderProfile, Trust, place_of
from streams.yaml_lines import Document, read_declaration

FacilityType = Literal["hospital", "snf", "icf", "jail", "prison", "youth-facility", "psychiatric", "other", ""]
PatientClass = Literal[
    "emergency", "inpatient", "outpatient", "observation", "preadmit", "recurring", "obstetrics", "newborn", "snf",
    "custody", "commercial", "unknown", "other", "",
]  # fmt: skip


def _text(value: object) -> object:
    """YAML reads 1 as a number and NO as false: a number is meant as its digits, a truth value is a mistake."""
    if isinstance(value, bool):
        raise ValueError("write it in quotes: YAML reads yes, no, on, off, true and false as truth values")
    return str(value) if isinstance(value, int) else value


def _code(value: object) -> object:
    value = _text(value)
    return value.strip().upper() if isinstance(value, str) else value


def _zone(value: object) -> ZoneInfo:
    try:
        return ZoneInfo(str(value))
    except Exception as error:
        raise ValueError(f"no such time zone: {value}") from error


def _codec(value: object) -> str:
    try:
        codecs.lookup(str(value) or "utf-8")
    except LookupError as error:
        raise ValueError(f"no such encoding: {value}") from error
    return str(value)


def _place(value: object) -> Place:
    return place_of(str(value))


def _network(value: object) -> str:
    return str(ip_network(str(value), strict=False))


Text = Annotated[str, BeforeValidator(_text)]
Code = Annotated[str, BeforeValidator(_code)]
WherePlace = Annotated[Any, BeforeValidator(_place)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Numbers(_Section):
    types: list[Code] = Field(min_length=1)
    never: list[Code]


class _MediCal(_Section):
    types: list[Code]
    authorities: list[Code]


class _Class(_Section):
    dialect: Literal["hl7", "nursing-facility", "custody"]
    codes: dict[Code, PatientClass]
    otherwise: PatientClass
    empty: PatientClass


class _Observation(_Section):
    place: WherePlace | None
    codes: list[Code]


class _AdmissionType(_Section):
    dialect: Literal["common", "nubc"]
    codes: dict[Code, Text]


class _Source(_Section):
    dialect: Literal["nubc", "hl7"]
    codes: dict[Code, Text]


class _Facility(_Section):
    id: Text
    type: FacilityType = ""


class _Facilities(_Section):
    places: list[WherePlace] = Field(min_length=1)
    known: dict[Code, _Facility]
    type: FacilityType


class _Homelessness(_Section):
    place: WherePlace | None
    yes_codes: list[Code]
    no_codes: list[Code]
    address_words: list[Code]


class _Acknowledgement(_Section):
    aa_only: bool
    answer_never: bool


class _Framing(_Section):
    fs_alone: bool


class _Pattern(_Section):
    app: Text = "*"
    facility: Text = "*"


class _Trust(_Section):
    messages: list[_Pattern]
    certificates: list[Text]
    addresses: list[Annotated[str, BeforeValidator(_network)]]


class SenderFile(_Section):
    """One file of `senders/`; `senders/default.yaml` explains every key and gives what a file leaves out."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")
    zone: Annotated[Any, BeforeValidator(_zone)]
    encoding: Annotated[str, BeforeValidator(_codec)]
    authority: Text
    authorities: dict[Text, Text]
    medical_record_number: _Numbers
    medi_cal: _MediCal
    class_: _Class = Field(alias="class")
    observation: _Observation
    admission_type: _AdmissionType
    admit_source: _Source
    disposition: _Source
    facility: _Facilities
    homelessness: _Homelessness
    a08_creates: bool
    visit_numbers: Literal["unique", "reused", "account"]
    offsets: Literal["trust", "ignore"]
    acknowledgement: _Acknowledgement
    framing: _Framing
    trust: _Trust

    def profile(self) -> SenderProfile:
        """What the parsers take."""
        return SenderProfile(
            name=self.name,
            zone=self.zone,
            encoding=self.encoding,
            authority=self.authority,
            authorities=self.authorities,
            mrn_types=tuple(self.medical_record_number.types),
            never_types=frozenset(self.medical_record_number.never),
            cin_types=frozenset(self.medi_cal.types),
            cin_authorities=frozenset(self.medi_cal.authorities),
            classes={**CLASSES[self.class_.dialect], **self.class_.codes},
            class_otherwise=self.class_.otherwise,
            class_empty=self.class_.empty,
            observation_place=self.observation.place,
            observation_codes=frozenset(self.observation.codes),
            admission_types={**ADMISSION_TYPES[self.admission_type.dialect], **self.admission_type.codes},
            sources={**SOURCES[self.admit_source.dialect], **self.admit_source.codes},
            dispositions={**DISPOSITIONS[self.disposition.dialect], **self.disposition.codes},
            facility_places=tuple(self.facility.places),
            facilities={code: Facility(each.id, each.type) for code, each in self.facility.known.items()},
            facility_type=self.facility.type,
            homeless_place=self.homelessness.place,
            homeless_yes=frozenset(self.homelessness.yes_codes),
            homeless_no=frozenset(self.homelessness.no_codes),
            homeless_addresses=tuple(self.homelessness.address_words),
            a8_creates=self.a08_creates,
            visit_numbers=self.visit_numbers,
            offsets=self.offsets,
            aa_only=self.acknowledgement.aa_only,
            answer_never=self.acknowledgement.answer_never,
            ends_alone=self.framing.fs_alone,
            trusts=tuple(Trust(each.app, each.facility) for each in self.trust.messages),
            certificates=frozenset(name.lower() for name in self.trust.certificates),
            addresses=tuple(self.trust.addresses),
        )


def load_senders(folder: Path, refuse_unknown: bool = False) -> Profiles:
    """The profiles of every `*.yaml` in `folder`; what a file leaves out comes from its `default.yaml`.

    Raises BadDeclaration with every fault of every file: YAML that cannot be read, unknown keys, zones, encodings,
    places and dialects, two profiles of one name, two with the same trust.
    """
    faults: list[str] = []
    read = _documents(folder, faults)
    default = read.get("default.yaml")
    if not (folder / "default.yaml").is_file():
        faults.append(f"{folder.name}/default.yaml: missing; it gives what the other files leave out")
    if default is None:
        raise BadDeclaration(tuple(faults))
    profiles: list[SenderProfile] = []
    for name, document in read.items():
        whole = _over(default.data, {"name": Path(name).stem, **document.data})
        try:
            profiles.append(document.into(SenderFile, whole).profile())
        except BadDeclaration as bad:
            faults += bad.faults
    faults += _clashes(profiles)
    if DEFAULT not in {profile.name for profile in profiles} and not faults:
        faults.append(f"{folder.name}/default.yaml: must be named {DEFAULT}")
    if faults:
        raise BadDeclaration(tuple(faults))
    return Profiles(profiles, refuse_unknown)


def declared(folder: Path, name: str) -> dict[str, Any]:
    """What the file of profile `name` declares itself, without the values of `default.yaml`; {} when there is none.

    Raises BadDeclaration when a file of `folder` cannot be read.
    """
    faults: list[str] = []
    for file, document in _documents(folder, faults).items():
        if document.data.get("name", Path(file).stem) == name:
            found: dict[str, Any] = document.data
            return found
    if faults:
        raise BadDeclaration(tuple(faults))
    return {}


def _documents(folder: Path, faults: list[str]) -> dict[str, Document]:
    """The documents of a folder by file name; an empty file declares nothing."""
    found: dict[str, Document] = {}
    for path in sorted(folder.glob("*.yaml")):
        title = f"{path.parent.name}/{path.name}"
        try:
            document = read_declaration(path, title)
        except BadDeclaration as bad:
            faults += bad.faults
            continue
        if document.data is None:
            document = document._replace(data={})
        if isinstance(document.data, dict):
            found[path.name] = document
        else:
            faults.append(document.fault((), "not a mapping of keys to values"))
    return found


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `lower`, section by section; a list or a value replaces the one below it."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        merged[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _clashes(profiles: list[SenderProfile]) -> list[str]:
    faults: list[str] = []
    names: set[str] = set()
    claimed: dict[tuple[str, str], SenderProfile] = {}
    for profile in profiles:
        if profile.name in names:
            faults.append(f"two profiles are named {profile.name}")
        names.add(profile.name)
        for trust in profile.trusts:
            other = claimed.setdefault((trust.app.upper(), trust.facility.upper()), profile)
            alike = (other.certificates, other.addresses) == (profile.certificates, profile.addresses)
            if other.name != profile.name and alike:
                faults.append(f"{other.name} and {profile.name} both claim app {trust.app}, facility {trust.facility}")
    return faults
