"""Files in a watched folder: taken once, whole, in order, with a report that names places and nobody."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from gateway.config import FolderConfig
from gateway.folder import Folder
from tests.conftest import HasBootstrap
from tests.gateway.folders import QUICK, put, report, watching
from tests.gateway.running import admission, running, until
from tests.support.kafka import TopicNames

pytestmark = [pytest.mark.kafka]


async def test_files_of_every_form_are_taken_with_their_report(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = (
        b"FHS|^~\\&|X\rBHS|^~\\&|X\r"
        + admission("B1")
        + b"MSH|^~\\&|ADT|GENHOSP|||20260301||ADT^A01|B2|P|2.5\rPID|1||\r"
        + admission("B3")
        + b"BTS|4\rFTS|1\r"
    )
    async with watching(kafka.bootstrap, topic_names, tmp_path) as (_, gateway):
        put(tmp_path / "DOE_JANE.hl7", batch)
        put(tmp_path / "plain.txt", admission("P1").replace(b"\r", b"\r\n"))
        done = tmp_path / "done"
        await until(lambda: len(list(done.glob("*.report.json"))) == 2 and len(os.listdir(done)) == 4, "both are done")
        assert (done / "DOE_JANE.hl7").read_bytes() == batch
        told = report(done / "DOE_JANE.hl7")
        assert (told["messages"], told["codes"]) == (3, {"AA": 2, "AE": 1})
        assert told["not_accepted"] == [{"index": 2, "line": 7, "code": "no-patient", "place": "PID-3"}]
        assert told["trailers"] == [{"place": "BTS-1", "line": 13, "stated": 4, "found": 3}]
        assert report(done / "plain.txt")["codes"] == {"AA": 1}
        held = {each.headers["control-id"] for each in await gateway.raw()}
        assert held == {b"B1", b"B3", b"P1"}
        assert [each.headers["code"] for each in await gateway.dead()] == [b"no-patient"]
        everything_said = json.dumps(told) + "".join(capsys.readouterr())
        assert "DOE" not in everything_said
        assert "JANE" not in everything_said


async def test_a_patients_messages_keep_their_order_through_many_in_flight(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    total = 3000
    async with watching(kafka.bootstrap, topic_names, tmp_path) as (_, gateway):
        put(tmp_path / "big", b"".join(admission(f"C{n:05d}", patient=str(n % 7)) for n in range(total)))
        most = 0
        while not (tmp_path / "done" / "big").exists():
            most = max(most, gateway.ingress.under_way)
            await asyncio.sleep(0)
        assert 1 < most <= 200
        by_patient: dict[bytes, list[bytes]] = {}
        for each in await gateway.raw():
            by_patient.setdefault(each.key or b"", []).append(each.headers["control-id"])
        assert sum(map(len, by_patient.values())) == total
        assert all(controls == sorted(controls) for controls in by_patient.values())


async def test_what_is_not_whole_not_plain_or_not_ours_is_left_alone(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.hl7"
    outside.write_bytes(admission("OUT"))
    box = tmp_path / "box"
    (box / "sub").mkdir(parents=True)
    for name in (".hidden", "half.tmp", "half.PART", "sub/inner"):
        (box / name).write_bytes(admission("NO"))
    (box / "link").symlink_to(outside)
    os.mkfifo(box / "pipe")
    async with watching(kafka.bootstrap, topic_names, box, settle=1.0) as (_, gateway):
        with (box / "slow").open("wb") as slow:
            for number in range(5):
                slow.write(admission(f"S{number}"))
                slow.flush()
                await asyncio.sleep(0.4)  # longer in all than the settle time, shorter each
                assert (box / "slow").exists()
        await until(lambda: (box / "done" / "slow").exists(), "the slow one is done")
        assert report(box / "done" / "slow")["codes"] == {"AA": 5}
        assert {each.headers["control-id"] for each in await gateway.raw()} == {f"S{n}".encode() for n in range(5)}
    left = {".hidden", "half.tmp", "half.PART", "sub", "link", "pipe", "done", "failed", ".handoff.lock"}
    assert set(os.listdir(box)) == left
    assert outside.exists()


async def test_what_cannot_be_taken_fails_whole_with_the_reason(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    async with watching(kafka.bootstrap, topic_names, tmp_path, limit=4000, message_limit=2000, settle=0.01) as (
        _,
        gateway,
    ):
        put(tmp_path / "large", admission("L1") * 40)
        put(tmp_path / "rows.csv", b"name,born\nDOE,1980\n")
        put(tmp_path / "empty", b"")
        failed = tmp_path / "failed"
        names = ("large", "rows.csv", "empty")
        await until(lambda: all((failed / name).exists() for name in names), "all three failed")
        assert {name: report(failed / name)["unreadable"] for name in names} == {
            "large": "oversize",
            "rows.csv": "not-hl7",
            "empty": "empty",
        }
        assert await gateway.raw() == await gateway.dead() == []
        # One message that is too long does not harm the others; its beginning is kept.
        put(tmp_path / "one", admission("M1") + admission("M2") + b"NTE|1||" + b"x" * 2500 + b"\r" + admission("M3"))
        await until(lambda: (tmp_path / "done" / "one").exists(), "done")
        told = report(tmp_path / "done" / "one")
        assert told["codes"] == {"AA": 2, "AE": 1}
        assert told["not_accepted"] == [{"index": 2, "line": 5, "code": "oversize", "place": ""}]
        (letter,) = await gateway.dead()
        assert (len(letter.value or b""), letter.headers["truncated"]) == (2000, b"1")


async def test_a_name_that_is_taken_overwrites_nothing_and_the_sender_can_be_set(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    stranger = admission("X1").replace(b"|ADT|GENHOSP|", b"|WHO|KNOWS|")
    async with watching(kafka.bootstrap, topic_names, tmp_path, sender="general") as (_, gateway):
        put(tmp_path / "a", stranger)
        await until(lambda: (tmp_path / "done" / "a").exists(), "the first")
        put(tmp_path / "a", admission("X2"))
        await until(lambda: (tmp_path / "done" / "a.2").exists(), "the second")
        assert (tmp_path / "done" / "a").read_bytes() == stranger
        assert {each.headers["sender"] for each in await gateway.raw()} == {b"general"}
        # Who takes from the folder second waits until the first one is gone.
        second = Folder(gateway.ingress, FolderConfig(tmp_path, **QUICK))
        second.open()
        put(tmp_path / "b", admission("X3"))
        await until(lambda: (tmp_path / "done" / "b").exists(), "b")
        await second.stop(5)
        assert [each.headers["control-id"] for each in await gateway.raw()].count(b"X3") == 1


async def test_stopping_leaves_the_file_and_the_next_start_takes_it(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    data = b"".join(admission(f"D{n:05d}") for n in range(4000))
    async with running(kafka.bootstrap, topic_names) as gateway:
        folder = Folder(gateway.ingress, FolderConfig(tmp_path, **QUICK))
        folder.open()
        put(tmp_path / "big", data)
        await until(lambda: gateway.ingress.under_way > 0, "it has begun")
        await folder.stop(10)
        assert (tmp_path / "big").read_bytes() == data
        assert gateway.ingress.under_way == 0
        before = len(await gateway.raw())
        assert 0 < before < 4000
        again = Folder(gateway.ingress, FolderConfig(tmp_path, **QUICK))
        again.open()
        await until(lambda: (tmp_path / "done" / "big").exists(), "done", 30)
        await again.stop(5)
        # The same process knows again what it has stored.
        assert len(await gateway.raw()) == 4000
