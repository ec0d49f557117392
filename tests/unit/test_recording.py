"""A call's recording ends with the call, whatever is still on its way to the disk."""

import wave
from pathlib import Path

import pytest

from carecall.store.sound_file import SoundFile
from carecall.voice.recording import Recording

SECOND = bytes([1, 2, 3, 4]) * 8000


def heard(file: SoundFile) -> bytes:
    with file.open() as sound, wave.open(sound) as audio:
        frames: bytes = audio.readframes(audio.getnframes())
        return frames


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["open", "sealed"])
async def test_what_comes_after_the_end_is_dropped(tmp_path: Path, key: bytes | None) -> None:
    file = SoundFile(tmp_path / "call", key)
    with Recording(file, 8000) as recording:
        await recording._append(None, SECOND, 8000, 2)
    await recording._append(None, SECOND, 8000, 2)
    assert heard(file) == SECOND
    assert not file.broke_off()


async def test_a_disk_that_is_full_at_the_end_does_not_break_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room() -> None:
        raise OSError(28, "No space left on device")

    file = SoundFile(tmp_path / "call", bytes(32))
    with Recording(file, 8000) as recording:
        await recording._append(None, SECOND, 8000, 2)
        writer = recording._writer
        assert writer is not None
        close = writer.close
        monkeypatch.setattr(writer, "close", no_room)
    assert "No space left on device" in caplog.text
    assert heard(file) == SECOND
    assert file.broke_off()
    close()


async def test_a_disk_that_is_full_in_the_middle_ends_the_recording_and_not_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room(_frames: bytes) -> None:
        raise OSError(28, "No space left on device")

    file = SoundFile(tmp_path / "call", bytes(32))
    with Recording(file, 8000) as recording:
        await recording._append(None, SECOND, 8000, 2)
        assert recording._writer is not None
        monkeypatch.setattr(recording._writer, "write", no_room)
        for _ in range(3):
            await recording._append(None, SECOND, 8000, 2)
    assert caplog.text.count("No space left on device") == 1
    assert heard(file) == SECOND


async def test_a_call_whose_recording_cannot_be_begun_is_held_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "folder").write_text("This is no folder.")
    with Recording(SoundFile(tmp_path / "folder" / "call", bytes(32)), 8000) as recording:
        await recording._append(None, SECOND, 8000, 2)
    assert recording.earlier_s is None
    assert "not recorded" in caplog.text
