"""When a member comes of the ages that rules speak of."""

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
    """The ages of somebody born on `birth_date` (YYYY-MM-DD), each from the start of that California day.

    A person born on 29 February comes of age on 28 February of a common year.
    """
    born = day_of(birth_date)
    return Ages(*(day_start(months_before(born, -12 * years)) for years in (18, 21, 26)))
