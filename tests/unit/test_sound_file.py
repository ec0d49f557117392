"""A recording on the disk: a WAV file with the key, noise without it, and whole up to where a process died."""

import io
import os
import wave
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carecall.errors import PersonalDataChanged
from carecall.store.sound_file import SoundFile

RATE = 8000
KEY = bytes(range(32))


def second(number: int) -> bytes:
    return bytes([number, 255 - number, number, 1]) * RATE


@pytest.fixture
def sealed(tmp_path: Path) -> SoundFile:
    return SoundFile(tmp_path / "recordings" / "call.sealed", KEY)


def write(file: SoundFile, *seconds: int, dies: bool = False) -> None:
    writer = file.writer(RATE)
    for number in seconds:
        writer.write(second(number))
    there = file.path.read_bytes()
    writer.close()
    if dies:
        file.path.write_bytes(there)


def frames(file: SoundFile) -> bytes:
    with file.open() as sound, wave.open(sound) as audio:
        assert (audio.getnchannels(), audio.getsampwidth(), audio.getframerate()) == (2, 2, RATE)
        read: bytes = audio.readframes(audio.getnframes())
        return read


def changed(file: SoundFile, content: bytes) -> SoundFile:
    file.path.write_bytes(content)
    return file


def test_what_is_sealed_is_heard_with_the_key_as_if_it_lay_open(sealed: SoundFile, tmp_path: Path) -> None:
    plain = SoundFile(tmp_path / "call.wav")
    for file in (sealed, plain):
        write(file, 1, 2, 3)
        assert file.path.stat().st_mode & 0o077 == 0
        assert not file.broke_off()
    with sealed.open() as one, plain.open() as other:
        assert one.read() == other.read() == plain.path.read_bytes()


def test_no_sound_lies_open(sealed: SoundFile) -> None:
    writer = sealed.writer(RATE)
    for number in (1, 2):
        writer.write(second(number))
        assert second(number)[:16] not in sealed.path.read_bytes()
    writer.close()
    assert b"RIFF" not in sealed.path.read_bytes()


def test_every_second_is_on_the_disk_as_soon_as_it_is_written(sealed: SoundFile) -> None:
    write(sealed, 1, 2, dies=True)
    assert frames(sealed) == second(1) + second(2)
    assert sealed.broke_off()


def test_a_second_that_was_half_written_is_left_out_and_written_over(sealed: SoundFile) -> None:
    write(sealed, 1, 2, dies=True)
    changed(sealed, sealed.path.read_bytes()[:-100])
    assert frames(sealed) == second(1)
    write(sealed, 3)
    assert frames(sealed) == second(1) + second(3)
    assert not sealed.broke_off()


@pytest.mark.parametrize("key", [None, KEY], ids=["open", "sealed"])
def test_a_call_that_is_taken_up_again_goes_on_in_the_same_file(tmp_path: Path, key: bytes | None) -> None:
    file = SoundFile(tmp_path / "call", key)
    write(file, 1)
    writer = file.writer(RATE)
    assert writer.earlier_frames == RATE
    writer.write(second(2))
    writer.close()
    assert frames(file) == second(1) + second(2)
    assert not file.broke_off()


def test_another_key_opens_nothing(sealed: SoundFile) -> None:
    write(sealed, 1)
    with pytest.raises(PersonalDataChanged):
        SoundFile(sealed.path, bytes(32)).open()


def test_a_second_that_was_altered_does_not_sound(sealed: SoundFile) -> None:
    write(sealed, 1, 2)
    content = bytearray(sealed.path.read_bytes())
    content[len(content) // 2] ^= 1
    with pytest.raises(PersonalDataChanged):
        frames(changed(sealed, bytes(content)))


def test_seconds_that_changed_places_do_not_sound(sealed: SoundFile) -> None:
    write(sealed, 1, 2)
    content = sealed.path.read_bytes()
    piece, end = 4 + 12 + len(second(1)) + 16, 4 + 12 + 16
    one, two = content[-end - 2 * piece : -end - piece], content[-end - piece : -end]
    with pytest.raises(PersonalDataChanged):
        frames(changed(sealed, content[: -end - 2 * piece] + two + one + content[-end:]))


def test_an_end_that_was_put_after_fewer_seconds_is_noticed(sealed: SoundFile) -> None:
    write(sealed, 1, 2)
    content = sealed.path.read_bytes()
    piece, end = 4 + 12 + len(second(1)) + 16, 4 + 12 + 16
    with pytest.raises(PersonalDataChanged):
        changed(sealed, content[: -end - piece] + content[-end:]).open()
    assert changed(sealed, content[: -end - piece]).broke_off(), "without its end it has broken off"


def test_open_sound_in_the_place_of_sealed_sound_is_refused(sealed: SoundFile, tmp_path: Path) -> None:
    plain = SoundFile(tmp_path / "call.wav")
    write(plain, 1)
    sealed.path.parent.mkdir()
    with pytest.raises(PersonalDataChanged):
        changed(sealed, plain.path.read_bytes()).open()


def test_a_full_disk_loses_the_seconds_it_has_no_room_for_and_no_other(
    sealed: SoundFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = sealed.writer(RATE)
    writer.write(second(1))
    full = _Full(writer._file)  # type: ignore[attr-defined]
    monkeypatch.setattr(writer, "_file", full)
    with pytest.raises(OSError, match="no space"):
        writer.write(second(2))
    full.room = True
    writer.write(second(3))
    writer.close()
    assert frames(sealed) == second(1) + second(3)


class _Full(io.RawIOBase):
    """A disk with room for half of what is to be written."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self.room = False

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def truncate(self, size: int | None = None, /) -> int:
        return self._file.truncate(size)

    def write(self, data: memoryview, /) -> int:  # type: ignore[override]
        if self.room:
            return self._file.write(data)
        self._file.write(data[: len(data) // 2])
        raise OSError("no space left")

    def close(self) -> None:
        self._file.close()
        super().close()


@given(st.lists(st.integers(0, 3000), max_size=6), st.integers(0, 9000), st.integers(0, 9000))
def test_any_part_is_what_it_is_in_the_whole(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], start: int, size: int
) -> None:
    file = SoundFile(tmp_path_factory.mktemp("sound") / "call", KEY)
    writer = file.writer(RATE)
    for number, length in enumerate(lengths):
        writer.write(bytes([number]) * length)
    writer.close()
    with file.open() as sound:
        whole = sound.read()
        sound.seek(start)
        assert sound.read(size) == whole[start : start + size]
    assert whole[44:] == b"".join(bytes([number]) * length for number, length in enumerate(lengths))
