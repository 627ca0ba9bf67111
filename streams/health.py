"""Health server of a process: `/livez`, `/readyz` and `/metrics` on a thread of its own, up before the work starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Detail = tuple[bool, Mapping[str, Any]]
DEFAULT_PORT: Final = 8595


class HealthServer:
    """Answers 200 or 503 with a JSON detail. Each request calls `alive` or `ready`, on the server's thread."""

    def __init__(self, host: str, port: int, alive: Callable[[], Detail], ready: Callable[[], Detail]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/livez":
                        self.probe(alive())
                    case "/readyz":
                        self.probe(ready())
                    case "/metrics":
                        self.answer(200, CONTENT_TYPE_LATEST, generate_latest())
                    case _:
                        self.answer(404, "text/plain", b"not found\n")

            def probe(self, detail: Detail) -> None:
                good, values = detail
                self.answer(200 if good else 503, "application/json", json.dumps(values).encode() + b"\n")

            def answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """No log line: a probe comes every few seconds."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
