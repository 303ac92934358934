"""Who may ask, and what a browser may do with the answer.

- **Host**: on loopback without a token only names of this machine are answered, so that a page that has its own name
  point here (DNS rebinding) gets nothing.
- **Origin**: what a page of somebody else's sends is refused, as is every request that a browser calls cross-site.
- **Token**: on any other address a request carries it, as ``Authorization: Bearer`` or in a cookie that `/login` sets.
- **Answers** carry a policy under which nothing is fetched from elsewhere and no script stands in a page.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request, cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGIN: Final = "/login"
# Says nothing but that this is alive, to who watches over processes.
_OPEN_PATHS: Final = frozenset(("/healthz", LOGIN))
# What a page looks like: the same for everybody, and nothing of a store.
_STATIC: Final = "/static/"
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::\d{1,5})?", re.ASCII)
_COOKIE: Final = "otel_episodes"
_COOKIE_SECONDS: Final = 30 * 24 * 3600
_FORM_BYTES: Final = 4096
_FORM_SECONDS: Final = 10.0
_ANSWERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FORM: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>otel-episodes</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/page.css"><main class="login"><h1>otel-episodes</h1>
<form method="post" class="inline"><label>Token <input type="password" name="token" required
autocomplete="current-password" autofocus></label><button type="submit">Open</button></form>
<p role="alert" class="bad">{problem}</p></main></html>"""


def is_loopback(host: str) -> bool:
    """Return whether a name or address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Walls:
    """The application behind these walls; ``token`` is empty on loopback."""

    def __init__(self, app: ASGIApp, *, token: str = "") -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have the application do so."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ANSWERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and self._token and scope["path"] == LOGIN:
            refusal = await self._login(Request(scope, receive))
        await (refusal or self._app)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if "transfer-encoding" in headers and "content-length" in headers:
            # What is between here and a sender may take another of the two for the end of the body.
            return PlainTextResponse("a body has one length\n", 400, {"Connection": "close"})
        if not self._token and not is_loopback(_name_of(host)):
            return PlainTextResponse(f"this machine is not called {host[:100]!r}\n", 421)
        if _is_cross_site(headers, host, scope["method"]):
            return PlainTextResponse("another site's page may not ask here\n", 403)
        path = scope["path"]
        if not self._token or path in _OPEN_PATHS or path.startswith(_STATIC) or self._is_known(headers):
            return None
        if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(LOGIN, 303)
        return PlainTextResponse("give the token: Authorization: Bearer ...\n", 401, {"WWW-Authenticate": "Bearer"})

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return True
        given = cookie_parser(headers.get("cookie", "")).get(_COOKIE, "")
        return hmac.compare_digest(given.encode(), self._cookie())

    def _cookie(self) -> bytes:
        # Not the token itself, which the browser would keep on its disk.
        return hmac.new(self._token, b"cookie", hashlib.sha256).hexdigest().encode()

    async def _login(self, request: Request) -> Response:
        if request.method != "POST":
            return HTMLResponse(_FORM.format(problem=""))
        body = b""
        try:
            async with asyncio.timeout(_FORM_SECONDS):
                async for part in request.stream():
                    body += part
                    if len(body) > _FORM_BYTES:
                        return PlainTextResponse("too long\n", 413, {"Connection": "close"})
        except TimeoutError:
            return PlainTextResponse("too slow\n", 408, {"Connection": "close"})
        given = parse_qs(body.decode(errors="replace")).get("token", [""])[0]
        if not hmac.compare_digest(given.encode(), self._token):
            return HTMLResponse(_FORM.format(problem=escape("That is not the token.")), 403)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(
            _COOKIE, self._cookie().decode(), _COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure
        )
        return answer


def _name_of(host: str) -> str:
    """Return a Host header without its port and brackets; empty for what is none."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def _is_cross_site(headers: Headers, host: str, method: str) -> bool:
    """Return whether a page of another origin sends this; programs that are no browsers say nothing of the kind."""
    origin = headers.get("origin")
    if origin is not None and _origin_of(origin) != host:
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    # Following a link from elsewhere is no harm: it asks for a page, and shows it to its owner. Sending a form is.
    follows = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not follows or method not in ("GET", "HEAD")


def _origin_of(origin: str) -> str:
    """Return the host and port of an Origin header; empty for what is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
