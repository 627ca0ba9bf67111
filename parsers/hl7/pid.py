"""Who a message is about: PID, and the Medi-Cal number wherever it stands (PID-2, PID-3, IN1-36, IN2-8)."""

from __future__ import annotations

import re
from typing import Final

from domain.identity import read_cin
from domain.patient.events import DELETED, Identifier
from parsers.hl7.encoding import Message
from parsers.hl7.profiles import SenderProfile

_SOCIAL_SECURITY: Final = frozenset({"SS", "SSN"})
"""PID-3.5 of a social security number: never kept."""
_SOCIAL_SECURITY_OFFICES: Final = frozenset({"SSA", "USSSA", "USSSN"})
_UNLISTED: Final = 500
_MEDICAID: Final = 900
_NOT_DIGITS: Final = re.compile("[^0-9]+")


def default_authority(message: Message, profile: SenderProfile) -> str:
    """Who assigned a number that does not say so: the profile's word, else MSH-4.1, MSH-3.1, the profile's name."""
    if profile.authority:
        return profile.authority
    header = message.header
    sent = message.text(header[3]) or message.text(header[2])
    return profile.authorities.get(sent, sent) or profile.name


def authority_in(message: Message, component: str, profile: SenderProfile) -> str:
    """An assigning authority (HD): its namespace, else its universal ID, under the name the profile gives it."""
    name = message.text(component)
    if not name and component:
        for part in component.split(message.delimiters.sub)[1:2]:
            name = message.text(part)
    if name == DELETED:
        return ""
    return profile.authorities.get(name, name) if profile.authorities else name


def identifiers_in(message: Message, value: str, profile: SenderProfile, default: str) -> list[Identifier]:
    """The numbers of a list of identifiers (CX); those without an authority get `default`."""
    found: list[Identifier] = []
    if not value:
        return found
    for repetition in message.repetitions(value):
        parts = message.components(repetition)
        number = message.text(parts[0])
        if not number or number == DELETED:
            continue
        size = len(parts)
        authority = authority_in(message, parts[3], profile) if size > 3 and parts[3] else ""
        kind = message.text(parts[4]).upper() if size > 4 and parts[4] else ""
        found.append(Identifier(authority or default, number, kind))
    return found


def medical_record_number(identifiers: list[Identifier], profile: SenderProfile) -> Identifier | None:
    """The one that names the hospital's patient.

    The profile's types in its order, then any other type, then a Medicaid number; the first among equals. None when
    all are of a type that never does (social security, driving licence, visit).
    """
    best: Identifier | None = None
    best_rank = 1_000
    wanted = profile.mrn_types
    first = wanted[0] if wanted else None
    for identifier in identifiers:
        kind = identifier.type
        if kind == first:
            return identifier
        if kind in profile.never_types or is_social_security(identifier):
            continue
        if kind in profile.cin_types or identifier.authority.upper() in profile.cin_authorities:
            rank = _MEDICAID
        elif kind in wanted:
            rank = wanted.index(kind)
        else:
            rank = _UNLISTED
        if rank < best_rank:
            best, best_rank = identifier, rank
    return best


def is_social_security(identifier: Identifier) -> bool:
    """Whether a number is a social security number, by its type or its authority."""
    return identifier.type in _SOCIAL_SECURITY or identifier.authority in _SOCIAL_SECURITY_OFFICES


def kept(identifiers: list[Identifier]) -> tuple[Identifier, ...]:
    """What an event carries on: every number but social security numbers."""
    for identifier in identifiers:
        if is_social_security(identifier):
            return tuple(each for each in identifiers if not is_social_security(each))
    return tuple(identifiers)


