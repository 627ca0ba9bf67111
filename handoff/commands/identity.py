"""`identity`: the member of a source patient; assign another, release the assignment, undo a merge."""

from __future__ import annotations

import hashlib
import time
from typing import Annotated, Any

import msgspec
import typer

from agents.links import link_record
from agents.reconcile.decide import stage
from agents.runtime.store import CLOCK_KEY, row_of
from agents.topics import RECONCILE_CHANGELOG
from domain.identity import read_cin
from domain.patient.demographics import DEMOGRAPHICS_KEY
from domain.patient.ownership import own_evidence, owner
from domain.patient.row import Claim, PatientRow
from domain.times import rfc3339
from handoff import target
from handoff.output import as_json, err, needs_kafka, out
from parsers.hl7.profiles import Profiles
from parsers.records.links import Link
from streams.kafka.produce import NotConfirmed, produce_together
from streams.kafka.read import latest

identity_app = typer.Typer(no_args_is_help=True, help="The member of a source patient; an operator's assignment wins.")
Patient = Annotated[str, typer.Argument(metavar="PATIENT", help="The patient key: AUTHORITY|NUMBER.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _row(patient: str) -> PatientRow:
    for key, record in latest(target.kafka(), RECONCILE_CHANGELOG).items():
        if key != CLOCK_KEY and key.decode("utf-8", "replace") == patient:
            found: PatientRow = row_of(stage(Profiles([])), record.value or b"")
            return found
    err.print("No message has named that patient. Patient keys are AUTHORITY|NUMBER, letter case included.")
    raise typer.Exit(1)


def _describe(row: PatientRow, key: bytes) -> dict[str, Any]:
    """A row's member, the reason, every claim and the history of merges."""
    found, (own, method) = owner(row, key), own_evidence(row, key)
    group = row.group
    return {
        "patient": row.patient,
        "member": found.member,
        "found_by": found.method,
        "own_evidence": {"member": None if own is None else own.value, "found_by": method},
        "group": None
        if group is None
        else {"member": group.member, "survivor": group.root, "named_by": group.via, "conflict": group.conflict},
        "merged_into": _history(row.survivors),
        "linked_with": _history(row.partners),
        "moves": _history(row.moves),
        "unmerged": None if row.unmerged is None else rfc3339(row.unmerged.recorded),
        "claims": {
            "operator": row.operator.value if row.operator is not None else None,
            "cin": row.cin.value if row.cin is not None else None,
            "roster": {
                identifier: claim.value
                for identifier, claim in sorted(row.roster.items())
                if not identifier.startswith(DEMOGRAPHICS_KEY)
            },
        },
        "visits": sorted(row.visits),
    }


def _history(claims: dict[str, Claim]) -> list[dict[str, Any]]:
    """Statements about other patients, in order of their time: what holds, and the hashed control ID of its message."""
    return [
        {
            "what": name,
            "value": claim.value,
            "recorded": rfc3339(claim.recorded),
            "message": hashlib.sha256(claim.control_id.encode()).hexdigest()[:12],
        }
        for name, claim in sorted(claims.items(), key=lambda pair: pair[1].rank)
    ]


@identity_app.command("show")
@needs_kafka
def show(patient: Patient, json_: Json = False) -> None:
    """Show the patient's member, how it was found, and every claim."""
    shown = _describe(_row(patient), target.settings().directory.key())
    if json_:
        as_json(shown)
        return
    for name, value in shown.items():
        out.print(f"{name:>12}  {value if value not in (None, [], {}) else '-'}", markup=False)


@identity_app.command("assign")
@needs_kafka
def assign(
    patient: Patient,
    member: Annotated[str, typer.Argument(help="The member ID (CIN).")],
    actor: Annotated[str, typer.Option(help="Your name; kept with the statement.")],
) -> None:
    """Assign the patient to a member. Wins over all other evidence until released."""
    read = read_cin(member)
    if read is None:
        err.print("The member ID does not have the shape of a CIN: 9, seven digits, a letter.")
        raise typer.Exit(2)
    _send_link(Link("assign", patient, member=read, method="operator", actor=actor))


@identity_app.command("release")
@needs_kafka
def release(patient: Patient, actor: Annotated[str, typer.Option(help="Your name; kept with the statement.")]) -> None:
    """Release an operator's assignment; the other evidence decides again."""
    _send_link(Link("release", patient, method="operator", actor=actor))


@identity_app.command("unmerge")
@needs_kafka
def unmerge(
    patient: Annotated[str, typer.Argument(metavar="RETIRED", help="The retired patient's key: AUTHORITY|NUMBER.")],
    actor: Annotated[str, typer.Option(help="Your name; kept with the statement.")],
) -> None:
    """Undo the merges that retired a patient up to now. A later merge message holds again."""
    _send_link(Link("unmerge", patient, method="operator", actor=actor))


def _send_link(link: Link) -> None:
    now = int(time.time() * 1000)
    stamped = msgspec.structs.replace(link, received=now, rev=now)
    try:
        produce_together(target.kafka(), [link_record(stamped)])
    except NotConfirmed as error:
        err.print(f"Kafka did not take it ({error.why}). Nothing was changed.")
        raise typer.Exit(1) from error
    out.print("Written. `handoff identity show` shows the result within a second or two.")
