"""`handoff profile`: what it counts, what it never shows, and that its draft loads and reads no worse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from handoff.cli import app
from handoff.declarations.senders import load_senders
from handoff.profiling.sample import Sample
from handoff.profiling.tally import showable
from handoff.profiling.words import guess, likeness
from simulator.county import simulate, write
from simulator.places import SENDERS
from tests.support.corpus import as_sent, corpus
from tests.support.events import at

SHIPPED = Path(__file__).parents[2] / "senders"
NAMES = ("Doe", "Roe", "Poe", "Moe")


def message(number: int, trigger: str = "A04", pv1: str = "E", control: str = "", **changed: str) -> bytes:
    """One message of an invented hospital; every patient has a surname of its own."""
    fields = {
        "made": "20260301100000",
        "entered": "20260301100000",
        "pid3": f"{100 + number}^^^WEST^MR",
        "version": "2.5.1",
        "more": "",
        **changed,
    }
    return (
        f"MSH|^~\\&|REG|WESTHOSP|HUB|PLAN|{fields['made']}||ADT^{trigger}|{control or number}|P|{fields['version']}\r"
        f"EVN|{trigger}|{fields['entered']}\r"
        f"PID|1||{fields['pid3']}||{NAMES[number % 4]}{number}^Person||19800101|F|||1 Main^^Town^CA^90001\r"
        f"PV1|1|{pv1}\r{fields['more']}"
    ).encode()


def with_codes(number: int, patient_class: str, source: str = "", disposition: str = "", **changed: str) -> bytes:
    fields = [""] * 45
    fields[1], fields[13], fields[18], fields[35] = patient_class, source, f"V{number}", disposition
    return message(number, "A03", "|".join(fields[1:]), **changed)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["profile", *words])


def feed_of(path: Path, messages: list[bytes], *words: str) -> dict[str, Any]:
    path.write_bytes(b"\r\n".join(messages))
    done = run(str(path), "--json", "--conformance", "0", *words)
    assert done.exit_code in (0, 1), done.output
    feeds: list[dict[str, Any]] = json.loads(done.stdout)["feeds"]
    assert len(feeds) == 1
    return feeds[0]


def test_counts_of_a_small_feed(tmp_path: Path) -> None:
    sent = [
        message(1),
        message(1),  # again, the same bytes
        message(2, control="1"),  # another message under the same control ID
        message(3, "A03", "I", control="1"),
        message(4, "A28", "N", version="2.3"),
        message(5, made="20260301100000-0800", entered="20260301180000"),
        message(6, pid3="123^^^WEST^SS"),
        b"PV1|no header",
    ]
    feed = feed_of(tmp_path / "day.hl7", [sent[-1], *sent[:-1]])
    assert feed["messages"] == 8
    assert {each["trigger"]: each["messages"] for each in feed["triggers"]} == {"A04": 4, "A03": 1, "A28": 1}
    assert feed["control_ids"] == {"missing": 0, "same_bytes_again": 1, "other_bytes": 2}
    assert feed["encoding"]["versions"] == {"2.5.1": 6, "2.3": 1}
    assert feed["classes"] == {"A03": {"inpatient": 1}, "A04": {"emergency": 4}}
    assert feed["times"]["msh_7_offsets"] == {"none": 5, "-0800": 1}
    assert feed["times"]["zones_that_agree"] == ["America/Los_Angeles"]
    assert feed["times"]["evn_2_after_msh_7"]["whole_hours"] == 8
    assert {(e["code"], e["place"]): e["first"] for e in feed["refused"]} == {
        ("not-hl7", "MSH"): [f"{tmp_path}/day.hl7#1"],
        ("no-patient", "PID-3"): [f"{tmp_path}/day.hl7#8"],
    }


def test_fill_rates_count_only_where_a_field_counts(tmp_path: Path) -> None:
    sent = [with_codes(n, "I", disposition="01" if n < 3 else "") for n in range(4)] + [message(n) for n in range(5, 9)]
    fields = {each["field"]: each for each in feed_of(tmp_path / "day.hl7", sent)["fields"]}
    assert (fields["PV1-36"]["messages"], fields["PV1-36"]["filled"], fields["PV1-36"]["percent"]) == (4, 3, 75.0)
    assert fields["PV1-19"]["by_group"] == {"arrive": 0.0, "leave": 100.0}
    assert fields["PID-3.4"]["percent"] == 100.0


def test_unknown_codes_and_the_table_they_look_like(tmp_path: Path) -> None:
    sent = [with_codes(n, "XQ", "3", "14") for n in range(3)] + [with_codes(n, "I", "D", "62") for n in range(3, 5)]
    codes = feed_of(tmp_path / "day.hl7", sent)["codes"]
    assert codes["PV1-2"]["unmapped_codes"] == {"XQ": 3}
    assert codes["PV1-14"]["telling"] == {"nubc": 2, "hl7": 3}
    assert codes["PV1-14"]["looks_like"] == "both"
    assert codes["PV1-36"]["unmapped_codes"] == {"14": 3}
    assert codes["PV1-36"]["unmapped_by_dialect"] == {"nubc": 3, "hl7": 3}


def test_nothing_about_a_person_is_printed(tmp_path: Path) -> None:
    # Names, numbers and dates in fields where codes belong, as a shifted segment puts them.
    sent = [with_codes(n, f"{NAMES[n]}lastname", f"19{n}00101", f"9990{n}123") for n in range(4)]
    sent += [message(9, pid3="777^^^Secretname^Othername"), message(8, more="OBX|1|ST|HOMELESSJOHN||Y\r")]
    (tmp_path / "day.hl7").write_bytes(b"\r".join(sent))
    for words in (("--json",), (), ("--yaml", "-")):
        told = run(str(tmp_path / "day.hl7"), *words).output
        for secret in ("lastname", "00101", "9990", "Secretname", "OTHERNAME", "HOMELESSJOHN", "Person", "Main"):
            assert secret.lower() not in told.lower(), (words, secret)
    assert "not shown" in run(str(tmp_path / "day.hl7"), "--conformance", "0").output


@pytest.mark.parametrize(
    ("value", "patients", "shown"),
    [
        ("E", 1, True), ("SMITH", 1, False), ("TRANSFER ACUTE", 2, True), ("1965-03-01", 9, False),
        ("123456", 9, False), ("a" * 25, 9, False), ("Doe, Jo", 9, False), ("", 9, False),
    ],
)  # fmt: skip
def test_what_may_be_shown(value: str, patients: int, shown: bool) -> None:
    assert showable(value, patients) is shown


def visit(control: int, trigger: str, patient: int, number: str, when: str) -> bytes:
    fields = [""] * 45
    fields[2], fields[19], fields[44] = "E", number, when
    return message(patient, trigger, "|".join(fields[2:]), f"C{control}", made=when, entered=when)


def visits(numbers: list[str]) -> list[bytes]:
    """Visits of two patients, a month apart, in turn."""
    found: list[bytes] = []
    for index, number in enumerate(numbers):
        day = f"2026{index // 2 + 1:02}10"
        found.append(visit(2 * index, "A04", index % 2, number, f"{day}100000"))
        found.append(visit(2 * index + 1, "A03", index % 2, number, f"{day}130000"))
    return found


@pytest.mark.parametrize(
    ("numbers", "used_again", "habit"),
    [
        (["1", "2", "3", "4", "5", "6"], 0, "unique"),
        (["1", "2", "1", "2", "1", "2"], 2, "reused"),
        (["1", "2", "3", "1", "5", "6"], 0, "unique"),  # the other patient's
    ],
)
def test_visit_numbers_that_are_used_again(tmp_path: Path, numbers: list[str], used_again: int, habit: str) -> None:
    seen = feed_of(tmp_path / "feed.hl7", visits(numbers))["visit_numbers"]
    assert (seen["used_again"], seen["habit"], seen["with_number"]) == (used_again, habit, 12)


def test_a_feed_that_uses_visit_numbers_again_is_warned_of_and_drafted(tmp_path: Path) -> None:
    path = tmp_path / "feed.hl7"
    path.write_bytes(b"\r\n".join(visits(["1", "2", "1", "2"])))
    draft = tmp_path / "draft.yaml"
    done = run(str(path), "--conformance", "0", "--yaml", str(draft))
    assert "visit_numbers: reused" in done.output
    assert yaml.safe_load(draft.read_text())["visit_numbers"] == "reused"


@pytest.mark.parametrize(("offset", "doubtful"), [("+0000", True), ("-0800", False), ("", False)])
def test_an_offset_of_zero_that_puts_the_day_into_the_night_is_doubted(
    tmp_path: Path, offset: str, doubtful: bool
) -> None:
    days = [f"2026{1 + n // 28:02}{1 + n % 28:02}{9 + n % 12:02}1500{offset}" for n in range(60)]
    found = feed_of(tmp_path / "feed.hl7", [message(n, made=day, entered=day) for n, day in enumerate(days)])
    assert found["times"]["zero_offsets"]["doubtful"] is doubtful


def test_a_death_under_21_tells_the_hl7_table() -> None:
    assert likeness("PV1-36", {"21": 4}, 0) == likeness("PV1-36", {}, 0)
    told = likeness("PV1-36", {"21": 4}, 2)
    assert told is not None
    assert told.looks == "hl7"
    assert likeness("PV1-2", {"I": 1}) is None


@pytest.mark.parametrize(
    ("place", "code", "words", "value"),
    [
        ("PV1-2", "EMERGENCY ROOM", "", "emergency"), ("PV1-2", "X1", "Outpatient surgery", "outpatient"),
        ("PV1-36", "LEFT AMA", "", "07"), ("PV1-36", "TO JAIL", "", "21"), ("PV1-14", "X", "", ""),
        ("PV1-36", "DRAMATIC", "", ""),
    ],
)  # fmt: skip
def test_guesses(place: str, code: str, words: str, value: str) -> None:
    assert guess(place, code, words) == value


def test_the_draft_loads_and_maps_what_words_and_tables_settle(tmp_path: Path) -> None:
    folder = tmp_path / "senders"
    shutil.copytree(SHIPPED, folder)
    sent = [with_codes(n, "ERX^Emergency room", "1", "22", made="20260301100000-0600") for n in range(4)]
    sent.append(with_codes(5, "ZQ", "3", "07", made="20260301100000-0600"))
    before = feed_of(tmp_path / "day.hl7", sent, "--senders", str(folder))
    assert before["profile"] == "default"
    assert before["codes"]["PV1-36"]["unmapped"] == 4
    made = folder / "west.yaml"
    done = run(str(tmp_path / "day.hl7"), "--senders", str(folder), "--conformance", "0", "--yaml", str(made))
    assert done.exit_code == 0, done.output
    drafted = yaml.safe_load(made.read_text())
    assert drafted["name"] == "westhosp"
    assert drafted["zone"] == "America/Chicago"
    assert drafted["class"]["codes"] == {"ERX": "emergency"}
    assert drafted["admit_source"]["dialect"] == drafted["disposition"]["dialect"] == "hl7"
    assert "# ? PV1-2 ZQ: 1 messages" in made.read_text()
    after = feed_of(tmp_path / "day.hl7", sent, "--senders", str(folder))
    assert after["profile"] == "westhosp"
    assert {place: each["unmapped"] for place, each in after["codes"].items()} == {
        "PV1-2": 1, "PV1-4": 0, "PV1-14": 0, "PV1-36": 0
    }  # fmt: skip
    again = run(str(tmp_path / "day.hl7"), "--senders", str(folder), "--yaml", str(made))
    assert again.exit_code == 2
    assert "is there already" in again.output


def worse(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where `after` refuses or leaves unmapped more than `before`."""
    counts = [
        (place, before["codes"][place]["unmapped"], after["codes"][place]["unmapped"]) for place in before["codes"]
    ]
    counts.append(("refused", *(sum(e["messages"] for e in feed["refused"]) for feed in (before, after))))
    return [place for place, old, new in counts if new > old]


