"""Restore on a real Kafka: rows as of the last committed transaction, whatever the changelog's head and tail are."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from agents.runtime.store import CLOCK_KEY, MemoryStore, Unreadable, clock_envelope, envelope
from streams.engine.restore import restore
from streams.kafka.settings import KafkaSettings
from tests.conftest import HasBootstrap
from tests.support.counting import counting_stage
from tests.support.kafka import TopicNames, make_topics, wait_for

pytestmark = pytest.mark.kafka


class Changelog:
    """A changelog of two partitions, and a writer of transactions."""

    def __init__(self, bootstrap: str, suffix: str) -> None:
        self.stage = counting_stage(suffix)
        self.kafka = KafkaSettings(bootstrap=bootstrap)
        self.topic = self.stage.changelog
        # `delete` as well, so that a test may cut the head off.
        make_topics(bootstrap, {self.topic: (2, {"cleanup.policy": "compact,delete"})})
        self.writer = self.new_writer()

    def new_writer(self, seconds: float = 60.0) -> Producer:
        """A producer under the same id: fences the one before and aborts what it left open."""
        writer = Producer(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "transactional.id": self.topic,
                "transaction.timeout.ms": int(seconds * 1000),
                "message.timeout.ms": int(seconds * 1000),
            }
        )
        writer.init_transactions(30)
        return writer

    def write(self, rows: dict[str, bytes | None], *, end: str = "commit", partition: int = 0) -> None:
        """One transaction: `end` is commit, abort, or open (written and left)."""
        self.writer.begin_transaction()
        for key, row in rows.items():
            self.writer.produce(self.topic, None if row is None else envelope(1, None, row), key.encode(), partition)
        self.writer.flush(30)
        if end == "commit":
            self.writer.commit_transaction(30)
        elif end == "abort":
            self.writer.abort_transaction(30)

    def restored(self, partitions: tuple[int, ...] = (0, 1)) -> dict[int, MemoryStore]:
        found: dict[int, MemoryStore] = {}
        restore(self.stage, self.kafka, partitions, found.__setitem__, cancelled=Event())
        return found


def bodies(rows: MemoryStore) -> dict[str, bytes]:
    return {key: row[10:] for key, row in rows.envelopes.items()}


@pytest.fixture
def changelog(kafka: HasBootstrap, topic_names: TopicNames) -> Changelog:
    return Changelog(kafka.bootstrap, topic_names.suffix)


def test_an_empty_changelog_is_ready_at_once(changelog: Changelog) -> None:
    assert {partition: len(rows) for partition, rows in changelog.restored().items()} == {0: 0, 1: 0}


def test_the_last_value_counts_and_a_tombstone_removes(changelog: Changelog) -> None:
    changelog.write({"a": b"1", "b": b"1", "c": b"1"})
    changelog.write({"a": b"2", "b": None})
    changelog.write({"z": b"9"}, partition=1)
    found = changelog.restored()
    assert bodies(found[0]) == {"a": b"2", "c": b"1"}
    assert bodies(found[1]) == {"z": b"9"}


def test_the_clock_and_the_due_rows_come_back(changelog: Changelog) -> None:
    changelog.writer.begin_transaction()
    changelog.writer.produce(changelog.topic, envelope(1, 500, b"x"), b"late", 0)
    changelog.writer.produce(changelog.topic, envelope(1, 40, b"x"), b"soon", 0)
    changelog.writer.produce(changelog.topic, envelope(1, None, b"x"), b"never", 0)
    changelog.writer.produce(changelog.topic, clock_envelope(77), CLOCK_KEY, 0)
    changelog.writer.commit_transaction(30)
    rows = changelog.restored()[0]
    assert rows.clock == 77
    assert sorted(rows.envelopes) == ["late", "never", "soon"]
    assert list(rows.due(100)) == [(40, "soon")]


def test_an_aborted_tail_is_not_seen_and_not_waited_for(changelog: Changelog) -> None:
    changelog.write({"a": b"1"})
    changelog.write({"a": b"2", "b": b"2"}, end="abort")
    assert bodies(changelog.restored()[0]) == {"a": b"1"}


def test_only_aborted_records(changelog: Changelog) -> None:
    changelog.write({"a": b"2"}, end="abort")
    assert bodies(changelog.restored()[0]) == {}


def test_a_head_that_is_gone(changelog: Changelog) -> None:
    changelog.write({"a": b"1"})
    changelog.write({"b": b"1"})
    admin = AdminClient({"bootstrap.servers": changelog.kafka.bootstrap})
    for done in admin.delete_records([TopicPartition(changelog.topic, 0, 2)]).values():
        done.result(30)
    assert bodies(changelog.restored()[0]) == {"b": b"1"}
    for done in admin.delete_records([TopicPartition(changelog.topic, 0, -1)]).values():
        done.result(30)
    assert bodies(changelog.restored()[0]) == {}


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_an_open_transaction_at_the_tail_is_waited_for(changelog: Changelog, end: str) -> None:
    changelog.write({"a": b"1"})
    changelog.write({"y": b"1"}, partition=1)
    changelog.write({"a": b"2"}, end="open")
    found: dict[int, MemoryStore] = {}
    cancelled = Event()
    restoring = Thread(
        target=restore,
        args=(changelog.stage, changelog.kafka, (0, 1), found.__setitem__),
        kwargs={"cancelled": cancelled},
        daemon=True,
    )
    restoring.start()
    try:
        wait_for(lambda: 1 in found, what="the partition that nothing holds up")
        # The first end of partition has come by now; the restore may not take it for the end.
        restoring.join(1.0)
        assert 0 not in found
        if end == "commit":
            changelog.writer.commit_transaction(30)
        else:
            changelog.writer = changelog.new_writer()
        restoring.join(20)
        assert bodies(found[0]) == {"a": b"2" if end == "commit" else b"1"}
    finally:
        cancelled.set()
        restoring.join(20)


def test_what_is_written_behind_the_mark_is_not_waited_for(changelog: Changelog) -> None:
    changelog.write({f"k{n}": b"1" for n in range(100)})
    changelog.write({"a": b"1"}, end="open", partition=1)
    assert len(changelog.restored((0,))[0]) == 100
    changelog.writer.abort_transaction(30)


@pytest.mark.parametrize("value", [b"\x02\xd3" + bytes(8) + b"x", b"short", b"\x01\x00" + bytes(8)])
def test_what_a_later_version_wrote_is_refused(changelog: Changelog, value: bytes) -> None:
    changelog.writer.begin_transaction()
    changelog.writer.produce(changelog.topic, value, b"a", 0)
    changelog.writer.commit_transaction(30)
    with pytest.raises(Unreadable):
        changelog.restored()
