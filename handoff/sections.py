"""The sections of the settings: names, units, bounds and defaults of each setting (`handoff.settings` reads them)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from console.config import ConsoleConfig
from gateway.config import FolderConfig, GatewayConfig, HttpConfig
from streams.engine.options import EngineOptions
from streams.tls import Tls

LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
DEVELOPMENT_KEY: Final = b"handoff development key, not a secret"

# Defaults are the processes' own: here they only get names, units and bounds.
_GATEWAY: Final = GatewayConfig()
_MLLP: Final = _GATEWAY.mllp
_HTTP: Final = HttpConfig()
_FOLDER: Final = FolderConfig(Path())
_CONSOLE: Final = ConsoleConfig()
_ENGINE: Final = EngineOptions()
_MIB: Final = 1024 * 1024


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisSettings(_Section):
    """The member directory (`HANDOFF_REDIS__*`)."""

    url: SecretStr = SecretStr("")


class _ListenerSection(_Section):
    """A listening socket, optionally with TLS; with `tls_client_ca`, clients must present a certificate of that CA."""

    host: str = "127.0.0.1"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        missing = [
            name
            for name in ("tls_certificate", "tls_key", "tls_client_ca")
            if (path := getattr(self, name)) is not None and not path.is_file()
        ]
        if missing:
            raise ValueError(f"no such file: {', '.join(missing)}")
        return self

    @property
    def tls(self) -> Tls | None:
        """The TLS files; None for plain text."""
        if self.tls_certificate is None or self.tls_key is None:
            return None
        return Tls(self.tls_certificate, self.tls_key, self.tls_client_ca)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK


class MllpSettings(_ListenerSection):
    """The MLLP listener (`HANDOFF_MLLP__*`). `plaintext`: the network itself is encrypted (a VPN).

    `docs/integrating.md` explains the time-outs. `unknown_senders`: whether a message that fits no sender profile is
    read with the default one and counted, or set aside and answered AE.
    """

    port: int = Field(default=_MLLP.port, ge=0, le=65535)
    plaintext: bool = False
    max_connections: int = Field(default=_MLLP.connections, ge=1)
    max_connections_per_peer: int = Field(default=_MLLP.connections_per_peer, ge=1)
    max_message_bytes: int = Field(default=_MLLP.limit, ge=1024, le=1024 * 1024)
    first_byte_seconds: float = Field(default=_MLLP.timeouts.first_byte, gt=0)
    frame_seconds: float = Field(default=_MLLP.timeouts.frame, gt=0)
    message_seconds: float = Field(default=_MLLP.timeouts.message, gt=0)
    pause_seconds: float = Field(default=_MLLP.timeouts.pause, gt=0, le=10)
    idle_seconds: float = Field(default=_MLLP.timeouts.idle, gt=0)
    answer_seconds: float = Field(default=_MLLP.timeouts.answer, gt=0)
    ack_seconds: float = Field(default=_GATEWAY.confirm, gt=0)
    keepalive_idle_seconds: int = Field(default=_MLLP.keepalive.idle, ge=1, le=32767)
    keepalive_interval_seconds: int = Field(default=_MLLP.keepalive.interval, ge=1, le=32767)
    keepalive_probes: int = Field(default=_MLLP.keepalive.probes, ge=1, le=127)
    unknown_senders: Literal["take", "refuse"] = "take"


class _GuardedSection(_ListenerSection):
    """Requires a token or client certificates unless it is bound to loopback."""

    token: SecretStr | None = None

    @model_validator(mode="after")
    def _never_open_by_default(self) -> Self:
        if not self.is_local and self.token is None and self.tls_client_ca is None:
            raise ValueError(f"host {self.host} is reachable from other machines: set token or tls_client_ca")
        return self


class HttpSettings(_GuardedSection):
    """The HTTP listener of the gateway (`HANDOFF_HTTP__*`)."""

    port: int = Field(default=_HTTP.port, ge=0, le=65535)
    max_body_bytes: int = Field(default=_HTTP.limit, ge=1024, le=1024 * 1024)
    max_connections: int = Field(default=_HTTP.connections, ge=1)
    max_connections_per_peer: int = Field(default=_HTTP.connections_per_peer, ge=1)
    head_seconds: float = Field(default=_HTTP.times.head, gt=0)
    body_seconds: float = Field(default=_HTTP.times.body, gt=0)
    answer_seconds: float = Field(default=_HTTP.times.answer, gt=0)


class FolderSettings(_Section):
    """The folder listener (`HANDOFF_FOLDER__*`): HL7 files that appear in `path`; without one, no folder is watched.

    `sender` names the profile of all its messages. A file is whole when it has not changed for `settle_seconds`.
    """

    path: Path | None = None
    sender: str = _FOLDER.sender
    poll_seconds: float = Field(default=_FOLDER.poll, gt=0, le=3600)
    settle_seconds: float = Field(default=_FOLDER.settle, ge=0, le=3600)
    max_file_bytes: int = Field(default=_FOLDER.limit, ge=1024)

    @field_validator("path")
    @classmethod
    def _is_a_folder(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_dir():
            raise ValueError("no such folder")
        return path


class ConsoleSettings(_GuardedSection):
    """The operations page (`HANDOFF_CONSOLE__*`)."""

    port: int = Field(default=_CONSOLE.port, ge=0, le=65535)
    max_connections: int = Field(default=_CONSOLE.connections, ge=1)
    max_connections_per_peer: int = Field(default=_CONSOLE.connections_per_peer, ge=1)


class HealthSettings(_Section):
    """Where a process serves /livez, /readyz and /metrics (`HANDOFF_HEALTH__*`).

    Port 0 takes a free one, so that any number of processes run on one host; each logs the one that it has.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class WorkSettings(_Section):
    """The stages' workers (`HANDOFF_WORK__*`). Sessions shorter than Kafka's floor of 6 s are refused by the broker."""

    chunk_max_records: int = Field(default=_ENGINE.max_records, ge=1, le=100_000)
    linger_ms: int = Field(default=_ms(_ENGINE.linger), ge=0, le=10_000)
    session_timeout_ms: int = Field(default=_ms(_ENGINE.session), ge=6_000, le=300_000)
    transaction_timeout_ms: int = Field(default=_ms(_ENGINE.transaction), ge=1_000, le=900_000)
    tick_seconds: float = Field(default=cast("float", _ENGINE.tick_every), gt=0)
    checkpoints: Path | None = None
    """Local folder for checkpoints and for rows on disk; `handoff up` has one in its data folder."""
    checkpoint_seconds: float = Field(default=_ENGINE.checkpoint_every, gt=0)
    rows: Literal["memory", "disk"] = _ENGINE.rows
    rows_cache_mib: int = Field(default=_ENGINE.rows_cache // _MIB, ge=0, le=1_048_576)
    """Mebibytes of the rows on disk that each worker keeps in memory as well."""

    @model_validator(mode="after")
    def _a_transaction_outlives_a_session(self) -> Self:
        if self.transaction_timeout_ms <= self.session_timeout_ms:
            raise ValueError("transaction_timeout_ms must be above session_timeout_ms: a live worker would be cut off")
        return self


class DirectorySettings(_Section):
    """The key of the hashes of names, birth dates and phones (`HANDOFF_DIRECTORY__*`; docs/semantics.md#whose-number).

    Workers and directory must have the same key. After a change of key, load the roster anew.
    """

    hash_key: SecretStr | None = None

    def key(self) -> bytes:
        """The key; without one, a public key that `prod` refuses."""
        return self.hash_key.get_secret_value().encode() if self.hash_key is not None else DEVELOPMENT_KEY


class RosterSettings(_Section):
    """`handoff roster load` (`HANDOFF_ROSTER__*`). `removal_alarm`: the share of the roster, 0 to 1, above which a full
    replacement removes nobody unless it is told to."""

    removal_alarm: float = Field(default=0.05, ge=0, le=1)


def data_folder() -> Path:
    """The folder of rules, senders and topics.yaml: the repository in a checkout, else beside the installed package."""
    package = Path(__file__).resolve().parent
    checkout = package.parent
    return checkout if (checkout / "topics.yaml").exists() else package / "_data"


class PathSettings(_Section):
    """Declarations (`HANDOFF_PATHS__*`)."""

    rules: Path = Field(default_factory=lambda: data_folder() / "rules")
    senders: Path = Field(default_factory=lambda: data_folder() / "senders")
    topics: Path = Field(default_factory=lambda: data_folder() / "topics.yaml")
