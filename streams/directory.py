"""The process that keeps the member directory in Redis.

It reads the roster, the unattributed patients and the facts of patients, works out what changes (`agents.directory`),
and writes that to Redis together with how far it has read, in one transaction. Links are stored beside them first and
produced second, so a crash in between repeats them and loses none; they are statements with revisions, so a repeat
changes nothing. Redis must be written before a link is produced: a look-up after the link was read must get the new
answer.

Any number of these processes may run: the holder of a lease works, the others wait to take over (`streams.lease`).

Redis holds nothing that Kafka does not: when it is empty, or belongs to another cluster, all topics are read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import redis
import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from agents.directory import Directory
from agents.directory_records import Entry, keys_of, read_entry, resolved, take
from agents.runtime.contract import Emit, Record
from agents.topics import IDENTITY_FACTS, LINKS, ROSTER, UNATTRIBUTED
from domain.errors import Refusal
from domain.patient.groups import Groups
from domain.rules.vocabulary import OPEN, Vocabulary
from streams.directory_lookup import CAUGHT_UP, PREFIX
from streams.health import Detail
from streams.kafka.consumers import reader
from streams.kafka.offsets import Place, admin_client, ends, places_of
from streams.kafka.produce import TransactionalWriter
from streams.kafka.read import record_of, tail
from streams.kafka.settings import KafkaSettings
from streams.lease import Lease, LeaseLost

POSITIONS: Final = PREFIX + "positions"
"""Hash: `topic/partition` -> next offset, and `cluster` -> the Kafka cluster's ID."""
PENDING: Final = PREFIX + "pending"
LEASE: Final = PREFIX + "lease"
LEASE_SECONDS: Final = 10.0
GROUP: Final = "handoff.directory"
_BATCH: Final = 1000
_WAIT_SECONDS: Final = 0.2
_AGAIN_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 1.0
_HANGS_SECONDS: Final = 60.0
_log = structlog.get_logger("directory")
_emits = msgspec.msgpack.Decoder(list[Emit])


class _RedisStore:
    """The store of one batch: reads through to Redis, keeps changes until they are written."""

    def __init__(self, client: redis.Redis, keys: Iterable[str]) -> None:
        self._client = client
        self.changed: dict[str, str | None] = {}
        wanted = list(dict.fromkeys(keys))
        self._known: dict[str, str | None] = dict(zip(wanted, self._fetch(wanted), strict=True)) if wanted else {}

    def get(self, key: str) -> str | None:
        if key not in self._known:
            self._known[key] = self._fetch([key])[0]
        return self._known[key]

    def put(self, key: str, value: str | None) -> None:
        self._known[key] = self.changed[key] = value

    def _fetch(self, keys: list[str]) -> list[str | None]:
        found: Any = self._client.mget([PREFIX + key for key in keys])
        return list(found)


