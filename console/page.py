"""The page, rendered on the server: whole for the first paint, then section by section as they change.

Markup is in `templates/`; every value is escaped by the environment, and a name that a template misspells is an error.
No inline script or style: the page's policy forbids both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from console.lag_status import Trend
from console.overview import STALE
from console.tallies import STATUSES
from console.view import ConsoleView

ARROWS: Final = {Trend.RISING: "↗", Trend.LEVEL: "→", Trend.FALLING: "↘"}
SHOWN: Final = 8
"""Findings that are shown; the rest are counted."""
_WIDTH, _HEIGHT = 120, 24


def sections(view: ConsoleView) -> dict[str, str]:
    """The inner HTML of each section by its ID. What did not change is the same text, and need not be sent again."""
    render: Any = _SECTIONS
    found = {"title": render.title(view), "figures": render.figures(view)}
    for group in view.groups:
        found[group.group] = render.group(group)
        for topic in group.topics:
            found[f"{group.group}/{topic.topic}"] = render.topic(topic)
            found[f"{group.group}/{topic.topic}/partitions"] = render.partitions(topic)
    for name in ("feeds", "origins", "letters", "candidates", "latest", "others", "processes"):
        found[name] = getattr(render, name)(view)
    return {name: str(html) for name, html in found.items()}


def page(view: ConsoleView) -> str:
    """The whole page."""
    return _ENVIRONMENT.get_template("page.html").render(view=view, sections=sections(view))


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


def _points(values: Sequence[int]) -> str:
    """The points of a line: lag over the last minutes, from nothing at the bottom to the most of them at the top."""
    if not any(values):
        values = (0, 0)  # a flat line is the same text at every reading
    elif len(values) == 1:
        values = (0, *values)
    top, step = max(*values, 1), _WIDTH / (len(values) - 1)
    return " ".join(
        f"{index * step:.0f},{_HEIGHT - 2 - value / top * (_HEIGHT - 4):.1f}" for index, value in enumerate(values)
    )


def _bars(values: Sequence[int]) -> str:
    """The path of bars: messages by the hour, the running hour last."""
    top, step = max(*values, 1), _WIDTH / len(values)
    return "".join(
        f"M{index * step:g} {_HEIGHT}v{-value / top * (_HEIGHT - 2):.1f}h{step - 1:g}V{_HEIGHT}z"
        for index, value in enumerate(values)
        if value
    )


def _environment() -> Environment:
    found = Environment(
        loader=PackageLoader("console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"duration": duration, "points": _points, "bars": _bars, "arrow": ARROWS.__getitem__}
    found.globals |= {
        "SHOWN": SHOWN,
        "STATUSES": STATUSES,
        "STALE_SECONDS": STALE / 1000,
        "WIDTH": _WIDTH,
        "HEIGHT": _HEIGHT,
    }
    return found


_ENVIRONMENT: Final = _environment()
_SECTIONS: Final = _ENVIRONMENT.get_template("sections.html").module
