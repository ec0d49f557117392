"""A recording on its way to a browser: whole, or the part of it that is asked for, opened as it is sent."""

import asyncio
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from carecall.errors import StoreNotFound
from carecall.store.sound_file import SoundFile

_PIECE = 2**16
_KIND = "audio/wav"
_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")


async def sound_response(request: Request, kept: SoundFile, folder: Path, *, name: str = "") -> Response:
    """The audio as a WAV file, in ranges where the browser wants that; with a ``name`` it is to be saved.

    Raises StoreNotFound when it is not on this machine, and PersonalDataChanged.
    """
    sound = kept.within(folder)
    headers = {"Cache-Control": "no-store"}
    if sound.key is None:
        if not await asyncio.to_thread(sound.path.is_file):
            raise StoreNotFound
        return FileResponse(sound.path, media_type=_KIND, filename=name or None, headers=headers)
    try:
        file, size, tag = await asyncio.to_thread(_open, sound)
    except FileNotFoundError:
        raise StoreNotFound from None
    headers |= {"Accept-Ranges": "bytes", "ETag": tag}
    if name:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    wanted = request.headers.get("range", "") if request.headers.get("if-range", tag) == tag else ""
    part = _part(wanted, size)
    start, stop = part or (0, size)
    if start >= stop:
        file.close()
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    return StreamingResponse(_pieces(file, start, stop), 206 if part else 200, headers, media_type=_KIND)


def _open(sound: SoundFile) -> tuple[BinaryIO, int, str]:
    """The file, the bytes of audio, and a tag that changes with it."""
    file = sound.open()
    size = file.seek(0, os.SEEK_END)
    seen = f"{sound.path.stat().st_mtime_ns} {size}"
    return file, size, f'"{hashlib.sha256(seen.encode()).hexdigest()[:32]}"'


def _part(wanted: str, size: int) -> tuple[int, int] | None:
    """From which byte and before which; None when not one range is asked for, and then the whole is given."""
    match = _RANGE.fullmatch(wanted)
    if match is None:
        return None
    first, last, end = match.groups()
    if end:
        return max(0, size - int(end)), size
    return int(first), min(int(last) + 1, size) if last else size


def _pieces(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < stop and (piece := file.read(min(_PIECE, stop - start))):
            start += len(piece)
            yield piece
