"""The HTTP door: `POST /hl7`, `POST /custody`, `PUT /roster/{member}`. Never open: a bearer token, or mutual TLS.

The promises are those of MLLP: 200 means that Kafka has confirmed it, 503 that it has to be sent again, 422 that it is
no use (and, for HL7, that its bytes are among the dead letters). A body may hold several messages, as a frame may: they
are answered one after another in one body, under the status of the worst.
"""

from __future__ import annotations

import contextlib
import hmac
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.errors import Refusal
from gateway.ingress import Ingress
from gateway.tls import Tls
from parsers.hl7.frames import split_frame
from parsers.records.custody import encode_custody, load_custody
from parsers.records.roster import encode_roster, read_roster
from streams.kafka.produce import NotConfirmed

ER7: Final = "application/hl7-v2; charset=utf-8"
_STATUS: Final = {"accepted": 200, "error": 422, "rejected": 503}
_OVERSIZE: Final = 413
_AGAIN: Final = {"Retry-After": "5"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode
Handler = Callable[[Request, bytes], Awaitable[Response]]


class HttpConfig(msgspec.Struct, frozen=True):
    """Where to listen. Port 0 takes a free one; `limit` is for one body, in bytes.

    `token` may be empty only where `tls` asks for the client's certificate.
    """

    token: str
    host: str = "127.0.0.1"
    port: int = 8575
    limit: int = 512 * 1024
    tls: Tls | None = None


def http_app(intake: Ingress, token: str, limit: int, certified: bool = False) -> Starlette:
    """The door as an ASGI application. `certified`: callers have shown a certificate by now.

    Raises ValueError when it would be open to all.
    """
    if not token and not certified:
        raise ValueError("the HTTP door needs a token or client certificates")
    expected = f"Bearer {token}".encode()

    def guarded(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode("utf-8", "replace")
            if token and not hmac.compare_digest(given, expected):
                return _said(401, "a bearer token is required", {"WWW-Authenticate": "Bearer"})
            body = await _body(request, limit)
            if body is None:
                return _said(_OVERSIZE, f"longer than {limit} bytes")
            try:
                return await handler(request, body)
            except NotConfirmed:
                return _said(503, "not stored, send again", _AGAIN)

        return answer

    async def hl7(request: Request, body: bytes) -> Response:
        peer = request.client.host if request.client else None
        answers = [await intake.accept(message, peer) for message in split_frame(body)]
        # Of several messages the worst decides; those that were stored are known again when all are sent again.
        status = max(_STATUS[answer.outcome] for answer in answers)
        headers = _AGAIN if any(answer.outcome == "rejected" for answer in answers) else None
        return Response(b"".join(answer.body for answer in answers), status, headers, media_type=ER7)

    async def custody(_: Request, body: bytes) -> Response:
        loaded = load_custody(body, source="http")
        if loaded.faults:
            return JSONResponse({"faults": [str(fault) for fault in loaded.faults]}, 422)
        for record in loaded.documents:
            await intake.store(intake.topics.custody, record.key.encode(), encode_custody(record))
        return JSONResponse({"stored": len(loaded.documents)})

    async def roster(request: Request, body: bytes) -> Response:
        member = request.path_params["member"]
        try:
            given = _decode(body)
            given.setdefault("member_id", member)
            document = read_roster(msgspec.json.encode(given))
        except msgspec.MsgspecError:
            return _said(422, "not a JSON object")
        except Refusal as refusal:
            return _said(422, f"{refusal.place}: {refusal.detail}")
        if document.member_id != member:
            return _said(422, "member_id: not the member in the address")
        await intake.store(intake.topics.roster, member.encode(), encode_roster(document))
        return JSONResponse({"stored": 1})

    return Starlette(
        routes=[
            Route("/hl7", guarded(hl7), methods=["POST"]),
            Route("/custody", guarded(custody), methods=["POST"]),
            Route("/roster/{member}", guarded(roster), methods=["PUT"]),
        ]
    )


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or None as soon as it is longer than `limit`."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            return None
    return bytes(body)


def _said(status: int, what: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": what}, status, headers)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http_server(intake: Ingress, door: HttpConfig) -> uvicorn.Server:
    """A server whose `serve()` runs in this loop until `should_exit` is set. Raises ValueError as `http_app` does."""
    certified = door.tls is not None and door.tls.client_ca is not None
    config = uvicorn.Config(
        http_app(intake, door.token, door.limit, certified),
        host=door.host,
        port=door.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=10,
        ssl_certfile=None if door.tls is None else str(door.tls.certificate),
        ssl_keyfile=None if door.tls is None else str(door.tls.key),
        ssl_ca_certs=str(door.tls.client_ca) if door.tls is not None and certified else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if certified else ssl.CERT_NONE,
    )
    return _Server(config)
