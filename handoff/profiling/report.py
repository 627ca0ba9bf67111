"""What was counted, as plain data: the JSON that `profile --json` prints, and what the screen is drawn from."""

from __future__ import annotations

from typing import Any, Final

from domain.times import DAY, rfc3339
from handoff.profiling.feed import Feed
from handoff.profiling.fields import WANTS, group_of, meaning_of
from handoff.profiling.tally import Codes, percent
from handoff.profiling.words import DIALECTS, KEYS, likeness, unmapped_by

_SHOWN: Final = 25
"""Different values of one kind that are listed."""


def feed_report(feed: Feed) -> dict[str, Any]:
    """One feed. Counts are messages unless named otherwise; times RFC 3339 in California."""
    return {
        "profile": feed.profile.name,
        "messages": feed.messages,
        "period": _period(feed),
        "senders": [
            {"app": app, "facility": facility, "messages": count}
            for (app, facility), count in feed.senders.most_common(_SHOWN)
        ],
        "encoding": {
            "versions": feed.versions.top(_SHOWN),
            "line_ends": feed.line_ends.top(),
            "msh_18": feed.charsets.top(_SHOWN),
            "not_ascii": feed.decodings.total,
            "read_as": feed.decodings.top(),
        },
        "control_ids": {"missing": feed.no_control_id, "same_bytes_again": feed.resent, "other_bytes": feed.reused},
        "refused": refused(feed),
        "triggers": _triggers(feed),
        "classes": _classes(feed),
        "fields": _fields(feed),
        "times": _times(feed),
        "codes": {place: codes_report(feed, place) for place in KEYS},
        "identifiers": {"types": _names(feed.number_types), "authorities": _names(feed.authorities)},
        "facilities": {
            "places": {
                name: {"filled": codes.total, "different": len(codes.codes), **_names(codes)}
                for name, codes in feed.facility_places.items()
            },
            "not_known": _names(feed.unknown_facilities),
        },
        "observation": {
            "visits_read_so": feed.observation_classes,
            "codes_found_in": {name: t.top() for name, t in feed.observation_places.items() if t.total},
        },
        "homelessness": {
            "read_as": feed.homeless.top(),
            "flag_values": feed.flags.top(),
            "diagnosis_Z59.0": feed.homeless_codes,
            "named_by_OBX-3": _names(feed.homeless_places)["shown"],
        },
        "visit_numbers": {"of_profile": feed.profile.visit_numbers, **feed.visit_numbers.report()},
        "z_segments": feed.z_segments.top(_SHOWN),
        "notes": feed.notes.top(),
    }


def refused(feed: Feed) -> list[dict[str, Any]]:
    """Messages that would be refused: code, place, count, and where the first three are."""
    return [
        {"code": code, "place": place, "messages": count, "first": feed.refused_at[code, place]}
        for (code, place), count in feed.refusals.most_common()
    ]


def codes_report(feed: Feed, place: str) -> dict[str, Any]:
    """One coded field: how many of its codes the profile does not map, and which table they resemble."""
    unknown = feed.unmapped[place]
    shown = unknown.shown()
    like = likeness(place, feed.codes[place].counts, feed.deaths_by_21)
    found: dict[str, Any] = {
        "filled": feed.codes[place].total,
        "different": len(feed.codes[place].counts),
        "unmapped": unknown.total,
        "unmapped_codes": shown,
        "unmapped_not_shown": unknown.total - sum(shown.values()),
        "unmapped_by_dialect": {
            name: unmapped_by(place, name, {}, feed.codes[place].counts) for name in DIALECTS[place]
        },
    }
    if like is not None:
        found["looks_like"] = like.looks
        found["telling"] = like.telling
    return found


def _period(feed: Feed) -> dict[str, Any] | None:
    if feed.first is None or feed.last is None:
        return None
    days = (feed.last - feed.first) / DAY
    return {
        "first": rfc3339(feed.first),
        "last": rfc3339(feed.last),
        "days": round(days, 1),
        "messages_per_day": round(feed.messages / max(days, 1), 1),
    }


def _triggers(feed: Feed) -> list[dict[str, Any]]:
    return [
        {"trigger": trigger, "messages": count, "share": percent(count, feed.messages), "to_us": meaning_of(trigger)}
        for trigger, count in feed.triggers.top().items()
    ]


def _classes(feed: Feed) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (trigger, name), count in sorted(feed.classes.items()):
        if group_of(trigger) != "person":
            found.setdefault(trigger, {})[name] = count
    return found


def _fields(feed: Feed) -> list[dict[str, Any]]:
    sizes = feed.fills.sizes()
    found = []
    for want in WANTS:
        filled = feed.fills.filled(want.place)
        groups = [group for group in sizes if not want.where or group in want.where]
        whole = sum(sizes[group] for group in groups)
        found.append(
            {
                "field": want.place,
                "messages": whole,
                "filled": sum(filled.get(group, 0) for group in groups),
                "percent": percent(sum(filled.get(group, 0) for group in groups), whole),
                "by_group": {group: percent(filled.get(group, 0), sizes[group]) for group in groups},
                "without": want.without,
            }
        )
    return found


def _times(feed: Feed) -> dict[str, Any]:
    clock = feed.clock
    offsets = {offset or "none": count for offset, count in clock.offsets.most_common(12)}
    return {
        "zone_of_profile": str(feed.profile.zone),
        "msh_7_offsets": offsets,
        "zones_that_agree": list(clock.best_zones),
        "precision": {place: dict(counts.most_common()) for place, counts in sorted(clock.precision.items())},
        "evn_2_after_msh_7": clock.skew(),
        "offsets_of_profile": feed.profile.offsets,
        "zero_offsets": feed.zero_offsets.report(),
    }


def _names(codes: Codes) -> dict[str, Any]:
    """Names that more than one patient's messages have: a single one may be somebody's text in the wrong field."""
    shown = dict(list(codes.names().items())[:_SHOWN])
    return {"shown": shown, "not_shown": codes.total - sum(shown.values())}
