"""HL7 v2 encoding (chapter 2): from bytes to segments and fields, and from a field to its text.

Unknown segments, fields and characters are no error; the only refusals are `empty` and `not-hl7`.
Delimiters come from MSH-1 and MSH-2. Escapes are resolved after splitting, so an escaped delimiter never splits.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from domain.errors import Refusal
from parsers.hl7.charsets import AROUND, decoded
from parsers.hl7.refusals import EMPTY, NOT_HL7

STANDARD: Final = "^~\\&"
_UNWRITTEN: Final = "\x11\x12\x13\x14\x15"
_BLANK: Final = [""] * 64
_NONE: Final[list[str]] = []


class Delimiters(msgspec.Struct, frozen=True, gc=False):
    """MSH-1 and the characters of MSH-2; a missing or unusable one has its usual value."""

    field: str
    component: str = "^"
    repeat: str = "~"
    escape: str = "\\"
    sub: str = "&"


@lru_cache(maxsize=256)
def delimiters_of(field: str, encoding: str) -> Delimiters:
    """The delimiters that MSH-1 `field` and MSH-2 `encoding` state.

    MSH-2 may be short, or carry the truncation character (2.7) as a fifth, which splits nothing. No two are the same:
    if the usual one is in use already, a control character replaces it. Raises
    Refusal `not-hl7` when `field` is a letter, a digit, blank, or beyond ASCII.
    """
    if not _delimits(field):
        raise Refusal(NOT_HL7, "MSH-1", "no field separator")
    chosen = [field]
    for i, usual in enumerate(STANDARD):
        given = encoding[i : i + 1]
        candidates = (given, usual, *_UNWRITTEN)
        chosen.append(next(each for each in candidates if _delimits(each) and each not in chosen))
    return Delimiters(*chosen)


def _delimits(char: str) -> bool:
    return len(char) == 1 and char.isascii() and not char.isalnum() and not char.isspace()


@lru_cache(maxsize=64)
def _escapes(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"{mark}([A-Za-z.][^{mark}]{{0,64}}){mark}")


def unescape(text: str, delimiters: Delimiters) -> str:
    """`text` with its escape sequences resolved (2.7): delimiters, hex bytes, line breaks; highlighting is dropped.

    An unknown or unterminated sequence is left unchanged: feeds send bare backslashes.
    """
    if delimiters.escape not in text:
        return text

    def resolved(found: re.Match[str]) -> str:
        body = found[1]
        kind = body[0]
        if len(body) == 1:
            plain = {
                "F": delimiters.field,
                "S": delimiters.component,
                "T": delimiters.sub,
                "R": delimiters.repeat,
                "E": delimiters.escape,
                "P": "#",
                "H": "",
                "N": "",
            }.get(kind)
            return found[0] if plain is None else plain
        if kind == "X":
            return _hexadecimal(body[1:], found[0])
        if body == ".br":
            return "\n"
        return found[0]

    return _escapes(delimiters.escape).sub(resolved, text)


def _hexadecimal(digits: str, otherwise: str) -> str:
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return otherwise
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


_SEGMENT_AT_LF: Final = re.compile(
    r"\n(?=(?:EVN|PID|PD1|NK1|PV1|PV2|MRG|DG1|IN1|IN2|OBX|AL1|GT1|Z[A-Z0-9]{2})[^A-Za-z0-9\s])"
)


def segment_lines(text: str) -> list[str]:
    """`text` cut at its segment ends, from its MSH on. Raises Refusal `not-hl7` when no line begins with MSH.

    The end is what ends the MSH segment: CR (HL7 v2 section 2.4), or CRLF or LF as files have it. Where CR ends
    segments a line feed is content of a field, unless a segment of ADT begins right behind it.
    """
    if "\n" in text:
        text = text.replace("\r\n", "\r")
        header = max(0, text.find("MSH"))
        ended_by_cr = 0 <= text.find("\r", header) < text.find("\n", header)
        text = _SEGMENT_AT_LF.sub("\r", text) if ended_by_cr else text.replace("\n", "\r")
    if not text.startswith("MSH"):
        start = text.find("\rMSH")
        if start < 0:
            raise Refusal(NOT_HL7, "MSH", "no MSH segment")
        text = text[start + 1 :]
    return text.split("\r")


class Message:
    """A message split into segments; fields are split on demand."""

    __slots__ = (
        "_comp", "_cut", "_esc", "_firsts", "_rep", "_sub", "delimiters", "field", "header", "lines", "notes"
    )  # fmt: skip

    def __init__(self, raw: bytes, default_charset: str = "") -> None:
        """Raises Refusal `empty` or `not-hl7`."""
        raw = raw.strip(AROUND)
        if not raw:
            raise Refusal(EMPTY)
        text, note = decoded(raw, default_charset)
        self.notes: list[str] = [note] if note else []
        self.lines = lines = segment_lines(text)
        header = lines[0]
        self.field = field = header[3:4]
        self.header = fields = header.split(field, 20) if field else [header]
        if len(fields) < 20:
            fields += _BLANK[len(fields) : 20]
        self.delimiters = delimiters = delimiters_of(field, fields[1])
        self._comp = delimiters.component
        self._rep = delimiters.repeat
        self._esc = delimiters.escape
        self._sub = delimiters.sub
        self._cut: dict[str, list[str] | None] = {}
        # In reverse order, so that the first line of each segment is kept.
        self._firsts = firsts = {line[:4]: line for line in reversed(lines)}
        if len(firsts) != len(lines) and text.count("MSH" + field) > 1:
            self._cut_at_second_header()
        if "pid" + field in firsts and "PID" + field not in firsts:
            self.lines = [line[:3].upper() + line[3:] for line in self.lines]
            self._firsts = {line[:4]: line for line in reversed(self.lines)}

    def _cut_at_second_header(self) -> None:
        """Two concatenated messages: keep the first."""
        name = "MSH" + self.field
        second = next((i for i, line in enumerate(self.lines) if i and line.startswith(name)), None)
        if second is not None:
            self.lines = self.lines[:second]
            self._firsts = {line[:4]: line for line in reversed(self.lines)}
            self.notes.append("glued-messages")

    def all(self, name: str) -> list[str]:
        """The lines of every segment `name`, in order ([] when there is none)."""
        name += self.field
        line = self._firsts.get(name)
        if line is None:
            return _NONE
        if len(self._firsts) == len(self.lines):
            return [line]
        return [line for line in self.lines if line.startswith(name)]

    def first(self, name: str) -> list[str] | None:
        """The raw fields of the first segment `name` (`[n]` is field n, up to 63 at least), or None."""
        fields = self._cut.get(name, _NONE)
        if fields is _NONE:
            line = self._firsts.get(name + self.field)
            fields = self._cut[name] = None if line is None else self.fields(line)
        return fields

    def fields(self, line: str) -> list[str]:
        """The raw fields of a segment line (`[0]` is its name), 64 at least; missing ones are empty."""
        fields = line.split(self.field)
        if len(fields) < 64:
            fields += _BLANK[len(fields) :]
        return fields

    def field_at(self, line: str, number: int) -> str:
        """Field `number` of a segment line as text; fast where most lines are shorter."""
        return self.text(line.split(self.field, number + 1)[number]) if line.count(self.field) >= number else ""

    def text(self, value: str) -> str:
        """The first repetition's first component's first sub-component, unescaped and trimmed. `""` stays `""`."""
        if not value or value.isalnum():
            return value
        comp = self._comp
        if self._rep in value:
            value = value[: value.index(self._rep)]
        if comp in value:
            value = value[: value.index(comp)]
        if self._sub in value:
            value = value[: value.index(self._sub)]
        if self._esc in value:
            value = unescape(value, self.delimiters)
        return value.strip()

    def repetitions(self, value: str) -> list[str]:
        """The raw repetitions of a field (one, perhaps empty, when it does not repeat)."""
        return value.split(self._rep)

    def components(self, repetition: str) -> list[str]:
        """The raw components of one repetition; pass each through `text`."""
        return repetition.split(self._comp)

    def component(self, value: str, number: int) -> str:
        """Component `number` (from 1) of the first repetition, as `text` gives it."""
        if number == 1:
            return self.text(value)
        parts = value.split(self._rep, 1)[0].split(self._comp, number)
        return self.text(parts[number - 1]) if len(parts) >= number else ""
