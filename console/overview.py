"""Combine lag readings and topic counts, assess them, and give the console's view of a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from console import lag_status
from console.lag_history import LagHistory
from console.lag_status import Judgment, Limits, Point, State
from console.origins import origins_of
from console.tallies import STATUSES, CandidateChange, Tallies
from console.view import (
    AlertsView,
    ChangeView,
    ConsoleView,
    DeadLettersView,
    FeedView,
    GroupView,
    PartitionView,
    PopulationView,
    ProcessView,
    TopicView,
)
from domain.times import rfc3339
from streams.health import Detail
from streams.kafka.lag import PartitionLag

INTERNAL_FAULTS: Final = frozenset({"internal-error", "row-too-large", "output-too-large"})
"""Codes of dead letters that a fault of handoff caused: they can be driven again once it is fixed."""
_DRAWN: Final = 60
STALE: Final = 15_000
"""Milliseconds after which a lag reading, or a confirmation of the counts, is out of date."""

Processes = Callable[[], Sequence[Mapping[str, Any]]]


class Progress(msgspec.Struct, frozen=True):
    """How far the topics are counted: to their ends once (`counted`), and which are `missing`.

    `confirmed`: when (ms UTC) the cluster last confirmed that nothing is left out, or that the counts grow.
    """

    counted: bool
    missing: tuple[str, ...] = ()
    confirmed: int | None = None


class Overview(msgspec.Struct, frozen=True):
    """Sources of the view."""

    history: LagHistory
    tallies: Tallies
    progress: Callable[[], Progress]
    processes: Processes = tuple
    limits: Limits = Limits()

    def view(self, now: int) -> ConsoleView:
        """The view at `now` (ms UTC)."""
        reading, fault = self.history.last, self.history.fault
        progress = self.progress()
        age, counts_age = _age(None if reading is None else reading.at, now), _age(progress.confirmed, now)
        groups = self._groups()
        if age is not None and age > STALE:
            groups = tuple(_outdated(group, age) for group in groups)
        processes = tuple(_process(entry) for entry in self.processes())
        with self.tallies.lock:
            feeds, letters = self._feeds(now), self._letters(now)
            aside = self._set_aside(now)
            built = ConsoleView(
                at=rfc3339(now),
                state=State.OK,
                says=(),
                kafka=fault,
                reading_age=None if age is None else age / 1000,
                counts_age=None if counts_age is None else counts_age / 1000,
                counted=progress.counted,
                missing=progress.missing,
                groups=groups,
                feeds=feeds,
                origins=origins_of(self.tallies.origins, now),
                letters=letters,
                candidates=self._candidates(),
                candidates_exact=self.tallies.candidates.exact,
                changes_total=tuple((*key, count) for key, count in sorted(self.tallies.changes.items())),
                latest=tuple(_change(change) for change in reversed(self.tallies.latest)),
                watchlist=self.tallies.watchlist.counts[()],
                unattributed={
                    label[0]: count for label, count in sorted(self.tallies.unattributed.counts.items()) if count
                },
                alerts=AlertsView(
                    self.tallies.alerts.count,
                    sum(self.tallies.alerts.hours.of_day(now)),
                    rfc3339(self.tallies.alerts.last) if self.tallies.alerts.count else None,
                ),
                processes=processes,
            )
        state, says = _verdict(built, age, counts_age, aside)
        return msgspec.structs.replace(built, state=state, says=says)

    def freshness(self, now: int) -> Detail:
        """Readiness: whether what the page shows is of the last seconds. Ages are in seconds, null before a reading."""
        reading = self.history.last
        ages = {
            "lag_age": _age(None if reading is None else reading.at, now),
            "counts_age": _age(self.progress().confirmed, now),
        }
        fresh = all(age is not None and age <= STALE for age in ages.values())
        told = {name: None if age is None else age / 1000 for name, age in ages.items()}
        return fresh, {**told, "kafka": self.history.fault or "answers"}

    def _groups(self) -> tuple[GroupView, ...]:
        reading = self.history.last
        if reading is None:
            return ()
        by_group: dict[str, dict[str, list[PartitionLag]]] = {group: {} for group in reading.members}
        for lag in reading.lags:
            by_group.setdefault(lag.group, {}).setdefault(lag.topic, []).append(lag)
        return tuple(
            self._group(group, topics, reading.members.get(group)) for group, topics in sorted(by_group.items())
        )

    def _group(self, group: str, topics: dict[str, list[PartitionLag]], members: int | None) -> GroupView:
        reader = self.history.has_reader(group, self.limits.window)
        views, found = [], []
        for topic, lags in sorted(topics.items()):
            partitions = []
            for lag in lags:
                points = self.history.points(group, topic, str(lag.partition))
                judged = lag_status.judge_partition(points, reader, self.limits)
                found.append(judged)
                partitions.append(
                    PartitionView(lag.partition, lag.committed, lag.end, lag.lag, lag.seconds, judged.state, judged.why)
                )
            history = self.history.points(group, topic)
            views.append(
                TopicView(
                    topic=topic,
                    lag=sum(lag.lag for lag in lags),
                    seconds=max(lag.seconds for lag in lags),
                    state=lag_status.worst_of(partition.state for partition in partitions),
                    trend=lag_status.trend(lag_status.recent(history, self.limits.window)),
                    history=_drawn(history),
                    partitions=tuple(partitions),
                )
            )
        judged = lag_status.judge_group(found, reader)
        history = self.history.points(group)
        last = lag_status.recent(history, self.limits.window)
        return GroupView(
            group=group,
            state=judged.state,
            why=judged.why,
            members=members,
            lag=sum(view.lag for view in views),
            seconds=max((view.seconds for view in views), default=0.0),
            trend=lag_status.trend(last),
            catch_up=lag_status.seconds_to_catch_up(last),
            history=_drawn(history),
            topics=tuple(views),
        )

    def _feeds(self, now: int) -> tuple[FeedView, ...]:
        return tuple(
            FeedView(
                sender=sender,
                taken=feed.taken,
                refused=feed.refused,
                set_aside=feed.set_aside,
                last=rfc3339(feed.last) if feed.last else None,
                silence=max(0.0, (now - feed.last) / 1000) if feed.last else None,
                quiet=bool(feed.last)
                and lag_status.is_quiet(feed.first, feed.last, feed.taken + feed.refused, now, self.limits),
                hours=tuple(feed.hours.of_day(now)),
            )
            for sender, feed in sorted(self.tallies.feeds.items())
        )

    def _letters(self, now: int) -> tuple[DeadLettersView, ...]:
        found = [
            DeadLettersView(code, sender, letters.count, sum(letters.hours.of_day(now)), rfc3339(letters.last))
            for (code, sender), letters in self.tallies.letters.items()
        ]
        return tuple(sorted(found, key=lambda view: (-view.count, view.code, view.sender)))

    def _set_aside(self, now: int) -> list[str]:
        """Records that a stage set aside in the last day and handoff is not at fault for, in words."""
        counts = {
            (stage, code): sum(found.hours.of_day(now))
            for (stage, code), found in sorted(self.tallies.set_aside.items())
            if code not in INTERNAL_FAULTS
        }
        return [
            f"{stage} set aside {count} record{'s' if count > 1 else ''} in the last day: {code}"
            for (stage, code), count in counts.items()
            if count
        ]

    def _candidates(self) -> tuple[PopulationView, ...]:
        found: dict[str, dict[str, int]] = {}
        for (population, status), count in self.tallies.candidates.counts.items():
            if count:
                found.setdefault(population, dict.fromkeys(STATUSES, 0))[status] = count
        return tuple(PopulationView(population, statuses) for population, statuses in sorted(found.items()))


def _age(at: int | None, now: int) -> int | None:
    return None if at is None else max(0, now - at)


def _outdated(group: GroupView, age: int) -> GroupView:
    """A group whose reading is old: what it was is no longer known to hold."""
    state = lag_status.worst_of((group.state, State.WARNING))
    return msgspec.structs.replace(group, state=state, why=f"{group.why or group.state.value}, {age // 1000} s ago")


def _verdict(
    view: ConsoleView, age: int | None, counts_age: int | None, aside: Sequence[str]
) -> tuple[State, tuple[str, ...]]:
    """The worst state, and the findings as sentences, worst first."""
    found: list[Judgment] = []
    if age is None or age > STALE:  # a single failed reading is a moving coordinator or a restarting broker
        if view.kafka is not None:
            found.append(Judgment(State.STOP, f"Kafka does not answer ({view.kafka})"))
        elif age is not None:
            found.append(Judgment(State.WARNING, f"the last lag reading is {age // 1000} s old"))
    else:
        found += [Judgment(group.state, f"{group.group}: {group.why}") for group in view.groups if group.why]
    if counts_age is not None and counts_age > STALE:
        found.append(Judgment(State.WARNING, f"feeds, letters and candidates were counted {counts_age // 1000} s ago"))
    found += [Judgment(State.WARNING, f"{feed.sender} is silent") for feed in view.feeds if feed.quiet]
    found += [Judgment(State.WARNING, f"{each.origin}: {each.finding}") for each in view.origins if each.finding]
    found += [Judgment(State.WARNING, each) for each in aside]
    faults = sum(letters.last_day for letters in view.letters if letters.code in INTERNAL_FAULTS)
    if faults:
        found.append(
            Judgment(
                State.WARNING,
                f"{faults} record{'s' if faults > 1 else ''} set aside by a fault of handoff in the last day",
            )
        )
    if view.missing:
        found.append(Judgment(State.WARNING, f"no topic {', '.join(view.missing)}"))
    found += [
        Judgment(State.WARNING, f"{process.role} {process.stage or ''} is not ready".replace("  ", " "))
        for process in view.processes
        if not process.ready
    ]
    order = list(State)
    found.sort(key=lambda one: -order.index(one.state))
    return lag_status.worst_of(one.state for one in found), tuple(one.why for one in found)


def _drawn(points: Sequence[Point]) -> tuple[int, ...]:
    """The lag in at most 60 steps, each the maximum of its readings, so that a short peak is not lost."""
    if len(points) <= _DRAWN:
        return tuple(point.lag for point in points)
    size = -(-len(points) // _DRAWN)
    return tuple(max(point.lag for point in points[at : at + size]) for at in range(0, len(points), size))


def _change(change: CandidateChange) -> ChangeView:
    return ChangeView(
        change.candidate_id, change.population, change.status, change.revision, rfc3339(change.at - change.at % 1000)
    )


def _process(entry: Mapping[str, Any]) -> ProcessView:
    """Only these fields of the state file, which holds tokens too."""
    return ProcessView(
        str(entry.get("role", "")),
        entry.get("stage"),
        entry.get("slot"),
        bool(entry.get("ready")),
        int(entry.get("restarts", 0)),
    )
