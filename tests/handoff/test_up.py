"""`handoff up` as a person runs it: one per folder, the same ports, and what is killed under it comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handoff.embedded.process import free_ports
from tests.support.kafka import wait_for
from tests.support.machine import Machine, admission

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    ports = free_ports(3)
    for name, port in zip(("MLLP", "HTTP", "CONSOLE"), ports, strict=True):
        machine.environment[f"HANDOFF_{name}__PORT"] = str(port)
    machine.up()
    for name in ("MLLP", "HTTP", "CONSOLE"):
        del machine.environment[f"HANDOFF_{name}__PORT"]
    try:
        yield machine
    finally:
        machine.run("down", "--data", str(machine.data))


def test_a_second_one_on_the_same_folder_ends_at_once_and_names_the_first(machine: Machine) -> None:
    before = machine.state
    start = time.monotonic()
    done = machine.run("up", "--data", str(machine.data))
    assert done.returncode == 2
    assert time.monotonic() - start < 60  # the start of a process on a busy machine; it was 180 s of waiting
    assert f"process {before['pid']}, since 20" in done.stderr
    assert "handoff down" in done.stderr
    assert machine.state["pid"] == before["pid"]
    assert all(each["restarts"] == 0 for each in machine.state["processes"])


def test_two_at_the_same_moment_on_a_new_folder_are_one_and_a_refusal(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    words = [sys.executable, "-m", "handoff", "up", "--data", str(machine.data)]
    both = [
        subprocess.Popen(words, env=machine.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    try:
        wait_for(lambda: any(each.poll() is not None for each in both), 30, "the refusal of one")
        (refused,) = [each for each in both if each.poll() is not None]
        (other,) = [each for each in both if each is not refused]
        assert refused.returncode == 2
        assert refused.stderr is not None
        assert f"process {other.pid}, since" in refused.stderr.read()
        wait_for(lambda: machine.state.get("pid") == other.pid, 120, "the other to be ready")
        assert all(each["restarts"] == 0 for each in machine.state["processes"])
    finally:
        for each in both:
            each.terminate()
            each.communicate(timeout=90)


def test_commands_find_the_system_without_its_folder(machine: Machine) -> None:
    assert "Nothing runs" not in machine.run("status").stdout
    done = machine.run("candidates")
    assert done.returncode == 0, done.stderr
    assert "none is live" in done.stdout


def test_a_refused_feed_is_a_finding_of_status_and_doctor(machine: Machine) -> None:
    assert "everything is well" in machine.run("status").stdout
    timeless = [admission(number).replace("20261001100000", "") for number in range(901, 906)]
    done = machine.send(*timeless)
    assert done.returncode == 1
    assert "AE" in done.stdout
    finding = "REG/GENHOSP: 5 of 5 messages refused in the last day (no-time)"
    wait_for(lambda: finding in " ".join(machine.run("status").stdout.split()), 60, "the finding")
    doctor = machine.run("doctor", "--json")
    assert doctor.returncode == 1
    assert finding in [each["told"] for each in json.loads(doctor.stdout)["findings"]]


def unattributed(machine: Machine) -> dict[str, int]:
    import urllib.request

    with urllib.request.urlopen(f"{machine.state['console']}/api/state", timeout=5) as answer:
        found: dict[str, int] = json.loads(answer.read())["unattributed"]
        return found


def test_patients_of_an_outage_of_redis_are_asked_again_when_it_is_back(machine: Machine) -> None:
    """Redis is stopped, so that it is away for a while; then it is killed, and supervised back."""
    redis = machine.pid("redis")
    assert redis is not None
    os.kill(redis, signal.SIGSTOP)  # it still accepts connections
    wait_for(lambda: not machine.ready("redis"), 20, "the state to say that Redis does not answer")
    done = machine.send(*(admission(number) for number in range(1, 26)), admission(26, cin="91234567A"))
    assert done.returncode == 0, done.stdout + done.stderr
    expected = {"directory-unavailable": 25, "unchecked": 1}
    wait_for(lambda: unattributed(machine) == expected, 60, "25 patients without an answer")
    machine.kill("redis")
    wait_for(lambda: unattributed(machine) == {"no-match": 25}, 60, "an answer for each of them")
    shown = machine.run("status")
    assert shown.returncode == 0
    (line,) = [line.split() for line in shown.stdout.splitlines() if line.startswith("redis")]
    assert line[-1] == "1"  # restarts


def test_a_demo_that_is_kept_has_a_folder_of_its_own(machine: Machine) -> None:
    real = {path: path.stat().st_mtime_ns for path in (machine.data / "kafka").glob("*/data/meta.properties")}
    assert real
    words = [sys.executable, "-m", "handoff", "demo", "--keep", "--members", "10", "--days", "30", "--connections", "2"]
    environment = {**machine.environment, "HANDOFF_MLLP__PORT": "0", "HANDOFF_HTTP__PORT": "0"}
    demo = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert demo.stdout is not None
        said = []
        while "It keeps running" not in (line := demo.stdout.readline()):
            assert line, "".join(said)
            said.append(line)
        folder = machine.home / "state" / "handoff-demo"
        assert (folder / "up.json").exists()
        assert not (machine.home / "state" / "handoff").exists()
        assert real == {path: path.stat().st_mtime_ns for path in real}
        several = machine.run("candidates")
        assert several.returncode == 2
        for each in (folder, machine.data):
            assert f"HANDOFF_DATA={each}" in several.stderr
        assert machine.run("candidates", HANDOFF_DATA=str(machine.data)).returncode == 0
    finally:
        demo.terminate()
        demo.communicate(timeout=90)


def test_a_killed_kafka_comes_back_and_the_system_goes_on(machine: Machine) -> None:
    bootstrap = machine.state["bootstrap"]
    machine.kill("kafka")
    assert machine.state["bootstrap"] == bootstrap
    done = machine.send(admission(101))
    assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: unattributed(machine).get("no-match") == 26, 60, "the message behind the outage")


def test_the_ports_are_the_same_at_the_next_start_or_it_is_refused(machine: Machine) -> None:
    names: list[Callable[[dict[str, Any]], object]] = [
        lambda state: state["mllp"],
        lambda state: state["bootstrap"],
        lambda state: state["console"],
    ]
    before = [name(machine.state) for name in names]
    assert machine.run("down").returncode == 0
    with socket.create_server(("127.0.0.1", int(machine_port(before[0])))):
        done = machine.run("up", "--data", str(machine.data))
        assert done.returncode == 2
        assert f"The port {machine_port(before[0])} of mllp is taken" in done.stderr
        assert "HANDOFF_MLLP__PORT" in done.stderr
        assert "--new-ports" in done.stderr
    machine.up()
    assert [name(machine.state) for name in names] == before


def machine_port(address: object) -> str:
    return str(address).rpartition(":")[2]
