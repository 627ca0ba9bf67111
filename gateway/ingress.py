"""Taking one message, whichever door it came through: read it, let Kafka hold it, then answer.

The promise behind AA is one thing only: Kafka has confirmed the bytes (`acks=all`). AE says that the message cannot be
used and that its bytes are safe among the dead letters, so that it need not be sent again. AR says that we could not
keep it (Kafka is away): send it again later.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from hashlib import sha256
from random import getrandbits
from typing import Final

import msgspec
import structlog

from agents.topics import ADT_RAW, CUSTODY_RAW, DEAD_LETTERS, ROSTER
from domain.errors import Refusal
from domain.patient.events import AdtEvent
from gateway import metrics
from parsers.hl7.ack import Outcome, acknowledge, answer_code
from parsers.hl7.adt import read_adt
from parsers.hl7.envelope import Envelope, read_envelope
from parsers.hl7.profiles import DEFAULT, Profiles, SenderProfile
from parsers.records.dead_letters import dead_letter
from streams.engine.metrics import DEAD_LETTERS as DEAD_LETTER_COUNT
from streams.kafka.produce import ConfirmedProducer, NotConfirmed

OVERSIZE: Final = "oversize"
INTERNAL: Final = "internal-error"
_GRACE_SECONDS: Final = 5.0
_log = structlog.get_logger("gateway")


class Topics(msgspec.Struct, frozen=True):
    """Where things go (tests have names of their own)."""

    raw: str = ADT_RAW
    custody: str = CUSTODY_RAW
    roster: str = ROSTER
    dead_letters: str = DEAD_LETTERS


class Answer(msgspec.Struct, frozen=True):
    """What to tell the sender. `body` is the acknowledgement, b"" when none is wanted; `code` its MSA-1 (or "")."""

    outcome: Outcome
    code: str
    body: bytes
    close: bool = False
    """The sender cannot be followed any further: close the connection once this is written."""
    reason: str = ""
    """Of a message that was set aside: the dead letter's code."""
    place: str = ""
    """Of a message that was set aside: the field at fault, "" for the whole."""


class Received(msgspec.Struct, frozen=True):
    """A message under way: what is known of it before it is read."""

    raw: bytes
    envelope: Envelope | None
    profile: SenderProfile
    received: int
    content_hash: str


