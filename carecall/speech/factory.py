"""Chooses the speech services that the settings name: this machine's, or any pipecat service by dotted path."""

import importlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from carecall import model_files
from carecall.domain.language import Language
from carecall.errors import ModelFileError, SettingsError
from carecall.settings import Settings
from carecall.speech.phrases import PhraseCache
from carecall.speech.synthesis import VoiceTTSService
from carecall.speech.voices import CoquiVoice, EspeakVoice, PiperVoice, Voice
from carecall.speech.whisper import Transcriber, WhisperSTTService

TELEPHONE_RATE = 8_000  # Hz


class Speech:
    """The speech models of this process, loaded once, and the services of each call over them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transcriber: Transcriber | None = None
        self._phrases: dict[Language, PhraseCache] = {}

    def load(self, *languages: Language) -> None:
        """Load what the languages need; blocks for seconds. Raises ModelFileError, SpeechError, SettingsError."""
        if self._settings.stt == "faster-whisper" and self._transcriber is None:
            self._transcriber = Transcriber.load(
                _model(self._settings, self._settings.stt_model), threads=self._settings.threads
            )
        for language in languages:
            self.phrases(language)

    def close(self) -> None:
        if self._transcriber is not None:
            self._transcriber.close()

    def phrases(self, language: Language) -> PhraseCache | None:
        """The language's phrase cache; None where the voice is a remote service."""
        if language not in self._phrases:
            voice = make_voice(self._settings, language)
            if voice is None:
                return None
            for _ in voice.render("Hello." if language is Language.ENGLISH else "여보세요."):
                pass  # the first rendering is slow, and must not be the first caller's
            self._phrases[language] = PhraseCache(voice, TELEPHONE_RATE, self._settings.phrases_dir)
        return self._phrases[language]

    def stt(self, language: Language, *, prompt: Callable[[], str] | None = None) -> STTService:
        """A recogniser for one call. ``prompt`` gives words to bias it with."""
        if self._settings.stt != "faster-whisper":
            service: STTService = _service(self._settings.stt, STTService, self._settings.stt_options)
            return service
        self.load()
        assert self._transcriber is not None
        return WhisperSTTService(self._transcriber, language, prompt=prompt)

    def tts(self, language: Language, *, keep: Collection[str] = (), ahead: Sequence[str] = ()) -> TTSService:
        """A voice for one call. ``keep``: lines without personal data; ``ahead``: lines to render at its start."""
        phrases = self.phrases(language)
        if phrases is not None:
            return VoiceTTSService(phrases, keep=keep, ahead=ahead)
        service: TTSService = _service(_tts_name(self._settings, language), TTSService, self._settings.tts_options)
        return service


def _tts_name(settings: Settings, language: Language) -> str:
    return settings.tts_en if language is Language.ENGLISH else settings.tts_ko


def make_voice(settings: Settings, language: Language) -> Voice | None:
    """The voice that runs on this machine, or None when the settings name a pipecat service."""
    name = _tts_name(settings, language)
    match name.split(":", 1):
        case ["piper"]:
            return PiperVoice(_model(settings, settings.tts_voice_en))
        case ["piper", voice]:
            return PiperVoice(_model(settings, voice))
        case ["espeak-ng"]:
            return EspeakVoice(language)
        case ["coqui", model]:
            return CoquiVoice(model, language)
    if "." not in name:
        raise SettingsError(
            f"CARECALL_TTS_{language.upper()}={name} is not known: use piper, espeak-ng, coqui:MODEL or a dotted path."
        )
    return None


def _model(settings: Settings, name: str) -> Path:
    """The file or folder of a model of the manifest, or of a path. Raises ModelFileError when it is not here."""
    path = model_files.store(settings.models_dir).locate(name)
    if path is None:
        raise ModelFileError(f"The model {name} is not on this machine. Run 'carecall models fetch {name}'.")
    return path


def _service(path: str, base: type[Any], options: dict[str, Any]) -> Any:
    """An instance of the pipecat service class at a dotted path."""
    module, _, name = path.rpartition(".")
    try:
        service = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"The speech service {path} cannot be imported: {error}") from None
    if not (isinstance(service, type) and issubclass(service, base)):
        raise SettingsError(f"{path} is not a pipecat {base.__name__}.")
    try:
        return service(**options)
    except Exception as error:  # noqa: BLE001 - a third party's constructor raises what it likes
        raise SettingsError(f"{path} does not take the given options: {error}") from None
