"""hl7apy's word on a message: places, never values, and never an exception."""

from __future__ import annotations

import gc
import time

import pytest

from handoff.conformance import _without_values, conformance
from tests.support.corpus import as_sent, corpus

HEADER = "MSH|^~\\&|REG|GENHOSP|HUB|PLAN|20260301100000||ADT^A01^ADT_A01|1|P|2.5.1"
EVN = "EVN||20260301100000"
PID = "PID|1||100^^^GENHOSP^MR||Sample^Person"
PV1 = "PV1|1|I"


def findings(*segments: str) -> tuple[str, ...]:
    return conformance("\r".join(segments).encode())


def test_a_message_by_the_book_has_no_finding() -> None:
    assert findings(HEADER, EVN, PID, PV1) == ()


def test_line_ends_and_frame_bytes_are_no_finding() -> None:
    assert conformance(b"\x0b" + "\r\n".join((HEADER, EVN, PID, PV1)).encode() + b"\r\n\x1c\r") == ()


@pytest.mark.parametrize(
    ("segments", "finding"),
    [
        ((HEADER, EVN, PID), "PV1 of ADT_A01 is required and missing"),
        ((HEADER, EVN, "PID|1||100^^^GENHOSP^MR", PV1), "PID-5 is required and missing"),
        ((HEADER, EVN, PID, "PV1|1|Sample"), "PV1-2 holds a value outside table HL70004"),
        ((HEADER, EVN, PID, PV1, "ORC|NW"), "ORC has no place in ADT_A01"),
        ((HEADER.replace("2.5.1", "2.9"), EVN, PID, PV1), "hl7apy cannot read it: UnsupportedVersion"),
        ((HEADER.replace("A01^ADT_A01", "A0X"), EVN, PID, PV1), "MSH-9 names no message structure of this version"),
        (("Sample Person was here",), "no HL7 message: not-hl7"),
    ],
)
def test_each_kind_of_finding_names_the_place_and_not_the_value(segments: tuple[str, ...], finding: str) -> None:
    found = findings(*segments)
    assert finding in found
    assert not any("Sample" in line for line in found)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Exceeded max length (20) of PID.PID_5", "PID-5 is longer than 20"),
        ("Missing required child CX_4.HD_1", "CX.4.1 is required and missing"),
        ("Child limit exceeded PID.PID_8", "PID-8 occurs more often than its version allows"),
        ("Value Doe\nError: Roe not in table HL70001 in element X_1 not in table HL70001 in element PID.PID_8",
         "PID-8 holds a value outside table HL70001"),
        ("Invalid children detected for <Message ADT_A01>: ['PD1', 'Doe']", "PD1 of ADT_A01 has no place there"),
        ("Something new about Doe", "an element that HL7 does not know"),
    ],
)  # fmt: skip
def test_its_sentences_lose_their_values(theirs: str, ours: str) -> None:
    assert _without_values(theirs) == {ours}


def test_a_message_that_takes_too_long_is_a_finding() -> None:
    many = [f"NK1|{n}|Sample^Person^A|||555-0100" for n in range(300)]
    assert conformance("\r".join((HEADER, EVN, PID, PV1, *many)).encode(), seconds=0.02) == (
        "hl7apy needs more than 0.02 s for it",
    )
    assert findings(HEADER, EVN, PID, PV1) == ()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_time_limit_holds_although_a_collector_callback_drops_it() -> None:
    waited: list[float] = []

    def outlast_the_limit(*_: object) -> None:
        if not waited:
            begun = time.monotonic()
            waited.append(begun)
            while time.monotonic() < begun + 0.04:
                pass

    many = [f"NK1|{n}|Sample^Person^A|||555-0100" for n in range(300)]
    gc.callbacks.append(outlast_the_limit)
    try:
        found = conformance("\r".join((HEADER, EVN, PID, PV1, *many)).encode(), seconds=0.02)
    finally:
        gc.callbacks.remove(outlast_the_limit)
    assert waited
    assert found == ("hl7apy needs more than 0.02 s for it",)


def test_a_huge_message_is_not_given_to_it() -> None:
    assert findings(HEADER, EVN, PID, PV1, "NTE|1||" + "x" * 300_000)[0].startswith("too long for hl7apy")


def test_no_finding_about_the_corpus_holds_a_value_of_it() -> None:
    for text in corpus()[::40]:
        for finding in conformance(as_sent(text)):
            assert len(finding) < 70, finding
