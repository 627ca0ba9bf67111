"""The health server of every process: right answers, and a flood neither fills the process with threads nor stays."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from streams import health
from streams.health import HealthServer
from streams.metrics import CONNECTIONS
from tests.support.kafka import wait_for


@pytest.fixture
def server() -> Iterator[HealthServer]:
    running = HealthServer("127.0.0.1", 0, lambda: (True, {"a": 1}), lambda: (False, {"why": "not yet"}))
    yield running
    running.stop()


def ask(port: int, request: bytes, source: str = "127.0.0.1") -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0)) as client:
        client.sendall(request)
        said = b""
        while data := client.recv(65_536):
            said += data
        return said


def test_it_answers_probes_and_metrics(server: HealthServer) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for path, status, body in (("/livez", 200, {"a": 1}), ("/readyz?x=1", 503, {"why": "not yet"})):
        client.request("GET", path)
        answer = client.getresponse()
        assert (answer.status, json.loads(answer.read())) == (status, body)
    client.request("GET", "/metrics")
    assert b"handoff_connections" in client.getresponse().read()
    assert ask(server.port, b"GET /else HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 404 ")
    assert ask(server.port, b"POST /livez HTTP/1.1\r\nContent-Length: 1\r\n\r\nx").startswith(b"HTTP/1.1 405 ")
    assert ask(server.port, b"\x16\x03\x01 junk\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert ask(server.port, b"GET /livez HTTP/1.1\r\nX: " + b"x" * 9000).startswith(b"HTTP/1.1 400 ")
    # In single bytes.
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as slow:
        for byte in b"GET /livez HTTP/1.1\r\n\r\n":
            slow.sendall(bytes([byte]))
        assert slow.recv(15) == b"HTTP/1.1 200 OK"


def test_a_thousand_idle_connections_make_no_threads_and_are_ended(
    server: HealthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_SECONDS", 2.0)
    threads = threading.active_count()
    held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(1000)]
    wait_for(lambda: CONNECTIONS.labels("health")._value.get() == 32, what="one address has its share")
    assert threading.active_count() == threads
    # A probe from elsewhere gets in meanwhile.
    assert ask(server.port, b"GET /livez HTTP/1.1\r\n\r\n", "127.0.0.2").startswith(b"HTTP/1.1 200 ")
    started = time.monotonic()
    wait_for(lambda: CONNECTIONS.labels("health")._value.get() == 0, what="all are ended")
    assert time.monotonic() - started < 10
    for each in held:
        each.close()
    assert ask(server.port, b"GET /livez HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def test_a_taken_port_is_an_error(server: HealthServer) -> None:
    with pytest.raises(OSError, match="in use"):
        HealthServer("127.0.0.1", server.port, lambda: (True, {}), lambda: (True, {}))
