"""The statement of a message about its visit."""

from __future__ import annotations

import pytest

from domain.patient.events import DELETED, VisitStatement, When
from parsers.hl7.dialects import CLASSES, DISPOSITIONS, SOURCES
from parsers.hl7.profiles import Facility, SenderProfile, place_of
from tests.parsers.writing import DEFAULT, event, visit

TEN = 1_795_456_800_000  # 2026-11-23 10:00 in California


def test_a_visit_with_everything() -> None:
    profile = SenderProfile("p", facilities={"GEN": Facility("GENHOSP", "hospital")})
    assert visit(
        "A03",
        "DG1|1||I10^Hypertension^I10",
        "DG1|2||e11.9",
        "DG1|3||Z59.00" + "|" * 18 + "D",
        "DG1|4||I10",
        'DG1|5||""',
        "DG1|6",
        profile=profile,
        pv1={
            4: "E", 14: "5", 19: "V1^^^GEN&1.2&ISO", 36: "3", 37: "BAYVIEW^20261123", 44: "20261122", 45: "202611231000"
        },
    ) == VisitStatement(
        key="GEN|V1",
        patient_class="inpatient",
        facility="GENHOSP",
        admitted=When(TEN - 34 * 3_600_000, True, "PV1-44"),
        departed=When(TEN, False, "PV1-45"),
        admission_type="1",
        admit_source="5",
        disposition="03",
        destination="BAYVIEW",
        diagnoses=("I10", "E119"),
        numbered=True,
        facility_type="hospital",
    )  # fmt: skip


def test_a_visit_with_nothing() -> None:
    assert visit(pv1={2: "", 19: "V1"}, msh={4: ""}) == VisitStatement(key="GEN|V1", numbered=True)
    assert event(pv1=None).visit is None


@pytest.mark.parametrize(
    ("pid18", "pv1", "key", "weak", "numbered"),
    [
        ("A1", {19: "V1"}, "GEN|V1", False, True),
        ("A1", {19: "V1^^^OTHER"}, "OTHER|V1", False, True),
        ("A1", {19: ""}, "GEN|A1", False, False),
        ("A1^^^OTHER", {19: '""'}, "OTHER|A1", False, False),
        ("", {19: "^^^GEN", 50: "B1"}, "GEN|B1", False, False),
        ("", {19: "", 44: "20261122"}, "GEN|100~GEN", True, False),
        ("", {19: "", 2: ""}, "GEN|100~GEN", True, False),
    ],
)
def test_the_key_of_a_visit(pid18: str, pv1: dict[int, str], key: str, weak: bool, numbered: bool) -> None:
    stated = visit(pid={18: pid18}, pv1=pv1)
    assert (stated.key, stated.weak, stated.numbered) == (key, weak, numbered)


def test_a_visit_number_belongs_to_the_patients_authority() -> None:
    assert visit(pid={3: "100^^^WEST^MR"}).key == "WEST|V1"
    assert visit(pv1={19: "V1^^^W"}, profile=SenderProfile("p", authorities={"W": "WEST"})).key == "WEST|V1"


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        ("E", "emergency"), ("I", "inpatient"), ("O", "outpatient"), ("P", "preadmit"), ("R", "recurring"),
        ("B", "obstetrics"), ("C", "commercial"), ("N", None), ("U", "unknown"), ("", None), ('""', None),
        ("OBS", "observation"), ("i", "inpatient"), ("Inpatient", "inpatient"), ("EMER^x", "emergency"),
        ("ff", "other"), ("NB", "newborn"), ("SNF", "snf"),
    ],
)  # fmt: skip
def test_classes(sent: str, known: str | None) -> None:
    assert visit(pv1={2: sent}).patient_class == known


@pytest.mark.parametrize(
    ("pv1", "known"),
    [({2: "O", 18: "obs"}, "observation"), ({2: "I", 18: "OBV"}, "observation"), ({2: "O", 18: "MED"}, "outpatient")],
)
def test_observation_hides_in_the_patient_type(pv1: dict[int, str], known: str) -> None:
    assert visit(pv1=pv1).patient_class == known
    plain = SenderProfile("p", observation_place=None)
    assert visit(pv1=pv1, profile=plain).patient_class in ("outpatient", "inpatient")


