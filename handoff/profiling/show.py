"""A feed's report for a terminal of 100 columns: what needs a decision first, then the counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.markup import escape

from handoff.output import day, out, table
from handoff.profiling.tally import percent
from parsers.hl7.profiles import SenderProfile

_CODES: Final = 14
_VISITS: Final = ("arrive", "move", "leave", "update", "cancel")
"""Columns of the fill table: the groups that are about visits; `--json` has all."""
_TRIGGERS: Final = 20


def show_feed(report: Mapping[str, Any], profile: SenderProfile) -> None:
    """Prints one feed."""
    period = report["period"]
    when = f", {day(period['first'])} to {day(period['last'])}" if period else ""
    out.print(f"\n[bold]Feed read as `{escape(report['profile'])}`[/]: {report['messages']:,} messages{when}")
    senders = [f"{each['app'] or '(none)'}|{each['facility'] or '(none)'}" for each in report["senders"]]
    _line("MSH-3|MSH-4", " ".join(senders[:6]) + (f" and {len(senders) - 6}+ more" if len(senders) > 6 else ""))
    encoding = report["encoding"]
    _line("versions", _counts(encoding["versions"]))
    _line("line ends", _counts(encoding["line_ends"]))
    _line("MSH-18", _counts(encoding["msh_18"]))
    if encoding["not_ascii"]:
        _line("not ASCII", f"{encoding['not_ascii']:,} messages: {_counts(encoding['read_as'])}")
    _line("control IDs", _control(report["control_ids"]))
    _line("Z segments", _counts(report["z_segments"]))
    out.print()
    _refused(report["refused"], report["messages"])
    _codes(report["codes"])
    _fields(report["fields"])
    classes = report["classes"]
    table(
        "Triggers",
        ("trigger", "messages", "%", "effect", "patient class as read"),
        (
            (e["trigger"], f"{e['messages']:,}", e["share"], e["to_us"], _counts(classes.get(e["trigger"], {})))
            for e in report["triggers"][:_TRIGGERS]
        ),
    )
    if (more := len(report["triggers"]) - _TRIGGERS) > 0:
        out.print(f"… and {more} more triggers; --json lists them", style="dim")
    out.print()
    _times(report["times"])
    _visit_numbers(report["visit_numbers"])
    _places(report, profile)


def show_overview(reports: Sequence[Mapping[str, Any]]) -> None:
    """Prints one line a feed, where there are several."""
    table(
        f"{len(reports)} feeds, by the profile that reads them",
        ("profile", "messages", "refused", "codes not mapped", "control IDs reused"),
        (
            (
                each["profile"],
                f"{each['messages']:,}",
                f"{sum(why['messages'] for why in each['refused']):,}",
                f"{sum(codes['unmapped'] for codes in each['codes'].values()):,}",
                f"{each['control_ids']['other_bytes']:,}",
            )
            for each in reports
        ),
    )


def show_conformance(found: Mapping[str, Any]) -> None:
    """hl7apy's findings in the sample."""
    title = f"HL7 conformance by hl7apy: {found['checked']} messages, {found['clean']} without a finding"
    table(title, ("messages", "finding"), ((count, name) for name, count in list(found["findings"].items())[:20]))
    more = len(found["findings"]) - 20
    if more > 0:
        out.print(f"… and {more} more kinds; --json lists them", style="dim")


def _line(name: str, text: str) -> None:
    if text:
        out.print(f"  {name:<12} {text}", markup=False)


def _counts(values: Mapping[str, int], most: int = 8) -> str:
    """`a 12, b 3`."""
    shown = [f"{name or '(empty)'} {count:,}" for name, count in list(values.items())[:most]]
    return ", ".join(shown) + (f", {len(values) - most} more" if len(values) > most else "")


def _control(ids: Mapping[str, int]) -> str:
    parts = []
    if ids["missing"]:
        parts.append(f"{ids['missing']:,} messages have none")
    if ids["same_bytes_again"]:
        parts.append(f"{ids['same_bytes_again']:,} sent again, same bytes (harmless)")
    if ids["other_bytes"]:
        parts.append(f"{ids['other_bytes']:,} reuse an ID for other bytes (taken as new messages)")
    return "; ".join(parts) or "each its own"


def _refused(refused: Sequence[Mapping[str, Any]], messages: int) -> None:
    if not refused:
        out.print(f"[green]None of {messages:,} messages would be refused.[/]")
        return
    count = sum(each["messages"] for each in refused)
    table(
        f"Would be refused: {count:,} of {messages:,}",
        ("code", "place", "messages", "first seen at"),
        ((e["code"], e["place"], f"{e['messages']:,}", "\n".join(_short(at) for at in e["first"])) for e in refused),
    )


def _short(origin: str) -> str:
    """Where, without the folders."""
    return origin.rsplit("/", 1)[-1]


