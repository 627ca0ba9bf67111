"""`listen`, `send`, `roster load`, `custody load` and `directory` as processes and commands, end to end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agents.graph import DIRECTORY, GATEWAY
from agents.runtime.contract import Emit
from handoff.cli import app
from handoff.embedded.kafka import EmbeddedKafka
from handoff.embedded.redis import EmbeddedRedis
from parsers.hl7.mllp import frame
from streams.descriptors import raise_descriptor_limit
from streams.kafka.produce import produce_together
from streams.kafka.read import documents
from streams.kafka.settings import KafkaSettings
from tests.gateway.running import admission, everything
from tests.support.kafka import make_topics, wait_for

pytestmark = [pytest.mark.kafka]
TOPICS = {*GATEWAY.writes, *DIRECTORY.reads, *DIRECTORY.writes}


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSettings]:
    """A Kafka whose topics have their usual names, for commands know no others."""
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka"), quick=True) as cluster:
        make_topics(cluster.bootstrap, {name: (2, {}) for name in TOPICS})
        yield KafkaSettings(bootstrap=cluster.bootstrap)


@pytest.fixture
def own_roster(environment: dict[str, str], own_kafka: KafkaSettings) -> KafkaSettings:
    """The Kafka of commands, with a roster that has no members."""
    gone = [Emit("members.roster.v1", key.encode(), None, ()) for key in documents(own_kafka, "members.roster.v1")]
    produce_together(own_kafka, gone)
    return own_kafka


@pytest.fixture
def environment(own_kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    told = {
        "HANDOFF_KAFKA__BOOTSTRAP": own_kafka.bootstrap,
        "HANDOFF_DATA": str(tmp_path / "data"),
        "HANDOFF_MLLP__PORT": "0",
        "HANDOFF_HTTP__PORT": "0",
        "HANDOFF_HTTP__TOKEN": "t0ken",
        "HANDOFF_HEALTH__PORT": "0",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **told}


@contextmanager
def listening(
    environment: dict[str, str], *options: str, before: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`handoff listen`, and the addresses that it prints. `before`: a command that starts it."""
    command = [*before, sys.executable, "-m", "handoff", "listen", *options]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def call(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(arguments), input=stdin)


