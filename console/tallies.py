"""Counts over the topics: feeds, dead letters, candidates, watchlist, unattributed, alerts.

Only codes, senders, topics and candidate IDs are kept. Every text must have the shape of what it claims to be before it
becomes a label or reaches the page; what has another shape is counted as "other". A member ID, a record number or a
name as hospitals write it has none of these shapes.
"""

from __future__ import annotations

import re
from bisect import insort
from collections import Counter
from threading import RLock
from typing import Final

import msgspec

from agents.runtime.contract import Record, received_of
from console.config import Topics
from domain.times import HOUR
from parsers.hl7.origin import ORIGIN
from parsers.records.documents import LIVE_STATUSES

OTHER: Final = "other"
STATUSES: Final = (*LIVE_STATUSES, "lapsed", "withdrawn", "closed")
LATEST: Final = 20
_SENDER: Final = re.compile(r"(?=.*[a-z])[a-z0-9][a-z0-9_.-]{0,62}")
_CODE: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+){0,5}")
_POPULATION: Final = re.compile(r"[0-9]{1,2}[a-z]?")
_FIELD: Final = re.compile(r"PV1-[0-9]{1,2}")
_CANDIDATE: Final = re.compile(r"c_[0-9a-z]{8,64}")
_NAMES: Final = 200
"""Most different names of one kind; further ones are counted as "other"."""
_HOURS: Final = 24
_MOST_KEYS: Final = 1_000_000


class CandidateChange(msgspec.Struct, frozen=True):
    """One revision of a candidate, without its member. `at`: when it was written, ms UTC."""

    at: int
    candidate_id: str
    population: str
    status: str
    revision: int


