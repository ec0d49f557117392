"""What stands between browsers and the pages: requests that change something come from our own pages, and what we send
says what a browser may do with it."""

import gzip
import math
from urllib.parse import urlsplit

from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from carecall.settings import Environment, Settings

_SAFE = ("GET", "HEAD", "OPTIONS")
_API = "/api/"  # read by programs, which prove themselves otherwise and carry no cookie
LONGEST_BODY = 32 * 2**20  # bytes: a list of people with room to spare
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "font-src 'self'",
        "media-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it, browsers that send no Sec-Fetch-Site send the origin of our own forms as "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}
_PRESSED_FROM = 1_000  # bytes


def page_headers(settings: Settings) -> dict[str, str]:
    """What goes with every answer that says nothing else."""
    if settings.environment is Environment.DEVELOPMENT:
        return _HEADERS
    return {**_HEADERS, "Strict-Transport-Security": "max-age=31536000"}


class Guard:
    """ASGI middleware around the whole application; what is not http, or the telephone's, passes."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._headers = page_headers(settings)
        self._public_host = urlsplit(settings.public_url).netloc

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/telephony/"):
            await self._app(scope, receive, send)
            return
        answer = _Answer(send, self._headers, pressed="gzip" in Headers(scope=scope).get("accept-encoding", ""))
        if not (scope["method"] in _SAFE or scope["path"].startswith(_API) or self._from_our_pages(scope)):
            refused = PlainTextResponse("This request did not come from a page of CareCall.", 403)
        elif _length(scope) > LONGEST_BODY:
            refused = PlainTextResponse("This is too large to be sent to CareCall.", 413)
        else:
            await self._app(scope, receive, answer)
            return
        await refused(scope, receive, answer)

    def _from_our_pages(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        if site := headers.get("sec-fetch-site"):
            return site in ("same-origin", "none")
        host = urlsplit(headers.get("origin", "")).netloc
        return bool(host) and host in (headers.get("host"), self._public_host)


def _length(scope: Scope) -> float:
    """Bytes of the body; endless when a browser does not say, which none does with a form."""
    headers = Headers(scope=scope)
    if "transfer-encoding" in headers:
        return math.inf
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() and len(length) < 16 else math.inf


class _Answer:
    """Adds the headers, and presses a page that is sent in one piece."""

    def __init__(self, send: Send, headers: dict[str, str], *, pressed: bool) -> None:
        self._send = send
        self._headers = headers
        self._pressed = pressed
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in self._headers.items():
                headers.setdefault(name, value)
            if self._pressed and headers.get("content-type", "").startswith("text/html"):
                headers.add_vary_header("Accept-Encoding")
                self._start = message
                return
        elif self._start is not None:
            start, self._start = self._start, None
            if not message.get("more_body") and len(message.get("body", b"")) >= _PRESSED_FROM:
                message = {**message, "body": gzip.compress(message["body"], 6, mtime=0)}
                headers = MutableHeaders(scope=start)
                headers["Content-Encoding"], headers["Content-Length"] = "gzip", str(len(message["body"]))
            await self._send(start)
        await self._send(message)
