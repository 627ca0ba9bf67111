"""Parse one ADT message into an `AdtEvent` (HL7 v2 chapter 3).

The trigger is MSH-9.2, not EVN-1; the class is PV1-2, not implied by the trigger. Every trigger is parsed; the domain
interprets it. Unknown segments, fields and codes are no error.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from domain.errors import Refusal
from domain.identity import patient_key
from domain.patient.events import DELETED, AdtEvent, Merge, When
from domain.times import DAY
from parsers.hl7.encoding import Message
from parsers.hl7.lengths import check_lengths
from parsers.hl7.mrg import PARTNERS, UNITS, merges_in, partner_in
from parsers.hl7.pid import (
    default_authority,
    kept,
    medicaid_in,
    patient_in,
    phone_number,
    postal_code,
)
from parsers.hl7.profiles import SenderProfile
from parsers.hl7.pv1 import departure_of, visit_in
from parsers.hl7.refusals import NO_PATIENT, NO_TIME, NO_TRIGGER, NOT_ADT
from parsers.hl7.timestamps import birth_date, built, moment, without_offset

_TRIGGER: Final = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)
_OF_PATIENTS: Final = frozenset({f"A{number:02d}" for number in range(1, 63)} - {"A20"})
"""Triggers that require a patient (A20 is about a bed). An unknown trigger does not."""
_BLANK: Final = [""] * 64


def read_adt(raw: bytes, profile: SenderProfile) -> AdtEvent:
    """The event of one message. Raises `Refusal` with a code of `parsers.hl7.refusals`, and no other exception.

    Times are ms UTC. The zone of a value is its own offset, else that of MSH-7, else the profile's
    (docs/semantics.md#times).
    """
    message = Message(raw, profile.encoding)
    header, text = message.header, message.text
    trigger = _trigger(header[8], message.delimiters.component)
    check_lengths(message)
    evn = message.first("EVN") or _BLANK
    notes = message.notes
    if header[13]:
        notes.append("continued")  # MSH-14: part of a longer message (section 2.10.2); the parts are not joined
    named = evn[1]
    if named != trigger and (named := text(named)) and named != trigger and named != DELETED:
        notes.append("evn-1-differs")
    zone = profile.zone
    time_text = text if profile.offsets == "trust" else lambda field: without_offset(text(field))
    made, offset = built(time_text(header[6]), zone)
    if offset is None:
        notes.append("zone-from-profile")
    occurred = moment(time_text(evn[6]), zone, offset, "EVN-6") if evn[6] else None
    recorded = _recorded(moment(time_text(evn[2]), zone, offset, "EVN-2") if evn[2] else None, made, occurred)

    default = default_authority(message, profile)
    pid = message.first("PID") or _BLANK
    chosen, identifiers = patient_in(message, pid, profile, default)
    if chosen is None:
        if trigger in _OF_PATIENTS:
            raise Refusal(NO_PATIENT, "PID" if pid is _BLANK else "PID-3", "no patient number")
        patient, authority = "", default
    else:
        authority = chosen.authority
        patient = patient_key(authority, chosen.number)
    cin, bad_cin = medicaid_in(message, pid, identifiers, profile)
    visit = visit_in(message, profile, trigger, pid, patient, authority, offset)

    merges: tuple[Merge, ...] = ()
    if trigger in UNITS:
        merges, complete = merges_in(message, profile, default, trigger)
        if not complete:
            notes.append("merge-incomplete")
    died = None
    if pid[29] or pid[30]:
        own = departure_of(visit, occurred) if trigger == "A03" else occurred
        died = _died(message, pid, profile, offset, own or When(recorded))
    sequence = header[12].strip()
    name = message.components(message.repetitions(pid[5])[0]) if pid[5] else _BLANK
    # By position, in the order of the fields: keywords take a twentieth of the time of the whole function.
    return AdtEvent(
        trigger,
        profile.name,
        text(header[9]),
        recorded if made is None else made,
        recorded,
        occurred,
        patient,
        int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) < 16 else None,
        kept(identifiers),
        cin,
        bad_cin,
        _born(text(pid[7])) if pid[7] else None,
        (text(pid[8]).upper() or None) if pid[8] else None,
        text(name[0]) or None,
        (text(name[1]) or None) if len(name) > 1 else None,
        postal_code(message, pid[11]) if pid[11] else None,
        phone_number(message, pid[13]) if pid[13] else None,
        died,
        visit,
        merges,
        partner_in(message, profile, default) if trigger in PARTNERS else None,
        tuple(notes),
    )


def patient_key_of(raw: bytes, profile: SenderProfile) -> str | None:
    """The patient key of `read_adt`, without parsing the rest; None for a message without a patient or header."""
    try:
        message = Message(raw, profile.encoding)
    except Refusal:
        return None
    pid = message.first("PID")
    if pid is None:
        return None
    chosen, _ = patient_in(message, pid, profile, default_authority(message, profile))
    return None if chosen is None else patient_key(chosen.authority, chosen.number)


def raw_key(patient: str | None, sender: str, control_id: str) -> bytes:
    """The key of a message on `adt.raw.v1`: its patient key; `sender|control ID` where it names no patient."""
    return (patient or f"{sender}|{control_id}").encode()


@lru_cache(maxsize=1024)
def _trigger(kind: str, component: str) -> str:
    """MSH-9.2 of MSH-9 `kind`. Raises Refusal `not-adt` or `no-trigger`."""
    parts = kind.split(component)
    name = parts[0].strip().upper()
    if name != "ADT":
        raise Refusal(NOT_ADT if name else NO_TRIGGER, "MSH-9", "not an ADT message" if name else "")
    sent = parts[1] if len(parts) > 1 else ""
    trigger = sent.strip().upper()
    # Not ASCII: the charset decides whether that is a blank or a letter, and the header alone may not give it.
    if not sent.isascii() or not _TRIGGER.fullmatch(trigger):
        raise Refusal(NO_TRIGGER, "MSH-9.2")
    return trigger


def _recorded(entered: When | None, made: int | None, occurred: When | None) -> int:
    """When the message was entered: EVN-2, else MSH-7, else EVN-6. Raises Refusal `no-time` without any of them.

    An EVN-2 without a time of day gives way to an MSH-7 of that day (docs/semantics.md#precision).
    """
    if entered is not None:
        if entered.whole_day and made is not None and 0 <= made - entered.at < DAY:
            return made
        return entered.at
    if made is not None:
        return made
    if occurred is not None:
        return occurred.at
    raise Refusal(NO_TIME, "EVN-2", "neither EVN-2 nor MSH-7 nor EVN-6 can be read")


def _died(message: Message, pid: list[str], profile: SenderProfile, offset: int | None, own: When) -> When | str | None:
    """PID-29, else the event's `own` time when PID-30 is Y; DELETED when PID-30 is N, or either is `""`."""
    when, flag = message.text(pid[29]), message.text(pid[30]).upper()
    dated = moment(when, profile.zone, offset, "PID-29") if when and when != DELETED else None
    if flag in ("N", "NO"):
        if dated is not None:
            message.notes.append("death-contradicts")
        return DELETED
    if dated is None and flag in ("Y", "YES"):
        return When(own.at, own.whole_day, "PID-30")
    if dated is None and DELETED in (when, flag):
        return DELETED
    return dated


def _born(sent: str) -> str | None:
    return DELETED if sent == DELETED else birth_date(sent)
