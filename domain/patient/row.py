"""The row of the patient stage: what one hospital stated about one of its patients.

The row has the statements of each visit, claims about identity, facts about the person, and what was published to which
member. `domain.patient.fold` adds a record to it, `domain.patient.ownership` resolves the member,
`domain.patient.publish` derives what to publish. Rules: docs/semantics.md#the-patient-stage.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from domain.patient.events import (
    AdtEvent,
    When,
)
from domain.patient.ranks import Rank, natural_order
from domain.patient.statements import Statement
from domain.snapshots import Source

SCHEMA: Final = 3
"""1: statements did not say whether an update announces its visit by itself. 2: merges named whole patients only, and
rows knew no accounts, moves, links or facts about the person."""
MERGED: Final = "merged"
LINKED: Final = "linked"


class Claim(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value that was stated about the patient, with the rank that decides between claims."""

    value: str | None
    recorded: int
    built: int = 0
    sequence: int = -1
    control_id: str = ""

    @property
    def rank(self) -> tuple[Rank, str]:
        """Ties between equal ranks are broken by the value."""
        return ((self.recorded, self.built, self.sequence, natural_order(self.control_id)), self.value or "")


class OwnerAnnouncement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The member of another patient, or of this one by its group, as the directory resolved it last.

    `rev` counts up.
    """

    rev: int
    member: str | None
    method: str = ""
    via: str = ""
    """The patient whose evidence decided."""
    conflict: bool = False
    root: str = ""
    """The surviving patient."""


class Published(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The last published snapshot of one visit or custody record: its member, revision and digest."""

    member: str
    revision: int
    digest: bytes


class CustodyStatement(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version of a custody record. The one received last is in force; equal times are decided by the content."""

    kind: str
    received: int
    occurred: int | None
    scheduled: int | None
    facility: str
    facility_type: str
    origin: str
    """Where it came from: mif, roster file, feed."""
    source: Source
    deleted: bool = False

    @property
    def rank(self) -> tuple[int, bytes]:
        return (self.received, msgspec.msgpack.encode(msgspec.structs.replace(self, source=Source("", "", ""))))


class Death(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was stated last about the patient's death: when, or None for "alive". `source` is the message."""

    claim: Claim
    at: When | None
    source: Source


class Guard(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The roster's demographics of a member as keyed hashes, to check that a number identifies the right person.

    `rev` is the roster row's time (ms UTC). Empty: the roster has no value.
    """

    rev: int
    birth: str = ""
    name: str = ""
    sex: str = ""


class PatientRow(msgspec.Struct, frozen=True, array_like=True):
    """All facts about the source patient `authority|number`. `schema` is first: upcasters read it before the rest."""

    schema: int
    patient: str
    visits: dict[str, tuple[Statement, ...]] = {}
    """Bucket key -> its statements (docs/semantics.md#which-visit)."""
    weak: tuple[str, ...] = ()
    """Buckets without a number: patient and facility."""
    unnumbered: tuple[str, ...] = ()
    """Buckets whose key is not the number of one visit: an A08 cannot make a visit of them."""
    ties: dict[str, Claim] = {}
    """Former visit or account key -> the key that replaced it (A06, A07, A35, A36, A41, A42, A49, A50, A51)."""
    custody: dict[str, CustodyStatement] = {}
    cin: Claim | None = None
    operator: Claim | None = None
    roster: dict[str, Claim] = {}
    """Identifier (or keyed hash of demographics) -> the member that the roster names for it."""
    identifiers: tuple[str, ...] = ()
    survivors: dict[str, Claim] = {}
    """Patients that this one was merged into; value None: taken back (A37)."""
    partners: dict[str, Claim] = {}
    """Patients that this one is linked with (A24); value None: taken back (A37)."""
    moves: dict[str, Claim] = {}
    """Visit or account key (behind the unit and a colon) -> the patient it belongs to (A44, A45)."""
    owners: dict[str, OwnerAnnouncement] = {}
    """Patients that visits of this row were moved to -> their members."""
    group: OwnerAnnouncement | None = None
    """This patient's member as its group of merged and linked patients resolves it."""
    grouped: bool = False
    """A merge, link or move names this patient: its facts are published for the group."""
    unmerged: Claim | None = None
    """An operator's decision that merges of this patient recorded up to then are void."""
    facts: bytes = b""
    """Digest of the facts that were published."""
    published: dict[str, Published] = {}
    unattributed: str | None = None
    """The reason and number of identifiers on adt.unattributed.v1; None without a record there."""
    since: int = 0
    """When the first record for this patient was received, ms UTC."""
    bad_cin: bool = False
    impaired: bool = False
    birth: Claim | None = None
    """PID-7, YYYY-MM-DD."""
    name: Claim | None = None
    """Keyed hash of PID-5."""
    sex: Claim | None = None
    """PID-8."""
    demographics: tuple[str, ...] = ()
    """Keyed hashes of name, birth date and one more field, for look-ups in the directory."""
    guards: dict[str, Guard] = {}
    """Member -> the roster's hashes of it."""
    death: Death | None = None
    newborn: bool = False
    """A visit of class newborn, or of admission type 4, or within 31 days of birth."""


class Hashes(msgspec.Struct, frozen=True, gc=False):
    """Keyed hashes of the demographics of one message: of its name, and of the combinations to look up."""

    name: str = ""
    demographics: tuple[str, ...] = ()


def new_row(patient: str, received: int) -> PatientRow:
    """An empty row."""
    return PatientRow(schema=SCHEMA, patient=patient, since=received)


def replace(row: PatientRow, **changes: Any) -> PatientRow:
    """The row with some fields changed."""
    return msgspec.structs.replace(row, **changes)


def later(known: Claim | None, new: Claim) -> Claim:
    """The greater of two claims; `known` itself unless `new` is greater."""
    return new if known is None or new.rank > known.rank else known


def claim_of(event: AdtEvent, value: str | None) -> Claim:
    """A claim with the rank of `event`."""
    sequence = -1 if event.sequence is None else event.sequence
    return Claim(value, event.recorded, event.built, sequence, event.control_id)
