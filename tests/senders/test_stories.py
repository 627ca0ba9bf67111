"""Each shipped sender profile has a story: messages as such a sender writes them, read, answered and decided.

The profile is chosen as the gateway chooses it, from MSH-3 and MSH-4, among all that are shipped.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from domain.member.visits import HOMELESS
from domain.times import CALIFORNIA
from handoff.declarations.senders import load_senders
from parsers.hl7.ack import answer_code
from parsers.hl7.adt import read_adt
from parsers.hl7.envelope import read_envelope
from parsers.hl7.profiles import Profiles
from parsers.records.documents import comparable
from tests.support.member import MEMBER, a_roster, at
from tests.support.replaying import LIVE, Heard, Played

SHIPPED = load_senders(Path(__file__).parents[2] / "senders")
CIN = f"{MEMBER}^^^MEDI-CAL^MA"
END = "2026-06-30"


def pv1(kind: str, **fields: str) -> str:
    """A PV1 with the fields `f19="V1"` and so on."""
    values = ["", "1", kind, *[""] * 48]
    for name, value in fields.items():
        values[int(name[1:])] = value
    return "|".join(["PV1", *values[1:]])


def hl7(head: str, trigger: str, stamp: str, pid3: str, *lines: str, evn: str = "", acks: str = "") -> str:
    """A message; `head` is MSH-3 and MSH-4 as sent, `evn` EVN-6 and EVN-7, `acks` MSH-15 and MSH-16."""
    return "\r".join(
        [
            f"MSH|^~\\&|{head}|HUB|PLAN|{stamp}||ADT^{trigger}|{trigger}{stamp}|P|2.5.1|||{acks}",
            f"EVN|{trigger}|{stamp}|||{evn}",
            f"PID|1||{pid3}||Invented^Ana||19800101|F",
            *lines,
            "",
        ]
    )


def play(*messages: str, profiles: Profiles = SHIPPED, received: str = "", **roster: Any) -> tuple[Played, list[str]]:
    """What stands in the end, and how each message was answered (MSA-1).

    They are received a minute after MSH-7, or all at `received`.
    """
    heard: list[Heard] = [(at("2020-01-01"), "roster", a_roster(**roster))]
    answers = []
    for message in messages:
        envelope = read_envelope(message.encode())
        profile = profiles.choose(envelope.sending_app, envelope.sending_facility)
        read_adt(message.encode(), profile)  # else the gateway would answer otherwise
        answers.append(answer_code(envelope, "accepted", profile.aa_only, profile.answer_never))
        built = datetime.strptime(envelope.fields[6][:12], "%Y%m%d%H%M").replace(tzinfo=CALIFORNIA)
        moment = at(received) if received else round((built + timedelta(minutes=1)).timestamp() * 1000)
        heard.append((moment, "message", {"hl7": message, "sender": profile.name}))
    played = Played(heard, at(END), profiles)
    assert played.replay.faults == {}
    return played, answers


def told(played: Played) -> list[tuple[str, str]]:
    """(kind, facility) of all transitions that stand, by time."""
    stands = [each for each in played.transitions.values() if each["status"] == "asserted"]
    return [
        (each["kind"], each["facility"]) for each in sorted(stands, key=lambda each: (each["occurred"], each["kind"]))
    ]


def live(played: Played) -> set[str]:
    """The populations of the candidates that stand."""
    return {each["population"] for each in played.candidates.values() if each["status"] in LIVE}


def classes(played: Played) -> list[str]:
    """The class of each visit of the member, by arrival."""
    return [each.patient_class for each in played.replay.rows("refer")[MEMBER].visits]


class TestPlainHospital:
    """By the book: MSH-4 names the hospital, times without an offset are its own, codes are NUBC's."""

    HEAD = "REG|GENHOSP"
    PID = f"100^^^GENHOSP^MR~{CIN}"

    def ed(self, number: int, day: str, head: str = HEAD) -> list[str]:
        pid = self.PID.replace("GENHOSP", "GEN_HOSP") if number % 2 else self.PID
        visit = {"f4": "1", "f19": f"E{number}"}
        return [
            hl7(head, "A04", f"{day}1000", pid, pv1("E", **visit), evn=f"|{day}0955", acks="AL|NE"),
            hl7(head, "A03", f"{day}1400", pid, pv1("E", **visit, f36="01", f45=f"{day}1355"), acks="NE|NE"),
        ]

    def test_five_attendances_make_a_candidate(self) -> None:
        days = ("20260105", "20260203", "20260304", "20260402")
        messages = [m for n, day in enumerate(days) for m in self.ed(n, day)]
        played, answers = play(*messages)
        assert answers == ["CA", "AA"] * 4
        assert told(played) == [("ed_arrival", "GENHOSP"), ("discharge", "GENHOSP")] * 4
        assert live(played) == set()
        played, _ = play(*messages, *self.ed(5, "20260506", "REG|GENERAL HOSPITAL"))
        assert set(told(played)) == {("ed_arrival", "GENHOSP"), ("discharge", "GENHOSP")}
        assert played.counts(MEMBER, 6) == {"ed": 5, "inpatient": 0, "snf": 0}
        assert live(played) == {"2a"}
        assert set(played.replay.rows("reconcile")) == {"GENHOSP|100"}  # however the authority is written

    def test_an_attendance_becomes_a_stay_that_ends_in_a_nursing_facility(self) -> None:
        visit = {"f19": "S1", "f4": "1"}
        played, _ = play(
            hl7(self.HEAD, "A04", "202603011000", self.PID, pv1("E", **visit)),
            hl7(self.HEAD, "A06", "202603011500", self.PID, pv1("I", **visit, f44="202603011500")),
            hl7(self.HEAD, "A03", "202603051100", self.PID, pv1("I", **visit, f36="03", f45="202603051030")),
            hl7(self.HEAD, "A04", "202604011000", self.PID, pv1("O", f19="O1", f18="OBS")),
        )
        kinds = [kind for kind, _ in told(played)]
        assert kinds == ["ed_arrival", "admission", "discharge", "hospital_to_nf", "observation"]
        assert classes(played) == ["inpatient", "observation"]
        (moved,) = (each for each in played.transitions.values() if each["kind"] == "hospital_to_nf")
        assert moved["occurred"] == "2026-03-05T10:30:00-08:00"
        assert played.counts(MEMBER, 6) == {"ed": 0, "inpatient": 1, "snf": 0}


