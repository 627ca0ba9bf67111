"""A shadow beside the live system, and a move to more partitions half-way through a county's messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from handoff.demo import run
from handoff.demo.verdict import judge
from handoff.embedded.kafka import EmbeddedKafka
from handoff.settings import load_settings
from handoff.system import System
from simulator.county import simulate, write
from simulator.places import SENDERS
from streams.kafka.lag import LagReader
from streams.kafka.read import snapshot
from streams.kafka.settings import KafkaSettings
from streams.shadow import topics_of
from tests.support.kafka import wait_for

pytestmark = pytest.mark.kafka


def handoff(system: System, *words: str, code: int = 0) -> Any:
    """A command on a running system; what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "handoff", *words, "--json"],
        env={**os.environ, **system.environment},
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == code, (done.stdout + done.stderr).decode()
    return json.loads(done.stdout)


def written(kafka: KafkaSettings) -> Counter[str]:
    """How many records each topic holds, ticks aside."""
    known = AdminClient(kafka.librdkafka()).list_topics(timeout=20).topics
    names = [name for name in known if not name.startswith("__") and name != "clock.ticks.v1"]
    return Counter(record.topic for record in snapshot(kafka, names))


def county_in(folder: Path, members: int) -> dict[str, Any]:
    write(simulate(members, 200, 11, run.now_ms()), folder)
    truth: dict[str, Any] = json.loads((folder / "truth.json").read_bytes())
    return truth


def test_a_shadow_ends_as_the_live_system_and_writes_nothing_of_its(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFF_PATHS__SENDERS", str(SENDERS))
    monkeypatch.setenv("HANDOFF_WORK__SESSION_TIMEOUT_MS", "6000")  # Kafka keeps a stopped worker's place for so long
    county_in(tmp_path / "county", 25)
    with System(tmp_path / "data", load_settings(), console=False, quick=True) as system:
        kafka = run.kafka_of(system)
        run.feed_roster(kafka, (tmp_path / "county" / "roster.jsonl").read_bytes())
        run.feed_custody(kafka, (tmp_path / "county" / "custody.jsonl").read_bytes())
        run.send_messages(system, run.read_messages(tmp_path / "county"), 4)
        run.drain(system, 90.0)
        run.tick(kafka, run.now_ms())
        run.drain(system, 60.0)
        before = written(kafka)
        assert len(handoff(system, "shadow", "create", "next")["created"]) == 13
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "handoff", "work", "--stage", stage, "--shadow", "next"],
                env={**os.environ, **system.environment, "HANDOFF_HEALTH__PORT": "0"},
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            for stage in ("reconcile", "refer")
        ]
        try:
            groups = {
                "handoff.next.reconcile": ("adt.raw.v1", "custody.raw.v1", "shadow.next.identity.links.v1"),
                "handoff.next.refer": ("shadow.next.member.visits.v1", "members.roster.v1", "clock.ticks.v1"),
            }
            calm = 0

            def caught_up() -> bool:
                nonlocal calm
                assert all(worker.poll() is None for worker in workers)
                calm = calm + 1 if reader.read(run.now_ms()).records == 0 else 0
                return calm >= 3

            with LagReader(kafka, groups) as reader:
                wait_for(caught_up, 90, "the shadow")
            after = written(kafka)
            assert {name for name in after if after[name] != before[name]} == {
                name for name in after if name.startswith("shadow.next.")
            }
            assert after["shadow.next.ecm.candidates.v1"] > 0
            same = handoff(system, "compare", "live", "next")
            assert same["equal"]
            assert same["same"] > 1
        finally:
            for worker in workers:
                worker.send_signal(signal.SIGTERM)
            codes = [worker.wait(30) for worker in workers]
        assert codes == [0, 0]
        assert len(handoff(system, "shadow", "drop", "next", "--yes")["removed"]) == 13
        assert topics_of(kafka) == []
        assert written(kafka) == before
        groups_left = AdminClient(kafka.librdkafka()).list_consumer_groups().result(20).valid
        assert not [group.group_id for group in groups_left if group.group_id.startswith("handoff.next")]


