"""The console as a process: the port opens first, then the threads read; it ends within three seconds of SIGTERM."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from socket import socket
from threading import Event
from typing import Final

import structlog
from prometheus_client import REGISTRY

from console.app import Probes, build
from console.config import ConsoleConfig, Topics
from console.lag_history import LagHistory
from console.metrics import ViewMetrics
from console.overview import Overview, Processes, Progress
from console.tallies import Tallies
from console.view import ConsoleView
from console.watchers import LagWatch, TopicWatch, clock, lag_reader
from streams.exit_codes import EXIT_STOPPED
from streams.health import Detail, HealthServer
from streams.http_server import http_server
from streams.kafka.settings import KafkaSettings
from streams.listening import Bounds, open_sockets, port_of

_JOIN_SECONDS: Final = 1.0
_log = structlog.get_logger("console")


class PortTaken(Exception):
    """Something else listens there, or the address is not this machine's."""


def serve(
    kafka: KafkaSettings,
    groups: Mapping[str, Sequence[str]],
    config: ConsoleConfig,
    *,
    topics: Topics | None = None,
    processes: Processes = tuple,
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Call on the main thread. Raises PortTaken."""
    topics = topics or Topics()
    stopping = Event()
    history, tallies = LagHistory(), Tallies(topics)
    lag = LagWatch(lag_reader(kafka, groups), history, stopping)
    follow = TopicWatch(kafka, topics, tallies, stopping)
    overview = Overview(history, tallies, lambda: Progress(follow.counted, follow.missing, follow.confirmed), processes)

    def view() -> ConsoleView:
        return overview.view(clock())

    def alive() -> Detail:
        return lag.is_alive() and follow.is_alive(), {"lag": lag.is_alive(), "topics": follow.is_alive()}

    def ready() -> Detail:
        return overview.freshness(clock())

    app = build(view, Probes(alive, ready), stopping, config.token, secure=config.tls is not None)
    bounds = Bounds(config.connections, config.connections_per_peer)
    server = http_server(app, config.tls, "console", bounds, drain=1)
    listening = _listen(config.host, config.port)
    collector = ViewMetrics(view)
    REGISTRY.register(collector)
    try:
        health = HealthServer(config.health_host, config.health_port, alive, ready)
    except OSError as taken:
        for each in listening:
            each.close()
        REGISTRY.unregister(collector)
        raise PortTaken(f"{config.health_host}:{config.health_port}") from taken

    def stop(*_: object) -> None:
        stopping.set()  # first, so that event streams end before uvicorn begins to wait for them
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        lag.start()
        follow.start()
        scheme = "http" if config.tls is None else "https"
        _log.info("console", address=f"{scheme}://{config.host}:{port_of(listening)}", health=health.port)
        server.run(sockets=listening)
    finally:
        stopping.set()
        health.stop()
        until = time.monotonic() + _JOIN_SECONDS
        for thread in (lag, follow):
            thread.join(max(0.0, until - time.monotonic()))  # a thread that waits for an absent cluster is left behind
        REGISTRY.unregister(collector)
        for number, handler in before.items():
            signal.signal(number, handler)
    return EXIT_STOPPED


def _listen(host: str, port: int) -> list[socket]:
    try:
        return open_sockets(host, port)
    except OSError as taken:
        raise PortTaken(f"{host}:{port}") from taken
