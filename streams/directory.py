"""The member directory in Redis: the process that keeps it, and the look-up for workers.

One process reads the roster and the unattributed patients, works out what changes (`agents.directory`), and writes that
to Redis together with how far it has read, in one transaction. Links are stored beside them first and produced second,
so a crash in between repeats them and loses none; they are statements with revisions, so a repeat changes nothing.
Redis must be written before a link is produced: a look-up after the link was read must get the new answer.

Redis holds nothing that Kafka does not: when it is empty, or belongs to another cluster, all topics are read again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import redis
import redis.asyncio
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from redis.backoff import NoBackoff
from redis.retry import Retry

from agents.directory import Directory, answer_in, identifier_key, keys_of, resolved, take
from agents.runtime.contract import Emit, Record
from agents.topics import IDENTITY_FACTS, LINKS, ROSTER, UNATTRIBUTED
from domain.errors import Refusal
from domain.patient.groups import Groups
from streams.health import Detail
from streams.kafka.consumers import reader
from streams.kafka.offsets import Place, admin_client, ends, places_of
from streams.kafka.produce import produce_blocking
from streams.kafka.read import record_of, tail
from streams.kafka.settings import KafkaSettings, producer_config

PREFIX: Final = "handoff:directory:"
"""Of every key. Redis must not evict any (`maxmemory-policy noeviction`, its default)."""
POSITIONS: Final = PREFIX + "positions"
"""Hash: `topic/partition` -> next offset, and `cluster` -> the Kafka cluster's ID."""
PENDING: Final = PREFIX + "pending"
CAUGHT_UP: Final = PREFIX + "caught-up"
"""When (ms UTC) the directory had read its topics to the end. Until then a missing entry proves nothing."""
GROUP: Final = "handoff.directory"
_BATCH: Final = 1000
_WAIT_SECONDS: Final = 0.2
_AGAIN_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 1.0
_log = structlog.get_logger("directory")
_emits = msgspec.msgpack.Decoder(list[Emit])


