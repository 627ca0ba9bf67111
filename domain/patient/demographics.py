"""Keyed hashes of demographics, and the comparison that checks whether a number identifies the right person.

Names, birth dates and phones are compared as HMAC-SHA-256 under the deployment's key, on the roster's side and on the
messages' side alike, so the directory stores none of them (docs/semantics.md#whose-number, #ownership).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Final

from domain.patient.row import Guard

MATCH: Final = "match"
UNCHECKED: Final = "unchecked"
TYPO: Final = "typo"
CONFLICT: Final = "conflict"

DEMOGRAPHICS_KEY: Final = "demographics|"
"""Begins the key under which the directory has a person without a number."""
GUARD_KEY: Final = "guard|"
"""Begins the key under which the directory has the hashes of a CIN's member."""
_NOT_LETTERS: Final = re.compile(r"[^A-Z0-9]+")
_BYTES: Final = 12


@lru_cache(maxsize=65_536)
def keyed(key: bytes, text: str) -> str:
    """The keyed hash of a text, 24 hexadecimal digits."""
    return hmac.new(key, text.encode(), sha256).hexdigest()[: 2 * _BYTES]


def hash_birth(key: bytes, birth_date: str | None) -> str:
    """The hash of a birth date (YYYY-MM-DD); "" for none."""
    return keyed(key, f"birth:{birth_date}") if birth_date else ""


def hash_name(key: bytes, family: str | None, given: str | None) -> str:
    """The hash of a name: family and given name in capitals, letters and digits only; "" unless both are given."""
    words = (plain(family), plain(given))
    return keyed(key, f"name:{words[0]}:{words[1]}") if all(words) else ""


def plain(text: str | None) -> str:
    """The form of a text in comparisons: upper case, letters and digits only."""
    return _NOT_LETTERS.sub("", (text or "").upper())


def demographic_keys(
    key: bytes,
    family: str | None,
    given: str | None,
    birth_date: str | None,
    sex: str | None,
    zip_code: str | None,
    phone: str | None,
) -> tuple[str, ...]:
    """The keys under which a person is found without a number: name, birth date and one of sex, ZIP and phone.

    Both name and birth date are needed, else there are none. A key begins with `DEMOGRAPHICS_KEY`.
    """
    name, birth = hash_name(key, family, given), hash_birth(key, birth_date)
    if not name or not birth:
        return ()
    more = (("sex", plain(sex)[:1]), ("zip", plain(zip_code)[:5]), ("phone", plain(phone)[-10:]))
    return tuple(
        f"{DEMOGRAPHICS_KEY}{keyed(key, f'{name}:{birth}:{what}:{value}')}"
        for what, value in more
        if value and not (what == "sex" and value not in "FM")
    )


def compare(key: bytes, guard: Guard, birth_date: str | None, name: str, sex: str | None) -> str:
    """Whether a message's person is the member that `guard` describes: match, unchecked, typo or conflict.

    `unchecked`: one side has no birth date; accepted. `typo`: the birth dates differ by one digit or one swap of
    neighboring digits, and name and sex agree; accepted. Else `conflict`: refused.
    """
    if not guard.birth or not birth_date:
        return UNCHECKED
    if guard.birth == hash_birth(key, birth_date):
        return MATCH
    agrees = bool(name) and name == guard.name and (not guard.sex or guard.sex == plain(sex)[:1])
    if agrees and any(hash_birth(key, each) == guard.birth for each in _near(birth_date)):
        return TYPO
    return CONFLICT


def _near(day: str) -> Iterator[str]:
    """Every text that differs from a YYYY-MM-DD by one digit, or by one swap of neighboring digits."""
    places = [place for place, char in enumerate(day) if char.isdigit()]
    for place in places:
        for digit in "0123456789":
            if digit != day[place]:
                yield day[:place] + digit + day[place + 1 :]
    for first, second in pairwise(places):
        if day[first] != day[second]:
            chars = list(day)
            chars[first], chars[second] = chars[second], chars[first]
            yield "".join(chars)