class DirectoryKeeper:
    """Keeps the directory while it holds the lease. `run` works until `stop`, through outages of Redis and Kafka."""

    def __init__(
        self,
        kafka: KafkaSettings,
        url: str,
        *,
        key: bytes,
        words: Vocabulary = OPEN,
        roster: str = ROSTER,
        unattributed: str = UNATTRIBUTED,
        facts: str = IDENTITY_FACTS,
        links: str = LINKS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        """`key` is the key of hashes, the same as the workers'; `words` are those that a roster row may use. The other
        names are the topics' as the cluster calls them.
        """
        self._kafka, self._key, self._words = kafka, key, words
        self._topics = {roster: ROSTER, unattributed: UNATTRIBUTED, facts: IDENTITY_FACTS}
        self._facts = facts
        self._groups = Groups()
        self._links = links
        self._redis: redis.Redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=10, socket_connect_timeout=3
        )
        self._raw: redis.Redis = redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=3)
        self._lease = Lease(url, LEASE, lease_seconds, lambda: self.alive()[0])
        self._unread_facts: set[Place] = set()
        """Partitions of the facts topic whose end was not reached yet since the start."""
        self._known_facts: dict[Place, int] = {}
        """Where facts begin whose questions Redis does not have yet."""
        self._held_back: set[Place] = set()
        """Partitions of unattributed patients that are not read yet."""
        self._stopping = threading.Event()
        self._beat = time.monotonic()
        self._state = "starting"
        self.taken = 0
        """Records taken since the start."""

    def stop(self) -> None:
        """Make `run` return soon. May be called from a signal handler or another thread."""
        self._stopping.set()

    def alive(self) -> Detail:
        """Whether the loop makes progress."""
        return time.monotonic() - self._beat < _HANGS_SECONDS, {"state": self._state}

    def ready(self) -> Detail:
        """Whether this process holds the lease, the topics have been read to their ends, and Redis answers."""
        return self._state == "caught up", {"state": self._state, "taken": self.taken}

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping.is_set():
            try:
                if self._lease.acquire():
                    self._serve()
                else:
                    self._state = "standby"
            except LeaseLost:
                self._state = "standby"
                _log.warning("lease lost")
            except redis.RedisError as error:
                self._state = "redis away"
                _log.warning("redis away", error=type(error).__name__)
            except KafkaException as error:
                self._state = "kafka away"
                _log.warning("kafka away", error=error.args[0].name())
                self._lease.give_up()  # to a process that may reach Kafka
            self._beat = time.monotonic()
            self._stopping.wait(_AGAIN_SECONDS)
        self._lease.release()

    def _serve(self) -> None:
        """Read from the positions in Redis to the end of the topics, and on; returns when Redis has lost its data."""
        self._state = "reading"
        _log.info("lease held")
        writer = TransactionalWriter(self._kafka, f"{GROUP}.{self._links}")
        # Never joined: positions are in Redis; what is committed is for `handoff lag`.
        consumer = reader(self._kafka, GROUP)
        try:
            places = places_of(consumer, list(self._topics))
            self._start_where_redis_is(consumer, places)
            self._produce_pending(writer)
            self._follow(consumer, writer, set(places))
        finally:
            consumer.close()

    def _start_where_redis_is(self, consumer: Consumer, places: list[Place]) -> None:
        cluster = str(consumer.list_topics(timeout=10).cluster_id)
        known: Any = self._redis.hgetall(POSITIONS)
        begin = {place: int(known.get(f"{place[0]}/{place[1]}", 0)) for place in places}
        last = ends(admin_client(self._kafka), places, committed=False)
        if known.get("cluster") != cluster or any(begin[place] > last[place] for place in places):
            _log.info("reading all again", known=bool(known))
            self._forget_all()
            begin = dict.fromkeys(places, 0)
            self._write(lambda pipeline: pipeline.hset(POSITIONS, "cluster", cluster))
        # Groups are in memory: their facts are read whole at every start. Redis knows which resolutions were sent, and
        # what each patient asks.
        self._groups = Groups()
        self._known_facts = {place: begin[place] for place in places if place[0] == self._facts}
        begin |= dict.fromkeys(self._known_facts, 0)
        self._unread_facts = {place for place in self._known_facts if last[place] > 0}
        consumer.assign([TopicPartition(*place, begin[place]) for place in places])
        # Patients come after the whole roster: what is answered about one must not be taken back a moment later.
        self._held_back = {place for place in places if self._topics[place[0]] == UNATTRIBUTED}
        consumer.pause([TopicPartition(*place) for place in self._held_back])

    def _forget_all(self) -> None:
        self._write(lambda pipeline: pipeline.delete(CAUGHT_UP))
        batch: list[str] = []
        for key in self._redis.scan_iter(PREFIX + "*", count=1000):
            if key != LEASE:
                batch.append(key)
            if len(batch) >= _BATCH:
                self._delete(batch)
                batch = []
        if batch:
            self._delete(batch)

    def _delete(self, keys: list[str]) -> None:
        self._beat = time.monotonic()
        self._write(lambda pipeline: pipeline.delete(*keys))

    def _write(self, commands: Any) -> None:
        self._lease.write(self._raw, commands)

    def _follow(self, consumer: Consumer, writer: TransactionalWriter, behind: set[Place]) -> None:
        looked = time.monotonic()
        for batch in tail(consumer, size=_BATCH, wait=_WAIT_SECONDS):
            if self._stopping.is_set():
                return
            self._beat = now = time.monotonic()
            records = [record_of(message) for message in batch.messages]
            behind -= batch.ends.keys()
            if self._held_back and behind <= self._held_back:
                consumer.resume([TopicPartition(*place) for place in self._held_back])
                self._held_back = set()
            self._unread_facts -= batch.ends.keys()
            positions = self._advance(batch.positions) if records else {}
            if records or now - looked > _LOOK_SECONDS:
                looked = now
                if not self._redis.hexists(POSITIONS, "cluster"):
                    _log.warning("redis came back empty")
                    return
            if records or (batch.ends and not self._unread_facts):
                self._take(records, positions, writer)
                if positions:
                    self._commit_positions(consumer, positions)
            if not behind and self._state != "caught up":
                moment = str(time.time_ns() // 1_000_000)
                self._write(lambda pipeline, moment=moment: pipeline.set(CAUGHT_UP, moment))
                self._state = "caught up"
                _log.info("caught up", taken=self.taken)

    def _advance(self, read: dict[Place, int]) -> dict[Place, int]:
        """The positions to keep: facts that are read again at a start do not set theirs back."""
        return {place: max(at, self._known_facts.get(place, 0)) for place, at in read.items()}

    def _take(self, records: list[Record], positions: dict[Place, int], writer: TransactionalWriter) -> None:
        entries = [entry for record in records if (entry := self._entry(record)) is not None]
        store = _RedisStore(self._redis, (key for entry in entries for key in keys_of(entry)))
        directory = Directory(store, self._key, self._groups)
        links: list[Emit] = []
        for entry in entries:
            links += take(directory, entry)
        if not self._unread_facts:
            # A group that is known in part would be resolved, and announced, wrongly.
            links += resolved(directory, time.time_ns() // 1_000_000)
        if not records and not links:
            return

        def commands(pipeline: Any) -> None:
            for key, value in store.changed.items():
                if value is None:
                    pipeline.delete(PREFIX + key)
                else:
                    pipeline.set(PREFIX + key, value)
            if positions:
                named = {f"{topic}/{number}": str(offset) for (topic, number), offset in positions.items()}
                pipeline.hset(POSITIONS, mapping=named)
            if links:
                pipeline.set(PENDING, msgspec.msgpack.encode(links))

        self._write(commands)
        self.taken += len(records)
        if links:
            self._produce(writer, links)

    def _entry(self, record: Record) -> Entry | None:
        """The record, read; None for one of which nothing is new, and for one that cannot be read (the stage that reads
        it makes the dead letter).
        """
        known = msgspec.structs.replace(record, topic=self._topics[record.topic])
        try:
            entry = read_entry(known, self._key, self._words)
        except Refusal as refusal:
            _log.warning("not taken", at=known.coordinates, code=refusal.code, place=refusal.place)
            return None
        if entry.facts is None or record.offset >= self._known_facts[record.topic, record.partition]:
            return entry
        if entry.facts.only_asks:
            return None
        return msgspec.structs.replace(entry, facts=msgspec.structs.replace(entry.facts, asks={}))

    def _produce_pending(self, writer: TransactionalWriter) -> None:
        """Produce the links that an earlier run stored and may not have produced."""
        stored: Any = self._raw.get(PENDING)
        if stored:
            self._produce(writer, _emits.decode(stored))

    def _produce(self, writer: TransactionalWriter, links: list[Emit]) -> None:
        writer.write([msgspec.structs.replace(link, topic=self._links) for link in links])
        self._write(lambda pipeline: pipeline.delete(PENDING))

    @staticmethod
    def _commit_positions(consumer: Consumer, positions: dict[Place, int]) -> None:
        offsets = [TopicPartition(*place, offset) for place, offset in positions.items()]
        consumer.commit(offsets=offsets, asynchronous=True)
