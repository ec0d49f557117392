"""The phrase cache: a vetted line is rendered once, and what holds a name never reaches the disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from carecall.speech.phrases import PhraseCache


class Tone:
    """A voice that hums: silence, a tone as long as the text, silence."""

    def __init__(self, *, version: str = "1", sample_rate: int = 16_000) -> None:
        self.name = "tone"
        self.version = version
        self.sample_rate = sample_rate
        self.rendered: list[str] = []

    def render(self, text: str) -> Iterator[bytes]:
        self.rendered.append(text)
        second = np.zeros(self.sample_rate, dtype=np.int16)
        tone = (8000 * np.sin(np.arange(self.sample_rate * len(text) // 10) / 5)).astype(np.int16)
        yield second.tobytes()
        yield tone.tobytes()
        yield second.tobytes()


def test_a_line_is_rendered_once(tmp_path: Path) -> None:
    voice = Tone()
    cache = PhraseCache(voice, 8_000, tmp_path)
    first = cache.render("Good morning.", on_disk=True)
    assert cache.render("Good morning.", on_disk=True) == first
    assert voice.rendered == ["Good morning."]


def test_a_line_on_disk_outlives_the_process(tmp_path: Path) -> None:
    first = PhraseCache(Tone(), 8_000, tmp_path).render("Good morning.", on_disk=True)
    later = Tone()
    assert PhraseCache(later, 8_000, tmp_path).get("Good morning.") == first
    assert later.rendered == []


def test_a_line_with_a_name_in_it_stays_off_the_disk(tmp_path: Path) -> None:
    cache = PhraseCache(Tone(), 8_000, tmp_path)
    cache.render("Am I speaking with Anna?", on_disk=False)
    assert list(tmp_path.iterdir()) == []
    assert cache.get("Am I speaking with Anna?") is not None


def test_another_version_of_the_voice_is_another_phrase(tmp_path: Path) -> None:
    PhraseCache(Tone(version="1"), 8_000, tmp_path).render("Good morning.", on_disk=True)
    assert PhraseCache(Tone(version="2"), 8_000, tmp_path).get("Good morning.") is None
    assert PhraseCache(Tone(version="1"), 16_000, tmp_path).get("Good morning.") is None


def test_the_silence_around_a_phrase_is_cut_and_its_rate_is_the_line_s() -> None:
    audio = PhraseCache(Tone(), 8_000).render("x" * 10, on_disk=False)  # one second of tone between two of silence
    seconds = len(audio) / 2 / 8_000
    assert 1.0 <= seconds < 1.3


def test_a_folder_that_cannot_be_written_costs_only_the_cache(tmp_path: Path) -> None:
    cache = PhraseCache(Tone(), 8_000, tmp_path / "phrases")
    (tmp_path / "phrases").rmdir()
    assert cache.render("Good morning.", on_disk=True)


def test_memory_is_bounded() -> None:
    voice = Tone(sample_rate=8_000)
    cache = PhraseCache(voice, 8_000)
    for number in range(600):
        cache.put(f"line {number}", b"\0\0", on_disk=False)
    assert cache.get("line 0") is None
    assert cache.get("line 599") == b"\0\0"
