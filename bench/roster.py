"""What rosters and merges cost: loading a file, large groups of merged patients, and a roster that comes late.

    python -m bench.roster [--rows N] [--waiting N] [--feed N]

Prints `load`: seconds for a file of `--rows` members, read, compared with the topic and written, the first time and
unchanged (bar: 10 s for 100,000). `groups`: seconds and links for a chain of 1,000 merges, for 10,000 numbers merged
into one, and for a change of the survivor's evidence in each (bar: 5 s). `late`: seconds from a roster that names
`--waiting` unattributed patients to the last of them attributed, while `--feed` messages of other patients come in.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic

from agents.directory import Directory, MemoryTexts
from agents.directory_records import read_entry, resolved, take
from agents.runtime.contract import Emit, Record
from agents.topics import ADT_RAW, IDENTITY_FACTS, ROSTER, UNATTRIBUTED
from bench.report import result, say
from domain.patient.facts import CIN, Evidence, PatientFacts
from domain.patient.row import Claim
from handoff.declarations.rules import load_rules
from handoff.demo import run
from handoff.embedded.kafka import EmbeddedKafka
from handoff.loading import write_documents
from handoff.roster_changes import changes, records
from handoff.settings import load_settings
from handoff.system import System
from parsers.records.facts import encode_facts
from parsers.records.roster_documents import RosterDocument, encode_roster
from parsers.records.roster_file import load_roster
from streams.kafka.produce import produce_together
from streams.kafka.read import latest
from streams.kafka.settings import KafkaSettings

WORDS = load_rules(Path(__file__).parents[1] / "rules").vocabulary
BATCH = 1_000
CHECK_LETTERS = "ACDEFGHMNTUVWXYZ"
HEADER = "cin,birth_date,plan,county,enrolled_from,enrolled_to,identifiers,aid_codes,name,sex,zip,phone\n"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--rows", type=int, default=100_000)
    arguments.add_argument("--waiting", type=int, default=50_000)
    arguments.add_argument("--feed", type=int, default=10_000)
    options = arguments.parse_args()
    groups = {"chain": merged(chain(1_000)), "star": merged(star(10_000))}
    say(f"groups: {groups}")
    load = loads(options.rows)
    say(f"load: {load}")
    with (
        tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder,
        System(Path(folder), load_settings(), console=False) as system,
    ):
        late = a_late_roster(system, options.waiting, options.feed)
    say(f"late: {late}")
    slow = max(each["seconds"] for each in load.values()) > 10 * max(1, options.rows / 100_000)
    met = not slow and all(max(each["merged"], each["changed"]) < 5 for each in groups.values()) and not late["left"]
    result("roster", {"load": load, "groups": groups, "late": late, "met": met}, "confluent-kafka", "redis")
    return 0 if met else 1


def cin(number: int) -> str:
    """An invented client index number."""
    return f"9{number:07d}{CHECK_LETTERS[number % len(CHECK_LETTERS)]}"


def roster(count: int, authority: str) -> bytes:
    """A roster file of `count` members, each with one number of a hospital."""
    lines = (
        f"{cin(n)},19{n % 80 + 10}-{n % 12 + 1:02d}-{n % 28 + 1:02d},L.A. Care,19,2022-01-01,12/31/9999,"
        f"{authority}|{n},M1,"
        f'"FAMILY{n}, GIVEN{n % 100}",F,90012,213-555-01{n % 100:02d}\n'
        for n in range(count)
    )
    return (HEADER + "".join(lines)).encode()


def loads(rows: int) -> dict[str, dict[str, Any]]:
    """A first load and a second of the same file, on a Kafka that does nothing else."""
    with tempfile.TemporaryDirectory(prefix="handoff-bench-") as folder, EmbeddedKafka(Path(folder)) as cluster:
        admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
        for made in admin.create_topics([NewTopic(ROSTER, num_partitions=6, replication_factor=1)]).values():
            made.result(30)
        kafka = KafkaSettings(bootstrap=cluster.bootstrap)
        return {name: loaded(kafka, rows) for name in ("first", "unchanged")}


def loaded(kafka: KafkaSettings, rows: int) -> dict[str, Any]:
    """Load a file as `handoff roster load` does."""
    data = roster(rows, "OTHER")
    began, cpu = time.perf_counter(), time.process_time()
    found = load_roster(data, words=WORDS)
    read = time.perf_counter()
    differ = changes(kafka, found.documents, found.rejected, full=False)
    compared = time.perf_counter()
    wanted = list(records(found.documents, differ))
    written = write_documents(kafka, ROSTER, wanted, lambda row: row[0], _value) if wanted else 0
    ended = time.perf_counter()
    return {
        "rows": rows,
        "seconds": round(ended - began, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "read": round(read - began, 2),
        "compared": round(compared - read, 2),
        "written": written,
    }


def _value(row: tuple[str, RosterDocument | None]) -> bytes | None:
    return None if row[1] is None else encode_roster(row[1])


def chain(length: int) -> list[PatientFacts]:
    """Patients merged one into the next; the last one has a CIN."""
    facts = [PatientFacts(f"A|{n}", Claim(f"A|{n + 1}", 1_000 + n)) for n in range(length)]
    return [*facts, PatientFacts(f"A|{length}", evidence=Evidence(Claim("M1", 1), CIN))]


def star(points: int) -> list[PatientFacts]:
    """Patients merged into one, which has a CIN and comes last."""
    facts = [PatientFacts(f"A|{n}", Claim("A|all", 1_000 + n)) for n in range(points)]
    return [*facts, PatientFacts("A|all", evidence=Evidence(Claim("M1", 1), CIN))]


def merged(facts: list[PatientFacts]) -> dict[str, Any]:
    """What the directory needs for a group, in batches as the process takes them, and for a change of its member."""
    directory = Directory(MemoryTexts(), b"key")
    began = time.thread_time()
    links = sum(len(_taken(directory, facts[n : n + BATCH])) for n in range(0, len(facts), BATCH))
    done = time.thread_time()
    last = facts[-1]
    changed = _taken(directory, [PatientFacts(last.patient, evidence=Evidence(Claim("M2", 2), CIN))])
    ended = time.thread_time()
    return {
        "patients": len(facts),
        "merged": round(done - began, 3),
        "links": links,
        "changed": round(ended - done, 3),
        "links_of_the_change": len(changed),
    }


def _taken(directory: Directory, facts: list[PatientFacts]) -> list[Emit]:
    links: list[Emit] = []
    for each in facts:
        record = Record(IDENTITY_FACTS, 0, 0, each.patient.encode(), encode_facts(each), 1, {"received": b"1"})
        links += take(directory, read_entry(record, b"key"))
    return links + resolved(directory, 1)


def a_late_roster(system: System, waiting: int, feed: int) -> dict[str, Any]:
    """Patients whose number nobody knows, then the roster that has all of them, with other messages among it."""
    kafka = system.kafka_settings
    produce_together(kafka, _messages("LATE", waiting))
    run.drain(system, 600.0)
    before = len(latest(kafka, UNATTRIBUTED))
    say(f"{before} patients wait")
    documents = load_roster(roster(waiting, "LATE"), words=WORDS).documents
    others = list(_messages("FEED", feed))
    step = max(1, len(others) // 10)
    began = time.perf_counter()
    write_documents(kafka, ROSTER, documents, lambda each: each.member_id, encode_roster)
    for start in range(0, len(others), step):
        produce_together(kafka, others[start : start + step])
        system.supervise()
    run.drain(system, 600.0)
    left = _left(kafka)
    deadline = time.perf_counter() + 60
    while left and time.perf_counter() < deadline:  # links of the directory are on their way
        run.drain(system, 600.0)
        left = _left(kafka)
    seconds = time.perf_counter() - began
    return {
        "waiting": before,
        "feed": feed,
        "seconds": round(seconds, 2),
        "per_second": round(before / seconds),
        "left": left,
    }


def _left(kafka: KafkaSettings) -> int:
    return sum(key.startswith(b"LATE") for key in latest(kafka, UNATTRIBUTED))


def _messages(authority: str, count: int) -> Iterator[Emit]:
    now = str(run.now_ms()).encode()
    for n in range(count):
        text = (
            f"MSH|^~\\&|ADT|{authority}|HANDOFF|PLAN|20260923101500-0800||ADT^A04|{authority}{n}|P|2.5.1\r"
            f"EVN||20260923101500\rPID|1||{n}^^^{authority}^MR||||"
            f"19{n % 80 + 10}{n % 12 + 1:02d}{n % 28 + 1:02d}|F\r"
            f"PV1|1|E|||||||||||||||||{authority}V{n}\r"
        )
        yield Emit(ADT_RAW, f"{authority}|{n}".encode(), text.encode(), (("sender", b"default"), ("received", now)))


if __name__ == "__main__":
    sys.exit(main())
