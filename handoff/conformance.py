"""Check a message against HL7's message structures with hl7apy's validator. For people: it never decides acceptance.

handoff accepts what it can read; this shows an interface analyst where a message departs from its HL7 version.
"""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Final, cast

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Group
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message
from hl7apy.validation import Validator

from domain.errors import Refusal
from parsers.hl7.encoding import Message

SECONDS: Final = 5.0
"""How long one message may take (a message of 4 KB takes about 0.2 s)."""
LONGEST: Final = 200_000
"""Characters: a longer message is not given to hl7apy, which would need minutes for it."""
_MOST: Final = 60

_ENDINGS: Final = (
    (re.compile(r"Missing required child (\w+)\.(\w+)"), "{0} is required and missing"),
    (re.compile(r"Child limit exceeded (\w+)\.(\w+)"), "{0} occurs more often than its version allows"),
    (
        re.compile(r".* not in table (\w+) in element (\w+)\.(\w+)", re.DOTALL),
        "{0} holds a value outside table {table}",
    ),
    (re.compile(r"Exceeded max length \((\d+)\) of (\w+)\.(\w+)"), "{0} is longer than {length}"),
    (re.compile(r"Datatype \w+ is not correct for (\w+)\.(\w+) .*", re.DOTALL), "{0} has another data type"),
)
_ALLOWED: Final = re.compile(r"Invalid children detected for <\w+ (\w+).*: \[(.*)\]", re.DOTALL)
_NAMED: Final = re.compile(r"'([A-Z][A-Z0-9]{2}(?:_\d{1,3})?)'")


def conformance(raw: bytes, seconds: float = SECONDS) -> tuple[str, ...]:
    """Where `raw` departs from the HL7 structure of its own version; () when hl7apy finds nothing.

    Each finding names segments, fields, components and tables, never a value. Sorted, each once, at most 60 and a line
    about the rest. Lengths are compared for the few fields only for which hl7apy has them. Raises nothing: what
    hl7apy cannot read, or takes longer than `seconds` for, is a finding too. The time limit holds in the main thread
    only (elsewhere `LONGEST` does).
    """
    try:
        message = Message(raw)
    except Refusal as refusal:
        return (f"no HL7 message: {refusal.code}",)
    text = "\r".join(line.strip() for line in message.lines if line.strip())
    if len(text) > LONGEST:
        return (f"too long for hl7apy: more than {LONGEST} characters",)
    try:
        with _limited(seconds):
            found = _findings(text, message)
    except _TooLong:
        return (f"hl7apy needs more than {seconds:g} s for it",)
    except Exception as error:  # whatever a library of 10,000 lines makes of a stranger's bytes
        return (f"hl7apy cannot read it: {type(error).__name__}",)
    listed = sorted(found)
    more = len(listed) - _MOST
    return (*listed[:_MOST], f"… and {more} more findings") if more > 0 else tuple(listed)


def _findings(text: str, message: Message) -> set[str]:
    tree = parse_message(text, validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=True)
    if tree.name is None:
        return {"MSH-9 names no message structure of this version"}
    # Reading into groups, hl7apy leaves out segments that the structure has no place for, without a word.
    given = Counter(line[:3] for line in message.lines if line[3:4] == message.field and line[:1] != "Z")
    given.subtract(_segments(tree))
    found = {f"{name} has no place in {tree.name}" for name, count in given.items() if count > 0}
    with _scratch() as file:
        with suppress(HL7apyException):  # it raises the first of what it wrote to the report
            Validator.validate(tree, report_file=os.dup(file.fileno()))
        file.seek(0)
        report = file.read().decode("utf-8", "replace")
    for entry in re.split(r"(?:\A|\n)(?=Error: |Warning: )", report):
        found.update(_without_values(entry.partition(": ")[2].rstrip("\n")))
    return found


def _segments(tree: Any) -> Iterator[str]:
    for child in tree.children:
        if isinstance(child, Group):
            yield from _segments(child)
        else:
            yield child.name


def _without_values(finding: str) -> set[str]:
    """hl7apy's sentence, which may quote the message, as one that names places only."""
    if not finding:
        return set()
    for pattern, sentence in _ENDINGS:
        match = pattern.fullmatch(finding)
        if match is not None:
            parts = match.groups()
            place = _place(parts[-2], parts[-1])
            return {sentence.format(place, table=parts[0], length=parts[0])}
    match = _ALLOWED.fullmatch(finding)
    if match is not None:
        return {f"{_place(match[1], name)} has no place there" for name in _NAMED.findall(match[2])}
    return {"an element that HL7 does not know"}


def _place(parent: str, name: str) -> str:
    """`PID`.`PID_5` as PID-5, `PID_3`.`CX_4` as PID-3.4, `CX_4`.`HD_1` as CX.4.1, `ADT_A01`.`PV1` as it is."""
    number = name.rpartition("_")[2]
    above, _, position = parent.rpartition("_")
    if name.startswith(parent + "_") and number.isdigit():
        return f"{parent}-{number}"
    if above and position.isdigit() and number.isdigit():
        return f"{above}{'-' if len(above) == 3 else '.'}{position}.{number}"
    return f"{name} of {parent}"


class _TooLong(BaseException):
    """Past every `except Exception` of the library."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    # Repeated: an exception that is raised within a callback of the garbage collector is dropped by Python.
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:  # also when the alarm came within the inner one
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _scratch() -> BinaryIO:
    """A file in memory for hl7apy's report, which it writes to a file descriptor only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("conformance"), "w+b")
    return cast("BinaryIO", tempfile.TemporaryFile())
