"""Drive dead letters again, after a correction of a profile or of the code.

A letter of an ADT message, whichever stage set it aside, is read anew with today's profiles and goes to the raw topic
under the key that follows; letters of other topics go back as they were. The stamps stay the first ones (`received`,
control ID, content hash), so the fold puts the facts where they belong in time. It does not depend on repetition: a
letter whose message was taken meanwhile, or that two operators drive at once, changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

import msgspec

from agents.runtime.contract import Emit, Record
from agents.topics import ADT_RAW, CUSTODY_RAW, DISPOSITIONS, LINKS, ROSTER, VISITS
from domain.errors import Refusal
from domain.rules.vocabulary import OPEN, Vocabulary
from handoff.dead_letters import REDRIVEN, LetterState, chosen, header, marker
from parsers.hl7.adt import raw_key, read_adt
from parsers.hl7.envelope import read_envelope
from parsers.hl7.profiles import DEFAULT, Profiles, SenderProfile
from parsers.records.custody import read_custody
from parsers.records.dead_letters import INTERNAL_ERROR
from parsers.records.dispositions import read_disposition
from parsers.records.links import decode_link
from parsers.records.roster import read_roster
from parsers.records.visits import decode_snapshot
from streams.kafka.produce import produce_together
from streams.kafka.read import at_places, latest
from streams.kafka.settings import KafkaSettings

TOGETHER: Final = 200
"""Letters of one transaction."""
ALREADY: Final = "already"
REFUSED: Final = "refused"
IMPOSSIBLE: Final = "impossible"
CUT: Final = "only its beginning was kept"
GONE: Final = "its source record is gone, and its key is unknown"
SUPERSEDED: Final = "there is a later roster row of this member"
UNKNOWN: Final = "records of this topic are not driven again"
_KEPT: Final = ("sender", "received", "control-id", "content-hash", "trace")
Place = tuple[str, int, int]


class Verdict(msgspec.Struct, frozen=True):
    """The outcome of one letter. `outcome`: redriven, already, refused (still, with `code` and `place`), impossible.

    `why` says why it is impossible; `emit` is the record that goes back.
    """

    at: str
    outcome: str
    code: str = ""
    place: str = ""
    why: str = ""
    emit: Emit | None = None


def _read_custody(value: bytes) -> str:
    return read_custody(value).key


def _read_disposition(value: bytes) -> str:
    read_disposition(value)
    return ""


_READERS: Final[dict[str, Callable[[bytes], str]]] = {
    CUSTODY_RAW: _read_custody,
    LINKS: lambda value: decode_link(value).patient,
    VISITS: lambda value: decode_snapshot(value)[0],
    DISPOSITIONS: _read_disposition,
}
"""For each topic but the roster, the reader of its stage: returns the key ("" when the value has none), or raises
Refusal."""


def source_of(letter: Record) -> Place | None:
    """Place of the refused record: the cluster's name of the topic, partition, offset. None: the gateway refused it."""
    topic, _, rest = header(letter, "source").partition("/")
    partition, _, offset = rest.partition("/")
    if header(letter, "stage") == "gateway" or not (partition.isdigit() and offset.isdigit()):
        return None
    return topic, int(partition), int(offset)


