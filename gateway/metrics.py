"""Metrics of the gateway. Labels carry senders (profile names) and codes, never a person or a control ID."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

MESSAGES: Final = Counter("handoff_messages", "Messages answered", ["sender", "code"])
RESENDS: Final = Counter("handoff_resends", "Messages that were stored already and only answered again", ["sender"])
UNKNOWN: Final = Counter("handoff_unknown_senders", "Messages of senders without a profile", ["answer"])
UNMAPPED: Final = Counter(
    "handoff_unmapped_codes", "Messages with a code that the sender's profile does not map", ["sender", "place"]
)
ACK_SECONDS: Final = Histogram(
    "handoff_ack_seconds",
    "From a whole message to its answer",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0),
)
JUNK: Final = Counter("handoff_mllp_junk_bytes", "Bytes outside MLLP frames")
INCOMPLETE: Final = Counter("handoff_mllp_incomplete", "Connections that ended inside a message")
FOLDER_FILES: Final = Counter(
    "handoff_folder_files", "Files of the watched folder: done, failed, left, unopened", ["state"]
)
FOLDER_WAITING: Final = Gauge("handoff_folder_waiting", "Files that lie in the folder")
FOLDER_REPLACED: Final = Gauge("handoff_folder_replaced", "1: another folder has taken the watched folder's place")
SILENCE: Final = Gauge("handoff_sender_silence_seconds", "Since the last message, or the start", ["sender"])


class SenderActivity:
    """When each sender's last message came. A sender with a profile counts as silent from the start on."""

    def __init__(self, senders: Iterable[str] = ()) -> None:
        self._last: dict[str, float] = {}
        for sender in senders:
            self.seen(sender)

    def seen(self, sender: str) -> None:
        """A message of this sender came just now."""
        if sender not in self._last:
            SILENCE.labels(sender).set_function(lambda: time.monotonic() - self._last[sender])
        self._last[sender] = time.monotonic()
