"""A call's audio on the disk: a WAV file or, with a key, the same sealed piece by piece while the call goes on.

A sealed file is a mark and then pieces. Each holds what was heard since the one before: its length, a nonce, and the
AES-256-GCM ciphertext, bound to the piece's number and to whether it is the last. The first holds the WAV header, the
last nothing. A piece is there as a whole or not at all: a process that dies loses the one that it was writing.
"""

import io
import os
import struct
import wave
from bisect import bisect_right
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carecall.errors import PersonalDataChanged

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

KEY_BYTES = 32
SUFFIX_PLAIN, SUFFIX_SEALED = ".wav", ".sealed"
_MARK = b"CareCall sound 1\n"
_HEAD = struct.Struct(">I12s")  # bytes of audio, nonce
_TAG_BYTES = 16
_MOST = 2**24  # bytes of audio in one piece
_FRAME_BYTES = 4  # two channels of 16 bits
_WAV_HEADER_BYTES = 44
_READ_AT_ONCE = 2**16


class SoundWriter(Protocol):
    """Takes the frames of a call as they come; what it has taken is on the disk."""

    earlier_frames: int  # that the file held before, of a call that is taken up again

    def write(self, frames: bytes) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class SoundFile:
    """Where the audio of a call lies, and what it is sealed with: stereo, 16 bits, the recipient left."""

    path: Path
    key: bytes | None = field(default=None, repr=False)

    def within(self, folder: Path) -> "SoundFile":
        """The same file in this machine's folder of recordings."""
        return SoundFile(folder / self.path.name, self.key)

    def writer(self, sample_rate: int) -> SoundWriter:
        """Goes on where the file ends, readable by its owner only. ``sample_rate`` in Hz. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path.touch(mode=0o600)
        if self.key is None:
            return _PlainWriter(self.path, sample_rate)
        return _SealedWriter(self.path, self.key, sample_rate)

    def open(self) -> BinaryIO:
        """The WAV file, to read and to seek in. Raises OSError, and PersonalDataChanged here or when it is read."""
        file = self.path.open("rb")
        if self.key is None:
            return file
        try:
            return io.BufferedReader(_SealedSound(file, self.key), _READ_AT_ONCE)
        except BaseException:
            file.close()
            raise

    def broke_off(self) -> bool:
        """Whether a sealed file has no end: the process died that wrote it, or somebody cut it. Raises as ``open``."""
        with self.path.open("rb") as file:
            return self.key is not None and not _SealedSound(file, self.key).ended


class _PlainWriter:
    def __init__(self, path: Path, sample_rate: int) -> None:
        earlier = b""
        with suppress(wave.Error, EOFError), wave.open(str(path), "rb") as before:
            earlier = before.readframes(before.getnframes())
        self.earlier_frames = len(earlier) // _FRAME_BYTES
        self._file = wave.Wave_write(str(path))
        self._file.setnchannels(2)
        self._file.setsampwidth(2)
        self._file.setframerate(sample_rate)
        self._file.writeframes(earlier)

    def write(self, frames: bytes) -> None:
        self._file.writeframes(frames)

    def close(self) -> None:
        self._file.close()


class _SealedWriter:
    def __init__(self, path: Path, key: bytes, sample_rate: int) -> None:
        self._aead = AESGCM(key)
        self._file = path.open("r+b", buffering=0)
        try:
            pieces = _Pieces(self._file)
            self.earlier_frames = max(0, pieces.size - _WAV_HEADER_BYTES) // _FRAME_BYTES
            self._number, self._end = len(pieces.places), pieces.end
            if not pieces.places:
                self._end = self._put(0, _MARK)
                self._add(_wav_header(sample_rate, 0))
        except BaseException:
            self._file.close()
            raise

    def write(self, frames: bytes) -> None:
        for start in range(0, len(frames), _MOST):
            self._add(frames[start : start + _MOST])

    def close(self) -> None:
        with self._file:
            self._add(b"", last=True)

    def _add(self, audio: bytes, *, last: bool = False) -> None:
        nonce = os.urandom(12)
        sealed = self._aead.encrypt(nonce, audio, _place(self._number, last))
        self._end = self._put(self._end, _HEAD.pack(len(audio), nonce) + sealed)
        self._number += 1

    def _put(self, start: int, data: bytes) -> int:
        """Writes over whatever half of a piece lies there. Gives where the data ends."""
        self._file.seek(start)
        self._file.truncate()
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        return start + len(data)


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int  # of the ciphertext in the file
    begins: int  # at which byte of the audio
    size: int  # bytes of audio
    nonce: bytes


class _Pieces:
    """Where the pieces of a sealed file lie: found by their lengths, and not opened."""

    def __init__(self, file: BinaryIO | io.FileIO) -> None:
        self.places: list[_Piece] = []
        self.size = 0  # bytes of audio
        self.last: _Piece | None = None
        file.seek(0, os.SEEK_END)
        whole = file.tell()
        file.seek(0)
        self.marked = file.read(len(_MARK)) == _MARK
        self.end = len(_MARK) if self.marked else 0  # of the last whole piece, but for one that says that it is over
        while self.marked and self.last is None:
            file.seek(self.end)
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size:
                break
            size, nonce = _HEAD.unpack(head)
            end = self.end + _HEAD.size + size + _TAG_BYTES
            if size > _MOST or end > whole:
                break
            piece = _Piece(self.end + _HEAD.size, self.size, size, nonce)
            if size == 0:
                self.last = piece
            else:
                self.places.append(piece)
                self.size += size
                self.end = end


class _SealedSound(io.RawIOBase):
    """The WAV file that a sealed file holds; opens a piece when it is read."""

    def __init__(self, file: BinaryIO, key: bytes) -> None:
        """Raises PersonalDataChanged when it was sealed with another key or is no such file."""
        self._file = file
        self._aead = AESGCM(key)
        pieces = _Pieces(file)
        self._places = pieces.places
        self._begins = [piece.begins for piece in self._places]
        self._size = pieces.size
        self._at = 0
        self._opened: tuple[int, bytes] = (-1, b"")
        if not self._places or self._places[0].size != _WAV_HEADER_BYTES:
            raise PersonalDataChanged(_CHANGED)
        header = bytearray(self._open(0))
        struct.pack_into("<I", header, 4, self._size - 8)
        struct.pack_into("<I", header, _WAV_HEADER_BYTES - 4, self._size - _WAV_HEADER_BYTES)
        self._header = bytes(header)
        self.ended = pieces.last is not None
        if pieces.last is not None:
            self._decrypt(pieces.last, len(self._places), last=True)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = max(0, {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset)
        return self._at

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if self._at >= self._size:
            return 0
        number = bisect_right(self._begins, self._at) - 1
        audio = self._header if number == 0 else self._open(number)
        start = self._at - self._begins[number]
        into = memoryview(buffer).cast("B")
        read = audio[start : start + len(into)]
        into[: len(read)] = read
        self._at += len(read)
        return len(read)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _open(self, number: int) -> bytes:
        if self._opened[0] != number:
            self._opened = number, self._decrypt(self._places[number], number, last=False)
        return self._opened[1]

    def _decrypt(self, piece: _Piece, number: int, *, last: bool) -> bytes:
        self._file.seek(piece.start)
        try:
            return self._aead.decrypt(piece.nonce, self._file.read(piece.size + _TAG_BYTES), _place(number, last))
        except InvalidTag:
            raise PersonalDataChanged(_CHANGED) from None


_CHANGED = "A recording was changed, cut or moved on the disk: it cannot be heard. Restore a backup of the file."


def _place(number: int, last: bool) -> bytes:
    """What a piece is bound to, beside its file's own key."""
    return struct.pack(">Q?", number, last)


def _wav_header(sample_rate: int, size: int) -> bytes:
    """Of ``size`` bytes of frames."""
    channels, width = 2, 2
    rate = sample_rate * _FRAME_BYTES
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, sample_rate, rate, _FRAME_BYTES, 8 * width)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + layout + struct.pack("<4sI", b"data", size)
