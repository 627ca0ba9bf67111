"""The gateway as a process: MLLP, HTTP and health, until SIGTERM."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog

from gateway.folder import Folder, FolderConfig
from gateway.http import HttpConfig, http_server
from gateway.ingress import Ingress, Topics
from gateway.listener import Listener, MllpConfig
from parsers.hl7.profiles import Profiles
from streams.health import Detail, HealthServer
from streams.kafka.produce import ConfirmedProducer
from streams.kafka.settings import KafkaSettings

EXIT_CRASHED: Final = 70
"""The supervisor starts us again: Kafka's producer reached a state that it cannot leave."""
_LOOK_SECONDS: Final = 5.0
_BEAT_SECONDS: Final = 1.0
_SWITCH_SECONDS: Final = 0.0005
"""The thread that hears Kafka's confirmations must not wait Python's usual 5 ms for a busy loop (measured: 3,600
messages a second became 6,200 with it)."""
_log = structlog.get_logger("gateway")


class Gateway(msgspec.Struct, frozen=True):
    """What a gateway is to be. Without `http` or `folder` that door stays shut; `health_port` 0 takes a free one.

    `confirm` bounds the wait for Kafka (seconds), `drain` the end of the messages in flight.
    """

    mllp: MllpConfig = MllpConfig()
    http: HttpConfig | None = None
    folder: FolderConfig | None = None
    health_host: str = "127.0.0.1"
    health_port: int = 8595
    confirm: float = 10.0
    drain: float = 15.0
    topics: Topics = Topics()


class _Condition:
    """What the health server tells, kept up to date by the loop (the server asks on a thread of its own)."""

    def __init__(self) -> None:
        self.beat = time.monotonic()
        self.kafka = "not asked yet"
        self.stopping = False
        self.connections = 0

    def alive(self) -> Detail:
        quiet = time.monotonic() - self.beat
        return quiet < 30 * _BEAT_SECONDS, {"seconds_since_beat": round(quiet, 1)}

    def ready(self) -> Detail:
        good = self.kafka == "ok" and not self.stopping
        return good, {"kafka": self.kafka, "stopping": self.stopping, "connections": self.connections}


async def serve(
    gateway: Gateway, kafka: KafkaSettings, profiles: Profiles, on_open: Callable[[dict[str, Any]], None]
) -> int:
    """Serves until SIGTERM or SIGINT; gives the exit code. `on_open` gets the addresses once the doors are open.

    The doors open even while Kafka is away: senders are then answered AR. Raises OSError when a port cannot be had.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    condition = _Condition()
    producer = ConfirmedProducer(
        kafka, seconds=gateway.confirm, max_bytes=gateway.mllp.patience.limit + 256 * 1024, on_fatal=stop.set
    )
    intake = Ingress(producer, profiles, gateway.topics)
    listener = Listener(intake, gateway.mllp)
    folder = None if gateway.folder is None else Folder(intake, gateway.folder)
    watching = None if folder is None else folder.open()
    health = HealthServer(gateway.health_host, gateway.health_port, condition.alive, condition.ready)
    await listener.start()
    addresses: dict[str, Any] = {
        "mllp": f"{gateway.mllp.host}:{listener.port}",
        "http": None,
        "folder": None if gateway.folder is None else str(gateway.folder.path),
        "health": f"http://{gateway.health_host}:{health.port}",
    }
    tasks = [asyncio.create_task(_watch(condition, listener, producer, gateway.topics))]
    http = None
    if gateway.http is not None:
        http = http_server(intake, gateway.http)
        tasks.append(asyncio.create_task(http.serve()))
        while not http.started and not tasks[-1].done():
            await asyncio.sleep(0.01)
        if not http.started:
            raise OSError("the HTTP port cannot be had")
        port = http.servers[0].sockets[0].getsockname()[1]
        scheme = "http" if gateway.http.tls is None else "https"
        addresses["http"] = f"{scheme}://{gateway.http.host}:{port}"
    if watching is not None:
        watching.add_done_callback(lambda _: stop.set())  # it ends before we say so only by a bug of ours
    _log.info("open", **addresses)
    on_open(addresses)

    await stop.wait()
    broken = watching is not None and watching.done()
    condition.stopping = True
    _log.info("stopping", connections=listener.open_connections, fatal=producer.fatal)
    if http is not None:
        http.should_exit = True
    if folder is not None:
        await folder.stop(gateway.drain)
    late = await listener.stop(gateway.drain)
    if http is not None:
        await tasks[-1]
    tasks[0].cancel()
    left = await producer.close(gateway.confirm)
    health.stop()
    _log.info("stopped", cut_off=late, unconfirmed=left)
    return EXIT_CRASHED if producer.fatal or broken else 0


async def _watch(condition: _Condition, listener: Listener, producer: ConfirmedProducer, topics: Topics) -> None:
    """Keeps the condition up to date."""
    wanted = list(dict.fromkeys(msgspec.structs.astuple(topics)))
    asked = 0.0
    while True:
        condition.beat = time.monotonic()
        condition.connections = listener.open_connections
        if condition.beat - asked >= (_LOOK_SECONDS if condition.kafka == "ok" else _BEAT_SECONDS):
            missing = await producer.missing(wanted)
            asked = time.monotonic()
            condition.kafka = "away" if missing is None else "ok" if not missing else f"no topic {', '.join(missing)}"
        await asyncio.sleep(_BEAT_SECONDS)
