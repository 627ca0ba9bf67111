"""The program's rules as values: what `rules/` declares, once it has been read.

Rules are data (docs/semantics.md#rules-are-data). A rule set is compared, hashed and carried as a whole; `check` lists
everything that is wrong with one. Days are ordinals (`date.toordinal`), `None` means open; both ends of a validity are
included.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from domain.rules.vocabulary import OPEN, Vocabulary
from domain.times import iso_day

ANY_COUNTY: Final = "*"
ADULT: Final = "adult"
YOUTH: Final = "youth"


class Code(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One prefix of a value set: it holds every code that begins with it (dots removed, upper case)."""

    prefix: str
    system: str
    display: str
    start: int | None = None
    end: int | None = None


class ValueSet(msgspec.Struct, frozen=True, gc=False):
    """A named set of diagnosis codes."""

    name: str
    codes: tuple[Code, ...]


class Threshold(msgspec.Struct, frozen=True, gc=False):
    """One way to meet a criterion of counts: at least so many of `of`; `near` is the watch-list tier (0: none)."""

    of: str
    at_least: int
    near: int = 0


class Criterion(msgspec.Struct, frozen=True, gc=False):
    """One version of one population's rule.

    `kind` "count": any of `thresholds` within `months`. `kind` "release": a release from custody within `months`, at
    one of `facility_types` (empty: any), with a diagnosis of one of `conditions` (empty: none needed). `age` is "adult"
    (21 or older) or "youth"; with one of `foster_aid_codes` a youth rule reaches to the 26th birthday from the 18th on.
    """

    id: str
    population: str
    name: str
    kind: str
    age: str
    months: int
    version: str
    major: int
    valid_from: int
    valid_to: int | None
    source: str
    thresholds: tuple[Threshold, ...] = ()
    conditions: tuple[str, ...] = ()
    facility_types: tuple[str, ...] = ()
    foster_aid_codes: tuple[str, ...] = ()

    @property
    def required(self) -> dict[str, int]:
        """The numbers that documents give as required."""
        return {each.of: each.at_least for each in self.thresholds} if self.kind == "count" else {"release": 1}


class GoLive(msgspec.Struct, frozen=True, gc=False):
    """From which day a population is served in a county (`*`: every county that has no line of its own)."""

    county: str
    population: str
    day: int
    source: str


class Exclusion(msgspec.Struct, frozen=True, gc=False):
    """A program that excludes ECM. `kind`: exclusionary (must not have both) or duplicative (a choice)."""

    id: str
    name: str
    kind: str
    source: str
    valid_from: int | None = None
    valid_to: int | None = None
    disposition_group: str = ""
    """A discharge to this disposition group makes the program suspected."""


class Route(msgspec.Struct, frozen=True, gc=False):
    """How a plan takes a referral. `trigger`: hospital, custody or any; `delegate`: only for its members."""

    plan: str
    channel: str
    note: str
    source: str
    trigger: str = "any"
    delegate: str = ""


class Support(msgspec.Struct, frozen=True, gc=False):
    """A hint at a community support: given when the populations, the conditions and the event fit (empty: any)."""

    id: str
    why: str
    source: str
    populations: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    after: str = ""
    """discharge, release, or "" for either."""


class CountingSettings(msgspec.Struct, frozen=True, gc=False):
    """The measures of counting (docs/semantics.md#counting), each of which a county may set."""

    stitch_minutes: int = 120
    chain_gap_days: int = 30
    rest_days: int = 90
    transfer_hours: int = 6
    """A stay that begins within so many hours of another's departure continues it, whatever was said."""
    transfer_days: int = 1
    """So does one that the patient was sent to, so many calendar days later at most."""
    ed_link_days: int = 1
    """An ED visit that sent the patient elsewhere becomes a stay that begins so many calendar days later at most."""
    ed_stay_hours: int = 24
    ed_open_hours: int = 48
    ed_home_hours: int = 2
    """At the same facility: hours after an ED departure, after an ED arrival without departure, and after one to home,
    within which a stay is that visit's."""
    nf_gap_days: int = 1
    nf_bed_hold_days: int = 7
    """Calendar days between nursing-facility stays of one episode: at another facility, at the same one."""
    custody_join_hours: int = 72
    """Records of one booking or release by several sources lie no further apart."""
    readmission_days: int = 30
    snf_short_days: int = 90
    nf_long_stay_days: int = 60
    outside_days: int = 31
    decision_working_days: int = 5
    followup_days: int = 7
    alert_hours: int = 24
    stay_mode: str = "sum"
    """sum: hospital and SNF stays are added; per_type: each must reach the number alone."""
    count_deliveries: bool = False
    delivery_set: str = "DELIVERY"
    newborn_set: str = "NEWBORN"


class RuleSet(msgspec.Struct, frozen=True, gc=False):
    """All of `rules/`. `hash` is `sha256:` over the files' names and bytes."""

    version: str
    hash: str
    settings: CountingSettings
    value_sets: tuple[ValueSet, ...]
    criteria: tuple[Criterion, ...]
    go_live: tuple[GoLive, ...]
    exclusions: tuple[Exclusion, ...]
    routes: tuple[Route, ...] = ()
    supports: tuple[Support, ...] = ()
    vocabulary: Vocabulary = OPEN


