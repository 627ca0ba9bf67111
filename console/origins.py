"""What is wrong with each sending system, by its messages of the last day (docs/operations.md#monitoring)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from console.tallies import Origin
from console.view import OriginView
from domain.times import rfc3339
from parsers.hl7.profiles import DEFAULT

SHARE: Final = 0.05
"""Refusals and unmapped codes are a finding from this share of the day's messages on."""
FEWEST: Final = 3
"""And from so many messages on: a single odd one has its dead letter."""
_CODES: Final = 3


def origins_of(tallied: Mapping[tuple[str, str], Origin], now: int) -> tuple[OriginView, ...]:
    """The sending systems that had a message in the 24 hours before `now` (ms UTC), those with a finding first."""
    found = [_view(name, sender, origin, now) for (name, sender), origin in tallied.items()]
    busy = [view for view in found if view.taken or view.refused]
    return tuple(sorted(busy, key=lambda view: (not view.finding, -view.refused, view.origin, view.sender)))


def _view(name: str, sender: str, origin: Origin, now: int) -> OriginView:
    taken, refused = sum(origin.taken.of_day(now)), sum(origin.refused.of_day(now))
    codes = tuple(code for code, _ in origin.codes.most_common(_CODES)) if refused else ()
    counted = {place: sum(hours.of_day(now)) for place, hours in sorted(origin.unmapped.items())}
    unmapped = {place: count for place, count in counted.items() if count}
    finding = _finding(sender, taken, refused, codes, unmapped)
    return OriginView(name, sender, taken, refused, codes, unmapped, rfc3339(origin.last), finding)


def _finding(sender: str, taken: int, refused: int, codes: tuple[str, ...], unmapped: Mapping[str, int]) -> str:
    found = []
    if _many(refused, taken + refused) or (refused and not taken):
        found.append(f"{refused} of {taken + refused} messages refused in the last day ({', '.join(codes)})")
    if sender == DEFAULT and taken:
        found.append("no sender profile: zone and codes are guessed")
    if places := [place for place, count in unmapped.items() if _many(count, taken)]:
        most = max(unmapped[place] for place in places)
        found.append(f"{most} of {taken} messages with a code that the profile does not map ({', '.join(places)})")
    return "; ".join(found)


def _many(count: int, total: int) -> bool:
    return count >= FEWEST and count >= SHARE * total
