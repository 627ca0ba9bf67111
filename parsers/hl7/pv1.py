"""The visit of a message: PV1, DG1, facility, homelessness flag, keys of visit and account.

Rules: docs/semantics.md#which-visit, #classes.
"""

from __future__ import annotations

from domain.facilities import CUSTODIAL, NURSING
from domain.identity import patient_key
from domain.patient.events import DELETED, VisitStatement, When
from parsers.hl7.dialects import UNMAPPED
from parsers.hl7.encoding import Message
from parsers.hl7.pid import authority_in
from parsers.hl7.places import facility_of, value_at
from parsers.hl7.profiles import SenderProfile
from parsers.hl7.timestamps import moment, without_offset


def visit_key(message: Message, value: str, profile: SenderProfile, authority: str) -> str | None:
    """The key of a visit or account number (CX: PV1-19, PID-18, MRG-3, MRG-5), or None when there is none."""
    if not value:
        return None
    number = message.text(value)
    if not number or number == DELETED:
        return None
    parts = message.components(value)
    own = authority_in(message, parts[3], profile) if len(parts) > 3 and parts[3] else ""
    return patient_key(own or authority, number)


def visit_in(
    message: Message,
    profile: SenderProfile,
    trigger: str,
    pid: list[str],
    patient: str,
    authority: str,
    offset: int | None,
) -> VisitStatement | None:
    """The statement of a message's first PV1; None when it has no PV1.

    `patient` is the patient key and `authority` its authority, which is also that of a visit number without one.
    `offset` is the one of MSH-7 in ms, or None.
    """
    pv1 = message.first("PV1")
    if pv1 is None:
        return None
    text = message.text
    admitted = _time_in(text(pv1[44]), profile, offset, "PV1-44") if pv1[44] else None
    departed = _time_in(text(pv1[45]), profile, offset, "PV1-45") if pv1[45] else None
    facility = facility_of(message, profile)
    patient_class = _class_in(message, profile, text(pv1[2]), facility.type)
    number = visit_key(message, pv1[19], profile, authority)
    account = visit_key(message, pid[18], profile, authority) or visit_key(message, pv1[50], profile, authority)
    numbered = number is not None and profile.visit_numbers == "unique"
    key = number or account
    weak = key is None
    if key is None:
        key = f"{patient}~{facility.id}"
    return VisitStatement(
        key,
        weak,
        patient_class,
        facility.id or None,
        admitted,
        departed,
        _code(message, "PV1-4", pv1[4], profile.admission_types) if pv1[4] else None,
        _code(message, "PV1-14", pv1[14], profile.sources) if pv1[14] else None,
        _code(message, "PV1-36", pv1[36], profile.dispositions) if pv1[36] else None,
        (text(pv1[37]) or None) if pv1[37] else None,
        _diagnoses(message),
        _homeless(message, profile, pid[11]),
        _prior_visit(message, profile, authority) if trigger in ("A06", "A07") else None,
        numbered,
        facility.type or None,
        profile.a8_creates and trigger == "A08",
        account,
    )


def _time_in(sent: str, profile: SenderProfile, offset: int | None, source: str) -> When | str | None:
    if sent == DELETED:
        return DELETED
    if profile.offsets != "trust":
        sent = without_offset(sent)
    return moment(sent, profile.zone, offset, source)


def _code(message: Message, place: str, field: str, dialect: dict[str, str]) -> str | None:
    """A code in the profile's dialect; a code outside it as sent, with a note; None for an empty one."""
    sent = message.text(field)
    known = dialect.get(sent) or dialect.get(sent.upper())
    if known or not sent:
        return known or None
    if sent != DELETED and sent.upper() not in dialect:
        message.notes.append(UNMAPPED + place)
    return sent


def _class_in(message: Message, profile: SenderProfile, sent: str, facility_type: str) -> str | None:
    """The patient class from PV1-2 and the facility type; the trigger is not used (docs/semantics.md#classes)."""
    if not sent or sent == DELETED:
        known = profile.class_empty
    else:
        found = profile.classes.get(sent.upper())
        if found is None:
            message.notes.append(UNMAPPED + "PV1-2")
        known = profile.class_otherwise if found is None else found
    place = profile.observation_place
    if place is not None and (code := value_at(message, place)) and code.upper() in profile.observation_codes:
        known = "observation"
    if known and facility_type in CUSTODIAL:
        return "custody"
    if known == "inpatient" and facility_type in NURSING:
        return "snf"
    return known or None


def _diagnoses(message: Message) -> tuple[str, ...] | None:
    """All DG1-3 codes of a message, in order, each once; segments with DG1-21 D (delete) are left out."""
    lines = message.all("DG1")
    if not lines:
        return None
    codes: dict[str, None] = {}
    for line in lines:
        code = message.field_at(line, 3)
        if code and code != DELETED and message.field_at(line, 21) != "D":
            codes[code.replace(".", "").upper()] = None
    return tuple(codes)


def _homeless(message: Message, profile: SenderProfile, address: str) -> bool | None:
    """The homelessness flag at the profile's place, else True for a hint in the address (PID-11), else None."""
    if profile.homeless_place is not None:
        flag = value_at(message, profile.homeless_place).upper()
        if flag in profile.homeless_yes:
            return True
        if flag in profile.homeless_no:
            return False
    if address:
        address = address.upper()
        for word in profile.homeless_addresses:
            if word in address:
                return True
    return None


def _prior_visit(message: Message, profile: SenderProfile, authority: str) -> str | None:
    """The number a visit had before its class changed (A06, A07): MRG-5, else the account in MRG-3."""
    for line in message.all("MRG"):
        fields = message.fields(line)
        for position in (5, 3):
            key = visit_key(message, fields[position], profile, authority)
            if key is not None:
                return key
    return None


def departure_of(visit: VisitStatement | None, occurred: When | None) -> When | None:
    """The departure time of an A03: PV1-45, else EVN-6."""
    return visit.departed if visit is not None and isinstance(visit.departed, When) else occurred
