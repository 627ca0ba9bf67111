"""The gateway as a process: MLLP, HTTP, folder and health, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from gateway.config import GatewayConfig, HttpConfig, Topics
from gateway.folder import Folder
from gateway.http import ingress_server
from gateway.ingress import Ingress
from gateway.listener import Listener
from parsers.hl7.profiles import Profiles
from streams.exit_codes import EXIT_CRASHED, EXIT_STOPPED
from streams.health import MOST_CONNECTIONS, Detail, HealthServer
from streams.http_server import Server
from streams.kafka.produce import ConfirmedProducer
from streams.kafka.settings import KafkaSettings
from streams.listening import open_sockets, port_of, spare_for

_CHECK_SECONDS: Final = 5.0
_BEAT_SECONDS: Final = 1.0
_SWITCH_SECONDS: Final = 0.0005
"""The thread that receives Kafka's confirmations must not wait Python's usual 5 ms for a busy loop (measured: 3,600
messages a second became 6,200 with it)."""
_ENVELOPE_BYTES: Final = 256 * 1024
"""What a record may take beyond its message: key, headers, and the producer's own."""
_log = structlog.get_logger("gateway")


class _Condition:
    """State of the gateway for the health server, which reads it on a thread of its own; the loop updates it."""

    def __init__(self) -> None:
        self.beat = time.monotonic()
        self.kafka = "not checked yet"
        self.stopping = False
        self.connections = 0

    def alive(self) -> Detail:
        quiet = time.monotonic() - self.beat
        return quiet < 30 * _BEAT_SECONDS, {"seconds_since_beat": round(quiet, 1)}

    def ready(self) -> Detail:
        good = self.kafka == "ok" and not self.stopping
        return good, {"kafka": self.kafka, "stopping": self.stopping, "connections": self.connections}


async def serve(
    config: GatewayConfig, kafka: KafkaSettings, profiles: Profiles, on_open: Callable[[dict[str, Any]], None]
) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. `on_open` gets the addresses once all ports are open.

    The ports open even while Kafka is unavailable: senders are then answered AR. Raises OSError when a port is taken.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    condition = _Condition()
    producer = ConfirmedProducer(
        kafka, seconds=config.confirm, max_bytes=config.mllp.limit + _ENVELOPE_BYTES, on_fatal=stop.set
    )
    ingress = Ingress(producer, profiles, config.topics)
    listener = Listener(ingress, config.mllp)
    folder = None if config.folder is None else Folder(ingress, config.folder)
    watching = None if folder is None else folder.open()
    spare = spare_for(config.mllp.connections + MOST_CONNECTIONS)
    health = HealthServer(config.health_host, config.health_port, condition.alive, condition.ready)
    await listener.start()
    monitor = asyncio.create_task(_monitor(condition, listener, producer, config.topics))
    http = None if config.http is None else await _start_http(ingress, config.http, spare)
    if watching is not None:
        watching.add_done_callback(lambda _: stop.set())  # before the stop it ends only by a bug
    addresses: dict[str, Any] = {
        "mllp": f"{config.mllp.host}:{listener.port}",
        "http": None if http is None else http.address,
        "folder": None if config.folder is None else str(config.folder.path),
        "health": f"http://{config.health_host}:{health.port}",
    }
    _log.info("open", **addresses)
    on_open(addresses)

    await stop.wait()
    broken = watching is not None and watching.done()
    condition.stopping = True
    _log.info("stopping", connections=listener.open_connections, fatal=producer.fatal)
    if http is not None:
        http.server.should_exit = True
    if folder is not None:
        await folder.stop(config.drain)
    late = await listener.stop(config.drain)
    if http is not None:
        await http.task
    monitor.cancel()
    left = await producer.close(config.confirm)
    health.stop()
    _log.info("stopped", cut_off=late, unconfirmed=left)
    # A producer in a fatal state cannot leave it: the supervisor starts the process again.
    return EXIT_CRASHED if producer.fatal or broken else EXIT_STOPPED


class _Http(NamedTuple):
    """The HTTP server that runs in this loop."""

    server: Server
    task: asyncio.Task[None]
    address: str


async def _start_http(ingress: Ingress, config: HttpConfig, spare: int) -> _Http:
    """Serve HTTP on a port that is open from now on. Raises OSError when it cannot be."""
    server = ingress_server(ingress, config, spare)
    sockets = open_sockets(config.host, config.port)
    task = asyncio.create_task(server.serve(sockets))
    return _Http(server, task, f"{'http' if config.tls is None else 'https'}://{config.host}:{port_of(sockets)}")


async def _monitor(condition: _Condition, listener: Listener, producer: ConfirmedProducer, topics: Topics) -> None:
    """Keep the condition up to date."""
    wanted = list(dict.fromkeys(msgspec.structs.astuple(topics)))
    checked = 0.0
    while True:
        condition.beat = time.monotonic()
        condition.connections = listener.open_connections
        if condition.beat - checked >= (_CHECK_SECONDS if condition.kafka == "ok" else _BEAT_SECONDS):
            missing = await producer.missing(wanted)
            checked = time.monotonic()
            condition.kafka = "away" if missing is None else "ok" if not missing else f"no topic {', '.join(missing)}"
        await asyncio.sleep(_BEAT_SECONDS)
