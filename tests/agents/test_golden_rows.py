"""Rows as released versions wrote them. Changelogs live longer than any version: what is pinned here stays readable.

A row's struct changed and a test here fails? Raise `SCHEMA` beside the struct, add one step to `UPCASTERS` in the stage
that turns the pinned bytes of the version before into the new one's, and run `python -m tests.agents.test_golden_rows`,
which pins the new version. What is pinned already is never written again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents import reconcile, refer
from agents.runtime.contract import Stage
from agents.runtime.store import envelope, row_of
from domain.member.row import MemberRow
from domain.patient.row import PatientRow
from parsers.hl7.profiles import Profiles
from tests.support.filling import filled
from tests.support.replaying import RULES

FOLDER = Path(__file__).parent / "golden"
STAGES: list[tuple[Stage, type[msgspec.Struct]]] = [
    (reconcile.stage(Profiles([])), PatientRow),
    (refer.stage(RULES), MemberRow),
]


def pinned(stage: Stage, version: int) -> Path:
    return FOLDER / f"{stage.name}-{version}.hex"


def whole(stage: Stage, kind: type[msgspec.Struct]) -> Any:
    """A row with every field set, as this version would have it."""
    return msgspec.structs.replace(filled(kind), schema=stage.schema)


@pytest.mark.parametrize(("stage", "kind"), STAGES, ids=["reconcile", "refer"])
def test_a_row_is_written_as_its_version_is_pinned(stage: Stage, kind: type[msgspec.Struct]) -> None:
    row = whole(stage, kind)
    assert stage.encode(row).hex() == pinned(stage, stage.schema).read_text().strip()


@pytest.mark.parametrize(("stage", "kind"), STAGES, ids=["reconcile", "refer"])
def test_every_released_version_is_read(stage: Stage, kind: type[msgspec.Struct]) -> None:
    assert [v for v in range(1, 128) if pinned(stage, v).exists()] == list(range(1, stage.schema + 1))
    for version in range(stage.oldest, stage.schema + 1):
        row = row_of(stage, envelope(version, 5, bytes.fromhex(pinned(stage, version).read_text())))
        assert isinstance(row, kind)
        if version == stage.schema:
            assert row == whole(stage, kind)
        # Whatever was brought up is a whole row of this version, and can be written.
        assert stage.decode(stage.encode(row)) == row


def test_a_patient_row_of_version_2_keeps_its_visits_its_claims_and_its_merge() -> None:
    stage, _ = STAGES[0]
    written = msgspec.msgpack.decode(bytes.fromhex(pinned(stage, 2).read_text()))
    row: PatientRow = row_of(stage, envelope(2, 5, bytes.fromhex(pinned(stage, 2).read_text())))
    kept = msgspec.msgpack.decode(stage.encode(row))
    [[statement]], [[old]] = list(kept[2].values()), list(written[2].values())
    assert statement[: len(old)] == old
    assert kept[3:11] == written[3:11], "weak to identifiers"
    assert {survivor: claim[1:] for survivor, claim in kept[11].items()} == {written[11][0]: written[11][1:]}
    assert row.grouped
    assert kept[19:24] == written[15:20], "published to impaired"


def test_nothing_is_left_out_of_what_is_pinned() -> None:
    for stage, kind in STAGES:
        row = whole(stage, kind)
        for field in msgspec.structs.fields(kind):
            assert getattr(row, field.name) or field.name == "schema", field.name
            assert getattr(row, field.name) != field.default, field.name


if __name__ == "__main__":
    for each, its_kind in STAGES:
        path = pinned(each, each.schema)
        if not path.exists():
            path.write_text(each.encode(whole(each, its_kind)).hex() + "\n")
