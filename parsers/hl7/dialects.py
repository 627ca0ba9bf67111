"""Code tables ("dialects") for sender profiles: code as sent -> code of `domain.patient.events`.

A profile selects one table for each field and overrides entries with codes of its site. Keys are upper case.
"""

from __future__ import annotations

from typing import Final

UNMAPPED: Final = "unmapped-"
"""Begins the note that a code is outside the profile's table; the field follows: `unmapped-PV1-36`."""

NOTHING: Final = ""
"""A class code that states nothing (N, not applicable: the filler PV1 of person events, HL7 field PV1-2)."""

CLASSES: Final[dict[str, dict[str, str]]] = {
    # HL7 table 0004, with the codes that feeds add for observation and the words they write out.
    "hl7": {
        "E": "emergency", "EMER": "emergency", "EMERGENCY": "emergency", "ED": "emergency", "ER": "emergency",
        "I": "inpatient", "IMP": "inpatient", "INPATIENT": "inpatient", "IP": "inpatient",
        "O": "outpatient", "AMB": "outpatient", "OUTPATIENT": "outpatient", "OP": "outpatient",
        "OBS": "observation", "OBV": "observation", "OBSERVATION": "observation", "OBSENC": "observation",
        "V": "observation",
        "P": "preadmit", "PREADMIT": "preadmit", "PRENC": "preadmit",
        "R": "recurring", "RECURRING": "recurring",
        "B": "obstetrics", "OBSTETRICS": "obstetrics",
        "NB": "newborn", "NEWBORN": "newborn",
        "SNF": "snf",
        "C": "commercial", "COMMERCIAL": "commercial",
        "U": "unknown", "UNKNOWN": "unknown",
        "N": NOTHING,
    },
    # Inpatient and recurring at a nursing facility are nursing-facility stays; day programs are not.
    "nursing-facility": {"I": "snf", "R": "snf", "SNF": "snf", "O": "outpatient", "P": "preadmit", "N": NOTHING,
                         "U": NOTHING},
    # Every class but these is custody (`class_otherwise` of the profile).
    "custody": {"P": "preadmit", "N": NOTHING},
}  # fmt: skip
"""PV1-2 -> patient class."""

ADMISSION_TYPES: Final[dict[str, dict[str, str]]] = {
    # NUBC digits as they are; HL7 table 0007's letters brought to them (L, labor and delivery, has no digit;
    # R, routine, is what systems send by default and says nothing).
    "common": {
        **{digit: digit for digit in "123459"},
        **{"0" + digit: digit for digit in "123459"},
        "A": "1", "E": "1", "U": "2", "C": "3", "R": "9", "N": "4", "L": "L",
        "EL": "3", "ELECTIVE": "3", "ER": "1", "EMERGENCY": "1", "URGENT": "2", "NEWBORN": "4", "TRAUMA": "5",
    },
    "nubc": {**{digit: digit for digit in "123459"}, **{"0" + digit: digit for digit in "123459"}},
}  # fmt: skip
"""PV1-4 -> NUBC type of admission."""

SOURCES: Final[dict[str, dict[str, str]]] = {
    # NUBC point of origin (FL 15) as it is; 7 (emergency room) was retired but is still sent.
    "nubc": {
        **{code: code for code in ("1", "2", "4", "5", "6", "7", "8", "9", "D", "E", "F")},
        **{"0" + digit: digit for digit in "12456789"},
        "ER": "7", "ED": "7",
    },
    # HL7 table 0023: 1 physician, 2 clinic and 3 plan referral are NUBC's 2 (clinic or physician's office).
    "hl7": {**dict.fromkeys(("1", "2", "3", "01", "02", "03"), "2"),
            **{digit: digit for digit in "456789"}, **{"0" + digit: digit for digit in "456789"}},
}  # fmt: skip
"""PV1-14 -> NUBC point of origin."""

_NUBC_STATUS: Final = (
    "01", "02", "03", "04", "05", "06", "07", "09", "20", "21", "30", "40", "41", "42", "43", "50", "51", "61", "62",
    "63", "64", "65", "66", "69", "70", *map(str, range(81, 96)),
)  # fmt: skip
_PADDED: Final = {**{code: code for code in _NUBC_STATUS}, **{code[1]: code for code in _NUBC_STATUS if code[0] == "0"}}

DISPOSITIONS: Final[dict[str, dict[str, str]]] = {
    # NUBC patient discharge status (UB-04 FL 17): the table that HL7 gives for PV1-36 in the US.
    "nubc": {
        **_PADDED,
        "H": "01", "HOME": "01", "HOM": "01", "SNF": "03", "AMA": "07",
        "EXP": "20", "EXPIRED": "20", "DEAD": "20", "DECEASED": "20", "DIED": "20",
    },
    # HL7 table 0112: 10-19 are discharges and 20-29 deaths that each State defines, so 21 is not custody here.
    "hl7": {
        **{code: value for code, value in _PADDED.items() if code not in ("21", "87")},
        **{str(code): "20" for code in range(21, 30)},
    },
}  # fmt: skip
"""PV1-36 -> NUBC patient discharge status, two digits."""
