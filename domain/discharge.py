"""Code meanings that the fold needs: what a discharge status says about where the patient went.

Codes are NUBC patient discharge status codes (UB-04 FL 17) as sender profiles give them; the grouping follows
the table of dispositions in docs/rules.md. 81-95 are the same destinations with a planned readmission.
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
_GROUP_OF: Final = {code: group for group, codes in _GROUPS.items() for code in codes}


def disposition_group(code: str) -> str:
    """The group of a discharge status; "" for none, "OTHER" for one that is not in the table.

    A single digit is read with its leading zero ("1" is 01).
    """
    if not code:
        return ""
    if len(code) == 1 and code.isdigit():
        code = "0" + code
    return _GROUP_OF.get(code, "OTHER")
