"""The way of one message through the gateway, the same for every listener: read it, produce it to Kafka, answer.

AA promises one thing: Kafka has confirmed the bytes (`acks=all`). AE: the message cannot be used, and its bytes are on
the dead-letter topic, so that it need not be sent again. AR: it could not be stored (Kafka is unavailable); send it
again later. docs/integrating.md#what-an-answer-means
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from hashlib import sha256
from random import getrandbits
from typing import Final

import msgspec

from domain.errors import Refusal
from domain.identity import MOST_CHARACTERS
from gateway import metrics, signals
from gateway.config import Topics
from parsers.hl7.ack import Outcome, acknowledge, answer_code
from parsers.hl7.adt import raw_key, read_adt
from parsers.hl7.dialects import UNMAPPED
from parsers.hl7.envelope import Envelope, read_envelope
from parsers.hl7.origin import origin
from parsers.hl7.profiles import DEFAULT, Profiles, SenderProfile
from parsers.records.dead_letters import INTERNAL_ERROR, OVERSIZE, dead_letter
from streams.kafka.produce import ConfirmedProducer, NotConfirmed

_GRACE_SECONDS: Final = 5.0


class Answer(msgspec.Struct, frozen=True):
    """The answer to a message. `body` is the acknowledgment, b"" when none is wanted; `code` its MSA-1 (or "")."""

    outcome: Outcome
    code: str
    body: bytes
    close: bool = False
    """The rest of the stream cannot be read: close the connection once this is written."""
    reason: str = ""
    """Of a message that was set aside: the dead letter's code."""
    place: str = ""
    """Of a message that was set aside: the field at fault, "" for the whole."""


class Received(msgspec.Struct, frozen=True):
    """A message in flight, before it is parsed. `at`: its receipt, ms UTC; `content_hash`: SHA-256 of `raw`, hex."""

    raw: bytes
    envelope: Envelope | None
    profile: SenderProfile
    at: int
    content_hash: str


