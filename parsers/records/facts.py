"""Values of `identity.facts.v1`: edges and evidence of the row of one source patient, as JSON
(docs/semantics.md#ownership)."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.errors import UNDECODABLE, Refusal
from domain.patient.facts import PatientFacts

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(PatientFacts)


def encode_facts(facts: PatientFacts) -> bytes:
    """The JSON of facts."""
    return _ENCODER.encode(facts)


def decode_facts(value: bytes) -> PatientFacts:
    """Facts from their JSON. Raises Refusal("bad-facts")."""
    try:
        return _DECODER.decode(value)
    except UNDECODABLE as error:
        raise Refusal("bad-facts") from error
