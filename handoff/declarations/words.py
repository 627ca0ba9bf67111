"""`rules/words.yaml` and `rules/counties.csv`: the words that a roster may use, read into a `Vocabulary`."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from domain.errors import BadDeclaration
from domain.rules.vocabulary import Term, Vocabulary, county_term
from handoff.declarations.tables import csv_rows
from streams.yaml_lines import parse_declaration

WORDS: Final = "words.yaml"
COUNTIES: Final = "counties.csv"
_COLUMNS: Final = ("name", "code", "fips")


class _Term(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1)]
    name: str = ""
    aliases: tuple[str, ...] = ()


_Terms = Annotated[tuple[_Term, ...], Field(min_length=1)]


class _WordsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    plans: _Terms
    programs: _Terms
    ecm_statuses: _Terms


def vocabulary_in(files: dict[str, bytes], faults: list[str]) -> Vocabulary | None:
    """The vocabulary that the two files declare (name -> content); None, and `faults`, if they do not."""
    if WORDS not in files or COUNTIES not in files:
        return None
    try:
        words = parse_declaration(files[WORDS], WORDS).into(_WordsFile)
    except BadDeclaration as bad:
        faults += bad.faults
        return None
    counties: list[Term] = []
    for place, (name, code, fips) in csv_rows(COUNTIES, files[COUNTIES], _COLUMNS, faults):
        if not name or len(code) != 2 or len(fips) != 3 or not (code + fips).isdecimal():
            faults.append(f"{place}: wants a name, a code of two digits and one of three")
            continue
        counties.append(county_term(name, code, fips))
    return Vocabulary(_terms(words.plans), counties, _terms(words.programs), _terms(words.ecm_statuses))


def _terms(declared: tuple[_Term, ...]) -> tuple[Term, ...]:
    return tuple(Term(each.id, each.name, each.aliases) for each in declared)
