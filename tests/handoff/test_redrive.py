"""Dead letters driven again: mended, they count as if they had been taken at once; twice, they change nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from agents import reconcile
from agents.runtime.chunk import decide_chunk
from agents.runtime.contract import Emit, Record
from agents.runtime.store import MemoryStore
from agents.topics import ADT_RAW, VISITS
from domain.patient.events import AdtEvent
from domain.times import CALIFORNIA
from gateway.ingress import Ingress
from handoff.cli import app
from handoff.declarations.senders import load_senders
from handoff.embedded.kafka import EmbeddedKafka
from handoff.redrive import CUT, GONE, SUPERSEDED, UNKNOWN, Redrive
from handoff.replay import Replay
from parsers.hl7.adt import read_adt
from parsers.hl7.profiles import Profiles, SenderProfile
from parsers.records.dead_letters import LIMIT as RECORD_LIMIT
from parsers.records.documents import comparable
from parsers.records.links import Link, encode_link
from parsers.records.roster_documents import encode_roster
from parsers.records.roster_file import load_roster
from streams.kafka.produce import ConfirmedProducer, produce_together
from streams.kafka.read import snapshot
from streams.kafka.settings import KafkaSettings
from tests.gateway.running import HOSPITAL, admission, everything
from tests.support.kafka import make_topics, wait_for
from tests.support.replaying import RULES

LETTERS = "adt.dead-letters.v1"
ROSTER = "members.roster.v1"
ANN = "91234567A"
NOW = time.time_ns() // 1_000_000


def letter(value: bytes | None, *, offset: int = 0, source: str = "gateway/general/ab", **headers: bytes) -> Record:
    stage = b"gateway" if source.startswith("gateway") else b"reconcile"
    told = {"code": b"no-patient", "stage": stage, "sender": b"general", "received": b"1000", "source": source.encode()}
    return Record(LETTERS, 0, offset, source.encode(), value, 2000, {**told, **headers})


# What becomes of one letter.


def test_a_message_that_reads_now_keeps_its_first_stamps() -> None:
    given = letter(admission("C1"), offset=7, **{"control-id": b"C1", "content-hash": b"ff", "trace": b"00-1-2-01"})
    verdict = Redrive(Profiles([HOSPITAL])).judge(given)
    assert verdict.outcome == "redriven"
    assert verdict.emit is not None
    assert (verdict.emit.topic, verdict.emit.key, verdict.emit.value) == (ADT_RAW, b"GENHOSP|100", given.value)
    assert dict(verdict.emit.headers) == {
        "sender": b"general",
        "received": b"1000",
        "control-id": b"C1",
        "content-hash": b"ff",
        "trace": b"00-1-2-01",
        "redriven": f"{LETTERS}/0/7".encode(),
    }


@pytest.mark.parametrize("sender", [b"gone", b"default"])
def test_a_profile_that_is_gone_or_was_for_strangers_is_chosen_anew(sender: bytes) -> None:
    emit = Redrive(Profiles([HOSPITAL])).judge(letter(admission("C1"), sender=sender)).emit
    assert emit is not None
    assert dict(emit.headers)["sender"] == b"general"
    refusing = Redrive(Profiles([], refuse_unknown=True)).judge(letter(admission("C1"), sender=sender))
    assert (refusing.outcome, refusing.code) == ("refused", "unknown-sender")


def test_what_is_still_refused_says_todays_reason_and_a_bug_of_ours_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    judging = Redrive(Profiles([HOSPITAL]))
    still = judging.judge(letter(b"MSH|^~\\&|ADT|GENHOSP|||20260301||ADT^A01|1|P|2.5\rPID|1", code=b"not-hl7"))
    assert (still.outcome, still.code, still.place, still.emit) == ("refused", "no-patient", "PID-3", None)

    def broken(raw: bytes, profile: SenderProfile) -> AdtEvent:
        raise ZeroDivisionError

    monkeypatch.setattr("handoff.redrive.read_adt", broken)
    bug = judging.judge(letter(admission("C1")))
    assert (bug.outcome, bug.code) == ("refused", "internal-error")


def test_a_record_of_a_later_stage_goes_back_with_its_key_or_one_that_follows() -> None:
    judging = Redrive(Profiles([HOSPITAL]))
    link = encode_link(Link("assign", "GENHOSP|5", member=ANN, method="operator"))
    given = letter(link, source="identity.links.v1/1/40", code=b"internal-error")
    source = Record("identity.links.v1", 1, 40, b"as it was", link, 900, {"received": b"800", "other": b"x"})
    with_source = judging.judge(given, source).emit
    assert with_source is not None
    assert (with_source.topic, with_source.key, with_source.value) == ("identity.links.v1", b"as it was", link)
    assert dict(with_source.headers) == {"received": b"800", "redriven": f"{LETTERS}/0/0".encode()}
    without = judging.judge(given).emit
    assert without is not None
    assert (without.key, dict(without.headers)["received"]) == (b"GENHOSP|5", b"1000")
    # A key that has become another one since: the message goes where it is read today.
    moved = judging.judge(letter(admission("C1"), source="adt.raw.v1/0/3", code=b"key-mismatch"))
    assert moved.emit is not None
    assert moved.emit.key == b"GENHOSP|100"


def test_what_cannot_be_driven_again_says_why() -> None:
    member = {b"M": Record(ROSTER, 0, 9, b"M", b"{}", 1, {})}
    judging = Redrive(Profiles([HOSPITAL]), rosters=lambda: member)
    answer = json.dumps({"candidate_id": "c", "status": "accepted", "time": "2026-03-01T10:00:00-08:00"}).encode()
    row = json.dumps({"member_id": "M", "birth_date": "1980-01-01"}).encode()
    whys = [
        judging.judge(letter(admission("C1"), truncated=b"1")).why,
        judging.judge(letter(admission("C1"), **{"cut-from": b"2000000"})).why,
        judging.judge(letter(b'{"at": 1}', source="clock.ticks.v1/0/1")).why,
        judging.judge(letter(answer, source="ecm.dispositions.v1/0/1")).why,
        judging.judge(letter(row, source=f"{ROSTER}/0/8"), Record(ROSTER, 0, 8, b"M", row, 1, {})).why,
    ]
    assert whys == [CUT, CUT, UNKNOWN, GONE, SUPERSEDED]
    # The source has whole what the letter has cut; and the row that stands may go again.
    whole = Record(ADT_RAW, 0, 1, b"GENHOSP|100", admission("C1"), 1, {"sender": b"general"})
    cut = letter(admission("C1")[:40], source="adt.raw.v1/0/1", **{"cut-from": b"2000000"})
    assert judging.judge(cut, whole).outcome == "redriven"
    standing = Record(ROSTER, 0, 9, b"M", row, 1, {})
    assert judging.judge(letter(row, source=f"{ROSTER}/0/9"), standing).outcome == "redriven"


# A bug of ours, repaired: through the decisions of the patient stage.


def visits_of(emits: Iterable[Emit]) -> dict[str, Any]:
    """The last snapshot of each visit, without what depends on the way it came about."""
    last = {}
    for emit in emits:
        if emit.topic == VISITS:
            document = json.loads(emit.value or b"")
            kept = {name: value for name, value in document.items() if name not in ("revision", "received")}
            last[document["visit"]] = {**kept, "messages": sorted(each["control_id"] for each in document["messages"])}
    return last


@pytest.mark.parametrize(("broken", "flags"), [("Q1", []), ("Q2", ["impaired"])])
def test_a_quarantined_record_counts_once_the_bug_is_repaired(
    broken: str, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    profiles = Profiles([HOSPITAL])
    messages = [admission("Q1"), admission("Q2").replace(b"A01", b"A03") + b"\r", admission("Q3", patient="7")]
    records = [
        Record(ADT_RAW, 0, n, key, value, 10 * n + 10, {"received": b"%d" % (10 * n + 10), "sender": b"general"})
        for n, (key, value) in enumerate(zip((b"GENHOSP|100", b"GENHOSP|100", b"GENHOSP|7"), messages, strict=True))
    ]
    stage = reconcile.stage(profiles, provisional=True)
    unharmed = visits_of(decide_chunk(stage, MemoryStore(), records, lookups={}).emits)

    def stumbles(raw: bytes, profile: SenderProfile) -> AdtEvent:
        if f"|{broken}|".encode() in raw:
            raise KeyError("a bug")
        return read_adt(raw, profile)

    rows = MemoryStore()
    with monkeypatch.context() as patched:
        patched.setattr("agents.reconcile.decide.read_adt", stumbles)
        result = decide_chunk(reconcile.stage(profiles, provisional=True), rows, records, lookups={})
        rows.apply_committed(result)
    (emitted,) = [emit for emit in result.emits if emit.topic == LETTERS]
    set_aside = Record(LETTERS, 0, 0, emitted.key, emitted.value, 50, dict(emitted.headers))
    assert set_aside.headers["code"] == b"internal-error"
    again = Redrive(profiles).judge(set_aside).emit
    assert again is not None
    driven = [Record(ADT_RAW, 0, 3 + n, again.key, again.value, 60, dict(again.headers)) for n in range(2)]
    first = decide_chunk(stage, rows, driven[:1], lookups={})
    rows.apply_committed(first)
    mended = visits_of([*result.emits, *first.emits])
    # A row that was there when the bug struck goes on saying so.
    usual = unharmed["GENHOSP|V100"].pop("flags")
    assert mended["GENHOSP|V100"].pop("flags") == usual + flags
    assert mended == unharmed
    assert decide_chunk(stage, rows, driven[1:], lookups={}).emits == []
    assert len(again.value or b"") < RECORD_LIMIT


# The whole way: refused by the gateway for its profile, mended, driven again.

PLAIN = """\
authority: TESTHOSP
trust: {messages: [{app: "*", facility: TESTHOSP}]}
"""
MENDED = PLAIN + "medical_record_number: {types: [MR, AN], never: [VN]}\n"


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """A Kafka whose topics have their usual names, for commands know no others."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), quick=True) as cluster:
        names = (ADT_RAW, "custody.raw.v1", ROSTER, LETTERS, "identity.links.v1")
        make_topics(cluster.bootstrap, {name: (2, {}) for name in names})
        yield KafkaSettings(bootstrap=cluster.bootstrap)