class Hours:
    """A count by the hour, of the last day."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, at: int) -> None:
        """Count one at `at` (ms UTC)."""
        self._counts[at // HOUR] += 1
        if len(self._counts) > 2 * _HOURS:
            newest = max(self._counts)
            self._counts = Counter({hour: n for hour, n in self._counts.items() if hour > newest - _HOURS})

    def of_day(self, now: int) -> list[int]:
        """24 counts, the hour that holds `now` (ms UTC) last."""
        return [self._counts[hour] for hour in range(now // HOUR - _HOURS + 1, now // HOUR + 1)]


class Feed:
    """One sender. `taken`: messages on the raw topic (answered AA); `refused`: set aside by the gateway (AE);
    `set_aside`: taken, and refused by a stage later. `first`, `last`: ms UTC, 0 before there is one."""

    def __init__(self) -> None:
        self.taken = self.refused = self.set_aside = 0
        self.first = self.last = 0
        self.hours = Hours()

    def seen(self, at: int) -> None:
        """A message came at `at` (ms UTC)."""
        self.first = min(self.first or at, at)
        self.last = max(self.last, at)
        self.hours.add(at)


class Origin:
    """One sending application and facility (MSH-3/MSH-4) under one profile. `codes`: of its refusals, over all time."""

    def __init__(self) -> None:
        self.taken, self.refused = Hours(), Hours()
        self.unmapped: dict[str, Hours] = {}
        """Field (PV1-36) -> messages with a code there that the profile does not map."""
        self.codes: Counter[str] = Counter()
        self.last = 0


class Occurrences:
    """How often something happened, when last (ms UTC), and by the hour."""

    def __init__(self) -> None:
        self.count = self.last = 0
        self.hours = Hours()


class LabelCounts:
    """How many keys of a compacted topic have each label now.

    Keeps a hash of each key only. Past a million keys the oldest are dropped: `exact` is false from then on, since a
    dropped key that comes again is counted twice.
    """

    def __init__(self, remembered: int = _MOST_KEYS) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.exact = True
        self._remembered = remembered
        self._labels: dict[int, tuple[str, ...]] = {}

    def put(self, key: bytes, label: tuple[str, ...] | None) -> None:
        """The key now has this label; None: it is gone."""
        number = hash(key)
        before = self._labels.pop(number, None)
        if before is not None:
            self.counts[before] -= 1
        if label is None:
            return
        self.counts[label] += 1
        self._labels[number] = label
        if len(self._labels) > self._remembered:
            del self._labels[next(iter(self._labels))]
            self.exact = False


class _Candidate(msgspec.Struct):
    candidate_id: str = ""
    population: str = ""
    status: str = ""
    revision: int = 0


class _Waiting(msgspec.Struct):
    reason: str = ""


class _Watched(msgspec.Struct):
    status: str = LIVE_STATUSES[0]


_read_candidate = msgspec.json.Decoder(_Candidate).decode
_read_waiting = msgspec.json.Decoder(_Waiting).decode
_read_watched = msgspec.json.Decoder(_Watched).decode


class Tallies:
    """Counts records as they are followed. Hold `lock` while reading: another thread counts on."""

    def __init__(self, topics: Topics) -> None:
        self.lock = RLock()
        self.feeds: dict[str, Feed] = {}
        self.origins: dict[tuple[str, str], Origin] = {}
        """(MSH-3/MSH-4, profile) -> what came from there."""
        self.letters: dict[tuple[str, str], Occurrences] = {}
        self.set_aside: dict[tuple[str, str], Occurrences] = {}
        """(stage, code) -> records that a stage set aside: the gateway had taken them."""
        self.changes: Counter[tuple[str, str]] = Counter()
        self.latest: list[CandidateChange] = []
        self.candidates, self.unattributed, self.watchlist = LabelCounts(), LabelCounts(), LabelCounts()
        self.alerts = Occurrences()
        self.unread = 0
        """Documents that could not be decoded."""
        self._counters = {
            topics.raw: self._raw,
            topics.dead_letters: self._dead_letter,
            topics.candidates: self._candidate,
            topics.watchlist: self._watched,
            topics.unattributed: self._unattributed,
            topics.alerts: self._alert,
        }

    def take(self, record: Record) -> None:
        """Count one record. A document that cannot be read is counted as such, and nothing of it is kept."""
        with self.lock:
            try:
                self._counters[record.topic](record)
            except msgspec.DecodeError:
                self.unread += 1

    def _raw(self, record: Record) -> None:
        feed, at = self._feed(record), received_of(record)
        feed.taken += 1
        feed.seen(at)
        if (source := self._origin(record)) is not None:
            source.taken.add(at)
            source.last = max(source.last, at)
            for place in record.headers.get("unmapped", b"").decode("ascii", "replace").split():
                if _FIELD.fullmatch(place):
                    source.unmapped.setdefault(place, Hours()).add(at)

    def _dead_letter(self, record: Record) -> None:
        if record.value is None and "redriven" in record.headers:
            return  # a marker: a dead letter was driven again
        at = record.timestamp
        if "sender" in record.headers:
            feed = self._feed(record)
            if record.headers.get("stage") == b"gateway":
                feed.refused += 1
                feed.seen(received_of(record))
            else:
                feed.set_aside += 1
        code = _named(record.headers.get("code"), _CODE)
        if record.headers.get("stage") != b"gateway":
            stage = _named(record.headers.get("stage"), _SENDER)
            _add(self.set_aside, (stage, code), at)
        elif (source := self._origin(record)) is not None:
            source.refused.add(received_of(record))
            source.codes[code] += 1
            source.last = max(source.last, received_of(record))
        key = (code, _named(record.headers.get("sender", b"-"), _SENDER, "-"))
        _add(self.letters, key, at)

    def _candidate(self, record: Record) -> None:
        key = record.key or b""
        if record.value is None:
            self.candidates.put(key, None)
            return
        document = _read_candidate(record.value)
        population = _shaped(document.population, _POPULATION)
        status = document.status if document.status in STATUSES else OTHER
        self.changes[population, status] += 1
        self.candidates.put(key, (population, status))
        known = _shaped(document.candidate_id, _CANDIDATE)
        change = CandidateChange(record.timestamp, known, population, status, document.revision)
        insort(self.latest, change, key=lambda change: change.at)
        del self.latest[:-LATEST]

    def _watched(self, record: Record) -> None:
        live = record.value is not None and _read_watched(record.value).status in LIVE_STATUSES
        self.watchlist.put(record.key or b"", () if live else None)

    def _unattributed(self, record: Record) -> None:
        label = None
        if record.value is not None:
            label = (_shaped(_read_waiting(record.value).reason, _CODE),)
        self.unattributed.put(record.key or b"", label)

    def _alert(self, record: Record) -> None:
        self.alerts.count += 1
        self.alerts.last = max(self.alerts.last, record.timestamp)
        self.alerts.hours.add(record.timestamp)

    def _origin(self, record: Record) -> Origin | None:
        """Where a message is from; None for one that an earlier version took."""
        if "origin" not in record.headers:
            return None
        key = (_named(record.headers["origin"], ORIGIN), _named(record.headers.get("sender"), _SENDER))
        if key not in self.origins and len(self.origins) >= _NAMES:
            key = (OTHER, OTHER)
        return self.origins.setdefault(key, Origin())

    def _feed(self, record: Record) -> Feed:
        sender = _named(record.headers.get("sender"), _SENDER)
        if sender not in self.feeds and len(self.feeds) >= _NAMES:
            sender = OTHER
        return self.feeds.setdefault(sender, Feed())


def _add(counts: dict[tuple[str, str], Occurrences], key: tuple[str, str], at: int) -> None:
    if key not in counts and len(counts) >= _NAMES:
        key = (OTHER, OTHER)
    found = counts.setdefault(key, Occurrences())
    found.count += 1
    found.last = max(found.last, at)
    found.hours.add(at)


def _named(header: bytes | None, shape: re.Pattern[str], allowed: str = "") -> str:
    text = (header or b"").decode("ascii", "replace")
    return text if text and text == allowed else _shaped(text, shape)


def _shaped(text: str, shape: re.Pattern[str]) -> str:
    return text if shape.fullmatch(text) else OTHER