def check(rules: RuleSet) -> list[str]:
    """Everything that is wrong with a rule set as a whole: overlaps, gaps, dangling names, unsourced rules."""
    return [
        *_criteria_faults(rules.criteria),
        *_go_live_faults(rules),
        *_exclusion_faults(rules.exclusions),
        *_dangling(rules),
        *_unsourced(rules),
        *_unspoken(rules),
    ]


def _criteria_faults(criteria: Sequence[Criterion]) -> Iterable[str]:
    versions: dict[str, list[Criterion]] = {}
    for criterion in criteria:
        versions.setdefault(criterion.id, []).append(criterion)
        where = f"criterion {criterion.id} version {criterion.version}"
        if criterion.months < 1:
            yield f"{where}: months must be at least 1"
        if criterion.valid_to is not None and criterion.valid_to < criterion.valid_from:
            yield f"{where}: valid_to is before valid_from"
        if criterion.kind == "count" and not criterion.thresholds:
            yield f"{where}: counts nothing"
        for threshold in criterion.thresholds:
            if threshold.at_least < 1 or not 0 <= threshold.near < threshold.at_least:
                yield f"{where}: near must be below at_least for {threshold.of}"
    for name, group in versions.items():
        group.sort(key=lambda c: c.valid_from)
        if len({(c.population, c.age, c.kind) for c in group}) > 1:
            yield f"criterion {name}: its versions differ in population, age or kind"
        for earlier, later in pairwise(group):
            if earlier.valid_to is None or earlier.valid_to >= later.valid_from:
                yield f"criterion {name}: versions {earlier.version} and {later.version} overlap"
            elif earlier.valid_to + 1 < later.valid_from:
                gap = f"{iso_day(earlier.valid_to + 1)} to {iso_day(later.valid_from - 1)}"
                yield f"criterion {name}: no version is valid from {gap}"


def _go_live_faults(rules: RuleSet) -> Iterable[str]:
    populations = {criterion.population for criterion in rules.criteria}
    served: set[tuple[str, str]] = set()
    for line in rules.go_live:
        if (line.county, line.population) in served:
            yield f"go-live: {line.county}, population {line.population} is listed twice"
        served.add((line.county, line.population))
        if line.population not in populations:
            yield f"go-live: {line.county}, population {line.population} has no criterion"
    for population in sorted(populations - {population for county, population in served if county == ANY_COUNTY}):
        yield f"go-live: population {population} has no line for `{ANY_COUNTY}`"


def _exclusion_faults(exclusions: Sequence[Exclusion]) -> Iterable[str]:
    seen: set[str] = set()
    for exclusion in exclusions:
        if exclusion.id in seen:
            yield f"exclusion {exclusion.id} is listed twice"
        seen.add(exclusion.id)


def _dangling(rules: RuleSet) -> Iterable[str]:
    sets = {value_set.name for value_set in rules.value_sets}
    populations = {criterion.population for criterion in rules.criteria}
    for criterion in rules.criteria:
        for name in criterion.conditions:
            if name not in sets:
                yield f"criterion {criterion.id} version {criterion.version}: no value set {name}"
    for support in rules.supports:
        for name in support.conditions:
            if name not in sets:
                yield f"support {support.id}: no value set {name}"
        for name in support.populations:
            if name not in populations:
                yield f"support {support.id}: no population {name}"
    for name in (rules.settings.delivery_set, rules.settings.newborn_set):
        if name not in sets:
            yield f"practice: no value set {name}"
    for value_set in rules.value_sets:
        if not value_set.codes:
            yield f"value set {value_set.name} is empty"


def _unsourced(rules: RuleSet) -> Iterable[str]:
    named: list[tuple[str, str]] = [(f"criterion {c.id} version {c.version}", c.source) for c in rules.criteria]
    named += [(f"go-live {line.county}, population {line.population}", line.source) for line in rules.go_live]
    named += [(f"exclusion {e.id}", e.source) for e in rules.exclusions]
    named += [(f"route {r.plan} {r.channel}", r.source) for r in rules.routes]
    named += [(f"support {s.id}", s.source) for s in rules.supports]
    return [f"{what}: no source" for what, source in named if not source.strip()]


def _unspoken(rules: RuleSet) -> Iterable[str]:
    """Names in the rules that no roster could state, and words that stand for two things."""
    words = rules.vocabulary
    yield from words.doubled()
    counties = {line.county for line in rules.go_live} - {ANY_COUNTY}
    used = (
        ("go-live: no county", words.counties, counties),
        ("exclusions: no program", words.programs, {exclusion.id for exclusion in rules.exclusions}),
        ("routes: no plan", words.plans, {route.plan for route in rules.routes}),
    )
    for what, known, names in used:
        yield from (f"{what} {name}" for name in sorted(names) if known.find(name) != name)
