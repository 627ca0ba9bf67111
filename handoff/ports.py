"""The ports of a system on this machine: chosen at its first start, kept in its data folder, the same ever after.

A sender is configured with an address. If the system took another port at its next start, the sender could reach
whatever process has the old one. So a kept port that another process has taken is refused and never replaced silently.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from handoff.embedded.process import Refused, free_ports, is_free

FILE: Final = "ports.json"


class Ports:
    """Ports by name, kept in `folder`. `anew` forgets those of earlier starts."""

    def __init__(self, folder: Path, *, anew: bool = False) -> None:
        self._path = folder / FILE
        self._kept: dict[str, int] = {} if anew else _read(self._path)

    def take(self, name: str, *, usual: int = 0, named: int = 0, setting: str = "") -> int:
        """The port of `name`: `named` by the setting `setting` if it is not 0, else the kept one, else `usual` where
        that is free and not 0, else a free one.

        Raises Refused when a named or kept port is taken by another process.
        """
        port = named or self._kept.get(name, 0)
        if port and not is_free(port):
            another = f"set {setting} to another port, " if setting else ""
            raise Refused(
                f"The port {port} of {name} is taken by another process. End that process, {another}"
                "or start once with --new-ports and tell the senders."
            )
        if not port:
            others = self._kept.values()
            port = usual if usual and usual not in others and is_free(usual) else self._free()
        self._kept[name] = port
        return port

    def save(self) -> None:
        """Keep the ports for the next start."""
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._kept, indent=1), encoding="utf-8")
        part.replace(self._path)

    def _free(self) -> int:
        taken = set(self._kept.values())
        return next(port for port in free_ports(len(taken) + 1) if port not in taken)


def _read(path: Path) -> dict[str, int]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {str(name): port for name, port in kept.items() if isinstance(port, int) and 0 < port < 65536}
