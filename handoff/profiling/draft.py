"""Draft a sender file from the counts of a feed, for a person to read, confirm and complete.

What follows from counts or plain descriptions is YAML; what only the sender can answer is a comment.
So the draft never reads the feed worse than the profile that it was made with, and shows every open question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from handoff.profiling.feed import Feed
from handoff.profiling.words import DIALECTS, KEYS, guess, likeness, unmapped_by
from parsers.hl7.profiles import DEFAULT, Profiles

_LISTED: Final = 50
_TRUSTED: Final = 100


def draft(feed: Feed, profiles: Profiles, own: Mapping[str, Any], default: Mapping[str, Any]) -> tuple[str, str]:
    """(name, YAML text) of a profile for `feed`.

    `own`: the content of the profile's file (`declared`); `default`: that of `default.yaml`. A feed of the
    default profile gets a name of its own; any other draft takes the place of the profile's file.
    """
    taken = {profile.name for profile in profiles}
    base = feed.profile.name
    name = base if base != DEFAULT else _name(feed, taken)
    mine: Mapping[str, Any] = {} if base == DEFAULT else own
    lines = [
        f"# Drafted by `handoff profile` from {feed.messages} messages, with the profile `{base}`.",
        "# Confirm every line with the sender. Lines that begin with `# ?` are questions that the messages leave open.",
    ]
    sections: dict[str, tuple[Any, list[str]]] = {key: (value, []) for key, value in mine.items() if key != "name"}
    for key, value, comments in (
        _zone(feed, mine),
        _encoding(feed, mine),
        _authority(feed, mine),
        _authorities(feed, mine),
        *(_codes(feed, place, mine, default) for place in KEYS),
        _observation(feed, mine),
        _facility(feed, mine),
        _homelessness(feed, mine),
        _updates(feed, mine),
        _visit_numbers(feed, mine),
        _offsets(feed, mine),
        _trust(feed, mine, profiles),
    ):
        if value is not None or comments:
            sections[key] = (value, comments)
    lines.append(_dumped("name", name))
    for key, (value, comments) in sections.items():
        lines += (f"# {comment}" for comment in comments)
        if value is not None:
            lines.append(_dumped(key, value))
    return name, "\n".join(lines) + "\n"


Section = tuple[str, Any, list[str]]
"""(key, value or None, comments above it)."""


def _dumped(key: str, value: Any) -> str:
    flow = None if isinstance(value, dict | list) else False  # mappings of plain values on one line
    text = yaml.safe_dump({key: value}, sort_keys=False, default_flow_style=flow, allow_unicode=True, width=110)
    return text.rstrip("\n")


def _name(feed: Feed, taken: set[str]) -> str:
    app, facility = max(feed.senders, key=lambda pair: feed.senders[pair], default=("", ""))
    slug = re.sub(r"[^a-z0-9]+", "-", (facility or app).lower()).strip("-")[:50] or "feed"
    number, name = 1, slug
    while name in taken:
        number += 1
        name = f"{slug}-{number}"
    return name


def _zone(feed: Feed, mine: Mapping[str, Any]) -> Section:
    zones = [zone for zone in feed.clock.best_zones if zone != "UTC"]
    if not zones or str(feed.profile.zone) in zones:
        return "zone", mine.get("zone"), []
    others = f" (so do {', '.join(zones[1:])})" if zones[1:] else ""
    return "zone", zones[0], [f"Every offset in MSH-7 fits this zone{others}."]


def _encoding(feed: Feed, mine: Mapping[str, Any]) -> Section:
    read = feed.decodings.counts
    fallen = sum(count for how, count in read.items() if how.startswith("windows-1252"))
    if not fallen or any("utf-8" in how for how in read):
        return "encoding", mine.get("encoding"), []
    return "encoding", "windows-1252", [f"{fallen} messages are not ASCII, not UTF-8, and MSH-18 names no charset."]


def _authority(feed: Feed, mine: Mapping[str, Any]) -> Section:
    names = feed.authorities.names()
    without = feed.authorities.codes[""].count if "" in feed.authorities.codes else 0
    stated = [name for name in names if name]
    facilities = {facility for _, facility in feed.senders}
    if feed.profile.authority or not without:
        return "authority", mine.get("authority"), []
    if len(stated) == 1:
        return (
            "authority",
            stated[0],
            [f"{without} patients' numbers name no authority (PID-3.4); the others this one."],
        )
    if not stated and len(facilities) == 1 and (only := facilities.pop()):
        return "authority", only, ["PID-3.4 is empty; this is MSH-4, which stood in for it."]
    return (
        "authority",
        None,
        [f"? {without} patients' numbers name no authority (PID-3.4): which authority assigned them?"],
    )


def _authorities(feed: Feed, mine: Mapping[str, Any]) -> Section:
    """One name where an authority is written in several ways."""
    spelled: dict[str, str] = {}
    found = dict(mine.get("authorities") or {})
    for name in feed.authorities.names():  # the most frequent first
        key = re.sub(r"[^A-Z0-9]", "", name.upper())
        first = spelled.setdefault(key, name) if key else name
        if first != name:
            found[name] = first
    return "authorities", found or None, []


def _codes(feed: Feed, place: str, mine: Mapping[str, Any], default: Mapping[str, Any]) -> Section:
    key = KEYS[place]
    section = dict(mine.get(key) or {})
    own = {str(code).upper(): value for code, value in (section.get("codes") or {}).items()}
    dialect = section.get("dialect") or default.get(key, {}).get("dialect", "")
    comments: list[str] = []
    counts = feed.codes[place].counts
    like = likeness(place, counts, feed.deaths_by_21)
    if like is not None and like.looks == "both":
        comments.append(f"? {place} has codes of NUBC and of HL7's table: which are the ones they share?")
    elif like is not None and like.looks and like.looks != dialect:
        if unmapped_by(place, like.looks, own, counts) <= feed.unmapped[place].total:
            dialect = section["dialect"] = like.looks
            comments.append(f"{like.telling[like.looks]} messages have a code that only this table has.")
        else:
            comments.append(f"? {place} has codes of the dialect {like.looks}, and more of {dialect}.")
    known = DIALECTS[place].get(dialect, {})
    guessed = {}
    for code, count in list(feed.unmapped[place].shown().items())[:_LISTED]:
        if code in known or code in own:
            continue
        value = guess(place, code, feed.unmapped[place].codes[code].words)
        if value:
            guessed[code] = value
            comments.append(f"{place} {code}: {count} messages; {value} by its words.")
        else:
            comments.append(f"? {place} {code}: {count} messages; what is it?")
    if guessed:
        section["codes"] = {**(section.get("codes") or {}), **guessed}
    hidden = feed.unmapped[place].total - sum(feed.unmapped[place].shown().values())
    if hidden:
        comments.append(f"? {place}: {hidden} messages with unknown codes that are not shown (text, or one patient's).")
    return key, section or None, comments


def _observation(feed: Feed, mine: Mapping[str, Any]) -> Section:
    section = dict(mine.get("observation") or {})
    found = {name: tally.total for name, tally in feed.observation_places.items() if tally.total}
    place = feed.profile.observation_place
    current = "" if place is None else f"{place.segment}-{place.field}"
    if current in found or len(found) != 1:
        return "observation", section or None, []
    name, count = next(iter(found.items()))
    section["place"] = name
    return (
        "observation",
        section,
        [f"{count} messages have an observation code here, none in {current or 'another place'}."],
    )


def _facility(feed: Feed, mine: Mapping[str, Any]) -> Section:
    section = dict(mine.get("facility") or {})
    comments: list[str] = []
    places = {name: len(codes.codes) for name, codes in feed.facility_places.items() if codes.total}
    most = max(places, key=lambda name: places[name], default="MSH-4")
    if "places" not in section and places.get("MSH-4", 0) == 1 and places[most] > 2:
        comments.append(
            f"? {most} names {places[most]} facilities, MSH-4 one: an exchange? Then places: [{most}, MSH-4]"
        )
    known = dict(section.get("known") or {})
    have = {str(code).upper() for code in known}
    kind = {"type": feed.profile.facility_type} if feed.profile.facility_type else {}
    for code in list(feed.unknown_facilities.names())[:_LISTED]:
        if code.upper() not in have:
            known[code] = {"id": code, **kind}
            have.add(code.upper())
    if feed.unknown_facilities.total:
        comments.append("? Which type is each (hospital, snf, jail …)? Jails and nursing facilities change the class.")
    if known:
        section["known"] = known
    return "facility", section or None, comments


def _homelessness(feed: Feed, mine: Mapping[str, Any]) -> Section:
    section = dict(mine.get("homelessness") or {})
    found = feed.homeless_places.names()
    named = [code for code in found if "]" not in code]
    comments: list[str] = []
    if feed.profile.homeless_place is None and len(named) == 1:
        section["place"] = f"OBX[{named[0]}]-5"
        comments.append(f"{found[named[0]]} messages have this observation.")
    elif feed.profile.homeless_place is None:
        comments.append("? Where does registration keep the homelessness flag (a Z field, an OBX)?")
    if feed.flags.counts["?"]:
        comments.append(f"? {feed.flags.counts['?']} flags are in neither yes_codes nor no_codes.")
    return "homelessness", section or None, comments


def _updates(feed: Feed, mine: Mapping[str, Any]) -> Section:
    counts = feed.triggers.counts
    comments = []
    if counts["A08"] and not (counts["A01"] or counts["A04"] or counts["A06"]) and not feed.profile.a8_creates:
        comments.append("? Visits come only as A08: should they count at once (a08_creates: true)?")
    return "a08_creates", mine.get("a08_creates"), comments


def _visit_numbers(feed: Feed, mine: Mapping[str, Any]) -> Section:
    seen, key = feed.visit_numbers, "visit_numbers"
    if feed.profile.visit_numbers != "unique" or seen.habit == "unique":
        return key, mine.get(key), []
    return key, seen.habit, [f"{seen.again} of {seen.numbers} numbers in PV1-19 name more than one visit."]


def _offsets(feed: Feed, mine: Mapping[str, Any]) -> Section:
    comments = []
    if feed.zero_offsets.doubtful and feed.profile.offsets == "trust":
        comments.append("? Times have the offset +0000 and look local: is it wrong (offsets: ignore)?")
    return "offsets", mine.get("offsets"), comments


def _trust(feed: Feed, mine: Mapping[str, Any], profiles: Profiles) -> Section:
    section = dict(mine.get("trust") or {})
    others = {
        (trust.app.upper(), trust.facility.upper())
        for profile in profiles
        if profile.name != feed.profile.name
        for trust in profile.trusts
    }
    messages = list(section.get("messages") or [])
    comments: list[str] = []
    for (app, facility), _ in feed.senders.most_common(_TRUSTED):
        if feed.profile.name != DEFAULT and profiles.choose(app, facility).name == feed.profile.name:
            continue
        pattern = {"app": _literal(app), "facility": _literal(facility)}
        if (pattern["app"].upper(), pattern["facility"].upper()) in others:
            comments.append("? Another profile claims some of these messages; they were read with this one.")
        else:
            messages.append(pattern)
    if len(feed.senders) > _TRUSTED:
        comments.append(f"? {len(feed.senders) - _TRUSTED} more pairs of MSH-3 and MSH-4 are not listed.")
    if messages:
        section["messages"] = messages
    return "trust", section or None, _once(comments)


def _literal(text: str) -> str:
    """`text` as a shell pattern that matches only itself."""
    return re.sub(r"([*?[])", r"[\1]", text)


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))
