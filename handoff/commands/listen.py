"""`listen`: the gateway, MLLP and HTTP, for real deployments; `up` starts it too."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.folder import FolderConfig
from gateway.http import HttpConfig
from gateway.ingress import Topics
from gateway.listener import Keepalive, MllpConfig
from gateway.mllp import Timeouts
from gateway.serve import Gateway, serve
from gateway.tls import Tls
from handoff import target
from handoff.declarations.senders import load_senders
from handoff.exits import faults_exit_2
from handoff.logs import configure
from handoff.settings import Settings


def listen(
    folder: Annotated[
        Path | None, typer.Option(help="Take the HL7 files that appear here too (HANDOFF_FOLDER__PATH).")
    ] = None,
) -> None:
    """Serve MLLP and HTTP until SIGTERM: then finish what is in flight. The first line printed holds the addresses.

    With a folder, files of ER7 messages and batches that appear in it are taken once they are whole and moved to its
    `done` or `failed`, a report beside each. HANDOFF_FOLDER__SENDER names the profile of all of them.

    Exit 0 stopped, 2 settings or files are wrong or a port cannot be had, 70 crashed on purpose (start it again).
    """
    if folder is not None:
        os.environ["HANDOFF_FOLDER__PATH"] = str(folder)
    settings = target.settings()
    configure()
    with faults_exit_2():
        profiles = load_senders(settings.paths.senders, settings.mllp.unknown_senders == "refuse")
    if settings.folder.sender and settings.folder.sender not in {profile.name for profile in profiles}:
        typer.echo(f"HANDOFF_FOLDER__SENDER: no profile is named {settings.folder.sender}", err=True)
        raise typer.Exit(2)
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
        door = HttpConfig(token=token, host=http.host, port=http.port, limit=http.max_body_bytes, tls=tls)
    return Gateway(
        topics=settings.kafka.actual_all(Topics()),
        mllp=MllpConfig(
            host=mllp.host,
            port=mllp.port,
            connections=mllp.max_connections,
            connections_per_peer=mllp.max_connections_per_peer,
            patience=Timeouts(
                first_byte=mllp.first_byte_seconds,
                frame=mllp.frame_seconds,
                message=mllp.message_seconds,
                idle=mllp.idle_seconds,
                answer=mllp.answer_seconds,
                pause=mllp.pause_seconds,
                limit=mllp.max_message_bytes,
            ),
            keepalive=Keepalive(mllp.keepalive_idle_seconds, mllp.keepalive_interval_seconds, mllp.keepalive_probes),
            tls=_tls(mllp.tls_certificate, mllp.tls_key, mllp.tls_client_ca),
        ),
        http=door,
        folder=_folder(settings),
        health_host=settings.health.host,
        health_port=settings.health.port,
        confirm=mllp.ack_seconds,
        drain=mllp.ack_seconds + 5,
    )


def _folder(settings: Settings) -> FolderConfig | None:
    given = settings.folder
    if given.path is None:
        return None
    return FolderConfig(
        path=given.path.resolve(),
        sender=given.sender,
        poll=given.poll_seconds,
        settle=given.settle_seconds,
        limit=given.max_file_bytes,
        message_limit=settings.mllp.max_message_bytes,
    )


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    return None if certificate is None or key is None else Tls(certificate, key, client_ca)
