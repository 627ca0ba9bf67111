"""Patient keys and CINs."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity import patient_key, read_cin


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
