"""Authentication, and the headers of every response. Plain ASGI, so that event streams are not buffered."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.http_server import bearer_of, same_secret

COOKIE: Final = "handoff_console"
OPEN: Final = frozenset({"/livez", "/readyz"})
"""Probes have no token, and their answers contain nothing to protect."""
_TWELVE_HOURS: Final = 43_200
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Authentication:
    """Requires the token, as a bearer or as the cookie that `?token=` is exchanged for.

    Without a token (loopback only, which the settings enforce) it requires that the Host header names this machine, so
    that a page of another site cannot read the console through a name that it resolves to loopback (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: str | None, secure: bool = False) -> None:
        self._app, self._token, self._secure = app, token, secure
        self._cookie = hmac.new((token or "").encode(), b"handoff console cookie", sha256).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        answer = self._answer(scope)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _answer(self, scope: Scope) -> Response | None:
        if scope["path"] in OPEN:
            return None
        headers = Headers(scope=scope)
        if self._token is None:
            name = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
            here = name.lower() in ("localhost", "127.0.0.1", "[::1]")
            return None if here else PlainTextResponse("this console is for this machine only\n", 421)
        shown = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if same_secret(shown, self._token):
            return self._exchange(scope)
        if same_secret(bearer_of(headers.get("authorization", "")), self._token):
            return None
        if same_secret(cookie_parser(headers.get("cookie", "")).get(COOKIE, ""), self._cookie):
            return None
        return PlainTextResponse(
            "This console requires a token: open it as /?token=…, or send it as a bearer.\n",
            401,
            {"WWW-Authenticate": 'Bearer realm="handoff"'},
        )

    def _exchange(self, scope: Scope) -> Response:
        """Redirect to the same address without the token, which would otherwise stay in the browser's history."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        query.pop("token")
        rest = urlencode(query, doseq=True)
        where = scope["path"].rpartition("/")[2] or "."
        answer = RedirectResponse(where + (f"?{rest}" if rest else ""), 303)
        answer.set_cookie(
            COOKIE, self._cookie, max_age=_TWELVE_HOURS, httponly=True, samesite="lax", secure=self._secure
        )
        return answer
