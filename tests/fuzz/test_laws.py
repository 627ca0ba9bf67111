"""The laws over invented and damaged input of every kind, in seconds; `make fuzz` does the same by the million."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import Refusal
from parsers.hl7 import refusals as codes
from parsers.hl7.envelope import read_envelope
from tests.fuzz import laws
from tests.fuzz.aware import run
from tests.fuzz.mutate import Mutator
from tests.fuzz.seeds import INVENTED, ROWS, TIMES, batches, messages, streams
from tests.fuzz.tally import KEPT, Tally
from tests.parsers.writing import adt

HEADER = b"MSH|^~\\&|ADT|GEN|||20261123100000||ADT^A01|%b|P|2.5|||||%b\rPID|||100^^^GEN^MR\r"
FOUND = [
    adt(evn={6: "99991231235959"}, pv1={19: ""}),
    adt(evn={2: "99991231-1500"}, msh={7: "00010101+1500"}, pv1={19: ""}),
    adt(pid={29: "99991231"}, pv1={44: "00010101", 19: ""}),
    adt(msh={2: "~~~~", 9: "ADT~A01"}),
    adt(msh={2: "^\u00e9\\&", 10: "A\u00e9"}),
    adt().decode().encode("utf-16"),
    adt(msh={10: "\u0130"}).rstrip().decode().encode("utf-16"),
    b"\xef\xbb\xbf" + HEADER % (b"A\xc4\xb0", b"8859/1"),
    b"\x0b\xef\xbb\xbf" + HEADER % (b"A", b""),
    HEADER % (b"MS\x1cG\x0b1", b"8859/\x1c"),
    HEADER % (b"1\x1c", b"x") + b"\x1c",
    HEADER % (b"\\XC383\\\\XC2A9\\", b""),
    b"MSH|^~\\&|ADT|GEN|||20261123100000||ADT^A01|..\x00\rPID|||100\r",
    b"MSH|^~\\&|ADT|GEN|||2026\x00\rPID|||100\r",
    b"MSH\xc2\xa7^~\\&\xc2\xa7ADT\xc2\xa7GEN",
]
"""Messages that broke a law once, and their like."""
FOUND_ROWS = [
    b'{"record_id": ' + b"[" * 5000,
    b'{"record_id": "\xff"}',
    b'{"record_id": "R", "kind": "booked", "occurred": "9999-12-31T23:59:59-08:00", "cin": "91234567A"}',
    b'{"record_id": "R", "kind": "booked", "occurred": "0001-01-01T00:00:00+14:00", "cin": "91234567A"}',
    b"a" * 200_000,
    b"member_id,birth_date\rM1,1980-01-01\nM2,x\r",
]


@pytest.mark.parametrize("raw", [*INVENTED, *FOUND])
def test_messages(raw: bytes) -> None:
    for profile in laws.PROFILES:
        laws.message(raw, profile)
    laws.stream(raw + laws.frame(raw))
    laws.batch(raw)


@pytest.mark.parametrize("data", [*ROWS, *FOUND_ROWS])
def test_rows(data: bytes) -> None:
    laws.rows(data)


def test_damage_that_knows_hl7(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    tally = Tally("aware", 3000)
    monkeypatch.chdir(str(tmp_path))  # what a surprise leaves is not to land among the real ones
    run(tally, Mutator(messages(), 7), 3000)
    assert (tally.runs, tally.surprises) == (3000, 0)
    assert tally.read + tally.refusals.total() == 3000
    # Damage that kills each message at its header would show nothing.
    assert tally.read > 2000
    assert set(tally.refusals) >= {codes.NO_PATIENT, codes.NO_TIME, codes.NO_TRIGGER, codes.NOT_ADT, codes.NOT_HL7}


def test_every_change_leaves_some_message_changed() -> None:
    mutator = Mutator(INVENTED, 1)
    for change in mutator._changes:
        broken = [raw.split(b"\r") for raw in INVENTED * 5]
        for lines in broken:
            change(lines)
        assert any(b"\r".join(lines) != raw for lines, raw in zip(broken, INVENTED * 5, strict=True)), change
    for whole in mutator._wholes:
        assert any(whole(raw) != raw for raw in INVENTED), whole


def test_a_seed_repeats_its_messages() -> None:
    one, other = Mutator(INVENTED, 3), Mutator(INVENTED, 3)
    assert [one.some() for _ in range(50)] == [other.some() for _ in range(50)]


def test_a_surprise_is_counted_and_its_input_kept(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.setattr(laws, "read_adt", lambda raw, profile: 1 // 0)
    tally = Tally("aware", 5)
    run(tally, Mutator(INVENTED, 1), 5)
    assert tally.surprises == 5
    assert len(list(KEPT.glob("*.input"))) == len(list(KEPT.glob("*.txt"))) == 1, "one for each place"


damaged = st.builds(
    lambda data, at, width, put: data[: at % (len(data) + 1)] + put + data[at % (len(data) + 1) + width :],
    st.sampled_from([*streams(), *batches(), *ROWS, *TIMES]),
    st.integers(0, 5000),
    st.integers(0, 9),
    st.binary(max_size=6) | st.sampled_from([b"\x0b", b"\x1c\r", b"\rMSH|", b'"', b"[", b"{", b"\n", b",", b"+1500"]),
)


@settings(max_examples=150, deadline=None)
@given(damaged | st.binary(max_size=80))
def test_streams_batches_rows_and_times(data: bytes) -> None:
    laws.stream(data)
    laws.batch(data)
    laws.rows(data)
    laws.time(data[:40].decode("latin-1"))


def test_a_law_that_does_not_hold_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="not listed"):
        laws.refused(Refusal("odd"))
    with pytest.raises(AssertionError, match="a place"):
        laws.refused(Refusal(codes.NO_PATIENT, "PID-3=100"))
    monkeypatch.setattr(laws, "read_envelope", lambda raw: read_envelope(adt(msh={10: "C2"})))
    with pytest.raises(AssertionError, match="another control ID"):
        laws.message(adt(), laws.PROFILES[0])
