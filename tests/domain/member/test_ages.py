"""When a member comes of age."""

from __future__ import annotations

from domain.member.ages import ages_of
from tests.support.member import at


def test_birthdays_begin_with_the_californian_day() -> None:
    ages = ages_of("2005-03-10")
    assert (ages.eighteen, ages.adult, ages.foster_end) == (
        at("2023-03-10 00:00"),
        at("2026-03-10 00:00"),
        at("2031-03-10 00:00"),
    )


def test_a_leap_day_is_kept_on_the_eve() -> None:
    assert ages_of("2004-02-29").adult == at("2025-02-28 00:00")
