"""Acknowledgments (HL7 v2 sections 2.9.2 and 2.9.3), written for any message, also for an unreadable one."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

from domain.errors import Refusal
from parsers.hl7 import refusals as codes
from parsers.hl7.encoding import STANDARD, Delimiters, delimiters_of, unescape
from parsers.hl7.envelope import Envelope, read_envelope
from parsers.hl7.mllp import FS, VT

Outcome = Literal["accepted", "error", "rejected"]
_CODES: Final = {"accepted": ("AA", "CA"), "error": ("AE", "CE"), "rejected": ("AR", "CR")}
GOOD: Final = frozenset({"AA", "CA"})
_PLACE: Final = re.compile(r"([A-Z][A-Z0-9]{2})(?:-([0-9]+))?(?:\.([0-9]+))?(?:\[([0-9]+)\])?", re.ASCII)
_TRIGGER: Final = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)
_CONDITIONS: Final = {
    codes.EMPTY: ("100", "Segment sequence error"),
    codes.NOT_HL7: ("100", "Segment sequence error"),
    codes.NOT_ADT: ("200", "Unsupported message type"),
    codes.NO_TRIGGER: ("201", "Unsupported event code"),
    codes.NO_PATIENT: ("101", "Required field missing"),
    codes.NO_TIME: ("101", "Required field missing"),
    codes.TOO_LONG: ("104", "Value too long"),
}
_OF_FRAMES: Final = {VT: " ", FS: " "}
_OTHER_CONDITION: Final = ("207", "Application internal error")
"""HL7 table 0357, message error conditions."""


class Ack(msgspec.Struct, frozen=True, gc=False):
    """An acknowledgment: MSA-1, MSA-2, and MSA-3 or else the text of the first ERR."""

    code: str
    control_id: str
    text: str = ""


def answer_code(envelope: Envelope | None, outcome: Outcome, aa_only: bool = False, answer_never: bool = True) -> str:
    """MSA-1 for `outcome`, or "" if the message requests no acknowledgment (MSH-15, MSH-16, table 0155).

    Original mode (both empty, or `aa_only`): AA, AE, AR. MSH-15 set: CA, CE, CR under the condition AL, ER or SU.
    MSH-15 empty or NE and MSH-16 set: AA, AE, AR under the same conditions. With `answer_never`, a message that
    requests neither gets AA, AE, AR.
    """
    original, enhanced = _CODES[outcome]
    if envelope is None or not (envelope.accept_ack or envelope.application_ack):
        return original
    for asked, code in ((envelope.accept_ack, enhanced), (envelope.application_ack, original)):
        if asked == "AL" or asked == ("SU" if outcome == "accepted" else "ER"):
            return original if aa_only else code
    return original if answer_never or aa_only else ""


def acknowledge(
    envelope: Envelope | None,
    code: str,
    control_id: str,
    at: int,
    text: str = "",
    place: str = "",
    error_code: str = "",
) -> bytes:
    """An ACK for the message of `envelope` (None: it had no usable MSH), in the sender's own delimiters.

    `code` is MSA-1; `control_id` and `at` (ms UTC) are MSH-10 and MSH-7 of the ACK. MSH-3 to MSH-6 are swapped; MSH-11,
    MSH-12, MSH-18 and the message's control ID are repeated byte for byte, except that MLLP's own bytes, which would
    end the frame, become blanks. `place` ("PID-3[2]", field and repetition) and `error_code` (of `parsers.hl7.refusals`
    or the caller's own) go to ERR: ERR-2 to ERR-8 from version 2.5 on, ERR-1 before.
    """
    if envelope is None:
        delimiters, theirs = delimiters_of("|", STANDARD), ("|", STANDARD, *[""] * 8, "P", "2.5.1", *[""] * 8)
        trigger = ""
    else:
        delimiters, theirs = envelope.delimiters, envelope.fields
        trigger = envelope.trigger
    field, comp = delimiters.field, delimiters.component
    # Characters beyond ASCII are no delimiters, and their width depends on the charset: MSH-2 is then spelled out.
    spelled = comp + delimiters.repeat + delimiters.escape + delimiters.sub
    encoding = theirs[1] if theirs[1] and theirs[1].isascii() else spelled
    version = theirs[11]
    kind = comp.join(("ACK", trigger, "ACK")) if _TRIGGER.fullmatch(trigger) else "ACK"
    built = datetime.fromtimestamp(at // 1000, tz=UTC).strftime("%Y%m%d%H%M%S+0000")
    header = [
        "MSH", encoding, theirs[4], theirs[5], theirs[2], theirs[3], built, "", kind,
        _escaped(control_id, delimiters), theirs[10] or "P", version or "2.5.1",
    ]  # fmt: skip
    if theirs[17]:
        header += ["", "", "", "", "", theirs[17]]
    note = _escaped(text, delimiters)
    lines = [field.join(header), field.join(["MSA", code, theirs[9], *([note] if note else [])])]
    if code not in GOOD and (place or error_code or text):
        lines.append(_error(delimiters, version, place, error_code, note))
    return ("\r".join(lines) + "\r").translate(_OF_FRAMES).encode("latin-1", "replace")


def _error(delimiters: Delimiters, version: str, place: str, error_code: str, note: str) -> str:
    field, comp = delimiters.field, delimiters.component
    number, words = _CONDITIONS.get(error_code, _OTHER_CONDITION)
    found = _PLACE.fullmatch(place)
    segment, position, component, repetition = found.groups() if found else ("", "", "", "")
    if version[:3] in ("2.1", "2.2", "2.3", "2.4"):
        # ELD: segment, sequence, field, then the condition as a coded element cut into sub-components.
        condition = delimiters.sub.join((number, words, "HL70357"))
        return field.join(("ERR", comp.join((segment, "1" if segment else "", position or "", condition))))
    where = [segment, "1" if segment else "", position or ""]
    if repetition or component:
        where += [repetition or "1", component or ""]
    condition = comp.join((number, words, "HL70357"))
    own = _escaped(error_code, delimiters)
    return field.join(("ERR", "", comp.join(where).rstrip(comp), condition, "E", own, "", "", note)).rstrip(field)


def _escaped(text: str, delimiters: Delimiters) -> str:
    """`text` as one field: delimiters escaped (section 2.7.1), control characters replaced with blanks."""
    if text.isalnum():
        return text
    mark = delimiters.escape
    marks = {
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.sub: "T",
        delimiters.repeat: "R",
        mark: "E",
    }
    return "".join(
        f"{mark}{marks[char]}{mark}" if char in marks else " " if char < " " else char for char in text
    ).strip()


def read_ack(raw: bytes) -> Ack:
    """The acknowledgment in `raw`. Raises Refusal `empty`, `not-hl7`, or `not-ack` when it has no MSA with a code."""
    envelope = read_envelope(raw)
    delimiters = envelope.delimiters
    lines = re.split("[\r\n\x1c]+", raw.decode("latin-1"))

    def fields(name: str) -> list[str]:
        line = next((line for line in lines if line.startswith(name + delimiters.field)), "")
        return [unescape(value, delimiters).strip() for value in line.split(delimiters.field)]

    acknowledgement = fields("MSA")
    if len(acknowledgement) < 2 or not acknowledgement[1]:
        raise Refusal(codes.NOT_ACK, "MSA-1")
    acknowledgement += ["", ""]
    text = acknowledgement[3]
    if not text:
        error = fields("ERR")
        text = next((error[i] for i in (8, 7, 3, 1) if len(error) > i and error[i]), "")
    return Ack(acknowledgement[1].upper(), acknowledgement[2], text)
