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
from handoff.supervisor import read_state
from tests.support.kafka import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


class Machine:
    """A user's machine: a home for state, a data folder elsewhere, and the command line."""

    def __init__(self, home: Path) -> None:
        self.home, self.data = home, home / "elsewhere"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HANDOFF_")}
        self.environment = {**kept, "XDG_STATE_HOME": str(home / "state"), "COLUMNS": "80"}

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "handoff", *words],
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
            env={**self.environment, **environment},
        )

    def up(self, *words: str) -> None:
        done = self.run("up", "--detach", "--data", str(self.data), *words)
        assert done.returncode == 0, done.stderr

    @property
    def state(self) -> dict[str, Any]:
        return read_state(self.data / "up.json") or {}

    def pid(self, role: str) -> int | None:
        return next((each["pid"] for each in self.state["processes"] if each["role"] == role), None)

    def kill(self, role: str) -> None:
        """SIGKILL, and wait until the system says that it runs again under another PID."""
        before = self.pid(role)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: self.pid(role) not in (None, before), 90, f"{role} to be started again")
        wait_for(lambda: all(each["ready"] for each in self.state["processes"]), 90, "everything to be ready")

    def send(self, *messages: str) -> subprocess.CompletedProcess[str]:
        file = self.home / "messages.hl7"
        file.write_text("\r\n".join(messages))
        return self.run("send", str(file), "--retry")


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


def admission(number: int, *, cin: str = "") -> str:
    pid3 = f"{number}^^^GENHOSP^MR" + (f"~{cin}^^^MEDI-CAL^MA" if cin else "")
    return (
        f"MSH|^~\\&|REG|GENHOSP|HUB|PLAN|20261101100000||ADT^A04|{number}|P|2.5.1\r"
        f"EVN|A04|20261101100000\rPID|1||{pid3}||Sample^Person||19800101|F\r"
        f"PV1|1|E|||||||||||||||||V{number}\r"
    )


def test_a_second_one_on_the_same_folder_ends_at_once_and_names_the_first(machine: Machine) -> None:
    before = machine.state
    start = time.monotonic()
    done = machine.run("up", "--data", str(machine.data))
    assert done.returncode == 2
    assert time.monotonic() - start < 10
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


def unattributed(machine: Machine) -> dict[str, int]:
    import urllib.request

    with urllib.request.urlopen(f"{machine.state['console']}/api/state", timeout=5) as answer:
        found: dict[str, int] = json.loads(answer.read())["unattributed"]
        return found


def test_patients_of_an_outage_of_redis_are_asked_again_when_it_is_back(machine: Machine) -> None:
    """Redis is stopped, so that it is away for a while; then it is killed, and supervised back."""
    redis = machine.pid("redis")
    assert redis is not None
    os.kill(redis, signal.SIGSTOP)
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
