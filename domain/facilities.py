"""Facility types with rules of their own (the facility map of a sender profile, docs/semantics.md#classes)."""

from __future__ import annotations

from typing import Final

CUSTODIAL: Final = frozenset({"jail", "prison", "youth-facility"})
"""A visit here is published as custody records, not as a visit (docs/semantics.md#custody)."""
NURSING: Final = frozenset({"snf", "icf"})
"""An inpatient stay here is a nursing-facility stay."""
RELEASING: Final = CUSTODIAL | {""}
"""Only these release from incarceration; a record that names no type is believed (G26 p31: correctional facilities)."""
