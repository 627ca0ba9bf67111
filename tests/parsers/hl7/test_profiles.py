"""Which profile a message is read with, and where it looks."""

from __future__ import annotations

import pytest

from domain.errors import Refusal
from parsers.hl7 import refusals as codes
from parsers.hl7.encoding import Message
from parsers.hl7.places import facility_of, value_at
from parsers.hl7.profiles import Facility, Place, Profiles, SenderProfile, Trust, is_peer, place_of
from tests.parsers.writing import adt


def profiles(*given: SenderProfile, refuse_unknown: bool = False) -> Profiles:
    return Profiles(given, refuse_unknown)


GENERAL = SenderProfile("general", trusts=(Trust("*", "GEN"),))
EXCHANGE = SenderProfile("exchange", trusts=(Trust("HIE*"),))
BOTH = SenderProfile("both", trusts=(Trust("ADT", "GEN"), Trust("OLD", "GEN")))


def test_the_most_specific_pattern_wins() -> None:
    known = profiles(GENERAL, EXCHANGE, BOTH)
    assert known.choose("X", "GEN").name == "general"
    assert known.choose("adt", "gen").name == "both"
    assert known.choose("HIE7", "").name == "exchange"
    assert known.choose("X", "GENERAL").name == "default"


def test_equal_patterns_go_by_name() -> None:
    twin = SenderProfile("a-twin", trusts=(Trust("*", "GEN"),))
    assert profiles(GENERAL, twin).choose("X", "GEN").name == "a-twin"


def test_an_unknown_sender_is_refused_when_told_so() -> None:
    known = profiles(GENERAL, refuse_unknown=True)
    assert known.choose("X", "GEN").name == "general"
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            known.choose("X", "Y")
        assert caught.value.code == codes.UNKNOWN_SENDER


def test_a_listed_peer_decides_over_msh() -> None:
    locked = SenderProfile("locked", certificates=frozenset({"adt.gen.example"}), addresses=("10.1.0.0/16",))
    known = profiles(GENERAL, locked)
    assert known.choose("X", "GEN", "ADT.gen.example").name == "locked"
    assert known.choose("X", "GEN", "10.1.2.3").name == "locked"
    assert known.choose("X", "GEN", "10.2.2.3").name == "general"
    assert known.choose("X", "GEN", "someone").name == "general"


def test_a_profile_with_peers_is_for_nobody_else() -> None:
    locked = SenderProfile("locked", trusts=(Trust("*", "GEN"),), certificates=frozenset({"adt.gen.example"}))
    known = profiles(locked)
    assert known.choose("X", "GEN", "intruder").name == "default"
    assert known.choose("X", "GEN").name == "locked", "a file has no peer"


def test_among_profiles_of_one_peer_msh_decides() -> None:
    here = frozenset({"hie"})
    one = SenderProfile("one", trusts=(Trust("*", "A"),), certificates=here)
    two = SenderProfile("two", trusts=(Trust("*", "B"),), certificates=here)
    assert profiles(one, two).choose("X", "B", "hie").name == "two"


def test_a_peer_that_is_no_address() -> None:
    assert not is_peer(SenderProfile("x", addresses=("10.0.0.0/8",)), "name")
    assert is_peer(SenderProfile("x", addresses=("::1",)), "::1")


def test_named_falls_back_to_the_default() -> None:
    known = profiles(GENERAL)
    assert known.named("general") is GENERAL
    assert known.named("gone").name == "default"
    assert {profile.name for profile in known} == {"general", "default"}


def test_the_memory_of_choices_is_bounded() -> None:
    known = profiles(GENERAL)
    for i in range(10_050):
        known.choose(str(i), "")
    assert known.choose("0", "GEN").name == "general"
    assert len(known._remembered) < 10_001


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("PV1-3.4", Place("PV1", 3, 4)),
        ("ZPV-5", Place("ZPV", 5)),
        ("OBX[HOMELESS]-5", Place("OBX", 5, 1, "HOMELESS")),
        ("OBX[8-6]-5.2", Place("OBX", 5, 2, "8-6")),
    ],
)
def test_places(text: str, place: Place) -> None:
    assert place_of(text) == place


@pytest.mark.parametrize("text", ["", "PV1", "pv1-3", "PV1-0", "PV1-3.0", "PV1-123", "OBX[]-5", "PV1-3.4.1"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="place"):
        place_of(text)


MESSAGE = Message(
    adt("A01", "OBX|1|CE|OTHER^x||N", "OBX|2|CE|HOMELESS^x||Y^Yes~N", "ZPV|1||a^b&c", pv1={3: "W^1^A^WEST&1.2&ISO"})
)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("MSH-4", "GEN"),
        ("MSH-9.2", "A01"),
        ("MSH-60", ""),
        ("PV1-3.4", "WEST"),
        ("PV1-60", ""),
        ("OBX[HOMELESS]-5", "Y"),
        ("OBX[HOMELESS]-5.2", "Yes"),
        ("OBX[NONE]-5", ""),
        ("OBX-5", "N"),
        ("ZPV-3.2", "b"),
        ("ZPV-3.9", ""),
        ("ZZZ-1", ""),
    ],
)
def test_values_at_places(place: str, value: str) -> None:
    assert value_at(MESSAGE, place_of(place)) == value


def test_the_first_place_that_says_something_names_the_facility() -> None:
    profile = SenderProfile(
        "hie",
        facility_places=(place_of("EVN-7"), place_of("PV1-39"), place_of("PV1-3.4")),
        facilities={"WEST": Facility("WESTHOSP", "hospital")},
        facility_type="other",
    )
    assert facility_of(MESSAGE, profile) == Facility("WESTHOSP", "hospital")
    assert facility_of(Message(adt(pv1={39: '""', 3: "W^1^A^west"})), profile) == Facility("WESTHOSP", "hospital")
    assert facility_of(Message(adt(evn={7: "EAST"})), profile) == Facility("EAST", "other")
    assert facility_of(Message(adt()), profile) == Facility("", "other")
