"""The closed sets of words of a roster: plans, counties, programs and ECM statuses, each with its other spellings.

They are data of `rules/`. A word outside its set is a fault of the row that has it: a misspelled plan would have no
route, a misspelled county the go-live date of another (docs/semantics.md#membership).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

_NOT_PLAIN: Final = re.compile(r"[^a-z0-9]+")


class Term(msgspec.Struct, frozen=True, gc=False):
    """One word of a set and its other spellings. `name` is for people."""

    id: str
    name: str = ""
    aliases: tuple[str, ...] = ()


class Words:
    """A closed set of words, found in any spelling: letter case, spaces and punctuation do not count.

    A set without terms is open: each word stands for itself, in lower case if `lower`.
    """

    def __init__(self, terms: Iterable[Term] = (), *, lower: bool = False) -> None:
        self.terms = tuple(terms)
        self._lower = lower
        self._ids: dict[str, str] = {}
        self.doubled: list[str] = []
        """Spellings that stand for two terms."""
        for term in self.terms:
            for spelling in {plain_word(each) for each in (term.id, term.name, *term.aliases) if each}:
                if self._ids.setdefault(spelling, term.id) != term.id:
                    self.doubled.append(spelling)

    def find(self, text: str) -> str | None:
        """The term that a text spells; None for none."""
        if not self.terms:
            return text.lower() if self._lower else text
        return self._ids.get(plain_word(text))

    @property
    def allowed(self) -> str:
        """The terms as a list for a message."""
        return ", ".join(term.id for term in self.terms)


class Vocabulary:
    """The words of a roster."""

    def __init__(
        self,
        plans: Iterable[Term] = (),
        counties: Iterable[Term] = (),
        programs: Iterable[Term] = (),
        ecm_statuses: Iterable[Term] = (),
    ) -> None:
        self.plans, self.counties = Words(plans), Words(counties)
        self.programs, self.ecm_statuses = Words(programs, lower=True), Words(ecm_statuses, lower=True)

    def doubled(self) -> list[str]:
        """What is wrong with the sets: each spelling that stands for two terms."""
        sets = {"plans": self.plans, "counties": self.counties, "programs": self.programs, "ecm": self.ecm_statuses}
        return [f"{name}: `{each}` stands for two" for name, words in sets.items() for each in words.doubled]


OPEN: Final = Vocabulary()
"""Takes every word as it is: for tools that have no rules at hand."""


def county_term(name: str, code: str, fips: str) -> Term:
    """A county with the spellings of files: Los Angeles (County), County of Los Angeles, 19, 037, 06037, 6037."""
    short = str(int(code))
    return Term(name, "", (f"{name} County", f"County of {name}", code, short, fips, f"06{fips}", f"6{fips}"))


def plain_word(text: str) -> str:
    """The form of a word in comparisons."""
    return _NOT_PLAIN.sub("", text.casefold())