def test_a_county_moved_to_more_partitions_half_way_comes_out_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOFF_PATHS__SENDERS", str(SENDERS))
    monkeypatch.setenv("HANDOFF_WORK__SESSION_TIMEOUT_MS", "6000")  # Kafka keeps a stopped worker's place for so long
    truth = county_in(tmp_path / "county", 25)
    messages = run.read_messages(tmp_path / "county")
    half = len(messages) // 2
    with EmbeddedKafka(tmp_path / "kafka", quick=True) as cluster:
        monkeypatch.setenv("HANDOFF_KAFKA__BOOTSTRAP", cluster.bootstrap)
        with System(tmp_path / "data", load_settings(), console=False, quick=True) as system:
            kafka = run.kafka_of(system)
            run.feed_roster(kafka, (tmp_path / "county" / "roster.jsonl").read_bytes())
            run.send_messages(system, messages[:half], 4)
            run.drain(system, 90.0)
            # While workers run it copies, and says that it is not finished.
            online = handoff(system, "topics", "migrate", "--to-partitions", "6", code=1)
            assert not online["finished"]
            assert online["copied"]["adt.raw.v1"] == written(kafka)["adt.raw.v1"] > half * 0.9
        before = written(kafka)
        wait_for(lambda: not members(kafka), 30, "the workers' sessions to end")
        moved = handoff(system, "topics", "migrate", "--to-partitions", "6")
        assert moved["finished"]
        assert moved["copied"]["adt.raw.v1"] == 0
        handoff_again = handoff_text(system, "topics", "migrate", "--to-partitions", "6", code=2)
        assert "finished" in handoff_again

        monkeypatch.setenv("HANDOFF_KAFKA__TOPICS", json.dumps(moved["topics"]))
        declared = tmp_path / "topics.yaml"
        declared.write_text(with_partitions(load_settings().paths.topics.read_text(), moved["topics"], 6))
        monkeypatch.setenv("HANDOFF_PATHS__TOPICS", str(declared))
        with System(tmp_path / "data", load_settings(), console=False, quick=True) as system:
            kafka = run.kafka_of(system)
            run.feed_custody(kafka, (tmp_path / "county" / "custody.jsonl").read_bytes())
            run.send_messages(system, messages[half:], 4)
            run.drain(system, 90.0)
            run.tick(kafka, run.now_ms())
            run.drain(system, 60.0)
            verdict = judge(run.candidates(kafka), truth)
            assert verdict.exact, str(verdict)
            assert verdict.expected > 1
            planned = handoff(system, "topics", "plan")
            assert (planned["create"], planned["refused"]) == ([], [])
        after = written(KafkaSettings(bootstrap=cluster.bootstrap))
        for old, new in moved["topics"].items():
            assert after[old] == before[old], "nothing writes to the old version"
            assert new == "clock.ticks.v2" or after[new] >= before[new]
        assert not values(cluster.bootstrap, "adt.raw.v1") - values(cluster.bootstrap, "adt.raw.v2")


def values(bootstrap: str, topic: str) -> Counter[tuple[bytes | None, bytes | None, bytes]]:
    """Key, value and stamp of a topic's records, each as often as it is there."""
    records = snapshot(KafkaSettings(bootstrap=bootstrap), [topic])
    return Counter((record.key, record.value, record.headers["received"]) for record in records)


def members(kafka: KafkaSettings) -> int:
    admin = AdminClient(kafka.librdkafka())
    groups = ["handoff.reconcile", "handoff.refer"]
    return sum(len(future.result(20).members) for future in admin.describe_consumer_groups(groups).values())


def handoff_text(system: System, *words: str, code: int) -> str:
    environment = {**os.environ, **system.environment}
    done = subprocess.run(
        [sys.executable, "-m", "handoff", *words], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    return done.stderr.decode()


def with_partitions(text: str, names: dict[str, str], partitions: int) -> str:
    """topics.yaml as an operator edits it after a move."""
    for name in names:
        assert f"\n  {name}:\n" in text
        text = text.replace(f"\n  {name}:\n", f"\n  {name}:\n    partitions: {partitions}\n")
    return text
