"""The senders of the county and their HL7 dialects. All of them are invented.

A `Dialect` is the writer's side of a sender profile; the reader's side is in `simulator/senders/*.yaml`.
`tests/simulator/test_places.py` compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

SENDERS: Final = Path(__file__).parent / "senders"
"""The folder of sender profiles for every sender below."""


class Dialect(msgspec.Struct, frozen=True):
    """The dialect of one sender.

    `facility` is the facility ID of its profile's facility map, `code` the code that it sends (MSH-4,
    PV1-3.4). `happened`: it fills EVN-6. `periods`: it fills PV1-44 and PV1-45. `admits_by`: how an ED attendance
    becomes an admission: "A06", "A06 renumbered" (the visit number changes, MRG-5 has the old one) or "A01".
    `control`: "counter", "daily" (the same IDs again every day) or "none". `cin`: the field of a member's CIN: "pid",
    "card" (PID-3, the 14 characters of the card) or "insurance" (IN1-36).
    """

    sender: str
    code: str
    facility: str
    authority: str
    facility_type: str = "hospital"
    version: str = "2.5.1"
    delimiters: str = "|^~\\&"
    line_end: str = "\r"
    offset: bool = True
    seconds: bool = True
    evn: bool = True
    evn1: bool = True
    happened: bool = True
    periods: bool = True
    owns_visit: bool = True
    """PV1-19 names its assigning authority (else the profile's default holds)."""
    admits_by: str = "A06"
    control: str = "counter"
    cin: str = "pid"
    exchange: bool = False
    classes: dict[str, str] = {}
    types: dict[str, str] = {}
    dispositions: dict[str, str] = {}
    charset: str = ""

    def patient_key(self, number: str) -> str:
        """The key of one of this sender's patients."""
        return f"{self.authority}|{number}"


_HL7_CLASSES: Final = {
    "emergency": "E",
    "inpatient": "I",
    "outpatient": "O",
    "observation": "OBS",
    "expected": "P",
    "snf": "I",
    "newborn": "NB",
}
_LONG_CLASSES: Final = {
    "emergency": "ER",
    "inpatient": "IP",
    "outpatient": "OP",
    "observation": "OBV",
    "expected": "PREADMIT",
    "newborn": "NB",
}
_HL7_TYPES: Final = {"1": "E", "2": "U", "3": "C", "4": "N", "5": "A"}
_WORDS: Final = {
    "01": "HOME",
    "02": "TRANSFER ACUTE",
    "03": "SNF",
    "06": "HOME HEALTH",
    "07": "AMA",
    "09": "ADMITTED",
    "21": "LAW ENFORCEMENT",
    "43": "VA HOSPITAL",
    "62": "REHAB",
    "64": "NURSING FACILITY",
    "65": "PSYCH HOSPITAL",
    "66": "CAH",
    "81": "HOME PLANNED RETURN",
    "86": "HOME HEALTH PLANNED RETURN",
}
_UNPADDED: Final = {f"0{digit}": str(digit) for digit in (1, 2, 3, 4, 5, 6, 7, 9)}

HOSPITALS: Final = (
    Dialect("county-general", "CGMC", "county-general", "CGMC", classes=_HL7_CLASSES, charset="UNICODE UTF-8"),
    Dialect(
        "valley-crest",
        "VCH",
        "valley-crest",
        "VCH",
        version="2.3",
        line_end="\n",
        offset=False,
        happened=False,
        owns_visit=False,
        admits_by="A01",
        cin="insurance",
        classes=_LONG_CLASSES,
        types=_HL7_TYPES,
        dispositions=_UNPADDED,
    ),
    Dialect(
        "harbor-light",
        "HLM",
        "harbor-light",
        "HLM",
        version="2.4",
        delimiters="#*%@!",
        periods=False,
        admits_by="A06 renumbered",
        cin="card",
        classes=_HL7_CLASSES,
        dispositions=_WORDS,
    ),
    Dialect(
        "delta-regional",
        "DRMC",
        "delta-regional",
        "DRMC",
        version="2.8",
        line_end="\r\n",
        seconds=False,
        evn1=False,
        admits_by="A01",
        control="daily",
        classes=_HL7_CLASSES,
        types=_HL7_TYPES,
    ),
    Dialect(
        "foothill-community",
        "FCH",
        "foothill-community",
        "FCH",
        version="2.5",
        offset=False,
        evn=False,
        happened=False,
        owns_visit=False,
        admits_by="A01",
        control="none",
        cin="insurance",
        classes=_LONG_CLASSES,
        dispositions=_UNPADDED,
    ),
    Dialect("poppy-childrens", "PCH", "poppy-childrens", "PCH", classes=_HL7_CLASSES),
    Dialect("sierra-vista", "SVH", "sierra-vista", "SVH", classes=_HL7_CLASSES),
    Dialect("mesa-valley", "MVH", "mesa-valley", "MVH", offset=False, classes=_HL7_CLASSES),
)
NURSING: Final = (
    Dialect("willow-care", "WILLOW", "willow-care", "WILLOW", "snf", classes=_HL7_CLASSES),
    Dialect(
        "bayview-care",
        "BAYVIEW",
        "bayview-care",
        "BAYVIEW",
        "snf",
        version="2.3",
        line_end="\n",
        offset=False,
        happened=False,
        classes=_HL7_CLASSES,
        dispositions=_UNPADDED,
    ),
)
EXCHANGE: Final = Dialect("golden-exchange", "GOLDENX", "", "GOLDENX", classes=_HL7_CLASSES, exchange=True)
REPEATED: Final = frozenset({"county-general", "harbor-light", "delta-regional"})
"""Senders whose visits the exchange repeats, under its own patient and visit numbers."""

DIALECTS: Final = {dialect.sender: dialect for dialect in (*HOSPITALS, *NURSING, EXCHANGE)}

NEAR: Final = {
    "Los Angeles": ("county-general", "harbor-light", "valley-crest"),
    "San Joaquin": ("delta-regional", "foothill-community"),
    "Fresno": ("valley-crest", "foothill-community"),
    "San Bernardino": ("county-general", "valley-crest"),
    "Imperial": ("foothill-community", "harbor-light"),
}
"""County -> the hospitals that its people use."""
