"""Patient keys, CINs, published IDs and digests."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import digest, patient_key, public_id, read_cin


def test_a_patient_key_is_authority_and_number() -> None:
    assert patient_key(" GENHOSP ", " 100 ") == "GENHOSP|100"
    assert patient_key("", "100") == "|100"


def test_the_first_bar_ends_the_authority() -> None:
    assert patient_key("GEN|WEST", "1|2") == "GEN%7CWEST|1|2"


@pytest.mark.parametrize("letter", sorted(set(string.ascii_uppercase) - set("BIJKLOPQRS")))
def test_a_cin_ends_in_one_of_sixteen_letters(letter: str) -> None:
    assert read_cin(f"91234567{letter}") == f"91234567{letter}"


@pytest.mark.parametrize("letter", "BIJKLOPQRS")
def test_ten_letters_end_no_cin(letter: str) -> None:
    assert read_cin(f"91234567{letter}") is None


@pytest.mark.parametrize(
    ("text", "cin"),
    [
        ("91234567a", "91234567A"),
        (" 9123 4567-A ", "91234567A"),
        ("91234567A12026", "91234567A"),
        ("91234567A 1 2026", "91234567A"),
        ("91234567A1202", None),
        ("91234567A120261", None),
        ("91234567A1202X", None),
        ("81234567A", None),
        ("9123456A", None),
        ("912345678", None),
        ("9１234567A", None),
        ("9-1-2-3", None),
        ("", None),
        ('""', None),
    ],
)
def test_shapes(text: str, cin: str | None) -> None:
    assert read_cin(text) == cin


@given(st.text(max_size=20))
def test_what_is_read_is_a_cin(text: str) -> None:
    cin = read_cin(text)
    assert cin is None or (len(cin) == 9 and read_cin(cin) == cin)


@pytest.mark.parametrize(
    ("prefix", "parts", "published"),
    [
        ("c", ("c", "91234567A", "2a", "1", "GENHOSP|V1"), "c_42c6f7b1a6b2f9fec1fb6346"),
        ("t", ("91234567A", "discharge", "GENHOSP|V1"), "t_3c749388ab1d9fb40b1c14a3"),
        ("v", ("91234567A", "GENHOSP|100", "GENHOSP|V1"), "v_61fe7750264ec4ece582439a"),
    ],
)
def test_published_ids_are_what_consumers_already_hold(prefix: str, parts: tuple[str, ...], published: str) -> None:
    assert public_id(prefix, *parts) == published


def test_digests_are_what_rows_already_hold() -> None:
    assert digest(("a", 1, None, (1, 2))).hex() == "2c743115ee9f5e01"