class TestHie:
    """Many facilities behind one name, each message saying elsewhere which; AA whatever is asked for."""

    HEAD = "HIE ROUTER|GOLDEN"

    def say(self, trigger: str, stamp: str, kind: str, number: str, *more: str, evn7: str = "", **fields: str) -> str:
        pid = f"{number}^^^GENHOSP^MR~{CIN}"
        visit = pv1(kind, **fields)
        return hl7(self.HEAD, trigger, stamp, pid, visit, *more, evn=f"|{stamp}|{evn7}", acks="AL|NE")

    def test_the_facility_is_found_and_three_stays_make_a_candidate(self) -> None:
        messages = []
        for number, (month, place) in enumerate((("02", {"evn7": "GENHOSP"}), ("03", {"f39": "GENHOSP"}), ("04", {}))):
            visit = {"f19": f"H{number}", "f4": "1", **place}
            if not place:
                visit["f3"] = "4E^401^1^GENHOSP"
            homeless = "OBX|1|CE|HOMELESS||Y" if month == "04" else "OBX|1|CE|SMOKER||Y"
            messages += [
                self.say("A01", f"2026{month}011000", "I", "55", homeless, **visit),
                self.say("A03", f"2026{month}041000", "I", "55", **visit, f36="01"),
            ]
        played, answers = play(*messages)
        assert set(answers) == {"AA"}
        assert {facility for _, facility in told(played)} == {"GENHOSP"}
        assert played.counts(MEMBER, 6)["inpatient"] == 3
        assert "2a" in live(played)
        marks = [each.flags & HOMELESS for each in played.replay.rows("refer")[MEMBER].visits]
        assert marks == [0, 0, HOMELESS]

    def test_its_own_class_codes_and_a_nursing_facility(self) -> None:
        played, _ = play(
            self.say("A01", "202603011000", "OB", "55", evn7="GENHOSP", f19="H1"),
            self.say("A03", "202603021000", "OB", "55", evn7="GENHOSP", f19="H1", f36="03"),
            self.say("A01", "202603021200", "S", "55", "ZFA|1|||BAYVIEW SNF", f19="H2"),
            self.say("A01", "202604021200", "I", "55", evn7="BAYVIEW SNF", f19="H3"),
        )
        assert classes(played) == ["observation", "snf", "snf"]
        nursing = [facility for kind, facility in told(played) if kind == "nf_admission"]
        assert nursing == ["BAYVIEW"], "a month's account at the same facility continues the stay"


