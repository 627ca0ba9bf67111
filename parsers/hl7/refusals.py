"""Refusal codes of the HL7 parsers, a closed set (docs/refusals.md)."""

from __future__ import annotations

from typing import Final

EMPTY: Final = "empty"
"""No byte but blanks."""
NOT_HL7: Final = "not-hl7"
"""No MSH segment, or one whose delimiters cannot be used."""
NOT_ADT: Final = "not-adt"
"""MSH-9.1 is another message type than ADT."""
NO_TRIGGER: Final = "no-trigger"
"""MSH-9.2 is missing or is no trigger event."""
NO_PATIENT: Final = "no-patient"
"""The trigger requires a patient, and the message has no PID or no patient number."""
NO_TIME: Final = "no-time"
"""None of EVN-2, MSH-7 and EVN-6 is a valid time: the message cannot be ordered."""
TOO_LONG: Final = "too-long"
"""A value that becomes a key or is copied into outputs is longer than `parsers.hl7.lengths` allows."""
NOT_ACK: Final = "not-ack"
"""An acknowledgment without an MSA segment (clients only)."""
UNKNOWN_SENDER: Final = "unknown-sender"
"""No sender profile matches and the setting `refuse_unknown` is on."""

REFUSALS: Final = frozenset(
    {EMPTY, NOT_HL7, NOT_ADT, NO_TRIGGER, NO_PATIENT, NO_TIME, TOO_LONG, NOT_ACK, UNKNOWN_SENDER}
)
