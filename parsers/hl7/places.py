"""Values at the places of a sender profile (`PV1-3.4`, `ZPV-5`, `OBX[HOMELESS]-5`)."""

from __future__ import annotations

from domain.identity import MOST_CHARACTERS
from domain.patient.events import DELETED
from parsers.hl7.encoding import Message
from parsers.hl7.lengths import too_long
from parsers.hl7.profiles import Facility, Place, SenderProfile


def value_at(message: Message, place: Place) -> str:
    """The value at `place` as text; "" without that segment, field or component."""
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
    """The facility of a message: the first of the profile's places with a code, mapped.

    A code outside the map is its own ID. `Facility("")` if all places are empty. Raises Refusal `too-long`.
    """
    for place in profile.facility_places:
        code = value_at(message, place)
        if len(code) > MOST_CHARACTERS:
            raise too_long(place.segment, place.field, place.component)
        if code and code != DELETED:
            return profile.facilities.get(code.upper()) or Facility(code, profile.facility_type)
    return Facility("", profile.facility_type)