class TestSnf:
    """Stays as updates alone, leave, every inpatient class a nursing-facility stay; NE in MSH-15, and still waiting."""

    HEAD = "CARELOG|BAYVIEW"
    PID = f"R7^^^^MR~{CIN}"

    def say(self, trigger: str, stamp: str, number: str, kind: str = "I", **fields: str) -> str:
        return hl7(self.HEAD, trigger, stamp, self.PID, pv1(kind, f19=number, **fields), acks="NE|NE")

    def stay(self, number: str, month: str, disposition: str = "01") -> list[str]:
        """A stay of which no arrival and no departure is ever told."""
        begun = f"2026{month}031300"
        return [
            self.say("A08", f"2026{month}031700", number, f44=begun),
            self.say("A21", f"2026{month}061000", number),
            self.say("A22", f"2026{month}081000", number),
            self.say("A08", f"2026{month}201500", number, f44=begun, f45=f"2026{month}201400", f36=disposition),
        ]

    def test_a_stay_in_updates_alone_is_a_stay(self) -> None:
        played, answers = play(*self.stay("N1", "03"))
        assert answers == ["AA"] * 4
        assert classes(played) == ["snf"]
        assert told(played) == [("nf_admission", "BAYVIEW"), ("nf_discharge", "BAYVIEW")]
        assert {each["kind"]: each["occurred"] for each in played.transitions.values()} == {
            "nf_admission": "2026-03-03T13:00:00-08:00",
            "nf_discharge": "2026-03-20T14:00:00-07:00",
        }
        assert played.counts(MEMBER, 6) == {"ed": 0, "inpatient": 0, "snf": 1}
        assert live(played) == set()

    @pytest.mark.parametrize("kind", ["I", "R", "SNF", "LTC", ""])
    def test_whatever_class_it_writes_is_a_nursing_facility_stay(self, kind: str) -> None:
        played, _ = play(
            self.say("A01", "202603031310", "N1", kind), self.say("A03", "202603201500", "N1", kind, f36="01")
        )
        assert classes(played) == ["snf"]
        assert [each for each, _ in told(played)] == ["nf_admission", "nf_discharge"]

    def test_three_of_them_make_a_candidate_and_only_with_this_profile(self) -> None:
        messages = [*self.stay("N1", "02"), *self.stay("N2", "03"), *self.stay("N3", "04")]
        played, _ = play(*messages)
        assert played.counts(MEMBER, 6)["snf"] == 3
        assert live(played) == {"2a"}
        others = Profiles([replace(each, a8_creates=False) for each in SHIPPED])
        played, _ = play(*messages, profiles=others)
        assert played.counts(MEMBER, 6)["snf"] == 0
        assert live(played) == set()
        assert told(played) == []

    def test_the_order_in_which_a_stay_is_told_does_not_show(self) -> None:
        def standing(*messages: str) -> list[Any]:
            played, _ = play(*messages, received="2026-06-01")
            transitions = [t for t in played.transitions.values() if t["status"] == "asserted"]
            return [
                sorted((comparable(t) for t in transitions), key=lambda t: str(t["transition_id"])),
                [comparable(each) for each in played.utilization.values()],
                classes(played),
            ]

        stay = [*self.stay("N1", "03", "02"), self.say("A03", "202603201600", "N1", f36="02", f45="202603201400")]
        stay.append(self.say("A13", "202603201700", "N1"))
        expected = standing(*stay)
        assert expected[2] == ["snf"]
        for order in permutations(stay[:1] + stay[3:]):
            assert standing(*order, *stay[1:3]) == expected

    def test_an_arrival_that_is_told_after_all_changes_nothing(self) -> None:
        updates = self.stay("N1", "03")
        arrival = self.say("A01", "202603031310", "N1", f44="202603031300")
        first, _ = play(*updates)
        later, _ = play(arrival, *updates)
        assert told(later) == told(first)
        ended = self.say("A03", "202603201500", "N1", f36="01", f45="202603201400")
        whole, _ = play(arrival, *updates, ended)
        assert told(whole) == told(first)


