"""Values of `clock.ticks.v1`: the time, as JSON."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from domain.errors import UNDECODABLE, Refusal

LAST_TIME: Final = 253_402_300_799_999
"""The end of the year 9999, ms UTC."""


class Tick(msgspec.Struct, frozen=True):
    """The value of a record of `clock.ticks.v1`: the time, ms UTC."""

    at: Annotated[int, msgspec.Meta(ge=0, le=LAST_TIME)]


_decode = msgspec.json.Decoder(Tick).decode
write_tick = msgspec.json.Encoder().encode


def read_tick(value: bytes) -> Tick:
    """A tick from its JSON. Raises Refusal("bad-tick")."""
    try:
        return _decode(value)
    except UNDECODABLE as error:
        raise Refusal("bad-tick") from error
