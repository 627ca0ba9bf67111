"""A watched folder that somebody else can write to: links, hard links, and another folder in its place."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import structlog

from gateway import box
from gateway.box import Box, Replaced
from gateway.metrics import FOLDER_FILES, FOLDER_REPLACED
from tests.conftest import HasBootstrap
from tests.gateway.folders import put, report, watching
from tests.gateway.running import admission, until
from tests.support.kafka import TopicNames

pytestmark = [pytest.mark.kafka]


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir() if path.name.endswith(".json")}


async def test_a_hard_link_is_left_alone_and_its_name_is_not_logged(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.hl7"
    outside.write_bytes(admission("OUT"))
    place = tmp_path / "box"
    place.mkdir()
    os.link(outside, place / "DOE_JANE.hl7")
    before = FOLDER_FILES.labels("unopened")._value.get()
    with structlog.testing.capture_logs() as said:
        async with watching(kafka.bootstrap, topic_names, place) as (_, gateway):
            await until(lambda: FOLDER_FILES.labels("unopened")._value.get() == before + 1, "it is refused")
            put(place / "plain", admission("P1"))
            await until(lambda: (place / "done" / "plain").exists(), "others are taken")
            assert [each.headers["control-id"] for each in await gateway.raw()] == [b"P1"]
    assert (place / "DOE_JANE.hl7").exists()
    (line,) = [each for each in said if each["event"] == "file cannot be opened"]
    assert line["error"] == "more than one hard link"
    assert "DOE" not in json.dumps(said, default=str)
    assert modes(place / "done") == {"plain.report.json": 0o600}


async def test_of_a_folder_that_was_replaced_nothing_is_read_and_into_it_nothing_is_written(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    place, other = tmp_path / "box", tmp_path / "other"
    place.mkdir()
    for name in ("done", "failed"):
        (other / name).mkdir(parents=True)
    put(other / "theirs", admission("THEIRS"))
    with structlog.testing.capture_logs() as said:
        async with watching(kafka.bootstrap, topic_names, place) as (_, gateway):
            put(place / "first", admission("F1"))
            await until(lambda: (place / "done" / "first").exists(), "the first")
            place.rename(tmp_path / "away")
            place.symlink_to(other)
            await until(lambda: FOLDER_REPLACED._value.get() == 1, "it is noticed")
            put(tmp_path / "away" / "second", admission("F2"))
            # Back in its place, it goes on where it was.
            place.unlink()
            (tmp_path / "away").rename(place)
            await until(lambda: (place / "done" / "second").exists(), "the second")
            assert FOLDER_REPLACED._value.get() == 0
            assert {each.headers["control-id"] for each in await gateway.raw()} == {b"F1", b"F2"}
    assert {path.name for path in other.rglob("*")} == {"done", "failed", "theirs"}
    assert [each["event"].partition(":")[0] for each in said if each["log_level"] == "error"] == ["folder was replaced"]


async def test_a_folder_replaced_in_the_middle_of_a_file_keeps_the_file_and_gets_no_report(
    kafka: HasBootstrap, topic_names: TopicNames, tmp_path: Path
) -> None:
    place = tmp_path / "box"
    place.mkdir()
    async with watching(kafka.bootstrap, topic_names, place) as (_, gateway):
        put(place / "big", b"".join(admission(f"D{n:05d}") for n in range(3000)))
        await until(lambda: gateway.ingress.under_way > 0, "it has begun")
        place.rename(tmp_path / "away")
        place.mkdir()
        await until(lambda: FOLDER_REPLACED._value.get() == 1, "it is noticed", 30)
        assert not list(place.iterdir())
        assert (tmp_path / "away" / "big").exists()
        place.rmdir()
        (tmp_path / "away").rename(place)
        await until(lambda: (place / "done" / "big").exists(), "it is finished", 30)
        assert report(place / "done" / "big")["codes"] == {"AA": 3000}
        assert len(await gateway.raw()) == 3000


@pytest.mark.parametrize("name", ["done", "failed"])
def test_a_link_in_the_place_of_done_or_failed_is_refused(name: str, tmp_path: Path) -> None:
    place, other = tmp_path / "box", tmp_path / "other"
    place.mkdir()
    other.mkdir()
    (place / name).symlink_to(other)
    with pytest.raises(OSError, match=r"directory|symbolic"):
        Box(place)
    (place / name).unlink()
    opened = Box(place)
    opened.check()
    (place / name).rmdir()
    (place / name).symlink_to(other)
    with pytest.raises(Replaced):
        opened.check()
    opened.close()


def test_a_link_to_a_folder_and_files_of_others_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "box"
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    with pytest.raises(OSError, match=r"directory|symbolic"):
        Box(tmp_path / "link")
    (place / "file").write_bytes(b"x")
    (place / "soft").symlink_to(place / "file")
    opened = Box(place)
    with pytest.raises(OSError, match="symbolic"):
        opened.open("soft")
    with opened.open("file") as file:
        assert file.read() == b"x"
    real = os.fstat
    for field, why in ((stat.ST_DEV, "another device"), (stat.ST_UID, "another owner")):

        def other(number: int, field: int = field) -> os.stat_result:
            told = list(real(number))
            told[field] += 1
            return os.stat_result(told)

        monkeypatch.setattr(box.os, "fstat", other)
        with pytest.raises(OSError, match=why):
            opened.open("file")
        monkeypatch.undo()
    opened.close()
