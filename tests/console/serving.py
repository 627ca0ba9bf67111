"""Runs the console as a process on topics of a test's own: `python serving.py '{...}'`."""

from __future__ import annotations

import json
import sys

from console.config import ConsoleConfig, Topics
from console.serve import serve
from handoff.logs import configure
from streams.kafka.settings import KafkaSettings

if __name__ == "__main__":
    said = json.loads(sys.argv[1])
    configure()
    config = ConsoleConfig(port=said["port"], token=said.get("token"), health_port=said["health"])
    sys.exit(serve(KafkaSettings(bootstrap=said["bootstrap"]), said["groups"], config, topics=Topics(**said["topics"])))