def answers(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_files_of_every_form_go_in_and_sigterm_ends_it_cleanly(
    environment: dict[str, str], own_kafka: KafkaSettings, tmp_path: Path
) -> None:
    folder = tmp_path / "messages"
    folder.mkdir()
    (folder / "a.hl7").write_bytes(admission("F1").replace(b"\r", b"\n"))
    (folder / "b.mllp").write_bytes(frame(admission("F2")) + frame(admission("F3")))
    batch = b"FHS|^~\\&|X\rBHS|^~\\&|X\r" + admission("F4") + admission("F5") + b"BTS|2\rFTS|1\r"
    (folder / "c.batch").write_bytes(batch)
    lines = [json.dumps({"hl7": admission("F6").decode()}), json.dumps({"message": admission("F7").decode()})]
    (folder / "d.jsonl").write_text("\n".join(lines))
    with listening(environment) as (process, addresses):
        wait_for(lambda: answers(addresses["health"] + "/readyz")[0] == 200, what="readiness")
        sent = call("send", str(folder), "--to", addresses["mllp"], "--connections", "3", "--json")
        assert sent.exit_code == 0, sent.output
        account = json.loads(sent.stdout)
        assert (account["messages"], account["codes"]) == (7, {"AA": 7})
        piped = call("send", "-", "--to", addresses["mllp"], "--json", stdin=admission("F8") + b"MSH|^~\\&|X\r")
        assert piped.exit_code == 1
        told = json.loads(piped.stdout)
        assert told["codes"] == {"AA": 1, "AE": 1}
        (refused,) = told["not_accepted"]
        assert (refused["message"], refused["answer"]) == ("stdin#2", "AE")
        assert refused["why"] == "no-trigger"
        shown = call("send", "-", "--to", addresses["mllp"], stdin=admission("F8") + b"MSH|^~\\&|X\r")
        assert "stdin#2" in shown.stdout
        table = call("send", str(folder / "a.hl7"), "--to", addresses["mllp"])
        assert "AA" in table.stdout
        status, metrics = answers(addresses["health"] + "/metrics")
        assert status == 200
        assert 'handoff_messages_total{code="AA",' in metrics
        assert "handoff_ack_seconds_bucket" in metrics
        assert 'handoff_connections{listener="mllp"} 0.0' in metrics
        assert "DOE" not in metrics
        assert answers(addresses["health"] + "/livez")[0] == 200
        assert answers(addresses["http"] + "/hl7")[0] == 405
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        logged = process.stderr.read()
        assert "DOE" not in logged
        assert "F8" not in logged
    held = {each.headers["control-id"].decode() for each in everything(own_kafka, "adt.raw.v1")}
    assert {f"F{n}" for n in range(1, 9)} <= held


def test_send_says_what_it_cannot_read_and_whom_it_cannot_reach(environment: dict[str, str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("{}\n")
    good = tmp_path / "good.hl7"
    good.write_bytes(admission("G1"))
    assert call("send", str(tmp_path / "nothing.hl7"), "--to", "127.0.0.1:1").exit_code == 2
    assert call("send", str(bad), "--to", "127.0.0.1:1").exit_code == 2
    assert call("send", str(good), "--to", "nowhere").exit_code == 2
    assert call("send", "-", "--to", "127.0.0.1:1", stdin="").exit_code == 2
    lost = call("send", str(good), "--to", "127.0.0.1:1", "--json")
    assert lost.exit_code == 1
    assert json.loads(lost.stdout)["codes"] == {"none": 1}
    assert json.loads(lost.stdout)["not_accepted"] == [
        {"message": f"{good}#1", "answer": "none", "why": "ConnectionRefusedError"}
    ]


def test_listen_refuses_a_port_that_is_taken(environment: dict[str, str]) -> None:
    with listening(environment) as (_, addresses):
        taken = {**environment, "HANDOFF_MLLP__PORT": addresses["mllp"].rpartition(":")[2]}
        command = [sys.executable, "-m", "handoff", "listen"]
        second = subprocess.run(command, env=taken, capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 2
        assert "cannot start" in second.stderr


def test_a_roster_is_loaded_whole_or_not_at_all(
    environment: dict[str, str], own_kafka: KafkaSettings, tmp_path: Path
) -> None:
    file = tmp_path / "roster.csv"
    file.write_text("CIN,born,mrns\n91234567A,1980-01-01,GENHOSP|1\n91234567B,1980-01-01,\n")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("cin: CIN\nbirth_date: born\nidentifiers: mrns\n")
    bad = call("roster", "load", str(file), "--mapping", str(mapping), "--json")
    assert bad.exit_code == 2
    assert [(each["line"], each["field"]) for each in json.loads(bad.stdout)["faults"]] == [(3, "cin")]
    shown = call("roster", "load", str(file), "--mapping", str(mapping))
    assert "line 3" in shown.stderr
    assert "91234567B" not in shown.output
    assert everything(own_kafka, "members.roster.v1") == []
    file.write_text("CIN,born,mrns\n91234567A,1980-01-01,GENHOSP|1\n91234567C,1980-01-01,\n")
    dry = call("roster", "load", str(file), "--mapping", str(mapping), "--dry-run", "--json")
    assert (dry.exit_code, json.loads(dry.stdout)["written"]) == (0, 0)
    assert everything(own_kafka, "members.roster.v1") == []
    loaded = call("roster", "load", str(file), "--mapping", str(mapping), "--json")
    assert (loaded.exit_code, json.loads(loaded.stdout)["written"]) == (0, 2)
    records = everything(own_kafka, "members.roster.v1")
    assert {each.key for each in records} == {b"91234567A", b"91234567C"}
    assert all(each.headers["received"].isdigit() for each in records)
    mapping.write_text("sin: CIN\n")
    assert call("roster", "load", str(file), "--mapping", str(mapping)).exit_code == 2
    assert call("roster", "load", str(tmp_path / "none.csv")).exit_code == 2


def roster_file(path: Path, *members: str, header: str = "cin,birth_date,plan") -> str:
    path.write_text("\n".join((header, *members)) + "\n")
    return str(path)


def told(*arguments: str) -> tuple[int, dict[str, Any]]:
    done = call("roster", "load", *arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def counts(account: dict[str, Any]) -> tuple[int, ...]:
    return tuple(account[name] for name in ("added", "changed", "unchanged", "removed", "rejected", "written"))


def roster_now(kafka: KafkaSettings) -> dict[str, str]:
    """Member -> plan."""
    return {key: document["plan"] for key, document in documents(kafka, "members.roster.v1").items()}


def members(count: int, plan: str = "lacare") -> list[str]:
    return [f"9{number:07d}A,1980-01-01,{plan}" for number in range(count)]


def test_a_load_writes_and_counts_what_changed(own_roster: KafkaSettings, tmp_path: Path) -> None:
    file = roster_file(tmp_path / "r.csv", *members(4))
    assert told(file)[0] == 0
    file = roster_file(tmp_path / "r.csv", *members(2), *members(4, "L.A. Care")[2:3], *members(5, "Health Net")[3:])
    code, account = told(file)
    assert (code, counts(account)) == (0, (1, 1, 3, 0, 0, 2))
    code, account = told(file)
    assert (code, counts(account)) == (0, (0, 0, 5, 0, 0, 0))
    assert counts(told(file, "--again")[1]) == (0, 0, 5, 0, 0, 5)
    assert "0 added, 0 changed, 5 unchanged, 0 removed, 0 rejected" in call("roster", "load", file).stdout
    assert list(roster_now(own_roster).values()) == ["lacare"] * 3 + ["healthnet"] * 2


def test_good_rows_are_loaded_though_others_are_bad_and_equal_faults_are_summed(
    own_roster: KafkaSettings, tmp_path: Path
) -> None:
    bad = [row.replace("lacare", "LaCrae") for row in members(9)[5:]]
    file = roster_file(tmp_path / "r.csv", *members(5), *bad, header="cin,birth_date,Health Plan")
    mapping = tmp_path / "m.yaml"
    mapping.write_text("plan: Health Plan\n")
    code, account = told(file, "--mapping", str(mapping))
    assert (code, account["written"], roster_now(own_roster)) == (2, 0, {})
    (summed,) = account["sums"]
    assert (summed["column"], summed["faults"], summed["first"]) == ("Health Plan", 4, 7)
    assert "lacare" in summed["reason"]
    assert "LaCrae" not in json.dumps(account)
    skipped = call("roster", "load", file, "--mapping", str(mapping), "--skip-bad")
    assert skipped.exit_code == 1
    assert "line 7: Health Plan: not one of aah" in skipped.stderr
    assert "4 times, first on line 7" in skipped.stderr
    assert "5 added, 0 changed, 0 unchanged, 0 removed, 4 rejected" in skipped.stdout
    assert len(roster_now(own_roster)) == 5


def test_a_full_file_removes_who_is_not_in_it_but_not_many_at_once(own_roster: KafkaSettings, tmp_path: Path) -> None:
    told(roster_file(tmp_path / "r.csv", *members(100)))
    code, account = told(roster_file(tmp_path / "delta.csv", *members(5)))
    assert (code, counts(account)) == (0, (0, 0, 5, 0, 0, 0)), "a delta removes nobody"
    file = roster_file(tmp_path / "r.csv", *members(95))
    code, account = told(file, "--full")
    assert (code, counts(account)) == (0, (0, 0, 95, 5, 0, 5))
    file = roster_file(tmp_path / "r.csv", *members(90))
    code, account = told(file, "--full")
    assert (code, account["removed"], account["written"], account["alarm"]) == (2, 5, 0, 0.05)
    stopped = call("roster", "load", file, "--full")
    assert "5 of 95 members would be removed" in stopped.stderr
    assert len(roster_now(own_roster)) == 95
    code, account = told(file, "--full", "--accept-removals")
    assert (code, account["removed"]) == (0, 5)
    assert len(roster_now(own_roster)) == 90


def test_a_full_file_removes_no_member_of_a_rejected_line(own_roster: KafkaSettings, tmp_path: Path) -> None:
    told(roster_file(tmp_path / "r.csv", *members(100)))
    bad = members(99)[98].replace("1980-01-01", "1980-13-01")
    code, account = told(roster_file(tmp_path / "r.csv", *members(98), bad), "--full", "--skip-bad")
    assert (code, counts(account)) == (1, (0, 0, 98, 1, 1, 1)), "the 99th stays, the 100th goes"
    code, account = told(roster_file(tmp_path / "r.csv", *members(98), ",1980-01-01,"), "--full", "--skip-bad")
    assert (code, account["removed"], account["kept"]) == (1, 0, 1)
    assert len(roster_now(own_roster)) == 99


def test_what_is_not_utf_8_is_said(own_roster: KafkaSettings, tmp_path: Path) -> None:
    file = tmp_path / "r.csv"
    file.write_bytes("cin,birth_date,name\n91234567A,1980-01-01,PEÑA\n".encode("cp1252"))
    loaded = call("roster", "load", str(file))
    assert (loaded.exit_code, "Windows-1252" in loaded.stdout) == (0, True)


def test_custody_records_are_loaded_under_their_person(environment: dict[str, str], own_kafka: KafkaSettings) -> None:
    row = '{"kind": "released", "occurred": "2026-03-01", "identifiers": [{"authority": "LASD", "number": "5"}]}'
    loaded = call("custody", "load", "-", "--source", "mif", stdin=row)
    assert loaded.exit_code == 0, loaded.output
    (record,) = everything(own_kafka, "custody.raw.v1")
    assert record.key == b"LASD|5"
    assert json.loads(record.value or b"")["source"] == "mif"
    assert call("custody", "load", "-", stdin=row.replace("released", "freed")).exit_code == 2


FLOODS = {
    "the limits as they are": {},
    "HTTP limits above what the process has": {
        "HANDOFF_HTTP__MAX_CONNECTIONS": "5000",
        "HANDOFF_HTTP__MAX_CONNECTIONS_PER_PEER": "5000",
    },
}


@pytest.mark.parametrize("limits", FLOODS.values(), ids=FLOODS.keys())
def test_idle_connections_to_http_and_health_leave_mllp_and_the_probes_alone(
    limits: dict[str, str], environment: dict[str, str]
) -> None:
    raise_descriptor_limit()
    few = ["bash", "-c", 'ulimit -Sn 256; ulimit -Hn 1024; exec "$@"', "-"]  # the soft limit is raised at the start
    held: list[socket.socket] = []
    with listening({**environment, **limits}, before=few) as (process, addresses):
        wait_for(lambda: answers(addresses["health"] + "/readyz")[0] == 200, what="readiness")
        try:
            for name in ("http", "health"):
                port = int(addresses[name].rpartition(":")[2])
                held += [
                    socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) for _ in range(1100)
                ]
            assert len(os.listdir(f"/proc/{process.pid}/fd")) < 1024 - 500
            mllp = int(addresses["mllp"].rpartition(":")[2])
            with contextlib.ExitStack() as inside:  # as many as one peer of MLLP may have
                hospitals = [
                    inside.enter_context(socket.create_connection(("127.0.0.1", mllp), timeout=20)) for _ in range(200)
                ]
                for number, hospital in enumerate(hospitals):
                    hospital.sendall(frame(admission(f"H{number}")))
                assert all(b"MSA|AA|" in hospital.recv(4096) for hospital in hospitals)
            assert answers(addresses["health"] + "/readyz")[0] == 200
        finally:
            for each in held:
                each.close()
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert "turned away" in log
    assert len(log) < 10_000


def test_the_directory_runs_until_sigterm(environment: dict[str, str], redis_server: EmbeddedRedis) -> None:
    from handoff.embedded.process import free_ports

    (port,) = free_ports(1)
    told = {**environment, "HANDOFF_REDIS__URL": redis_server.url, "HANDOFF_HEALTH__PORT": str(port)}
    command = [sys.executable, "-m", "handoff", "directory"]
    with subprocess.Popen(command, env=told, stderr=subprocess.PIPE, text=True) as process:
        try:

            def ready() -> bool:
                try:
                    return answers(f"http://127.0.0.1:{port}/readyz")[0] == 200
                except OSError:
                    return False

            wait_for(ready, 60.0, what="readiness")  # a lease of a killed process lasts 10 s
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    without = {**environment, "HANDOFF_REDIS__URL": ""}
    assert subprocess.run(command, env=without, capture_output=True, timeout=60, check=False).returncode == 2


def test_listen_takes_files_from_a_folder_too(
    environment: dict[str, str], own_kafka: KafkaSettings, tmp_path: Path
) -> None:
    box = tmp_path / "box"
    box.mkdir()
    (box / "first.hl7").write_bytes(admission("W1") + admission("W2"))
    told = {**environment, "HANDOFF_FOLDER__SETTLE_SECONDS": "0.1", "HANDOFF_FOLDER__POLL_SECONDS": "0.05"}
    with listening(told, "--folder", str(box)) as (process, addresses):
        assert addresses["folder"] == str(box)
        wait_for(lambda: (box / "done" / "first.hl7").exists(), what="the file's being done")
        _, metrics = answers(addresses["health"] + "/metrics")
        assert 'handoff_folder_files_total{state="done"} 1.0' in metrics
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "first.hl7" not in process.stderr.read()
    assert {"W1", "W2"} <= {each.headers["control-id"].decode() for each in everything(own_kafka, "adt.raw.v1")}
    for wrong in ({"HANDOFF_FOLDER__PATH": str(tmp_path / "none")}, {"HANDOFF_FOLDER__SENDER": "nobody"}):
        command = [sys.executable, "-m", "handoff", "listen"]
        done = subprocess.run(
            command, env={**environment, **wrong}, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert next(iter(wrong)) in done.stderr
