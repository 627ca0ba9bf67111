"""What a message says about two patients, accounts or visits at once: {PID, MRG} pairs and a second PID.

Each trigger moves exactly its unit (HL7 v2 chapter 3, table 0003; docs/semantics.md#merges). A pair that does not name
its unit changes nothing and is noted, never widened to the patient.
"""

from __future__ import annotations

from typing import Final

from domain.identity import patient_key
from domain.patient.events import ACCOUNT, ACCOUNT_MOVE, PATIENT, VISIT, VISIT_MOVE, Identifier, Merge
from parsers.hl7.encoding import Message
from parsers.hl7.pid import identifiers_in, medical_record_number, names_patients, patient_in
from parsers.hl7.profiles import SenderProfile
from parsers.hl7.pv1 import visit_key

UNITS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("A18", "A30", "A34", "A39", "A40", "A43", "A46", "A47", "A48"), (PATIENT,)),
    "A36": (PATIENT, ACCOUNT),
    **dict.fromkeys(("A35", "A41", "A49"), (ACCOUNT,)),
    **dict.fromkeys(("A42", "A50", "A51"), (VISIT,)),
    "A44": (ACCOUNT_MOVE,),
    "A45": (VISIT_MOVE,),
}
"""Trigger -> the units that its MRG is about. That of A06 and A07 is a former account, not a merge."""
PARTNERS: Final = frozenset({"A17", "A24", "A37"})
"""Swap, link, unlink: two PID segments."""


def merges_in(message: Message, profile: SenderProfile, default: str, trigger: str) -> tuple[tuple[Merge, ...], bool]:
    """Every statement of the {PID, MRG, PV1} groups in order, and whether all were complete.

    An MRG belongs to the PID before it, and the PV1 behind it to both. An MRG number without an authority is taken to
    be of the survivor's.
    """
    merges: list[Merge] = []
    complete = True
    survivors: list[Identifier] = []
    chosen: Identifier | None = None
    pid: list[str] = []
    lines = message.lines
    for index, line in enumerate(lines):
        name = line[:3]
        if name == "PID":
            pid = message.fields(line)
            chosen, survivors = patient_in(message, pid, profile, default)
        elif name == "MRG" and chosen is not None:
            mrg = message.fields(line)
            pv1 = _visit_behind(message, lines[index + 1 :])
            for unit in UNITS[trigger]:
                found = _PARTS[unit](message, profile, chosen, survivors, pid, mrg, pv1)
                merges += found
                complete = complete and bool(found)
        elif name == "MRG":
            complete = False
    return tuple(merges), complete


def partner_in(message: Message, profile: SenderProfile, default: str) -> str | None:
    """The patient key of the second PID, or None."""
    for line in message.all("PID")[1:2]:
        chosen, _ = patient_in(message, message.fields(line), profile, default)
        if chosen is not None:
            return patient_key(chosen.authority, chosen.number)
    return None


def _visit_behind(message: Message, lines: list[str]) -> list[str]:
    """The fields of the PV1 that follows an MRG, before the next PID or MRG; else of the message's first."""
    for line in lines:
        if line.startswith(("PID", "MRG")):
            break
        if line.startswith("PV1"):
            return message.fields(line)
    return message.first("PV1") or [""] * 64


def _retired(message: Message, profile: SenderProfile, chosen: Identifier, mrg: list[str]) -> list[Identifier]:
    """The record numbers of MRG-1 (a list since 2.3; MRG-4 in 2.2 and before), by type as those of PID-3."""
    for position in (1, 4):
        found = identifiers_in(message, mrg[position], profile, chosen.authority)
        numbers = [each for each in found if names_patients(each, profile)]
        if not numbers and (only := medical_record_number(found, profile)) is not None:
            numbers = [only]
        if numbers:
            return numbers
    return []