@pytest.mark.parametrize(
    ("kind", "sent", "known"),
    [
        ("snf", "I", "snf"), ("icf", "I", "snf"), ("snf", "E", "emergency"), ("hospital", "I", "inpatient"),
        ("jail", "I", "custody"), ("jail", "E", "custody"), ("prison", "O", "custody"),
        ("youth-facility", "I", "custody"),
        ("jail", "N", None), ("snf", "", None),
    ],
)  # fmt: skip
def test_the_kind_of_facility_decides_the_class(kind: str, sent: str, known: str | None) -> None:
    mapped = SenderProfile("p", facilities={"GEN": Facility("X", kind)})
    assert visit(pv1={2: sent}, profile=mapped).patient_class == known


def test_what_no_class_means_is_the_profiles_to_say() -> None:
    profile = SenderProfile("p", classes=CLASSES["custody"], class_otherwise="custody", class_empty="custody")
    assert visit(pv1={2: ""}, profile=profile).patient_class == "custody"
    assert visit(pv1={2: "Q"}, profile=profile).patient_class == "custody"
    assert visit(pv1={2: "P"}, profile=profile).patient_class == "preadmit"


@pytest.mark.parametrize(
    ("field", "name", "sent", "read"),
    [
        (4, "admission_type", "E", "1"), (4, "admission_type", "01", "1"), (4, "admission_type", "Elective", "3"),
        (4, "admission_type", "L", "L"), (4, "admission_type", "28b", "28b"), (4, "admission_type", '""', DELETED),
        (4, "admission_type", "^x", None), (14, "admit_source", "7", "7"), (14, "admit_source", "01", "1"),
        (14, "admit_source", "d", "D"), (14, "admit_source", "ADM", "ADM"), (36, "disposition", "1", "01"),
        (36, "disposition", "21", "21"), (36, "disposition", "Home", "01"), (36, "disposition", "GDD", "GDD"),
        (36, "disposition", " 03 ^x", "03"), (36, "disposition", '""', DELETED), (37, "destination", "X&y^z", "X"),
        (37, "destination", "^z", None), (37, "destination", '""', DELETED), (44, "admitted", "junk", None),
        (45, "departed", '""', DELETED), (45, "departed", "2026", None),
        (45, "departed", "20261123100000~20261124", When(TEN, False, "PV1-45")),
    ],
)  # fmt: skip
def test_codes_and_times(field: int, name: str, sent: str, read: object) -> None:
    assert getattr(visit(pv1={field: sent}), name) == read


def test_hl7s_own_tables_read_the_same_codes_otherwise() -> None:
    profile = SenderProfile("p", sources=SOURCES["hl7"], dispositions=DISPOSITIONS["hl7"])
    stated = visit(pv1={14: "1", 36: "21"}, profile=profile)
    assert (stated.admit_source, stated.disposition) == ("2", "20")


@pytest.mark.parametrize(("lines", "diagnoses"), [((), None), (("DG1|1",), ()), (("DG1|1||F20.0",), ("F200",))])
def test_diagnoses_are_a_snapshot(lines: tuple[str, ...], diagnoses: tuple[str, ...] | None) -> None:
    assert visit("A08", *lines).diagnoses == diagnoses


@pytest.mark.parametrize(
    ("flag", "address", "homeless"),
    [
        ("Y", "", True),
        ("n", "HOMELESS", False),
        ("U", "", None),
        ("U", "homeless^^ARROYO", True),
        ("", "General Delivery^^ARROYO^CA^90012", True),
        ("", "X^^ARROYO^CA^ZZZZZ", True),
        ("", "1 ELM ST^^ARROYO^CA^90012", None),
    ],
)
def test_homelessness(flag: str, address: str, homeless: bool | None) -> None:
    profile = SenderProfile("p", homeless_place=place_of("OBX[HOMELESS]-5"))
    line = f"OBX|1|CE|HOMELESS^x||{flag}"
    assert visit("A01", line, pid={11: address}, profile=profile).homeless is homeless
    if flag in ("Y", ""):
        assert visit("A01", line, pid={11: address}, profile=DEFAULT).homeless is (homeless if address else None)


@pytest.mark.parametrize(
    ("trigger", "lines", "prior"),
    [
        ("A06", ("MRG|100||A7||V9",), "GEN|V9"),
        ("A07", ("MRG|100||A7^^^ACC",), "ACC|A7"),
        ("A06", ("MRG|100", "MRG|100||||V9^^^GEN"), "GEN|V9"),
        ("A06", ("MRG|100",), None),
        ("A06", (), None),
        ("A01", ("MRG|100||||V9",), None),
    ],
)
def test_the_visit_before_its_class_changed(trigger: str, lines: tuple[str, ...], prior: str | None) -> None:
    assert visit(trigger, *lines).prior_visit == prior
