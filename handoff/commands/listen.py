"""`listen`: the gateway, MLLP and HTTP, for real deployments; `up` starts it too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import typer

from domain.refusal import BadDeclaration
from gateway.http import HttpDoor
from gateway.listener import MllpDoor
from gateway.mllp import Patience
from gateway.serve import Gateway, serve
from gateway.tls import Tls
from handoff import place
from handoff.declarations.senders import load_senders
from handoff.logs import configure
from handoff.settings import Settings


def listen() -> None:
    """Serve MLLP and HTTP until SIGTERM: then finish what is in flight. The first line printed holds the addresses.

    Exit 0 stopped, 2 settings or files are wrong or a port cannot be had, 70 crashed on purpose (start it again).
    """
    settings = place.settings()
    configure()
    try:
        profiles = load_senders(settings.paths.senders)
    except BadDeclaration as wrong:
        for fault in wrong.faults:
            typer.echo(fault, err=True)
        raise typer.Exit(2) from wrong
    if not settings.kafka.bootstrap:
        typer.echo("HANDOFF_KAFKA__BOOTSTRAP: not set", err=True)
        raise typer.Exit(2)
    try:
        code = asyncio.run(serve(gateway(settings), settings.kafka, profiles, _announce))
    except OSError as error:
        typer.echo(f"the listener cannot start: {error.strerror or error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(code)


def _announce(addresses: dict[str, Any]) -> None:
    print(json.dumps(addresses), flush=True)  # noqa: T201


def gateway(settings: Settings) -> Gateway:
    """The gateway that the settings describe. Its HTTP door stays shut without a token or client certificates."""
    mllp, http = settings.mllp, settings.http
    token = http.token.get_secret_value() if http.token is not None else ""
    door = None
    if token or http.tls_client_ca is not None:
        tls = _tls(http.tls_certificate, http.tls_key, http.tls_client_ca)
        door = HttpDoor(token=token, host=http.host, port=http.port, limit=http.max_body_bytes, tls=tls)
    return Gateway(
        mllp=MllpDoor(
            host=mllp.host,
            port=mllp.port,
            connections=mllp.max_connections,
            connections_per_peer=mllp.max_connections,
            patience=Patience(idle=mllp.idle_seconds, frame=mllp.frame_seconds, limit=mllp.max_message_bytes),
            tls=_tls(mllp.tls_certificate, mllp.tls_key, mllp.tls_client_ca),
        ),
        http=door,
        health_host=settings.health.host,
        health_port=settings.health.port,
        confirm=mllp.ack_seconds,
        drain=mllp.ack_seconds + 5,
    )


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    return None if certificate is None or key is None else Tls(certificate, key, client_ca)
