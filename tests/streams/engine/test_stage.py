"""A worker on a real Kafka: how records are cut does not show, and one bad record harms nobody else."""

from __future__ import annotations

import json
import signal

import pytest

from agents.runtime.store import decoded
from streams.exit_codes import EXIT_CRASHED, EXIT_REFUSED
from tests.conftest import HasBootstrap
from tests.support.counted import Counted
from tests.support.counting import fact
from tests.support.kafka import wait_for

pytestmark = pytest.mark.kafka


def mixed(count: int) -> list[tuple[str, bytes | None]]:
    """Facts of all kinds over a few keys."""
    values: list[tuple[str, bytes | None]] = []
    for number in range(count):
        key = f"k{number % 13}"
        kind = {3: "refuse", 5: "raise", 8: "remove"}.get(number % 17, "")
        values.append((key, fact(number, key, do=kind)))
        if number % 29 == 0:
            values.append((key, b"not a fact"))
        if number % 31 == 0:
            values.append((key, None))
    return values


def test_chunks_of_1_7_and_2000_write_the_same(kafka: HasBootstrap) -> None:
    seen = []
    for size in (1, 7, 2_000):
        with Counted(kafka.bootstrap, partitions=2) as counted:
            counted.produce_values(mixed(300))
            slots = {0: counted.worker(max_records=size, linger=0.005)}
            counted.finish(slots)
            assert counted.deaths == []
            outputs = {p: [each.value for each in records] for p, records in counted.read(counted.counts).items()}
            letters = sorted(
                ((each.key or b"").decode().partition("/")[2], each.value, each.headers["code"])
                for records in counted.read(counted.letters).values()
                for each in records
            )
            rows = {p: decoded(state, counted.stage) for p, state in counted.rows().items()}
            counted.check(f"chunks of {size}", 1)
            seen.append((outputs, letters, rows))
            assert slots[0].stop() == 0
    assert seen[0] == seen[1] == seen[2]
    assert len(seen[0][1]) > 20


def test_bad_records_become_dead_letters_and_the_rest_goes_on(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=1) as counted:
        headers = {"sender": b"GENHOSP", "received": b"1764000000000", "control-id": b"c1"}
        counted.produce_values(
            [
                ("a", fact(1, "a")),
                ("a", b"\x00 poison"),
                ("a", fact(2, "a", do="refuse")),
                ("a", fact(3, "a", do="raise")),
                ("a", fact(4, "a")),
            ],
            headers,
        )
        worker = counted.worker()
        port = worker.wait_health_port()
        counted.finish({0: worker})
        outputs = [json.loads(each.value or b"")["id"] for each in counted.read(counted.counts)[0]]
        assert outputs == [1, 4]
        letters = counted.read(counted.letters)[0]
        assert [(each.key, each.value, each.headers["code"]) for each in letters] == [
            (f"{counted.facts}/0/1".encode(), b"\x00 poison", b"unreadable"),
            (f"{counted.facts}/0/2".encode(), fact(2, "a", do="refuse"), b"not-wanted"),
            (f"{counted.facts}/0/3".encode(), fact(3, "a", do="raise"), b"internal-error"),
        ]
        assert letters[0].headers == {
            "code": b"unreadable",
            "place": b"fact",
            "stage": counted.stage.name.encode(),
            "sender": b"GENHOSP",
            "received": b"1764000000000",
            "source": f"{counted.facts}/0/1".encode(),
        }
        assert decoded(counted.rows()[0], counted.stage)["a"].impaired
        counting = f'handoff_stage_records_total{{stage="{counted.stage.name}"}} 5.0'
        wait_for(lambda: counting in worker.health("/metrics", port)[1], 10)
        told = worker.health("/metrics", port)[1]
        assert 'handoff_dead_letters_total{code="unreadable"} 1.0' in told
        assert f'handoff_internal_errors_total{{stage="{counted.stage.name}"}} 1.0' in told
        assert f'handoff_rows{{partition="0",stage="{counted.stage.name}"}} 1.0' in told
        assert worker.stop() == 0
        logged = "".join(worker.logged)
        assert f"{counted.facts}/0/3" in logged
        assert "poison" not in logged
        assert "a bug that met" not in logged


def test_health_is_served_before_and_after_the_rows_are_there(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=2) as counted:
        counted.produce(10)
        worker = counted.worker()
        port = worker.wait_health_port()
        status, said = worker.health("/readyz", port)
        assert (status, json.loads(said)["ready"]) == (503, [])
        worker.wait_ready()
        status, said = worker.health("/readyz", port)
        assert status == 200
        assert json.loads(said)["ready"] == [0, 1]
        assert worker.health("/livez", port)[0] == 200
        assert worker.health("/elsewhere", port)[0] == 404
        assert worker.stop() == 0


def test_a_chunk_that_does_not_come_back_ends_the_worker(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=1) as counted:
        counted.produce_values([("a", fact(1, "a", do="hang"))])
        worker = counted.worker(chunk_deadline=1.0)
        assert worker.wait(40) == EXIT_CRASHED
        assert "chunk-not-returned" in "".join(worker.logged)


def test_a_killed_worker_comes_back_within_its_session(kafka: HasBootstrap) -> None:
    """A static member is let in again at once: no rebalance to wait for."""
    with Counted(kafka.bootstrap, partitions=1) as counted:
        worker = counted.worker(session=45.0).wait_ready()
        worker.signal(signal.SIGKILL)
        worker.wait()
        counted.worker(session=45.0).wait_ready(20)


@pytest.mark.parametrize("wrong", ["missing", "partitions", "policy"])
def test_a_worker_refuses_topics_that_are_not_as_it_needs_them(kafka: HasBootstrap, wrong: str) -> None:
    with Counted(kafka.bootstrap, partitions=2, broken=wrong) as counted:
        worker = counted.worker()
        assert worker.wait(40) == EXIT_REFUSED
        said = "".join(worker.logged)
        assert counted.stage.changelog in said


def test_a_worker_refuses_rows_of_a_later_version(kafka: HasBootstrap) -> None:
    with Counted(kafka.bootstrap, partitions=1) as counted:
        counted.produce_changelog(b"a", b"\x7f\xd3" + bytes(8))
        worker = counted.worker()
        assert worker.wait(40) == EXIT_REFUSED
        assert "schema version 127" in "".join(worker.logged)
