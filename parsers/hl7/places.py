"""Reads the places that a sender profile names (`PV1-3.4`, `ZPV-5`, `OBX[HOMELESS]-5`)."""

from __future__ import annotations

from domain.patient.events import DELETED
from parsers.hl7.encoding import Message
from parsers.hl7.profiles import Facility, Place, SenderProfile


def value_at(message: Message, place: Place) -> str:
    """What stands at `place`, as text; "" when the segment, field or component is not there."""
    if place.code:
        for line in message.all(place.segment):
            fields: list[str] | None = message.fields(line)
            if fields and message.text(fields[3]) == place.code:
                break
        else:
            return ""
    elif place.segment == "MSH":
        fields = message.header
        return message.component(fields[place.field - 1], place.component) if place.field <= len(fields) else ""
    else:
        fields = message.first(place.segment)
    if fields is None:
        return ""
    value = fields[place.field]
    return message.component(value, place.component) if value else ""


def facility_of(message: Message, profile: SenderProfile) -> Facility:
    """The facility that a message is about: the first of the profile's places that names one, mapped.

    A code that the map does not have stands for itself. `Facility("")` when no place holds anything.
    """
    for place in profile.facility_places:
        code = value_at(message, place)
        if code and code != DELETED:
            return profile.facilities.get(code.upper()) or Facility(code, profile.facility_type)
    return Facility("", profile.facility_type)
