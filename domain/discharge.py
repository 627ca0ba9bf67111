"""Discharge disposition: NUBC patient discharge status (UB-04 FL 17, HL7 PV1-36) to the group of its destination.

Source of the table: docs/semantics.md#discharge-status. 81-95 are the same destinations with a planned readmission.
"""

from __future__ import annotations

from typing import Final

_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "HOME": ("01", "81", "06", "86"),
    "ACUTE_TRANSFER": ("02", "82", "05", "85", "43", "88", "65", "93", "66", "94"),
    "TO_NF": ("03", "83", "64", "92", "61", "89"),
    "AMBIGUOUS_RESIDENTIAL": ("04", "84"),
    "POST_ACUTE": ("62", "90", "63", "91", "70", "95"),
    "AMA": ("07",),
    "ADMITTED_HERE": ("09",),
    "EXPIRED": ("20", "40", "41", "42"),
    "INTO_CUSTODY": ("21", "87"),
    "STILL_PATIENT": ("30",),
    "HOSPICE": ("50", "51"),
}
NOT_RELEASED: Final = frozenset({"ACUTE_TRANSFER", "INTO_CUSTODY", "EXPIRED", "STILL_PATIENT"})
"""Groups after which a person who leaves a jail is not released (docs/semantics.md#releases)."""
_GROUP_OF: Final = {code: group for group, codes in _GROUPS.items() for code in codes}


def disposition_group(code: str) -> str:
    """The group of a discharge status code: "" for an empty code, "OTHER" for a code outside the table.

    `code` is in the NUBC dialect; a single digit has its leading zero added ("1" is 01).
    """
    if not code:
        return ""
    if len(code) == 1 and code.isdigit():
        code = "0" + code
    return _GROUP_OF.get(code, "OTHER")
