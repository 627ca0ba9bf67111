"""How a gateway is configured: ports, limits and times, with their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from agents.topics import ADT_RAW, CUSTODY_RAW, DEAD_LETTERS, ROSTER
from domain.rules.vocabulary import OPEN, Vocabulary
from streams.http_server import HttpTimes
from streams.tls import Tls

MESSAGE_BYTES: Final = 512 * 1024


class Topics(msgspec.Struct, frozen=True):
    """The topics that the gateway writes, as the cluster calls them."""

    raw: str = ADT_RAW
    custody: str = CUSTODY_RAW
    roster: str = ROSTER
    dead_letters: str = DEAD_LETTERS


class Timeouts(msgspec.Struct, frozen=True):
    """How long each phase of an MLLP connection may take, in seconds."""

    first_byte: float = 60.0
    """From the opening of the connection to the first message; junk is none."""
    frame: float = 30.0
    """From one byte of an unfinished message to the next."""
    message: float = 120.0
    """From the first byte of a message to its last: a sender that trickles cannot hold a connection for ever."""
    idle: float = 600.0
    """Between messages; junk does not count as one."""
    answer: float = 20.0
    """For the peer to read an acknowledgment."""
    pause: float = 0.25
    """After so long a message that ends in FS without CR counts as whole."""


class Keepalive(msgspec.Struct, frozen=True):
    """TCP keepalive, which detects a peer that vanished without closing (after two minutes by default).

    After `idle` seconds of silence the kernel probes every `interval` seconds, and gives up after `probes` probes.
    """

    idle: int = 60
    interval: int = 10
    probes: int = 6


class MllpConfig(msgspec.Struct, frozen=True):
    """The MLLP listener. Port 0 takes a free one; `limit` bounds one message, in bytes."""

    host: str = "127.0.0.1"
    port: int = 2575
    connections: int = 500
    connections_per_peer: int = 200
    limit: int = MESSAGE_BYTES
    timeouts: Timeouts = Timeouts()
    keepalive: Keepalive = Keepalive()
    tls: Tls | None = None


class HttpConfig(msgspec.Struct, frozen=True):
    """The HTTP listener. Port 0 takes a free one; `limit` bounds one body, in bytes.

    `token` may be empty only where `tls` requires client certificates. However many connections it is asked for, it
    leaves descriptors for those of MLLP.
    """

    token: str = ""
    host: str = "127.0.0.1"
    port: int = 8575
    connections: int = 256
    connections_per_peer: int = 128
    limit: int = MESSAGE_BYTES
    times: HttpTimes = HttpTimes()
    tls: Tls | None = None
    words: Vocabulary = OPEN
    """The words that a roster row may use."""


class FolderConfig(msgspec.Struct, frozen=True):
    """The folder that is watched for HL7 files. Times in seconds, limits in bytes.

    `sender` names the profile of all its messages; "" leaves the choice to MSH-3 and MSH-4. A file is whole once it
    has not changed for `settle` seconds.
    """

    path: Path
    sender: str = ""
    poll: float = 1.0
    settle: float = 2.0
    limit: int = 256 * 1024 * 1024
    message_limit: int = MESSAGE_BYTES


class GatewayConfig(msgspec.Struct, frozen=True):
    """A whole gateway. Without `http` or `folder` it has no such listener; `health_port` 0 takes a free port.

    `confirm` bounds the wait for Kafka's confirmation of a message, in seconds.
    """

    mllp: MllpConfig = MllpConfig()
    http: HttpConfig | None = None
    folder: FolderConfig | None = None
    health_host: str = "127.0.0.1"
    health_port: int = 0
    confirm: float = 20.0
    topics: Topics = Topics()

    @property
    def drain(self) -> float:
        """Seconds that the messages in flight have when the gateway stops: a confirmation, and its answer."""
        return self.confirm + 5.0
