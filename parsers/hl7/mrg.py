"""What a message says about two patients at once: merges (PID with MRG) and partners (a second PID)."""

from __future__ import annotations

from typing import Final

from domain.identity import patient_key
from domain.patient.events import Merge
from parsers.hl7.encoding import Message
from parsers.hl7.pid import key_in, patient_in
from parsers.hl7.profiles import SenderProfile
from parsers.hl7.pv1 import visit_key

MERGES: Final = frozenset({"A18", "A30", "A34", "A35", "A36", "A39", "A40", "A41", "A42", "A43"} | {
    "A44", "A45", "A46", "A47", "A48", "A49", "A50", "A51"
})  # fmt: skip
"""Triggers whose MRG names what gives way. That of A06 and A07 is a former account, not a merge."""
WITHIN_PATIENT: Final = frozenset({"A41", "A42", "A44", "A45", "A49", "A50", "A51"})
"""Merges of accounts and visits: without MRG-1 they stay within the patient of PID."""
PARTNERS: Final = frozenset({"A17", "A24", "A37"})
"""Swap, link, unlink: two PID segments."""


def merges_in(message: Message, profile: SenderProfile, default: str) -> tuple[tuple[Merge, ...], bool]:
    """Every {PID MRG} pair in order, and whether all were complete.

    An MRG belongs to the PID before it. MRG-1 without an authority is taken to be of the survivor's; where MRG-1 names
    nobody MRG-4 is looked at (2.2 and before). A pair without a retired number is left out.
    """
    merges: list[Merge] = []
    complete = True
    survivor = authority = ""
    pid, mrg = "PID" + message.field, "MRG" + message.field
    for line in message.lines:
        if line.startswith(pid):
            chosen, _ = patient_in(message, message.fields(line), profile, default)
            authority = chosen.authority if chosen is not None else ""
            survivor = patient_key(authority, chosen.number) if chosen is not None else ""
        elif line.startswith(mrg):
            fields = message.fields(line)
            retired = key_in(message, fields[1], profile, authority) or key_in(message, fields[4], profile, authority)
            account = visit_key(message, fields[3], profile, authority)
            visit = visit_key(message, fields[5], profile, authority) or visit_key(
                message, fields[6], profile, authority
            )
            if retired is None and (account or visit):
                retired = survivor
            if survivor and retired:
                merges.append(Merge(survivor, retired, account, visit))
            else:
                complete = False
    return tuple(merges), complete


def partner_in(message: Message, profile: SenderProfile, default: str) -> str | None:
    """The patient key of the second PID, or None."""
    for line in message.all("PID")[1:2]:
        chosen, _ = patient_in(message, message.fields(line), profile, default)
        if chosen is not None:
            return patient_key(chosen.authority, chosen.number)
    return None
