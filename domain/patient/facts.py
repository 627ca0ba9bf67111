"""The facts that a row publishes for its group of merged and linked patients, and the group's answer."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.patient.row import Claim

OPERATOR: Final = "operator"
CIN: Final = "cin"


class Evidence(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The member by the evidence of one row: `claim.value`, with the rank of the statement, and the method
    (`operator`, `cin`, `roster`, `demographics`)."""

    claim: Claim
    method: str


class PatientFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The edges and the evidence of the row of `patient`.

    `parent` is the merge in force that retired it; its value is the survivor. `partners` are the links (A24,
    withdrawn by A37) by the other patient's key; a withdrawn one has the value None.
    """

    patient: str
    parent: Claim | None = None
    partners: dict[str, Claim] = {}
    evidence: Evidence | None = None
    operator: Evidence | None = None
    follows: tuple[str, ...] = ()
    """Patients that visits of this row were moved to; the row needs their members."""
    asks: dict[str, int] = {}
    """Identifiers on whose owners, by the roster, the evidence depends -> the revision of the answer that the row has
    (0: none). Nothing to the group: the directory announces later answers."""

    @property
    def only_asks(self) -> bool:
        """Whether the row is in no group: it asks, and states neither evidence nor edges."""
        return bool(self.asks) and not (self.parent or self.partners or self.evidence or self.operator or self.follows)


class Resolution(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The member of one patient by its group: None if no evidence of the group names one.

    `root` is the surviving patient; `via` the patient whose evidence decided. `conflict`: rows of the group carry two
    client index numbers.
    """

    member: str | None
    method: str
    root: str
    via: str
    conflict: bool = False
