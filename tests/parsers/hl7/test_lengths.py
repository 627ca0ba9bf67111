"""Values that become keys or are copied on have a length limit; each refusal names the place of the value."""

from __future__ import annotations

import pytest

from domain.errors import Refusal
from domain.identity import MOST_CHARACTERS
from parsers.hl7 import refusals as codes
from parsers.hl7.adt import read_adt
from parsers.hl7.profiles import Place, SenderProfile
from tests.parsers.writing import DEFAULT, adt
from tests.support.corpus import as_sent, corpus

LIMIT = MOST_CHARACTERS
FULL, OVER = "x" * LIMIT, "x" * (LIMIT + 1)
PLACES = {
    "MSH-3.1": lambda text: adt(msh={3: text}),
    "MSH-4.1": lambda text: adt(msh={4: text}),
    "MSH-10.1": lambda text: adt(msh={10: text}),
    "PID-2.1": lambda text: adt(pid={2: text}),
    "PID-3.1": lambda text: adt(pid={3: f"{text}^^^GEN^MR"}),
    "PID-3.4": lambda text: adt(pid={3: f"100^^^{text}^MR"}),
    "PID-3.4[2]": lambda text: adt(pid={3: f"100^^^GEN^MR~7^^^&{text}&ISO^PI"}),
    "PID-3.5": lambda text: adt(pid={3: f"100^^^GEN^{text}"}),
    "PID-8.1": lambda text: adt(pid={8: text}),
    "PID-18.1": lambda text: adt(pid={18: text}),
    "PV1-2.1": lambda text: adt(pv1={2: text}),
    "PV1-4.1": lambda text: adt(pv1={4: text}),
    "PV1-14.1": lambda text: adt(pv1={14: text}),
    "PV1-19.1": lambda text: adt(pv1={19: text}),
    "PV1-19.4": lambda text: adt(pv1={19: f"V1^^^{text}"}),
    "PV1-36.1": lambda text: adt(pv1={36: text}),
    "PV1-37.1": lambda text: adt(pv1={37: text}),
    "PV1-50.1": lambda text: adt(pv1={50: text}),
    "DG1-3.1": lambda text: adt("A01", "DG1|1||I10", f"DG1|2||{text}^^I10"),
    "MRG-1.1": lambda text: adt("A40", f"MRG|{text}^^^GEN^MR", pv1=None),
    "MRG-1.1[2]": lambda text: adt("A40", f"MRG|200~{text}^^^GEN^MR", pv1=None),
    "MRG-3.1": lambda text: adt("A41", f"MRG|200||{text}"),
    "MRG-5.1": lambda text: adt("A42", f"MRG|200||||{text}"),
    "MRG-6.4": lambda text: adt("A42", f"MRG|200||||V0|V9^^^{text}"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_value_may_be_as_long_as_the_limit_and_no_longer(place: str) -> None:
    read_adt(PLACES[place](FULL), DEFAULT)
    with pytest.raises(Refusal) as refused:
        read_adt(PLACES[place](OVER), DEFAULT)
    assert (refused.value.code, refused.value.place) == (codes.TOO_LONG, place)
    assert OVER not in str(refused.value)


def test_a_facility_is_limited_at_the_place_that_the_profile_names() -> None:
    profile = SenderProfile("p", authority="GEN", facility_places=(Place("ZPV", 3, 2),))
    assert read_adt(adt("A01", f"ZPV|||a^{FULL}"), profile).visit
    with pytest.raises(Refusal) as refused:
        read_adt(adt("A01", f"ZPV|||a^{OVER}"), profile)
    assert (refused.value.code, refused.value.place) == (codes.TOO_LONG, "ZPV-3.2")


def test_the_second_patient_and_every_group_are_limited_too() -> None:
    for message, place in (
        (adt("A24", f"PID|2||{OVER}^^^GEN^MR", pv1=None), "PID-3.1"),
        (adt("A40", "MRG|200^^^GEN^MR", "PID|2||101^^^GEN^MR", f"MRG|{OVER}", pv1=None), "MRG-1.1"),
    ):
        with pytest.raises(Refusal) as refused:
            read_adt(message, DEFAULT)
        assert (refused.value.code, refused.value.place) == (codes.TOO_LONG, place)


def test_what_is_not_copied_may_be_of_any_length() -> None:
    long = "x" * 20_000
    event = read_adt(
        adt("A01", f"OBX|1|TX|N||{long}", f"NTE|1||{long}", pid={3: "100^^^GEN^MR", 5: f"{long}^{long}", 11: long}),
        DEFAULT,
    )
    assert event.patient == "GEN|100"
    # Escapes count as the one character that they stand for.
    assert read_adt(adt(pid={3: "\\T\\" * LIMIT + "^^^GEN^MR"}), DEFAULT).patient == "GEN|" + "&" * LIMIT


def test_no_message_of_the_corpus_is_too_long() -> None:
    found = set()
    for text in corpus():
        try:
            read_adt(as_sent(text), DEFAULT)
        except Refusal as refused:
            found.add(refused.code)
    assert codes.TOO_LONG not in found