class RedisLookup:
    """Looks up the member of an identifier: `member`, a unit separator, the revision; or None.

    `ask` returns None in place of all answers when Redis does not answer within `seconds`, or does not hold the whole
    roster yet.
    """

    def __init__(self, url: str, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._redis = redis.asyncio.Redis.from_url(
            url,
            decode_responses=True,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), 1),  # one: for a connection that Redis closed while it was idle
        )

    async def ask(self, questions: list[str]) -> dict[str, str | None] | None:
        """The answers to `authority|number` questions, in one round trip."""
        keys = [CAUGHT_UP, *(PREFIX + identifier_key(question) for question in questions)]
        try:
            async with asyncio.timeout(self._seconds):
                found: Any = await self._redis.mget(keys)
        except (redis.RedisError, OSError, TimeoutError):
            return None
        if found[0] is None:
            return None
        return {question: answer_in(text) for question, text in zip(questions, found[1:], strict=True)}

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


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
    """Keeps the directory. `run` works until `stop`, through outages of Redis and Kafka."""

    def __init__(
        self,
        kafka: KafkaSettings,
        url: str,
        *,
        key: bytes,
        roster: str = ROSTER,
        unattributed: str = UNATTRIBUTED,
        facts: str = IDENTITY_FACTS,
        links: str = LINKS,
    ) -> None:
        """`key` is the key of hashes, the same as the workers'. The other names are the topics' as the cluster calls
        them.
        """
        self._kafka, self._key = kafka, key
        self._topics = {roster: ROSTER, unattributed: UNATTRIBUTED, facts: IDENTITY_FACTS}
        self._facts = facts
        self._groups = Groups()
        self._links = links
        self._redis: redis.Redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=10, socket_connect_timeout=3
        )
        self._raw: redis.Redis = redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=3)
        self._unread_facts: set[Place] = set()
        """Partitions of the facts topic whose end was not reached yet since the start."""
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
        return time.monotonic() - self._beat < 60, {"state": self._state}

    def ready(self) -> Detail:
        """Whether the topics have been read to their ends and Redis answers."""
        return self._state == "caught up", {"state": self._state, "taken": self.taken}

    def run(self) -> None:
        """Work until `stop`."""
        while not self._stopping.is_set():
            try:
                self._serve()
            except redis.RedisError as error:
                self._state = "redis away"
                _log.warning("redis away", error=type(error).__name__)
            except KafkaException as error:
                self._state = "kafka away"
                _log.warning("kafka away", error=error.args[0].name())
            self._beat = time.monotonic()
            self._stopping.wait(_AGAIN_SECONDS)

    def _serve(self) -> None:
        """Read from the positions in Redis to the end of the topics, and on; returns when Redis has lost its data."""
        # Never joined: positions are in Redis; what is committed is for `handoff lag`.
        consumer = reader(self._kafka, GROUP)
        producer = Producer(producer_config(self._kafka, **{"log_level": 0, "message.timeout.ms": 30_000}))
        try:
            self._state = "reading"
            places = places_of(consumer, list(self._topics))
            self._start_where_redis_is(consumer, places)
            self._produce_pending(producer)
            self._follow(consumer, producer, set(places))
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
            self._redis.hset(POSITIONS, "cluster", cluster)
        # Groups are in memory: their facts are read whole at every start. Redis knows which resolutions were sent.
        self._groups = Groups()
        begin |= {place: 0 for place in places if place[0] == self._facts}
        self._unread_facts = {place for place in places if place[0] == self._facts and last[place] > 0}
        consumer.assign([TopicPartition(*place, begin[place]) for place in places])
        # Patients come after the whole roster: what is answered about one must not be taken back a moment later.
        self._held_back = {place for place in places if self._topics[place[0]] == UNATTRIBUTED}
        consumer.pause([TopicPartition(*place) for place in self._held_back])

    def _forget_all(self) -> None:
        self._redis.delete(CAUGHT_UP)
        batch: list[str] = []
        for key in self._redis.scan_iter(PREFIX + "*", count=1000):
            batch.append(key)
            if len(batch) >= _BATCH:
                self._redis.delete(*batch)
                batch.clear()
        if batch:
            self._redis.delete(*batch)

    def _follow(self, consumer: Consumer, producer: Producer, behind: set[tuple[str, int]]) -> None:
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
            positions = {f"{topic}/{number}": at for (topic, number), at in batch.positions.items()} if records else {}
            if records or now - looked > _LOOK_SECONDS:
                looked = now
                if not self._redis.hexists(POSITIONS, "cluster"):
                    _log.warning("redis came back empty")
                    return
            if records or (batch.ends and not self._unread_facts):
                self._take(records, positions, producer)
                if positions:
                    self._commit_positions(consumer, positions)
            if not behind and self._state != "caught up":
                self._redis.set(CAUGHT_UP, str(time.time_ns() // 1_000_000))
                self._state = "caught up"
                _log.info("caught up", taken=self.taken)

    def _take(self, records: list[Record], positions: dict[str, int], producer: Producer) -> None:
        known = [msgspec.structs.replace(record, topic=self._topics[record.topic]) for record in records]
        store = _RedisStore(self._redis, (key for record in known for key in keys_of(record, self._key)))
        directory = Directory(store, self._key, self._groups)
        links: list[Emit] = []
        for record in known:
            try:
                links += take(directory, record)
            except Refusal as refusal:
                # The stage that reads the same record makes the dead letter.
                _log.warning("not taken", at=record.coordinates, code=refusal.code, place=refusal.place)
        if not self._unread_facts:
            # A group that is known in part would be resolved, and announced, wrongly.
            links += resolved(directory, time.time_ns() // 1_000_000)
        if not records and not links:
            return
        pipeline = self._raw.pipeline(transaction=True)
        for key, value in store.changed.items():
            if value is None:
                pipeline.delete(PREFIX + key)
            else:
                pipeline.set(PREFIX + key, value)
        if positions:
            pipeline.hset(POSITIONS, mapping={where: str(offset) for where, offset in positions.items()})
        if links:
            pipeline.set(PENDING, msgspec.msgpack.encode(links))
        pipeline.execute()
        self.taken += len(records)
        if links:
            self._produce(producer, links)

    def _produce_pending(self, producer: Producer) -> None:
        """Produce the links that an earlier run stored and may not have produced."""
        stored: Any = self._raw.get(PENDING)
        if stored:
            self._produce(producer, _emits.decode(stored))

    def _produce(self, producer: Producer, links: list[Emit]) -> None:
        failed: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error)

        for link in links:
            produce_blocking(
                producer, self._links, link.value, link.key, headers=list(link.headers), on_delivery=delivered
            )
        if producer.flush(60) or failed:
            raise KafkaException(failed[0] if failed else KafkaError(KafkaError._TIMED_OUT))
        self._raw.delete(PENDING)

    @staticmethod
    def _commit_positions(consumer: Consumer, positions: dict[str, int]) -> None:
        offsets = []
        for where, offset in positions.items():
            topic, _, number = where.rpartition("/")
            offsets.append(TopicPartition(topic, int(number), offset))
        consumer.commit(offsets=offsets, asynchronous=True)