def test_a_draft_from_the_corpus_reads_it_no_worse(tmp_path: Path) -> None:
    folder = tmp_path / "senders"
    shutil.copytree(SHIPPED, folder)
    sent = [as_sent(text) for text in corpus()]
    path, words = tmp_path / "corpus.hl7", ("--senders", str(folder))
    before = feed_of(path, sent, *words)
    run(str(path), *words, "--conformance", "0", "--yaml", str(folder / "new.yaml"))
    name = yaml.safe_load((folder / "new.yaml").read_text())["name"]
    assert name in {profile.name for profile in load_senders(folder)}
    assert worse(before, feed_of(path, sent, *words, "--sender", name)) == []


def test_drafts_of_a_county_from_scratch_and_over_its_own_profile(tmp_path: Path) -> None:
    write(simulate(30, 90, 3, at("2026-09-30 12:00")), tmp_path / "county")
    path = tmp_path / "county" / "messages.jsonl"
    whole = run(str(path), "--senders", str(SENDERS), "--json", "--conformance", "0")
    assert whole.exit_code == 0
    assert len(json.loads(whole.stdout)["feeds"]) > 5
    several = run(str(path), "--senders", str(SENDERS), "--conformance", "0", "--yaml", "-")
    assert several.exit_code == 2
    assert "give one sender's messages" in several.output
    for sender in ("default", "county-general"):
        folder = tmp_path / sender
        shutil.copytree(SENDERS, folder)
        drafted = run(str(path), "--senders", str(folder), "--sender", sender, "--conformance", "0", "--yaml", "-")
        assert drafted.exit_code in (0, 1)
        (folder / ("fresh.yaml" if sender == "default" else f"{sender}.yaml")).write_text(drafted.stdout)
        profiles = load_senders(folder)
        assert profiles.named(sender).name == sender


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--sender", "nobody"), "no such profile"),
        (("--json", "--yaml", "-"), "both want standard output"),
        (("--senders", "nowhere"), "default.yaml: missing"),
    ],
)
def test_wrong_words_are_told(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    (tmp_path / "day.hl7").write_bytes(message(1))
    done = run(str(tmp_path / "day.hl7"), *words)
    assert done.exit_code == 2
    assert why in done.output


def test_an_empty_input_is_told(tmp_path: Path) -> None:
    (tmp_path / "day.hl7").write_bytes(b"\r\n")
    done = run(str(tmp_path / "day.hl7"))
    assert done.exit_code == 2
    assert "no messages in it" in done.output


def test_the_sample_is_even_and_bounded() -> None:
    sample = Sample(10)
    for number in range(1_000):
        sample.offer(str(number).encode())
        assert len(sample._kept) <= 20
    numbers = [int(raw) for raw in sample.messages]
    assert len(numbers) == 10
    assert numbers == sorted(numbers)
    assert max(b - a for a, b in zip([0, *numbers], [*numbers, 999], strict=True)) < 200
