"""Damage that knows HL7: segments, fields, delimiters, escapes, times, encodings. Most of it can still be read.

Blind damage to bytes mostly dies at MSH. This kind reaches what stands behind: each message gets one to four of the
changes below, chosen by a seeded generator, so that a run can be repeated.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

VALUES: Final = (
    b"", b"", b'""', b'""', b" ", b"^", b"~", b"&", b"^^^", b"~~", b"A", b"0", b"N", b"Y", b"D", b"E", b"I", b"OBS",
    b"MR", b"7^^^GEN^MR", b"7^^^&1.2.3&ISO^MR~8^^^^SS", b"91234567A^^^MEDI-CAL^MA", b"~9^^^X^PI",
    b"\\F\\\\S\\\\T\\\\R\\\\E\\", b"\\X41C3A9\\", b"\\XC4B0\\", b"\\Xff\\", b"\\.br\\", b"\\H\\x\\N\\", b"\\",
    b"\\\\", b"\\Z", b"\\E", b"x\\F", b"A\xe9", b"A\xc3\xa9", b"A\xc4\xb0", b"\xff\xfe", b"\x00", b"\x1c", b"\x0b",
    b"\x85", b"\xe2\x80\xa8", b"\xc2\xb2", b"9" * 20, b"-1", b"x" * 300, b"1.5", b"+", b"5555550100",
    b"UNICODE UTF-8", b"8859/1", b"8859/15~ASCII", b"AL", b"NE", b"ER",
)  # fmt: skip
TIMES: Final = (
    b"2026", b"202611", b"20261123", b"2026112310", b"202611231015", b"20261123101530", b"20261123101530.1234-0800",
    b"20261101013000", b"20260308023000", b"20261123240000", b"20261123101560", b"20261123101530+1500", b"20261123Z",
    b"2026-11-23T10:15:30-05:00", b"2026/11/23 10:15", b"99991231235959", b"00010101", b"00010101+1500", b"19000101",
    b"99991231-1500", b"20261323", b"20260230", b"junk", b"1", b'""', b"20261123101530 PST", b"20261123101530637", b"",
)  # fmt: skip
KINDS: Final = (*(f"ADT^A{number:02d}".encode() for number in range(1, 63)), b"ADT", b"ADT^Z99", b"adt^a08", b"ORU^R01",
                b"ADT^A08^ADT_A01~x", b"ADT&x^A01", b"ADT^ A03 ", b"", b"^A01", b"ADT^A\\X30\\1", b"ACK")  # fmt: skip
LINES: Final = (
    b"PV1|1|E|ED^1||||||||||||||||V2", b"PID|2||200^^^OTHER^MR", b"MRG|201^^^GEN^MR||A8||V8", b"DG1|1||Z59.00",
    b"ZPV|1||||Y", b"OBX|1|CE|HOMELESS^x||Y", b"IN2|1|||||||91234567A", b"EVN||20261123|||x|20261122", b"MSH|^~\\&|X",
    b"stray", b"PID", b"pid|1||7", b"PV1|", b"", b"MRG|", b"DG1|1|||||||||||||||||||||D", b"BTS|1", b"FHS|^~\\&",
    b"NTE|1||" + b"\\.br\\" * 9,
)  # fmt: skip
_TIMED: Final = {b"MSH": (6,), b"EVN": (2, 6), b"PID": (7, 29), b"PV1": (44, 45)}
_NUMBERED: Final = {b"PID": (2, 3, 4, 18), b"PV1": (2, 3, 4, 14, 18, 19, 36, 50), b"MRG": (1, 3, 5, 6), b"EVN": (1, 6)}


class Mutator:
    """Makes messages out of `seeds`. The same `seed` gives the same messages."""

    def __init__(self, seeds: Sequence[bytes], seed: int) -> None:
        self.seeds = seeds
        self.chance = random.Random(seed)
        self._pick = self.chance.random
        # The more often a change stands here, the more often it is made.
        self._changes: list[Callable[[list[bytes]], None]] = [
            *[self.set_field] * 4, *[self.set_time] * 3, *[self.set_known] * 3, self.set_kind, self.swap_fields,
            self.delete_field, self.double_field, self.repeat_field, self.cut_field, self.swap_lines, self.delete_line,
            self.double_line, self.add_line, self.splice, self.set_msh_2, self.hit_byte,
        ]  # fmt: skip
        self._wholes: list[Callable[[bytes], bytes]] = [
            self.truncate, self.other_delimiters, self.other_line_ends, self.recode, self.surround, self.hit_bytes,
            self.glue,
        ]  # fmt: skip

    def some(self) -> bytes:
        """A new message out of one of the seeds."""
        return self.changed(self.seeds[int(self._pick() * len(self.seeds))])

    def changed(self, raw: bytes) -> bytes:
        """`raw` with one to four changes; one in five is changed as a whole besides."""
        lines = raw.split(b"\r")
        draw = self._pick()
        for _ in range(1 if draw < 0.5 else 2 if draw < 0.8 else 4):
            self._changes[int(self._pick() * len(self._changes))](lines)
        raw = b"\r".join(lines)
        if self._pick() < 0.2:
            raw = self._wholes[int(self._pick() * len(self._wholes))](raw)
        return raw

    def _of(self, choices: Sequence[bytes]) -> bytes:
        return choices[int(self._pick() * len(choices))]

    def _line(self, lines: list[bytes]) -> tuple[int, list[bytes]]:
        at = int(self._pick() * len(lines))
        return at, lines[at].split(b"|")

    def _field(self, lines: list[bytes], change: Callable[[list[bytes], int], None]) -> None:
        at, fields = self._line(lines)
        if len(fields) > 1:
            change(fields, 1 + int(self._pick() * (len(fields) - 1)))
            lines[at] = b"|".join(fields)

    def set_field(self, lines: list[bytes]) -> None:
        """Any field, perhaps one past the end, gets an odd value."""
        at, fields = self._line(lines)
        place = 1 + int(self._pick() * len(fields))
        fields[place : place + 1] = [self._of(VALUES)]
        lines[at] = b"|".join(fields)

    def _set_in(self, lines: list[bytes], among: dict[bytes, tuple[int, ...]], choices: Sequence[bytes]) -> None:
        at, fields = self._line(lines)
        places = among.get(fields[0])
        if places:
            place = places[int(self._pick() * len(places))]
            fields += [b""] * (place + 1 - len(fields))
            fields[place] = self._of(choices)
            lines[at] = b"|".join(fields)

    def set_time(self, lines: list[bytes]) -> None:
        """A field that holds a time gets another."""
        self._set_in(lines, _TIMED, TIMES)

    def set_known(self, lines: list[bytes]) -> None:
        """A field that the reader wants gets an odd value."""
        self._set_in(lines, _NUMBERED, VALUES)

    def set_kind(self, lines: list[bytes]) -> None:
        """MSH-9."""
        fields = lines[0].split(b"|")
        if len(fields) > 8:
            fields[8] = self._of(KINDS)
            lines[0] = b"|".join(fields)

    def set_msh_2(self, lines: list[bytes]) -> None:
        """The encoding characters."""
        fields = lines[0].split(b"|", 2)
        if len(fields) > 2:
            fields[1] = self._of(
                (b"^~\\&#", b"^~\\", b"^", b"", b"~^\\&", b"^^^^", b"A~\\&", b"^~&\\", b"\x00~\\&", b"^~\xe9&")
            )
            lines[0] = b"|".join(fields)

    def swap_fields(self, lines: list[bytes]) -> None:
        """Two fields of one segment change places."""

        def change(fields: list[bytes], place: int) -> None:
            other = 1 + int(self._pick() * (len(fields) - 1))
            fields[place], fields[other] = fields[other], fields[place]

        self._field(lines, change)

    def delete_field(self, lines: list[bytes]) -> None:
        """A field goes, those behind it move up."""
        self._field(lines, lambda fields, place: fields.__delitem__(place))

    def double_field(self, lines: list[bytes]) -> None:
        """A field stands twice, those behind it move down."""
        self._field(lines, lambda fields, place: fields.insert(place, fields[place]))

    def repeat_field(self, lines: list[bytes]) -> None:
        """A field repeats itself, another field or a value."""

        def change(fields: list[bytes], place: int) -> None:
            fields[place] += self._of((b"~", b"^", b"&", b"~~")) + self._of((fields[place], fields[-1], *VALUES))

        self._field(lines, change)

    def cut_field(self, lines: list[bytes]) -> None:
        """A field loses its end."""

        def change(fields: list[bytes], place: int) -> None:
            fields[place] = fields[place][: int(self._pick() * len(fields[place]))]

        self._field(lines, change)

    def swap_lines(self, lines: list[bytes]) -> None:
        """Two segments change places; MSH too, sometimes."""
        first = 0 if self._pick() < 0.05 else min(1, len(lines) - 1)
        one, other = (first + int(self._pick() * (len(lines) - first)) for _ in range(2))
        lines[one], lines[other] = lines[other], lines[one]

    def delete_line(self, lines: list[bytes]) -> None:
        """A segment goes; MSH seldom."""
        if len(lines) > 1:
            del lines[max(int(self._pick() * len(lines)), self._pick() > 0.1)]

    def double_line(self, lines: list[bytes]) -> None:
        """A segment stands twice."""
        at = int(self._pick() * len(lines))
        lines.insert(int(self._pick() * len(lines)) + 1, lines[at])

    def add_line(self, lines: list[bytes]) -> None:
        """A segment more: known, odd, or none at all."""
        lines.insert(1 + int(self._pick() * len(lines)), self._of(LINES))

    def splice(self, lines: list[bytes]) -> None:
        """Segments of another message behind those of this one."""
        other = self.seeds[int(self._pick() * len(self.seeds))].split(b"\r")
        lines[1 + int(self._pick() * len(lines)) :] = other[1 + int(self._pick() * len(other)) :]

    def hit_byte(self, lines: list[bytes]) -> None:
        """One byte of one segment becomes another."""
        at = int(self._pick() * len(lines))
        lines[at] = self.hit_bytes(lines[at])

    def hit_bytes(self, raw: bytes) -> bytes:
        """A byte becomes another, or goes, or a few come in."""
        if not raw:
            return raw
        at = int(self._pick() * len(raw))
        put = self._of(
            (
                b"",
                b"|",
                b"^",
                b"~",
                b"\\",
                b"&",
                b"\r",
                b"\n",
                b"\x1c",
                b"\x00",
                b"\x85",
                bytes([int(self._pick() * 256)]),
            )
        )
        return raw[:at] + put + raw[at + int(self._pick() * 3) :]

    def truncate(self, raw: bytes) -> bytes:
        """The end is missing."""
        return raw[: int(self._pick() * len(raw))]

    def other_delimiters(self, raw: bytes) -> bytes:
        """Other characters delimit, all through."""
        return raw.translate(
            bytes.maketrans(b"|^~\\&", self._of((b"$*%@!", b"|~^\\&", b"\x01\x02\x03\x04\x05", b"#^~\\&")))
        )

    def other_line_ends(self, raw: bytes) -> bytes:
        """LF, CRLF, blank lines, or none."""
        return raw.replace(b"\r", self._of((b"\n", b"\r\n", b"\r\r", b"\n\r", b"", b"\x1c\r", b" \r")))

    def recode(self, raw: bytes) -> bytes:
        """Another encoding than the message says, or a mark in front."""
        text = raw.decode("latin-1")
        return self._of((b"\xef\xbb\xbf" + raw, text.encode(), text.encode("utf-16"), b"\xff\xfe" + raw, raw + b"\xe9"))

    def surround(self, raw: bytes) -> bytes:
        """What transports and batches leave around a message."""
        before, after = (
            self._of((b"\x0b", b"\r\n", b"FHS|^~\\&\r", b"\x00", b" ", b"junk\r")),
            self._of((b"\x1c\r", b"\x00", b"\n")),
        )
        return before + raw + after

    def glue(self, raw: bytes) -> bytes:
        """Another message follows without a frame between."""
        return (
            raw
            + self._of((b"\r", b"\n", b"", b"\x1c\x0b", b"\x1c\r"))
            + self.seeds[int(self._pick() * len(self.seeds))]
        )
