"""The worker's health server: `/livez`, `/readyz` and `/metrics`, on a thread of its own, up before restore starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Detail = tuple[bool, Mapping[str, Any]]


class HealthServer:
    """Answers 200 or 503 with a JSON detail. `alive` and `ready` are asked at each request, on the server's thread."""

    def __init__(self, host: str, port: int, alive: Callable[[], Detail], ready: Callable[[], Detail]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/livez":
                        self.tell(alive())
                    case "/readyz":
                        self.tell(ready())
                    case "/metrics":
                        self.answer(200, CONTENT_TYPE_LATEST, generate_latest())
                    case _:
                        self.answer(404, "text/plain", b"not found\n")

            def tell(self, detail: Detail) -> None:
                good, said = detail
                self.answer(200 if good else 503, "application/json", json.dumps(said).encode() + b"\n")

            def answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing: a probe comes every few seconds."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Close the door."""
        self._server.shutdown()
        self._server.server_close()
