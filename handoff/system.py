"""A whole system on this machine: Kafka and Redis (embedded unless the settings name others), topics, processes.

Used by `handoff up` and `handoff demo`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agents.graph import STAGES
from handoff.embedded.kafka import EmbeddedKafka
from handoff.embedded.kept import Kept
from handoff.embedded.process import Child
from handoff.embedded.redis import EmbeddedRedis
from handoff.embedded.tether import started_at
from handoff.folder_lock import LOCK_FILE, FolderLock
from handoff.ports import Ports
from handoff.sections import ConsoleSettings, HttpSettings, MllpSettings
from handoff.settings import Settings
from handoff.supervisor import Process, Supervisor, write_state
from handoff.target import state_path
from streams.kafka.offsets import admin_client
from streams.kafka.settings import KafkaSettings
from streams.topics import apply, cluster_state, load_topics, plan

OnStep = Callable[[str], None]
_SUPERVISE_SECONDS = 0.2
_SAVE_SECONDS = 2.0


class System:
    """Starts and stops all of it. A context manager; call `supervise` a few times a second while it runs.

    `new_ports`: take other ports than at earlier starts. `fresh`: remove what earlier runs left in the folder.
    """

    def __init__(
        self,
        data: Path,
        settings: Settings,
        *,
        workers: int = 1,
        console: bool = True,
        on_step: OnStep = lambda _: None,
        tick_seconds: float | None = None,
        quick: bool = False,
        new_ports: bool = False,
        fresh: bool = False,
    ) -> None:
        self.data = data.resolve()
        self._settings = settings
        self._workers = workers
        self._console = console
        self._on_step = on_step
        self._tick_seconds = tick_seconds
        self._quick = quick
        self._new_ports, self._fresh = new_ports, fresh
        self._lock = FolderLock(self.data)
        self._servers: list[Kept] = []
        self.kafka: EmbeddedKafka | None = None
        self.redis: EmbeddedRedis | None = None
        self.supervisor: Supervisor | None = None
        self.addresses: dict[str, Any] = {}
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Start all and wait until every process is ready. Raises NotStarted or JarsUnavailable; Refused when another
        system has the folder, or another process a port.
        """
        self._lock.take()
        self.data.chmod(0o700)
        self._end_stale()
        if self._fresh:
            self._clear()
        ports = Ports(self.data, anew=self._new_ports)
        front, processes = self._front_ports(ports), self._processes(ports)
        bootstrap = self._settings.kafka.bootstrap
        if not bootstrap:
            self._on_step("Kafka")
            self.kafka = EmbeddedKafka(
                self.data / "kafka", end_stale=True, quick=self._quick, new_ports=self._new_ports
            )
            self.kafka.start()
            bootstrap = self.kafka.bootstrap
            self._servers.append(Kept("kafka", int(bootstrap.rpartition(":")[2]), self.kafka, self._on_step))
        redis_url = self._settings.redis.url.get_secret_value()
        if not redis_url:
            self._on_step("Redis")
            self.redis = EmbeddedRedis(self.data / "redis", port=ports.take("redis"), end_stale=True)
            self.redis.start()
            redis_url = self.redis.url
            self._servers.append(Kept("redis", self.redis.port, self.redis, self._on_step))
        self._on_step("topics")
        self._apply_topics(self._settings.kafka.model_copy(update={"bootstrap": bootstrap}))
        ports.save()
        self._addresses(bootstrap, redis_url, front)
        self.supervisor = Supervisor(self.data, processes, self.environment)
        self._on_step("listener, directory, workers")
        self.supervisor.start()
        self.supervisor.wait_ready(90.0)
        self.save()

    @property
    def kafka_settings(self) -> KafkaSettings:
        """The connection to its Kafka."""
        return self._settings.kafka.model_copy(update={"bootstrap": self.addresses["bootstrap"]})

    def supervise(self) -> None:
        """Supervise the servers and processes once."""
        for server in self._servers:
            server.supervise()
        if self.supervisor is not None:
            self.supervisor.supervise()

    def status(self) -> list[dict[str, Any]]:
        """One entry for each embedded server and process: role, stage, slot, pid, ready, restarts."""
        assert self.supervisor is not None
        return [*(server.status() for server in self._servers), *self.supervisor.status()]

    def keep(self, stop: Callable[[], bool]) -> None:
        """Supervise the processes and keep the state file up to date until `stop()`, or until a process refuses its
        settings or declarations: then `supervisor.failed` names it."""
        assert self.supervisor is not None
        saved = 0.0
        while not stop() and not self.supervisor.failed:
            self.supervise()
            if time.monotonic() - saved > _SAVE_SECONDS:
                self.save()
                saved = time.monotonic()
            time.sleep(_SUPERVISE_SECONDS)

    def save(self) -> None:
        """Write the state file for the other commands."""
        write_state(
            state_path(self.data),
            {
                **self.addresses,
                "pid": os.getpid(),
                "started": started_at(os.getpid()),
                "environment": self.environment,
                "processes": self.status(),
            },
        )

    def stop(self) -> None:
        """Stop the listeners first, then workers, then Redis and Kafka."""
        if self.supervisor is not None:
            self.supervisor.stop()
        for server in self._servers:
            server.settle()
        if self.redis is not None:
            self.redis.stop()
        if self.kafka is not None:
            self.kafka.stop()
        if self._lock.held:
            state_path(self.data).unlink(missing_ok=True)
            self._lock.release()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _apply_topics(self, kafka: KafkaSettings) -> None:
        wanted = load_topics(self._settings.paths.topics).for_environment(self._settings.environment, kafka.topics)
        admin = admin_client(kafka)
        apply(admin, plan(wanted, cluster_state(admin)))

    def _end_stale(self) -> None:
        """End what a killed run left on the folder: it has the ports, and ends by itself only after a while."""
        for kind in ("processes/*", "kafka/*", "redis"):
            for file in self.data.glob(f"{kind}/pid.json"):
                Child(file.parent.name, file.parent).refuse_or_end_stale(end_stale=True)

    def _clear(self) -> None:
        for entry in self.data.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            elif entry.name != LOCK_FILE:
                entry.unlink()

    def _front_ports(self, ports: Ports) -> dict[str, int]:
        """The named ports, else those of the last start, else the usual ones or free ones where those are taken."""
        settings = self._settings
        sections: dict[str, MllpSettings | HttpSettings | ConsoleSettings] = {
            "mllp": settings.mllp,
            "http": settings.http,
            "console": settings.console,
        }
        found = {}
        for name, section in sections.items():
            named = section.port if "port" in section.model_fields_set else 0
            found[name] = ports.take(name, usual=section.port, named=named, setting=f"HANDOFF_{name.upper()}__PORT")
        return found

    def _addresses(self, bootstrap: str, redis_url: str, front: dict[str, int]) -> None:
        mllp, http, console = front["mllp"], front["http"], front["console"]
        token = self._settings.http.token
        self.environment = {
            "HANDOFF_DATA": str(self.data),
            "HANDOFF_KAFKA__BOOTSTRAP": bootstrap,
            "HANDOFF_REDIS__URL": redis_url,
            "HANDOFF_MLLP__PORT": str(mllp),
            "HANDOFF_HTTP__PORT": str(http),
            "HANDOFF_HTTP__TOKEN": token.get_secret_value() if token else secrets.token_urlsafe(24),
            "HANDOFF_CONSOLE__PORT": str(console),
            "HANDOFF_PATHS__RULES": str(self._settings.paths.rules.resolve()),
            "HANDOFF_PATHS__SENDERS": str(self._settings.paths.senders.resolve()),
            "HANDOFF_PATHS__TOPICS": str(self._settings.paths.topics.resolve()),
        }
        checkpoints = self._settings.work.checkpoints or self.data / "rows"
        self.environment["HANDOFF_WORK__CHECKPOINTS"] = str(checkpoints.resolve())
        if self._settings.kafka.topics:
            self.environment["HANDOFF_KAFKA__TOPICS"] = json.dumps(self._settings.kafka.topics)
        if self._tick_seconds is not None:
            self.environment["HANDOFF_WORK__TICK_SECONDS"] = str(self._tick_seconds)
        self.addresses = {
            "bootstrap": bootstrap,
            "mllp": f"{self._settings.mllp.host}:{mllp}",
            "http": f"http://{self._settings.http.host}:{http}",
            "console": f"http://{self._settings.console.host}:{console}" if self._console else None,
        }

    def _processes(self, ports: Ports) -> list[Process]:
        roles: list[tuple[str, str | None, int | None, tuple[str, ...]]] = [("listen", None, None, ("listen",))]
        if self._console:
            roles.append(("console", None, None, ("console",)))
        roles.append(("directory", None, None, ("directory",)))
        for stage in STAGES:
            for slot in range(self._workers):
                roles.append(("work", stage.name, slot, ("work", "--stage", stage.name, "--slot", str(slot))))
        processes = [
            Process(role=role, stage=stage, slot=slot, command=command, health=0)
            for role, stage, slot, command in roles
        ]
        for process in processes:
            process.health = ports.take(f"{process.name}'s health")
        return processes