def _patients(
    message: Message,
    profile: SenderProfile,
    chosen: Identifier,
    survivors: list[Identifier],
    _pid: list[str],
    mrg: list[str],
    _pv1: list[str],
) -> list[Merge]:
    """Every number of MRG-1 gives way to the number of PID-3 that the same authority assigned."""
    found = []
    for retired in _retired(message, profile, chosen, mrg):
        alike = [each for each in survivors if each.authority == retired.authority and names_patients(each, profile)]
        survivor = medical_record_number(alike, profile) or chosen
        found.append(
            Merge(
                patient_key(survivor.authority, survivor.number),
                patient_key(retired.authority, retired.number),
                PATIENT,
            )
        )
    return found


def _accounts(
    message: Message,
    profile: SenderProfile,
    chosen: Identifier,
    _survivors: list[Identifier],
    pid: list[str],
    mrg: list[str],
    pv1: list[str],
) -> list[Merge]:
    """Visits under account MRG-3 belong to account PID-18."""
    former = visit_key(message, mrg[3], profile, chosen.authority)
    now = visit_key(message, pid[18], profile, chosen.authority) or visit_key(
        message, pv1[50], profile, chosen.authority
    )
    return _renamed(message, profile, chosen, mrg, former, now, ACCOUNT)


def _visits(
    message: Message,
    profile: SenderProfile,
    chosen: Identifier,
    _survivors: list[Identifier],
    _pid: list[str],
    mrg: list[str],
    pv1: list[str],
) -> list[Merge]:
    """One visit has both numbers, MRG-5 (MRG-6) and PV1-19 (PV1-50)."""
    for before, after in ((mrg[5], pv1[19]), (mrg[6], pv1[50])):
        former = visit_key(message, before, profile, chosen.authority)
        now = visit_key(message, after, profile, chosen.authority)
        if former and now:
            return _renamed(message, profile, chosen, mrg, former, now, VISIT)
    return []


def _renamed(
    message: Message,
    profile: SenderProfile,
    chosen: Identifier,
    mrg: list[str],
    former: str | None,
    now: str | None,
    unit: str,
) -> list[Merge]:
    if not former or not now:
        return []
    key = patient_key(chosen.authority, chosen.number)
    held = _retired(message, profile, chosen, mrg)
    other = patient_key(held[0].authority, held[0].number) if held else key
    return [Merge(key, other, unit, former, now)]


def _moved_account(
    message: Message,
    profile: SenderProfile,
    chosen: Identifier,
    _survivors: list[Identifier],
    pid: list[str],
    mrg: list[str],
    _pv1: list[str],
) -> list[Merge]:
    """The visits of account MRG-3, and only these, belong to the patient in PID-3."""
    number = visit_key(message, mrg[3], profile, chosen.authority) or visit_key(
        message, pid[18], profile, chosen.authority
    )
    return _moved(message, profile, chosen, mrg, number, ACCOUNT_MOVE)


def _moved_visit(
    message: Message,
    profile: SenderProfile,
    chosen: Identifier,
    _survivors: list[Identifier],
    _pid: list[str],
    mrg: list[str],
    pv1: list[str],
) -> list[Merge]:
    """The visit MRG-5 (MRG-6, else PV1-19), and only it, belongs to the patient in PID-3."""
    number = next(
        (key for value in (mrg[5], mrg[6], pv1[19]) if (key := visit_key(message, value, profile, chosen.authority))),
        None,
    )
    return _moved(message, profile, chosen, mrg, number, VISIT_MOVE)


def _moved(
    message: Message, profile: SenderProfile, chosen: Identifier, mrg: list[str], number: str | None, unit: str
) -> list[Merge]:
    held = _retired(message, profile, chosen, mrg)
    if not number or not held:
        return []
    key = patient_key(chosen.authority, chosen.number)
    return [Merge(key, patient_key(held[0].authority, held[0].number), unit, number, number)]


_PARTS: Final = {
    PATIENT: _patients,
    ACCOUNT: _accounts,
    VISIT: _visits,
    ACCOUNT_MOVE: _moved_account,
    VISIT_MOVE: _moved_visit,
}
