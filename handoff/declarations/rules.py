"""`rules/` read into a `RuleSet`: YAML and CSV in, one value out, or everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import BadDeclaration
from domain.rules.ruleset import (
    Code,
    CountingSettings,
    Criterion,
    Exclusion,
    GoLive,
    Route,
    RuleSet,
    Support,
    Threshold,
    ValueSet,
    check,
)
from handoff.declarations.tables import csv_rows
from handoff.declarations.words import COUNTIES, WORDS, vocabulary_in
from streams.yaml_lines import parse_declaration

_YAML: Final = ("criteria.yaml", "exclusions.yaml", "routes.yaml", "supports.yaml", WORDS)
_CSV: Final = ("go_live.csv", COUNTIES)
_CODE_COLUMNS: Final = ("code", "system", "display", "from", "to")
_GO_LIVE_COLUMNS: Final = ("county", "population", "date", "source")
_M = TypeVar("_M", bound=BaseModel)
_Text = Annotated[str, Field(min_length=1)]
_Positive = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Limb(_Strict):
    of: Literal["ed", "inpatient", "snf", "inpatient_or_snf"]
    at_least: _Positive
    near: Annotated[int, Field(ge=0)] = 0


class _Version(_Strict):
    version: _Text
    major: _Positive
    valid_from: date
    valid_to: date | None = None
    months: _Positive
    limbs: tuple[_Limb, ...] = ()
    conditions: tuple[str, ...] = ()
    facility_types: tuple[Literal["jail", "prison", "youth-facility"], ...] = ()
    foster_aid_codes: tuple[str, ...] = ()
    source: str = ""


class _Criterion(_Strict):
    id: _Text
    population: _Text
    name: _Text
    kind: Literal["count", "release"]
    age: Literal["adult", "youth"]
    versions: Annotated[tuple[_Version, ...], Field(min_length=1)]


class _Practice(_Strict):
    stitch_minutes: Annotated[int, Field(ge=0)] = 120
    chain_gap_days: Annotated[int, Field(ge=0)] = 30
    rest_days: Annotated[int, Field(ge=0)] = 90
    transfer_hours: Annotated[int, Field(ge=0)] = 6
    transfer_days: Annotated[int, Field(ge=0)] = 1
    ed_link_days: Annotated[int, Field(ge=0, le=3)] = 1
    ed_stay_hours: Annotated[int, Field(ge=0, le=72)] = 24
    ed_open_hours: Annotated[int, Field(ge=0, le=72)] = 48
    ed_home_hours: Annotated[int, Field(ge=0, le=72)] = 2
    nf_gap_days: Annotated[int, Field(ge=0)] = 1
    nf_bed_hold_days: Annotated[int, Field(ge=0)] = 7
    custody_join_hours: Annotated[int, Field(ge=0)] = 72
    readmission_days: _Positive = 30
    snf_short_days: _Positive = 90
    nf_long_stay_days: _Positive = 60
    outside_days: Annotated[int, Field(ge=0)] = 31
    decision_working_days: _Positive = 5
    followup_days: _Positive = 7
    alert_hours: _Positive = 24
    stay_mode: Literal["sum", "per_type"] = "sum"
    count_deliveries: bool = False
    delivery_set: _Text = "DELIVERY"
    newborn_set: _Text = "NEWBORN"


class _CriteriaFile(_Strict):
    version: _Text
    practice: _Practice = _Practice()
    criteria: tuple[_Criterion, ...]


class _Exclusion(_Strict):
    id: _Text
    name: _Text
    kind: Literal["exclusionary", "duplicative"]
    source: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    disposition_group: str = ""


class _ExclusionsFile(_Strict):
    exclusions: tuple[_Exclusion, ...]


class _Route(_Strict):
    plan: _Text
    channel: _Text
    note: _Text
    source: str = ""
    trigger: Literal["any", "hospital", "custody"] = "any"
    delegate: str = ""


class _RoutesFile(_Strict):
    routes: tuple[_Route, ...] = ()


class _Support(_Strict):
    id: _Text
    why: _Text
    source: str = ""
    populations: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    after: Literal["", "discharge", "release"] = ""


class _SupportsFile(_Strict):
    supports: tuple[_Support, ...] = ()


def load_rules(directory: Path) -> RuleSet:
    """The rule set that `directory` declares. Raises BadDeclaration with every fault of every file."""
    faults: list[str] = []
    files = _read_files(directory, faults)
    criteria = _model(_CriteriaFile, files, "criteria.yaml", faults)
    exclusions = _model(_ExclusionsFile, files, "exclusions.yaml", faults)
    routes = _model(_RoutesFile, files, "routes.yaml", faults)
    supports = _model(_SupportsFile, files, "supports.yaml", faults)
    vocabulary = vocabulary_in(files, faults)
    go_live = tuple(_go_live(files.get("go_live.csv", b""), faults))
    value_sets = tuple(
        ValueSet(Path(name).stem, tuple(_codes(name, content, faults)))
        for name, content in files.items()
        if name.startswith("value_sets/")
    )
    if criteria is None or exclusions is None or routes is None or supports is None or vocabulary is None:
        raise BadDeclaration(tuple(faults))
    rules = RuleSet(
        version=criteria.version,
        hash=content_hash(files),
        settings=CountingSettings(**criteria.practice.model_dump()),
        value_sets=value_sets,
        criteria=tuple(_versions(criteria.criteria)),
        go_live=go_live,
        exclusions=tuple(
            Exclusion(**{**e.model_dump(), "valid_from": _day(e.valid_from), "valid_to": _day(e.valid_to)})
            for e in exclusions.exclusions
        ),
        routes=tuple(Route(**route.model_dump()) for route in routes.routes),
        supports=tuple(Support(**support.model_dump()) for support in supports.supports),
        vocabulary=vocabulary,
    )
    faults += check(rules)
    if faults:
        raise BadDeclaration(tuple(faults))
    return rules


def content_hash(files: dict[str, bytes]) -> str:
    """`sha256:` over the files in the order of their names; each name and content is preceded by its length."""
    digest = sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return "sha256:" + digest.hexdigest()


def _read_files(directory: Path, faults: list[str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in (*_YAML, *_CSV):
        path = directory / name
        if path.is_file():
            files[name] = path.read_bytes()
        else:
            faults.append(f"{name}: missing")
    for path in sorted((directory / "value_sets").glob("*.csv")):
        files[f"value_sets/{path.name}"] = path.read_bytes()
    return files


def _model(model: type[_M], files: dict[str, bytes], name: str, faults: list[str]) -> _M | None:
    if name not in files:
        return None
    try:
        return parse_declaration(files[name], name).into(model)
    except BadDeclaration as bad:
        faults += bad.faults
    return None


def _versions(criteria: tuple[_Criterion, ...]) -> Iterator[Criterion]:
    for criterion in criteria:
        for version in criterion.versions:
            fields: dict[str, Any] = version.model_dump(exclude={"limbs", "valid_from", "valid_to"})
            yield Criterion(
                id=criterion.id,
                population=criterion.population,
                name=criterion.name,
                kind=criterion.kind,
                age=criterion.age,
                valid_from=version.valid_from.toordinal(),
                valid_to=_day(version.valid_to),
                thresholds=tuple(Threshold(limb.of, limb.at_least, limb.near) for limb in version.limbs),
                **fields,
            )


def _codes(name: str, content: bytes, faults: list[str]) -> Iterator[Code]:
    seen: set[tuple[str, str, str]] = set()
    for place, (code, system, display, start, end) in csv_rows(name, content, _CODE_COLUMNS, faults):
        if not code or not code.isalnum() or code != code.upper():
            faults.append(f"{place}: a code is upper case, without dots")
            continue
        if (code, start, end) in seen:
            faults.append(f"{place}: {code} is listed twice")
        seen.add((code, start, end))
        yield Code(code, system, display, _read_day(start, place, faults), _read_day(end, place, faults))


def _go_live(content: bytes, faults: list[str]) -> Iterator[GoLive]:
    if not content:
        return
    for place, (county, population, start, source) in csv_rows("go_live.csv", content, _GO_LIVE_COLUMNS, faults):
        day = _read_day(start, place, faults)
        if day is None:
            if not start:
                faults.append(f"{place}: no date")
            continue
        yield GoLive(county, population, day, source)


def _read_day(text: str, place: str, faults: list[str]) -> int | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        faults.append(f"{place}: {text} is no date")
        return None


def _day(day: date | None) -> int | None:
    return None if day is None else day.toordinal()
