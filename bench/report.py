"""What every bench prints: progress on stderr, one JSON object as the last line of standard output."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from typing import Any


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def result(name: str, figures: dict[str, Any], *packages: str) -> None:
    """The last line: the figures, the machine, and the versions of what was measured."""
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "machine": platform.machine()}
    versions = {package: version(package) for package in packages}
    print(json.dumps({"bench": name, **figures, "machine": machine, "versions": versions}))
