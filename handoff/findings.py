"""What the console finds wrong now, for commands: it follows the topics anyway, and a command would take minutes to."""

from __future__ import annotations

import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

import msgspec

from handoff.settings import Settings

_SECONDS: Final = 5.0


class Findings(msgspec.Struct, frozen=True):
    """The console's verdict (`state`: OK, WARNING, …) and its findings as sentences."""

    state: str
    says: tuple[str, ...]


def findings(settings: Settings) -> Findings | None:
    """The findings of the console that the settings name; None when none answers there."""
    console = settings.console
    host = console.host if console.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared, not bound
    kind = HTTPConnection if console.tls is None else HTTPSConnection
    headers = {}
    if console.token is not None:
        headers["Authorization"] = f"Bearer {console.token.get_secret_value()}"
    connection = kind(host, console.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/api/state", headers=headers)
        view = json.loads(connection.getresponse().read())
        return Findings(str(view["state"]), tuple(str(each) for each in view["says"]))
    except (OSError, HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()