def _codes(codes: Mapping[str, Mapping[str, Any]]) -> None:
    rows = []
    for place, each in codes.items():
        unknown = _counts(each["unmapped_codes"], _CODES)
        if each["unmapped_not_shown"]:
            unknown += f"{'; ' if unknown else ''}{each['unmapped_not_shown']:,} not shown (text or rare)"
        looks = {"nubc": "NUBC", "hl7": "HL7 table", "both": "both tables", "": "either table"}.get(
            each.get("looks_like", "?") if each["filled"] else "?", ""
        )
        rows.append((place, f"{each['filled']:,}", f"{each['unmapped']:,}", looks, unknown))
    table("Codes that the profile does not map", ("field", "filled", "not mapped", "looks like", "which"), rows)
    out.print()


def _fields(fields: Sequence[Mapping[str, Any]]) -> None:
    groups = [group for group in _VISITS if any(group in each["by_group"] for each in fields)]
    rows = (
        (
            each["field"],
            _percent(each["percent"]),
            *(_percent(each["by_group"].get(g)) for g in groups),
            each["without"],
        )
        for each in fields
        if each["messages"]
    )
    table(
        "Filled, in % of the messages that are taken and where it counts", ("field", "all", *groups, "without it"), rows
    )
    out.print()


def _percent(value: float | None) -> str:
    if value is None:
        return ""
    return "·" if value == 0 else f"{value:.0f}" if value >= 1 else "<1"


def _times(times: Mapping[str, Any]) -> None:
    rows = ((place, _counts(counts)) for place, counts in times["precision"].items())
    table("Times, and how exact they are", ("field", "messages"), rows)
    _line("MSH-7 offset", _counts(times["msh_7_offsets"]))
    agree = times["zones_that_agree"]
    if any(name != "none" for name in times["msh_7_offsets"]):
        _line("which fit", " ".join(agree) or "no single zone")
    _line("profile zone", f"{times['zone_of_profile']} (for times without an offset)")
    skew = times["evn_2_after_msh_7"]
    if skew["apart"]:
        text = f"{skew['apart']:,} of {skew['compared']:,} more than 5 min apart, median {skew['median_minutes']} min"
        if skew["whole_hours"]:
            text += f"; many by exactly {skew['whole_hours']} h: are both clocks in one zone?"
        _line("EVN-2, MSH-7", text)
    zero = times["zero_offsets"]
    if zero["doubtful"] and times["offsets_of_profile"] == "trust":
        with_it, without = zero["at_night_percent"], zero["at_night_percent_without"]
        _warn(f"{zero['messages']:,} times have the offset +0000; with it {with_it} % fall between 1 and 6 o'clock,")
        _warn(f"without it {without} %. If the sender means local time, the profile needs: offsets: ignore")
    out.print()


def _visit_numbers(seen: Mapping[str, Any]) -> None:
    with_number = _percent(percent(seen["with_number"], seen["messages"]))
    text = f"in {with_number or 0} % of the messages about visits; {seen['numbers']:,} different"
    _line("PV1-19", text if seen["messages"] else "")
    if seen["used_again"]:
        _line("used again", f"{seen['used_again']:,} numbers have an arrival a day or more after a departure")
    if seen["habit"] != "unique" and seen["of_profile"] == "unique":
        _warn(f"One visit number is used for several visits. In the profile: visit_numbers: {seen['habit']}")
    out.print()


def _warn(text: str) -> None:
    out.print(f"  [yellow]{escape(text)}[/]", soft_wrap=True)


def _places(report: Mapping[str, Any], profile: SenderProfile) -> None:
    places = report["facilities"]["places"].items()
    table(
        "Places that may hold the facility",
        ("place", "filled", "different", "values"),
        ((n, f"{p['filled']:,}", p["different"], _named(p, 4)) for n, p in places if p["filled"]),
    )
    _line("not known", _named(report["facilities"]["not_known"]))
    for name, kind in (("PID-3.5", "types"), ("PID-3.4", "authorities")):
        _line(name, _named(report["identifiers"][kind]))
    seen = report["observation"]
    where = (f"{name}: {_counts(codes)}" for name, codes in seen["codes_found_in"].items())
    _line("observation", _joined(f"{seen['visits_read_so']:,} messages read so", *where))
    home = report["homelessness"]
    _line(
        "homelessness",
        _joined(
            _counts(home["read_as"]) or "nothing read",
            f"flag: {_counts(home['flag_values'])}" if home["flag_values"] else "",
            f"Z59.0 in {home['diagnosis_Z59.0']:,}" if home["diagnosis_Z59.0"] else "",
            f"OBX-3: {_counts(home['named_by_OBX-3'])}" if home["named_by_OBX-3"] else "",
            "" if profile.homeless_place else "the profile names no place for a flag",
        ),
    )
    _line("notes", _counts(report["notes"], 12))


def _named(found: Mapping[str, Any], most: int = 6) -> str:
    hidden = f"{found['not_shown']:,} not shown" if found["not_shown"] else ""
    return _joined(_counts(found["shown"], most), hidden)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
