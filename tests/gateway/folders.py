"""A folder listener in the test's own loop, and files put into it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.config import FolderConfig
from gateway.folder import Folder
from tests.gateway.running import Running, running
from tests.support.kafka import TopicNames

QUICK = {"poll": 0.02, "settle": 0.05}


@asynccontextmanager
async def watching(
    bootstrap: str, names: TopicNames, path: Path, **config: Any
) -> AsyncIterator[tuple[Folder, Running]]:
    """A folder listener on `path` until the block ends."""
    seconds = config.pop("seconds", 10.0)
    async with running(bootstrap, names, seconds=seconds) as gateway:
        folder = Folder(gateway.ingress, FolderConfig(path, **{**QUICK, **config}))
        folder.open()
        try:
            yield folder, gateway
        finally:
            await folder.stop(10)


def put(path: Path, data: bytes) -> None:
    """Writes a file the careful way."""
    half = path.with_name(f".{path.name}")
    half.write_bytes(data)
    half.rename(path)


def report(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.with_name(path.name + ".report.json").read_bytes())
    return told
