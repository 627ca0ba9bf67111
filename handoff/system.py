"""A whole system on this machine: Kafka and Redis (embedded unless the settings name others), topics, processes.

Used by `handoff up` and `handoff demo`.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka.admin import AdminClient

from agents.graph import STAGES
from handoff.embedded.kafka import EmbeddedKafka
from handoff.embedded.process import NotStarted, free_ports, is_free
from handoff.embedded.redis import EmbeddedRedis
from handoff.embedded.tether import started_at
from handoff.settings import Settings
from handoff.supervisor import Process, Supervisor, is_alive, read_state, write_state
from handoff.target import state_path
from streams.kafka.settings import KafkaSettings
from streams.topics import apply, cluster_state, load_topics, plan

OnStep = Callable[[str], None]
_SUPERVISE_SECONDS = 0.2
_SAVE_SECONDS = 2.0


class System:
    """Starts and stops all of it. A context manager; call `supervise` a few times a second while it runs."""

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
    ) -> None:
        self.data = data.resolve()
        self._settings = settings
        self._workers = workers
        self._console = console
        self._on_step = on_step
        self._tick_seconds = tick_seconds
        self._quick = quick
        self._ours = False
        self.kafka: EmbeddedKafka | None = None
        self.redis: EmbeddedRedis | None = None
        self.supervisor: Supervisor | None = None
        self.addresses: dict[str, Any] = {}
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Start all and wait until every process is ready. Raises NotStarted or JarsUnavailable."""
        known = read_state(state_path(self.data))
        if known is not None and is_alive(known):
            raise NotStarted(
                f"A handoff already runs on {self.data} (process {known['pid']}). Stop it with `handoff down`, "
                "or name another folder with HANDOFF_DATA."
            )
        self._ours = True
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        bootstrap = self._settings.kafka.bootstrap
        if not bootstrap:
            self._on_step("Kafka")
            self.kafka = EmbeddedKafka(self.data / "kafka", end_stale=True, quick=self._quick)
            self.kafka.start()
            bootstrap = self.kafka.bootstrap
        redis_url = self._settings.redis.url.get_secret_value()
        if not redis_url:
            self._on_step("Redis")
            self.redis = EmbeddedRedis(self.data / "redis", end_stale=True)
            self.redis.start()
            redis_url = self.redis.url
        self._on_step("topics")
        self._apply_topics(self._settings.kafka.model_copy(update={"bootstrap": bootstrap}))
        self._addresses(bootstrap, redis_url)
        processes = self._processes()
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
        """Supervise the processes once."""
        if self.supervisor is not None:
            self.supervisor.supervise()

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
        assert self.supervisor is not None
        write_state(
            state_path(self.data),
            {
                **self.addresses,
                "pid": os.getpid(),
                "started": started_at(os.getpid()),
                "environment": self.environment,
                "processes": self.supervisor.status(),
            },
        )

    def stop(self) -> None:
        """Stop the listeners first, then workers, then Redis and Kafka."""
        if self.supervisor is not None:
            self.supervisor.stop()
        if self.redis is not None:
            self.redis.stop()
        if self.kafka is not None:
            self.kafka.stop()
        if self._ours:
            state_path(self.data).unlink(missing_ok=True)

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
        admin = AdminClient(kafka.librdkafka())
        apply(admin, plan(wanted, cluster_state(admin)))

    def _addresses(self, bootstrap: str, redis_url: str) -> None:
        """Take the configured ports, or free ones where those are taken."""
        wanted = (self._settings.mllp.port, self._settings.http.port, self._settings.console.port)
        spare = free_ports(len(wanted))
        mllp, http, console = (
            port if port and is_free(port) else free for port, free in zip(wanted, spare, strict=True)
        )
        token = self._settings.http.token
        self.environment = {
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

    def _processes(self) -> list[Process]:
        roles: list[tuple[str, str | None, int | None, tuple[str, ...]]] = [("listen", None, None, ("listen",))]
        if self._console:
            roles.append(("console", None, None, ("console",)))
        roles.append(("directory", None, None, ("directory",)))
        for stage in STAGES:
            for slot in range(self._workers):
                roles.append(("work", stage.name, slot, ("work", "--stage", stage.name, "--slot", str(slot))))
        ports = free_ports(len(roles))
        return [
            Process(role=role, stage=stage, slot=slot, command=command, health=port)
            for (role, stage, slot, command), port in zip(roles, ports, strict=True)
        ]
