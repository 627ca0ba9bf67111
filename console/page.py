"""The page, written on the server: whole for the first paint, then section by section as they change.

Everything that is not markup goes through `escape`. No inline script or style: the page's policy forbids both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from console.judgement import State, Trend
from console.screen import FeedView, GroupView, PopulationView, Screen, TopicView
from console.tallies import STATUSES

ARROWS: Final = {Trend.RISING: "↗", Trend.LEVEL: "→", Trend.FALLING: "↘"}
_WIDTH, _HEIGHT = 120, 24


def sections(screen: Screen) -> dict[str, str]:
    """The inner HTML of each section by its ID."""
    return {
        "verdict": _verdict(screen),
        "lag": "".join(_group(group) for group in screen.groups) or _note("No reading yet."),
        "feeds": _feeds(screen.feeds),
        "letters": _table(
            ("code", "sender", "#all", "#last day", "last"),
            ((_word(v.code), _word(v.sender), v.count, v.last_day, _when(v.last)) for v in screen.letters),
            "None: every record was taken.",
        ),
        "candidates": _candidates(screen.candidates, screen.candidates_exact),
        "latest": _table(
            ("when", "candidate", "population", "status", "#revision"),
            ((_when(v.at), _word(v.candidate_id), v.population, _chip(v.status), v.revision) for v in screen.latest),
            "No candidate has been raised yet.",
        ),
        "others": _others(screen),
        "processes": _table(
            ("process", "ready", "#restarts"),
            (
                (
                    " ".join(str(part) for part in (v.role, v.stage, v.slot) if part is not None),
                    _chip("yes" if v.ready else "no"),
                    v.restarts,
                )
                for v in screen.processes
            ),
            "",
        ),
    }


def page(screen: Screen) -> str:
    """The whole page."""
    inner = sections(screen)
    titles = {
        "lag": "Lag",
        "candidates": "Candidates",
        "latest": "Latest changes",
        "feeds": "Feeds",
        "letters": "Dead letters",
        "others": "Also",
        "processes": "Processes",
    }
    blocks = "".join(
        f'<section class="card {name}"><h2>{title}</h2><div id="{name}">{inner[name]}</div></section>'
        for name, title in titles.items()
        if inner[name]
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>handoff</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><link rel="icon" href="static/icon.svg"><link rel="stylesheet" '
        'href="static/console.css"><script src="static/console.js" defer></script>'
        '<noscript><meta http-equiv="refresh" content="10"></noscript></head><body><header><h1>handoff</h1>'
        '<span id="link" class="dim">as loaded</span></header><main>'
        f'<div id="verdict">{inner["verdict"]}</div>{blocks}</main></body></html>'
    )


def duration(seconds: float | None) -> str:
    """Seconds for people: 0.4 s, 12 s, 3 min, 5 h, 4 d; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds else "0 s"
    for size, unit, below in ((1, "s", 120), (60, "min", 7200), (3600, "h", 172_800)):
        if seconds < below:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _verdict(screen: Screen) -> str:
    lag = sum(group.lag for group in screen.groups)
    behind = max((group.seconds for group in screen.groups), default=0.0)
    slowest = max(screen.groups, key=lambda group: group.seconds, default=None)
    figures = ["no reading yet"]
    if slowest is not None:
        figures = [f"{duration(behind)} behind", f"{lag:,} waiting {ARROWS[slowest.trend]}"]
        if lag:
            left = slowest.catch_up
            figures.append("not catching up" if left is None else f"caught up in {duration(left)}")
    if not screen.counted:
        figures.append("counts are still growing")
    says = "".join(f"<li>{escape(line)}</li>" for line in screen.says[:8])
    more = f"<li>and {len(screen.says) - 8} more</li>" if len(screen.says) > 8 else ""
    calm = "Everything is well" if screen.groups else "Waiting for the first reading"
    title = calm if screen.state is State.OK else f"{escape(screen.says[0])}"
    lines = f"<ul>{says}{more}</ul>" if len(screen.says) > 1 else ""
    return (
        f'<div class="verdict {screen.state.lower()}"><p class="title" role="status">{_chip(screen.state)} {title}</p>'
        f'<p class="figures">{" · ".join(figures)}</p>{lines}<p class="dim">{_when(screen.at)} California</p></div>'
    )


def _group(group: GroupView) -> str:
    members = "" if group.members is None else f"{group.members} worker{'' if group.members == 1 else 's'}"
    left = group.catch_up
    figures = [members, f"{duration(group.seconds)} behind", f"{group.lag:,} waiting {ARROWS[group.trend]}"]
    if group.lag:
        figures.append("not catching up" if left is None else f"caught up in {duration(left)}")
    why = f'<p class="why">{escape(group.why)}</p>' if group.why else ""
    return (
        f'<article><h3>{_chip(group.state)} {escape(group.group)}</h3><p class="figures">'
        f"{' · '.join(figure for figure in figures if figure)} {_sparkline(group.history)}</p>{why}"
        f"{''.join(_topic(group.group, topic) for topic in group.topics)}</article>"
    )


