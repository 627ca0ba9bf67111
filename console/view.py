"""The values that the console shows: the page, `/api/state` and the metrics are made of them. No person is in them.

Times are RFC 3339 with California's offset; ages, silences and times to catch up are seconds.
"""

from __future__ import annotations

import msgspec

from console.lag_status import State, Trend


class PartitionView(msgspec.Struct, frozen=True):
    partition: int
    committed: int | None
    end: int
    lag: int
    seconds: float
    state: State
    why: str


class TopicView(msgspec.Struct, frozen=True):
    topic: str
    lag: int
    seconds: float
    state: State
    trend: Trend
    history: tuple[int, ...]
    partitions: tuple[PartitionView, ...]


class GroupView(msgspec.Struct, frozen=True):
    """`seconds` behind: the oldest waiting record's age. `catch_up`: seconds, None while the lag does not shrink.
    `history`: lag of the last ten minutes, oldest first, in at most 60 steps."""

    group: str
    state: State
    why: str
    members: int | None
    lag: int
    seconds: float
    trend: Trend
    catch_up: float | None
    history: tuple[int, ...]
    topics: tuple[TopicView, ...]


class FeedView(msgspec.Struct, frozen=True):
    """`silence`: seconds since the last message. `hours`: messages of the last 24 hours, the running one last."""

    sender: str
    taken: int
    refused: int
    set_aside: int
    last: str | None
    silence: float | None
    quiet: bool
    hours: tuple[int, ...]


class OriginView(msgspec.Struct, frozen=True):
    """One sending application and facility (`MSH-3/MSH-4`) over the last 24 hours. `refused_for`: codes, the most
    frequent first. `unmapped`: field -> messages with a code there that the profile `sender` does not map. `finding`:
    what is wrong, in words, "" for nothing.
    """

    origin: str
    sender: str
    taken: int
    refused: int
    refused_for: tuple[str, ...]
    unmapped: dict[str, int]
    last: str
    finding: str


class DeadLettersView(msgspec.Struct, frozen=True):
    code: str
    sender: str
    count: int
    last_day: int
    last: str


class PopulationView(msgspec.Struct, frozen=True):
    """How many candidates of a population have each status now."""

    population: str
    statuses: dict[str, int]


class ChangeView(msgspec.Struct, frozen=True):
    candidate_id: str
    population: str
    status: str
    revision: int
    at: str


class AlertsView(msgspec.Struct, frozen=True):
    count: int
    last_day: int
    last: str | None


class ProcessView(msgspec.Struct, frozen=True):
    role: str
    stage: str | None
    slot: int | None
    ready: bool
    restarts: int


class ConsoleView(msgspec.Struct, frozen=True):
    """Everything, at one moment. `says`: the findings, as sentences; empty when all is well.

    `kafka`: the error's name when the cluster does not answer. `reading_age`: seconds since the last lag reading;
    `counts_age`: since the cluster confirmed the counts of feeds, dead letters and candidates.
    `counted`: whether the topics were read to their ends; until then the counts are incomplete.
    """

    at: str
    state: State
    says: tuple[str, ...]
    kafka: str | None
    reading_age: float | None
    counts_age: float | None
    counted: bool
    missing: tuple[str, ...]
    groups: tuple[GroupView, ...]
    feeds: tuple[FeedView, ...]
    origins: tuple[OriginView, ...]
    letters: tuple[DeadLettersView, ...]
    candidates: tuple[PopulationView, ...]
    candidates_exact: bool
    changes_total: tuple[tuple[str, str, int], ...]
    latest: tuple[ChangeView, ...]
    watchlist: int
    unattributed: dict[str, int]
    alerts: AlertsView
    processes: tuple[ProcessView, ...]
