"""Why a message is refused: the closed set of codes that parsers give a `Refusal`."""

from __future__ import annotations

from typing import Final

EMPTY: Final = "empty"
"""Nothing was there: no byte that is not blank."""
NOT_HL7: Final = "not-hl7"
"""No MSH segment, or one whose delimiters cannot be used."""
NOT_ADT: Final = "not-adt"
"""MSH-9.1 names another message than ADT."""
NO_TRIGGER: Final = "no-trigger"
"""MSH-9.2 is missing or is no trigger event."""
NO_PATIENT: Final = "no-patient"
"""The trigger speaks of a patient, and there is no PID or no patient number in it."""
NO_TIME: Final = "no-time"
"""Neither EVN-2 nor MSH-7 nor EVN-6 holds a time that can be read: the message cannot be put in order."""
NOT_ACK: Final = "not-ack"
"""An answer without an MSA segment (clients only)."""
UNKNOWN_SENDER: Final = "unknown-sender"
"""No sender profile fits and the setting `refuse_unknown` is on."""

REFUSALS: Final = frozenset({EMPTY, NOT_HL7, NOT_ADT, NO_TRIGGER, NO_PATIENT, NO_TIME, NOT_ACK, UNKNOWN_SENDER})