def visit(number: int, kind: str) -> bytes:
    """One of Ann's visits to the emergency room, twenty days apart; `kind` is PID-3.5 of her number."""
    at = datetime.fromtimestamp(NOW / 1000, CALIFORNIA) - timedelta(days=20 * number + 5)
    stamp = at.strftime("%Y%m%d%H%M%S%z")
    return (
        f"MSH|^~\\&|REG|TESTHOSP|HUB|PLAN|{stamp}||ADT^A04|R{number}|P|2.5.1\rEVN|A04|{stamp}||||{stamp}\r"
        f"PID|1||100^^^TESTHOSP^{kind}||Sample^Person||19800101|F\rPV1|1|E|||||||||||||||||V{number}\r"
    ).encode()


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def held(kafka: KafkaSettings, topic: str, number: int) -> list[Record]:
    """The records of a topic once there are so many: a transaction shows a moment after it was committed."""
    wait_for(lambda: len(everything(kafka, topic)) >= number, what=f"{number} records")
    found = everything(kafka, topic)
    assert len(found) == number
    return found


def redriven(*arguments: str, code: int = 0) -> dict[str, Any]:
    done = call("deadletters", "redrive", *arguments, "--json")
    assert done.exit_code == code, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def candidates(profiles: Profiles, raw: Iterable[Record]) -> dict[str, Any]:
    """What stands once Ann is on the roster and these records were decided by time of receipt."""
    found: dict[str, Any] = {}

    def sink(topic: str, emit: Emit) -> None:
        if topic == "ecm.candidates.v1":
            found[(emit.key or b"").decode()] = comparable(json.loads(emit.value or b"null"))

    replay = Replay(profiles, RULES, sink)
    row = {"member_id": ANN, "birth_date": "1980-01-01", "plan": "lacare", "county": "Los Angeles"}
    row["identifiers"] = "TESTHOSP|100"
    (member,) = load_roster(msgspec.json.encode({**row, "enrolled_from": "2022-01-01"})).documents
    replay.put(ROSTER, ANN, encode_roster(member), NOW - 1000)
    ordered = sorted(raw, key=lambda each: (int(each.headers["received"]), each.offset))
    for each in ordered:
        received, sender = int(each.headers["received"]), each.headers["sender"].decode()
        replay.put(ADT_RAW, (each.key or b"").decode(), each.value, received, sender)
    replay.finish(max(int(each.headers["received"]) for each in ordered))
    return found