class Ingress:
    """The shared way in. Answers are given only after Kafka's confirmation, or without it as AR."""

    def __init__(
        self,
        producer: ConfirmedProducer,
        profiles: Profiles,
        topics: Topics = Topics(),
        remembered: int = 50_000,
    ) -> None:
        """`remembered`: how many confirmed messages are known again when they are sent a second time."""
        self.producer = producer
        self.profiles = profiles
        self.topics = topics
        self.hearing = metrics.SenderActivity(profile.name for profile in profiles if profile.name != DEFAULT)
        self._remembered = remembered
        self._confirmed: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self.longest = 2 * producer.seconds + _GRACE_SECONDS
        """Seconds after which a message is not going to be answered any more (it may be written twice: once aside)."""
        self.under_way = 0
        """Messages that wait for Kafka now."""
        self._prefix = os.urandom(4).hex()
        self._answers = 0

    async def accept(self, raw: bytes, peer: str | None, oversize: bool = False, sender: str = "") -> Answer:
        """Takes one message and says what to answer; never raises.

        `peer` is the certificate's name or the address of the sender (None: not known). `oversize`: `raw` is only the
        beginning of a message that is too long. `sender` names the profile where that is known beforehand.
        """
        start = time.perf_counter()
        taken, refusal = self._look(raw, peer, sender)
        self.under_way += 1
        try:
            answer = await self._take(taken, refusal, oversize)
        except NotConfirmed as error:
            _log.warning("not stored", sender=taken.profile.name, why=error.why)
            answer = self._answer(taken, "rejected", text="not stored, send again", close=oversize)
        finally:
            self.under_way -= 1
        sender = taken.profile.name
        metrics.MESSAGES.labels(sender, answer.code or "none").inc()
        metrics.ACK_SECONDS.observe(time.perf_counter() - start)
        self.hearing.heard(sender)
        return answer

    def ends_alone(self, head: bytes, peer: str | None) -> bool:
        """Whether the sender of a message, of which `head` is the beginning, may end it in FS without CR."""
        try:
            envelope = read_envelope(head)
            return self.profiles.choose(envelope.sending_app, envelope.sending_facility, peer).ends_alone
        except Refusal:
            return True

    def _look(self, raw: bytes, peer: str | None, sender: str = "") -> tuple[Received, Refusal | None]:
        """The header, and the profile that it chooses; the default one when that fails."""
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
        received = time.time_ns() // 1_000_000
        return Received(raw, envelope, profile, received, sha256(raw).hexdigest()), refusal

    async def _take(self, taken: Received, refusal: Refusal | None, oversize: bool) -> Answer:
        if oversize:
            return await self._set_aside(taken, Refusal(OVERSIZE, "", "the message is too long"), close=True)
        if refusal is not None:
            return await self._set_aside(taken, refusal)
        known = (taken.profile.name, taken.envelope.control_id if taken.envelope else "", taken.content_hash)
        if known in self._confirmed:
            metrics.RESENDS.labels(taken.profile.name).inc()
            return self._answer(taken, "accepted")
        try:
            event = read_adt(taken.raw, taken.profile)
        except Refusal as error:
            return await self._set_aside(taken, error)
        except Exception as bug:
            # The bytes must not stop the sender's queue for ever: set them aside, to be driven again after the repair.
            _log.error("message not read", sender=taken.profile.name, error=type(bug).__name__)
            return await self._set_aside(taken, Refusal(INTERNAL))
        try:
            await self._send(self.topics.raw, raw_key(event), taken.raw, self._headers(taken, event.control_id))
        except NotConfirmed as error:
            if not error.too_large:
                raise
            return await self._set_aside(taken, Refusal(OVERSIZE, "", "the message is too long"))
        if known[1]:
            self._confirmed[known] = None
            if len(self._confirmed) > self._remembered:
                self._confirmed.popitem(last=False)
        return self._answer(taken, "accepted")

    async def _set_aside(self, taken: Received, refusal: Refusal, close: bool = False) -> Answer:
        """The bytes to the dead letters; AE once they are there."""
        control_id = taken.envelope.control_id if taken.envelope is not None else ""
        kept = [*self._headers(taken, control_id)]
        if refusal.code == OVERSIZE:
            kept.append(("truncated", b"1"))
        source = f"gateway/{taken.profile.name}/{taken.content_hash[:16]}"
        value, headers = dead_letter(
            taken.raw, code=refusal.code, place=refusal.place, stage="gateway", kept=tuple(kept), source=source
        )
        await self._send(self.topics.dead_letters, source.encode(), value or b"", list(headers))
        DEAD_LETTER_COUNT.labels(refusal.code).inc()
        _log.info("set aside", sender=taken.profile.name, code=refusal.code, place=refusal.place)
        text = refusal.detail or refusal.code
        return self._answer(taken, "error", text=text, place=refusal.place, error_code=refusal.code, close=close)

    async def store(self, topic: str, key: bytes, value: bytes) -> None:
        """Writes a roster or custody document. Raises NotConfirmed."""
        received = str(time.time_ns() // 1_000_000).encode()
        await self._send(topic, key, value, [("received", received), ("trace", _trace())])

    async def _send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        # librdkafka keeps the time. For the day when it does not, `longest` bounds the connection (a timer for each
        # message would cost more than answering it).
        await self.producer.send(topic, key, value, headers)

    def _headers(self, taken: Received, control_id: str) -> list[tuple[str, bytes]]:
        return [
            ("sender", taken.profile.name.encode()),
            ("received", str(taken.received).encode()),
            ("control-id", control_id.encode()),
            ("content-hash", taken.content_hash.encode()),
            ("trace", _trace()),
        ]

    def _answer(
        self,
        taken: Received,
        outcome: Outcome,
        *,
        text: str = "",
        place: str = "",
        error_code: str = "",
        close: bool = False,
    ) -> Answer:
        profile = taken.profile
        code = answer_code(taken.envelope, outcome, profile.aa_only, profile.answer_never)
        if not code:
            return Answer(outcome, "", b"", close, error_code, place)
        self._answers += 1
        own = f"{self._prefix}{self._answers:x}"
        at = time.time_ns() // 1_000_000
        body = acknowledge(taken.envelope, code, own, at, text, place, error_code)
        return Answer(outcome, code, body, close, error_code, place)


def raw_key(event: AdtEvent) -> bytes:
    """The key of a message on the raw topic: its patient key; where that is nobody's, its sender and control ID."""
    return (event.patient or f"{event.sender}|{event.control_id}").encode()


def _trace() -> bytes:
    """A W3C trace context of its own for each message: version, trace ID, parent ID, sampled."""
    return b"00-%032x-%016x-01" % (getrandbits(128), getrandbits(64))
