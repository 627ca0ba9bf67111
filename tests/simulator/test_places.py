"""What senders write and what their profiles say about them fit together."""

from __future__ import annotations

import pytest

from handoff.declarations.senders import load_senders
from parsers.hl7.profiles import DEFAULT, SenderProfile
from simulator.places import DIALECTS, EXCHANGE, NEAR, REPEATED, SENDERS, Dialect

PROFILES = load_senders(SENDERS)
OURS = [dialect for dialect in DIALECTS.values() if not dialect.exchange]


def test_every_sender_has_a_profile_and_every_profile_a_sender() -> None:
    assert {profile.name for profile in PROFILES} == {*DIALECTS, DEFAULT}


def test_the_default_profile_is_the_product_s() -> None:
    assert PROFILES.named(DEFAULT) == SenderProfile(DEFAULT)


@pytest.mark.parametrize("dialect", OURS, ids=lambda dialect: dialect.sender)
def test_codes_and_facility_are_read_as_they_were_meant(dialect: Dialect) -> None:
    profile = PROFILES.named(dialect.sender)
    facility = profile.facilities[dialect.code]
    assert (facility.id, facility.type) == (dialect.facility, dialect.facility_type)
    assert profile.authority == dialect.authority
    nursing = dialect.facility_type == "snf"
    for kind, code in dialect.classes.items():
        if nursing:
            continue
        meant = {"expected": "preadmit", "snf": "inpatient"}.get(kind, kind)
        assert profile.classes[code] == meant
    for nubc, code in dialect.types.items():
        assert profile.admission_types[code] in (nubc, {"5": "1"}.get(nubc))
    for nubc, code in dialect.dispositions.items():
        assert profile.dispositions[code] == nubc
    if nursing:
        assert profile.classes[dialect.classes["snf"]] == "snf"


def test_the_exchange_names_facilities_as_the_hospitals_do() -> None:
    profile = PROFILES.named(EXCHANGE.sender)
    for sender in REPEATED:
        assert profile.facilities[DIALECTS[sender].code].id == DIALECTS[sender].facility


def test_people_of_each_county_have_two_hospitals_or_more() -> None:
    assert all(len(set(near)) >= 2 and set(near) <= set(DIALECTS) for near in NEAR.values())
