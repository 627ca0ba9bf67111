"""A rule set indexed for decisions: the look-ups that every decision of the member stage needs."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.rules.ruleset import ANY_COUNTY, Criterion, Exclusion, RuleSet, Support
from domain.times import DAY, day_start

FOREVER: Final = 253_402_300_799_000
"""An instant after all others (the last second of the year 9999)."""
HOMELESS_SET: Final = "HOMELESS"
_REMEMBERED: Final = 50_000


class Validity(msgspec.Struct, frozen=True, gc=False):
    """A criterion and the half-open period [start, end) in which it is the rule (ms UTC)."""

    criterion: Criterion
    start: int
    end: int


class RuleLine(msgspec.Struct, frozen=True, gc=False):
    """All versions of one population's rule that share a major version: their spans join into the same candidates."""

    population: str
    major: int
    kind: str
    age: str
    versions: tuple[Validity, ...]
    periods: tuple[Validity, ...]
    """The versions, with adjacent ones that ask for the same joined: spans are found per period."""
    version_starts: tuple[int, ...]
    """The instants (ms UTC) at which another version takes over."""
    least: int
    """No span can open with fewer counted visits than this."""
    reach: int
    """No span lasts longer (ms) than this after the last counted visit."""

    @property
    def name(self) -> str:
        """How rows name the line: population and major version."""
        return f"{self.population}/{self.major}"

    def version_at(self, at: int) -> Criterion:
        """The version in force at an instant (ms UTC); the nearest one outside all of them."""
        chosen = self.versions[0]
        for version in self.versions:
            if version.start <= at:
                chosen = version
        return chosen.criterion


class Rulebook:
    """Look-ups in a rule set by code, county, program and day. Pure; its caches only save work."""

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules
        self.settings = rules.settings
        self.stamp = int(rules.hash.removeprefix("sha256:")[:12] or "0", 16)
        """Identifies the rule set in a row: a row that another one judged is due at once."""
        self.set_names = tuple(sorted(value_set.name for value_set in rules.value_sets))
        self._bits = {name: 1 << index for index, name in enumerate(self.set_names)}
        self._prefixes: dict[str, list[tuple[int, int | None, int | None]]] = {}
        for value_set in rules.value_sets:
            for code in value_set.codes:
                entry = (self._bits[value_set.name], code.start, code.end)
                self._prefixes.setdefault(code.prefix, []).append(entry)
        self._lengths = tuple(sorted({len(prefix) for prefix in self._prefixes}))
        self._matches: dict[str, tuple[tuple[int, int | None, int | None], ...]] = {}
        self._undated = all(
            code.start is None and code.end is None for value_set in rules.value_sets for code in value_set.codes
        )
        self._named: dict[int, tuple[str, ...]] = {}
        self._hints: dict[tuple[str, tuple[str, ...], str], tuple[Support, ...]] = {}
        self._shown: dict[tuple[str, ...], int] = {}
        self.lines = _lines(rules)
        self._lines_by_name = {line.name: line for line in self.lines}
        self._go_live = {(line.county, line.population): day_start(line.day) for line in rules.go_live}
        self.exclusions: dict[str, Exclusion] = {exclusion.id: exclusion for exclusion in rules.exclusions}
        self.exclusion_edges = tuple(
            [day_start(e.valid_from) for e in rules.exclusions if e.valid_from is not None]
            + [day_start(e.valid_to + 1) for e in rules.exclusions if e.valid_to is not None]
        )
        """Instants (ms UTC) at which programs begin or cease to exclude ECM."""
        self.hinting = frozenset(e.disposition_group for e in rules.exclusions if e.disposition_group)
        self._clear: dict[int, tuple[tuple[str, str], ...]] = {}
        self.odd_months = tuple(sorted({v.criterion.months for line in self.lines for v in line.versions} - {6, 12}))
        """Look-backs other than those of the utilization counts."""
        self.delivery = self._bits.get(self.settings.delivery_set, 0)
        self.homeless = self._bits.get(HOMELESS_SET, 0)
        """A visit with the homelessness flag has this set's condition, whatever its codes."""
        self.newborn = self._bits.get(self.settings.newborn_set, 0)

    def line_named(self, name: str) -> RuleLine | None:
        """The line of that name, None when the rules no longer have it."""
        return self._lines_by_name.get(name)

    def go_live(self, population: str, county: str) -> int:
        """The instant from which a population is served in a county; FOREVER when it is not."""
        known = self._go_live.get((county, population))
        return known if known is not None else self._go_live.get((ANY_COUNTY, population), FOREVER)

    def clear(self, day: int) -> tuple[tuple[str, str], ...]:
        """The findings on `day` (ordinal) for a member of no program: each program that excludes ECM, and `clear`."""
        known = self._clear.get(day)
        if known is None:
            if len(self._clear) >= _REMEMBERED:
                self._clear.clear()
            known = self._clear[day] = tuple(
                (e.id, "clear")
                for e in self.exclusions.values()
                if (e.valid_from is None or e.valid_from <= day) and (e.valid_to is None or day <= e.valid_to)
            )
        return known

    def conditions(self, diagnoses: tuple[str, ...], day: int) -> int:
        """The value sets that hold one of the codes on `day` (ordinal), as bits of `set_names`."""
        if self._undated:
            known = self._shown.get(diagnoses)
            if known is not None:
                return known
        bits = 0
        for code in diagnoses:
            matches = self._matches.get(code)
            if matches is None:
                matches = self._match(code)
            for bit, start, end in matches:
                if (start is None or start <= day) and (end is None or day <= end):
                    bits |= bit
        if self._undated:
            if len(self._shown) >= _REMEMBERED:
                self._shown.clear()
            self._shown[diagnoses] = bits
        return bits

    def bits_of(self, names: tuple[str, ...]) -> int:
        """The bits of value sets by name."""
        bits = 0
        for name in names:
            bits |= self._bits[name]
        return bits

    def names_of(self, bits: int) -> tuple[str, ...]:
        """The names of value sets by bits, in alphabetical order."""
        names = self._named.get(bits)
        if names is None:
            names = self._named[bits] = tuple(name for name in self.set_names if bits & self._bits[name])
        return names

    def supports(self, population: str, conditions: tuple[str, ...], event: str) -> tuple[Support, ...]:
        """The community supports to hint at after `event` (discharge, release or "")."""
        key = (population, conditions, event)
        hints = self._hints.get(key)
        if hints is None:
            hints = self._hints[key] = tuple(
                support
                for support in self.rules.supports
                if support.after in ("", event)
                and (not support.populations or population in support.populations)
                and (not support.conditions or any(name in conditions for name in support.conditions))
            )
        return hints

    def _match(self, code: str) -> tuple[tuple[int, int | None, int | None], ...]:
        found = [entry for length in self._lengths for entry in self._prefixes.get(code[:length], ())]
        if len(self._matches) >= _REMEMBERED:
            self._matches.clear()
        matches = self._matches[code] = tuple(dict.fromkeys(found))
        return matches


