"""Deciding chunks: the same answer however the records are cut, and one bad record harms nobody else."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.runtime.chunk import decide_chunk, questions, set_aside_undecided
from agents.runtime.contract import AHEAD, Emit, Record, TooCostly, received_of
from agents.runtime.partitioner import partition_of
from agents.runtime.store import ChunkResult, MemoryStore, decoded
from agents.topics import TICKS
from domain.errors import Refusal
from tests.support.counting import Row, counting_stage, fact

STAGE = counting_stage("t", partitions_ticked=True)
T0 = 1_764_000_000_000


def record(offset: int, value: bytes | None, *, received: int | None = None, at: int = T0) -> Record:
    headers = {} if received is None else {"received": str(received).encode(), "sender": b"GENHOSP"}
    return Record("facts.t", 0, offset, b"k", value, at, headers)


def tick(offset: int, at: int) -> Record:
    return Record(TICKS, 0, offset, b"0", msgspec.json.encode({"at": at}), T0)


def run(
    records: Sequence[Record], size: int, *, overlapped: bool, row_limit: int = 512 * 1024
) -> tuple[MemoryStore, list[Emit], list[ChunkResult]]:
    """Decide in chunks of `size`; overlapped: each chunk's fold happens after the next one's decision."""
    rows, emits, results = MemoryStore(), list[Emit](), list[ChunkResult]()
    pending: ChunkResult | None = None
    for start in range(0, len(records), size):
        result = decide_chunk(STAGE, rows, records[start : start + size], pending=pending, row_limit=row_limit)
        if pending is not None:
            rows.apply_committed(pending)
            pending = None
        if overlapped:
            pending = result
        else:
            rows.apply_committed(result)
        emits += result.emits
        results.append(result)
    if pending is not None:
        rows.apply_committed(pending)
    return rows, emits, results


def state(rows: MemoryStore) -> tuple[dict[str, Row], int, set[tuple[int, str]]]:
    return decoded(rows, STAGE), rows.clock, set(rows.due(2**62))


def said(emits: Sequence[Emit], topic: str = "counts.t") -> list[dict[str, object]]:
    return [msgspec.json.decode(emit.value or b"") for emit in emits if emit.topic == topic]


def header(emit: Emit, name: str) -> bytes:
    return dict(emit.headers)[name]


keys = st.sampled_from(["a", "b", "c"])
facts = st.one_of(
    st.builds(lambda key: {"key": key}, keys),
    st.builds(lambda key, do: {"key": key, "do": do}, keys, st.sampled_from(["refuse", "raise"])),
    st.builds(
        lambda key, do: {"key": key, "do": do}, st.sampled_from(["a", "z"]), st.sampled_from(["remove", "raise"])
    ),
    st.builds(lambda key, at: {"key": key, "do": "due", "at": T0 + at}, keys, st.integers(-50, 50)),
    st.builds(lambda key, size: {"key": key, "do": "grow", "bytes": size}, keys, st.integers(1, 60)),
    st.just({"unreadable": True}),
    st.builds(lambda at: {"tick": T0 + at}, st.integers(-60, 60)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(facts, max_size=40), st.integers(1, 9), st.booleans())
def test_cutting_the_records_otherwise_changes_nothing(
    given_facts: list[dict[str, object]], size: int, overlapped: bool
) -> None:
    records = []
    for offset, each in enumerate(given_facts):
        if "tick" in each:
            records.append(tick(offset, int(str(each["tick"]))))
        elif "unreadable" in each:
            records.append(record(offset, b"{"))
        else:
            records.append(record(offset, msgspec.json.encode({"id": offset, **each}), received=T0 + offset))
    whole, emits_of_whole, _ = run(records, max(1, len(records)), overlapped=False, row_limit=120)
    cut, emits_of_cut, _ = run(records, size, overlapped=overlapped, row_limit=120)
    assert state(cut) == state(whole)
    assert emits_of_cut == emits_of_whole
    restored = MemoryStore()
    for key, row in cut.envelopes.items():
        restored.restore(key.encode(), row, STAGE.schema)
    restored.finish_restore()
    assert set(restored.due(2**62)) == set(cut.due(2**62))


def test_a_refused_record_becomes_a_dead_letter_and_the_rest_goes_on() -> None:
    records = [
        record(0, fact(1, "a")),
        record(1, fact(2, "a", do="refuse"), received=T0),
        record(2, b"\xff", received=T0),
        record(3, fact(3, "a")),
    ]
    rows, emits, results = run(records, 10, overlapped=False)
    letters = [emit for emit in emits if emit.topic == "letters.t"]
    assert [(each.key, each.value) for each in letters] == [
        (b"facts.t/0/1", records[1].value),
        (b"facts.t/0/2", b"\xff"),
    ]
    assert [(header(each, "code"), header(each, "place")) for each in letters] == [
        (b"not-wanted", b"do"),
        (b"unreadable", b"fact"),
    ]
    assert header(letters[0], "sender") == b"GENHOSP"
    assert header(letters[0], "stage") == b"counting-t"
    assert header(letters[0], "source") == b"facts.t/0/1"
    assert [each["id"] for each in said(emits)] == [1, 3]
    assert decoded(rows, STAGE)["a"].count == 2
    assert [(fault.code, fault.bug) for fault in results[0].faults] == [("not-wanted", False), ("unreadable", False)]


def test_a_bug_sets_its_record_aside_and_marks_the_row() -> None:
    records = [record(0, fact(1, "a")), record(1, fact(2, "a", do="raise")), record(2, fact(3, "a"))]
    rows, emits, results = run(records, 10, overlapped=False)
    assert [header(each, "code") for each in emits if each.topic == "letters.t"] == [b"internal-error"]
    row = decoded(rows, STAGE)["a"]
    assert (row.count, row.impaired) == (2, True)
    (fault,) = results[0].faults
    assert (fault.bug, fault.error, fault.source) == (True, "RuntimeError", "facts.t/0/1")
    assert fault.where.startswith("counting.py:")
    assert "a bug that met" not in repr(fault)


def test_a_bug_on_the_first_record_of_a_key_leaves_no_row() -> None:
    rows, _, _ = run([record(0, fact(1, "a", do="raise"))], 10, overlapped=False)
    assert len(rows) == 0


def test_a_passing_fault_is_decided_again() -> None:
    failures = iter([True, False])

    def decide(row: Row | None, record: Record, context: object) -> tuple[Row, list[Emit]]:
        if next(failures):
            raise MemoryError
        return Row("a", 1), []

    stage = msgspec.structs.replace(STAGE, decide=decide)
    result = decide_chunk(stage, MemoryStore(), [record(0, fact(1, "a"))])
    assert result.rows["a"].count == 1
    assert result.faults == []


def test_a_fault_in_naming_the_row_is_set_aside() -> None:
    def broken(record: Record) -> str:
        raise KeyError("x")

    stage = msgspec.structs.replace(STAGE, row_key=broken)
    result = decide_chunk(stage, MemoryStore(), [record(0, fact(1, "a"))])
    assert [fault.code for fault in result.faults] == ["internal-error"]
    assert result.changed == {}


def test_a_row_that_cannot_be_encoded_costs_one_record() -> None:
    def encode(row: Row) -> bytes:
        if row.padding:
            raise TypeError("cannot")
        return STAGE.encode(row)

    stage = msgspec.structs.replace(STAGE, encode=encode)
    records = [record(0, fact(1, "a")), record(1, fact(2, "a", do="grow", bytes=3)), record(2, fact(3, "a"))]
    result = decide_chunk(stage, MemoryStore(), records)
    assert [fault.code for fault in result.faults] == ["internal-error"]
    assert result.rows["a"].count == 2


@pytest.mark.parametrize("size", [1, 2, 10])
def test_the_record_that_outgrows_the_row_is_set_aside(size: int) -> None:
    records = [
        record(0, fact(1, "a", do="grow", bytes=60)),
        record(1, fact(2, "a", do="grow", bytes=60)),
        record(2, fact(3, "a", do="grow", bytes=10)),
        record(3, fact(4, "b", do="grow", bytes=10)),
    ]
    rows, emits, _ = run(records, size, overlapped=True, row_limit=120)
    letters = [emit for emit in emits if emit.topic == "letters.t"]
    assert [(each.key, header(each, "code")) for each in letters] == [(b"facts.t/0/1", b"row-too-large")]
    assert len(decoded(rows, STAGE)["a"].padding) == 70
    assert [each["id"] for each in said(emits)] == [1, 3, 4]


def test_an_output_that_kafka_would_not_take_is_set_aside() -> None:
    def decide(row: Row | None, record: Record, context: object) -> tuple[Row, list[Emit]]:
        return Row("a"), [Emit("counts.t", b"a", b"x" * 1_000_000)]

    stage = msgspec.structs.replace(STAGE, decide=decide)
    result = decide_chunk(stage, MemoryStore(), [record(0, fact(1, "a"))])
    assert [fault.code for fault in result.faults] == ["output-too-large"]
    assert result.changed == {}


def test_a_dead_letter_fits_what_a_broker_takes() -> None:
    value = b"{" + b"x" * 1_040_000
    result = decide_chunk(STAGE, MemoryStore(), [record(0, value)])
    (letter,) = result.emits
    assert len(letter.value or b"") == 900_000
    assert header(letter, "cut-from") == b"1040001"


def test_the_clock_follows_the_latest_stamp_and_never_runs_backwards() -> None:
    seen: list[int] = []

    def decide(row: Row | None, record: Record, context: object) -> tuple[Row | None, list[Emit]]:
        seen.append(context.now)  # type: ignore[attr-defined]
        return row, []

    stage = msgspec.structs.replace(STAGE, decide=decide)
    records = [
        record(0, fact(1, "a"), received=T0 - 10),
        record(1, fact(2, "a"), received=T0 - 20),
        record(2, fact(3, "a"), received=T0 + AHEAD),
        record(3, fact(4, "a"), received=T0 + AHEAD + 1, at=T0),
        record(4, fact(5, "a"), at=T0 + AHEAD + 7),
        record(5, fact(6, "a"), received=10**15 - 1),
        tick(6, T0 - 5),
    ]
    result = decide_chunk(stage, MemoryStore(), records)
    assert [at - T0 for at in seen] == [-10, -10, AHEAD, AHEAD, AHEAD + 7, AHEAD + 7]
    assert result.clamped_stamps == 2
    assert result.clock == T0 + AHEAD + 7


def test_a_tick_tells_its_own_time_not_when_it_was_written() -> None:
    records = [record(0, fact(1, "a", do="due", at=T0 - 50), received=T0 - 100), tick(1, T0 - 60)]
    result = decide_chunk(STAGE, MemoryStore(), records)
    assert (result.clock, result.ticked, result.due_decided) == (T0 - 60, T0 - 60, 0)


def test_a_tick_fires_what_is_due_once_oldest_first_and_the_rest_waits() -> None:
    records = [
        record(0, fact(1, "a", do="due", at=T0 + 30), received=T0),
        record(1, fact(2, "b", do="due", at=T0 + 20), received=T0),
        record(2, fact(3, "c", do="due", at=T0 + 99), received=T0),
        record(3, fact(4, "d"), received=T0 + 50),
        tick(4, T0 + 40),
        tick(5, T0 + 60),
    ]
    for size in (1, 3, 6):
        for overlapped in (False, True):
            rows, emits, results = run(records, size, overlapped=overlapped)
            assert [each["due"] for each in said(emits) if "due" in each] == ["b", "a"]
            assert sum(result.due_decided for result in results) == 2
            assert [key for _, key in rows.due(2**62)] == ["c"]


def test_a_row_that_stays_due_fires_again_at_the_next_tick() -> None:
    fired: list[int] = []

    def decide(row: Row | None, record: Record, context: object) -> tuple[Row | None, list[Emit]]:
        if record.topic == TICKS:
            fired.append(record.offset)
            return row, []
        return STAGE.decide(row, record, context)  # type: ignore[arg-type]

    stage = msgspec.structs.replace(STAGE, decide=decide)
    rows = MemoryStore()
    for each in (record(0, fact(1, "a", do="due", at=T0)), tick(1, T0 + 1), tick(2, T0 + 2), tick(3, T0 + 3)):
        rows.apply_committed(decide_chunk(stage, rows, [each]))
    assert fired == [1, 2, 3]


def test_a_bug_in_a_tick_writes_no_dead_letter_and_keeps_the_row_due() -> None:
    def decide(row: Row | None, record: Record, context: object) -> tuple[Row | None, list[Emit]]:
        if record.topic == TICKS:
            raise RuntimeError
        return STAGE.decide(row, record, context)  # type: ignore[arg-type]

    stage = msgspec.structs.replace(STAGE, decide=decide)
    rows = MemoryStore()
    rows.apply_committed(decide_chunk(stage, rows, [record(0, fact(1, "a", do="due", at=T0))]))
    result = decide_chunk(stage, rows, [tick(1, T0 + 1)])
    rows.apply_committed(result)
    assert result.emits == []
    assert [fault.code for fault in result.faults] == ["internal-error"]
    assert result.rows["a"].impaired
    assert [key for _, key in rows.due(T0 + 1)] == ["a"]


@pytest.mark.parametrize("value", [b"", b"{}", b'{"at": -1}', b'{"at": 99999999999999999}', b'{"at": "x"}'])
def test_a_tick_that_is_none_is_refused(value: bytes) -> None:
    result = decide_chunk(STAGE, MemoryStore(), [Record(TICKS, 0, 0, b"0", value, T0)])
    assert [fault.code for fault in result.faults] == ["bad-tick"]


def test_each_question_is_asked_once_and_unreadable_records_ask_none() -> None:
    records = [
        record(0, fact(1, "a", question="q1")),
        record(1, b"{"),
        record(2, fact(2, "b", question="q2")),
        record(3, fact(3, "b", question="q1")),
        tick(4, T0),
    ]
    assert questions(STAGE, records) == ["q1", "q2"]
    answered = decide_chunk(STAGE, MemoryStore(), records, lookups={"q1": "m1", "q2": None})
    assert [each["answer"] for each in said(answered.emits)] == ["m1", None, "m1"]
    away = decide_chunk(STAGE, MemoryStore(), records, lookups=None)
    assert {each["answer"] for each in said(away.emits)} == {"away"}


def test_a_row_that_is_removed_is_removed() -> None:
    rows = MemoryStore()
    rows.apply_committed(decide_chunk(STAGE, rows, [record(0, fact(1, "a")), record(1, fact(2, "b"))]))
    result = decide_chunk(STAGE, rows, [record(2, fact(3, "a", do="remove"))])
    assert result.changed == {"a": None}
    rows.apply_committed(result)
    assert list(rows.envelopes) == ["b"]


def test_a_second_try_may_still_refuse() -> None:
    tries = iter([RuntimeError(), Refusal("not-wanted", "do")])

    def decide(row: Row | None, record: Record, context: object) -> tuple[Row, list[Emit]]:
        raise next(tries)

    stage = msgspec.structs.replace(STAGE, decide=decide)
    result = decide_chunk(stage, MemoryStore(), [record(0, fact(1, "a"))])
    assert [(fault.code, fault.bug) for fault in result.faults] == [("not-wanted", False)]


def test_a_row_that_cannot_be_marked_either_stops_everything() -> None:
    """There is nothing right to write then: better no transaction than a wrong one."""

    def encode(row: Row) -> bytes:
        if row.impaired:
            raise TypeError("cannot")
        return STAGE.encode(row)

    stage = msgspec.structs.replace(STAGE, encode=encode)
    with pytest.raises(TypeError):
        decide_chunk(stage, MemoryStore(), [record(0, fact(1, "a")), record(1, fact(2, "a", do="raise"))])


FOREIGN = msgspec.structs.replace(STAGE, foreign=("facts.t",))


def test_a_record_that_another_system_wrote_to_a_wrong_partition_is_forwarded_once() -> None:
    home = partition_of(b"k", 3)
    wrong = msgspec.structs.replace(record(5, fact(1, "a"), at=T0), partition=(home + 1) % 3)
    result = decide_chunk(FOREIGN, MemoryStore(), [wrong], partitions=3)
    (copy,) = result.emits
    assert (copy.topic, copy.key, copy.value, copy.partition) == ("facts.t", wrong.key, wrong.value, home)
    assert dict(copy.headers) == {"received": str(T0).encode(), "forwarded-from": wrong.coordinates.encode()}
    assert (result.forwarded, result.changed, result.faults) == (1, {}, [])
    arrived = Record("facts.t", home, 9, copy.key, copy.value, T0 + 1, dict(copy.headers))
    assert decide_chunk(FOREIGN, MemoryStore(), [arrived], partitions=3).changed.keys() == {"a"}
    # A copy that is not at home either (the number of partitions has changed) does not travel on.
    lost = msgspec.structs.replace(arrived, partition=(home + 1) % 3)
    result = decide_chunk(FOREIGN, MemoryStore(), [lost], partitions=3)
    assert ([fault.code for fault in result.faults], result.forwarded) == (["wrong-partition"], 0)
    assert [emit.topic for emit in result.emits] == [FOREIGN.dead_letters]


def test_what_is_our_own_and_what_a_shadow_reads_is_not_forwarded() -> None:
    wrong = msgspec.structs.replace(record(5, fact(1, "a")), partition=(partition_of(b"k", 3) + 1) % 3)
    assert decide_chunk(STAGE, MemoryStore(), [wrong], partitions=3).changed.keys() == {"a"}
    shadow = msgspec.structs.replace(FOREIGN, forwards=False)
    result = decide_chunk(shadow, MemoryStore(), [wrong], partitions=3)
    assert (result.emits, result.changed, result.records) == ([], {}, 1)


def test_a_stamp_that_claims_to_be_of_a_later_time_than_its_append_is_the_append_time() -> None:
    stamps = {T0 + AHEAD: T0 + AHEAD, T0 + AHEAD + 1: T0, 10**15 - 1: T0, 0: 0}
    for stamp, taken in stamps.items():
        assert received_of(record(0, b"", received=stamp)) == taken


def test_a_record_that_workers_end_at_is_set_aside_undecided() -> None:
    rows = MemoryStore()
    rows.apply_committed(decide_chunk(STAGE, rows, [record(0, fact(1, "a"))]))
    poison = record(1, fact(2, "a"), received=T0)
    result = set_aside_undecided(STAGE, rows, poison)
    (letter,) = result.emits
    assert (letter.key, letter.value, header(letter, "code")) == (b"facts.t/0/1", poison.value, b"internal-error")
    assert (result.rows["a"].count, result.rows["a"].impaired, result.records) == (1, True, 1)
    assert [(fault.bug, fault.error) for fault in result.faults] == [(True, "CrashLoop")]
    without = set_aside_undecided(STAGE, rows, poison, mark_row=False)
    assert (without.changed, [each.topic for each in without.emits]) == ({}, ["letters.t"])
    assert set_aside_undecided(STAGE, rows, tick(2, T0)).emits == []


def test_a_record_whose_row_takes_too_long_to_name_is_set_aside() -> None:
    def slow(_: Record) -> str:
        raise TooCostly

    result = decide_chunk(msgspec.structs.replace(STAGE, row_key=slow), MemoryStore(), [record(0, fact(1, "a"))])
    assert [fault.code for fault in result.faults] == ["too-costly"]


def test_a_row_that_takes_too_long_to_encode_costs_one_record() -> None:
    def encode(row: Row) -> bytes:
        if row.padding:
            raise TooCostly
        return STAGE.encode(row)

    stage = msgspec.structs.replace(STAGE, encode=encode)
    records = [record(0, fact(1, "a")), record(1, fact(2, "a", do="grow", bytes=3)), record(2, fact(3, "a"))]
    result = decide_chunk(stage, MemoryStore(), records)
    assert [fault.code for fault in result.faults] == ["too-costly"]
    assert result.rows["a"].count == 2


def test_keys_and_headers_count_towards_what_kafka_takes() -> None:
    for emit in (
        Emit("counts.t", b"k" * 500_000, b"x" * 450_000),
        Emit("counts.t", b"k", b"x", (("ce_subject", b"s" * 900_000),)),
        Emit("counts.t", b"k" * 900_001, None),
    ):

        def decide(row: Row | None, record: Record, context: object, emit: Emit = emit) -> tuple[Row, list[Emit]]:
            return Row("a"), [emit]

        result = decide_chunk(msgspec.structs.replace(STAGE, decide=decide), MemoryStore(), [record(0, fact(1, "a"))])
        assert [fault.code for fault in result.faults] == ["output-too-large"]
    long = msgspec.structs.replace(STAGE, row_key=lambda _: "k" * 600_000)
    assert [f.code for f in decide_chunk(long, MemoryStore(), [record(0, fact(1, "a"))]).faults] == ["row-too-large"]
