"""The console as a process: doors first, then the threads that read; gone within three seconds of SIGTERM."""

from __future__ import annotations

import signal
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Final

import msgspec
import structlog
import uvicorn
from prometheus_client import REGISTRY

from console.app import Probes, build
from console.lag_history import LagHistory
from console.metrics import ScreenMetrics
from console.overview import Overview, Processes
from console.tallies import Tallies, Topics
from console.watchers import LagWatch, TopicWatch, clock, lag_reader
from streams.health import Detail, HealthServer
from streams.kafka.settings import KafkaSettings

_JOIN_SECONDS: Final = 1.0
_log = structlog.get_logger("console")


class ConsoleConfig(msgspec.Struct, frozen=True):
    """Where the console listens, whom it lets in, and where it answers probes. Port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8585
    token: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    health_host: str = "127.0.0.1"
    health_port: int = 8595


class PortTaken(Exception):
    """Something else listens there, or the address is not this machine's."""


class _Server(uvicorn.Server):
    """Says at once that it stops, so that event streams end before uvicorn begins to wait for them."""

    def __init__(self, config: uvicorn.Config, stopping: Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM or SIGINT came."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def serve(
    kafka: KafkaSettings,
    groups: Mapping[str, Sequence[str]],
    door: ConsoleConfig,
    *,
    topics: Topics | None = None,
    processes: Processes = tuple,
) -> int:
    """Serve until SIGTERM or SIGINT; the exit code, 0. Call on the main thread. Raises PortTaken."""
    topics = topics or Topics()
    stopping = Event()
    history, tallies = LagHistory(), Tallies(topics)
    lag = LagWatch(lag_reader(kafka, groups), history, stopping)
    follow = TopicWatch(kafka, topics, tallies, stopping)
    desk = Overview(history, tallies, lambda: (follow.counted, follow.missing), processes)

    def alive() -> Detail:
        return lag.is_alive() and follow.is_alive(), {"lag": lag.is_alive(), "topics": follow.is_alive()}

    def ready() -> Detail:
        # Once is enough: when the cluster goes away later, the page that says so must stay in reach.
        return history.last is not None, {"read": history.last is not None, "kafka": history.fault or "answers"}

    config = uvicorn.Config(
        build(lambda: desk.overview(clock()), Probes(alive, ready), stopping, door.token, door.certificate is not None),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=1,
        ssl_certfile=door.certificate,
        ssl_keyfile=door.key,
        ssl_ca_certs=None if door.client_ca is None else str(door.client_ca),
        ssl_cert_reqs=ssl.CERT_NONE if door.client_ca is None else ssl.CERT_REQUIRED,
    )
    listening = _listen(door.host, door.port)
    collector = ScreenMetrics(lambda: desk.overview(clock()))
    REGISTRY.register(collector)
    try:
        health = HealthServer(door.health_host, door.health_port, alive, ready)
    except OSError as taken:
        listening.close()
        REGISTRY.unregister(collector)
        raise PortTaken(f"{door.health_host}:{door.health_port}") from taken
    # uvicorn raises the signal once more when it is done; that must not end us with another code than 0.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        lag.start()
        follow.start()
        scheme = "http" if door.certificate is None else "https"
        _log.info("console", address=f"{scheme}://{door.host}:{listening.getsockname()[1]}", health=health.port)
        _Server(config, stopping).run(sockets=[listening])
    finally:
        stopping.set()
        health.stop()
        until = time.monotonic() + _JOIN_SECONDS
        for thread in (lag, follow):
            thread.join(max(0.0, until - time.monotonic()))  # one that waits for a cluster that is away is left behind
        REGISTRY.unregister(collector)
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as taken:
        raise PortTaken(f"{host}:{port}") from taken