def _topic(group: str, topic: TopicView) -> str:
    rows = (
        (p.partition, _chip(p.state), p.lag, duration(p.seconds), "–" if p.committed is None else p.committed, p.end)
        for p in topic.partitions
    )
    table = _table(("#partition", "state", "#waiting", "#behind", "#position", "#end"), rows, "")
    return (
        f'<details id="{escape(group)}/{escape(topic.topic)}"><summary><span>{escape(topic.topic)}</span>'
        f"{'' if topic.state is State.OK else _chip(topic.state)}{_sparkline(topic.history)}"
        f'<span class="n">{topic.lag:,} {ARROWS[topic.trend]}</span><span class="n">{duration(topic.seconds)}</span>'
        f"</summary>{table}</details>"
    )


def _feeds(feeds: Sequence[FeedView]) -> str:
    rows = (
        (
            _word(v.sender),
            duration(v.silence) + " ago" if v.silence is not None else "–",
            _chip("silent") if v.quiet else "",
            v.taken,
            v.refused,
            v.set_aside,
            _bars(v.hours),
        )
        for v in feeds
    )
    columns = ("sender", "last message", "", "#taken (AA)", "#refused (AE)", "#set aside", "last 24 hours")
    return _table(columns, rows, "No message in the last seven days.")


def _candidates(populations: Sequence[PopulationView], exact: bool) -> str:
    rows = ((v.population, *(v.statuses.get(status, 0) for status in STATUSES)) for v in populations)
    table = _table(("population", *(f"#{status}" for status in STATUSES)), rows, "None yet.")
    return table + ("" if exact else _note("About: more candidates than are remembered one by one."))


def _others(screen: Screen) -> str:
    alerts = screen.alerts
    last = f", the last {_when(alerts.last)}" if alerts.last else ""
    rows: list[tuple[object, ...]] = [
        ("near a threshold (watchlist)", screen.watchlist),
        (f"alerts, {alerts.last_day:,} in the last day{last}", alerts.count),
    ]
    rows += [(f"unattributed: {_word(reason)}", count) for reason, count in screen.unattributed.items()]
    if not screen.unattributed:
        rows.append(("unattributed patients", 0))
    return _table(("", "#now"), rows, "")


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> str:
    """A table whose cells are text of ours, numbers, or markup already escaped. `#` marks a column of numbers."""
    lines = ["".join(_cell(column, value) for column, value in zip(columns, row, strict=True)) for row in rows]
    if not lines:
        return _note(empty) if empty else ""
    head = "".join(f"<th{_kind(column)}>{column.removeprefix('#')}</th>" for column in columns)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(column: str, value: object) -> str:
    return f"<td{_kind(column)}>{f'{value:,}' if isinstance(value, int) else value}</td>"


def _kind(column: str) -> str:
    return ' class="n"' if column.startswith("#") else ""


def _word(text: str) -> str:
    return escape(text)


def _note(text: str) -> str:
    return f'<p class="dim">{text}</p>'


def _when(at: str) -> str:
    """11-23 10:00:05 of an RFC 3339 time; its own words for a machine."""
    return f'<time datetime="{escape(at)}">{escape(at[5:10])} {escape(at[11:19])}</time>'


def _chip(word: str) -> str:
    return f'<span class="chip {escape(word.lower())}">{escape(word)}</span>'


def _sparkline(values: Sequence[int]) -> str:
    """Lag over the last minutes, from nothing at the bottom to the most of them at the top."""
    if len(values) < 2:
        return f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true"></svg>'
    top, step = max(*values, 1), _WIDTH / (len(values) - 1)
    points = " ".join(
        f"{index * step:.0f},{_HEIGHT - 2 - value / top * (_HEIGHT - 4):.1f}" for index, value in enumerate(values)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="lag, at most {max(values):,}">'
        f'<polyline points="{points}"/></svg>'
    )


def _bars(values: Sequence[int]) -> str:
    """Messages by the hour, the running hour last."""
    top, step = max(*values, 1), _WIDTH / len(values)
    bars = "".join(
        f'<rect x="{index * step:.1f}" y="{_HEIGHT - height:.1f}" width="{step - 1:.1f}" height="{height:.1f}"/>'
        for index, value in enumerate(values)
        if (height := value / top * (_HEIGHT - 2))
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="at most {max(values):,} an hour">{bars}</svg>'
    )