class Ingress:
    """Shared by all listeners. It answers only after Kafka's confirmation, or without it as AR."""

    def __init__(
        self,
        producer: ConfirmedProducer,
        profiles: Profiles,
        topics: Topics = Topics(),
        remembered: int = 50_000,
    ) -> None:
        """`remembered`: how many confirmed messages are recognized when they are sent a second time."""
        self.producer = producer
        self.profiles = profiles
        self.topics = topics
        self.activity = metrics.SenderActivity(profile.name for profile in profiles if profile.name != DEFAULT)
        self._remembered = remembered
        self._confirmed: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self.longest = 2 * producer.seconds + _GRACE_SECONDS
        """Seconds after which a message will not be answered (it may be produced twice: once to the dead letters)."""
        self.under_way = 0
        """Messages that wait for Kafka's confirmation."""
        self._prefix = os.urandom(4).hex()
        self._answers = 0

    async def accept(self, raw: bytes, peer: str | None, oversize: bool = False, sender: str = "") -> Answer:
        """Take one message and give its answer. Raises nothing.

        `peer`: the certificate's name or the address of the sender (None: unknown). `oversize`: `raw` is only the
        beginning of a message that is too long. `sender`: the profile's name, where it is known beforehand.
        """
        start = time.perf_counter()
        received, refusal = self._identify(raw, peer, sender)
        self.under_way += 1
        try:
            answer = await self._take(received, refusal, oversize)
        except NotConfirmed as error:
            signals.not_confirmed(received.profile.name, error.why)
            answer = self._answer(received, "rejected", text="not stored, send again", close=oversize)
        finally:
            self.under_way -= 1
        signals.answered(received.profile.name, answer.code, time.perf_counter() - start)
        self.activity.seen(received.profile.name)
        return answer

    def ends_alone(self, head: bytes, peer: str | None) -> bool:
        """Whether the profile of a message that begins with `head` allows FS without CR as its end."""
        try:
            envelope = read_envelope(head)
            return self.profiles.choose(envelope.sending_app, envelope.sending_facility, peer).ends_alone
        except Refusal:
            return True

    def _identify(self, raw: bytes, peer: str | None, sender: str = "") -> tuple[Received, Refusal | None]:
        """The header, and the profile that it selects; the default profile, and a refusal, where that fails."""
        envelope: Envelope | None = None
        refusal: Refusal | None = None
        profile = self.profiles.named(DEFAULT)
        try:
            envelope = read_envelope(raw)
        except Refusal as error:
            refusal = error
        try:
            names = ("", "") if envelope is None else (envelope.sending_app, envelope.sending_facility)
            profile = self.profiles.named(sender) if sender else self.profiles.choose(*names, peer)
        except Refusal as error:
            refusal = refusal or error
            metrics.UNKNOWN.labels("refused").inc()
        else:
            if envelope is not None and profile.name == DEFAULT:
                metrics.UNKNOWN.labels("taken").inc()
        now = time.time_ns() // 1_000_000
        return Received(raw, envelope, profile, now, sha256(raw).hexdigest()), refusal

    async def _take(self, received: Received, refusal: Refusal | None, oversize: bool) -> Answer:
        if oversize:
            return await self._set_aside(received, Refusal(OVERSIZE, "", "the message is too long"), close=True)
        if refusal is not None:
            return await self._set_aside(received, refusal)
        control_id = received.envelope.control_id if received.envelope else ""
        known = (received.profile.name, control_id, received.content_hash)
        if known in self._confirmed:
            metrics.RESENDS.labels(received.profile.name).inc()
            return self._answer(received, "accepted")
        try:
            event = read_adt(received.raw, received.profile)
        except Refusal as error:
            return await self._set_aside(received, error)
        except Exception as bug:
            # The bytes must not stop the sender's queue for ever: set them aside, to be driven again once it is fixed.
            signals.unreadable(received.profile.name, bug)
            return await self._set_aside(received, Refusal(INTERNAL_ERROR))
        try:
            key = raw_key(event.patient, event.sender, event.control_id)
            headers = self._headers(received, event.control_id)
            if places := [each.removeprefix(UNMAPPED) for each in event.notes if each.startswith(UNMAPPED)]:
                headers.append(("unmapped", " ".join(places).encode()))
                signals.unmapped(received.profile.name, places)
            await self._send(self.topics.raw, key, received.raw, headers)
        except NotConfirmed as error:
            if not error.too_large:
                raise
            return await self._set_aside(received, Refusal(OVERSIZE, "", "the message is too long"))
        if control_id:
            self._confirmed[known] = None
            if len(self._confirmed) > self._remembered:
                self._confirmed.popitem(last=False)
        return self._answer(received, "accepted")

    async def _set_aside(self, received: Received, refusal: Refusal, close: bool = False) -> Answer:
        """Produce the bytes to the dead-letter topic; AE once they are confirmed. Raises NotConfirmed."""
        control_id = received.envelope.control_id if received.envelope is not None else ""
        kept = [*self._headers(received, control_id)]
        if refusal.code == OVERSIZE:
            kept.append(("truncated", b"1"))
        source = f"gateway/{received.profile.name}/{received.content_hash[:16]}"
        value, headers = dead_letter(
            received.raw, code=refusal.code, place=refusal.place, stage="gateway", kept=tuple(kept), source=source
        )
        await self._send(self.topics.dead_letters, source.encode(), value or b"", list(headers))
        signals.set_aside(received.profile.name, refusal.code, refusal.place)
        text = refusal.detail or refusal.code
        return self._answer(received, "error", text=text, place=refusal.place, error_code=refusal.code, close=close)

    async def store(self, topic: str, key: bytes, value: bytes) -> None:
        """Produce a roster or custody document. Raises NotConfirmed."""
        now = str(time.time_ns() // 1_000_000).encode()
        await self._send(topic, key, value, [("received", now), ("trace", _trace())])

    async def _send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        # librdkafka bounds the wait. Should it fail to, `longest` bounds the connection (a timer for each message would
        # cost more than its answer).
        await self.producer.send(topic, key, value, headers)

    def _headers(self, received: Received, control_id: str) -> list[tuple[str, bytes]]:
        envelope = received.envelope
        names = ("", "") if envelope is None else (envelope.sending_app, envelope.sending_facility)
        return [
            ("sender", received.profile.name.encode()),
            ("origin", origin(*names).encode()),
            ("received", str(received.at).encode()),
            # A message that is refused for a longer one must still fit into a dead letter.
            ("control-id", control_id[:MOST_CHARACTERS].encode()),
            ("content-hash", received.content_hash.encode()),
            ("trace", _trace()),
        ]

    def _answer(
        self,
        received: Received,
        outcome: Outcome,
        *,
        text: str = "",
        place: str = "",
        error_code: str = "",
        close: bool = False,
    ) -> Answer:
        profile = received.profile
        code = answer_code(received.envelope, outcome, profile.aa_only, profile.answer_never)
        if not code:
            return Answer(outcome, "", b"", close, error_code, place)
        self._answers += 1
        own = f"{self._prefix}{self._answers:x}"
        at = time.time_ns() // 1_000_000
        body = acknowledge(received.envelope, code, own, at, text, place, error_code)
        return Answer(outcome, code, body, close, error_code, place)


def _trace() -> bytes:
    """A W3C trace context of its own for each message: version, trace ID, parent ID, sampled."""
    return b"00-%032x-%016x-01" % (getrandbits(128), getrandbits(64))