class Redrive:
    """Decides letters with today's profiles and roster words. `declared` gives a topic's declared name, `rosters` the
    latest roster row of each member (called only when there is a letter of the roster)."""

    def __init__(
        self,
        profiles: Profiles,
        declared: Callable[[str], str] = lambda topic: topic,
        rosters: Callable[[], Mapping[bytes, Record]] = dict,
        words: Vocabulary = OPEN,
    ) -> None:
        self._readers: dict[str, Callable[[bytes], str]] = {
            **_READERS,
            ROSTER: lambda value: read_roster(value, words).member_id,
        }
        self._profiles = profiles
        self._named = {profile.name for profile in profiles}
        self._declared, self._rosters = declared, rosters
        self._latest: Mapping[bytes, Record] | None = None

    def judge(self, letter: Record, source: Record | None = None) -> Verdict:
        """What becomes of `letter`; `source` is the record it was made of, where that still exists. Raises nothing."""
        try:
            return Verdict(letter.coordinates, REDRIVEN, emit=self._again(letter, source))
        except _Impossible as impossible:
            return Verdict(letter.coordinates, IMPOSSIBLE, why=str(impossible))
        except Refusal as refusal:
            return Verdict(letter.coordinates, REFUSED, refusal.code, refusal.place)
        except Exception:
            # Bug not fixed yet: keep the letter open.
            return Verdict(letter.coordinates, REFUSED, INTERNAL_ERROR)

    def _again(self, letter: Record, source: Record | None) -> Emit:
        whole = source if source is not None else letter
        if source is None and ("truncated" in letter.headers or "cut-from" in letter.headers):
            raise _Impossible(CUT)
        place = source_of(letter)
        topic = ADT_RAW if place is None else self._declared(place[0])
        if topic == ADT_RAW:
            return self._message(letter, whole)
        if topic not in self._readers:
            raise _Impossible(UNKNOWN)
        stated = "" if whole.value is None else self._readers[topic](whole.value)
        key = whole.key if source is not None else stated.encode()
        if not key:
            raise _Impossible(GONE)
        if topic == ROSTER:
            self._is_latest(key, place)
        headers = [(name, value) for name, value in whole.headers.items() if name in _KEPT]
        return Emit(topic, key, whole.value, (*_stamped(headers, letter, whole), _note(letter)))

    def _message(self, letter: Record, whole: Record) -> Emit:
        value = whole.value or b""
        profile = self._profile(header(letter, "sender"), value)
        event = read_adt(value, profile)
        kept = {name: whole.headers[name] for name in _KEPT if name in whole.headers}
        kept["sender"] = profile.name.encode()
        if not kept.get("control-id"):
            kept["control-id"] = event.control_id.encode()
        key = raw_key(event.patient, event.sender, event.control_id)
        return Emit(ADT_RAW, key, value, (*_stamped([*kept.items()], letter, whole), _note(letter)))

    def _profile(self, sender: str, value: bytes) -> SenderProfile:
        """The profile that the letter names. Chosen anew where that one is gone, or was the one for strangers."""
        if sender in self._named and sender != DEFAULT:
            return self._profiles.named(sender)
        envelope = read_envelope(value)
        return self._profiles.choose(envelope.sending_app, envelope.sending_facility)

    def _is_latest(self, key: bytes, place: Place | None) -> None:
        """A compacted topic is a table: an older row must not overwrite a later one. Raises _Impossible."""
        if self._latest is None:
            self._latest = self._rosters()
        current = self._latest.get(key)
        if current is not None and place is not None and (current.partition, current.offset) > place[1:]:
            raise _Impossible(SUPERSEDED)


class _Impossible(Exception):
    """The letter cannot be driven again, whatever is corrected."""


def _stamped(headers: list[tuple[str, bytes]], letter: Record, whole: Record) -> list[tuple[str, bytes]]:
    """The headers with the time of the first receipt: the append time where there is no `received` header."""
    if any(name == "received" for name, _ in headers):
        return headers
    first = whole if whole is not letter else letter
    return [*headers, ("received", str(first.timestamp).encode())]


def _note(letter: Record) -> tuple[str, bytes]:
    return REDRIVEN, letter.coordinates.encode()


def redrive(
    kafka: KafkaSettings, profiles: Profiles, words: Vocabulary, state: LetterState, *, dry_run: bool = False
) -> Iterator[Verdict]:
    """Drive the letters of `state` again, a few hundred in one transaction, and yield the outcome of each.

    A verdict is yielded once its transaction is committed. Raises NotConfirmed: earlier verdicts hold, the rest is
    unchanged; KafkaException when the cluster does not answer.
    """
    for at in sorted(state.letters & state.redriven):
        yield Verdict(at, ALREADY)
    judging = Redrive(profiles, kafka.declared, lambda: latest(kafka, ROSTER), words)
    letters = chosen(kafka, state.letters - state.redriven)
    while batch := list(islice(letters, TOGETHER)):
        sources = _sources(kafka, batch)
        verdicts = [judging.judge(letter, sources.get(source_of(letter) or ("", 0, 0))) for letter in batch]
        if not dry_run:
            emits = [
                emit
                for letter, verdict in zip(batch, verdicts, strict=True)
                if verdict.emit is not None
                for emit in (verdict.emit, marker(letter))
            ]
            if emits:
                produce_together(kafka, emits)
        yield from verdicts


def _sources(kafka: KafkaSettings, letters: Iterable[Record]) -> dict[Place, Record]:
    places = {place for letter in letters if (place := source_of(letter)) is not None}
    if not places:
        return {}
    return {(each.topic, each.partition, each.offset): each for each in at_places(kafka, places)}


def counted(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many of each outcome, those that did not occur too."""
    found = Counter(verdict.outcome for verdict in verdicts)
    return {outcome: found[outcome] for outcome in (REDRIVEN, REFUSED, ALREADY, IMPOSSIBLE)}
