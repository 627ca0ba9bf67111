"""When a member reaches the ages that rules depend on (docs/semantics.md#spans)."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from domain.times import day_of, day_start, months_before


class Ages(msgspec.Struct, frozen=True, gc=False):
    """The instants (ms UTC) at which a member turns 18, 21 and 26."""

    eighteen: int
    adult: int
    foster_end: int


@lru_cache(maxsize=65_536)
def ages_of(birth_date: str) -> Ages:
    """The birthdays of a person born on `birth_date` (YYYY-MM-DD), each at the start of that California day.

    A birthday on 29 February is 28 February in other years. Raises ValueError for a text that is not a day.
    """
    born = day_of(birth_date)
    return Ages(*(day_start(months_before(born, -12 * years)) for years in (18, 21, 26)))
