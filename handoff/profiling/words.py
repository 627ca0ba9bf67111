"""Guesses about codes: which dialect a set of them is written in, and what an unknown one may mean.

A guess is for a person to confirm. Codes that two dialects share decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from parsers.hl7.dialects import ADMISSION_TYPES, CLASSES, DISPOSITIONS, SOURCES

KEYS: Final = {"PV1-2": "class", "PV1-4": "admission_type", "PV1-14": "admit_source", "PV1-36": "disposition"}
"""Field -> its section in a sender file."""
DIALECTS: Final = {
    "PV1-2": CLASSES, "PV1-4": ADMISSION_TYPES, "PV1-14": SOURCES, "PV1-36": DISPOSITIONS,
}  # fmt: skip
_NUBC, _HL7 = "nubc", "hl7"
_STATE_DEFINED: Final = frozenset({"8", "08", *map(str, range(10, 20)), *map(str, range(31, 40))})
"""HL7 table 0112 leaves these to the site or the State; in NUBC they are unassigned."""
_TELLING: Final[dict[str, dict[str, frozenset[str]]]] = {
    # What only one of the two tables has. 7 (emergency room) NUBC has withdrawn, but US feeds go on sending it.
    "PV1-14": {_NUBC: frozenset("ABCDEF"), _HL7: frozenset({"3", "03"})},
    "PV1-36": {
        _NUBC: frozenset({"9", "09", "43", "50", "51", *map(str, range(61, 67)), "69", "70", *map(str, range(81, 96))}),
        _HL7: _STATE_DEFINED | frozenset(map(str, range(22, 30))),
    },
}

_EMERGENCY, _COURT = ("EMERG",), ("COURT", "LAW ENF", "JAIL", "CUSTODY", "PRISON", "POLICE")
_NURSING: Final = ("SNF", "SKILLED", "NURSING")
_WORDS: Final[dict[str, tuple[tuple[tuple[str, ...], str], ...]]] = {
    "PV1-2": (
        (("PREADM", "PRE-ADM", "PRE ADM"), "preadmit"), (("OBSERV",), "observation"),
        (("OUTPAT", "AMBUL"), "outpatient"), (("INPAT",), "inpatient"), (_EMERGENCY, "emergency"),
        (("RECUR", "SERIES"), "recurring"),
        (("OBSTET", "MATERN"), "obstetrics"), (("NEWBORN",), "newborn"), (_NURSING, "snf"),
    ),
    "PV1-4": (
        (_EMERGENCY, "1"), (("URGENT",), "2"), (("ELECT", "ROUTINE", "SCHEDULED"), "3"), (("NEWBORN",), "4"),
        (("TRAUMA",), "5"),
    ),
    "PV1-14": (
        (_COURT, "8"), (_NURSING, "5"), (_EMERGENCY, "7"), (("CLINIC", "PHYSICIAN", "REFERRAL"), "2"),
        (("HOME", "SELF"), "1"),
    ),
    "PV1-36": (
        (("EXPIRED", "DECEASED", "DIED", "DEATH"), "20"), (("AGAINST", "AMA", "ELOPED"), "07"), (_COURT, "21"),
        (("HOSPICE HOME", "HOSPICE - HOME"), "50"), (("HOME HEALTH",), "06"), (("REHAB",), "62"), (("PSYCH",), "65"),
        (("SKILLED", "SNF"), "03"), (("HOME", "ROUTINE", "SELF CARE"), "01"),
    ),
}  # fmt: skip


class Likeness(msgspec.Struct, frozen=True):
    """Which of two colliding tables a field's codes resemble.

    `looks`: nubc, hl7, both (distinctive codes of each) or "" (no distinctive code). `telling`: messages with a code
    that only the one, or only the other, has.
    """

    looks: str
    telling: dict[str, int]


def likeness(place: str, codes: Mapping[str, int], deaths_by_21: int = 0) -> Likeness | None:
    """For PV1-14 and PV1-36; None for other fields. `deaths_by_21`: PV1-36 is 21 and PID-29 or PID-30 records a death.

    21 is custody in NUBC and a death in table 0112, so a dead patient's 21 is distinctive.
    """
    tables = _TELLING.get(place)
    if tables is None:
        return None
    telling = {name: sum(count for code, count in codes.items() if code in only) for name, only in tables.items()}
    telling[_HL7] += deaths_by_21
    found = [name for name, count in telling.items() if count]
    return Likeness("both" if len(found) > 1 else found[0] if found else "", telling)


def unmapped_by(place: str, dialect: str, own: Mapping[str, str], codes: Mapping[str, int]) -> int:
    """Messages whose code neither `dialect` nor the sender's `own` codes have."""
    known = DIALECTS[place][dialect]
    return sum(count for code, count in codes.items() if code not in known and code not in own)


def guess(place: str, code: str, description: str) -> str:
    """What an unknown code of PV1-2, PV1-4, PV1-14 or PV1-36 means by its description, or ""."""
    for text in (code, description):
        text = text.upper()
        for words, value in _WORDS[place]:
            if any(text.startswith(word) or f" {word}" in text for word in words):
                return value
    return ""
