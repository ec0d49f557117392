"""Style, script and pictures: read and pressed once; browsers keep them for ever, as their address is their content."""

import gzip
import mimetypes
from functools import cache

from fastapi import APIRouter, HTTPException, Request, Response

from carecall.dashboard.dashboard import STATIC, static_url

_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}  # all are text


def add_static(router: APIRouter) -> None:
    @router.get("/static/{digest}/{name}", include_in_schema=False)
    async def static(request: Request, digest: str, name: str) -> Response:
        if name not in _names() or request.url.path != static_url(name):
            raise HTTPException(404)
        kind, plain, pressed = _content(name)
        headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
        if pressed and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(pressed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
        return Response(plain, media_type=kind, headers=headers)


@cache
def _names() -> frozenset[str]:
    return frozenset(file.name for file in STATIC.iterdir() if file.is_file())


@cache
def _content(name: str) -> tuple[str, bytes, bytes | None]:
    """Its type, its bytes, and its bytes pressed where that helps."""
    file = STATIC / name
    plain = file.read_bytes()
    if file.suffix in _KINDS:
        return _KINDS[file.suffix], plain, gzip.compress(plain, 9, mtime=0)
    return mimetypes.guess_type(name)[0] or "application/octet-stream", plain, None