def patient_in(
    message: Message, fields: list[str], profile: SenderProfile, default: str
) -> tuple[Identifier | None, list[Identifier]]:
    """The patient's own number and all numbers of one PID (its fields).

    PID-3; where it names no patient, PID-2 and then PID-4 (before version 2.3 some senders put it there).
    """
    identifiers = identifiers_in(message, fields[3], profile, default)
    chosen = medical_record_number(identifiers, profile)
    for other in (2, 4):
        if chosen is None and fields[other]:
            more = identifiers_in(message, fields[other], profile, default)
            chosen = medical_record_number(more, profile)
            identifiers += more
    return chosen, identifiers


def names_patients(identifier: Identifier, profile: SenderProfile) -> bool:
    """Whether a number is of a kind that names a hospital's patient: one of the profile's record-number types."""
    return (
        identifier.type in profile.mrn_types
        and identifier.authority.upper() not in profile.cin_authorities
        and not is_social_security(identifier)
    )


def medicaid_in(
    message: Message, fields: list[str], identifiers: list[Identifier], profile: SenderProfile
) -> tuple[str | None, bool]:
    """The CIN, and whether a number that should be one has another shape.

    In this order: a PID-3 number marked as Medicaid, an unmarked one of its shape, PID-2, IN2-8, IN1-36.
    """
    bad = False
    unmarked: str | None = None
    for identifier in identifiers:
        if identifier.type in profile.cin_types or identifier.authority.upper() in profile.cin_authorities:
            cin = read_cin(identifier.number)
            if cin is not None:
                return cin, False
            bad = True
        elif (
            unmarked is None
            and len(identifier.number) >= 9
            and not (identifier.type and identifier.type in profile.mrn_types)
        ):
            unmarked = read_cin(identifier.number)
    if unmarked is None and fields[2]:
        unmarked = read_cin(message.text(fields[2]))
    if unmarked is not None:
        return unmarked, False
    for name, position, marked in (("IN2", 8, True), ("IN1", 36, False), ("IN1", 49, False)):
        for line in message.all(name):
            if name == "IN1" and not _is_own(message, line, fields):
                continue
            number = message.field_at(line, position)
            if number and number != DELETED:
                cin = read_cin(number)
                if cin is not None:
                    return cin, False
                bad = bad or marked
    return None, bad


_SELF: Final = frozenset({"", "SEL", "SELF", "18", "S", "01"})
"""IN1-17, the insured's relationship to the patient: empty, or the patient (tables 0063 and X12 1069)."""


def _is_own(message: Message, line: str, pid: list[str]) -> bool:
    """Whether an IN1 is about insurance in the patient's own name.

    IN1-17 says so, or is empty and the insured's birth date (IN1-18) is not another than the patient's.
    """
    relationship = message.field_at(line, 17).strip().upper()
    if relationship not in _SELF:
        return False
    insured, own = message.field_at(line, 18)[:8], message.text(pid[7])[:8]
    return bool(relationship) or not insured or not own or insured == own


def postal_code(message: Message, value: str) -> str | None:
    """The five-digit ZIP of the first address (PID-11.5) that has one; None for others (XXXXX is "unknown")."""
    if value == DELETED:
        return DELETED
    for address in message.repetitions(value):
        parts = message.components(address)
        if len(parts) > 4:
            digits = message.text(parts[4])[:5]
            if len(digits) == 5 and digits.isascii() and digits.isdigit():
                return digits
    return None


def phone_number(message: Message, value: str) -> str | None:
    """The ten digits of the first North American number in a list of telephones (PID-13, XTN), or None."""
    if value == DELETED:
        return DELETED
    for telephone in message.repetitions(value):
        parts = message.components(telephone)
        digits = _ten_digits(parts[0])
        if digits is None and len(parts) > 6:
            digits = _ten_digits(parts[5] + parts[6])
            if digits is None and len(parts) > 11:
                digits = _ten_digits(parts[11])
        if digits is not None:
            return digits
    return None


def _ten_digits(text: str) -> str | None:
    if not text.isdigit():
        text = _NOT_DIGITS.sub("", text.upper().partition("X")[0])
    digits = text
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    return digits if len(digits) == 10 else None
