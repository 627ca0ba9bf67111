"""Each rule of the oracle is exercised by the counties that the stream is compared with.

A rule is broken by replacing a piece of the SQL; some county must then have another answer. The right SQL has the
stream's answers there (test_oracle.py), so the comparison would find a stream that breaks the rule likewise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.oracle.batch import PARTS, Batch
from tests.oracle.test_oracle import COUNTIES, county_of

BROKEN: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "A11 is ignored": (("('A11','A01'), ('A11','A04'), ", ""),),
    "A13 is ignored": (("('A13','A03'), ", ""),),
    "A38 is ignored": ((", ('A38','A05')", ""),),
    "a cancel takes back all, whatever its EVN-6": (("and (not c.named or c.minute = h.moment // 60000)", ""),),
    "A11 in the ED takes back the arrival too": (("c.class = 'emergency' as still_in_ed", "false as still_in_ed"),),
    "a time sent again stands beside the first": (
        ("qualify rank = max(rank) over", "qualify true or rank = max(rank) over"),
    ),
    "A06 renumbers nothing": (("coalesce(t.new, s.visit) as visit", "s.visit as visit"),),
    "PV1-44 of an update is ignored": (
        (
            "case when not e.came then e.inferred_at\n       when",
            "case when not e.came then e.inferred_at\n       when true or",
        ),
    ),
    "PV1-45 of an update is ignored": (("case when f.ended is null", "case when true or f.ended is null"),),
    "the first disposition holds": (
        ("arg_max(if(trigger = 'A13', '', disposition), rank)", "arg_min(if(trigger = 'A13', '', disposition), rank)"),
    ),
    "the class of an update is ignored": (("case when f.class_said <> ''", "case when false"),),
    "a shared number is one visit": (
        ("when trigger_before = 'A03' then true", "when trigger_before = 'A03' then false"),
    ),
    "A45 is ignored": (("(m.unit = 'visit-move' and m.former = p.visit) or ", ""),),
    "A44 is ignored": ((" or (m.unit = 'account-move' and m.former = p.account)", ""),),
    "the first move holds": (("arg_max(m.survivor, m.rank)", "arg_min(m.survivor, m.rank)"),),
    "A37 is ignored": (("u.unit = 'unlink'", "false"),),
    "A40 is ignored": (("where unit = 'patient' group by", "where false group by"),),
    "A24 is ignored": (("where h.unit = 'link' and", "where false and"),),
    "any birth date is accepted": (("coalesce(i.born = r.born_on, true) or", "true or"),),
    "a mistyped birth date is refused": (
        (" or (slip(i.born, r.born_on) and i.name = r.name and i.sex = r.sex) as", " as"),
    ),
    "two swapped digits are refused": (("len(differing(a, b)) = 2", "false"),),
    "a refused number gives way to name and birth date": (
        ("if(coalesce(bool_and(accepted), true), min(d.member), null)", "min(d.member)"),
    ),
    "a newborn is its mother": (
        ("when coalesce(bool_or(child), false) then null", "when coalesce(bool_or(child), false) then min(c.member)"),
    ),
    "a newborn is a conflict": (("case when coalesce(bool_or(child), false) then 'child_of'\n    when", "case when"),),
    "the dead are candidates": (("and c.member not in (select member from dead)", ""),),
    "a death is not taken back": (("arg_max(died, rank) filter (died is not null) as died", "max(died) as died"),),
    "two feeds count twice": (("p.visit = v.visit and is_earlier", "p.visit = v.visit and false"),),
    "an ED visit is never part of a stay": (("s.start >= e.start\n", "s.start >= e.start and false\n"),),
    "an ED visit is no part of a stay elsewhere": (
        ("or (e.departed is not null and (sent_on", "or (false and (sent_on"),
    ),
    "ED visits of one day all count": (("where place = 1;", "where true;"),),
    "a delivery counts": (("where not birth and", "where"),),
    "a planned stay counts": (("in ('3', 'C')", "in ('C')"),),
    "an announced return counts": (("day <= coalesce(planned_until, -1)", "false"),),
    "a transferred stay counts again": (("or (sent_on(before.disposition) and", "or (false and"),),
    "a nursing facility counts each account": (("if(coalesce(continues, false), last_place, null)", "null::bigint"),),
    "a long nursing-facility stay counts": (("e.out - n.day > 90", "e.out - n.day > 900"),),
    "the window is a month longer": (("back(today, months)", "back(today, months + 1)"),),
    "the window is a day shorter": (("day between back(today, months)", "day between 1 + back(today, months)"),),
    "unverified programs exclude": (("and g.verified", ""),),
    "programs do not exclude": (("where g.member = c.member and g.verified", "where false"),),
    "enrollment in ECM does not exclude": (("not (p.ecm = 'enrolled'", "not (false"),),
    "enrollment in the plan does not matter": (
        ("and coalesce(e.begins, -1) <= c.first and c.first <= coalesce(e.ends, 4000000))", ")"),
    ),
    "custody releases need no condition": (
        (
            "greatest(f.day, day_of(s.moment)), back(f.day, -12), f.day, [f.record]\nfrom freed f join shown s",
            "f.day, back(f.day, -12), f.day, [f.record]\nfrom freed f left join shown s",
        ),
        ("where day_of(s.moment) < back(f.day, -12)", ""),
    ),
}
"""What is broken -> (text, replacement), each text once in the SQL."""


class Trial:
    """One county, loaded twice: without anything computed, and up to the visits and owners."""

    def __init__(self, folder: Path, seed: int, end: str) -> None:
        county = county_of(seed, end)
        first, second, last = PARTS.values()
        self.loaded = Batch(county, folder, ())
        self.placed = Batch(county, folder, (first, second))
        self.right_visits = [self.placed.visits(), self.placed.refusals()]
        with taken_back(self.placed):
            self.placed.base.execute(last)
            self.right_results: list[Any] = [self.placed.counts(), self.placed.candidates()]

    def notices(self, parts: dict[str, str]) -> bool:
        """Whether the answers of `parts` are others than those of the right SQL."""
        late = parts["visits.sql"] == PARTS["visits.sql"] and parts["owners.sql"] == PARTS["owners.sql"]
        batch = self.placed if late else self.loaded
        with taken_back(batch):
            if not late:
                batch.base.execute(parts["visits.sql"])
                batch.base.execute(parts["owners.sql"])
                if [batch.visits(), batch.refusals()] != self.right_visits:
                    return True
            batch.base.execute(parts["batch.sql"])
            return [batch.counts(), batch.candidates()] != self.right_results


@contextmanager
def taken_back(batch: Batch) -> Iterator[None]:
    """What is created within is gone afterwards."""
    batch.base.execute("begin")
    try:
        yield
    finally:
        batch.base.execute("rollback")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return [Trial(tmp_path_factory.mktemp("county"), seed, end) for seed, end in COUNTIES]


def broken(changes: tuple[tuple[str, str], ...]) -> dict[str, str]:
    parts = dict(PARTS)
    for text, other in changes:
        (name,) = [name for name, part in parts.items() if text in part]
        assert parts[name].count(text) == 1
        parts[name] = parts[name].replace(text, other)
    return parts


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_shows_in_some_county(name: str, trials: list[Trial]) -> None:
    parts = broken(BROKEN[name])
    assert any(trial.notices(parts) for trial in trials)


def test_the_right_rules_show_in_none(trials: list[Trial]) -> None:
    assert not any(trial.notices(dict(PARTS)) for trial in trials)
