"""What is counted from the topics, and what never gets in."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from agents.runtime.contract import Record
from console.config import Topics
from console.tallies import LATEST, Hours, LabelCounts, Tallies
from domain.times import HOUR

NOW = 1_795_000_000_000
TOPICS = Topics()


def record(
    topic: str, value: Any = b"MSH|^~\\&|", key: str = "k", at: int = NOW, headers: dict[str, str] | None = None
) -> Record:
    """A record; a value that is no bytes becomes JSON."""
    body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    return Record(topic, 0, 0, key.encode(), body, at, {n: v.encode() for n, v in (headers or {}).items()})


def candidate(name: str, status: str, revision: int = 1, population: str = "2a", at: int = NOW) -> Record:
    """A revision of a candidate, whole enough."""
    document = {"candidate_id": name, "status": status, "revision": revision, "population": population}
    return record(TOPICS.candidates, {**document, "member_id": "91234567A"}, name, at)


def tallied(*records: Record) -> Tallies:
    """Tallies that took these."""
    tallies = Tallies(TOPICS)
    for one in records:
        tallies.take(one)
    return tallies


def test_a_feed_counts_what_was_taken_refused_and_set_aside_later() -> None:
    heard = {"sender": "genhosp", "received": str(NOW - 5000)}
    later = {"sender": "genhosp", "received": str(NOW - 1000)}
    tallies = tallied(
        record(TOPICS.raw, headers=heard),
        record(TOPICS.raw, headers=later),
        record(TOPICS.dead_letters, headers={**heard, "stage": "gateway", "code": "no-patient"}),
        record(TOPICS.dead_letters, headers={**heard, "stage": "reconcile", "code": "key-mismatch"}),
    )
    feed = tallies.feeds["genhosp"]
    assert (feed.taken, feed.refused, feed.set_aside) == (2, 1, 1)
    assert (feed.first, feed.last) == (NOW - 5000, NOW - 1000)
    assert {key: letters.count for key, letters in tallies.letters.items()} == {
        ("no-patient", "genhosp"): 1,
        ("key-mismatch", "genhosp"): 1,
    }


def test_a_dead_letter_without_a_sender_is_no_feed() -> None:
    tallies = tallied(record(TOPICS.dead_letters, headers={"stage": "refer", "code": "bad-tick"}))
    assert not tallies.feeds
    assert list(tallies.letters) == [("bad-tick", "-")]


def test_a_mark_that_a_letter_was_driven_again_is_no_letter() -> None:
    headers = {"sender": "west", "stage": "gateway", "code": "no-patient", "received": str(NOW)}
    mark = msgspec.structs.replace(
        record(TOPICS.dead_letters, headers={**headers, "redriven": "adt.dead-letters.v1/0/1"}), value=None
    )
    letter = msgspec.structs.replace(record(TOPICS.dead_letters, headers=headers), value=b"not HL7")
    tallies = tallied(letter, mark)
    assert {key: each.count for key, each in tallies.letters.items()} == {("no-patient", "west"): 1}
    assert tallies.feeds["west"].refused == 1


def test_a_candidate_stands_once_under_its_last_status() -> None:
    tallies = tallied(
        candidate("c_aaaaaaaaaaaa", "raised"),
        candidate("c_bbbbbbbbbbbb", "raised"),
        candidate("c_aaaaaaaaaaaa", "amended", 2),
        candidate("c_bbbbbbbbbbbb", "withdrawn", 2),
    )
    assert +tallies.candidates.counts == {("2a", "amended"): 1, ("2a", "withdrawn"): 1}
    assert tallies.changes == {("2a", "raised"): 2, ("2a", "amended"): 1, ("2a", "withdrawn"): 1}
    tallies.take(record(TOPICS.candidates, None, "c_aaaaaaaaaaaa"))
    assert +tallies.candidates.counts == {("2a", "withdrawn"): 1}


def test_the_latest_changes_are_the_latest_whatever_partition_came_first() -> None:
    tallies = Tallies(TOPICS)
    for index in [*range(25, 50), *range(25)]:
        tallies.take(candidate(f"c_{index:024x}", "raised", at=NOW + index))
    assert [change.at - NOW for change in tallies.latest] == list(range(50 - LATEST, 50))


def test_watchlist_and_unattributed_lose_what_is_gone() -> None:
    tallies = tallied(
        record(TOPICS.watchlist, {"status": "raised"}, "w_1"),
        record(TOPICS.watchlist, {"status": "raised"}, "w_2"),
        record(TOPICS.watchlist, None, "w_1"),
        record(TOPICS.unattributed, {"reason": "no-match"}, "GENHOSP|100"),
        record(TOPICS.unattributed, {"reason": "no-match"}, "GENHOSP|101"),
        record(TOPICS.unattributed, {"reason": "ambiguous"}, "GENHOSP|100"),
        record(TOPICS.unattributed, None, "GENHOSP|101"),
        record(TOPICS.alerts, {"alert_id": "a_1"}),
    )
    assert tallies.watchlist.counts[()] == 1
    assert +tallies.unattributed.counts == {("ambiguous",): 1}
    assert (tallies.alerts.count, tallies.alerts.last) == (1, NOW)


@pytest.mark.parametrize("bad", [b"", b"{", b"[]", b'{"candidate_id": 7}', b"\xff\xfe"])
def test_a_document_that_cannot_be_read_is_counted_and_stops_nothing(bad: bytes) -> None:
    tallies = tallied(record(TOPICS.candidates, bad), candidate("c_aaaaaaaaaaaa", "raised"))
    assert tallies.unread == 1
    assert len(tallies.latest) == 1


@pytest.mark.parametrize("person", ["91234567A", "FLORES^MARISOL", "555-0142", "Marisol Flores", "1979-04-12", "10023"])
def test_what_names_a_person_has_no_shape_that_passes(person: str) -> None:
    tallies = tallied(
        record(TOPICS.raw, headers={"sender": person}),
        record(TOPICS.dead_letters, headers={"sender": person, "code": person, "stage": "gateway"}),
        candidate(person, person, population=person),
        record(TOPICS.unattributed, {"reason": person}, person),
    )
    assert list(tallies.feeds) == ["other"]
    assert list(tallies.letters) == [("other", "other")]
    assert [(c.candidate_id, c.population, c.status) for c in tallies.latest] == [("other", "other", "other")]
    assert +tallies.unattributed.counts == {("other",): 1}


def test_names_are_told_apart_up_to_a_limit() -> None:
    tallies = Tallies(TOPICS)
    for index in range(500):
        headers = {"sender": f"sender{index}", "code": f"code-{index}", "stage": "gateway"}
        tallies.take(record(TOPICS.dead_letters, headers=headers))
    assert len(tallies.feeds) <= 201
    assert len(tallies.letters) <= 201
    assert sum(letters.count for letters in tallies.letters.values()) == 500
    assert sum(feed.refused for feed in tallies.feeds.values()) == 500


def test_what_stands_is_remembered_up_to_a_limit_and_says_so() -> None:
    standing = LabelCounts(remembered=3)
    for key in (b"a", b"b", b"c"):
        standing.put(key, ("x",))
    assert standing.exact
    standing.put(b"d", ("x",))
    assert not standing.exact
    assert standing.counts["x",] == 4


def test_hours_hold_one_day() -> None:
    hours = Hours()
    for hour in range(100):
        hours.add(NOW - (99 - hour) * HOUR)
    hours.add(NOW)
    day = hours.of_day(NOW)
    assert day == [1] * 23 + [2]
    assert hours.of_day(NOW + 30 * HOUR) == [0] * 24