class TestJail:
    """A booking is its A01, a release its A03; the booking number is the patient's, and every class is custody."""

    HEAD = "JMS|COUNTYJAIL"
    PID = f"77^^^CLINIC^MR~B4471^^^^PCN~{CIN}"
    ED = hl7(
        TestPlainHospital.HEAD,
        "A04",
        "202601151000",
        TestPlainHospital.PID,
        pv1("E", f19="E1"),
        "DG1|1||E11.9^Diabetes^I10",
    )

    def say(self, trigger: str, stamp: str, head: str = HEAD, **fields: str) -> str:
        return hl7(head, trigger, stamp, self.PID, pv1("", f19="B1", **fields))

    def test_a_release_with_a_listed_condition_makes_a_candidate(self) -> None:
        booking, release = self.say("A01", "202602201000"), self.say("A03", "202603011000", f45="202603010930")
        played, answers = play(self.ED, booking, release)
        assert set(answers) == {"AA"}
        assert classes(played) == ["emergency"]  # what happens in custody is no visit
        assert told(played)[-2:] == [("custody_booking", "COUNTYJAIL"), ("custody_release", "COUNTYJAIL")]
        assert live(played) == {"4a"}
        assert "COUNTYJAIL|B4471" in played.replay.rows("reconcile")
        without, _ = play(booking, release)
        assert [kind for kind, _ in told(without)] == ["custody_booking", "custody_release"]
        assert live(without) == set()

    def test_one_still_held_or_taken_to_another_is_not_released(self) -> None:
        booking = self.say("A04", "202602201000")
        for messages in ([booking], [booking, self.say("A03", "202603011000", f36="21")]):
            played, _ = play(self.ED, *messages)
            assert "custody_booking" in [kind for kind, _ in told(played)]
            assert "custody_release" not in [kind for kind, _ in told(played)]
            assert live(played) == set()

    def test_a_youth_of_the_same_feed_comes_from_a_youth_facility(self) -> None:
        head = "JAILSYS|JUVENILE HALL"
        messages = [self.say("A01", "202602201000", head), self.say("A03", "202603011000", head)]
        messages = [message.replace("||19800101|", "||20100505|") for message in messages]
        played, _ = play(*messages, birth_date="2010-05-05")
        assert told(played) == [("custody_booking", "JUVENILEHALL"), ("custody_release", "JUVENILEHALL")]
        assert live(played) == {"4y"}
        assert {each.facility_type for each in played.replay.rows("refer")[MEMBER].custody} == {"youth-facility"}


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (TestPlainHospital.HEAD, "plain_hospital"),
        (TestHie.HEAD, "hie"),
        (TestSnf.HEAD, "snf"),
        (TestJail.HEAD, "jail"),
        ("REG|SOMEWHERE", "default"),
    ],
)
def test_each_has_a_profile_of_its_own_and_all_are_told(head: str, name: str) -> None:
    app, facility = head.split("|")
    assert SHIPPED.choose(app, facility).name == name
    assert {profile.name for profile in SHIPPED} == {"plain_hospital", "hie", "snf", "jail", "default"}
