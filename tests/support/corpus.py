"""The recorded ADT messages that tests read where they are at hand (HANDOFF_CORPUS), as bytes in their own charset."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path

from parsers.hl7.charsets import CHARSETS

_PATH = Path(os.environ.get("HANDOFF_CORPUS", Path(__file__).parents[2] / "../shared/corpus/adt_dev.jsonl"))


@cache
def _read() -> tuple[str, ...]:
    with _PATH.open(encoding="utf-8") as lines:
        read = [json.loads(line) for line in lines]
    return tuple(each.get("hl7") or each["message"] for each in read)


def corpus_or(others: list[str]) -> list[str]:
    """The corpus as text, or `others` where there is none."""
    return list(_read()) if _PATH.exists() else others


def corpus() -> list[str]:
    """The corpus as text; skips the test where there is none."""
    if not _PATH.exists():
        import pytest  # here, so that what is no test may read the corpus where there is no pytest

        pytest.skip("no corpus: set HANDOFF_CORPUS")
    return list(_read())


def as_sent(text: str) -> bytes:
    """A message as its sender would put it on the wire: in the charset of MSH-18, else UTF-8."""
    fields = text.split("\r", 1)[0].split(text[3:4])
    stated = CHARSETS.get(fields[17].split("~")[0].strip(), "utf-8") if len(fields) > 17 else "utf-8"
    try:
        return text.encode(stated)
    except UnicodeEncodeError:
        return text.encode()
