"""`listen`: the gateway (MLLP, HTTP and folder listeners) as a process; `up` starts it too."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from domain.rules.vocabulary import OPEN, Vocabulary
from gateway.config import FolderConfig, GatewayConfig, HttpConfig, Keepalive, MllpConfig, Timeouts, Topics
from gateway.serve import serve
from handoff import target
from handoff.declarations.rules import load_rules
from handoff.declarations.senders import load_senders
from handoff.exits import faults_exit_2
from handoff.logs import configure
from handoff.sections import FolderSettings, HttpSettings
from handoff.settings import Settings
from streams.http_server import HttpTimes


def listen(
    folder: Annotated[
        Path | None, typer.Option(help="Also take HL7 files that appear in this folder (HANDOFF_FOLDER__PATH).")
    ] = None,
) -> None:
    """Serve MLLP and HTTP until SIGTERM, then finish messages in flight. The first line printed has the addresses.

    With a folder, files of ER7 messages and batches that appear in it are taken once they are whole and moved to its
    `done` or `failed`, a report beside each. HANDOFF_FOLDER__SENDER names the profile of all of them.

    Exit 0 stopped, 2 settings or files are wrong or a port is taken, 70 crashed on purpose (start it again).
    """
    if folder is not None:
        os.environ["HANDOFF_FOLDER__PATH"] = str(folder)
    settings = target.settings()
    configure()
    with faults_exit_2():
        profiles = load_senders(settings.paths.senders, settings.mllp.unknown_senders == "refuse")
        words = load_rules(settings.paths.rules).vocabulary
    if settings.folder.sender and settings.folder.sender not in {profile.name for profile in profiles}:
        typer.echo(f"HANDOFF_FOLDER__SENDER: no profile is named {settings.folder.sender}", err=True)
        raise typer.Exit(2)
    target.require(settings)
    try:
        code = asyncio.run(serve(gateway(settings, words), settings.kafka, profiles, _announce))
    except OSError as error:
        typer.echo(f"the listener cannot start: {error.strerror or error}", err=True)
        raise typer.Exit(2) from error
    raise typer.Exit(code)


def _announce(addresses: dict[str, Any]) -> None:
    print(json.dumps(addresses), flush=True)  # noqa: T201


def gateway(settings: Settings, words: Vocabulary = OPEN) -> GatewayConfig:
    """The gateway that the settings describe; `words` are those of roster rows. Without a token or client certificates
    it does not listen for HTTP.
    """
    mllp = settings.mllp
    return GatewayConfig(
        topics=settings.kafka.actual_all(Topics()),
        mllp=MllpConfig(
            host=mllp.host,
            port=mllp.port,
            connections=mllp.max_connections,
            connections_per_peer=mllp.max_connections_per_peer,
            limit=mllp.max_message_bytes,
            timeouts=Timeouts(
                first_byte=mllp.first_byte_seconds,
                frame=mllp.frame_seconds,
                message=mllp.message_seconds,
                idle=mllp.idle_seconds,
                answer=mllp.answer_seconds,
                pause=mllp.pause_seconds,
            ),
            keepalive=Keepalive(mllp.keepalive_idle_seconds, mllp.keepalive_interval_seconds, mllp.keepalive_probes),
            tls=mllp.tls,
        ),
        http=_http(settings.http, words),
        folder=_folder(settings.folder, mllp.max_message_bytes),
        health_host=settings.health.host,
        health_port=settings.health.port,
        confirm=mllp.ack_seconds,
    )


def _http(given: HttpSettings, words: Vocabulary) -> HttpConfig | None:
    token = given.token.get_secret_value() if given.token is not None else ""
    if not token and given.tls_client_ca is None:
        return None
    return HttpConfig(
        token=token,
        host=given.host,
        port=given.port,
        connections=given.max_connections,
        connections_per_peer=given.max_connections_per_peer,
        limit=given.max_body_bytes,
        times=HttpTimes(given.head_seconds, given.body_seconds, given.answer_seconds),
        tls=given.tls,
        words=words,
    )


def _folder(given: FolderSettings, message_limit: int) -> FolderConfig | None:
    if given.path is None:
        return None
    return FolderConfig(
        path=given.path.resolve(),
        sender=given.sender,
        poll=given.poll_seconds,
        settle=given.settle_seconds,
        limit=given.max_file_bytes,
        message_limit=message_limit,
    )