def _lines(rules: RuleSet) -> tuple[RuleLine, ...]:
    grouped: dict[tuple[str, int], list[Criterion]] = {}
    per_type = rules.settings.stay_mode == "per_type"
    for criterion in map(_per_type, rules.criteria) if per_type else rules.criteria:
        grouped.setdefault((criterion.population, criterion.major), []).append(criterion)
    lines = []
    for (population, major), criteria in sorted(grouped.items()):
        criteria.sort(key=lambda c: (c.valid_from, c.id))
        versions = tuple(
            Validity(c, day_start(c.valid_from), FOREVER if c.valid_to is None else day_start(c.valid_to + 1))
            for c in criteria
        )
        lines.append(
            RuleLine(
                population=population,
                major=major,
                kind=criteria[0].kind,
                age=criteria[0].age,
                versions=versions,
                periods=_periods(versions),
                version_starts=tuple(version.start for version in versions[1:]),
                reach=max(c.months for c in criteria) * 32 * DAY,
                least=min((t.near or t.at_least for c in criteria for t in c.thresholds), default=1),
            )
        )
    return tuple(lines)


def _periods(versions: tuple[Validity, ...]) -> tuple[Validity, ...]:
    periods: list[Validity] = []
    for version in versions:
        last = periods[-1] if periods else None
        if (
            last is not None
            and last.end == version.start
            and _span_terms(last.criterion) == _span_terms(version.criterion)
        ):
            periods[-1] = Validity(last.criterion, last.start, version.end)
        else:
            periods.append(version)
    return tuple(periods)


def _span_terms(criterion: Criterion) -> tuple[object, ...]:
    """Everything in a criterion that its spans depend on."""
    return (
        criterion.months,
        criterion.thresholds,
        criterion.conditions,
        criterion.facility_types,
        criterion.foster_aid_codes,
    )


def _per_type(criterion: Criterion) -> Criterion:
    """The criterion with separate thresholds for hospital and SNF stays (`stay_mode: per_type`)."""
    thresholds = []
    for threshold in criterion.thresholds:
        kinds = ("inpatient", "snf") if threshold.of == "inpatient_or_snf" else (threshold.of,)
        thresholds += [msgspec.structs.replace(threshold, of=kind) for kind in kinds]
    return msgspec.structs.replace(criterion, thresholds=tuple(thresholds))
