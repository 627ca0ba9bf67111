"""The page, written on the server: whole for the first paint, then section by section as they change.

Everything that is not markup goes through `escape`. No inline script or style: the page's policy forbids both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from console.lag_status import State, Trend
from console.tallies import STATUSES
from console.view import ConsoleView, FeedView, GroupView, PopulationView, TopicView

ARROWS: Final = {Trend.RISING: "↗", Trend.LEVEL: "→", Trend.FALLING: "↘"}
ROLE: Final = ' role="status" class="title"'
SHOWN: Final = 8
"""Sentences about what is wrong that are shown; the rest are counted."""
_WIDTH, _HEIGHT = 120, 24


def sections(screen: ConsoleView) -> dict[str, str]:
    """The inner HTML of each section by its ID. What did not change is the same text, and need not be sent again."""
    found = {"title": _title(screen), "figures": _figures(screen)}
    for group in screen.groups:
        found[group.group] = _group(group)
        for topic in group.topics:
            found[f"{group.group}/{topic.topic}"] = _topic(topic)
            found[f"{group.group}/{topic.topic}/partitions"] = _partitions(topic)
    return found | {
        "feeds": _feeds(screen.feeds),
        "letters": _table(
            ("code", "sender", "#all", "#last day", "last"),
            ((escape(v.code), escape(v.sender), v.count, v.last_day, _when(v.last)) for v in screen.letters),
            "None: every record was taken.",
        ),
        "candidates": _candidates(screen.candidates, screen.candidates_exact),
        "latest": _table(
            ("when", "candidate", "pop.", "status"),
            (
                (
                    _when(v.at),
                    f"<code>{escape(v.candidate_id)}</code>",
                    v.population,
                    f"{_chip(v.status)} r{v.revision}",
                )
                for v in screen.latest
            ),
            "No candidate has been raised yet.",
        ),
        "others": _others(screen),
        "processes": _table(
            ("process", "ready", "#restarts"),
            (
                (
                    " ".join(escape(str(part)) for part in (v.role, v.stage, v.slot) if part is not None),
                    _chip("yes" if v.ready else "no"),
                    v.restarts,
                )
                for v in screen.processes
            ),
            "",
        ),
    }


def page(screen: ConsoleView) -> str:
    """The whole page."""
    inner = sections(screen)

    def part(tag: str, name: str, more: str = "") -> str:
        return f'<{tag} id="{escape(name)}"{more}>{inner[name]}</{tag}>'

    def card(name: str, title: str, content: str | None = None) -> str:
        return f'<section class="card {name}"><h2>{title}</h2>{content or part("div", name)}</section>'

    lag = ""
    for group in screen.groups:
        lag += f"<article>{part('div', group.group)}"
        for topic in group.topics:
            name = f"{group.group}/{topic.topic}"
            lag += f"<details>{part('summary', name)}{part('div', name + '/partitions')}</details>"
        lag += "</article>"
    left = card("candidates", "Candidates") + card("letters", "Dead letters") + card("others", "Also")
    if screen.processes:
        left += card("processes", "Processes")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>handoff</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        'content="light dark"><link rel="icon" href="static/icon.svg"><link rel="stylesheet" '
        'href="static/console.css"><script src="static/console.js" defer></script>'
        '<noscript><meta http-equiv="refresh" content="10"></noscript></head><body><header><h1>handoff</h1>'
        '<span id="link" class="dim">as loaded</span></header><main>'
        f'<section class="card verdict">{part("div", "title", ROLE)}{part("div", "figures")}</section>'
        f"{card('lag', 'Lag', f'<div class=groups>{lag}</div>' if lag else _note('No reading yet.'))}"
        f'{card("feeds", "Feeds")}<div class="left">{left}</div>{card("latest", "Latest changes")}</main></body></html>'
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


def _title(screen: ConsoleView) -> str:
    calm = "Everything is well" if screen.groups else "Waiting for the first reading"
    return f"{_chip(screen.state)} {escape(screen.says[0]) if screen.says else calm}"


def _figures(screen: ConsoleView) -> str:
    figures = ["no reading yet"]
    slowest = max(screen.groups, key=lambda group: group.seconds, default=None)
    if slowest is not None:
        figures = _behind(slowest.seconds, sum(group.lag for group in screen.groups), slowest)
    if not screen.counted:
        figures.append("counts are still growing")
    others = [f"<li>{escape(line)}</li>" for line in screen.says[1:SHOWN]]
    if len(screen.says) > SHOWN:
        others.append(f"<li>and {len(screen.says) - SHOWN} more</li>")
    listed = f"<ul>{''.join(others)}</ul>" if others else ""
    return f'<p class="figures">{" · ".join(figures)}</p>{listed}<p class="dim">{_when(screen.at)} California</p>'


def _behind(seconds: float, lag: int, group: GroupView) -> list[str]:
    told = [f"{duration(seconds)} behind", f"{lag:,} waiting {ARROWS[group.trend]}"]
    if group.lag and group.catch_up is not None:
        told.append(f"caught up in {duration(group.catch_up)}")
    elif group.state is not State.OK and group.lag:
        told.append("not catching up")
    return told


def _group(group: GroupView) -> str:
    members = [] if group.members is None else [f"{group.members} worker{'' if group.members == 1 else 's'}"]
    figures = " · ".join(members + _behind(group.seconds, group.lag, group))
    why = f'<p class="why">{escape(group.why)}</p>' if group.why else ""
    return (
        f"<h3>{_chip(group.state)} {escape(group.group)}</h3>"
        f'<p class="figures"><span>{figures}</span> {_sparkline(group.history)}</p>{why}'
    )


def _topic(topic: TopicView) -> str:
    return (
        f"<span>{escape(topic.topic)}</span>{'' if topic.state is State.OK else _chip(topic.state)}"
        f'{_sparkline(topic.history)}<span class="n">{topic.lag:,} {ARROWS[topic.trend]}</span>'
        f'<span class="n">{duration(topic.seconds)}</span>'
    )


def _partitions(topic: TopicView) -> str:
    rows = (
        (p.partition, _chip(p.state), p.lag, duration(p.seconds), "–" if p.committed is None else p.committed, p.end)
        for p in topic.partitions
    )
    return _table(("#partition", "state", "#waiting", "#behind", "#position", "#end"), rows, "")


def _feeds(feeds: Sequence[FeedView]) -> str:
    rows = (
        (
            escape(v.sender),
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


def _others(screen: ConsoleView) -> str:
    alerts = screen.alerts
    last = f", the last {_when(alerts.last)}" if alerts.last else ""
    rows: list[tuple[object, ...]] = [
        ("near a threshold (watchlist)", screen.watchlist),
        (f"alerts, {alerts.last_day:,} in the last day{last}", alerts.count),
    ]
    rows += [(f"unattributed: {escape(reason)}", count) for reason, count in screen.unattributed.items()]
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


def _note(text: str) -> str:
    return f'<p class="dim">{text}</p>'


def _when(at: str) -> str:
    """11-23 10:00:05 of an RFC 3339 time; its own words for a machine."""
    return f'<time datetime="{escape(at)}">{escape(at[5:10])} {escape(at[11:19])}</time>'


def _chip(word: str) -> str:
    return f'<span class="chip {escape(word.lower())}">{escape(word)}</span>'


def _sparkline(values: Sequence[int]) -> str:
    """Lag over the last minutes, from nothing at the bottom to the most of them at the top."""
    if not any(values):
        values = (0, 0)  # a flat line is the same text at every reading
    elif len(values) == 1:
        values = (0, *values)
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
        f"M{index * step:g} {_HEIGHT}v{-value / top * (_HEIGHT - 2):.1f}h{step - 1:g}V{_HEIGHT}z"
        for index, value in enumerate(values)
        if value
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="at most {max(values):,} an hour"><path d="{bars}"/></svg>'
    )
