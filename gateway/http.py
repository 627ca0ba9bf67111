"""The HTTP listener: `POST /hl7`, `POST /custody`, `PUT /roster/{member}`, with a bearer token or mutual TLS.

It promises what MLLP promises: 200, Kafka has confirmed it; 503, send it again; 422, it cannot be used (and, for HL7,
its bytes are on the dead-letter topic). A body may hold several messages, as a frame may: one body answers all of them
in order, under the status of the worst.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain.errors import Refusal
from domain.rules.vocabulary import OPEN, Vocabulary
from gateway.config import HttpConfig
from gateway.ingress import Ingress
from parsers.hl7.frames import split_frame
from parsers.records.custody import encode_custody, load_custody
from parsers.records.roster import read_roster
from parsers.records.roster_documents import encode_roster
from streams.http_server import Server, bearer_of, http_server, same_secret
from streams.kafka.produce import NotConfirmed
from streams.listening import Bounds

ER7: Final = "application/hl7-v2; charset=utf-8"
_STATUS: Final = {"accepted": 200, "error": 422, "rejected": 503}
_OVERSIZE: Final = 413
_IN_FLIGHT: Final = 200
"""Messages or records of one body that wait for Kafka at a time."""
_AGAIN: Final = {"Retry-After": "5"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode
T = TypeVar("T")
Handler = Callable[[Request, bytes], Awaitable[Response]]


def http_app(ingress: Ingress, token: str, limit: int, certified: bool = False, words: Vocabulary = OPEN) -> Starlette:
    """The listener as an ASGI application. `certified`: the TLS layer has verified a client certificate. `words`: those
    that a roster row may use.

    Raises ValueError when neither a token nor a certificate is required. `limit` bounds a body, in bytes.
    """
    if not token and not certified:
        raise ValueError("the HTTP listener needs a token or client certificates")

    def guarded(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            given = bearer_of(request.headers.get("authorization", ""))
            if token and not same_secret(given, token):
                return _detail(401, "a bearer token is required", {"WWW-Authenticate": "Bearer"})
            try:
                body = await _body(request, limit)
            except ClientDisconnect:
                return Response(status_code=400)  # for nobody: otherwise uvicorn would log an error
            if body is None:
                return _detail(_OVERSIZE, f"longer than {limit} bytes")
            try:
                return await handler(request, body)
            except NotConfirmed:
                return _detail(503, "not stored, send again", _AGAIN)

        return answer

    async def hl7(request: Request, body: bytes) -> Response:
        peer = request.client.host if request.client else None
        answers = await _together(ingress.accept(message, peer) for message in split_frame(body))
        # Of several messages the worst decides; those that were stored are recognized when all are sent again.
        status = max(_STATUS[answer.outcome] for answer in answers)
        headers = _AGAIN if any(answer.outcome == "rejected" for answer in answers) else None
        return Response(b"".join(answer.body for answer in answers), status, headers, media_type=ER7)

    async def custody(_: Request, body: bytes) -> Response:
        loaded = load_custody(body, source="http")
        if loaded.faults:
            return JSONResponse({"faults": [str(fault) for fault in loaded.faults]}, 422)
        topic = ingress.topics.custody
        await _together(
            ingress.store(topic, record.key.encode(), encode_custody(record)) for record in loaded.documents
        )
        return JSONResponse({"stored": len(loaded.documents)})

    async def roster(request: Request, body: bytes) -> Response:
        member = request.path_params["member"]
        try:
            given = _decode(body)
            given.setdefault("member_id", member)
            document = read_roster(msgspec.json.encode(given), words)
        except msgspec.MsgspecError:
            return _detail(422, "not a JSON object")
        except Refusal as refusal:
            return _detail(422, f"{refusal.place}: {refusal.detail}")
        if document.member_id != member:
            return _detail(422, "member_id: not the member in the address")
        await ingress.store(ingress.topics.roster, member.encode(), encode_roster(document))
        return JSONResponse({"stored": 1})

    return Starlette(
        routes=[
            Route("/hl7", guarded(hl7), methods=["POST"]),
            Route("/custody", guarded(custody), methods=["POST"]),
            Route("/roster/{member}", guarded(roster), methods=["PUT"]),
        ]
    )


async def _together(steps: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all steps, begun in their order and then waited for together. Raises what the first raised.

    Each step calls the producer before its first wait, so a patient's messages reach Kafka in the order of the body.
    """
    done: list[T] = []
    waiting = iter(steps)
    while some := list(islice(waiting, _IN_FLIGHT)):
        for result in await asyncio.gather(*some, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            done.append(result)
    return done


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or None as soon as it is longer than `limit`."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            return None
    return bytes(body)


def _detail(status: int, what: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": what}, status, headers)


def ingress_server(ingress: Ingress, config: HttpConfig, spare: int) -> Server:
    """A server whose `serve(sockets)` runs in the caller's loop until `should_exit`.

    `spare`: descriptors left to others (`streams.listening.Bounds`). Raises ValueError as `http_app` does.
    """
    certified = config.tls is not None and config.tls.client_ca is not None
    app = http_app(ingress, config.token, config.limit, certified, config.words)
    bounds = Bounds(config.connections, config.connections_per_peer, spare)
    return http_server(app, config.tls, "http", bounds, config.times)