@pytest.mark.kafka
def test_a_profile_is_mended_and_the_candidate_appears_as_if_nothing_had_been(
    own_kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders = tmp_path / "senders"
    senders.mkdir()
    shutil.copy(Path(__file__).parents[2] / "senders" / "default.yaml", senders)
    (senders / "testhosp.yaml").write_text(PLAIN)
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", own_kafka.bootstrap)
    monkeypatch.setenv("HANDOFF_PATHS__SENDERS", str(senders))

    async def give_in(take: Callable[[Ingress], Any]) -> None:
        producer = ConfirmedProducer(own_kafka)
        await take(Ingress(producer, load_senders(senders)))
        await producer.close()

    async def all_five(ingress: Ingress) -> None:
        codes = [(await ingress.accept(visit(n, "AN" if n == 3 else "MR"), None)).code for n in range(1, 6)]
        assert codes == ["AA", "AA", "AE", "AA", "AA"]
        assert (await ingress.accept(b"not HL7", None)).code == "AE"
        assert (await ingress.accept(visit(9, "MR"), None, oversize=True)).code == "AE"

    asyncio.run(give_in(all_five))
    listed = json.loads(call("deadletters", "list", "--code", "no-patient", "--json").stdout)
    assert [(each["sender"], each["state"]) for each in listed] == [("testhosp", "open")]
    at = listed[0]["at"]
    (kept,) = [each for each in snapshot(own_kafka, [LETTERS]) if each.coordinates == at]

    # Nothing is mended yet.
    assert call("deadletters", "redrive").exit_code == 2
    assert call("deadletters", "redrive", f"{LETTERS}/0/999").exit_code == 2
    told = redriven("--all", code=1)
    assert {name: told[name] for name in ("redriven", "refused", "already", "impossible")} == {
        "redriven": 0, "refused": 2, "already": 0, "impossible": 1,
    }  # fmt: skip
    assert {each["code"] for each in told["letters"]} == {"no-patient", "not-hl7", ""}
    assert candidates(load_senders(senders), everything(own_kafka, ADT_RAW)) == {}

    (senders / "testhosp.yaml").write_text(MENDED)
    profiles = load_senders(senders)
    assert redriven(at, "--dry-run")["redriven"] == 1
    assert len(everything(own_kafka, ADT_RAW)) == 4
    assert redriven("--code", "no-patient")["redriven"] == 1
    raw = held(own_kafka, ADT_RAW, 5)
    held(own_kafka, LETTERS, 4)
    (back,) = [each for each in raw if "redriven" in each.headers]
    assert back.headers == {
        **{name: kept.headers[name] for name in ("sender", "received", "control-id", "content-hash", "trace")},
        "redriven": at.encode(),
    }
    assert (back.key, back.value) == (b"TESTHOSP|100", kept.value)
    by_state = {
        state: json.loads(call("deadletters", "list", "--state", state, "--json").stdout)
        for state in ("open", "redriven")
    }
    assert [each["at"] for each in by_state["redriven"]] == [at]
    assert {each["code"] for each in by_state["open"]} == {"not-hl7", "oversize"}
    assert "redriven" in call("deadletters", "list").stdout

    # As if it had been taken at first: the other four, and it, in their order of receipt.
    first = [*(each for each in raw if "redriven" not in each.headers), back]
    expected = candidates(profiles, first)
    (candidate,) = expected.values()
    assert (candidate["population"], candidate["status"], candidate["counts"]["ed"]) == ("2a", "live", 5)

    # Again: nothing is written. And a letter whose message was taken meanwhile changes nothing.
    again = redriven("--code", "no-patient")
    assert (again["redriven"], again["already"]) == (0, 1)
    assert len(everything(own_kafka, ADT_RAW)) == 5

    async def resent(ingress: Ingress) -> None:
        assert (await ingress.accept(visit(3, "AN"), None)).code == "AA"

    asyncio.run(give_in(resent))
    twice = held(own_kafka, ADT_RAW, 6)
    assert candidates(profiles, twice) == expected
    everything_said = call("deadletters", "list").output + call("deadletters", "redrive", "--all").output
    assert "Sample" not in everything_said
    assert ANN not in everything_said


@pytest.mark.kafka
def test_a_letter_of_a_stage_goes_back_from_its_source_record(
    own_kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", own_kafka.bootstrap)
    topic = "identity.links.v1"
    link = encode_link(Link("assign", "GENHOSP|5", member=ANN, method="operator"))
    produce_together(own_kafka, [Emit(topic, b"GENHOSP|5", link, (("received", b"800"),)) for _ in range(3)])
    source = held(own_kafka, topic, 3)[1]
    letters = len(everything(own_kafka, LETTERS))
    told = (("code", b"internal-error"), ("stage", b"reconcile"), ("source", source.coordinates.encode()))
    produce_together(own_kafka, [Emit(LETTERS, source.coordinates.encode(), link, told)])
    held(own_kafka, LETTERS, letters + 1)
    assert redriven("--code", "internal-error")["redriven"] == 1
    back = [each for each in held(own_kafka, topic, 4) if "redriven" in each.headers]
    held(own_kafka, LETTERS, letters + 2)
    assert [(each.key, each.value, each.partition) for each in back] == [(b"GENHOSP|5", link, source.partition)]
    assert back[0].headers["received"] == b"800"
    again = redriven("--code", "internal-error")
    assert (again["redriven"], again["already"]) == (0, 1)
    assert [each["at"] for each in again["letters"]] == [back[0].headers["redriven"].decode()]
