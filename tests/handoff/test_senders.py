"""The files that describe senders."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from domain.errors import BadDeclaration, Refusal
from handoff.declarations.senders import SenderFile, load_senders
from parsers.hl7.profiles import Facility, Place, SenderProfile, Trust

SHIPPED = Path(__file__).parents[2] / "senders"
DEFAULT = (SHIPPED / "default.yaml").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "senders"
    made.mkdir()
    (made / "default.yaml").write_text(DEFAULT, encoding="utf-8")
    return made


def faults(folder: Path) -> tuple[str, ...]:
    with pytest.raises(BadDeclaration) as caught:
        load_senders(folder)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def test_the_shipped_profiles_load() -> None:
    profiles = load_senders(SHIPPED)
    assert {profile.name for profile in profiles} >= {"default", "plain_hospital", "hie", "snf", "jail"}
    assert profiles.choose("ADT", "GENHOSP").name == "plain_hospital"
    assert profiles.choose("ADT", "BAYVIEW").name == "snf"
    assert profiles.choose("HIEHUB", "").name == "hie"
    assert profiles.choose("ADT", "COUNTYJAIL").name == "jail"
    assert profiles.choose("?", "?").name == "default"


def test_the_default_file_says_what_the_default_profile_is() -> None:
    assert load_senders(SHIPPED).named("default") == SenderProfile("default")


def test_the_default_file_has_every_key() -> None:
    def keys(model: type[SenderFile]) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}

    assert set(yaml.safe_load(DEFAULT)) == keys(SenderFile)


def test_a_file_changes_only_what_it_names(folder: Path) -> None:
    (folder / "west.yaml").write_text(
        """
zone: America/Denver
authority: WEST
class: {codes: {ob: observation, 1: inpatient}}
disposition: {codes: {99: "03"}}
observation: {place: null}
facility:
  places: [EVN-7, PV1-3.4]
  known: {west wing: {id: WEST, type: psychiatric}}
homelessness: {place: "OBX[HOMELESS]-5"}
acknowledgement: {aa_only: true}
trust:
  messages: [{facility: WEST}]
  certificates: [ADT.West.Example]
  addresses: [10.1.2.3/16]
""",
        encoding="utf-8",
    )
    profile = load_senders(folder).named("west")
    assert profile.zone.key == "America/Denver"
    assert (profile.classes["OB"], profile.classes["1"], profile.classes["E"]) == (
        "observation",
        "inpatient",
        "emergency",
    )
    assert (profile.dispositions["99"], profile.dispositions["1"]) == ("03", "01")
    assert profile.observation_place is None
    assert profile.observation_codes == SenderProfile("x").observation_codes
    assert profile.facility_places == (Place("EVN", 7), Place("PV1", 3, 4))
    assert profile.facilities == {"WEST WING": Facility("WEST", "psychiatric")}
    assert profile.homeless_place == Place("OBX", 5, 1, "HOMELESS")
    assert (profile.aa_only, profile.answer_never) == (True, True)
    assert profile.trusts == (Trust("*", "WEST"),)
    assert profile.certificates == {"adt.west.example"}
    assert profile.addresses == ("10.1.0.0/16",)
    assert profile.mrn_types == SenderProfile("x").mrn_types


def test_all_faults_of_all_files_come_at_once(folder: Path) -> None:
    (folder / "a.yaml").write_text("zone: Mars/Olympus\ncolour: red\nencoding: utf-99\n", encoding="utf-8")
    (folder / "b.yaml").write_text(
        "class: {dialect: klingon, codes: {X: sick}}\nfacility: {places: [nowhere], known: {A: {type: hospital}}}\n"
        "homelessness: {yes_codes: [yes]}\ntrust: {addresses: [10.0.0.300]}\nmedical_record_number: {types: []}\n",
        encoding="utf-8",
    )
    (folder / "c.yaml").write_text("zone: [\n", encoding="utf-8")
    (folder / "d.yaml").write_text("- a list\n", encoding="utf-8")
    (folder / "e.yaml").write_bytes(b"zone: \xff\n")
    (folder / "G.yaml").write_text("", encoding="utf-8")
    found = faults(folder)
    for expected in (
        "senders/a.yaml:1: zone: no such time zone: Mars/Olympus",
        "senders/a.yaml:2: colour: unknown key",
        "senders/a.yaml:3: encoding: no such encoding: utf-99",
        r"senders/b.yaml:\d+: class\.dialect: ",
        r"senders/b.yaml:\d+: class\.codes\.X: ",
        r"senders/b.yaml:\d+: facility\.places\.0: not a place",
        r"senders/b.yaml:\d+: facility\.known\.A\.id: ",
        r"senders/b.yaml:\d+: homelessness\.yes_codes\.0: write it in quotes",
        r"senders/b.yaml:\d+: trust\.addresses\.0: ",
        r"senders/b.yaml:\d+: medical_record_number\.types: ",
        "senders/c.yaml:2: cannot be read",
        "senders/d.yaml:1: not a mapping",
        "senders/e.yaml: cannot be read",
        "senders/G.yaml:1: name: ",
    ):
        assert any(fault.startswith(expected) or re.match(expected, fault) for fault in found), (expected, found)
    assert len(found) == 14


def test_two_profiles_may_not_claim_the_same(folder: Path) -> None:
    (folder / "a.yaml").write_text("name: twin\ntrust: {messages: [{app: ADT, facility: gen}]}\n", encoding="utf-8")
    (folder / "b.yaml").write_text("name: twin\n", encoding="utf-8")
    (folder / "c.yaml").write_text("trust: {messages: [{app: adt, facility: GEN}]}\n", encoding="utf-8")
    (folder / "d.yaml").write_text(
        "trust: {messages: [{app: adt, facility: GEN}], certificates: [d]}\n", encoding="utf-8"
    )
    assert faults(folder) == (
        "two profiles are named twin",
        "twin and c both claim app adt, facility GEN",
    )


def test_a_folder_without_a_default_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("zone: [\n", encoding="utf-8")
    found = faults(tmp_path)
    assert [fault.split(": ", 1)[1].split(";")[0].split(":")[0] for fault in found] == ["cannot be read", "missing"]


def test_a_default_that_cannot_be_read_is_one_fault(folder: Path) -> None:
    (folder / "default.yaml").write_text("[]", encoding="utf-8")
    assert faults(folder) == ("senders/default.yaml:1: not a mapping of keys to values",)


def test_the_default_must_be_called_default(folder: Path) -> None:
    (folder / "default.yaml").write_text(DEFAULT.replace("name: default", "name: other"), encoding="utf-8")
    assert faults(folder) == ("senders/default.yaml: must be named default",)


def test_unknown_senders_can_be_refused(folder: Path) -> None:
    with pytest.raises(Refusal):
        load_senders(folder, refuse_unknown=True).choose("X", "Y")
