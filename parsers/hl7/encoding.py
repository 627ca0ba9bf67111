"""HL7 v2 encoding (chapter 2): from bytes to segments and fields, and from a field to its text.

Nothing here fails on a segment, field or character that it does not know; the only refusals are `empty` and `not-hl7`.
Delimiters come from MSH-1 and MSH-2. Escapes are resolved after splitting, so an escaped delimiter never splits.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import msgspec

from domain.errors import Refusal
from parsers.hl7.refusals import EMPTY, NOT_HL7

STANDARD: Final = "^~\\&"
AROUND: Final = b"\x0b\x1c\r\n\t \x00"
"""What is taken off both ends of a message: MLLP's own bytes left on, blank lines, NULs."""
_UNWRITTEN: Final = "\x11\x12\x13\x14\x15"
MARK: Final = b"\xef\xbb\xbf"
"""The byte order mark of UTF-8."""
WIDE: Final = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16, the one thing that tells it."""
_BLANK: Final = [""] * 64
_NONE: Final[list[str]] = []
_HEADER: Final = re.compile(rb"(?:\A|[\r\n])(MSH[^\r\n]*)")
CHARSETS: Final = {
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "UTF8": "utf-8",
    "WINDOWS-1252": "cp1252",
    "CP1252": "cp1252",
}
"""MSH-18 (table 0211, and what feeds write in its place) -> codec. ASCII is not here: other bytes break its word."""


class Delimiters(msgspec.Struct, frozen=True, gc=False):
    """MSH-1 and the characters of MSH-2; one that is missing or cannot delimit has its usual value."""

    field: str
    component: str = "^"
    repeat: str = "~"
    escape: str = "\\"
    sub: str = "&"


@lru_cache(maxsize=256)
def delimiters_of(field: str, encoding: str) -> Delimiters:
    """The delimiters that MSH-1 `field` and MSH-2 `encoding` state.

    MSH-2 may be short, or carry the truncation character (2.7) as a fifth, which splits nothing. No two are the same:
    where the usual one delimits something else already, a character that no feed writes stands in for it. Raises
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

    A sequence that is not known (or has no end) stays as it stands: feeds send bare backslashes.
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


def decoded(raw: bytes, default: str = "") -> tuple[str, str]:
    """`raw` as text, and "charset-fallback" when the bytes were not what the message said, else "".

    In order: a byte order mark; pure ASCII; the first repetition of MSH-18; `default` (the profile's); strict UTF-8;
    Windows-1252, marked (a byte without meaning there is read as Latin-1).
    """
    if raw.isascii():
        return raw.decode("ascii"), ""
    marked = raw.startswith(MARK)
    if marked:
        raw = raw[3:]
    elif raw.startswith(WIDE):
        # Who took NULs off the end may have taken half of the last character.
        return (raw + b"\0" * (len(raw) % 2)).decode("utf-16", "replace"), ""
    for codec in ("utf-8" if marked else "", _stated_codec(raw), default, "utf-8"):
        if codec:
            try:
                return raw.decode(codec), ""
            except (UnicodeDecodeError, LookupError):
                continue
    try:
        return raw.decode("cp1252"), "charset-fallback"
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "charset-fallback"


def encoded(text: str) -> bytes:
    """The bytes of a message that is at hand as text: in the codec that its MSH-18 names, else in UTF-8.

    Raises UnicodeEncodeError for a lone surrogate.
    """
    raw = text.encode()
    codec = "" if raw.isascii() else _stated_codec(raw)
    if codec:
        try:
            return text.encode(codec)
        except UnicodeEncodeError:
            pass  # it says one charset and holds another: the reader falls back to UTF-8, and marks it
    return raw


def _stated_codec(raw: bytes) -> str:
    start = raw.find(b"MSH")
    if start < 0:
        return ""
    header = re.split(rb"[\r\n]", raw[start:], maxsplit=1)[0].decode("latin-1")
    fields = header.split(header[3:4] or "|", 18)
    if len(fields) < 18:
        return ""
    return CHARSETS.get(fields[17].split(fields[1][1:2] or "~", 1)[0].strip().upper(), "")


def header_of(raw: bytes) -> bytes:
    """The line of a message's MSH, in the bytes it came in (UTF-16: in UTF-8); a UTF-8 mark in front of all is kept.

    Raises Refusal `empty` or `not-hl7`, as reading the whole message does.
    """
    raw = raw.strip(AROUND)
    if not raw:
        raise Refusal(EMPTY)
    if raw.startswith(WIDE):
        raw = MARK + decoded(raw)[0].encode()
    mark = MARK if raw.startswith(MARK) else b""
    found = _HEADER.search(raw.removeprefix(mark))
    if found is None:
        raise Refusal(NOT_HL7, "MSH", "no MSH segment")
    return mark + found[1]


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
    """A message cut into segments; fields are cut when asked for."""

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
        # The last of a name to be set stays: backwards, the first line of each segment.
        self._firsts = firsts = {line[:4]: line for line in reversed(lines)}
        if len(firsts) != len(lines) and text.count("MSH" + field) > 1:
            self._cut_at_second_header()
        if "pid" + field in firsts and "PID" + field not in firsts:
            self.lines = [line[:3].upper() + line[3:] for line in self.lines]
            self._firsts = {line[:4]: line for line in reversed(self.lines)}

    def _cut_at_second_header(self) -> None:
        """Two messages glued together: only the first is this one."""
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
        """The raw fields of a segment line (`[0]` is its name); up to 63 may be asked for, missing ones are empty."""
        fields = line.split(self.field)
        if len(fields) < 64:
            fields += _BLANK[len(fields) :]
        return fields

    def field_at(self, line: str, number: int) -> str:
        """Field `number` of a segment line as text: for one field, where most lines do not reach that far."""
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
