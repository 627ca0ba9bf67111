"""Marks in committed positions: which records are decided alone, what is counted, and what is not."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition

from agents.runtime.contract import Record
from streams.engine.attempts import Attempts, Mark, read_mark
from streams.engine.partitions import Place
from streams.engine.poll import Batch

A, B = ("a", 0), ("b", 0)


def batch(**offsets: range) -> Batch:
    """Records of topics at these offsets, topic by topic, all of partition 0."""
    records = [Record(topic, 0, offset, b"k", b"", 0) for topic, places in offsets.items() for offset in places]
    return Batch({0: records}, {(topic, 0): places.stop for topic, places in offsets.items()})


def attempts(**marks: Mark) -> Attempts:
    """Attempts as an assignment finds them."""
    made = Attempts(3)
    made.assign([TopicPartition(topic, 0, mark.at, mark.text()) for topic, mark in marks.items()])
    return made


def offsets(part: Batch) -> list[tuple[str, int]]:
    return [(record.topic, record.offset) for records in part.chunks.values() for record in records]


@pytest.mark.parametrize("metadata", [None, "", "attempts=3", "attempts=x at=1 through=2", "someone else's"])
def test_what_another_program_wrote_is_no_mark(metadata: str | None) -> None:
    assert read_mark(metadata) is None


def test_a_mark_reads_as_it_was_written() -> None:
    assert read_mark(Mark(2, 10, 20).text()) == Mark(2, 10, 20)


def test_the_first_records_of_a_place_are_marked_and_later_ones_are_not() -> None:
    fresh = attempts()
    first = batch(a=range(5, 9))
    assert fresh.parts(first) == [first]
    assert fresh.begin(first) == {A: Mark(1, 5, 9)}
    fresh.begun(first)
    assert fresh.begin(batch(a=range(9, 12))) == {}
    assert fresh.begin(batch(a=range(9, 12), b=range(3))) == {B: Mark(1, 0, 3)}


def test_records_that_were_begun_before_come_last_and_alone_and_each_is_counted() -> None:
    found = attempts(a=Mark(1, 5, 7))
    parts = found.parts(batch(a=range(5, 9), b=range(3)))
    assert [offsets(part) for part in parts] == [
        [("b", 0), ("b", 1), ("b", 2)],
        [("a", 5)],
        [("a", 6)],
        [("a", 7), ("a", 8)],
    ]
    assert [part.positions for part in parts] == [{B: 3}, {A: 6}, {A: 7}, {A: 9}]
    marks: list[dict[Place, Mark]] = []
    for part in parts:
        marks.append(found.begin(part))
        found.begun(part)
    assert marks == [{B: Mark(1, 0, 3)}, {A: Mark(2, 5, 7)}, {A: Mark(2, 6, 7)}, {}]
    assert found.parts(batch(a=range(9, 12))) == [batch(a=range(9, 12))]


def test_a_record_is_set_aside_at_the_limit_and_only_where_it_was_counted() -> None:
    found = attempts(a=Mark(3, 5, 7))
    marks = found.begin(batch(a=range(5, 6)))
    assert marks == {A: Mark(4, 5, 7)}
    assert found.verdict(marks) == 3
    assert found.spared(marks) == {A: Mark(3, 5, 7)}
    other = found.begin(batch(a=range(6, 7)))
    assert other == {A: Mark(2, 6, 7)}
    assert found.verdict(other) == 0
    assert found.spared(other) == {}


def test_an_end_that_would_condemn_the_record_does_not_count_once_it_is_decided() -> None:
    found = attempts(a=Mark(2, 5, 6))
    marks = found.begin(batch(a=range(5, 6)))
    assert found.verdict(marks) == 0
    assert found.spared(marks) == {A: Mark(2, 5, 6)}


def test_an_end_that_was_reached_without_records_keeps_its_position() -> None:
    found = attempts(a=Mark(1, 5, 7))
    assert found.parts(Batch({}, {A: 9, B: 4})) == [Batch({}, {B: 4}), Batch({}, {A: 9})]
